"""The gate: what is met, what stops it, and what is our own fault."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from data_contracts.emit.gx import Expectation
from infra.lake import quality
from infra.lake.commit import create_lake, write_table
from infra.lake.quality import Measured, judge, measure_silver, record, run_gate, stop_if_failed
from infra.lake.quality_cli import app
from infra.runtime.errors import BadArgumentsError, CustomsError, DataContractError
from infra.runtime.settings import Settings

UNIQUE = Expectation("duplicate_keys", "uniqueness", "error", "The key identifies a row.", maximum=0)
VOLUME = Expectation("row_count", "coverage", "warning", "The table has rows.", minimum=1)
GOOD = Measured("declarations__declaration", {"duplicate_keys": 0, "row_count": 12}, (UNIQUE, VOLUME))


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("q"))
    create_lake(settings)
    return settings


@pytest.fixture(scope="module")
def measured(settings) -> dict[str, Measured]:
    return {m.dataset: m for m in measure_silver(settings)}


def test_figures_that_are_expected_pass_and_are_published(settings):
    results = judge("silver", [GOOD], settings)
    stop_if_failed(results)
    assert [(r.words, r.observed_words, r.passed) for r in results] == [
        ("duplicate_keys <= 0", "0", True),
        ("1 <= row_count", "12", True),
    ]
    docs = settings.home / "quality" / "data_docs"
    assert (docs / "silver" / "index.html").is_file()
    assert "declarations__declaration" in (docs / "silver" / "index.html").read_text()
    assert json.loads((docs / "silver" / "summary.json").read_text())["failed"] == []


def test_a_bad_figure_stops_the_gate_naming_table_expectation_and_observation(settings):
    bad = replace(GOOD, figures={"duplicate_keys": 3, "row_count": 12})
    results = judge("silver", [bad], settings)
    with pytest.raises(DataContractError) as stopped:
        stop_if_failed(results)
    assert "declarations__declaration: expected duplicate_keys <= 0, observed 3" in str(stopped.value)
    assert stopped.value.exit_code == 3
    assert "duplicate_keys" in (settings.home / "quality" / "data_docs" / "index.html").read_text()


def test_a_warning_does_not_stop_it(settings):
    results = judge("silver", [replace(GOOD, figures={"duplicate_keys": 0, "row_count": 0})], settings)
    assert [r.passed for r in results] == [True, False]
    stop_if_failed(results)


def test_an_expectation_that_raises_is_our_fault_and_not_the_datas(settings):
    results = judge("silver", [replace(GOOD, figures={"row_count": 12})], settings)
    with pytest.raises(CustomsError, match="duplicate_keys <= 0 could not be evaluated") as stopped:
        stop_if_failed(results)
    assert not isinstance(stopped.value, DataContractError)
    assert stopped.value.exit_code == 1


def test_an_unknown_figure_is_not_a_failure(settings):
    """A share of an empty table is nothing: GX leaves nulls out, and so no expectation fails."""
    results = judge("silver", [replace(GOOD, figures={"duplicate_keys": None, "row_count": 1})], settings)
    stop_if_failed(results)
    assert results[0].observed_words == "nothing"


def test_every_fed_table_is_measured_and_an_empty_lake_only_warns(measured):
    assert len(measured) > 25
    declaration = measured["declarations__declaration"]
    assert declaration.figures["row_count"] == 0
    names = {e.metric for e in declaration.expected}
    assert {"duplicate_keys", "hours_since_ingest", "nulls__declared_on", "quarantine_share"} <= names
    for m in measured.values():
        assert {e.metric for e in m.expected} <= set(m.figures)
        for e in m.expected:
            value = m.figures[e.metric]
            assert value is None or e.maximum is None or value <= e.maximum


def test_results_are_kept_in_the_lake(settings):
    import duckdb

    from infra.runtime.duck import duck_connection

    figures = [replace(GOOD, figures={"duplicate_keys": 1, "row_count": 12})]
    run_id = record("marts", judge("marts", figures, settings, "r1"), settings, "r1")
    connection: duckdb.DuckDBPyConnection = duck_connection(settings=settings)
    rows = connection.execute(
        f"SELECT gate, dataset, expectation, is_passed, observed_value, rule_severity, report_page "
        f"FROM delta_scan('{settings.silver('governance.quality_result')}') WHERE run_id = ? ORDER BY expectation",
        [run_id],
    ).fetchall()
    page = quality.report_page("r1", "declarations__declaration", settings)
    assert (settings.home / "quality" / "data_docs" / page).is_file()
    assert rows == [
        ("marts", "declarations__declaration", "1 <= row_count", True, "12", "warning", page),
        ("marts", "declarations__declaration", "duplicate_keys <= 0", False, "1", "error", page),
    ]


def test_pages_of_former_runs_stay_until_they_are_old(tmp_path):
    import os
    import time

    settings = Settings(home=tmp_path)
    create_lake(settings, ["governance.quality_result"])
    docs = settings.home / "quality" / "data_docs"
    bad = replace(GOOD, figures={"duplicate_keys": 3, "row_count": 12})
    runs = [record("silver", judge("silver", [bad], settings, name), settings, name) for name in ("one", "two")]
    pages = [quality.report_page(run, GOOD.dataset, settings) for run in runs]
    for page in pages:
        text = (docs / page).read_text()
        assert "duplicate_keys" in text
        # a page that fetches from other hosts is empty where there are none
        assert 'src="http' not in text
    assert (docs / "silver").resolve() == docs / "runs" / "two"
    assert "duplicate_keys &lt;= 0 (3)" in (docs / "silver" / "index.html").read_text()
    long_ago = time.time() - (quality.REPORT_DAYS + 1) * 86400
    for run in runs:
        os.utime(docs / "runs" / run, (long_ago, long_ago))
    judge("marts", [GOOD], settings, "three")
    # the newest of a gate stays, however old it is
    assert sorted(path.name for path in (docs / "runs").iterdir()) == ["three", "two"]


def test_too_many_rows_set_aside_stop_the_gate(tmp_path):
    settings = Settings(home=tmp_path)
    create_lake(settings)
    import pyarrow as pa

    ledger = {
        "batch_id": "b",
        "contract_id": "declarations.declaration",
        "source_file": "f",
        "feed": "declarations",
        "file_status": "ingested",
        "rows_in": 100,
        "rows_good": 70,
        "rows_quarantined": 30,
        "committed_at": "2026-05-06T00:00:00+00:00",
    }
    write_table("governance.batch", pa.Table.from_pylist([ledger]), mode="append", settings=settings)
    found = {m.dataset: m for m in measure_silver(settings)}["declarations__declaration"]
    assert found.figures["quarantine_share"] == pytest.approx(0.3)
    with pytest.raises(DataContractError, match="quarantine_share"):
        stop_if_failed(judge("silver", [found], settings))


def test_marts_have_figures_to_be_believed_only_where_they_are_built(tmp_path):
    settings = Settings(home=tmp_path)
    with pytest.raises(BadArgumentsError, match="customs datasets build"):
        run_gate("marts", settings)
    with pytest.raises(BadArgumentsError, match="silver or marts"):
        run_gate("gold", settings)


def test_the_command_ends_with_the_exit_code_of_its_cause(settings, monkeypatch):
    monkeypatch.setattr("infra.lake.quality_cli.get_settings", lambda: settings)
    monkeypatch.setitem(
        quality.MEASURES, "silver", lambda *_: [replace(GOOD, figures={"duplicate_keys": 3, "row_count": 1})]
    )
    stopped = CliRunner().invoke(app, ["gate", "silver"])
    assert getattr(stopped.exception, "exit_code", None) == 3
    assert "declarations__declaration" in stopped.output
    monkeypatch.setitem(quality.MEASURES, "silver", lambda *_: [GOOD])
    done = CliRunner().invoke(app, ["gate", "silver", "--json"])
    assert json.loads(done.stdout.splitlines()[-1])["failed"] == 0
