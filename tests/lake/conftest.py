import csv
import gzip
import io
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from data_contracts import load_contract, load_layouts
from data_contracts.emit.fixtures import to_message, valid_rows
from infra.lake.commit import create_lake, lake_connection
from infra.lake.ingest import FeedOutcome, ingest_feed
from infra.runtime.settings import Settings

DAY = date(2026, 4, 30)


class Lake:
    """A lake of one test: land files, ingest, look."""

    day = DAY

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def valid(self, contract_id: str, count: int) -> list[dict[str, Any]]:
        return valid_rows(load_contract(contract_id), count)

    def csv_text(self, feed: str, rows: Sequence[Mapping[str, Any]], header: Sequence[str] | None = None) -> str:
        return csv_text(feed, rows, header)

    def header(self, feed: str) -> tuple[str, ...]:
        return layout_of(feed).header

    def declaration(self, number: int = 0, **changes: Any) -> dict:
        return declaration_message(number, **changes)

    def land(self, feed: str, name: str, content: bytes | str, day: date = DAY) -> Path:
        path = self.settings.landing / feed / day.isoformat() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return path

    def land_messages(self, feed: str, messages: Iterable[Mapping], name: str = "a.jsonl", day: date = DAY) -> Path:
        return self.land(feed, name, "".join(json.dumps(message) + "\n" for message in messages), day)

    def land_rows(self, feed: str, rows: Sequence[Mapping[str, Any]], name: str = "a.csv", day: date = DAY) -> Path:
        """Rows by our field names, written in the feed's own layout."""
        return self.land(feed, name, csv_text(feed, rows), day)

    def ingest(self, feed: str, **options: Any) -> FeedOutcome:
        return ingest_feed(feed, settings=self.settings, wait=0, **options)

    def rows(self, contract_id: str, columns: str = "*", where: str = "TRUE") -> list[tuple]:
        return self._rows(self.settings.silver(contract_id), columns, where)

    def quarantined(self, contract_id: str, columns: str = "source_line, rule_ids", where: str = "TRUE") -> list[tuple]:
        return self._rows(self.settings.quarantine(contract_id), columns, where)

    def _rows(self, path: Path, columns: str, where: str) -> list[tuple]:
        with lake_connection(self.settings) as connection:
            return connection.execute(
                f"SELECT {columns} FROM delta_scan('{path}') WHERE {where} ORDER BY ALL"
            ).fetchall()


def layout_of(feed: str):
    return next(one for one in load_layouts().values() if one.feed == feed and one.source_system == "single_window")


def csv_text(feed: str, rows: Sequence[Mapping[str, Any]], header: Sequence[str] | None = None) -> str:
    layout = layout_of(feed)
    theirs = dict(layout.tables[0].fields)
    header = header or layout.header
    out = io.StringIO()
    writer = csv.DictWriter(out, header, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({theirs[name]: value for name, value in row.items() if name in theirs} for row in rows)
    return out.getvalue()


@cache
def _valid(contract_id: str) -> list[dict[str, Any]]:
    return valid_rows(load_contract(contract_id), 130)


def declaration_message(number: int = 0, **changes: Any) -> dict:
    """A valid declaration message with two items; changes are by the source's own names."""
    header = load_contract("declarations.declaration")
    item = load_contract("declarations.declaration_item")
    message = to_message(header, _valid(header.id)[number])
    items = []
    for place, row in enumerate(_valid(item.id)[2 * number : 2 * number + 2], 1):
        element = to_message(item, row)["items"][0]
        element["gNo"] = str(place)
        items.append(element)
    message["items"] = items
    message["itemCount"] = "2"
    return message | changes


@pytest.fixture(scope="session")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("lake")
    create_lake(Settings(home=home))
    return home


@pytest.fixture(scope="session")
def new_lake(empty_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Lake]:
    def make() -> Lake:
        home = tmp_path_factory.mktemp("home") / "home"
        shutil.copytree(empty_lake, home)
        return Lake(Settings(home=home, duckdb_threads=1, duckdb_memory_limit="1GB"))

    return make


@pytest.fixture
def lake(new_lake: Callable[[], Lake]) -> Lake:
    return new_lake()
