"""What was ingested: write-ahead manifests name a batch before its first commit, the ledger table reports it after.

A manifest is created with the next free sequence number, complete or not at all. While it has no ``.done`` mark beside
it, the batch may be half committed: the next command that touches one of its tables replays it to the end first.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from data_contracts import load_contract
from data_contracts.emit.delta import arrow_schema
from infra.lake.commit import add_actions, append, count_of, lake_connection, table_locks, table_view
from infra.runtime.settings import Settings

LEDGER = "governance.batch"


@dataclass(frozen=True)
class BatchFile:
    """A file of a batch: ``name`` relative to landing, ``raw`` its sealed copy relative to the lake."""

    name: str
    day: str
    size: int
    modified_ns: int
    sha256: str
    layout: str
    signature: str
    lines: int
    header: tuple[str, ...]
    header_line: int
    raw: str


@dataclass(frozen=True)
class RefusedFile:
    """A file that could not be read, and why (``reason`` continues a sentence that starts with the file's name)."""

    name: str
    day: str
    size: int
    modified_ns: int
    reason: str

    @property
    def sentence(self) -> str:
        """Return the refusal as one sentence naming file and remedy."""
        return f"{self.name} {self.reason}."


@dataclass(frozen=True)
class Manifest:
    """A batch: its place in the sequence, its files, and the instant its rows count as ingested."""

    sequence: int
    batch_id: str
    feed: str
    created_at: str
    tables: tuple[str, ...]
    files: tuple[BatchFile, ...]
    refused: tuple[RefusedFile, ...]

    @property
    def ingested_at(self) -> datetime:
        """Return the instant of ingestion, the same in every replay."""
        return datetime.fromisoformat(self.created_at)


def batch_name(feed: str, files: Sequence[BatchFile], refused: Sequence[RefusedFile]) -> str:
    """Return the name of a batch: a hash of the content of its files and of what they are judged by."""
    parts = [feed, *sorted(f"{file.sha256} {file.signature}" for file in files)]
    if not files:
        parts += sorted(f"refused {file.name} {file.size} {file.modified_ns}" for file in refused)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _folder(settings: Settings) -> Path:
    return settings.lake / "batches"


def write_manifest(
    settings: Settings,
    feed: str,
    batch_id: str,
    tables: Sequence[str],
    files: Sequence[BatchFile],
    refused: Sequence[RefusedFile],
) -> Manifest:
    """Record a batch under the next free sequence number, before anything of it is committed."""
    folder = _folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    taken = [int(path.stem) for path in folder.glob("*.json")]
    sequence = max(taken, default=0) + 1
    created = datetime.now(UTC).isoformat(timespec="microseconds")
    while True:
        manifest = Manifest(sequence, batch_id, feed, created, tuple(tables), tuple(files), tuple(refused))
        draft = folder / f".{os.getpid()}.draft"
        with draft.open("w", encoding="utf-8") as handle:
            json.dump(asdict(manifest), handle, indent=1)
            handle.flush()
            os.fsync(handle.fileno())
        try:
            # a link fails if the number is taken and shows the whole content at once
            os.link(draft, folder / f"{sequence:08d}.json")
        except FileExistsError:
            sequence += 1
            continue
        finally:
            draft.unlink()
        return manifest


def _read(path: Path) -> Manifest:
    raw = json.loads(path.read_text(encoding="utf-8"))
    files = tuple(BatchFile(**{**file, "header": tuple(file["header"])}) for file in raw.pop("files"))
    refused = tuple(RefusedFile(**file) for file in raw.pop("refused"))
    return Manifest(files=files, refused=refused, tables=tuple(raw.pop("tables")), **raw)


def manifests(settings: Settings) -> list[Manifest]:
    """Return every batch, oldest first."""
    return [_read(path) for path in sorted(_folder(settings).glob("*.json"))]


def pending(settings: Settings, tables: Sequence[str]) -> list[Manifest]:
    """Return the unfinished batches that touch one of the tables, oldest first."""
    folder = _folder(settings)
    # one look at the folder: a follower asks often, and batches are many
    names = set(os.listdir(folder)) if folder.is_dir() else set()
    unfinished = sorted(n for n in names if n.endswith(".json") and f"{n.removesuffix('.json')}.done" not in names)
    return [one for one in (_read(folder / name) for name in unfinished) if set(one.tables) & set(tables)]


def finish(settings: Settings, manifest: Manifest) -> None:
    """Mark a batch as wholly committed and reported."""
    (_folder(settings) / f"{manifest.sequence:08d}.done").touch()


class Known:
    """What a feed's earlier batches hold, to tell new files from those that came before."""

    def __init__(self, settings: Settings, feed: str) -> None:
        self.settings, self.feed, self.read = settings, feed, 0
        self.contents: set[tuple[str, str]] = set()
        self.stored: dict[tuple[str, int, int], str] = {}
        self.refused: set[tuple[str, int, int]] = set()
        self.refresh()

    def refresh(self) -> None:
        """Take in the batches recorded since the last look."""
        for path in sorted(_folder(self.settings).glob(f"{'[0-9]' * 8}.json")):
            if int(path.stem) > self.read:
                manifest = _read(path)
                self.read = manifest.sequence
                if manifest.feed == self.feed:
                    self.add(manifest)

    def add(self, manifest: Manifest) -> None:
        """Take in a batch."""
        for file in manifest.files:
            self.contents.add((file.sha256, file.signature))
            self.stored[(file.name, file.size, file.modified_ns)] = file.signature
        self.refused |= {(file.name, file.size, file.modified_ns) for file in manifest.refused}


def record(settings: Settings, manifest: Manifest, rows: Sequence[Mapping[str, Any]], wait: float) -> None:
    """Append a batch's rows to the ledger table, once.

    Args:
        settings: platform settings.
        manifest: the batch.
        rows: contract fields that differ by file and table: contract_id, source_file, layout, source_system,
            business_date, file_sha256, file_status, refusal, rows_in, rows_good, rows_quarantined, table_version.
        wait: seconds to wait for another command's entry.
    """
    contract = load_contract(LEDGER)
    path = settings.silver(LEDGER)
    with table_locks(settings, [LEDGER], wait):
        connection = lake_connection(settings)
        try:
            view = table_view(connection, path)
            there = count_of(
                connection,
                f"SELECT count(*) FROM {view} WHERE batch_id = ? AND committed_at >= ?",
                [manifest.batch_id, manifest.ingested_at],
            )
            if there or not rows:
                return
            common = {"batch_id": manifest.batch_id, "feed": manifest.feed, "committed_at": datetime.now(UTC)}
            schema = arrow_schema(contract)
            entries = pa.Table.from_pylist(
                [dict.fromkeys(schema.names) | common | dict(row) for row in rows], schema=schema.remove_metadata()
            )
            connection.register("entries", entries)
            actions = add_actions(
                connection, "SELECT * FROM entries", contract, path, f"{manifest.sequence:08d}-{manifest.batch_id}"
            )
            append(contract, path, actions)
        finally:
            connection.close()


def feed_totals(settings: Settings) -> dict[str, dict[str, int]]:
    """Return {feed: {rows_in, good, quarantined, files, refused}} from the ledger, each file's latest reading once."""
    path = settings.silver(LEDGER)
    if not DeltaTable.is_deltatable(str(path)):
        return {}
    connection = lake_connection(settings)
    try:
        rows = connection.execute(
            f"""
            SELECT feed, sum(rows_in), sum(rows_good), sum(rows_quarantined),
                   count(DISTINCT source_file) FILTER (WHERE file_status = 'ingested'),
                   count(DISTINCT source_file) FILTER (WHERE file_status = 'refused')
            FROM (SELECT * FROM {table_view(connection, path)} QUALIFY row_number() OVER (
                    PARTITION BY feed, contract_id, source_file, file_sha256 ORDER BY committed_at DESC, batch_id) = 1)
            GROUP BY feed ORDER BY feed
            """
        ).fetchall()
    finally:
        connection.close()
    names = ("rows_in", "good", "quarantined", "files", "refused")
    return {feed: dict(zip(names, map(int, figures), strict=True)) for feed, *figures in rows}


def refused_row(manifest: Manifest, file: RefusedFile, contract_id: str) -> dict[str, Any]:
    """Return the ledger entry of a refused file."""
    return {
        "contract_id": contract_id,
        "source_file": file.name,
        "business_date": date.fromisoformat(file.day),
        "file_status": "refused",
        "refusal": file.sentence,
        "rows_in": 0,
        "rows_good": 0,
        "rows_quarantined": 0,
    }
