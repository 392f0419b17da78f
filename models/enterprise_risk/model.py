"""Chance per month that customs learns of a violation, multiplied up to twelve months.

Eighteen months of history hold few complete twelve-month windows, and leaving the others out (or taking them for clean)
would be wrong both ways. So the unit is the enterprise-month: a snapshot and one month after it. The model gives the
hazard h of that month for an enterprise without a violation since the snapshot; the probability over twelve months is
1 − Π(1 − h).
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from models.blend import SEED, Blend, Encoder, Platt

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HORIZON = 12
MONTHS_AHEAD = "months_ahead"
# enterprise-months trained on at most; of more, every violation and a weighted sample of the months without one
MOST_MONTHS = 120_000
PARAMETERS: dict[str, Any] = {"n_estimators": 250, "max_depth": 4, "learning_rate": 0.03, "min_child_weight": 20}


def enterprise_months(rows: pd.DataFrame, months_observed: np.ndarray, months_to_violation: np.ndarray) -> pd.DataFrame:
    """Return one row per snapshot and month at risk: until the violation, or until observation ends.

    Args:
        rows: snapshots.
        months_observed: complete months seen after each snapshot, shape (n,).
        months_to_violation: month of the first violation, NaN for none, shape (n,).

    Returns:
        ``row`` (position in ``rows``), ``months_ahead`` (1, 2, …), ``happened`` (0/1).
    """
    observed = np.minimum(np.asarray(months_observed, dtype=int), HORIZON)
    event = np.asarray(months_to_violation, dtype=float)
    at_risk = np.where(event <= observed, event, observed).astype(int)
    row = np.repeat(np.arange(len(rows)), at_risk)
    ahead = np.concatenate([np.arange(1, n + 1) for n in at_risk]) if len(at_risk) else np.empty(0, dtype=int)
    return pd.DataFrame({"row": row, MONTHS_AHEAD: ahead, "happened": (event[row] == ahead).astype(int)})


def _sampled(months: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return months to train on and their weights; the weights make up for what was left out."""
    if len(months) <= MOST_MONTHS:
        return months, np.ones(len(months))
    happened = months["happened"].to_numpy() == 1
    clean = np.flatnonzero(~happened)
    kept = min(max(MOST_MONTHS - int(happened.sum()), MOST_MONTHS // 2), len(clean))
    chosen = np.random.default_rng(SEED).choice(clean, kept, replace=False)
    rows = np.sort(np.concatenate([np.flatnonzero(happened), chosen]))
    return months.iloc[rows], np.where(happened[rows], 1.0, len(clean) / kept)


@dataclass
class HazardModel:
    """Discrete-time hazard of an enterprise's violation."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    encoder: Encoder = field(init=False, repr=False)
    blend: Blend = field(init=False, repr=False)
    platt: Platt = field(default_factory=Platt)
    furthest: int = 1

    def columns(self) -> dict[str, str]:
        """Return the columns a row to score may have, with their MLflow types."""
        return dict.fromkeys(self.categorical, "string") | dict.fromkeys(self.numeric, "double")

    def fit(self, spark: "SparkSession", snapshots: pd.DataFrame, months: pd.DataFrame) -> "HazardModel":
        """Train on enterprise-months.

        Args:
            spark: running session.
            snapshots: feature rows.
            months: rows of :func:`enterprise_months` over ``snapshots``.
        """
        months, weight = _sampled(months)
        happened = months["happened"].to_numpy()
        frame = (
            snapshots.iloc[months["row"]]
            .reset_index(drop=True)
            .assign(**{MONTHS_AHEAD: months[MONTHS_AHEAD].to_numpy()})
        )
        self.furthest = int(months[MONTHS_AHEAD].max())
        self.encoder = Encoder((MONTHS_AHEAD, *self.numeric), self.categorical)
        self.blend = Blend.fit(spark, self.encoder.fit_transform(frame, happened), happened, weight, PARAMETERS)
        return self

    def calibrate(self, snapshots: pd.DataFrame, months: pd.DataFrame) -> "HazardModel":
        """Fit the calibration of the hazard on enterprise-months later than those trained on."""
        frame = snapshots.iloc[months["row"]].reset_index(drop=True)
        logits = self._logits(frame, months[MONTHS_AHEAD].to_numpy())
        self.platt = Platt.fit(logits, months["happened"].to_numpy())
        return self

    def predict(self, frame: pd.DataFrame, months: int = HORIZON) -> np.ndarray:
        """Return the probability of a violation within the next ``months``, shape (n,)."""
        clean = np.ones(len(frame))
        for ahead in range(1, months + 1) if len(frame) else ():
            clean *= 1 - self.platt.probability(self._logits(frame, np.full(len(frame), ahead)))
        return 1 - clean

    def explain(self, frame: pd.DataFrame, top: int = 5) -> pd.DataFrame:
        """Return the twelve-month score and reasons (JSON) of every row; reasons are those of the middle month."""
        ahead = np.full(len(frame), min(self.furthest, HORIZON // 2))
        matrix = self._matrix(frame, ahead)
        return pd.DataFrame(
            {"score": self.predict(frame), "reasons": strongest(self.blend, matrix, top, {MONTHS_AHEAD})},
            index=frame.index,
        )

    def _matrix(self, frame: pd.DataFrame, ahead: np.ndarray) -> pd.DataFrame:
        # months further ahead than any seen in training are taken as the furthest seen
        return self.encoder.transform(frame.assign(**{MONTHS_AHEAD: np.minimum(ahead, self.furthest)}))

    def _logits(self, frame: pd.DataFrame, ahead: np.ndarray) -> np.ndarray:
        return self.blend.logits(self._matrix(frame, ahead))


def strongest(blend: Blend, matrix: pd.DataFrame, top: int, leave_out: Collection[str] = ()) -> list[str]:
    """Return per row the strongest contributions as JSON: [{feature, value, contribution}]."""
    parts, values, names = blend.contributions(matrix), matrix.to_numpy(), list(matrix.columns)
    order = np.argsort(-np.abs(parts), axis=1)
    return [
        json.dumps(
            [
                {
                    "feature": names[i],
                    "value": None if np.isnan(values[row, i]) else round(float(values[row, i]), 4),
                    "contribution": round(float(parts[row, i]), 4),
                }
                for i in [i for i in order[row] if names[i] not in leave_out][:top]
            ]
        )
        for row in range(len(matrix))
    ]
