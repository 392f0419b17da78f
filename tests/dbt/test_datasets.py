"""The datasets on an empty lake, and on one small enough to count by hand."""

import json
from datetime import date
from decimal import Decimal

import pytest

from data_contracts import load_contract
from data_contracts.model import CATEGORIES, GRADES
from infra.lake.datasets import datasets, known_outcome, run_dbt
from infra.runtime.duck import duck_connection
from infra.runtime.errors import DataContractError

pytestmark = pytest.mark.datasets


def test_everything_builds_on_an_empty_lake_and_every_unit_test_passes(built):
    statuses = {node: status for node, (status, _, _) in built.empty.nodes.items()}
    assert sum(node.startswith("model.") for node in statuses) > 90
    assert sum(node.startswith("unit_test.") for node in statuses) >= 12
    assert {node: s for node, s in statuses.items() if s not in ("success", "pass")} == {}


def test_everything_builds_on_a_small_lake_and_every_data_test_passes(built):
    counts = built.filled.counts
    assert counts["tests_failed"] == 0
    assert counts["built"] > 90
    assert counts["tests_passed"] > 140
    built.filled.stop_if_failed()
    # what `customs status` shows is both selections together
    assert known_outcome(built.settings).counts == counts


def test_no_dataset_compares_every_row_with_every_row(built):
    compiled = built.settings.dbt_target / "compiled/customs/models"
    models = {file.stem: file.read_text() for file in compiled.rglob("*.sql")}
    assert len(models) > 90
    with duck_connection(built.settings.warehouse, settings=built.settings, read_only=True) as connection:
        plans = {name: connection.execute(f"EXPLAIN {sql}").fetchall()[0][1] for name, sql in models.items()}
    assert [name for name, plan in plans.items() if "BLOCKWISE_NL_JOIN" in plan] == []


def test_release_time_deadline_and_late_fee_of_a_declaration(built):
    rows = built.rows(
        "SELECT declaration_no, release_hours, is_released_within_24h, late_days, late_fee_amount, trader_status, "
        "customs_office FROM marts.fct_declaration WHERE declaration_no IN ('D00', 'D01', 'D12', 'A0') ORDER BY 1"
    )
    assert rows == [
        ("A0", None, None, 0, Decimal("0.00"), "AEO", "9999"),
        # arrived 21 April: day 15 is 6 May, declared 8 May = 3 days; 100,000 x 0.5 permille x 3
        ("D00", None, None, 3, Decimal("150.00"), "Regular", "Yangshan"),
        ("D01", 10.0, True, 0, Decimal("0.00"), "Regular", "Yangshan"),
        ("D12", 21.0, True, 0, Decimal("0.00"), "Regular", "Yangshan"),
    ]


def test_currencies_and_origins_stay_apart(built):
    rows = built.rows(
        "SELECT source_system, value_currency, sum(declarations), sum(revenue_amount), sum(late_fee_amount) "
        "FROM serving.rpt_revenue_monthly GROUP BY ALL ORDER BY 1"
    )
    assert rows == [
        ("kcs", "KRW", 11, Decimal("88000.00"), None),
        # two declarations of another trader and office are too few to show, even merged
        ("single_window", "CNY", 14, Decimal("308560.00"), Decimal("150.00")),
    ]


def test_small_offices_are_merged_and_totals_kept(built):
    rows = built.rows(
        "SELECT customs_office, sum(declarations) FROM serving.rpt_inspection_rate_monthly "
        "WHERE source_system = 'single_window' GROUP BY 1"
    )
    # 2 declarations of office 9999 alone would be fewer than ten: with nothing to merge with, they are withheld
    assert rows == [("Yangshan", 14)]


def test_hit_rate_by_reason_knows_what_the_inspected_stand_for(built):
    rows = built.rows(
        "SELECT selected_by, sum(inspected), sum(violations), round(sum(population_weight)), "
        "round(sum(violation_weight)) FROM serving.rpt_inspection_reason_monthly GROUP BY 1 ORDER BY 1"
    )
    assert rows == [("Random", 2, 1, 20.0, 10.0), ("Rule", 1, 1, 10.0, 10.0)]


def test_three_documents_and_quota(built):
    assert built.rows(
        "SELECT match_result, sum(lists) FROM serving.rpt_ecommerce_match_daily GROUP BY 1 ORDER BY 1"
    ) == [
        ("Matched", 10),
        ("Order missing", 1),
        ("Payment missing", 1),
    ]
    # 12 lists of 2,300: the 12th lifts the buyer above 26,000
    assert built.rows(
        "SELECT used_value_cny, quota_band, lists_over_annual_limit, over_limit_since FROM marts.fct_buyer_quota"
    ) == [(Decimal("27600.00"), "Over the limit", 1, date(2026, 6, 18))]
    assert built.rows("SELECT DISTINCT festival FROM marts.fct_ecommerce_daily") == [("618 Shopping Festival",)]


def test_korean_rows_have_no_times_and_no_invented_ones(built):
    rows = built.rows(
        "SELECT DISTINCT declared_at, release_hours, late_days, trader_status, customs_office, supervision_mode "
        "FROM marts.fct_declaration WHERE source_system = 'kcs'"
    )
    assert rows == [(None, None, None, "Unknown", "40", "Not stated")]


def test_candidates_are_regular_enterprises_only(built):
    assert built.rows("SELECT trader_id, aeo_chance FROM serving.fct_aeo_candidate") == [("REG", 0.7)]


def test_scores_say_whether_the_outcome_was_known_before(built):
    rows = built.rows("SELECT known_before_scoring, count(*) FROM serving.fct_declaration_score GROUP BY 1 ORDER BY 1")
    assert rows == [("After scoring", 3), ("No outcome", 11)]


def test_rows_set_aside_are_counted_by_rule_without_their_text(built):
    rows = built.rows("SELECT rule_id, is_first_rule, rows_quarantined FROM marts.fct_quarantine_daily ORDER BY 1")
    assert rows == [("direction.pattern", True, 3), ("trader_id.checksum", False, 3)]


def test_the_steward_reads_the_rule_in_words(built):
    rows = built.rows("SELECT dataset, domain, rule_id, rule_words FROM serving.rpt_quarantine_daily ORDER BY rule_id")
    assert rows == [
        ("declarations__declaration", "declarations", "direction.pattern", "I or E."),
        ("declarations__declaration", "declarations", "trader_id.checksum", "trader_id.checksum"),
    ]


def test_a_column_only_the_live_table_has_counts_as_ungraded(built):
    rows = built.rows(
        "SELECT layer, domain, dataset, columns_counted FROM serving.rpt_grade_coverage WHERE grade = 'None'"
    )
    assert rows == [("silver", "ecommerce", "ecommerce__list", 2)]
    graded = built.rows("SELECT sum(columns_counted) FROM serving.rpt_grade_coverage WHERE grade <> 'None'")
    assert graded == built.rows("SELECT count(*) FROM marts.dim_column_grade")


def test_the_last_run_of_each_gate_is_the_latest(built):
    rows = built.rows(
        "SELECT run_id, domain, business_date, is_latest FROM serving.rpt_quality_result ORDER BY measured_at"
    )
    assert rows == [
        ("r1", "ecommerce", date(2026, 5, 6), False),
        ("r1m", "ecommerce", date(2026, 5, 6), True),
        # 20:00 UTC is the next day in office time
        ("r2", "ecommerce", date(2026, 5, 7), True),
    ]


def test_new_data_is_due_by_what_the_contract_promises(built):
    rows = built.rows(
        "SELECT state_date, is_latest, epoch(due_at - last_arrival_at) / 3600 "
        "FROM serving.rpt_contract_state ORDER BY 1"
    )
    assert rows == [(date(2026, 5, 6), False, 48.0), (date(2026, 5, 7), True, 48.0)]


def test_every_column_of_marts_and_serving_is_typed_graded_and_described(built):
    bad = [
        f"{d.name}.{name}"
        for d in datasets(built.settings).values()
        for name, about in d.columns.items()
        if about.get("grade") not in GRADES
        or about.get("category") not in CATEGORIES
        or not about["description"]
        or not about["type"]
    ]
    assert bad == []


def test_a_column_passed_through_keeps_at_least_the_grade_of_its_contract(built):
    """A row-level dataset may not call a restricted field internal."""
    inputs = {
        "fct_declaration": "declarations.declaration",
        "fct_declaration_item": "declarations.declaration_item",
        "fct_declaration_event": "declarations.declaration_event",
        "fct_ecommerce_list": "ecommerce.list",
        "fct_inspection": "inspections.inspection",
        "fct_declaration_selection": "inspections.selection",
        "fct_aeo_validation": "enterprises.aeo_validation",
        "fct_aeo_certificate": "enterprises.aeo_certificate",
        "fct_credit_event": "enterprises.credit_event",
        "dim_enterprise": "enterprises.enterprise",
        "dim_enterprise_360": "enterprises.enterprise",
        "fct_declaration_score": "scores.declaration_risk",
    }
    lowered = []
    for name, contract_id in inputs.items():
        fields = {f.name: f for f in load_contract(contract_id).columns}
        for column, about in datasets(built.settings)[name].columns.items():
            field = fields.get(column)
            if field and (
                about["grade"] < field.grade
                or about.get("personal_information", "none") != field.personal_information
                or (field.mask == "hmac" and about.get("mask") != "hmac")
            ):
                lowered.append(f"{name}.{column}")
    assert lowered == []


def test_a_new_field_of_a_contract_reaches_staging_without_an_edit(built):
    """Staging reads its columns from the generated source: all fields of the contract, in its order and types."""
    found = built.rows(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'staging' "
        "AND table_name = 'stg_declarations__declaration' ORDER BY ordinal_position"
    )
    names = [f.name for f in load_contract("declarations.declaration").columns]
    assert [name for name, _ in found] == names
    assert ("net_mass_kg", "DECIMAL(18,3)") in found


def test_a_failing_data_test_is_the_fault_of_the_data(built, tmp_path):
    """The calendar mart with a day twice: the unique test fails and the command would end with code 3."""
    import duckdb

    from infra.lake.datasets import _outcome

    with duckdb.connect(str(built.settings.warehouse)) as connection:
        connection.execute("INSERT INTO marts.dim_calendar SELECT * FROM marts.dim_calendar LIMIT 1")
    try:
        run_dbt(["test", "--select", "dim_calendar,test_type:data"], built.settings)
        with pytest.raises(DataContractError, match="dim_calendar"):
            _outcome(built.settings).stop_if_failed()
    finally:
        run_dbt(["run", "--select", "dim_calendar"], built.settings)


def test_the_report_of_a_build_counts_both_selections(built):
    kept = built.settings.dbt_target.parent / "results"
    assert {f.stem for f in kept.glob("*.json")} == {"marts", "serving"}
    assert all(json.loads(f.read_text()) for f in kept.glob("*.json"))
