"""How enterprise_risk is trained and judged."""

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from models.enterprise_risk.features import FEATURES
from models.enterprise_risk.model import HORIZON, HazardModel, enterprise_months
from models.metrics import ranking_metrics
from models.training import Recipe, Split, TooFewLabelsError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FEWEST_VIOLATIONS = 50
# complete months kept back to judge on; a third of the history when that is short
HOLDOUT_MONTHS = 6
CALIBRATION_MONTHS = 2


def _months_between(start: date, end: date) -> int:
    return (end.year - start.year) * 12 + end.month - start.month


def _until(rows: pd.DataFrame, landmark: date) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return the snapshots before a landmark with what was known of them at the landmark."""
    rows = rows[rows["snapshot_on"] < landmark]
    observed = np.array([_months_between(day, landmark) for day in rows["snapshot_on"]], dtype=int)
    event = rows["months_to_violation"].astype(float).to_numpy()
    return rows, observed, np.where(event <= observed, event, np.nan)


def _happened(rows: pd.DataFrame, horizon: int) -> np.ndarray:
    return (rows["months_to_violation"].astype(float) <= horizon).to_numpy().astype(int)


def split(rows: pd.DataFrame, as_of: date) -> Split:
    """Judge on one snapshot per enterprise, some complete months ago; learn from what was known on that day."""
    snapshots = sorted(rows["snapshot_on"].unique())
    horizon = min(HOLDOUT_MONTHS, len(snapshots) // 3)
    if horizon < 1:
        raise TooFewLabelsError(f"{len(snapshots)} complete months of history are there, 3 are needed")
    landmark = snapshots[-horizon]
    before, observed, event = _until(rows, landmark)
    holdout = rows[rows["snapshot_on"] == landmark]
    label = _happened(holdout, horizon)
    seen = int(np.isfinite(event).sum())
    if seen < FEWEST_VIOLATIONS or not 0 < label.sum() < len(label):
        raise TooFewLabelsError(f"{seen} violations of enterprises are known, {FEWEST_VIOLATIONS} are needed")
    months = enterprise_months(before, observed, event)
    # the latest months before the landmark calibrate, the earlier ones train
    calendar = np.array([_months_between(landmark, day) for day in before["snapshot_on"]])[months["row"]]
    late = (calendar + months["months_ahead"] - 1 >= -CALIBRATION_MONTHS).to_numpy()
    if len(snapshots) - horizon <= CALIBRATION_MONTHS:
        late = np.zeros(len(months), dtype=bool)
    happened = months["happened"].to_numpy()
    return Split(
        months[~late],
        months[late],
        holdout,
        happened[~late],
        happened[late],
        label,
        landmark,
        {"judged over months": horizon, "judged at": landmark.isoformat()},
        {"snapshots": before},
    )


def fit(spark: "SparkSession", parts: Split) -> HazardModel:
    """Train the hazard on enterprise-months and calibrate it on later ones."""
    snapshots = parts.frames["snapshots"]
    model = HazardModel(FEATURES.numeric, FEATURES.categorical)
    model.fit(spark, snapshots, parts.train.assign(happened=parts.train_label))
    if len(parts.calibration):
        model.calibrate(snapshots, parts.calibration.assign(happened=parts.calibration_label))
    return model


def predict(model: HazardModel, parts: Split) -> np.ndarray:
    """Return the hold-out's probabilities over the months it was watched."""
    return model.predict(parts.holdout, parts.notes["judged over months"])


def baseline(parts: Split) -> np.ndarray:
    """Return a points scheme: violations and penalties of the last year, credit rank, and volume to break ties."""
    rows = parts.holdout
    points = 2 * rows["violations_12m"].astype(float) + 2 * rows["penalties_12m"].astype(float)
    points -= rows["rank_level"].astype(float).fillna(0.0)
    volume = rows["declarations_per_month"].astype(float)
    return (points + 0.99 * volume / (1 + volume)).to_numpy()


def further(spark: "SparkSession", model: HazardModel, parts: Split, rows: pd.DataFrame, as_of: date) -> dict[str, Any]:
    """Back-test the full twelve months where history allows: train on what was known a year ago, judge since."""
    snapshots = sorted(rows["snapshot_on"].unique())
    if len(snapshots) < HORIZON + 2:
        return {}
    landmark = snapshots[-HORIZON]
    before, observed, event = _until(rows, landmark)
    holdout = rows[rows["snapshot_on"] == landmark]
    label = _happened(holdout, HORIZON)
    months = enterprise_months(before, observed, event)
    if months["happened"].sum() < FEWEST_VIOLATIONS or not 0 < label.sum() < len(label):
        return {}
    year_ago = HazardModel(FEATURES.numeric, FEATURES.categorical).fit(spark, before, months)
    score = year_ago.predict(holdout)
    return {
        "twelve_months_back_test": ranking_metrics(label, score),
        "twelve_months_expected_share": float(score.mean()),
    }


def refit(spark: "SparkSession", model: HazardModel, rows: pd.DataFrame, as_of: date) -> HazardModel:
    """Train again on every month known today; the calibration found before stays."""
    observed, event = rows["months_observed"].to_numpy(), rows["months_to_violation"].astype(float).to_numpy()
    final = HazardModel(FEATURES.numeric, FEATURES.categorical)
    final.fit(spark, rows, enterprise_months(rows, observed, event))
    final.platt = model.platt
    return final


RECIPE = Recipe(
    features=FEATURES,
    primary="auc",
    baseline_name="points: 2 per finding and per penalty of the last year, minus the credit rank, ties by declarations",
    split=split,
    fit=fit,
    predict=predict,
    baseline=baseline,
    further=further,
    refit=refit,
    limits=(
        "A violation is dated by the day customs learned of it, and customs learns only where it looks: the score is "
        "the chance that one comes to light under today's inspection practice, not that one is committed.",
        "The figures are those of a model that knew only what was known at its landmark, watched for the months named "
        "above; the registered one was then trained on all months known. Twelve months ahead is an extrapolation of "
        "the monthly hazard as far as history is shorter; `twelve months back test` shows it where it can be shown.",
        "Enterprises that leave the register are not treated as a competing exit.",
    ),
)
