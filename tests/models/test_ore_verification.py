"""Declared ore against measured composition: log-ratios, splits by train, planted truth against single thresholds."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from infra.simulator.minerals import MEASURED, Note, _Loads
from infra.simulator.minerals import MineralSource as Source
from infra.simulator.randomness import stream
from infra.simulator.scale import SCALES
from models.metrics import ranking_metrics
from models.ore_verification import train as recipe
from models.ore_verification.features import FEATURES
from models.ore_verification.model import coordinates, log_contents
from models.training import TooFewLabelsError

START = date(2026, 1, 1)


def world(consignments=300, wagons=8):
    """Return wagons as the feature set has them, with the truth of the simulator as the laboratory's verdict."""
    times = {"M4": 1_000.0, "M11": 20_000.0, "M13": 60_000.0}
    hs6 = ("260111", "260112", "260111", "260300")
    notes = [
        Note(f"T{i}", f"W{i}", "1", 0, hs6[i % 4], 0, 0.0, 9.0, dict(times), ["56650765"] * wagons, [68e3] * wagons)
        for i in range(consignments)
    ]
    loads = _Loads(Source(3, SCALES["small"]), stream(3, "ore"), notes)
    sent = loads.compositions()[0]
    iron = loads.libs[:, 0]
    mean = np.bincount(loads.of, iron - loads.declared_tfe[loads.of]) / loads.sizes
    rows = pd.DataFrame(
        {
            **{f"{e}_pct": loads.libs[:, j] for j, e in enumerate(MEASURED)},
            "feo_pct": np.asarray(sent["feo_pct"])[loads.n :],
            "image_sio2_pct": np.asarray(sent["sio2_pct"])[loads.n :],
            "closure_pct": 99.0,
            "declared_tfe_pct": loads.declared_tfe[loads.of],
            "iron_gap": iron - loads.declared_tfe[loads.of],
            "consignment_iron_gap": mean[loads.of],
            "material_code": [loads.names[m] for m in loads.material[loads.of]],
            "mineral_class": sent["mineral_class"].to_pylist()[loads.n :],
            "solid_waste_attribute": sent["solid_waste_attribute"].to_pylist()[loads.n :],
            "train_id": loads.train,
            "read_on": [START + timedelta(days=int(c)) for c in loads.of],
            "known_on": [START + timedelta(days=int(c) + 4) for c in loads.of],
            "is_not_as_declared": (loads.verdict != "as_declared").astype(int),
            "is_solid_waste": (loads.verdict == "solid_waste").astype(int),
            "selected_by": "random",
            "selection_prob": 1.0,
        }
    )
    rows["brand_code"] = [f"{m[:3]}{loads.brand[c]}" for m, c in zip(rows["material_code"], loads.of, strict=True)]
    rows["iron_deviation"] = rows["tfe_pct"] - rows.groupby("train_id")["tfe_pct"].transform("median")
    return rows


@pytest.fixture(scope="module")
def parts():
    return recipe.split(world(), date(2026, 12, 1))


@pytest.fixture(scope="module")
def model(parts):
    return recipe.fit(None, parts)


def test_no_train_is_on_two_sides_and_nothing_known_later_is_learned_from(parts):
    sides = [set(part["train_id"]) for part in (parts.train, parts.calibration, parts.holdout)]
    assert not sides[0] & sides[1] | sides[1] & sides[2] | sides[0] & sides[2]
    assert parts.holdout["read_on"].min() >= parts.trained_until
    assert pd.concat([parts.train, parts.calibration])["known_on"].max() < parts.trained_until


def test_planted_truth_is_found_better_than_by_single_thresholds(parts, model):
    found = ranking_metrics(parts.holdout_label, recipe.predict(model, parts))
    limits = ranking_metrics(parts.holdout_label, recipe.baseline(parts))
    assert found["auc"] > 0.95
    assert found["auc"] > limits["auc"]
    assert found["recall_at_1_false_alarm"] > 0.5


def test_shuffled_results_cannot_be_learned(parts):
    rng = np.random.default_rng(1)
    label, truth = rng.permutation(parts.train_label), rng.permutation(parts.holdout_label)
    shuffled = recipe.OreModel().fit(parts.train, label, np.zeros(len(label)), np.ones(len(label)))
    assert ranking_metrics(truth, shuffled.predict(parts.holdout))["auc"] == pytest.approx(0.5, abs=0.08)


def test_a_wagon_of_slag_is_told_with_the_elements_that_say_so(parts, model):
    slag = parts.holdout[(parts.holdout["material_code"] == "magnetite_concentrate")].head(1).copy()
    slag[["tfe_pct", "sio2_pct", "cao_pct", "al2o3_pct", "mgo_pct"]] = 17.5, 12.0, 46.0, 2.2, 7.0
    slag["iron_gap"] = 17.5 - slag["declared_tfe_pct"]
    told = model.explain(slag).iloc[0]
    assert told["score"] > 0.9
    assert told["outlier_distance"] > model.distance(parts.holdout[parts.holdout_label == 0]).mean() * 3
    assert "worst single element: " in told["reasons"]


def test_ratios_do_not_change_with_the_scale_of_a_reading(parts):
    rows = parts.holdout[["material_code", *(f"{e}_pct" for e in MEASURED)]].dropna().head(20)
    elements = [f"{e}_pct" for e in MEASURED]
    logs, doubled = log_contents(rows), log_contents(rows.assign(**{e: rows[e] * 1.01 for e in elements}))
    assert np.allclose(logs.sum(axis=1), 0)
    assert coordinates(rows).shape == (len(rows), len(MEASURED))
    ratio = (logs[:, 0] - logs[:, 1]) - (doubled[:, 0] - doubled[:, 1])
    assert np.allclose(ratio, 0)


def test_rows_without_columns_are_scored_and_too_few_results_are_refused(parts, model):
    found = model.explain(pd.DataFrame({"tfe_pct": [65.0], "sio2_pct": [4.0], "material_code": ["iron_pellets"]}))
    assert found["score"].between(0, 1).all()
    with pytest.raises(TooFewLabelsError, match="300"):
        recipe.split(parts.holdout.head(100), date(2026, 12, 1))
    assert set(FEATURES.meta).isdisjoint(model.columns())
