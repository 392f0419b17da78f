"""Every rule fires on its own faulty row and on nothing else; casts read the promised forms; SQL suits both engines."""

from datetime import date

import pytest
import sqlglot

from data_contracts import code_list, load_contract, load_contracts
from data_contracts.emit.fixtures import one_fault_rows, valid_rows
from data_contracts.emit.sql import (
    FORMATS,
    cast_expression,
    code_sql,
    history_rules,
    raw_expressions,
    rules,
    text,
    transpile,
    with_before,
)
from data_contracts.errors import ContractError
from data_contracts.layout import load_layouts

EVERY = list(load_contracts().values())


@pytest.mark.parametrize("contract", EVERY, ids=lambda c: c.id)
def test_valid_rows_break_no_rule(contract, judge):
    assert [broken for broken in judge(contract, valid_rows(contract, 50)) if broken] == []


@pytest.mark.parametrize("contract", EVERY, ids=lambda c: c.id)
def test_every_rule_fires_on_exactly_its_one_fault_row(contract, judge):
    faults = one_fault_rows(contract)
    assert [rule_id for rule_id, _ in faults] == [r.id for r in contract.rules]
    assert judge(contract, [row for _, row in faults]) == [[rule_id] for rule_id, _ in faults]


@pytest.mark.parametrize(("state", "before"), [("arrived", None), ("departed", "arrived"), ("released", "departed")])
def test_a_state_of_a_train_follows_the_one_before(judge, state, before):
    milestone = load_contract("rail.milestone")
    row = valid_rows(milestone, 1)[0] | {"step_status": state, "previous_status": before}
    assert "step_status.legal_transition" in judge(milestone, [row])[0]


def test_valid_rows_are_reproducible_and_have_distinct_keys():
    contract = load_contract("ecommerce.order")
    rows = valid_rows(contract, 50)
    assert rows == valid_rows(contract, 50)
    assert len({tuple(r[k] for k in contract.key) for r in rows}) == 50


@pytest.mark.parametrize("contract", load_contracts().values(), ids=lambda c: c.id)
def test_every_rule_compiles_for_both_engines(contract):
    for rule in rules(contract, "spark"):
        sqlglot.parse_one(rule.sql, dialect="spark")
        assert "REGEXP_FULL_MATCH" not in rule.sql.upper()
        assert "TRY_STRPTIME" not in rule.sql.upper()


def test_rules_come_in_the_order_a_reader_expects():
    kinds = [r.kind for r in rules(load_contract("declarations.declaration"))]
    order = ["required", "type", "length", "pattern", "range", "code", "checksum", "expression"]
    assert kinds == sorted(kinds, key=order.index)


GOLDEN = {
    "direction.required": ('"raw__direction" IS NOT NULL', "NOT `raw__direction` IS NULL"),
    "declared_on.type": (
        '("raw__declared_on" IS NULL OR "declared_on" IS NOT NULL)',
        "(`raw__declared_on` IS NULL OR NOT `declared_on` IS NULL)",
    ),
    "declaration_no.length": (
        'COALESCE(LENGTH("declaration_no") <= 24, TRUE)',
        "COALESCE(LENGTH(`declaration_no`) <= 24, TRUE)",
    ),
    "direction.pattern": (
        "COALESCE(REGEXP_MATCHES(\"direction\", '^[IE]$'), TRUE)",
        "COALESCE(`direction` RLIKE '^[IE]\\\\z', TRUE)",
    ),
    "declared_on.range": (
        "COALESCE(\"declared_on\" >= DATE '2000-01-01' AND \"declared_on\" <= DATE '2100-01-01', TRUE)",
        "COALESCE(`declared_on` >= CAST('2000-01-01' AS DATE) AND `declared_on` <= CAST('2100-01-01' AS DATE), TRUE)",
    ),
    "transport_mode_code.code": (
        "COALESCE(\"transport_mode_code\" IN ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'), TRUE)",
        "COALESCE(`transport_mode_code` IN ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'), TRUE)",
    ),
    "declared_on.day_of_declared_at": (
        "COALESCE(CASE WHEN source_system = 'single_window' THEN "
        "declared_on = CAST(declared_at AT TIME ZONE 'Asia/Shanghai' AS DATE) END, TRUE)",
        "COALESCE(CASE WHEN source_system = 'single_window' THEN "
        "declared_on = CAST(FROM_UTC_TIMESTAMP(declared_at, 'Asia/Shanghai') AS DATE) END, TRUE)",
    ),
}


@pytest.mark.parametrize("rule_id", GOLDEN)
def test_golden_sql_of_each_rule_kind(rule_id):
    contract = load_contract("declarations.declaration")
    found = [next(r.sql for r in rules(contract, dialect) if r.id == rule_id) for dialect in ("duckdb", "spark")]
    assert tuple(found) == GOLDEN[rule_id]


def test_golden_sql_of_what_is_barred():
    found = {
        (c, dialect): next(r.sql for r in rules(load_contract(f"declarations.{c}"), dialect) if r.id == rule)
        for c, rule in (
            ("summary_item", "hs6_code.negative_list"),
            ("summary_declaration", "licence_code.negative_list"),
        )
        for dialect in ("duckdb", "spark")
    }
    assert "SUBSTRING(\"hs6_code\", 1, 4) IN ('2618', '2619')" in found["summary_item", "duckdb"]
    assert "SUBSTRING(`hs6_code`, 1, 6) IN ('310210', '310520')" in found["summary_item", "spark"]
    assert found["summary_declaration", "duckdb"] == (
        "COALESCE(NOT ((\"licence_code\" IN ('P') AND \"summary_on\" >= DATE '2021-01-01') "
        "OR (\"licence_code\" IN ('Q1', 't') AND \"summary_on\" >= DATE '2019-08-24')), TRUE)"
    )
    assert found["summary_declaration", "spark"] == (
        "COALESCE(NOT ((`licence_code` IN ('P') AND `summary_on` >= CAST('2021-01-01' AS DATE)) "
        "OR (`licence_code` IN ('Q1', 't') AND `summary_on` >= CAST('2019-08-24' AS DATE))), TRUE)"
    )


def test_golden_sql_of_rules_over_a_history():
    contract = load_contract("declarations.declaration_event")
    duck, spark = ({r.id: r.sql for r in history_rules(contract, dialect)} for dialect in ("duckdb", "spark"))
    assert list(duck) == ["status_code.legal_transition", "occurred_at.time_order"]
    assert duck["occurred_at.time_order"] == "COALESCE(occurred_at >= before__occurred_at, TRUE)"
    assert spark["occurred_at.time_order"] == "COALESCE(occurred_at >= before__occurred_at, TRUE)"
    assert duck["status_code.legal_transition"].startswith(
        "COALESCE(((\"before__status_code\" || '>' || \"status_code\") IN ('0>1', "
    )
    assert spark["status_code.legal_transition"].startswith(
        "COALESCE(((`before__status_code` || '>' || `status_code`) IN ('0>1', "
    )
    over = "OVER (PARTITION BY {0}declaration_no{0} ORDER BY {0}event_seq{0}"
    assert over.format('"') in with_before(contract, "SELECT * FROM x")
    assert over.format("`") in with_before(contract, "SELECT * FROM x", dialect="spark")
    with pytest.raises(ContractError, match="no SQL dialect 'oracle'"):
        with_before(contract, "SELECT * FROM x", dialect="oracle")


def test_histories_break_what_they_should(duck, histories):
    found = {key: [] for key in histories.expected}
    for declaration, seq, rule in duck.execute(histories("duckdb")).fetchall():
        found[declaration, seq].append(rule)
    assert found == histories.expected


def test_golden_sql_of_checksums_for_spark():
    contract = load_contract("declarations.declaration")
    sql = {r.id: r.sql for r in rules(contract, "spark")}
    assert (
        "LOCATE(SUBSTRING(`container_no`, 1, 1), '0123456789A BCDEFGHIJK LMNOPQRSTU VWXYZ')"
        in sql["container_no.checksum"]
    )
    assert "RLIKE '^[0-9]{8}[0-9A-HJ-NPQRTUWXY]{10}\\\\z'" in sql["trader_id.checksum"]


def test_a_function_without_counterpart_is_refused_not_passed_through():
    with pytest.raises(ContractError, match="REGEXP_FULL_MATCH is not known to mean the same in spark"):
        transpile("REGEXP_FULL_MATCH(a, 'x')", "spark")
    with pytest.raises(ContractError, match="no SQL dialect 'oracle'"):
        transpile("a = 1", "oracle")


CASTS = [
    (
        "ecommerce.order",
        "goods_value",
        {"12.5": "12.50", "-0": "0.00", "1e2": "100.00", "1,5": None, "": None, "NaN": None},
    ),
    ("declarations.declaration", "package_count", {"7": "7", "7.5": None, "1_000": None, "99999999999": None}),
    (
        "declarations.declaration",
        "declared_on",
        {"2026-02-28": "2026-02-28", "2026-02-30": None, "epoch": None, "2026-2-8": None},
    ),
    (
        "declarations.declaration",
        "declared_at",
        {
            "2026-02-28T23:00:00+08:00": "2026-02-28 15:00:00+00",
            "2026-02-28T23:00:00Z": "2026-02-28 23:00:00+00",
            "2026-02-28T23:00:00.5+0800": "2026-02-28 15:00:00.5+00",
            "2026-02-28T23:00:00": None,
            "infinity": None,
        },
    ),
    (
        "inspections.selection",
        "is_selected",
        {"true": "true", "FALSE": "false", "1": "true", "0": "false", "yes": None},
    ),
    ("inspections.selection", "selection_prob", {"0.25": "0.25", "5e-3": "0.005", "inf": None}),
    ("declarations.declaration", "direction", {"I": "I", " I": " I"}),
]


@pytest.mark.parametrize(("contract_id", "field", "cases"), CASTS)
def test_casts_read_the_promised_text_forms_and_nothing_else(duck, contract_id, field, cases):
    column = load_contract(contract_id).field(field)
    for raw, wanted in cases.items():
        sql = f"SELECT CAST({cast_expression(column, text(raw))} AS VARCHAR)"
        assert duck.execute(sql).fetchone() == (wanted,), raw


@pytest.mark.parametrize("fmt", FORMATS)
def test_formats_read_days_and_instants(duck, fmt):
    moment = "2026-03-01 02:03:04"
    raw = duck.execute(f"SELECT strftime(TIMESTAMP '{moment}', {text(fmt)})").fetchone()[0]
    contract = load_contract("declarations.declaration")
    day = cast_expression(contract.field("declared_on"), text(raw), fmt)
    assert duck.execute(f"SELECT {day}").fetchone() == (date(2026, 3, 1),)
    instant = cast_expression(contract.field("declared_at"), text(raw), fmt, time_zone="Asia/Shanghai")
    hour = "2026-02-28 18:03:04+00" if "%H" in fmt else "2026-02-28 16:00:00+00"
    assert duck.execute(f"SELECT CAST({instant} AS VARCHAR)").fetchone() == (hour,)
    with pytest.raises(ContractError, match="time_zone"):
        cast_expression(contract.field("declared_at"), text(raw), fmt)


def test_a_dated_code_is_judged_on_the_day_of_the_row(duck):
    field = load_contract("enterprises.enterprise").field("credit_rank_code")
    sql = code_sql(field, code_list("reference.credit_rank"))

    def valid(code: str, day: str | None) -> bool | None:
        literal = "CAST(NULL AS DATE)" if day is None else f"DATE '{day}'"
        row = f"SELECT '{code}' AS credit_rank_code, {literal} AS valid_from"
        return duck.execute(f"SELECT {sql} FROM ({row})").fetchone()[0]

    assert valid("other", "2026-03-31")
    assert not valid("other", "2026-04-01")
    assert not valid("regular", "2026-03-31")
    assert valid("regular", "2026-04-01")
    assert valid("advanced_certified", "2026-03-31")
    assert valid("advanced_certified", "2026-04-01")
    assert valid("unheard_of", "2026-04-01") is False
    assert valid("regular", None) is None


def test_raw_text_of_json_keeps_array_and_message_apart():
    layout = load_layouts()["single_window_declarations"]
    found = raw_expressions(layout.table("declarations.declaration_item"), message="m", record="r")
    assert found["declaration_no"] == "NULLIF(json_extract_string(m, '$.entryId'), '')"
    assert found["hs_code"] == "NULLIF(json_extract_string(r, '$.codeTs'), '')"
    spark = layout.table("declarations.declaration_item").raw_expressions(dialect="spark", message="m", record="r")
    assert spark["hs_code"] == "NULLIF(GET_JSON_OBJECT(r, '$.codeTs'), '')"
