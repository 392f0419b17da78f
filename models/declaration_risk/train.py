"""How declaration_risk is trained and judged."""

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from models.blend import Platt
from models.declaration_risk.features import FEATURES
from models.declaration_risk.model import TUPLE, GatedRiskModel, lookup
from models.metrics import ranking_metrics
from models.training import Recipe, Split, TooFewLabelsError, split_at

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FEWEST_ROWS, FEWEST_VIOLATIONS = 300, 30
HOLDOUT_SHARE, CALIBRATION_SHARE = 0.2, 0.15
# a row chosen with a probability of half a per cent would outweigh two hundred others: capped at twenty
LOWEST_PROBABILITY = 0.05


def inclusion_weight(rows: pd.DataFrame) -> np.ndarray:
    """Return 1 / selection probability, capped at 20 and scaled to mean 1; 1 where the source has no probability."""
    probability = rows["selection_prob"].astype(float).fillna(1.0).clip(LOWEST_PROBABILITY, 1.0)
    weight = (1.0 / probability).to_numpy()
    return weight / weight.mean() if len(weight) else weight


def split(rows: pd.DataFrame, as_of: date) -> Split:
    """Hold out the latest fifth by day of declaration; learn from labels that were known before it began."""
    label = rows["is_violation"].astype(int).to_numpy()
    if len(rows) < FEWEST_ROWS or label.sum() < FEWEST_VIOLATIONS:
        raise TooFewLabelsError(
            f"{len(rows)} inspected declarations with {label.sum()} violations are known, "
            f"{FEWEST_ROWS} with {FEWEST_VIOLATIONS} are needed"
        )
    days = rows["declared_on"]
    cut = days.iloc[int(len(rows) * (1 - HOLDOUT_SHARE))]
    known = pd.to_datetime(rows["label_available_on"]).dt.date
    before = rows.index[(days < cut) & (known < cut)]
    middle = days[before].iloc[int(len(before) * (1 - CALIBRATION_SHARE))] if len(before) else cut
    train = before[(days[before] < middle) & (known[before] < middle)]
    calibration = before[days[before] >= middle]
    holdout = rows.index[days >= cut]
    return split_at(rows, label, (train, calibration, holdout), cut, "labels")


def fit(spark: "SparkSession", parts: Split) -> GatedRiskModel:
    """Train with and without the profile and context columns and keep what does better on the calibration rows.

    Context is worth its noise where parties behave consistently, and only noise where they do not; the rows between
    training and hold-out decide.
    """
    weight = inclusion_weight(parts.train)
    kinds = [parts.notes["columns"]] if "columns" in parts.notes else ["goods and context", "goods"]
    best: list[tuple[float, GatedRiskModel, str]] = []
    for kind in kinds:
        wide = kind != "goods"
        model = GatedRiskModel(FEATURES.numeric if wide else (), FEATURES.categorical if wide else ())
        model.fit(spark, parts.train, parts.train_label, weight)
        # what is left to judge by: goods not seen before, where the generaliser speaks
        auc = ranking_metrics(parts.calibration_label, model.generalise(parts.calibration))["auc"] or 0.0
        best.append((auc, model, kind))
    # the first of equals
    _, model, parts.notes["columns"] = max(best, key=lambda found: found[0])
    if len(parts.calibration):
        # unweighted: selection looks at the same columns, so inspected rows are calibrated for all, with less noise
        model.calibrate(parts.calibration, parts.calibration_label)
    else:
        model.platt = Platt()
    return model


def predict(model: GatedRiskModel, parts: Split) -> np.ndarray:
    """Return the hold-out's scores."""
    return model.predict(parts.holdout)


def baseline(parts: Split) -> np.ndarray:
    """Return what a rule without a model would say: past violation rates of trader and goods, averaged."""
    return parts.holdout[["trader_violation_rate", "goods_violation_rate"]].astype(float).mean(axis=1).to_numpy()


def further(
    spark: "SparkSession", model: GatedRiskModel, parts: Split, rows: pd.DataFrame, as_of: date
) -> dict[str, Any]:
    """Return the hold-out weighted back to all declarations, its random stratum, and seen against unseen goods."""
    score, label = model.predict(parts.holdout), parts.holdout_label
    past = pd.concat([parts.train, parts.calibration])
    past_label = np.concatenate([parts.train_label, parts.calibration_label])
    recalled, seen = lookup(past[list(TUPLE)], past_label, parts.holdout[list(TUPLE)])
    figures = {
        "unseen_goods": ranking_metrics(label[~seen], score[~seen]),
        "seen_goods_recurrence": ranking_metrics(label[seen], score[seen]),
        "lookup_only": ranking_metrics(label, recalled),
    }
    probability = parts.holdout["selection_prob"].astype(float)
    if probability.notna().any():
        weight = inclusion_weight(parts.holdout)
        figures["weighted_to_all_declarations"] = ranking_metrics(label, score, weight)
        chance = (parts.holdout["selected_by"] == "random").to_numpy()
        figures["random_stratum"] = ranking_metrics(label[chance], score[chance])
    return figures


RECIPE = Recipe(
    features=FEATURES,
    primary="auc",
    baseline_name="mean of the smoothed past violation rates of the trader and of HS6 × origin",
    split=split,
    fit=fit,
    predict=predict,
    baseline=baseline,
    further=further,
    # the rows scored daily lie in the hold-out: a scorer that had learned their labels would recite them
    refit=None,
    limits=(
        "It learns from inspected declarations only. Rows are weighted by 1/selection probability (capped at 20); the "
        "random stratum is the only unbiased view of all declarations, and it is small.",
        "The gate between memory and generaliser is in effect a fuzzy match of the goods tuple (HS6, origin, dispatch, "
        "rate, preference, mass, value). Figures on seen goods measure recurrence; `unseen goods` shows what it can do "
        "with new ones.",
        "It names declarations to look at; it proves nothing about a trader.",
    ),
)
