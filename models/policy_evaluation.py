"""What another selection policy would have found, from what the one in force found (off-policy evaluation).

Outcomes are known only where somebody looked, but every declaration has a known probability of having been looked at.
Weighting each inspected one by target probability over logged probability answers for the policy not followed. The
naive hit rate of the rows both policies chose does not: the logged policy looked where it expected something.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

# share of the target policy's choices that the logged one could never have made, above which no answer is given
UNSUPPORTED_MASS = 0.01


class NoSupportError(ValueError):
    """The logged policy never looked at enough of what the target policy would choose."""


@dataclass(frozen=True)
class Estimate:
    """A policy's hit rate (or value per inspection) with its interval.

    Attributes:
        value: estimate.
        standard_error: of the estimate.
        low: lower bound of the interval.
        high: upper bound of the interval.
        effective_rows: (Σw)² / Σw², how many equally weighted rows the inspected ones are worth.
        largest_weight_share: largest weight over the sum; near 1 one row decides.
        uncertain_rows: inspected rows the target wants that the logged policy did not choose for certain.
    """

    value: float
    standard_error: float
    low: float
    high: float
    effective_rows: float
    largest_weight_share: float
    uncertain_rows: int


def graded_probabilities(score: ArrayLike, budget: float, floor: float = 0.005, steepness: float = 2.0) -> np.ndarray:
    """Return inclusion probabilities that rise with the score, never below the floor, and spend a budget on average.

    floor + (1 − floor)·min(1, c·exp(steepness·z)), z = standardised score; c is found by bisection.

    Args:
        score: risk scores, shape (n,).
        budget: share of declarations to inspect.
        floor: least probability of any declaration.
        steepness: 0 = pure random; large = the top of the list only.
    """
    score = np.asarray(score, dtype=float)
    if not floor <= budget <= 1:
        raise ValueError(f"A budget of {budget} cannot be spent with a floor of {floor}: give one between it and 1.")
    spread = score.std() or 1.0
    shape = np.exp(np.clip(steepness * (score - score.mean()) / spread, -50, 50))
    low, high = 0.0, 1.0 / shape.min()
    for _ in range(200):
        middle = (low + high) / 2
        spent = floor + (1 - floor) * np.minimum(1, middle * shape).mean()
        low, high = (middle, high) if spent < budget else (low, middle)
    return floor + (1 - floor) * np.minimum(1, high * shape)


def _checked(target: ArrayLike, logged: ArrayLike, seen: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    target, logged = np.asarray(target, dtype=float), np.asarray(logged, dtype=float)
    seen = np.asarray(seen, dtype=bool)
    if target.sum() <= 0:
        raise ValueError("The target policy chooses nothing: give it probabilities above zero.")
    unsupported = target[logged <= 0].sum() / target.sum()
    if unsupported > UNSUPPORTED_MASS:
        raise NoSupportError(
            f"{unsupported:.1%} of what the target policy would choose had no chance of being inspected: "
            "the log cannot answer; keep a floor under every probability."
        )
    return target, logged, seen


def _estimate(value: float, influence: np.ndarray, weight: np.ndarray, uncertain: int, confidence: float) -> Estimate:
    error = float(influence.std(ddof=1) / np.sqrt(len(influence)))
    reach = norm.ppf(0.5 + confidence / 2) * error
    total = weight.sum()
    return Estimate(
        value=float(value),
        standard_error=error,
        low=float(value - reach),
        high=float(value + reach),
        effective_rows=float(total**2 / (weight**2).sum()) if total else 0.0,
        largest_weight_share=float(weight.max() / total) if total else 1.0,
        uncertain_rows=uncertain,
    )


def inverse_probability(
    outcome: ArrayLike, seen: ArrayLike, logged: ArrayLike, target: ArrayLike, confidence: float = 0.95
) -> Estimate:
    """Estimate the target policy's value per inspection by inverse probability weighting (IPS).

    Unbiased, but a few rows carry most of it: its interval covers the truth 85 to 92 times in a hundred instead of 95.
    Use the other two; this one is there to compare.

    Args:
        outcome: hit (0/1) or recovered duty; anything where not seen, shape (n,).
        seen: inspected, shape (n,).
        logged: probability with which each row was to be inspected, shape (n,).
        target: probability with which the target policy would inspect it, shape (n,).
        confidence: of the interval.

    Raises:
        NoSupportError: over 1 % of the target's choices had probability zero.
    """
    target, logged, seen = _checked(target, logged, seen)
    weight = np.where(seen, target / np.where(logged > 0, logged, np.inf), 0.0)
    gained = weight * np.where(seen, outcome, 0.0)
    value = gained.sum() / target.sum()
    influence = (gained - value * target) / target.mean()
    uncertain = int((seen & (target > 0) & (logged < 1)).sum())
    return _estimate(value, influence, weight, uncertain, confidence)


def self_normalised(
    outcome: ArrayLike, seen: ArrayLike, logged: ArrayLike, target: ArrayLike, confidence: float = 0.95
) -> Estimate:
    """Estimate as :func:`inverse_probability`, divided by the weights drawn instead of the ones expected (SNIPS)."""
    target, logged, seen = _checked(target, logged, seen)
    weight = np.where(seen, target / np.where(logged > 0, logged, np.inf), 0.0)
    if not weight.sum():
        raise NoSupportError("No inspected declaration is one the target policy would choose: the log cannot answer.")
    value = (weight * np.where(seen, outcome, 0.0)).sum() / weight.sum()
    influence = weight * (np.where(seen, outcome, 0.0) - value) / weight.mean()
    uncertain = int((seen & (target > 0) & (logged < 1)).sum())
    return _estimate(value, influence, weight, uncertain, confidence)


def doubly_robust(
    outcome: ArrayLike,
    seen: ArrayLike,
    logged: ArrayLike,
    target: ArrayLike,
    predicted: ArrayLike,
    confidence: float = 0.95,
) -> Estimate:
    """Estimate with a model's prediction for every row, corrected by the weighted errors on inspected rows (DR).

    Args:
        outcome: as in :func:`inverse_probability`.
        seen: as there.
        logged: as there.
        target: as there.
        predicted: expected outcome by a model that did not learn from the row (cross-fitted), shape (n,).
        confidence: of the interval.
    """
    target, logged, seen = _checked(target, logged, seen)
    predicted = np.asarray(predicted, dtype=float)
    weight = np.where(seen, target / np.where(logged > 0, logged, np.inf), 0.0)
    gained = target * predicted + weight * np.where(seen, np.asarray(outcome, dtype=float) - predicted, 0.0)
    value = gained.sum() / target.sum()
    influence = (gained - value * target) / target.mean()
    uncertain = int((seen & (target > 0) & (logged < 1)).sum())
    return _estimate(value, influence, weight, uncertain, confidence)


def naive(outcome: ArrayLike, seen: ArrayLike, target: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Return the plain mean over inspected rows the target would choose: shown beside the others, never instead."""
    chosen = np.asarray(seen, dtype=bool) & (np.asarray(target, dtype=float) > 0)
    found = np.asarray(outcome, dtype=float)[chosen]
    return _estimate(found.mean(), found - found.mean(), np.ones(len(found)), len(found), confidence)


def compare(
    outcome: ArrayLike,
    seen: ArrayLike,
    logged: ArrayLike,
    targets: dict[str, ArrayLike],
    predicted: ArrayLike | None = None,
) -> Sequence[dict[str, Any]]:
    """Return one row per policy with its estimate, best first; doubly robust where predictions are given."""
    rows = []
    for name, target in targets.items():
        if predicted is None:
            found = self_normalised(outcome, seen, logged, target)
        else:
            found = doubly_robust(outcome, seen, logged, target, predicted)
        rows.append({"policy": name, **found.__dict__})
    return sorted(rows, key=lambda row: -row["value"])
