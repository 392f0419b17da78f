"""How aeo_candidate is trained and judged."""

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from models.aeo_candidate.features import FEATURES
from models.aeo_candidate.model import CandidateModel
from models.training import Recipe, Split, TooFewLabelsError, split_at

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FEWEST_ROWS, FEWEST_OF_EACH = 100, 20
HOLDOUT_SHARE, CALIBRATION_SHARE = 0.3, 0.2


def split(rows: pd.DataFrame, as_of: date) -> Split:
    """Hold out the latest applications; learn from decisions that were known before the first of them."""
    label = rows["is_passed"].astype(int).to_numpy()
    passed, failed = int(label.sum()), int(len(label) - label.sum())
    if len(rows) < FEWEST_ROWS or min(passed, failed) < FEWEST_OF_EACH:
        raise TooFewLabelsError(
            f"{len(rows)} AEO validations are decided ({passed} passed), {FEWEST_ROWS} with {FEWEST_OF_EACH} of each "
            "outcome are needed"
        )
    applied = rows["snapshot_on"]
    cut = applied.iloc[int(len(rows) * (1 - HOLDOUT_SHARE))]
    decided = pd.to_datetime(rows["decided_on"]).dt.date
    before = rows.index[(applied < cut) & (decided < cut)]
    holdout = rows.index[applied >= cut]
    middle = int(len(before) * (1 - CALIBRATION_SHARE))
    train, calibration = before[:middle], before[middle:]
    return split_at(rows, label, (train, calibration, holdout), cut, "AEO decisions")


def fit(spark: "SparkSession", parts: Split) -> CandidateModel:
    """Train and calibrate."""
    model = CandidateModel(FEATURES.numeric, FEATURES.categorical).fit(spark, parts.train, parts.train_label)
    return model.calibrate(parts.calibration, parts.calibration_label)


def predict(model: CandidateModel, parts: Split) -> np.ndarray:
    """Return the hold-out's scores."""
    return model.predict(parts.holdout)


def baseline(parts: Split) -> np.ndarray:
    """Return a points scheme after the published criteria: compliance, tenure, solvency, rank."""
    rows = parts.holdout

    def column(name: str) -> pd.Series:
        return rows[name].astype(float)

    points = -2 * column("violations_12m") - 2 * column("penalties_12m") - (column("amendment_share").fillna(0) > 0.1)
    points += (column("tenure_days") > 5 * 365).astype(float) + (column("debt_ratio").fillna(1) < 0.7).astype(float)
    return (points + column("rank_level").fillna(0)).to_numpy()


def refit(spark: "SparkSession", model: CandidateModel, rows: pd.DataFrame, as_of: date) -> CandidateModel:
    """Train again on every decision known today; the calibration found before stays."""
    final = CandidateModel(FEATURES.numeric, FEATURES.categorical)
    final.fit(spark, rows, rows["is_passed"].astype(int).to_numpy())
    final.platt = model.platt
    return final


RECIPE = Recipe(
    features=FEATURES,
    primary="auc",
    baseline_name="points: 2 lost per finding and per penalty of the last year, 1 for many amendments; 1 won each for "
    "five years of registration and a debt ratio below 0.7; credit rank added",
    split=split,
    fit=fit,
    predict=predict,
    baseline=baseline,
    further=None,
    refit=refit,
    limits=(
        "Learned from enterprises that applied or were re-checked; those that never applied may differ.",
        "A few hundred decisions: figures on the hold-out have a standard error of several hundredths.",
        "A high score is a reason to offer help towards certification, never a decision on it.",
    ),
)
