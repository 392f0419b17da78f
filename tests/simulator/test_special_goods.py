"""Goods treated specially at the border: grain per wagon, packages per container, in the shares they are drawn with."""

import pytest


@pytest.fixture(scope="module")
def goods(world):
    """The world with a view of what was planted."""
    files = [f"{world.truth}/{subject}/*.parquet" for subject in ("grain", "packaging")]
    world.sql.execute(f"CREATE OR REPLACE VIEW special_truth AS FROM read_parquet({files})")
    return world


def test_every_wagon_of_grain_is_examined_before_pickup_is_allowed(goods):
    wagons, examined, late = goods.sql.sql("""
        WITH done AS (
            SELECT train_id, position, max(finished_at) FILTER (step_code IN ('surface', 'sampling', 'screening')) AS at
            FROM inspections__grain_step GROUP BY ALL),
        allowed AS (SELECT chain_id, min(occurred_at) AS at FROM rail__milestone WHERE step_code = 'M11' GROUP BY ALL)
        SELECT count(*), count(done.at), count(*) FILTER (done.at > allowed.at)
        FROM rail__wagon AS w JOIN rail__train AS t USING (train_id) LEFT JOIN done USING (train_id, position)
        LEFT JOIN allowed ON allowed.chain_id = w.train_id
        WHERE t.goods_kind = 'grain' AND t.arrived_at < TIMESTAMPTZ '2026-06-21 00:00:00+00'""").fetchone()
    assert wagons > 500
    assert examined > 0.98 * wagons  # the others' messages were spoiled
    assert late == 0


def test_steps_of_a_wagon_follow_one_another(goods):
    assert (
        goods.one("""
        WITH timed AS (PIVOT inspections__grain_step ON step_code IN ('surface', 'sampling', 'screening', 'laboratory',
            'decision', 'treatment', 'release') USING min(started_at) GROUP BY train_id, position)
        SELECT count(*) FROM timed WHERE sampling < surface OR screening < sampling OR laboratory < screening
            OR decision < screening OR decision < laboratory OR treatment < decision OR release < decision
            OR release < treatment""")
        == 0
    )


def test_one_batch_in_seven_has_a_regulated_organism_and_screening_misses_some(goods):
    wagons = goods.one("SELECT count(DISTINCT (train_id, position)) FROM inspections__grain_step")
    infested = goods.one("SELECT count(*) FROM special_truth WHERE kind = 'grain_infested'")
    found = goods.one("""
        SELECT count(DISTINCT (s.train_id, s.position)) FROM inspections__grain_step AS s
        JOIN inspections__grain_find AS f USING (step_id)
        JOIN (SELECT subject_id FROM special_truth WHERE kind = 'grain_infested') AS t
            ON t.subject_id = s.train_id || '/' || s.position
        WHERE s.result_code = 'find'""")
    assert 0.08 < infested / wagons < 0.2
    assert 0.2 < found / infested < 0.95


def test_planted_breaks_of_custody_are_what_the_feeds_show(goods):
    shown = {
        "seal_changed_on_the_way": """SELECT DISTINCT sample_id FROM inspections__grain_sample
            WHERE received_seal_no <> seal_no""",
        "sample_unsealed": "SELECT DISTINCT sample_id FROM inspections__grain_sample WHERE seal_no IS NULL",
        "result_of_an_unknown_sample": """SELECT DISTINCT left(sample_id, -1) FROM inspections__grain_step
            WHERE sample_id LIKE '%X'""",
    }
    breaks = 0
    for kind, query in shown.items():
        planted = goods.sql.sql(f"SELECT subject_id FROM special_truth WHERE kind = '{kind}'").fetchall()
        found = goods.sql.sql(query).fetchall()
        assert set(found) <= set(planted), kind  # the others are still on their way
        breaks += len(found)
    assert breaks
    kinds = {k for (k,) in goods.sql.sql("SELECT DISTINCT kind FROM special_truth").fetchall()}
    assert {"grain_infested", "grain_samples", "certificate_expired", "package_violation"} <= kinds


def test_what_must_stay_closed_goes_unopened_to_its_destination(goods):
    away, opened, exempt = goods.sql.sql("""
        SELECT avg((border_treatment_code = 'destination')::INT), avg(is_opened_at_port::INT),
            count(*) FILTER (border_treatment_code = 'exempt' AND certificate_no IS NULL)
        FROM inspections__special_package WHERE package_kind = 'sealed'""").fetchone()
    assert away > 0.85
    assert opened < 0.12
    assert exempt == 0  # exemption is for the registered


def test_packages_rely_on_certificates_of_the_register(goods):
    relied, known, same = goods.sql.sql("""
        SELECT count(DISTINCT p.package_id), count(DISTINCT c.certificate_no), avg((p.trader_id = r.trader_id)::INT)
        FROM inspections__special_package AS p
        LEFT JOIN inspections__packaging_certificate AS c USING (certificate_no)
        LEFT JOIN inspections__packaging_registration AS r ON c.registration_no = r.registration_no
        WHERE p.certificate_no IS NOT NULL AND p.certificate_valid_until IS NOT NULL""").fetchone()
    assert relied > 100
    assert known > 20
    assert same == 1


def test_violations_are_found_later_where_nothing_was_opened(goods):
    stages = dict(
        goods.sql.sql("""
        SELECT violation_stage, count(DISTINCT package_id) FROM inspections__special_package
        WHERE violation_code IS NOT NULL GROUP BY ALL""").fetchall()
    )
    planted = goods.one("SELECT count(*) FROM special_truth WHERE kind = 'package_violation'")
    assert stages["port"] > 0
    assert sum(stages.values()) < planted  # some are never found
