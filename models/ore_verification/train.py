"""How ore_verification is trained and judged."""

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from models.metrics import ranking_metrics
from models.ore_verification.features import FEATURES
from models.ore_verification.model import ElementLimits, OreModel
from models.training import Recipe, Split, TooFewLabelsError, split_at

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FEWEST_ROWS, FEWEST_OF_EACH = 300, 40
HOLDOUT_SHARE, CALIBRATION_SHARE = 0.35, 0.2
MOST_WEIGHT = 20.0


def inclusion_weight(rows: pd.DataFrame) -> np.ndarray:
    """Return how many wagons each sampled one stands for: 1 / probability of being sampled, capped."""
    chance = rows["selection_prob"].astype(float).fillna(1.0).to_numpy()
    return np.minimum(1 / np.maximum(chance, 1e-6), MOST_WEIGHT)


def split(rows: pd.DataFrame, as_of: date) -> Split:
    """Hold out the latest trains; learn from results known before the first of them was read.

    The wagons of a train are alike, so a train is never on both sides.
    """
    label = rows[FEATURES.label].astype(int).to_numpy()
    if len(rows) < FEWEST_ROWS or min(label.sum(), len(label) - label.sum()) < FEWEST_OF_EACH:
        raise TooFewLabelsError(
            f"{len(rows)} wagons have a laboratory result ({label.sum()} not as declared), {FEWEST_ROWS} with "
            f"{FEWEST_OF_EACH} of each are needed"
        )
    first = rows.groupby("train_id")["read_on"].transform("min")
    known = pd.to_datetime(rows["known_on"]).dt.date
    days = np.sort(rows.assign(first=first).drop_duplicates("train_id")["first"].to_numpy())
    cut = days[int(len(days) * (1 - HOLDOUT_SHARE))]
    before = days[days < cut]
    middle = before[int(len(before) * (1 - CALIBRATION_SHARE))] if len(before) else cut
    usable = (first < cut) & (known < cut)
    train = rows.index[usable & (first < middle)]
    calibration, holdout = rows.index[usable & (first >= middle)], rows.index[first >= cut]
    return split_at(
        rows,
        label,
        (train, calibration, holdout),
        cut,
        "laboratory results",
        {
            "trains to train / calibrate / judge": " / ".join(
                str(rows.loc[part, "train_id"].nunique()) for part in (train, calibration, holdout)
            )
        },
    )


def fit(spark: "SparkSession | None", parts: Split) -> OreModel:
    """Train and calibrate."""
    waste = parts.train["is_solid_waste"].astype(float).fillna(0).to_numpy() * parts.train_label
    model = OreModel().fit(parts.train, parts.train_label, waste, inclusion_weight(parts.train))
    if len(parts.calibration):
        model.calibrate(parts.calibration, parts.calibration_label, inclusion_weight(parts.calibration))
    return model


def predict(model: OreModel, parts: Split) -> np.ndarray:
    """Return the hold-out's scores."""
    return model.predict(parts.holdout)


def baseline(parts: Split) -> np.ndarray:
    """Return what per-element thresholds say of the hold-out."""
    return ElementLimits.fit(parts.train[parts.train_label == 0]).excess(parts.holdout)


def further(
    spark: "SparkSession | None", model: OreModel, parts: Split, rows: pd.DataFrame, as_of: date
) -> dict[str, Any]:
    """Return the hold-out weighted back to all wagons, its random samples, and solid waste alone."""
    score, label = model.predict(parts.holdout), parts.holdout_label
    limits = baseline(parts)
    weight = inclusion_weight(parts.holdout)
    chance = (parts.holdout["selected_by"] == "random").to_numpy()
    waste = parts.holdout["is_solid_waste"].astype(float).fillna(0).to_numpy().astype(int)
    return {
        "weighted_to_all_wagons": ranking_metrics(label, score, weight),
        "baseline_weighted_to_all_wagons": ranking_metrics(label, limits, weight),
        "random_samples": ranking_metrics(label[chance], score[chance]),
        "solid_waste_alone": ranking_metrics(waste, model.explain(parts.holdout)["waste_score"].to_numpy()),
    }


RECIPE = Recipe(
    features=FEATURES,
    primary="auc",
    baseline_name="per-element thresholds: largest distance of a single element, or of the iron from its declaration, "
    "in robust standard deviations of clean wagons of the declared mineral",
    split=split,
    fit=fit,
    predict=predict,
    baseline=baseline,
    further=further,
    # the wagons scored lie in the hold-out: a scorer that had learned their results would recite them
    refit=None,
    limits=(
        "It learns from sampled wagons. Those an instrument finds abnormal are sampled more often; rows are weighted "
        "by 1/selection probability, and the random samples are the only unbiased view of all wagons.",
        "Wagons of a train are alike: the hold-out counts some thousand wagons of few trains, so figures move by "
        "several hundredths from one period to the next.",
        "LIBS cannot see ferrous oxide, so magnetite and hematite of equal iron are told apart by the surface only.",
        "It names wagons to sample; the laboratory decides.",
    ),
    on_spark=False,
)
