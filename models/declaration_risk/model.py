"""Memory, generaliser and the gate between them.

Declarations repeat: the same goods on the same route at the same price come back, and what was found last time is
the best answer. The memory (deep extra-trees on the fields of the goods, all rows) gives it. On goods never seen a
memory is badly over-confident, so a generaliser (one row per distinct goods tuple, shallow learners) speaks there.
The gate asks how near the nearest known tuple lies; its width is so small that it is in effect a fuzzy tuple match.
"""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier

from models.blend import SEED, Blend, Encoder, Platt, clipped_logit

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# the goods tuple: what is declared, from where, at which rate, how much of it, at which price
TUPLE = (
    "hs6_code",
    "origin_country_code",
    "dispatch_country_code",
    "duty_rate_pct",
    "preference_code",
    "net_mass_kg",
    "customs_value",
)
_TEXTS = ("hs6_code", "origin_country_code", "dispatch_country_code", "preference_code")
_NUMBERS = ("duty_rate_pct", "net_mass_kg", "customs_value")
# the gate compares tuples that share these and looks at the distance in the numbers
_CORE = ("hs6_code", "origin_country_code", "dispatch_country_code", "preference_code")
GATE_WIDTH = 0.01
MEMORY_TREES = 60
SEEN_BEFORE, NEW_PATTERN = "seen_before", "new_pattern"

_GOODS = ("ln_mass", "ln_value", "ln_unit_price", "duty_rate_pct", "ln_duty", "origin_is_dispatch")
_SINGLE = ("hs2", "hs4", "hs6_code", "origin_country_code", "dispatch_country_code", "preference_code")
_CROSSED = (
    ("origin_country_code", "dispatch_country_code"),
    ("rate", "preference_code"),
    ("hs6_code", "price_band"),
    ("hs2", "origin_country_code"),
    ("hs4", "origin_country_code"),
    ("hs6_code", "origin_country_code"),
    ("hs2", "dispatch_country_code"),
    ("hs2", "preference_code"),
    ("hs4", "preference_code"),
    ("origin_country_code", "preference_code"),
    ("hs2", "origin_country_code", "dispatch_country_code"),
    ("hs4", "dispatch_country_code"),
    ("hs6_code", "preference_code"),
    ("hs2", "rate", "preference_code"),
    ("origin_country_code", "dispatch_country_code", "preference_code"),
    ("hs6_code", "origin_country_code", "dispatch_country_code", "rate", "preference_code"),
)
_MEDIAN_KEYS = (
    "hs6_code",
    "hs4",
    "hs6_code x origin_country_code",
    "hs6_code x origin_country_code x dispatch_country_code x rate x preference_code",
)


def goods_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the goods' own columns: cleaned tuple, logarithms, headings and crossed categories.

    Args:
        frame: rows with the columns of ``TUPLE``; what is missing counts as zero or empty.
    """
    goods = pd.DataFrame(index=frame.index)
    unknown = pd.Series(None, index=frame.index, dtype="object")
    for column in _TEXTS:
        text = frame.get(column, unknown).astype("object")
        goods[column] = text.where(text.notna(), "").astype(str)
    for column in _NUMBERS:
        goods[column] = pd.to_numeric(frame.get(column, unknown), errors="coerce").astype(float).fillna(0.0)
    mass, value, rate = (goods[c] for c in ("net_mass_kg", "customs_value", "duty_rate_pct"))
    goods["hs4"], goods["hs2"] = goods["hs6_code"].str[:4], goods["hs6_code"].str[:2]
    goods["ln_mass"], goods["ln_value"] = np.log1p(mass), np.log1p(value)
    goods["ln_unit_price"] = np.log(np.maximum(value, 1.0) / np.maximum(mass, 0.01))
    goods["ln_duty"] = np.log1p(value * rate / 100)
    goods["origin_is_dispatch"] = (goods["origin_country_code"] == goods["dispatch_country_code"]).astype(float)
    goods["rate"] = rate.round(4).astype(str)
    # a tenth in the logarithm: the unit price tells national tariff lines inside one HS6 apart
    goods["price_band"] = (goods["ln_unit_price"] / 0.1).round().astype(int).astype(str)
    crossed = {" x ".join(c): goods[c[0]].str.cat([goods[o] for o in c[1:]], sep="|") for c in _CROSSED}
    return pd.concat([goods, pd.DataFrame(crossed, index=frame.index)], axis=1)


def tuple_key(goods: pd.DataFrame) -> pd.Series:
    """Return one text per row that is equal exactly for equal goods tuples."""
    parts = [goods[c] if c in _TEXTS else goods[c].map("{:.4f}".format) for c in TUPLE]
    return parts[0].str.cat(parts[1:], sep="|")


@dataclass
class Deviations:
    """How far a row lies from its kind: price, mass and rate against medians and maxima of the training tuples."""

    prices: dict[str, pd.Series] = field(default_factory=dict)
    masses: pd.Series | None = None
    rates: pd.Series | None = None

    def fit(self, goods: pd.DataFrame) -> "Deviations":
        """Learn medians of ln price per kg by four keys, of ln mass by HS4, and the highest rate by HS6."""
        self.prices = {k: goods.groupby(k)["ln_unit_price"].median() for k in _MEDIAN_KEYS}
        self.masses = goods.groupby("hs4")["ln_mass"].median()
        self.rates = goods.groupby("hs6_code")["duty_rate_pct"].max()
        return self

    def transform(self, goods: pd.DataFrame) -> pd.DataFrame:
        """Return the deviations; NaN where the kind was never seen."""
        columns = {f"price against {k}": goods["ln_unit_price"] - goods[k].map(v) for k, v in self.prices.items()}
        columns["mass against hs4"] = goods["ln_mass"] - goods["hs4"].map(self.masses)
        columns["rate below highest of hs6"] = goods["hs6_code"].map(self.rates) - goods["duty_rate_pct"]
        return pd.DataFrame(columns, index=goods.index)


@dataclass
class Memory:
    """Deep extra-trees on the raw fields of the tuple, every row, no key: answers what came before."""

    codes: dict[str, dict[str, int]] = field(default_factory=dict)
    forest: ExtraTreesClassifier = field(init=False, repr=False)

    def fit(self, goods: pd.DataFrame, label: np.ndarray, weight: np.ndarray) -> "Memory":
        """Train on all rows."""
        columns = ("hs6_code", "hs4", "hs2", "origin_country_code", "dispatch_country_code", "preference_code")
        self.codes = {c: {v: i for i, v in enumerate(sorted(goods[c].unique()))} for c in columns}
        self.forest = ExtraTreesClassifier(
            MEMORY_TREES, min_samples_leaf=1, max_features=0.5, n_jobs=2, random_state=SEED
        ).fit(self._matrix(goods), label, sample_weight=weight)
        # scoring runs inside Spark tasks, one thread each
        self.forest.n_jobs = 1
        return self

    def probability(self, goods: pd.DataFrame) -> np.ndarray:
        """Return the share of violations the memory recalls."""
        chances = self.forest.predict_proba(self._matrix(goods))
        return chances[:, list(self.forest.classes_).index(1)] if 1 in self.forest.classes_ else np.zeros(len(goods))

    def _matrix(self, goods: pd.DataFrame) -> np.ndarray:
        coded = [goods[c].map(codes).fillna(-1).to_numpy() for c, codes in self.codes.items()]
        numbers = [goods[c].to_numpy() for c in ("duty_rate_pct", "ln_mass", "ln_value", "ln_unit_price")]
        return np.column_stack(coded + numbers).astype("float32")


@dataclass
class Gate:
    """Distance to the nearest training tuple, and what was found there."""

    known: pd.DataFrame = field(default_factory=pd.DataFrame)

    def fit(self, goods: pd.DataFrame, label: np.ndarray) -> "Gate":
        """Keep each distinct tuple with its number of rows and of violations."""
        rows = goods[[*_CORE, "duty_rate_pct", "ln_mass", "ln_value"]].assign(rows=1, hits=label)
        keys = [*_CORE, "duty_rate_pct", "ln_mass", "ln_value"]
        self.known = rows.groupby(keys, sort=False, as_index=False)[["rows", "hits"]].sum()
        return self

    def nearest(self, goods: pd.DataFrame) -> pd.DataFrame:
        """Return distance, rows and hits of the nearest known tuple that shares HS6, route and preference.

        Any other mismatch costs at least 0.7 in the measured distance, where the gate is shut, so such tuples need
        not be looked at. Distance = 3·|Δ ln mass| + 3·|Δ ln value| + |Δ rate|/5; no partner = 9.
        """
        query = goods[[*_CORE, "duty_rate_pct", "ln_mass", "ln_value"]].reset_index(drop=True)
        query["row"] = query.index
        pairs = query.merge(self.known, on=list(_CORE), suffixes=("", "_known"))
        pairs["distance"] = (
            3 * (pairs["ln_mass"] - pairs["ln_mass_known"]).abs()
            + 3 * (pairs["ln_value"] - pairs["ln_value_known"]).abs()
            + (pairs["duty_rate_pct"] - pairs["duty_rate_pct_known"]).abs() / 5
        )
        best = pairs.sort_values(["row", "distance"], kind="stable").drop_duplicates("row").set_index("row")
        best = best[["distance", "rows", "hits"]].reindex(query.index)
        return best.fillna({"distance": 9.0, "rows": 0, "hits": 0}).set_index(goods.index)


@dataclass
class GatedRiskModel:
    """Probability that an inspection finds a violation.

    Attributes:
        numeric: further numeric columns the generaliser may use (profiles of trader, declarant, goods and route).
        categorical: further categories it may use. Columns the training rows do not have are simply not used.
    """

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    gate: Gate = field(default_factory=Gate)
    deviations: Deviations = field(default_factory=Deviations)
    encoder: Encoder = field(init=False, repr=False)
    blend: Blend = field(init=False, repr=False)
    platt: Platt = field(default_factory=Platt)
    n_tuples: int = 0

    def columns(self) -> dict[str, str]:
        """Return the columns a row to score may have, with their MLflow types."""
        numeric = dict.fromkeys((*_NUMBERS, *self.numeric), "double")
        return dict.fromkeys((*_TEXTS, *self.categorical), "string") | numeric

    def fit(
        self, spark: "SparkSession", frame: pd.DataFrame, label: np.ndarray, weight: np.ndarray | None = None
    ) -> "GatedRiskModel":
        """Train memory, gate and generaliser.

        Args:
            spark: running session (the generaliser trains through ``xgboost.spark``).
            frame: labelled rows in order of time, with the columns of ``TUPLE`` and any of ``numeric``/``categorical``.
            label: 0/1, shape (n,).
            weight: row weights (inverse probability of having been selected), shape (n,).
        """
        frame = frame.reset_index(drop=True)
        weight = np.ones(len(frame)) if weight is None else np.asarray(weight, dtype=float)
        label = np.asarray(label, dtype=int)
        goods = goods_columns(frame)
        self.memory.fit(goods, label, weight)
        self.gate.fit(goods, label)
        # one row per tuple, majority label: repeated goods must not teach the generaliser by heart
        groups = tuple_key(goods).to_numpy()
        share = pd.Series(label).groupby(groups, sort=False).transform("mean").to_numpy()
        first = ~pd.Series(groups).duplicated().to_numpy()
        distinct, majority = goods[first], (share[first] >= 0.5).astype(int)
        self.n_tuples = len(distinct)
        self.deviations.fit(distinct)
        self.encoder = Encoder(
            numeric=(*_GOODS, *self.deviations.transform(distinct.head(1)).columns, *self.numeric),
            categorical=(*_SINGLE, *(" x ".join(c) for c in _CROSSED), *self.categorical),
        )
        matrix = self.encoder.fit_transform(self._wide(frame[first], distinct), majority)
        self.blend = Blend.fit(spark, matrix, majority, weight[first], self.parameters)
        return self

    def calibrate(self, frame: pd.DataFrame, label: np.ndarray, weight: np.ndarray | None = None) -> "GatedRiskModel":
        """Fit the calibration on rows later than the training rows."""
        self.platt = Platt.fit(self._logits(frame)[0], np.asarray(label, dtype=int), weight)
        return self

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return calibrated probabilities, shape (n,)."""
        return self.platt.probability(self._logits(frame)[0]) if len(frame) else np.empty(0)

    def generalise(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the generaliser's answer alone."""
        return self.platt.probability(self.blend.logits(self._matrix(frame, goods_columns(frame))))

    def explain(self, frame: pd.DataFrame, top: int = 5) -> pd.DataFrame:
        """Return score, reasons (JSON, strongest contributions first) and evidence (who spoke) of every row."""
        logits, openness, nearest, matrix = self._logits(frame)
        parts = self.blend.contributions(matrix)
        names, values = list(matrix.columns), matrix.to_numpy()
        reasons = []
        for row, strongest in enumerate(np.argsort(-np.abs(parts), axis=1)[:, :top]):
            said = [
                {
                    "feature": names[i],
                    "value": None if np.isnan(values[row, i]) else round(float(values[row, i]), 4),
                    "contribution": round(float(parts[row, i]), 4),
                }
                for i in strongest
            ]
            if openness[row] > 0.5:
                seen, hits = int(nearest["rows"].iloc[row]), int(nearest["hits"].iloc[row])
                lift = round(float(logits[row]), 4)
                said = [
                    {"feature": "same goods inspected before", "value": f"{seen}, {hits} with a violation",
                     "contribution": lift},
                    *said[: top - 1],
                ]  # fmt: skip
            reasons.append(json.dumps(said))
        return pd.DataFrame(
            {
                "score": self.platt.probability(logits),
                "reasons": reasons,
                "evidence": np.where(openness > 0.5, SEEN_BEFORE, NEW_PATTERN),
            },
            index=frame.index,
        )

    def _wide(self, frame: pd.DataFrame, goods: pd.DataFrame) -> pd.DataFrame:
        context = [c for c in (*self.numeric, *self.categorical) if c in frame and c not in goods]
        return pd.concat([goods, self.deviations.transform(goods), frame[context]], axis=1)

    def _matrix(self, frame: pd.DataFrame, goods: pd.DataFrame) -> pd.DataFrame:
        return self.encoder.transform(self._wide(frame, goods))

    def _logits(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, pd.DataFrame, pd.DataFrame]:
        goods = goods_columns(frame)
        matrix = self._matrix(frame, goods)
        nearest = self.gate.nearest(goods)
        openness = np.exp(-nearest["distance"].to_numpy() / GATE_WIDTH)
        general = 1 / (1 + np.exp(-self.blend.logits(matrix)))
        mixed = openness * self.memory.probability(goods) + (1 - openness) * general
        return clipped_logit(mixed), openness, nearest, matrix


def lookup(train: pd.DataFrame, label: np.ndarray, test: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Answer by memory alone: the share of violations among training rows with the same tuple, else the base rate.

    Returns:
        Scores, and which test rows have their tuple in the training rows; both of shape (n,).
    """
    shares = pd.Series(np.asarray(label, dtype=float)).groupby(tuple_key(goods_columns(train)).to_numpy()).mean()
    found = tuple_key(goods_columns(test)).map(shares)
    return found.fillna(float(np.mean(label))).to_numpy(), found.notna().to_numpy()
