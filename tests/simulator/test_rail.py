"""The rail chain: lead times as measured, trains that meet their declarations, faults noted in the truth only."""

import dataclasses
from datetime import date
from hashlib import md5

import pytest
from stdnum import luhn

from infra.simulator.simulation import RAIL_FEEDS, SPECIAL_GOODS_FEEDS

from .conftest import TINY, run


@pytest.fixture(scope="module")
def rail(world):
    """One row per train and per consignment with the instants of its steps (corrections applied)."""
    world.sql.execute("""
        CREATE OR REPLACE TABLE latest AS FROM rail__milestone
        WHERE occurred_at <= known_at + INTERVAL 5 MINUTE
        QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY message_at DESC, message_seq DESC) = 1;
        CREATE OR REPLACE TABLE steps AS PIVOT latest ON step_code USING min(occurred_at) GROUP BY chain_id, subject_id;
        CREATE OR REPLACE TABLE chain AS
        SELECT c.chain_id, c.subject_id, t.M1, t.M2, t.M5, c.M3, c.M4, c.M11, c.M12, c.M14, c.M15
        FROM steps AS c JOIN steps AS t ON c.chain_id = t.chain_id AND t.subject_id = t.chain_id
        WHERE c.subject_id <> c.chain_id""")
    return world


def test_manifests_lead_the_train_by_the_hours_of_the_reference(rail):
    mean, share = rail.sql.sql("""
        SELECT avg(h), avg((h >= 2)::INT) FROM (SELECT epoch(M5 - M1) / 3600 AS h FROM steps WHERE M0 IS NOT NULL)
        WHERE h IS NOT NULL""").fetchone()
    assert 3.4 < mean < 4.0
    assert 0.87 < share < 0.98


def test_declarations_follow_the_manifest_and_trains_leave_in_time(rail):
    declared, stay, before = rail.sql.sql("""
        SELECT avg((epoch(M3 - M2) <= 7200)::INT) FILTER (M3 < M5), avg((epoch(M14 - M5) < 57600)::INT),
        avg((M4 < M5)::INT) FROM chain""").fetchone()
    assert 0.9 < declared <= 1
    assert 0.88 < stay < 0.97
    assert 0.85 < before < 0.98


def test_linked_trains_arrive_when_their_declaration_says(rail):
    linked, at_arrival, at_acceptance, at_summary = rail.sql.sql("""
        SELECT count(*), avg((t.arrived_at = d.arrived_at)::INT), avg((l.occurred_at = r.complete)::INT),
        avg((s.M3 = r.summary)::INT)
        FROM latest AS l
        JOIN chain AS s ON s.chain_id = l.chain_id AND s.subject_id = l.subject_id
        JOIN (SELECT declaration_no, min(occurred_at) FILTER (status_code = '1') AS summary,
                     min(occurred_at) FILTER (status_code = 'complete_accepted') AS complete
              FROM declarations__declaration_event GROUP BY 1) AS r USING (declaration_no)
        JOIN (SELECT declaration_no, any_value(arrived_at) AS arrived_at, any_value(declared_at) AS declared_at
              FROM declarations__declaration GROUP BY 1) AS d USING (declaration_no)
        JOIN (SELECT DISTINCT train_id, arrived_at FROM rail__train) AS t ON t.train_id = l.chain_id
        WHERE l.step_code = 'M15'""").fetchone()
    assert linked > 0
    assert at_arrival == 1
    assert at_acceptance > 0.9  # the others are corrections whose second message has not come yet
    assert at_summary > 0.9


def test_misread_wagons_are_in_the_truth_with_their_real_number(rail):
    rail.sql.execute(f"CREATE OR REPLACE VIEW rail_truth AS FROM read_parquet('{rail.truth}/rail/*.parquet')")
    rows = rail.sql.sql("""
        SELECT w.wagon_no, p.detail FROM rail_truth AS p
        JOIN rail__wagon AS w ON p.subject_id = w.train_id || '/' || w.position
        WHERE p.kind IN ('wagon_misread', 'wagon_unread')""").fetchall()
    assert rows
    assert all(luhn.is_valid(real) for _, real in rows)
    assert not any(read and luhn.is_valid(read) for read, _ in rows)  # a single wrong digit never passes
    kinds = {k for (k,) in rail.sql.sql("SELECT DISTINCT kind FROM rail_truth").fetchall()}
    assert {"duplicate", "out_of_order", "late", "corrected", "missing_event", "wagon_misread"} <= kinds


def test_instructions_are_answered_inside_the_inspection(rail):
    """The railway shunts, then the inspection starts; the port opens containers where they stand."""
    rail.sql.execute("""
        CREATE OR REPLACE VIEW answers AS PIVOT (
          FROM rail__instruction_result
          WHERE answer_code = 'accepted' OR occurred_at BETWEEN instructed_at AND known_at AND previous_code <> 'result'
        ) ON answer_code IN ('accepted', 'shunting_done', 'started', 'result') USING min(occurred_at)
        GROUP BY instruction_id""")
    orders, answered, in_order, hours, shunted = rail.sql.sql("""
        SELECT count(*), count(accepted), count(*) FILTER (accepted < started AND started < result),
               median(epoch(accepted - instructed_at)) / 60,
               avg((shunting_done IS NULL)::INT) FILTER (recipient_kind = 'port')
        FROM rail__instruction LEFT JOIN answers USING (instruction_id)""").fetchone()
    assert orders > 30
    assert answered > 0.9 * orders
    assert in_order > 0.85 * orders
    assert 4 < hours < 14
    assert shunted == 1
    outside = rail.one("""
        SELECT count(*) FROM rail__instruction AS i
        JOIN latest AS m ON m.subject_id = i.waybill_no AND m.step_code = 'M7'
        WHERE i.instructed_at NOT BETWEEN m.occurred_at AND m.occurred_at + INTERVAL 20 MINUTE""")
    assert outside == 0


def test_other_feeds_draw_nothing_from_the_rail(tmp_path):
    """Without a single train, declarations, receipts, orders are byte for byte the same."""
    tiny = dataclasses.replace(TINY, declarations_per_year=1_500, lists_per_year=1_500, enterprises=200)
    digests = []
    for name, trains in (("with", 2.0), ("without", 0.0)):
        scale = dataclasses.replace(tiny, trains_per_day=trains)
        run(tmp_path / name, scale=scale, first=date(2026, 3, 20), last=date(2026, 4, 12))
        landing = tmp_path / name / "landing"
        files = [p.relative_to(landing) for p in sorted(landing.rglob("*.*"))]
        of_trains = (*RAIL_FEEDS, *SPECIAL_GOODS_FEEDS)
        digests.append({p: md5((landing / p).read_bytes()).hexdigest() for p in files if p.parts[0] not in of_trains})
        assert (landing / "rail_trains").is_dir() == bool(trains)
    assert digests[0] == digests[1]
