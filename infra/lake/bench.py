"""What ingest costs beside a plain parse of the same files, and how soon the rows of a small file can be queried.

``python -m infra.lake.bench --rows 300000`` writes e-commerce messages (valid ones, every key distinct), parses them
with DuckDB alone, ingests them into a lake of its own, and prints seconds, CPU seconds and the ratio. Then it lands
small files one by one while ``follow`` runs, and prints the time from landing to the answer of a query, beside a bare
append of the same rows by delta-rs. All in the same run on the same machine: absolute figures depend on the machine;
the ratios hardly do.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread

import duckdb
import pyarrow as pa
from deltalake import write_deltalake

from data_contracts import load_contract, load_layouts
from data_contracts.emit.fixtures import to_message, valid_rows
from infra.lake.commit import lake_connection
from infra.lake.follow import follow
from infra.lake.ingest import ingest_feed
from infra.runtime.settings import Settings, get_settings

FEEDS = {
    "ecommerce_order": "order_no",
    "ecommerce_payment": "payment_transaction_no",
    "ecommerce_waybill": "logistics_no",
    "ecommerce_list": "list_no",
}
_TEMPLATES = 1_000
DAY = "2026-11-20"
FOLLOWED, ROWS_OF_A_FILE = "rail.instruction_result", 20


@dataclass(frozen=True)
class Measured:
    """Cost of one way of reading a feed's file."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class FeedBench:
    """One feed: bytes and rows read, plain parse against whole ingest."""

    feed: str
    rows: int
    megabytes: float
    parse: Measured
    ingest: Measured

    @property
    def ratio(self) -> float:
        """CPU of the whole ingest over CPU of the plain parse."""
        return self.ingest.cpu_seconds / max(self.parse.cpu_seconds, 0.01)


def write_feed(feed: str, rows: int, path: Path) -> None:
    """Write a feed's CSV file: valid messages, repeated with distinct keys."""
    layout = next(layout for layout in load_layouts().values() if layout.feed == feed)
    table = layout.tables[0]
    contract = load_contract(table.contract)
    theirs = dict(table.fields)
    templates = [
        {theirs[name]: value for name, value in row.items() if name in theirs}
        for row in valid_rows(contract, _TEMPLATES)
    ]
    connection = duckdb.connect()
    connection.register("templates", pa.Table.from_pylist(templates))
    key = theirs[FEEDS[feed]]
    number = f"left(\"{key}\", 9) || lpad(CAST(n AS VARCHAR), 9, '0')"
    columns = ", ".join(f'{number} AS "{name}"' if name == key else f'"{name}"' for name in layout.header)
    path.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(
        f"COPY (SELECT {columns} FROM (SELECT *, row_number() OVER () AS n FROM templates, "
        f"range({-(-rows // _TEMPLATES)})) LIMIT {rows}) TO '{path}' (FORMAT csv, HEADER)"
    )
    connection.close()


def measure(work: Callable[[], object]) -> Measured:
    """Run something; return wall and CPU seconds of this process."""
    before, clock = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(round(time.monotonic() - clock, 2), round(cpu, 2))


def bench_feed(feed: str, rows: int, settings: Settings) -> FeedBench:
    """Measure one feed in a lake."""
    path = settings.landing / feed / DAY / f"{feed}.csv"
    write_feed(feed, rows, path)

    def parse() -> None:
        connection = duckdb.connect(config={"threads": settings.duckdb_threads})
        connection.execute(f"CREATE TEMP TABLE parsed AS SELECT * FROM read_csv('{path}', all_varchar = true)")
        connection.close()

    parse()  # file into the page cache
    plain = measure(parse)
    whole = measure(lambda: ingest_feed(feed, settings=settings))
    return FeedBench(feed, rows, round(path.stat().st_size / 1e6, 1), plain, whole)


@dataclass(frozen=True)
class Latency:
    """Seconds from landing to the answer of a query, over many small files."""

    files: int
    rows: int
    follow_median: float
    follow_p99: float
    append_median: float
    append_p99: float

    @property
    def ratio(self) -> float:
        """Median of the whole way over the median of a bare append of the same rows."""
        return self.follow_median / self.append_median


def bench_follow(files: int, rows: int, settings: Settings) -> Latency:
    """Land small files one after the other and wait for each to be queryable; then append the same rows barely.

    Args:
        files: how many.
        rows: rows of each.
        settings: platform settings of a home of its own.
    """
    contract = load_contract(FOLLOWED)
    messages = [to_message(contract, row) for row in valid_rows(contract, rows)]
    key = contract.field(contract.key[0]).source_field or ""
    texts = ["".join(json.dumps(m | {key: f"{n}-{i}"}) + "\n" for i, m in enumerate(messages)) for n in range(files)]
    arrived, stop, ready = Event(), Event(), Event()

    def run() -> None:
        for _ in follow([contract.feed or ""], settings=settings, stop=stop, progress=lambda _: ready.set()):
            arrived.set()

    follower = Thread(target=run)
    follower.start()
    ready.wait()
    time.sleep(1)
    folder = settings.landing / (contract.feed or "") / DAY
    folder.mkdir(parents=True)
    whole = []
    for number, content in enumerate(texts):
        part = folder / f"{number}.jsonl.part"
        part.write_text(content, encoding="utf-8")
        time.sleep(0.05)  # a sender closes, then renames
        arrived.clear()
        clock = time.monotonic()
        os.replace(part, part.with_suffix(""))
        arrived.wait()
        whole.append(_answered(settings, settings.silver(contract.id), (number + 1) * rows, clock))
    stop.set()
    follower.join()
    bare, table = [], settings.home / "bare"
    for number in range(files):
        clock = time.monotonic()
        with lake_connection(settings) as connection:
            read = f"SELECT * FROM read_json('{folder / f'{number}.jsonl'}')"
            write_deltalake(str(table), connection.sql(read).to_arrow_table(), mode="append")
        bare.append(_answered(settings, table, (number + 1) * rows, clock))
    return Latency(files, rows, *_median_and_p99(whole), *_median_and_p99(bare))


def _answered(settings: Settings, table: Path, expected: int, since: float) -> float:
    """Return the seconds until a query counts all rows."""
    with lake_connection(settings) as connection:
        found = connection.execute(f"SELECT count(*) FROM delta_scan('{table}')").fetchall()[0][0]
    if found != expected:
        raise AssertionError(f"{found} rows can be queried, {expected} were landed")
    return time.monotonic() - since


def _median_and_p99(seconds: list[float]) -> tuple[float, float]:
    return round(statistics.median(seconds), 3), round(statistics.quantiles(seconds, n=100, method="inclusive")[98], 3)


def main() -> None:
    """Run the benchmark and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000, help="rows per feed")
    parser.add_argument("--files", type=int, default=200, help="small files landed while following")
    parser.add_argument("--feed", choices=sorted(FEEDS), action="append", help="only this feed (may be repeated)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="customs-bench-") as folder:
        settings = get_settings().model_copy(update={"home": Path(folder), "lake_root": None, "landing_root": None})
        from infra.lake.commit import create_lake

        create_lake(settings)
        done = [bench_feed(feed, chosen.rows, settings) for feed in chosen.feed or FEEDS]
        late = bench_follow(chosen.files, ROWS_OF_A_FILE, settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if chosen.json:
        feeds = [asdict(one) | {"ratio": round(one.ratio, 1)} for one in done]
        result = {"feeds": feeds, "follow": asdict(late) | {"ratio": round(late.ratio, 1)}, "peak_mb": round(peak)}
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
        return
    sys.stdout.write(
        f"{'feed':<20}{'rows':>10}{'MB':>8}{'parse s':>9}{'CPU':>7}{'ingest s':>10}{'CPU':>7}{'ratio':>7}\n"
    )
    for one in done:
        sys.stdout.write(
            f"{one.feed:<20}{one.rows:>10,}{one.megabytes:>8}{one.parse.seconds:>9}{one.parse.cpu_seconds:>7}"
            f"{one.ingest.seconds:>10}{one.ingest.cpu_seconds:>7}{one.ratio:>7.1f}\n"
        )
    sys.stdout.write(f"total ingest {sum(one.ingest.seconds for one in done):.1f} s, peak memory {peak:,.0f} MB\n\n")
    sys.stdout.write(f"{'landed to queryable':<36}{'median s':>10}{'p99 s':>8}\n")
    sys.stdout.write(f"{'follow':<36}{late.follow_median:>10.2f}{late.follow_p99:>8.2f}\n")
    sys.stdout.write(f"{'bare delta-rs append':<36}{late.append_median:>10.2f}{late.append_p99:>8.2f}\n")
    sys.stdout.write(f"{late.files} files of {late.rows} rows, ratio of the medians {late.ratio:.1f}\n")


if __name__ == "__main__":
    main()
