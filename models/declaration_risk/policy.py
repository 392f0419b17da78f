"""What other ways to select declarations for inspection would have found, from what the one in force found.

Nothing but the platform's own records is used: the stored probability with which each declaration was to be inspected,
and the outcomes customs knows. The declarations compared are later than anything the champion learned from.
"""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from deltalake import DeltaTable
from mlflow import MlflowClient

from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import Settings
from models import registry
from models.declaration_risk.features import FEATURES
from models.policy_evaluation import NoSupportError, doubly_robust, graded_probabilities, self_normalised

# share of outcomes that must have had the time to become known, before a day's declarations are compared
SETTLED_SHARE = 0.99
FEWEST_OUTCOMES = 30
_LOG = ("source_system", "declared_on", "label_available_on", "selection_prob", "is_violation", "recovered_duty")
_PAST_RATES = ("trader_violation_rate", "goods_violation_rate")


def compare_policies(
    settings: Settings, client: MlflowClient, as_of: date, budget: float | None = None
) -> dict[str, Any]:
    """Estimate hit rate and recovered duty per inspection of several selection policies with their intervals.

    Args:
        settings: where the features are.
        client: connected MLflow client.
        as_of: built day of the features; outcomes known on or after it are not there.
        budget: share of declarations to inspect; default what the policy in force spends.

    Returns:
        ``as_of``, ``first_day``, ``last_day``, ``declarations``, ``inspected``, ``budget``, ``model_version`` and
        ``policies``: name, what it selects, ``hit_rate`` and ``duty`` (value, low, high) and ``effective_rows``, or
        ``no_answer``.

    Raises:
        BadArgumentsError: no champion, too few settled outcomes, or a budget that cannot be spent.
    """
    champion = registry.champion(client, FEATURES.name)
    if champion is None:
        raise BadArgumentsError("There is no champion to compare with: run `customs models train declaration_risk`.")
    scorer = registry.load_scorer(FEATURES.name)
    columns = tuple(dict.fromkeys((*_LOG, *_PAST_RATES, *scorer.columns())))
    rows = _settled(settings, as_of, date.fromisoformat(champion.tags["trained_until"]), columns, champion.tags)
    logged = rows["selection_prob"].astype(float).to_numpy()
    seen = rows["is_violation"].notna().to_numpy()
    if seen.sum() < FEWEST_OUTCOMES:
        raise BadArgumentsError(
            f"{seen.sum()} outcomes are known of declarations the champion has not learned from, {FEWEST_OUTCOMES} are "
            "needed: ask again when more inspections have been reported."
        )
    spent = float(logged.mean()) if budget is None else budget
    score = scorer.predict(rows)
    rates = rows[list(_PAST_RATES)].astype(float).mean(axis=1).fillna(0.0).to_numpy()
    try:
        targets = {
            "in force": (logged if budget is None else logged * spent / logged.mean(), "as it was selected"),
            "random": (np.full(len(rows), spent), "every declaration with the same chance"),
            "past rates, graded": (graded_probabilities(rates, spent), "the more, the worse trader and goods were"),
            "model, graded": (graded_probabilities(score, spent), "the more, the higher the champion's score"),
            "model, top only": (_top(score, spent), "the highest scores and nothing else"),
        }
    except ValueError as error:
        raise BadArgumentsError(f"{error}") from error
    hit = rows["is_violation"].astype(float).to_numpy()
    duty = rows["recovered_duty"].astype(float).fillna(0.0).to_numpy()
    policies = [
        _estimated(name, what, target, logged, seen, hit, duty, score) for name, (target, what) in targets.items()
    ]
    return {
        "as_of": as_of.isoformat(),
        "first_day": str(rows["declared_on"].min()),
        "last_day": str(rows["declared_on"].max()),
        "declarations": len(rows),
        "inspected": int(seen.sum()),
        "budget": spent,
        "model_version": champion.version,
        "policies": policies,
    }


def _settled(
    settings: Settings, as_of: date, after: date, columns: tuple[str, ...], tags: dict[str, str]
) -> pd.DataFrame:
    """Return declarations later than what the champion learned from, whose outcomes have had time to become known."""
    table = DeltaTable(str(settings.features(FEATURES.name))).to_pyarrow_dataset([("as_of", "=", as_of.isoformat())])
    there = set(table.schema.names)
    rows = table.to_table(columns=[c for c in columns if c in there]).to_pandas()
    if source := tags.get("source_system"):
        rows = rows[rows["source_system"] == source]
    declared = pd.to_datetime(rows["declared_on"])
    delay = (pd.to_datetime(rows["label_available_on"]) - declared).dt.days
    # measured on outcomes of declarations old enough to have had every chance, or recent slow ones would be missing
    delay = delay[declared < declared.min() + (pd.Timestamp(as_of) - declared.min()) / 2].dropna()
    settled = as_of - timedelta(days=int(np.ceil(delay.quantile(SETTLED_SHARE))) + 1 if len(delay) else 0)
    rows = rows[(declared >= pd.Timestamp(after)) & (declared < pd.Timestamp(settled))]
    return rows[rows["selection_prob"].notna()].reset_index(drop=True)


def _top(score: np.ndarray, budget: float) -> np.ndarray:
    chosen = np.zeros(len(score))
    chosen[np.argsort(-score, kind="stable")[: max(round(budget * len(score)), 1)]] = 1.0
    return chosen


def _estimated(
    name: str,
    what: str,
    target: np.ndarray,
    logged: np.ndarray,
    seen: np.ndarray,
    hit: np.ndarray,
    duty: np.ndarray,
    predicted: np.ndarray,
) -> dict[str, Any]:
    row: dict[str, Any] = {"policy": name, "selects": what}
    try:
        found = doubly_robust(hit, seen, logged, target, predicted)
        recovered = self_normalised(duty, seen, logged, target)
    except NoSupportError as reason:
        return {**row, "no_answer": str(reason)}
    return {
        **row,
        "hit_rate": {"value": found.value, "low": max(found.low, 0.0), "high": min(found.high, 1.0)},
        "duty": {"value": recovered.value, "low": max(recovered.low, 0.0), "high": recovered.high},
        "effective_rows": found.effective_rows,
    }
