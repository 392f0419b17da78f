"""Minerals: loads that close, instruments with the errors of the reference, schemes in the truth and nowhere else."""

import dataclasses

import numpy as np
import pytest

from infra.simulator.minerals import MATERIALS, VERDICTS, MineralSource, Note, _Loads
from infra.simulator.randomness import stream
from infra.simulator.scale import SCALES

HONEST = dataclasses.replace(SCALES["small"], mineral_fraud_share=0.0, hidden_source_share=0.0)


def loads(scale=HONEST, hs6="260111", consignments=60):
    """Return consignments of forty wagons each."""
    times = {"M4": 1_000.0, "M11": 20_000.0, "M13": 60_000.0}
    notes = [
        Note(f"T{i}", f"W{i}", "20260401080000", 0, hs6, 0, 0.0, 100.0, dict(times), ["56650765"] * 40, [68_000.0] * 40)
        for i in range(consignments)
    ]
    return _Loads(MineralSource(5, scale), stream(5, "test"), notes)


@pytest.fixture(scope="module")
def magnetite():
    made = loads()
    return made, (made.material == list(MATERIALS).index("magnetite_concentrate"))[made.of]


def test_concentrate_has_the_iron_and_ferrous_oxide_of_the_reference(magnetite):
    made, rows = magnetite
    iron = made.contents[rows, 0]
    assert 64.5 < iron.mean() < 67
    assert 0.8 < iron.std() < 2.2
    assert 22 < made.feo[rows].mean() < 27
    assert np.corrcoef(iron, made.contents[rows, 1])[0, 1] < -0.6
    assert iron.max() < 72.4


def test_a_calibrated_reading_closes_and_a_raw_one_does_not(magnetite):
    made, rows = magnetite
    closure = np.nan_to_num(made.libs)[:, 1:].sum(axis=1) + made.libs[:, 0] / 0.7236
    raw = closure > 104.5
    assert 0.002 < raw.mean() < 0.02
    assert abs(closure[rows & ~raw].mean() - 99.0) < 0.7
    assert closure[rows & ~raw].std() < 1.6


def test_wagons_of_a_train_differ_less_than_trains(magnetite):
    made, rows = magnetite
    silica = np.log(made.contents[rows, 1])
    of = made.of[rows]
    within = np.concatenate([silica[of == c] - silica[of == c].mean() for c in np.unique(of)]).var()
    assert 0.016 < within < 0.022  # a quarter of ln(1 + 0.28²)
    assert silica.var() > 2 * within


def test_a_portal_without_sources_stays_silent():
    made = loads()
    assert made.alarm.mean() < 0.001
    assert (made.background < 7_070).mean() > 0.9  # dense cargo lowers the background


def test_schemes_are_planted_on_readings_and_told_by_the_laboratory_alone(world):
    world.sql.execute(f"CREATE OR REPLACE VIEW rail_truth AS FROM read_parquet('{world.truth}/rail/*.parquet')")
    planted = dict(
        world.sql.sql("""
        SELECT kind, count(*) FROM rail_truth WHERE kind LIKE 'mineral_%' GROUP BY 1""").fetchall()
    )
    assert set(planted) == {f"mineral_{scheme}" for scheme in VERDICTS}
    agree, known_after = world.sql.sql("""
        SELECT avg(((p.kind IS NULL) = (l.verdict_code = 'as_declared'))::INT), avg((l.known_at > l.drawn_at)::INT)
        FROM rail__laboratory_result AS l LEFT JOIN rail_truth AS p
        ON p.subject_id = l.train_id || '/' || l.position AND p.kind LIKE 'mineral_%'""").fetchone()
    assert agree == 1
    assert known_after == 1
    for table in ("composition", "radiation", "inclusion", "inspection_order"):
        columns = {c for (c, *_) in world.sql.sql(f"DESCRIBE rail__{table}").fetchall()}
        assert not columns & {"verdict_code", "scheme", "kind"}


def test_lost_orders_strangers_and_copied_frames_are_there(world):
    planted = world.sql.sql(f"SELECT DISTINCT kind FROM read_parquet('{world.truth}/rail/*.parquet')")
    kinds = {kind for (kind,) in planted.fetchall()}
    wanted = {"copied_spectrum", "frame_repeated", "uncalibrated_reading", "radiation_norm", "wagon_not_in_consist"}
    assert wanted <= kinds
    unknown = world.one("""
        SELECT count(DISTINCT order_no) FROM rail__radiation ANTI JOIN rail__inspection_order USING (order_no)""")
    assert unknown >= ("order_lost" in kinds)
