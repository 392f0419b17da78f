import csv
import dataclasses
import gzip
from collections import defaultdict
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.emit.sql import cast_expression, derivation_expression, quote, rules
from data_contracts.layout import load_layouts
from data_contracts.loader import load_contracts
from infra.simulator.scale import SCALES
from infra.simulator.simulation import Request, simulate

# The window crosses the reform of the ranks, a year's end and the festival of 6-18.
FIRST, LAST = date(2025, 11, 3), date(2026, 6, 21)
TINY = dataclasses.replace(
    SCALES["small"], name="tiny", declarations_per_year=9_000, lists_per_year=9_000, enterprises=600, merchants=40
)


def run(folder: Path, seed: int = 11, fault_share: float = 0.01, scale=TINY, first: date = FIRST, last: date = LAST):
    """Simulate into <folder>/landing and <folder>/truth."""
    return simulate(Request(scale, first, last, seed, folder / "landing", folder / "truth", fault_share=fault_share))


@dataclasses.dataclass
class World:
    """A finished run: folders, figures, and a DuckDB connection with the good rows typed, one table a contract."""

    folder: Path
    summary: object
    sql: duckdb.DuckDBPyConnection
    broken: dict[str, dict[str, int]]

    @property
    def landing(self) -> Path:
        return self.folder / "landing"

    @property
    def truth(self) -> Path:
        return self.folder / "truth"

    def one(self, query: str):
        return self.sql.sql(query).fetchone()[0]


def landed_lines(landing: Path, truth: Path, feed: str) -> tuple[list[str] | None, list[str]]:
    """Return the CSV header (None for JSON) and the lines of a feed without those the simulator spoiled."""
    spoiled = defaultdict(set)
    for fault in pq.read_table(truth / "faults.parquet").to_pylist():
        if fault["kind"] != "duplicate":
            spoiled[fault["file"]].add(fault["line"])
    header, lines = None, []
    for path in sorted((landing / feed).rglob("*.*")):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as handle:
            for number, line in enumerate(handle, 1):
                if ".csv" in path.name and number == 1:
                    header = next(csv.reader([line]))
                elif number not in spoiled[str(path.relative_to(landing))]:
                    lines.append(line.rstrip("\n"))
    return header, lines


def judge(landing: Path, truth: Path) -> tuple[duckdb.DuckDBPyConnection, dict[str, dict[str, int]]]:
    """Read the good lines through the native layouts, type them, and count broken rules per contract."""
    con = duckdb.connect(config={"threads": 1})
    con.execute("SET timezone = 'UTC'")
    layouts = load_layouts()
    broken: dict[str, dict[str, int]] = {}
    for layout in layouts.values() if isinstance(layouts, dict) else layouts:
        if layout.source_system != "single_window" or not (landing / layout.feed).is_dir():
            continue
        header, lines = landed_lines(landing, truth, layout.feed)
        if layout.format == "csv":
            assert tuple(header) == layout.header
            cells = list(zip(*csv.reader(lines), strict=True))
            landed = pa.table({name: pa.array(column) for name, column in zip(header, cells, strict=True)})
        else:
            landed = pa.table({"message": pa.array(lines)})
        con.register("landed", landed)
        for table in layout.tables:
            contract = load_contracts()[table.contract]
            raw = table.raw_expressions()
            source = "landed" if layout.format == "csv" else "(SELECT CAST(message AS JSON) AS message FROM landed)"
            if table.record != "$":
                array = f"CAST(json_extract(message, '$.{table.record[:-2]}') AS JSON[])"
                source = f"(SELECT message, unnest({array}) AS record FROM {source})"
            columns = ", ".join(f"{sql} AS {quote('raw__' + name)}" for name, sql in raw.items())
            typed = ", ".join(
                f"{cast_expression(f, quote('raw__' + f.name))} AS {quote(f.name)}"
                for f in contract.columns
                if f.name in raw
            )
            record = (
                "'single_window' AS source_system, TIMESTAMPTZ '2026-06-22 00:00:00+00' AS ingested_at, "
                "'b' AS batch_id, 'f' AS source_file, 1 AS source_line, 'h' AS record_hash"
            )
            derived = "".join(f", {derivation_expression(f)} AS {quote(f.name)}" for f in contract.derived)
            con.execute(
                f"CREATE TABLE {contract.table} AS SELECT *{derived} FROM "
                f"(SELECT *, {typed}, {record} FROM (SELECT {columns} FROM {source}))"
            )
            compiled = rules(contract)
            counts = con.sql(
                f"SELECT {', '.join(f'count(*) FILTER (NOT ({r.sql}))' for r in compiled)} FROM {contract.table}"
            ).fetchone()
            broken[contract.id] = {f"{r.id} ({r.severity})": n for r, n in zip(compiled, counts, strict=True) if n}
        con.unregister("landed")
    return con, broken


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    """Half a year of a tiny customs, with five times the usual share of bad rows."""
    folder = tmp_path_factory.mktemp("simulated")
    summary = run(folder)
    sql, broken = judge(folder / "landing", folder / "truth")
    hidden = {
        "truth": "declarations/*",
        "planted": "cbec_cases/*",
        "month": "enterprise_month",
        "aeo_truth": "aeo_validation",
        "faults": "faults",
    }
    for view, files in hidden.items():
        sql.execute(f"CREATE VIEW {view} AS FROM read_parquet('{folder}/truth/{files}.parquet')")
    return World(folder, summary, sql, broken)
