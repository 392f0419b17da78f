"""A user's own files into landing, code lists, and the commands people type."""

import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.lake import cli
from infra.lake.ingest import feeds
from infra.lake.land import land_code_lists, land_folder
from infra.lake.look import lake_status, quarantine_reasons, run_query
from infra.runtime.errors import BadArgumentsError

KCS = Path(__file__).resolve().parents[3] / "shared/data/kcs"
KCS_HEADER = (
    "Declaration ID,Date,Office ID,Process Type,Import Type,Import Use,Payment Type,Mode of Transport,Declarant ID,"
    "Importer ID,Seller ID,Courier ID,HS6 Code,Country of Departure,Country of Origin,Tax Rate,Tax Type,"
    "Country of Origin Indicator,Net Mass,Item Price,Fraud,Critical Fraud\n"
)


def test_a_folder_is_landed_by_the_layouts_of_its_files(lake, tmp_path):
    folder = tmp_path / "mine"
    (folder / "receipts").mkdir(parents=True)
    (folder / "2026-03-01").mkdir()
    (folder / "kcs.csv").write_text(KCS_HEADER + "1,2021-01-01,40,B,11,11,11,40,D,I,,,010121,NA,CN,7.2,A,E,1,2,0,0\n")
    (folder / "2026-03-01" / "orders.csv").write_text(
        lake.csv_text("ecommerce_order", lake.valid("ecommerce.order", 1))
    )
    (folder / "receipts" / "r.jsonl").write_text('{"entryId": "1"}\n')
    (folder / "LICENSE").write_text("MIT")
    (folder / "strange.csv").write_text("a,b\n1,2\n")
    said = []
    landed = land_folder(folder, date(2026, 4, 1), lake.settings, said.append)
    assert sorted((one.feed, one.layout, str(one.target.relative_to(lake.settings.landing))) for one in landed) == [
        ("declarations", "kcs", "declarations/2026-04-01/kcs.csv"),
        ("ecommerce_order", "single_window_ecommerce_order", "ecommerce_order/2026-03-01/orders.csv"),
        ("receipts", "single_window_receipts", "receipts/2026-04-01/r.jsonl"),
    ]
    assert "strange.csv: fits no layout, left out" in said
    assert not any("LICENSE" in line for line in said)
    marks = {path: path.stat().st_ino for path in lake.settings.landing.rglob("*") if path.is_file()}
    land_folder(folder, date(2026, 4, 1), lake.settings, said.append)
    assert marks == {path: path.stat().st_ino for path in lake.settings.landing.rglob("*") if path.is_file()}


def test_a_folder_that_fits_nothing_lists_the_layouts(lake, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.csv").write_text("a,b\n")
    with pytest.raises(BadArgumentsError, match=r"No file in .* fits a layout.*kcs.*single_window_ecommerce_list"):
        land_folder(tmp_path / "mine", date(2026, 4, 1), lake.settings, lambda _: None)
    with pytest.raises(BadArgumentsError, match="is not a folder"):
        land_folder(tmp_path / "nowhere", date(2026, 4, 1), lake.settings, lambda _: None)


def test_foreign_layout_maps_codes_keeps_namibia_and_leading_zeros(lake):
    rows = (
        "1,2021-01-01,40,B,11,11,11,40,D,I,,,010121,NA,NA,7.2,A,E,1.5,2.25,1,2\n"
        "2,2021-01-02,40,B,11,11,11,77,D,I,,,870322,CN,CN,7.2,A,E,1.5,2.25,0,0\n"
    )
    lake.land("declarations", "k.csv", KCS_HEADER + rows)
    lake.ingest("declarations")
    head = "declaration_no, transport_mode_code, dispatch_country_code, source_system, gross_mass_kg"
    assert lake.rows("declarations.declaration", head) == [("1", "5", "NA", "kcs", None)]
    # an unmapped code stays as it was sent and fails the contract
    assert lake.quarantined("declarations.declaration") == [(2, "transport_mode_code.code")]
    assert lake.rows("declarations.declaration_item", "hs_code, hs6_code, origin_country_code", "item_no = 1") == [
        ("010121", "010121", "NA"),
        ("870322", "870322", "CN"),
    ]
    found = lake.rows("inspections.inspection", "inspection_id, is_violation, severity, finding_code")
    assert found == [("KCS-1", True, 2, None), ("KCS-2", False, 0, None)]


@pytest.mark.skipif(not KCS.is_dir(), reason="the public Korean files are not on this machine")
def test_real_korean_declarations(lake):
    land_folder(KCS, date(2021, 3, 31), lake.settings, lambda _: None)
    tables = lake.ingest("declarations").tables
    assert {name: counts.rows_in for name, counts in tables.items()} == dict.fromkeys(
        ("declarations.declaration", "declarations.declaration_item", "inspections.inspection"), 37_385 + 8_134
    )
    # "ZZ", country unknown, is no ISO 3166 code: set aside with its reason, not guessed
    for name, column in (("declarations.declaration", "dispatch"), ("declarations.declaration_item", "origin")):
        assert tables[name].reasons == {f"{column}_country_code.code": tables[name].quarantined}
        assert tables[name].quarantined < 60
    assert tables["inspections.inspection"].quarantined == 0
    assert lake.rows("inspections.inspection", "count(*)", "is_violation") == [(8_114 + 1_704,)]
    assert lake.rows("declarations.declaration_item", "count(*)", "hs_code LIKE '0%'")[0][0] > 500
    assert lake.rows("declarations.declaration_item", "min(length(hs_code)), max(length(hs_code))") == [(6, 6)]


def test_code_lists_land_once_and_obey_their_contracts(lake):
    first = land_code_lists(date(2026, 4, 1), lake.settings)
    lists = {feed for feed in feeds() if feed.startswith("reference_")}
    assert len(lists) >= 10
    assert {path.parents[1].name for path in first} == lists
    for feed in lists:
        outcome = lake.ingest(feed)
        (counts,) = outcome.tables.values()
        assert (outcome.refused, counts.quarantined) == ([], 0), (feed, counts.reasons)
        assert counts.good > 0
    assert land_code_lists(date(2026, 4, 2), lake.settings) == []
    # the HS list has chapter 01 with its zero, the ranks changed on 2026-04-01
    assert lake.rows("reference.hs_code", "count(*)", "chapter = '01'")[0][0] > 5
    assert len(lake.rows("reference.credit_rank", "code", "valid_from = DATE '2026-04-01'")) == 5


def test_status_counts_each_file_once(lake):
    rows = lake.valid("ecommerce.order", 3)
    rows[0]["currency_code"] = "USD"
    lake.land_rows("ecommerce_order", rows)
    lake.land("ecommerce_order", "bad.csv", b"")
    lake.ingest("ecommerce_order")
    lake.ingest("ecommerce_order")
    status = lake_status(lake.settings)
    assert status["feeds"]["ecommerce_order"] == {
        "rows_in": 3, "good": 2, "quarantined": 1, "files": 1, "refused": 1,
    }  # fmt: skip
    assert status["feeds"]["declarations"]["rows_in"] == 0
    assert status["tables"]["ecommerce__order"]["rows"] == 2
    assert status["tables"]["quarantine/ecommerce__order"]["rows"] == 1
    assert len(status["refused"]) == 1
    lake.land_rows("ecommerce_order", lake.valid("ecommerce.order", 5)[3:], "bad.csv")
    lake.ingest("ecommerce_order")
    assert lake_status(lake.settings)["refused"] == []


def test_queries_read_only(lake):
    lake.land_rows("ecommerce_order", lake.valid("ecommerce.order", 3))
    lake.ingest("ecommerce_order")
    assert run_query("SELECT count(*) AS n FROM ecommerce.order", 10, lake.settings) == (["n"], [(3,)])
    assert len(run_query("SELECT * FROM ecommerce.order", 2, lake.settings)[1]) == 2
    for sql in ("DELETE FROM ecommerce.order", "COPY ecommerce.order TO '/tmp/x.csv'", "SELECT 1; SELECT 2", "SELEC 1"):
        with pytest.raises(BadArgumentsError):
            run_query(sql, 10, lake.settings)


def test_reasons_show_no_content_unless_asked(lake):
    rows = lake.valid("ecommerce.order", 4)
    for row in rows[:3]:
        row["currency_code"] = "USD"
    lake.land_rows("ecommerce_order", rows)
    lake.ingest("ecommerce_order")
    found = quarantine_reasons("ecommerce_order", 2, False, lake.settings)["ecommerce.order"]
    assert found["reasons"] == [{"rules": "currency_code.pattern", "rows": 3, "reason": "currency_code matches ^142$."}]
    assert len(found["samples"]) == 2
    assert "original" not in found["samples"][0]
    asked = quarantine_reasons("ecommerce.order", 1, True, lake.settings)["ecommerce.order"]
    assert rows[0]["buyer_name"] in asked["samples"][0]["original"]
    with pytest.raises(BadArgumentsError, match="There is no feed or fed table 'nothing'"):
        quarantine_reasons("nothing", 1, False, lake.settings)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def customs(lake, monkeypatch):
    monkeypatch.setattr(cli, "get_settings", lambda: lake.settings)
    monkeypatch.setattr("infra.lake.ingest.get_settings", lambda: lake.settings)
    monkeypatch.setattr("infra.runtime.report.get_settings", lambda: lake.settings)

    def run(*words):
        return CliRunner().invoke(cli.app, list(words))

    return run


def test_ingest_reports_counts_and_ends_with_3_after_a_refusal(lake, customs):
    lake.land_rows("ecommerce_order", lake.valid("ecommerce.order", 3))
    lake.land("receipts", "empty.jsonl", b"")
    done = customs("ingest", "receipts", "ecommerce_order", "--json")
    assert json.loads(done.stdout)["ecommerce_order"]["good"] == 3
    assert done.exception.exit_code == 3
    assert "receipts/2026-04-30/empty.jsonl is empty" in str(done.exception)
    (report,) = (lake.settings.reports / "lake_ingest").glob("*.json")
    written = json.loads(report.read_text())
    assert written["outcome"] == "failed"
    assert written["feeds"]["ecommerce_order"]["rows_in"] == 3
    assert customs("ingest", "receipts", "ecommerce_order").exit_code == 0


def test_day_range_limits_what_is_read(lake, customs):
    for day in (1, 2, 3):
        lake.land_rows("ecommerce_order", lake.valid("ecommerce.order", day)[-1:], day=date(2026, 4, day))
    told = json.loads(
        customs("ingest", "ecommerce_order", "--from", "2026-04-02", "--to", "2026-04-02", "--json").stdout
    )
    assert told["ecommerce_order"]["files"] == 1
    assert json.loads(customs("ingest", "ecommerce_order", "--json").stdout)["ecommerce_order"]["files"] == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ingest", "nothing"], "There is no feed 'nothing'"),
        (["ingest", "receipts", "--from", "1.4.2026"], "--from 1.4.2026 is not a day"),
        (["ingest", "receipts", "--from", "2026-04-02", "--to", "2026-04-01"], "give the earlier day first"),
        (["quarantine", "nothing"], "There is no feed or fed table"),
        (["query", "DROP TABLE x"], "Only one SELECT"),
    ],
)
def test_wrong_arguments_end_with_2(customs, words, sentence):
    done = customs(*words)
    assert done.exception.exit_code == 2
    assert sentence in str(done.exception)


def test_an_empty_feed_is_no_failure(customs):
    assert customs("ingest", "receipts", "inspections").exit_code == 0


@pytest.mark.parametrize(
    "command", ["init", "ingest", "reference", "land", "status", "query", "quarantine", "maintain"]
)
def test_every_help_has_an_example(customs, command):
    done = customs(command, "--help")
    assert "customs lake " + command in done.stdout


def test_looking_commands_run(lake, customs):
    lake.land_rows("ecommerce_order", lake.valid("ecommerce.order", 3))
    for words in (["init"], ["ingest", "ecommerce_order"], ["status"], ["status", "--json"], ["maintain", "--json"],
                  ["query", "SELECT 1 AS one"], ["quarantine", "ecommerce_order"]):  # fmt: skip
        done = customs(*words)
        assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_exit_code_of_the_process_is_the_interface(lake, tmp_path):
    lake.land("receipts", "empty.jsonl", b"")
    environment = {**os.environ, "CUSTOMS_HOME": str(lake.settings.home)}
    command = [sys.executable, "-m", "infra.cli", "lake", "ingest", "receipts"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "empty.jsonl is empty" in done.stderr
    assert "Traceback" not in done.stderr
    shutil.rmtree(lake.settings.landing)
