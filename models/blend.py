"""The learner all three models share: boosted trees trained on Spark and a logistic, averaged in logits."""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xgboost
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler, TargetEncoder

from infra.runtime.settings import get_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SEED = 20260101
# beyond these a probability says nothing more about the order and only dominates the average
FLOOR, CEILING = 0.001, 0.999
SMOOTHING = 10.0
_FOLDS = StratifiedKFold(5, shuffle=True, random_state=SEED)

TREES: dict[str, Any] = {
    "n_estimators": 400,
    "max_depth": 4,
    "learning_rate": 0.02,
    "min_child_weight": 15,
    "colsample_bytree": 0.3,
    "subsample": 0.8,
    "reg_lambda": 10,
}


def clipped_logit(probability: np.ndarray) -> np.ndarray:
    """Return the logit of probabilities held inside [0.001, 0.999]."""
    return logit(np.clip(probability, FLOOR, CEILING))


def fit_trees(
    spark: "SparkSession", matrix: pd.DataFrame, label: np.ndarray, weight: np.ndarray, parameters: dict[str, Any]
) -> xgboost.Booster:
    """Train boosted trees through ``xgboost.spark`` on ``settings.spark_workers`` workers.

    Args:
        spark: the running session.
        matrix: numeric columns, NaN = missing, shape (n, k).
        label: 0/1, shape (n,).
        weight: row weights, shape (n,).
        parameters: XGBoost parameters.

    Returns:
        The trained booster; its feature names are the matrix's columns.
    """
    from xgboost.spark import SparkXGBClassifier

    workers = get_settings().spark_workers
    rows = matrix.astype("float32")
    # Spark treats a dot in a column name as a path
    rows.columns = [f"f{i}" for i in range(rows.shape[1])]
    features = list(rows.columns)
    rows = rows.assign(label=label.astype("float32"), weight=weight.astype("float32"), row=np.arange(len(rows)))
    learner = SparkXGBClassifier(
        features_col=features,
        label_col="label",
        weight_col="weight",
        num_workers=workers,
        random_state=SEED,
        tree_method="hist",
        missing=float("nan"),
        verbose=False,
        **parameters,
    )
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    # rows in their own order on every worker, so that the same rows give the same trees
    ordered = spark.createDataFrame(rows).repartitionByRange(workers, "row").sortWithinPartitions("row")
    booster = learner.fit(ordered).get_booster()
    booster.feature_names = list(matrix.columns)
    return booster


@dataclass
class Encoder:
    """Numbers from columns: numeric as they are, categories as smoothed past rate of the label and as row count.

    Columns that hold nothing in the training rows are dropped, so one declaration of columns serves every source.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    _encoder: TargetEncoder | None = field(default=None, repr=False)
    _counts: dict[str, pd.Series] = field(default_factory=dict, repr=False)

    def fit_transform(self, frame: pd.DataFrame, label: np.ndarray) -> pd.DataFrame:
        """Learn the encodings and return the matrix, each row encoded by the other folds' labels only."""
        self.numeric = tuple(c for c in self.numeric if c in frame and frame[c].notna().any())
        self.categorical = tuple(c for c in self.categorical if c in frame and frame[c].nunique() > 1)
        encoded = np.empty((len(frame), 0))
        if self.categorical:
            self._encoder = TargetEncoder(target_type="binary", smooth=SMOOTHING, cv=_FOLDS)
            encoded = self._encoder.fit_transform(self._texts(frame), label)
            self._counts = {c: self._texts(frame)[c].value_counts() for c in self.categorical}
        return self._matrix(frame, encoded)

    def transform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the matrix of new rows; categories never seen get the overall rate."""
        encoded = self._encoder.transform(self._texts(frame)) if self._encoder else np.empty((len(frame), 0))
        return self._matrix(frame, encoded)

    def _texts(self, frame: pd.DataFrame) -> pd.DataFrame:
        columns = {c: frame[c] if c in frame else pd.Series(None, index=frame.index) for c in self.categorical}
        return pd.DataFrame({c: v.astype("object").where(v.notna(), "").astype(str) for c, v in columns.items()})

    def _matrix(self, frame: pd.DataFrame, encoded: np.ndarray) -> pd.DataFrame:
        texts = self._texts(frame)
        return pd.DataFrame(
            {c: frame[c].astype(float).to_numpy() if c in frame else np.nan for c in self.numeric}
            | {f"rate of {c}": encoded[:, i] for i, c in enumerate(self.categorical)}
            | {f"rows of {c}": np.log1p(texts[c].map(n).fillna(0).to_numpy()) for c, n in self._counts.items()},
            index=frame.index,
        )


@dataclass
class Blend:
    """Boosted trees and a logistic on the same matrix, averaged in logits with equal weight."""

    booster: xgboost.Booster
    logistic: LogisticRegression
    scaler: StandardScaler
    medians: pd.Series

    @classmethod
    def fit(
        cls,
        spark: "SparkSession",
        matrix: pd.DataFrame,
        label: np.ndarray,
        weight: np.ndarray | None = None,
        parameters: dict[str, Any] | None = None,
        line_strength: float = 0.01,
    ) -> "Blend":
        """Train both learners; see :func:`fit_trees` for the shapes, ``line_strength`` is the logistic's C."""
        weight = np.ones(len(label)) if weight is None else weight
        booster = fit_trees(spark, matrix, label, weight, TREES | (parameters or {}))
        medians = matrix.median().fillna(0.0)
        scaler = StandardScaler()
        scaled = scaler.fit_transform(matrix.fillna(medians))
        logistic = LogisticRegression(C=line_strength, max_iter=500).fit(scaled, label, sample_weight=weight)
        return cls(booster, logistic, scaler, medians)

    def logits(self, matrix: pd.DataFrame) -> np.ndarray:
        """Return the averaged logits of the rows."""
        trees = self.booster.inplace_predict(matrix.to_numpy(dtype="float32"), validate_features=False)
        line = self.logistic.predict_proba(self.scaler.transform(matrix.fillna(self.medians)))[:, 1]
        return (clipped_logit(trees) + clipped_logit(line)) / 2

    def contributions(self, matrix: pd.DataFrame) -> np.ndarray:
        """Return each feature's part in the row's logit, shape (n, k): SHAP of the trees and of the line, averaged."""
        rows = xgboost.DMatrix(matrix.to_numpy(dtype="float32"), feature_names=list(matrix.columns))
        trees = self.booster.predict(rows, pred_contribs=True)[:, :-1]
        line = self.scaler.transform(matrix.fillna(self.medians)) * self.logistic.coef_[0]
        return (trees + line) / 2


@dataclass
class Platt:
    """Calibration by a line in the logit, fitted on rows the model has not seen; it never changes the order."""

    slope: float = 1.0
    shift: float = 0.0

    @classmethod
    def fit(cls, logits: np.ndarray, label: np.ndarray, weight: np.ndarray | None = None) -> "Platt":
        """Fit the line; with one class only, or a line that would turn the order round, nothing is changed."""
        if not 0 < label.sum() < len(label):
            return cls()
        line = LogisticRegression(C=1e6).fit(logits.reshape(-1, 1), label, sample_weight=weight)
        slope = float(line.coef_[0, 0])
        return cls(slope, float(line.intercept_[0])) if slope > 0 else cls()

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities."""
        return expit(self.slope * logits + self.shift)
