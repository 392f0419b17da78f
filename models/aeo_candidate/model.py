"""Chance of passing an AEO validation."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from models.blend import Blend, Encoder, Platt
from models.enterprise_risk.model import strongest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# a few hundred validations carry shallow trees and a line, no more
PARAMETERS: dict[str, Any] = {"n_estimators": 150, "max_depth": 2, "learning_rate": 0.04, "min_child_weight": 3}
LINE_STRENGTH = 0.1


@dataclass
class CandidateModel:
    """Blend of shallow trees and a logistic on the enterprise's state."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    encoder: Encoder = field(init=False, repr=False)
    blend: Blend = field(init=False, repr=False)
    platt: Platt = field(default_factory=Platt)

    def columns(self) -> dict[str, str]:
        """Return the columns a row to score may have, with their MLflow types."""
        return dict.fromkeys(self.categorical, "string") | dict.fromkeys(self.numeric, "double")

    def fit(self, spark: "SparkSession", frame: pd.DataFrame, label: np.ndarray) -> "CandidateModel":
        """Train on validations; label 1 = passed."""
        self.encoder = Encoder(self.numeric, self.categorical)
        matrix = self.encoder.fit_transform(frame, label)
        self.blend = Blend.fit(spark, matrix, label, parameters=PARAMETERS, line_strength=LINE_STRENGTH)
        return self

    def calibrate(self, frame: pd.DataFrame, label: np.ndarray) -> "CandidateModel":
        """Fit the calibration on validations later than those trained on."""
        self.platt = Platt.fit(self.blend.logits(self.encoder.transform(frame)), label)
        return self

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the probability of passing, shape (n,)."""
        return self.platt.probability(self.blend.logits(self.encoder.transform(frame))) if len(frame) else np.empty(0)

    def explain(self, frame: pd.DataFrame, top: int = 5) -> pd.DataFrame:
        """Return score and reasons (JSON) of every row."""
        reasons = strongest(self.blend, self.encoder.transform(frame), top)
        return pd.DataFrame({"score": self.predict(frame), "reasons": reasons}, index=frame.index)
