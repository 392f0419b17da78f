"""What the history is like: shapes and rates from the domain page, graded selection, frauds that leave traces."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from infra.simulator.selection import FLOOR


def test_declarations_follow_the_working_week(world):
    shares = dict(
        world.sql.sql(
            "SELECT isodow(declared_on), count(*) / sum(count(*)) OVER () FROM declarations__declaration GROUP BY 1"
        ).fetchall()
    )
    assert shares[1] == max(shares.values())
    assert 0.22 < shares[1] < 0.34
    assert shares[6] + shares[7] < 0.10


def test_orders_peak_at_festivals_and_in_the_evening(world):
    peak = world.one(
        "SELECT arg_max(d, n)::VARCHAR FROM (SELECT business_date AS d, count(*) n FROM ecommerce__order GROUP BY 1)"
    )
    assert peak in ("2025-11-11", "2026-06-18")
    evening = world.one("SELECT avg((hour(ordered_at AT TIME ZONE 'Asia/Shanghai') >= 20)::INT) FROM ecommerce__order")
    assert evening > 0.25


def test_every_declaration_has_a_selection_above_the_floor(world):
    without = world.one("""SELECT count(*) FROM truth t WHERE is_selected IS NULL OR selection_prob < 0.005""")
    assert without == 0
    assert FLOOR <= world.one("SELECT min(selection_prob) FROM inspections__selection") < FLOOR + 0.0005
    assert world.one("SELECT count(DISTINCT selection_prob) FROM inspections__selection") > 500  # graded, no lanes


def test_as_many_are_selected_as_the_probabilities_say(world):
    chosen, expected, variance = world.sql.sql(
        "SELECT sum(is_selected::INT), sum(selection_prob), sum(selection_prob * (1 - selection_prob)) FROM truth"
    ).fetchone()
    assert abs(chosen - expected) < 4 * variance**0.5
    assert 0.03 < chosen / world.one("SELECT count(*) FROM truth") < 0.09


def test_ranks_are_inspected_at_their_rates(world):
    rates = {
        r: (n, s)
        for r, n, s in world.sql.sql("""
        SELECT m.rank, count(*), avg(t.selection_prob) FROM truth t
        JOIN month m
          ON m.trader_id = t.trader_id AND m.month = date_trunc('month', t.declared_on) GROUP BY 1""").fetchall()
    }
    assert rates[1][1] == pytest.approx(0.0057, abs=0.001)  # AEO
    assert rates[0][1] == pytest.approx(0.06, abs=0.015)
    assert max(rates[r][1] for r in rates if r >= 3) > 0.5


def test_random_lane_finds_the_base_rate_and_selection_finds_more(world):
    base, hit = world.sql.sql(
        "SELECT avg(is_fraud::INT), avg(is_fraud::INT) FILTER (is_selected) FROM truth"
    ).fetchone()
    assert 0.03 < base < 0.08
    assert hit > 2 * base
    reasons = {r[0] for r in world.sql.sql("SELECT DISTINCT selected_by FROM inspections__selection").fetchall()}
    assert reasons >= {None, "rule", "model", "random"}


def test_every_kind_of_fraud_is_planted(world):
    kinds = {r[0] for r in world.sql.sql("SELECT DISTINCT fraud_kind FROM truth WHERE is_fraud").fetchall()}
    assert {"undervaluation", "misclassification", "false_origin", "quantity", "intellectual_property"} <= kinds
    cases = dict(world.sql.sql("""SELECT "case", count(*) FROM planted GROUP BY 1""").fetchall())
    assert {"split_order", "quota_breach", "borrowed_identity", "fake_payment", "payment_missing"} <= set(cases)


def test_undervalued_goods_are_cheaper_than_they_should_be(world):
    cheap, honest = world.sql.sql("""
        SELECT median(ln(i.customs_value) - ln(t.true_customs_value)) FILTER (t.fraud_kind = 'undervaluation'),
               median(ln(i.customs_value) - ln(t.true_customs_value)) FILTER (NOT t.is_fraud)
        FROM truth t JOIN declarations__declaration_item i
          ON i.declaration_no = t.declaration_no AND i.item_no = t.fraud_item_no""").fetchone()
    assert honest == pytest.approx(0, abs=0.01)
    assert cheap < -0.4


def test_compliance_shows_in_what_customs_can_see(world):
    """Corrections, late declarations and credit events rank enterprises by the hidden compliance, with noise."""
    rows = world.sql.sql("""
        WITH seen AS (
          SELECT trader_id, avg((message_seq > 1)::INT + (declared_at - arrived_at > INTERVAL 14 DAY)::INT) AS trouble,
                 count(*) AS n FROM declarations__declaration GROUP BY 1 HAVING count(*) >= 20),
        events AS (SELECT trader_id, count(*) AS k FROM enterprises__credit_event
                   WHERE event_kind IN ('penalty', 'arrears', 'smuggling') GROUP BY 1),
        hidden AS (SELECT trader_id, avg(compliance) AS z FROM month GROUP BY 1)
        SELECT z, trouble, coalesce(k, 0)
        FROM seen JOIN hidden USING (trader_id) LEFT JOIN events USING (trader_id)""").fetchall()
    z, trouble, events = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert roc_auc_score(z < np.median(z), trouble) > 0.6
    assert roc_auc_score(z < np.median(z), events) > 0.6


def test_aeo_outcomes_add_up_and_follow_compliance(world):
    passed, total = world.sql.sql("SELECT avg(is_passed::INT), count(*) FROM enterprises__aeo_validation").fetchone()
    assert total > 25
    assert 0.4 < passed < 0.8
    assert world.one("SELECT min(total_score) FROM enterprises__aeo_validation WHERE is_passed") >= 95
    gap = world.one("""SELECT avg(pass_probability) FILTER (is_passed) - avg(pass_probability) FILTER (NOT is_passed)
                        FROM aeo_truth""")
    assert gap > 0.2


def test_ranks_change_their_code_on_the_day_of_the_reform(world):
    codes = {
        c: set(v)
        for c, v in world.sql.sql("""SELECT credit_rank_code, list(DISTINCT valid_from >= DATE '2026-04-01')
        FROM enterprises__enterprise GROUP BY 1""").fetchall()
    }
    assert codes["other"] == {False}
    assert codes["regular"] == {True}
    assert codes["advanced_certified"] == {False, True}


def test_corrected_declarations_are_sent_again_later(world):
    twice = world.sql.sql("""SELECT count(*), bool_and(later > earlier) FROM (
        SELECT declaration_no, min(message_at) FILTER (message_seq = 1) AS earlier,
               max(message_at) FILTER (message_seq = 2) AS later
        FROM declarations__declaration GROUP BY 1 HAVING count(DISTINCT message_seq) = 2)""").fetchone()
    assert twice[0] > 20
    assert twice[1]


def test_receipts_run_from_stored_to_released(world):
    per_declaration = world.one(
        "SELECT avg(n) FROM (SELECT count(*) AS n FROM declarations__declaration_event GROUP BY declaration_no)"
    )
    assert 3 <= per_declaration <= 5
    disorder = world.one("""SELECT count(*) FROM (SELECT occurred_at < lag(occurred_at) OVER (
        PARTITION BY declaration_no ORDER BY event_seq) AS back FROM declarations__declaration_event) WHERE back""")
    assert disorder == 0
    assert world.one("SELECT avg((status_code = '800')::INT) * 1.0 FROM declarations__declaration_event") > 0.2


def test_documents_of_an_order_match_but_for_the_planted_cases(world):
    compared, paid, payer = world.sql.sql("""
        SELECT count(*), avg((p.amount_paid = o.actual_paid)::INT), avg((p.payer_id = o.buyer_id)::INT)
        FROM ecommerce__order o JOIN ecommerce__payment p USING (platform_code, order_no)""").fetchone()
    assert compared > 1000
    assert 0.97 < paid < 0.999
    assert 0.97 < payer < 0.999


def test_penalties_follow_decay(world):
    """AEO decay: the compliance of punished enterprises had fallen before the penalty."""
    before, at_start = world.sql.sql("""
        SELECT avg(near.compliance), avg(first.compliance) FROM enterprises__credit_event e
        JOIN month near
          ON near.trader_id = e.trader_id AND near.month = date_trunc('month', e.occurred_on)
        JOIN month first
          ON first.trader_id = e.trader_id AND first.month = DATE '2025-11-01'
        WHERE e.event_kind = 'penalty' AND near.month >= DATE '2026-03-01'""").fetchone()
    everyone = world.one("SELECT avg(compliance) FROM month")
    assert before < everyone - 0.3
    assert at_start is not None
