"""Layouts are closed, bring what contracts ask for, and read the real file of another administration."""

import copy
from pathlib import Path

import pytest

from data_contracts import load_contract, load_contracts, load_layouts, match_layouts
from data_contracts.emit.fixtures import to_message, valid_rows
from data_contracts.emit.sql import cast_expression, quote, raw_column, rules
from data_contracts.errors import ContractError
from data_contracts.layout import native_header, parse_layout
from data_contracts.loader import ROOT, read_yaml

KCS = Path(__file__).resolve().parents[3] / "shared" / "data" / "kcs" / "df_syn_valid_eng.csv"
needs_kcs = pytest.mark.skipif(not KCS.is_file(), reason="the Korean import declarations are not beside this checkout")


@pytest.fixture
def kcs() -> dict:
    return copy.deepcopy(read_yaml(ROOT / "declarations" / "kcs.layout.yaml")[0])


def test_every_fed_contract_is_brought_by_a_native_layout():
    brought = {
        c for layout in load_layouts().values() if layout.source_system == "single_window" for c in layout.contracts
    }
    assert brought == {c.id for c in load_contracts().values() if c.feed}


def test_native_layouts_follow_the_contracts_without_an_edit():
    layout = load_layouts()["single_window_ecommerce_order"]
    contract = load_contract("ecommerce.order")
    assert layout.header == native_header(contract)
    assert dict(layout.table("ecommerce.order").fields)["actual_paid"] == "acturalPaid"
    assert layout.header[-2:] == ("messageTime", "messageSeq")


def test_the_kcs_layout_invents_nothing():
    layout = load_layouts()["kcs"]
    table = layout.table("declarations.declaration")
    assert layout.null_values == ("",)
    assert {"supervision_mode_code", "declared_at", "gross_mass_kg", "message_at"} <= set(table.absent)
    assert dict(table.constants) == {"direction": "I", "item_count": "1"}
    assert dict(layout.table("declarations.declaration_item").constants) == {
        "item_no": "1",
        "value_currency_code": "KRW",
    }


@needs_kcs
def test_the_kcs_layout_reads_the_real_file(duck):
    with KCS.open(encoding="utf-8") as handle:
        layout = match_layouts(KCS.name, header=handle.readline())[0]
    assert layout.id == "kcs"
    duck.execute(f"CREATE OR REPLACE TEMP VIEW kcs AS FROM read_csv('{KCS}', all_varchar=true, nullstr='\x01')")
    total = duck.execute("SELECT count(*) FROM kcs").fetchone()[0]
    for table in layout.tables:
        contract = load_contract(table.contract)
        raw = ", ".join(f"{sql} AS {raw_column(name)}" for name, sql in table.raw_expressions().items())
        typed = ", ".join(f"{cast_expression(f, raw_column(f.name))} AS {quote(f.name)}" for f in contract.sourced)
        derived = "".join(f", {f.derivation} AS {quote(f.name)}" for f in contract.derived)
        broken = ", ".join(f"count(*) FILTER (NOT ok{n})" for n, _ in enumerate(rules(contract)))
        judged = ", ".join(f"({rule.sql}) AS ok{n}" for n, rule in enumerate(rules(contract)))
        source = f"SELECT *, 'kcs' AS source_system, now() AS ingested_at, {typed} FROM (SELECT {raw} FROM kcs)"
        duck.execute(f"CREATE OR REPLACE TEMP TABLE typed AS SELECT *{derived} FROM ({source})")
        counts = duck.execute(f"SELECT {broken} FROM (SELECT {judged} FROM typed)").fetchone()
        found = {r.id: n for r, n in zip(rules(contract), counts, strict=True) if n}
        # ZZ is "unknown country" in Korea's list: no code of ours stands for it, so those rows are set aside
        assert set(found) <= {"dispatch_country_code.code", "origin_country_code.code"}
        assert sum(found.values()) < total * 0.002
    namibia = duck.execute("SELECT count(*) FROM kcs WHERE \"Country of Origin\" = 'NA'").fetchone()[0]
    assert namibia >= 0
    severities = duck.execute(
        "SELECT DISTINCT is_violation, severity FROM typed ORDER BY ALL"  # the last table is inspections.inspection
    ).fetchall()
    assert severities == [(False, 0), (True, 1), (True, 2)]
    assert duck.execute("SELECT count(DISTINCT inspection_id), min(inspection_id[:4]) FROM typed").fetchone() == (
        total,
        "KCS-",
    )


def test_an_unmapped_code_stays_as_it_is(duck):
    sql = load_layouts()["kcs"].table("declarations.declaration").raw_expressions()["transport_mode_code"]
    found = {}
    for theirs in ("10", "90", "77", ""):
        found[theirs] = duck.execute(f"SELECT {sql} FROM (SELECT '{theirs}' AS \"Mode of Transport\")").fetchone()[0]
    assert found == {"10": "2", "90": "9", "77": "77", "": None}


def test_files_find_their_layout():
    header = ",".join(load_layouts()["kcs"].header)
    assert [x.id for x in match_layouts("anything.csv", header=header)] == ["kcs"]
    assert [x.id for x in match_layouts("a.csv.gz", feed="declarations", header="\ufeff" + header)] == ["kcs"]
    assert [x.id for x in match_layouts("a.jsonl", feed="receipts")] == ["single_window_receipts"]
    assert match_layouts("a.csv", feed="receipts", header=header) == ()
    assert match_layouts("a.csv", header="one,two") == ()
    order = load_layouts()["single_window_ecommerce_order"]
    shuffled = [*reversed(order.header)]
    assert match_layouts("a.csv.gz", feed="ecommerce_order", header=shuffled)[0] is order
    assert match_layouts("a.csv.gz", feed="ecommerce_order", header=order.header[:-3]) == (order,)


def test_a_message_is_nested_as_the_feed_sends_it():
    contract = load_contract("inspections.measurement")
    message = to_message(contract, valid_rows(contract, 1)[0])
    assert set(message["measurements"][0]) >= {"instrument", "seq", "value", "unit"}
    assert "inspectionId" in message
    contract = load_contract("enterprises.aeo_validation")
    assert to_message(contract, valid_rows(contract, 1)[0])["scores"]["total"] == "99.0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda k: k.update(headers=[]), ("headers", "header")),
        (lambda k: k.pop("feed"), ("feed", "missing")),
        (lambda k: k.pop("header"), ("header",)),
        (lambda k: k.update(format="xls"), ("xls", "jsonl or csv")),
        (lambda k: k["tables"][0].update(feilds={}), ("feilds",)),
        (lambda k: k["tables"][0].update(contract="declarations.nothing"), ("declarations.nothing",)),
        (lambda k: k["tables"][0].update(contract="scores.declaration_risk"), ("not a fed table",)),
        (lambda k: k["tables"][0]["fields"].update(no_field="Date"), ("no_field", "no field")),
        (lambda k: k["tables"][0]["fields"].update(declared_month="Date"), ("declared_month", "derived")),
        (lambda k: k["tables"][0]["fields"].update(bill_no="Bill"), ("bill_no", "'Bill'", "header lacks")),
        (lambda k: k["tables"][0]["fields"].update(direction="Date"), ("direction", "twice")),
        (lambda k: k["tables"][0]["fields"].pop("declared_on"), ("declared_on", "required")),
        (lambda k: k["tables"][0].pop("fields"), ("'fields' is missing",)),
        (lambda k: k["tables"][0]["codes"].update(bill_no={"1": "2"}), ("bill_no", "map the field first")),
        (lambda k: k["tables"][0].update(formats={"declared_on": "%d%m"}), ("%d%m", "%Y%m%d")),
        (lambda k: k["tables"][0].update(formats={"declared_at": "%Y%m%d%H%M%S"}), ("time_zone",)),
        (lambda k: k["tables"][2]["expressions"].update(severity='"Frod"'), ("severity", "Frod")),
    ],
)
def test_a_wrong_layout_is_refused(kcs, change, words):
    change(kcs)
    with pytest.raises(ContractError) as caught:
        parse_layout(kcs, "declarations/kcs.layout.yaml")
    for word in words:
        assert word in str(caught.value)
