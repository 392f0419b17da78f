"""Declared ore against measured composition.

Contents of one sample add up to a whole, so they are compared as log-ratios (Aitchison): the coordinates of a clean
consignment form an ellipsoid, and what leaves it in a direction no single element shows is still seen. On top of these
distances, of the gaps to the declaration and of the surface, boosted trees and a logistic give one probability.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xgboost
from scipy.linalg import helmert
from sklearn.covariance import EmpiricalCovariance, MinCovDet
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from models.blend import SEED, Blend, Platt
from models.enterprise_risk.model import strongest
from models.ore_verification.features import ELEMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

# LIBS sees less only as "below the limit of detection": half the usual limit stands for it (%)
HALF_LIMIT = dict(
    zip(ELEMENTS, (0.1, 0.1, 0.015, 0.015, 0.025, 0.01, 0.015, 0.01, 0.025, 0.05, 0.04, 0.04, 0.015), strict=True)
)
PARTS = (*ELEMENTS, "rest")
# a robust ellipsoid needs several rows per coordinate
FEWEST_PER_MATERIAL = 8 * len(PARTS)
TREES = {
    "objective": "binary:logistic",
    "max_depth": 3,
    "eta": 0.08,
    "min_child_weight": 3,
    "colsample_bytree": 0.5,
    "subsample": 0.8,
    "lambda": 4,
    "seed": SEED,
    "nthread": 1,
}
ROUNDS, LINE_STRENGTH = 150, 0.1
LIMITED = [*(f"{element}_pct" for element in ELEMENTS), "feo_pct"]
FEWEST_PER_LIMIT = 20
# spread of a wagon's iron around its declaration, and of a consignment's mean (bias of the calibration): four of the
# latter are the limit of the rule `grade_gap`
WAGON_SPREAD, CONSIGNMENT_SPREAD = 0.91, 0.25


def log_contents(frame: pd.DataFrame) -> np.ndarray:
    """Return centred log-ratios of the contents and the rest to 100 %, shape (n, 14); rows add up to 0."""
    columns = [
        frame[f"{e}_pct"].astype(float).fillna(HALF_LIMIT[e]).clip(lower=HALF_LIMIT[e]).to_numpy() for e in ELEMENTS
    ]
    parts = np.column_stack(columns)
    # a reading that was not normalised says as much about ratios as one that was
    whole = np.maximum(100.0, parts.sum(axis=1) / 0.72)
    logs = np.log(np.column_stack([parts, np.maximum(whole - parts.sum(axis=1), 1.0)]))
    centred: np.ndarray = logs - logs.mean(axis=1, keepdims=True)
    return centred


def coordinates(frame: pd.DataFrame) -> np.ndarray:
    """Return isometric log-ratio coordinates, shape (n, 13): distances in them are those between compositions."""
    return log_contents(frame) @ helmert(len(PARTS)).T


@dataclass
class ElementLimits:
    """One threshold per element: what a port works by without a model, and one of the things the model looks at."""

    middles: dict[str, pd.Series]
    widths: dict[str, pd.Series]

    @classmethod
    def fit(cls, clean: pd.DataFrame) -> "ElementLimits":
        """Take the median and robust deviation of each element from clean wagons, per declared mineral."""
        middles, widths = {}, {}
        for material in ["", *clean["material_code"].unique()]:
            like = clean[clean["material_code"] == material]
            like = (like if len(like) >= FEWEST_PER_LIMIT else clean)[LIMITED].astype(float)
            middles[material] = like.median()
            widths[material] = (1.4826 * (like - like.median()).abs().median()).clip(lower=0.03)
        return cls(middles, widths)

    def excess(self, frame: pd.DataFrame) -> np.ndarray:
        """Return how far the worst single element, or the iron from its declaration, lies out, in deviations, (n,).

        Any threshold on it is a set of limits, one per element; 4 stands for the limits of the rule ``grade_gap``.
        """
        return self.worst(frame)[0]

    def worst(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return the excess and the name of the element that has it, both (n,)."""
        worst, names = np.zeros(len(frame)), np.full(len(frame), "tfe", dtype=object)
        material = frame["material_code"].fillna("").astype(str).to_numpy()
        for name in np.unique(material):
            rows = material == name
            own = frame.loc[rows, LIMITED].astype(float)
            middle, width = self.middles.get(name, self.middles[""]), self.widths.get(name, self.widths[""])
            out = ((own - middle) / width).abs().fillna(0).to_numpy()
            worst[rows] = out.max(axis=1)
            names[rows] = np.array(LIMITED)[out.argmax(axis=1)]
        gap = frame["iron_gap"].astype(float).abs() / WAGON_SPREAD
        mean_gap = frame["consignment_iron_gap"].astype(float).abs() / CONSIGNMENT_SPREAD
        iron = np.maximum(gap.fillna(0), mean_gap.fillna(0)).to_numpy()
        iron = np.where(material == "copper_concentrate", 0.0, iron)
        names = np.where(iron > worst, "iron against its declaration", names)
        return np.maximum(worst, iron), np.array([str(n).removesuffix("_pct") for n in names], dtype=object)


@dataclass
class OreModel:
    """Probability that a wagon does not hold what was declared, with the elements that say so."""

    limits: ElementLimits = field(init=False, repr=False)
    ellipsoids: dict[str, EmpiricalCovariance] = field(init=False, repr=False)
    centres: dict[str, tuple[np.ndarray, np.ndarray]] = field(init=False, repr=False)
    brands: LinearDiscriminantAnalysis = field(init=False, repr=False)
    material_of: dict[str, str] = field(init=False, repr=False)
    blend: Blend = field(init=False, repr=False)
    waste: LogisticRegression | None = field(init=False, repr=False)
    platt: Platt = field(default_factory=Platt)

    def columns(self) -> dict[str, str]:
        """Return the columns a row to score may have, with their MLflow types."""
        from models.ore_verification.features import FEATURES

        return dict.fromkeys(FEATURES.categorical, "string") | dict.fromkeys(FEATURES.numeric, "double")

    def fit(self, frame: pd.DataFrame, label: np.ndarray, waste: np.ndarray, weight: np.ndarray) -> "OreModel":
        """Train on wagons with a laboratory result.

        Args:
            frame: feature rows.
            label: 1 = not as declared, shape (n,).
            waste: 1 = solid waste, shape (n,).
            weight: how many wagons a sampled one stands for, shape (n,).
        """
        clean = frame[label == 0]
        self.limits = ElementLimits.fit(clean)
        place = coordinates(clean)
        material = clean["material_code"].to_numpy()
        self.ellipsoids, self.centres = {}, {}
        for name in ["", *np.unique(material)]:
            rows = np.ones(len(clean), dtype=bool) if not name else material == name
            if not name or rows.sum() >= FEWEST_PER_MATERIAL:
                shape = MinCovDet(random_state=SEED, support_fraction=0.8) if name else EmpiricalCovariance()
                self.ellipsoids[name] = shape.fit(place[rows])
        logs = log_contents(clean)
        for name, rows in clean.assign(row=np.arange(len(clean))).groupby("brand_code")["row"]:
            self.centres[str(name)] = logs[rows].mean(axis=0), logs[rows].std(axis=0) + 0.05
        self.centres[""] = logs.mean(axis=0), logs.std(axis=0) + 0.05
        self.brands = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(place, clean["brand_code"])
        self.material_of = dict(zip(clean["brand_code"], clean["material_code"], strict=True))
        matrix = self.matrix(frame)
        rows = xgboost.DMatrix(matrix.to_numpy("float32"), label, weight=weight, feature_names=list(matrix.columns))
        # a few thousand wagons: trees on the driver are grown before a worker would have started
        booster = xgboost.train(TREES, rows, ROUNDS)
        medians, scaler = matrix.median().fillna(0.0), StandardScaler()
        scaled = scaler.fit_transform(matrix.fillna(medians))
        line = LogisticRegression(C=LINE_STRENGTH, max_iter=500).fit(scaled, label, sample_weight=weight)
        self.blend = Blend(booster, line, scaler, medians)
        self.waste = None
        if 0 < waste.sum() < len(waste):
            self.waste = LogisticRegression(C=LINE_STRENGTH, max_iter=500).fit(scaled, waste, sample_weight=weight)
        return self

    def calibrate(self, frame: pd.DataFrame, label: np.ndarray, weight: np.ndarray) -> "OreModel":
        """Fit the calibration on wagons of trains later than those trained on."""
        self.platt = Platt.fit(self.blend.logits(self.matrix(frame)), label, weight)
        return self

    def matrix(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return what the learners see: distances, gaps, surface and each element against its brand."""

        def column(name: str) -> np.ndarray:
            return frame[name].astype(float).to_numpy() if name in frame else np.full(len(frame), np.nan)

        def words(name: str) -> "pd.Series[str]":
            return frame[name].fillna("").astype(str) if name in frame else pd.Series("", index=frame.index)

        known = frame.reindex(columns=list(dict.fromkeys([*frame.columns, *self.columns()])))
        logs = log_contents(known)
        centre = [self.centres.get(b, self.centres[""]) for b in words("brand_code")]
        against = (logs - np.array([c for c, _ in centre])) / np.array([s for _, s in centre])
        base = column("sio2_pct") + np.nan_to_num(column("al2o3_pct"))
        found = {
            "distance from the declared mineral": np.log1p(self.distance(known)),
            "worst single element": np.log1p(self.limits.excess(known)),
            "size of the iron gap": np.abs(column("iron_gap")),
            "size of the iron gap, consignment": np.abs(column("consignment_iron_gap")),
            "likelihood of the declared brand": self._likelihood(known, words("brand_code")),
            "iron minus declared": column("iron_gap"),
            "iron minus declared, consignment": column("consignment_iron_gap"),
            "iron against the other wagons": column("iron_deviation"),
            "copper minus declared": column("copper_gap"),
            "basicity": (np.nan_to_num(column("cao_pct")) + np.nan_to_num(column("mgo_pct"))) / np.maximum(base, 0.2),
            "FeO": column("feo_pct"),
            "silica, surface minus LIBS": column("image_sio2_pct") - column("sio2_pct"),
            "closure away from 99": np.abs(column("closure_pct") - 99.0),
            "share of the same surface": column("surface_share"),
            "surface of waste": (words("solid_waste_attribute") == "suspected").to_numpy(dtype=float),
            **{f"{e} against the brand": against[:, j] for j, e in enumerate(ELEMENTS)},
        }
        return pd.DataFrame(found, index=frame.index)

    def distance(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the robust Mahalanobis distance of each wagon from clean wagons of its declared mineral."""
        place, found = coordinates(frame), np.empty(len(frame))
        material = frame["material_code"].fillna("").to_numpy() if "material_code" in frame else np.full(len(frame), "")
        for name in np.unique(material.astype(str)) if len(frame) else ():
            rows = material == name
            found[rows] = np.sqrt(self.ellipsoids.get(name, self.ellipsoids[""]).mahalanobis(place[rows]))
        return found

    def expected_material(self, frame: pd.DataFrame) -> list[str]:
        """Return the mineral each wagon looks like: that of its likeliest brand."""
        return [self.material_of[b] for b in self.brands.predict(coordinates(frame))] if len(frame) else []

    def _likelihood(self, frame: pd.DataFrame, brand: "Sequence[str]") -> np.ndarray:
        if not len(frame):
            return np.empty(0)
        place = {b: i for i, b in enumerate(self.brands.classes_)}
        chance = self.brands.predict_log_proba(coordinates(frame)).clip(min=-30)
        return np.array([row[place[b]] if b in place else np.nan for row, b in zip(chance, brand, strict=True)])

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the probability that the wagon is not as declared, shape (n,)."""
        return self.platt.probability(self.blend.logits(self.matrix(frame))) if len(frame) else np.empty(0)

    def explain(self, frame: pd.DataFrame, top: int = 5) -> pd.DataFrame:
        """Return score, reasons (JSON), chance of solid waste, distance and the mineral the wagon looks like."""
        frame = frame.reindex(columns=list(dict.fromkeys([*frame.columns, *self.columns()])))
        matrix = self.matrix(frame)
        scaled = self.blend.scaler.transform(matrix.fillna(self.blend.medians)) if len(frame) else None
        waste = self.waste.predict_proba(scaled)[:, 1] if self.waste is not None and scaled is not None else np.nan
        score = self.platt.probability(self.blend.logits(matrix)) if len(frame) else np.empty(0)
        reasons = [
            text.replace('"worst single element"', f'"worst single element: {element}"')
            for text, element in zip(strongest(self.blend, matrix, top), self.limits.worst(frame)[1], strict=True)
        ] if len(frame) else []  # fmt: skip
        return pd.DataFrame(
            {
                "score": score,
                "reasons": reasons,
                "waste_score": waste,
                "outlier_distance": self.distance(frame),
                "expected_material": self.expected_material(frame),
            },
            index=frame.index,
        )
