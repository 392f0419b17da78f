"""Quality gates: figures of every table, judged by Great Expectations, published as Data Docs, kept in the lake.

Great Expectations sees one row of figures per table, computed in DuckDB: that takes seconds where row-wise
expectations would scan every table once per rule. Splitting rows is the ingest's task.
"""

import html
import json
import logging
import os
import re
import shutil
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from data_contracts import load_contracts
from data_contracts.emit.gx import Expectation, aggregates_sql, expectations, orphan_metric, orphans_sql
from data_contracts.emit.sql import text
from data_contracts.model import Contract
from infra.lake.commit import QUARANTINE, write_table
from infra.lake.datasets import datasets
from infra.runtime import audit
from infra.runtime.duck import duck_connection
from infra.runtime.errors import BadArgumentsError, CustomsError, DataContractError, TryAgainError
from infra.runtime.settings import Settings, get_settings

GATES = ("silver", "marts")
# a run of both gates takes 4 MB
REPORT_DAYS = 30
# what Great Expectations' pages fetch from other hosts: they are read where there are none
_FOREIGN = re.compile(
    r"""<script[^>]*\ssrc=["']https?:[^>]*>\s*</script>|<(?:link|img)[^>]*\s(?:href|src)=["']https?:[^>]*>|<footer>.*?</footer>""",
    re.DOTALL,
)
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{border:1px solid #8885;padding:.3rem .6rem;text-align:left}"
    "@media (prefers-color-scheme:dark){body{background:#16181d;color:#e6e6e6}a{color:#8ab4f8}}"
)
# Great Expectations' own pages: without a script to fold them, only what is read stays
_REPORT_STYLE = _STYLE + "nav img,nav.navbar,.dropdown,#ge-cta-footer,.cooltip .top{display:none}"


@dataclass(frozen=True)
class Measured:
    """Figures of one table and what is expected of them."""

    dataset: str
    figures: Mapping[str, float | None]
    expected: tuple[Expectation, ...]


@dataclass(frozen=True)
class Result:
    """One expectation of a gate run."""

    dataset: str
    expectation: Expectation
    observed: float | None
    passed: bool
    raised: str | None = None

    @property
    def words(self) -> str:
        """Return the expectation with its bounds, for example ``duplicate_keys <= 0``."""
        e = self.expectation
        low = "" if e.minimum is None else f"{e.minimum:g} <= "
        high = "" if e.maximum is None else f" <= {e.maximum:g}"
        return f"{low}{e.metric}{high}"

    @property
    def observed_words(self) -> str:
        """Return what was measured, as text."""
        return "nothing" if self.observed is None else f"{self.observed:.6g}"


_ASIDE = (
    Expectation("quarantine_share", "accuracy", "error", "At most one row in five is set aside.", maximum=0.20),
    Expectation("quarantine_share_target", "accuracy", "warning", "At most 2 % of rows are set aside.", maximum=0.02),
)


def _all_rows(name: str, minimum: float, maximum: float, severity: str, words: str, dimension: str) -> Expectation:
    return Expectation(name, dimension, severity, words, minimum, maximum)


# What a mart's figures must look like to be believed. {this} is the mart; a figure of an empty mart is null and passes.
# Shares are of the rows they can be said of.
MARTS: dict[str, tuple[tuple[str, Expectation], ...]] = {
    "fct_declaration": (
        (
            "(SELECT count(*) FROM staging.stg_declarations__declaration) - count(*)",
            Expectation("rows_lost", "completeness", "error", "Every declaration of silver is here once.", 0, 0),
        ),
        (
            "avg(cast(is_released_within_24h AS INTEGER))",
            _all_rows("share_released_within_24h", 0.3, 1, "warning", "Most are released within a day.", "accuracy"),
        ),
        (
            "avg(cast(released_at IS NULL AS INTEGER)) FILTER (WHERE source_system = 'single_window' "
            "AND business_date < (SELECT max(business_date) FROM {this}) - 30)",
            _all_rows(
                "share_never_released", 0, 0.2, "warning", "After 30 days nearly all are released.", "timeliness"
            ),
        ),
        (
            "avg(cast(is_late AS INTEGER))",
            _all_rows("share_late", 0, 0.2, "warning", "Few imports are declared after the deadline.", "accuracy"),
        ),
        (
            "quantile_cont(release_hours, 0.99)",
            _all_rows("release_hours_p99", 0, 2160, "warning", "Nearly all clear within 90 days.", "accuracy"),
        ),
        (
            "avg(cast(trader_status = 'Unknown' AS INTEGER)) FILTER (WHERE source_system = 'single_window')",
            _all_rows("share_of_unknown_traders", 0, 0.05, "warning", "Traders are in the register.", "consistency"),
        ),
        (
            "avg(cast(item_count = 0 AS INTEGER))",
            _all_rows("share_without_items", 0, 0.05, "error", "Declarations have goods items.", "completeness"),
        ),
    ),
    "fct_declaration_item": (
        (
            "avg(cast(hs_section = 'Not stated' AS INTEGER))",
            _all_rows("share_without_section", 0, 0.05, "warning", "Chapters are known.", "consistency"),
        ),
        (
            "avg(cast(customs_value = 0 AS INTEGER))",
            _all_rows("share_without_value", 0, 0.05, "warning", "Goods have a value.", "accuracy"),
        ),
        (
            "sum(duty_amount) / nullif(sum(customs_value), 0)",
            _all_rows("mean_duty_rate", 0, 0.5, "warning", "Duty is a plausible share of value.", "accuracy"),
        ),
    ),
    "fct_ecommerce_list": (
        (
            "(SELECT count(*) FROM staging.stg_ecommerce__list) - count(*)",
            Expectation("rows_lost", "completeness", "error", "Every list of silver is here once.", 0, 0),
        ),
        (
            "avg(cast(is_matched AS INTEGER))",
            _all_rows("share_matched", 0.5, 1, "error", "The three documents of most lists agree.", "consistency"),
        ),
        (
            "avg(cast(is_over_annual_limit AS INTEGER))",
            _all_rows("share_over_annual_limit", 0, 0.05, "warning", "Few lists break the yearly limit.", "accuracy"),
        ),
    ),
    "fct_declaration_selection": (
        (
            "avg(cast(is_inspected AS INTEGER)) FILTER (WHERE source_system = 'single_window')",
            _all_rows("inspection_rate", 0, 0.2, "warning", "Inspection is the exception.", "accuracy"),
        ),
        (
            "avg(cast(is_violation AS INTEGER))",
            _all_rows("hit_rate", 0, 0.8, "warning", "Not every inspection finds something.", "accuracy"),
        ),
    ),
    "fct_inspection": (
        (
            "(SELECT count(*) FROM staging.stg_inspections__inspection) - count(*)",
            Expectation("rows_lost", "completeness", "error", "Every inspection of silver is here once.", 0, 0),
        ),
        (
            "avg(cast(declared_on IS NULL AS INTEGER))",
            _all_rows("share_without_declaration", 0, 0.05, "warning", "Inspections name a known one.", "consistency"),
        ),
    ),
    "dim_enterprise": (
        (
            "avg(cast(credit_rank IS NULL AS INTEGER))",
            _all_rows("share_without_rank", 0, 0.01, "warning", "Ranks are in the code list.", "consistency"),
        ),
        (
            "avg(cast(trader_status = 'AEO' AS INTEGER))",
            _all_rows("share_of_aeo", 0, 0.3, "warning", "Few enterprises are AEOs.", "accuracy"),
        ),
    ),
    "fct_aeo_validation": (
        (
            "avg(cast(is_passed AS INTEGER))",
            _all_rows("pass_rate", 0.1, 1, "warning", "Some validations are passed.", "accuracy"),
        ),
    ),
    "fct_rail_train": (
        (
            "(SELECT count(*) FROM staging.stg_rail__train) - count(*)",
            Expectation("rows_lost", "completeness", "error", "Every train of silver is here once.", 0, 0),
        ),
        (
            "avg(transmission_lead_hours)",
            _all_rows("mean_lead_hours", 2, 24, "warning", "Manifests come hours before the train.", "timeliness"),
        ),
        (
            "avg(cast(is_assessed_before_arrival AS INTEGER))",
            _all_rows("share_assessed_before", 0.5, 1, "warning", "Most trains are assessed ahead.", "timeliness"),
        ),
    ),
    "fct_rail_consignment": (
        (
            "(SELECT count(*) FROM staging.stg_rail__manifest) - count(*)",
            Expectation("rows_lost", "completeness", "error", "Every waybill of silver is here once.", 0, 0),
        ),
        (
            "avg(cast(port_stay_hours < 16 AS INTEGER))",
            _all_rows("share_within_16h", 0.5, 1, "warning", "Most leave the port within 16 hours.", "timeliness"),
        ),
    ),
    "fct_revenue_daily": (
        (
            "(SELECT coalesce(sum(revenue_amount), 0) FROM marts.fct_declaration) - coalesce(sum(revenue_amount), 0)",
            Expectation("revenue_lost", "consistency", "error", "Revenue by day is that of all items.", -0.01, 0.01),
        ),
    ),
}


def measure_silver(settings: Settings | None = None, as_of: date | None = None) -> list[Measured]:
    """Compute the figures of every silver table: volume, freshness, keys, nulls, spread, orphans, rows set aside.

    Args:
        settings: platform settings.
        as_of: business date freshness is measured from, its end in office time; default now.
    """
    settings = settings or get_settings()
    contracts = {c.id: c for c in load_contracts().values() if c.id != QUARANTINE}
    tables = {c.table: c for c in contracts.values()}
    now = None
    if as_of is not None:
        midnight = datetime.combine(as_of + timedelta(days=1), time(), ZoneInfo(settings.office_time_zone))
        now = midnight.astimezone(UTC).isoformat()
    connection = duck_connection(settings=settings)
    measured = []
    try:
        aside = _aside(connection, settings)
        for contract in contracts.values():
            where = _relation(contract, settings)
            figures = _one_row(connection, aggregates_sql(contract, where, now))
            for reference in contract.references:
                target = _relation(tables[reference.table], settings)
                figures |= _one_row(connection, orphans_sql(contract, reference, where, target))
                if not figures["row_count"]:
                    figures[orphan_metric(reference)] = None
            # what the platform makes itself may be empty: no scores before the first model, no shares before a request
            expected = tuple(e for e in expectations(contract) if contract.feed or e.metric != "row_count")
            if contract.feed:
                share = aside.get(contract.id)
                figures |= {"quarantine_share": share, "quarantine_share_target": share}
                expected += _ASIDE
            measured.append(Measured(contract.table, figures, expected))
    except duckdb.IOException as error:
        raise CustomsError(f"A silver table cannot be read: {error}; run `customs lake init`.") from error
    finally:
        connection.close()
    return measured


def _relation(contract: Contract, settings: Settings) -> str:
    return f"delta_scan({text(str(settings.silver(contract.id)))})"


def _one_row(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, float | None]:
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description or ()]
    row = cursor.fetchone() or ()
    return {name: None if value is None else float(value) for name, value in zip(names, row, strict=True)}


def _aside(connection: duckdb.DuckDBPyConnection, settings: Settings) -> dict[str, float]:
    ledger = f"delta_scan({text(str(settings.silver('governance.batch')))})"
    rows = connection.execute(
        f"SELECT contract_id, sum(rows_quarantined) / sum(rows_in) FROM {ledger} GROUP BY 1 HAVING sum(rows_in) > 0"
    ).fetchall()
    return {contract_id: float(share) for contract_id, share in rows}


def measure_marts(settings: Settings | None = None, as_of: date | None = None) -> list[Measured]:
    """Compute the figures of the datasets: rows lost on the way from silver, shares and spreads to be believed.

    Args:
        settings: platform settings.
        as_of: not used: marts are as fresh as silver.

    Raises:
        BadArgumentsError: the datasets were not built yet.
        TryAgainError: they are being built.
    """
    settings = settings or get_settings()
    if not settings.warehouse.is_file():
        raise BadArgumentsError("No datasets were built yet: run `customs datasets build` first.")
    built = datasets(settings)
    try:
        connection = duck_connection(settings.warehouse, settings=settings, read_only=True)
    except duckdb.IOException as error:
        raise TryAgainError(f"{settings.warehouse} is being built: try again when that has finished.") from error
    volume = Expectation("row_count", "coverage", "warning", "The dataset has rows.", minimum=1)
    measured = []
    try:
        there = {
            row[0]
            for row in connection.execute(
                "SELECT table_schema || '.' || table_name FROM information_schema.tables"
            ).fetchall()
        }
        for dataset in built.values():
            this = f"{dataset.schema}.{dataset.name}"
            # the gate of marts runs before the serving models are built for the first time
            if this not in there:
                continue
            own = MARTS.get(dataset.name, ())
            figures = ", ".join(
                ["count(*) AS row_count", *(f"{sql.replace('{this}', this)} AS {e.metric}" for sql, e in own)]
            )
            row = _one_row(connection, f"SELECT {figures} FROM {this}")
            rows_wanted = () if dataset.may_be_empty else (volume,)
            measured.append(Measured(dataset.name, row, (*rows_wanted, *(e for _, e in own))))
    finally:
        connection.close()
    return measured


MEASURES: dict[str, Callable[..., list[Measured]]] = {"silver": measure_silver, "marts": measure_marts}


def _context(site: Path) -> Any:
    """Return a Great Expectations context that asks nobody, shows no progress bars and writes its site to a folder.

    It lives in memory: a context in files writes its whole configuration anew for every table that is added.
    """
    warnings.filterwarnings("ignore", module="great_expectations")
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    configuration = DataContextConfig(
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={
            "report": {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)},
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            }
        },
    )
    return gx.get_context(project_config=configuration, mode="ephemeral")


def reports_folder(settings: Settings) -> Path:
    """Return the folder of the quality reports: ``runs/<run id>/`` each, ``<gate>`` leads to the newest of a gate."""
    return settings.home / "quality" / "data_docs"


def judge(
    gate: str, measured: Sequence[Measured], settings: Settings | None = None, run_id: str | None = None
) -> list[Result]:
    """Let Great Expectations judge the figures and publish its Data Docs; those of former runs stay for 30 days.

    Args:
        gate: ``silver`` or ``marts``; names the part of the site.
        measured: figures of the tables.
        settings: platform settings.
        run_id: names the folder of the run's pages; default a new one.

    Returns:
        One result per expectation. ``raised`` is set where the expectation itself could not be evaluated.
    """
    settings = settings or get_settings()
    run_id = run_id or uuid.uuid4().hex
    building = reports_folder(settings).with_name(f".{gate}.next")
    shutil.rmtree(building, ignore_errors=True)
    context = _context(building)

    import great_expectations as gx
    import pandas as pd

    source = context.data_sources.add_pandas("figures")
    results = []
    for table in measured:
        frame = pd.DataFrame([table.figures], dtype="float64")
        batch = source.add_dataframe_asset(table.dataset).add_batch_definition_whole_dataframe("figures")
        suite = context.suites.add(
            gx.ExpectationSuite(name=table.dataset, expectations=[e.configuration() for e in table.expected])
        )
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name=table.dataset, data=batch, suite=suite)
        )
        outcome = definition.run(batch_parameters={"dataframe": frame}, result_format="BASIC")
        by_metric = {r.expectation_config.kwargs["column"]: r for r in outcome.results}
        for expected in table.expected:
            found = by_metric[expected.metric]
            raised = _raised(found.exception_info)
            results.append(
                Result(table.dataset, expected, table.figures.get(expected.metric), bool(found.success), raised)
            )
    context.build_data_docs()
    _publish(gate, building, run_id, results, settings)
    return results


def _raised(info: Mapping[str, Any] | None) -> str | None:
    """Return the message of an exception; GX gives one record, or one per metric."""
    records = [info or {}] if "raised_exception" in (info or {}) else list((info or {}).values())
    for record in records:
        if isinstance(record, Mapping) and record.get("raised_exception"):
            return str(record.get("exception_message"))
    return None


def _publish(gate: str, building: Path, run_id: str, results: Sequence[Result], settings: Settings) -> None:
    docs = reports_folder(settings)
    _make_readable(building)
    summary = {
        "gate": gate,
        "judged_at": datetime.now(ZoneInfo(settings.office_time_zone)).isoformat(timespec="minutes"),
        "expectations": len(results),
        "failed": [
            {
                "dataset": r.dataset,
                "expectation": r.words,
                "observed": r.observed_words,
                "severity": r.expectation.severity,
                "about": r.expectation.description,
            }
            for r in results
            if not r.passed
        ],
    }
    (building / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    (building / "index.html").write_text(_run_page(gate, building, results), encoding="utf-8")
    place = docs / "runs" / run_id
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    building.rename(place)
    newest = docs / gate
    if newest.is_dir() and not newest.is_symlink():  # as it was before runs were kept
        shutil.rmtree(newest)
    following = docs / f".{gate}"
    following.unlink(missing_ok=True)
    following.symlink_to(Path("runs") / run_id)
    os.replace(following, newest)
    _remove_old_runs(docs)
    parts = [json.loads(f.read_text(encoding="utf-8")) for g in GATES if (f := docs / g / "summary.json").is_file()]
    (docs / "index.html").write_text(_page(parts), encoding="utf-8")


def report_page(run_id: str, dataset: str, settings: Settings) -> str | None:
    """Return the page of a run about a table, below the folder of the quality reports; None when it has none."""
    docs = reports_folder(settings)
    page = _page_of(docs / "runs" / run_id, dataset)
    return str((docs / "runs" / run_id / page).relative_to(docs)) if page else None


def _page_of(run: Path, dataset: str) -> str | None:
    found = sorted((run / "validations" / dataset).rglob("*.html"))
    return str(found[-1].relative_to(run)) if found else None


def _make_readable(site: Path) -> None:
    """Let the pages do without other hosts, and drop the pictures that explain Great Expectations."""
    style = f"<style>{_REPORT_STYLE}</style></head>"
    for page in site.rglob("*.html"):
        content = page.read_text(encoding="utf-8")
        page.write_text(_FOREIGN.sub("", content).replace("</head>", style, 1), encoding="utf-8")
    shutil.rmtree(site / "static", ignore_errors=True)


def _remove_old_runs(docs: Path) -> None:
    oldest = datetime.now(UTC) - timedelta(days=REPORT_DAYS)
    newest = {(docs / gate).resolve() for gate in GATES}
    for run in (docs / "runs").iterdir():
        if run.stat().st_mtime < oldest.timestamp() and run.resolve() not in newest:
            shutil.rmtree(run)


def _run_page(gate: str, run: Path, results: Sequence[Result]) -> str:
    """Return the first page of a run: its tables, what was not met, and the way to each table's page."""
    rows = []
    for dataset in dict.fromkeys(r.dataset for r in results):
        own = [r for r in results if r.dataset == dataset]
        failed = "; ".join(f"{r.words} ({r.observed_words})" for r in own if not r.passed)
        link = html.escape(_page_of(run, dataset) or "", quote=True)
        name = html.escape(dataset)
        rows.append(f"<tr><td><a href='{link}'>{name}</a></td><td>{len(own)}</td><td>{html.escape(failed)}</td></tr>")
    heads = "<tr><th>Table</th><th>Expectations</th><th>Not met (observed)</th></tr>"
    return _document(f"Gate {gate}", f"<table>{heads}{''.join(rows)}</table>")


def _document(title: str, body: str) -> str:
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>\n"
    )


def _page(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return the first page of the report: what failed, and the way to each gate's Data Docs."""
    sections = []
    for part in parts:
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(f[k]))}</td>" for k in f) + "</tr>" for f in part["failed"]
        )
        heads = "".join(f"<th>{h}</th>" for h in ("Table", "Expected", "Observed", "Severity", "Meaning"))
        sections.append(
            f"<h2><a href='{part['gate']}/index.html'>Gate {part['gate']}</a></h2>"
            f"<p>{part['expectations']} expectations judged {html.escape(part['judged_at'])}, "
            f"{len(part['failed'])} not met.</p>" + (f"<table><tr>{heads}</tr>{rows}</table>" if rows else "")
        )
    return _document("Data quality", "".join(sections))


def record(gate: str, results: Sequence[Result], settings: Settings | None = None, run_id: str | None = None) -> str:
    """Append the results to ``governance.quality_result``, with the pages of the run, and return the run's id."""
    settings = settings or get_settings()
    run_id = run_id or uuid.uuid4().hex
    pages = {dataset: report_page(run_id, dataset, settings) for dataset in {r.dataset for r in results}}
    moment = datetime.now(UTC)
    rows = pa.Table.from_pylist(
        [
            {
                "run_id": run_id,
                "gate": gate,
                "dataset": r.dataset,
                "expectation": r.words,
                "dimension": r.expectation.dimension,
                "is_passed": r.passed,
                "observed_value": r.observed_words,
                "rule_severity": r.expectation.severity,
                "measured_at": moment,
                "report_page": pages[r.dataset],
            }
            for r in results
        ]
    )
    write_table("governance.quality_result", rows, mode="append", settings=settings)
    return run_id


def stop_if_failed(results: Sequence[Result]) -> None:
    """Raise what the gate ended in.

    Raises:
        CustomsError: an expectation could not be evaluated: a fault of the platform, not of the data.
        DataContractError: an expectation of severity error was not met.
    """
    for r in results:
        if r.raised:
            raise CustomsError(f"{r.dataset}: expectation {r.words} could not be evaluated: {r.raised}")
    failed = [r for r in results if not r.passed and r.expectation.severity == "error"]
    if failed:
        words = "; ".join(f"{r.dataset}: expected {r.words}, observed {r.observed_words}" for r in failed[:5])
        raise DataContractError(
            f"{len(failed)} expectations not met: {words}{' …' if len(failed) > 5 else ''}. "
            "See quality/data_docs/index.html; correct the data at its source and ingest it again."
        )


def run_gate(gate: str, settings: Settings | None = None, as_of: date | None = None) -> list[Result]:
    """Measure, judge, publish and record a gate; the caller decides with ``stop_if_failed``.

    Raises:
        BadArgumentsError: there is no such gate.
    """
    if gate not in MEASURES:
        raise BadArgumentsError(f"There is no gate '{gate}': use {' or '.join(GATES)}.")
    run_id = uuid.uuid4().hex
    results = judge(gate, MEASURES[gate](settings, as_of), settings, run_id)
    record(gate, results, settings, run_id)
    if failed := [one for one in results if not one.passed and one.expectation.severity == "error"]:
        detail = {"run": run_id, "datasets": sorted({one.dataset for one in failed}), "expectations": len(failed)}
        audit.record("quality.gate_failed", "system:quality", gate, detail, settings=settings)
    return results
