"""Figures of merit of a ranking: how good is the list an officer works from the top down."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score, roc_curve

# inspection budgets in per cent of the declarations
BUDGETS = (1, 2, 5, 10)


def ranking_metrics(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> dict[str, Any]:
    """Return n, base_rate, auc, pr_auc, recall at 1 % false alarms, p_at and r_at (top 1, 2, 5, 10 %).

    Args:
        label: 0/1, shape (n,).
        score: higher = riskier, shape (n,). Ties are cut in input order.
        weight: how many declarations of the population a row stands for; default 1 each.

    Returns:
        ``{"n", "base_rate", "auc", "pr_auc", "p_at": {"1": …}, "r_at": {"1": …}}``; a figure that cannot be computed
        (no rows, one class only) is None.
    """
    label = np.asarray(label, dtype=int)
    score = np.asarray(score, dtype=float)
    weight = np.ones(len(label)) if weight is None else np.asarray(weight, dtype=float)
    positives = float((weight * label).sum())
    both = 0 < label.sum() < len(label)
    figures: dict[str, Any] = {
        "n": len(label),
        "base_rate": positives / float(weight.sum()) if len(label) else None,
        "auc": float(roc_auc_score(label, score, sample_weight=weight)) if both else None,
        "pr_auc": float(average_precision_score(label, score, sample_weight=weight)) if both else None,
        "recall_at_1_false_alarm": None,
        "p_at": {},
        "r_at": {},
    }
    if both:
        false_alarms, recall, _ = roc_curve(label, score, sample_weight=weight, drop_intermediate=False)
        figures["recall_at_1_false_alarm"] = float(recall[false_alarms <= 0.01 + 1e-12].max())
    order = np.argsort(-score, kind="stable")
    reach = np.cumsum(weight[order])
    for budget in BUDGETS:
        inside = order[: max(1, int(np.searchsorted(reach, weight.sum() * budget / 100, side="right")))]
        hits = float((weight * label)[inside].sum())
        figures["p_at"][str(budget)] = hits / float(weight[inside].sum()) if len(inside) else None
        figures["r_at"][str(budget)] = hits / positives if positives else None
    return figures


def calibration_metrics(label: ArrayLike, score: ArrayLike, bins: int = 10) -> dict[str, Any]:
    """Return Brier score, its skill over the constant base rate, expected calibration error and the curve.

    Args:
        label: 0/1, shape (n,).
        score: probabilities, shape (n,).
        bins: equally filled groups the curve is drawn with.
    """
    label = np.asarray(label, dtype=float)
    score = np.asarray(score, dtype=float)
    if not len(label):
        return {"brier": None, "brier_skill": None, "calibration_error": None, "curve": []}
    brier = float(brier_score_loss(label, score))
    constant = float(label.mean() * (1 - label.mean()))
    groups = [g for g in np.array_split(np.argsort(score, kind="stable"), min(bins, len(label))) if len(g)]
    curve = [{"n": len(g), "predicted": float(score[g].mean()), "observed": float(label[g].mean())} for g in groups]
    error = sum(p["n"] * abs(p["predicted"] - p["observed"]) for p in curve) / len(label)
    skill = 1 - brier / constant if constant else None
    return {"brier": brier, "brier_skill": skill, "calibration_error": error, "curve": curve}


def auc_standard_error(positives: int, negatives: int, auc: float = 0.5) -> float:
    """Return the standard error of an AUC (Hanley and McNeil 1982)."""
    if not positives or not negatives:
        return 0.5
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return float(np.sqrt(variance / (positives * negatives)))


def flatten(figures: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Return nested figures as flat names MLflow takes: ``p_at.1`` and so on; lists and None are left out."""
    flat: dict[str, float] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{name}"] = float(value)
    return flat
