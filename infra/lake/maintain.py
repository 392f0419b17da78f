"""Keeping tables fast and small: join small files, remove what no version needs, age out features and originals."""

import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, WriterProperties

from data_contracts import load_contracts
from infra.lake.commit import table_locks
from infra.lake.ledger import manifests
from infra.runtime import audit
from infra.runtime.settings import Settings

# longer than the longest reader (dbt, Spark features, a scoring run)
RETENTION_HOURS = 168
TARGET_BYTES = 128 << 20


@dataclass(frozen=True)
class Maintained:
    """What maintenance did to one table."""

    table: str
    files_before: int
    files_after: int
    removed: int
    seconds: float


def lake_tables(settings: Settings) -> dict[str, tuple[str, Path]]:
    """Return {name: (contract id, path)} of every table that exists; quarantine tables as ``quarantine/<table>``."""
    found = {}
    for contract in load_contracts().values():
        for name, path in (
            (contract.table, settings.silver(contract.id)),
            (f"quarantine/{contract.table}", settings.quarantine(contract.id)),
        ):
            if DeltaTable.is_deltatable(str(path)):
                found[name] = (contract.id, path)
    return found


def maintain(
    settings: Settings, *, retention_hours: int = RETENTION_HOURS, wait: float = 600, progress: Callable[[str], None]
) -> list[Maintained]:
    """Look after every table in turn, each under its writer's lock.

    Args:
        settings: platform settings.
        retention_hours: files that left the table longer ago are deleted; time travel reaches back that far.
        wait: seconds to wait for a writer.
        progress: called with one line per table that changed.

    Raises:
        TryAgainError: a table is being written.
    """
    done = []
    for name, (contract_id, path) in lake_tables(settings).items():
        clock = time.monotonic()
        with table_locks(settings, [contract_id], wait):
            table = DeltaTable(str(path))
            before = len(table.file_uris())
            if _crowded(table):
                table.optimize.compact(
                    target_size=TARGET_BYTES,
                    writer_properties=WriterProperties(compression="ZSTD"),
                    max_concurrent_tasks=2,
                )
            done.append(_tidied(name, table, before, retention_hours, clock))
    for path in sorted(settings.features("").glob("*")):
        if not DeltaTable.is_deltatable(str(path)):
            continue
        clock = time.monotonic()
        name = f"features/{path.name}"
        with table_locks(settings, [f"features.{path.name}"], wait):
            table = DeltaTable(str(path))
            before = len(table.file_uris())
            _drop_old_days(table, settings.features_kept_days)
            done.append(_tidied(name, table, before, retention_hours, clock))
    for one in done:
        if one.files_before != one.files_after or one.removed:
            progress(f"{one.table}: {one.files_before} files became {one.files_after}, {one.removed} old files removed")
    _clear_scratch(settings)
    _remove_expired_originals(settings, progress)
    return done


def _tidied(name: str, table: DeltaTable, before: int, retention_hours: int, clock: float) -> Maintained:
    """Delete files that left the table long ago and write a checkpoint."""
    removed = table.vacuum(retention_hours=retention_hours, dry_run=False, enforce_retention_duration=False)
    table.update_incremental()
    if table.version() > 0:
        table.create_checkpoint()
    after = len(table.file_uris())
    return Maintained(name, before, after, len(removed), round(time.monotonic() - clock, 2))


def _drop_old_days(table: DeltaTable, kept: int) -> None:
    """Drop the features of days more than ``kept`` before the newest built: any day can be built again from silver."""
    days = sorted({str(partition["as_of"]) for partition in table.partitions()})
    oldest = date.fromisoformat(days[-1]) - timedelta(days=kept) if days else None
    if oldest and days[0] < oldest.isoformat():
        table.delete(f"as_of < DATE '{oldest.isoformat()}'")


def _crowded(table: DeltaTable) -> bool:
    """Return whether some partition has more than one file that is small."""
    small = Counter(
        str(action.get("partition"))
        for action in pa.table(table.get_add_actions(flatten=False)).to_pylist()
        if action["size_bytes"] < TARGET_BYTES
    )
    return any(count > 1 for count in small.values())


def _remove_expired_originals(settings: Settings, progress: Callable[[str], None]) -> None:
    """Delete sealed originals older than the longest retention of the tables they fed."""
    contracts = load_contracts()
    for manifest in manifests(settings):
        fed = [_lifetime(contracts[name].retention) for name in manifest.tables if name in contracts]
        limits = [limit for limit in fed if limit is not None]
        if not limits or len(limits) < len(fed):
            continue
        folder = settings.raw(manifest.feed) / manifest.batch_id
        if folder.is_dir() and manifest.ingested_at + max(limits) < datetime.now(UTC):
            shutil.rmtree(folder)
            audit.record(
                "raw.purged", "system:maintain", manifest.feed, {"batch": manifest.batch_id}, settings=settings
            )
            progress(f"{manifest.feed}: originals of batch {manifest.batch_id} reached the end of their retention")


def _lifetime(retention: str) -> timedelta | None:
    """Return how long rows of a contract are kept (``10y``, ``180d``), None when for good."""
    days = {"d": 1, "m": 31, "y": 366}.get(retention[-1:])
    return timedelta(days=int(retention[:-1]) * days) if days and retention[:-1].isdigit() else None


def _clear_scratch(settings: Settings) -> None:
    """Remove copies of files an interrupted ingest left; a running one holds its feed's lock."""
    for incoming in settings.lake.glob("raw/*/.incoming"):
        with table_locks(settings, [f"feed-{incoming.parent.name}"], wait=0):
            shutil.rmtree(incoming, ignore_errors=True)
