"""How landed files become committed table versions: parse, type, judge by the contract, split, de-duplicate, commit.

One call takes all new files of a feed as one batch (several, when they are large). DuckDB does the rows, delta-rs the
commits; the manifest of ``infra.lake.ledger`` makes a batch repeatable: killed anywhere, it is replayed to its end.
"""

import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from data_contracts import load_contract, load_layouts
from data_contracts.emit.sql import (
    CompiledRule,
    cast_expression,
    compared_fields,
    derivation_expression,
    history_rules,
    hmac_sha256,
    quote,
    raw_column,
    rules,
    text,
    with_before,
)
from data_contracts.model import Contract, Layout, LayoutTable
from infra.lake import ledger
from infra.lake.commit import (
    Commit,
    add_actions,
    append,
    count_of,
    create_lake,
    lake_connection,
    merge,
    quarantine_contract,
    remove_leftovers,
    satisfied,
    table_locks,
    table_view,
)
from infra.lake.files import LandedFile, RefusedFileError, landed_files, line_batches, seal
from infra.lake.ledger import BatchFile, Manifest, RefusedFile
from infra.lake.pseudonym import Key, fingerprint, load_keys
from infra.runtime.errors import BadArgumentsError, CustomsError
from infra.runtime.settings import Settings, get_settings

BATCH_BYTES = 2 << 30
BATCH_FILES = 2_000
# no instant or sequence sorts before every given one
_NEVER = "TIMESTAMPTZ '0001-01-01 00:00:00+00'"

# Faults of a row as a whole, before any field can be judged.
BROKEN_JSON = CompiledRule("record.json", "error", "", "The line is one JSON object.", "conformity", "record")
RAGGED = CompiledRule(
    "record.fields", "error", "", "The line has as many fields as the header, quotes balanced.", "conformity", "record"
)
NO_LIST = CompiledRule("record.list", "error", "", "The nested records are a list.", "conformity", "record")
RECORD_FAULTS = (BROKEN_JSON, RAGGED, NO_LIST)


@dataclass
class TableCounts:
    """What one batch did to one table."""

    rows_in: int = 0
    good: int = 0
    quarantined: int = 0
    superseded: int = 0
    version: int | None = None
    warnings: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass
class FeedOutcome:
    """What one call did for one feed.

    ``refused`` holds one sentence per file that could not be read, ``entries`` the ledger's rows by file and table.
    """

    feed: str
    files: int = 0
    known: int = 0
    batches: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    tables: dict[str, TableCounts] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the figures of the run report."""
        totals = {
            name: sum(getattr(counts, name) for counts in self.tables.values())
            for name in ("rows_in", "good", "quarantined")
        }
        return {
            "files": self.files,
            "known": self.known,
            "batches": self.batches,
            "refused": self.refused,
            **totals,
            "tables": {
                name: {key: value for key, value in vars(counts).items() if value not in ({}, None)}
                for name, counts in self.tables.items()
            },
            "seconds": round(self.seconds, 2),
        }


def feeds() -> dict[str, tuple[str, ...]]:
    """Return {feed: contracts its layouts bring rows for}."""
    found: dict[str, dict[str, None]] = {}
    for layout in load_layouts().values():
        found.setdefault(layout.feed, {}).update(dict.fromkeys(layout.contracts))
    return {feed: tuple(contracts) for feed, contracts in sorted(found.items())}


def _nowhere(_: str) -> None:
    """Do nothing: fault points are for tests."""


def ingest_feed(
    feed: str,
    first: date | None = None,
    last: date | None = None,
    *,
    settings: Settings | None = None,
    wait: float = 600,
    settle: float = 0,
    known: ledger.Known | None = None,
    progress: Callable[[str], None] = _nowhere,
    reached: Callable[[str], None] = _nowhere,
) -> FeedOutcome:
    """Ingest the files of a feed that were not ingested yet.

    Args:
        feed: feed folder in landing, for example ``declarations``.
        first: first day folder, inclusive; default the oldest.
        last: last day folder, inclusive; default the newest.
        settings: platform settings.
        wait: seconds to wait for another command that writes the same tables.
        settle: leave out files that may still be written: changed in place within this many seconds.
        known: what the feed's earlier batches hold, where the caller keeps it; default read anew.
        progress: called with one line per step.
        reached: called at each named fault point; tests raise or kill there.

    Returns:
        Counts per table, and a sentence per refused file; an empty feed gives an empty outcome.

    Raises:
        BadArgumentsError: no such feed.
        TryAgainError: another command writes the tables.
        CustomsError: rows in are not rows good plus rows quarantined, a bug.
    """
    settings = settings or get_settings()
    known_feeds = feeds()
    if feed not in known_feeds:
        raise BadArgumentsError(f"There is no feed '{feed}'; feeds are {', '.join(known_feeds)}.")
    if first and last and first > last:
        raise BadArgumentsError(f"--from {first} is after --to {last}: give the earlier day first.")
    clock = time.monotonic()
    outcome = FeedOutcome(feed)
    landed = landed_files(settings.landing, feed, first, last)
    if landed or ledger.pending(settings, known_feeds[feed]):
        create_lake(settings, [*known_feeds[feed], ledger.LEDGER])
        with table_locks(settings, [f"feed-{feed}", *known_feeds[feed]], wait):
            _replay_unfinished(settings, known_feeds[feed], outcome, wait, progress, reached)
            known = known or ledger.Known(settings, feed)
            for manifest in _new_batches(settings, feed, landed, known, settle, outcome, progress, reached):
                _commit_batch(settings, manifest, outcome, wait, progress, reached)
    outcome.seconds = time.monotonic() - clock
    return outcome


def _replay_unfinished(
    settings: Settings,
    tables: Sequence[str],
    outcome: FeedOutcome,
    wait: float,
    progress: Callable[[str], None],
    reached: Callable[[str], None],
) -> None:
    for manifest in ledger.pending(settings, tables):
        progress(f"{manifest.feed}: finishing batch {manifest.batch_id}, which was interrupted")
        others = set(manifest.tables) - set(tables)
        # never wait while holding locks: two commands could wait for each other
        with table_locks(settings, sorted(others), wait=0):
            target = outcome if manifest.feed == outcome.feed else FeedOutcome(manifest.feed)
            _commit_batch(settings, manifest, target, wait, progress, reached)


def signature(layout: Layout, keys: Mapping[str, Key]) -> str:
    """Return what a file of the layout is judged and written by: layout, contract versions, pseudonym keys.

    A file is new again when this changes, so a new contract version or key re-reads the history on the next ingest.
    """
    contracts = [load_contract(table.contract) for table in layout.tables]
    versions = ",".join(f"{contract.id}={contract.version}" for contract in contracts)
    purposes = {f.purpose for contract in contracts for f in contract.columns if f.mask == "hmac" and f.purpose}
    mark = fingerprint(keys, purposes)
    return f"{layout.id}|{versions}" + (f"|{mark}" if mark else "")


def unread(
    settings: Settings, feed: str, landed: Sequence[LandedFile], known: ledger.Known, settle: float = 0
) -> tuple[list[tuple[LandedFile, os.stat_result]], int, int]:
    """Return the files no batch has taken, how many were taken before, and how many may still be written.

    A file is complete when its last change was no write (it was renamed into place), or lies ``settle`` seconds back.
    """
    known.refresh()
    current = set(_signatures(settings, feed).values())
    fresh, taken, unsettled, now = [], 0, 0, time.time()
    for file in landed:
        try:
            stat = file.path.stat()
        except FileNotFoundError:  # taken away since the folder was read
            continue
        mark = (file.name, stat.st_size, stat.st_mtime_ns)
        if known.stored.get(mark) in current or mark in known.refused:
            taken += 1
        elif stat.st_ctime_ns == stat.st_mtime_ns and now - stat.st_ctime < settle:
            unsettled += 1
        else:
            fresh.append((file, stat))
    return fresh, taken, unsettled


def _signatures(settings: Settings, feed: str) -> dict[str, str]:
    keys = load_keys(settings)
    return {layout.id: signature(layout, keys) for layout in load_layouts().values() if layout.feed == feed}


def _new_batches(
    settings: Settings,
    feed: str,
    landed: Sequence[LandedFile],
    known: ledger.Known,
    settle: float,
    outcome: FeedOutcome,
    progress: Callable[[str], None],
    reached: Callable[[str], None],
) -> Iterable[Manifest]:
    """Check and seal new files and yield them as recorded batches, each bounded in size."""
    layouts = [layout for layout in load_layouts().values() if layout.feed == feed]
    current = _signatures(settings, feed)
    fresh, taken, _ = unread(settings, feed, landed, known, settle)
    outcome.known += taken
    for group in _bounded(fresh):
        batch = _seal_group(settings, feed, group, layouts, current, known, outcome, progress)
        if batch is None:
            continue
        reached("sealed")
        known.add(batch)
        reached("manifest")
        yield batch


def _bounded(
    files: Sequence[tuple[LandedFile, os.stat_result]],
) -> Iterable[list[tuple[LandedFile, os.stat_result]]]:
    group: list[tuple[LandedFile, os.stat_result]] = []
    size = 0
    for file, stat in files:
        if group and (len(group) >= BATCH_FILES or size + stat.st_size > BATCH_BYTES):
            yield group
            group, size = [], 0
        group.append((file, stat))
        size += stat.st_size
    if group:
        yield group


def _seal_group(
    settings: Settings,
    feed: str,
    group: Sequence[tuple[LandedFile, os.stat_result]],
    layouts: Sequence[Layout],
    current: dict[str, str],
    known: ledger.Known,
    outcome: FeedOutcome,
    progress: Callable[[str], None],
) -> Manifest | None:
    clock = time.monotonic()
    incoming = settings.raw(feed) / ".incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True, mode=0o700)
    settings.raw(feed).chmod(0o700)
    files: list[tuple[BatchFile, Path]] = []
    refused: list[RefusedFile] = []
    contents: set[tuple[str, str]] = set()
    for number, (file, stat) in enumerate(group):
        destination = incoming / f"{number:06d}{'.gz' if file.path.suffix == '.gz' else ''}"
        try:
            sealed = seal(file.path, layouts, destination, settings.max_line_bytes)
        except RefusedFileError as error:
            bad = RefusedFile(file.name, file.day.isoformat(), stat.st_size, stat.st_mtime_ns, str(error))
            refused.append(bad)
            outcome.refused.append(bad.sentence)
            progress(f"{feed}: refused {bad.sentence}")
            continue
        identity = (sealed.sha256, current[sealed.layout])
        if identity in known.contents or identity in contents:
            outcome.known += 1
            destination.unlink()
            continue
        contents.add(identity)
        entry = BatchFile(
            name=file.name,
            day=file.day.isoformat(),
            size=stat.st_size,
            modified_ns=stat.st_mtime_ns,
            sha256=sealed.sha256,
            layout=sealed.layout,
            signature=current[sealed.layout],
            lines=sealed.lines,
            header=sealed.header,
            header_line=sealed.header_line,
            raw="",
        )
        files.append((entry, destination))
    if not files and not refused:
        return None
    batch_id = ledger.batch_name(feed, [file for file, _ in files], refused)
    batch = [_move_to_raw(settings, feed, batch_id, file, sealed) for file, sealed in files]
    shutil.rmtree(incoming, ignore_errors=True)
    used = {file.layout for file in batch}
    tables = sorted({contract for layout in layouts if layout.id in used for contract in layout.contracts})
    outcome.files += len(batch)
    if batch:
        size = sum(file.size for file in batch)
        progress(
            f"{feed}: checked and sealed {len(batch)} files, {size / 1e6:,.1f} MB, in {time.monotonic() - clock:.1f} s"
        )
    return ledger.write_manifest(settings, feed, batch_id, tables, batch, refused)


def _move_to_raw(settings: Settings, feed: str, batch_id: str, file: BatchFile, sealed: Path) -> BatchFile:
    target = settings.raw(feed) / batch_id / file.day / Path(file.name).name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    (settings.raw(feed) / batch_id).chmod(0o700)
    os.replace(sealed, target)
    return replace(file, raw=str(target.relative_to(settings.lake)))


def _commit_batch(
    settings: Settings,
    manifest: Manifest,
    outcome: FeedOutcome,
    wait: float,
    progress: Callable[[str], None],
    reached: Callable[[str], None],
) -> None:
    entries: list[dict[str, Any]] = []
    layouts = load_layouts()
    for contract_id in manifest.tables:
        clock = time.monotonic()
        counts, rows = _Table(settings, manifest, load_contract(contract_id), reached).commit()
        entries += rows
        total = outcome.tables.setdefault(contract_id, TableCounts())
        for name in ("rows_in", "good", "quarantined", "superseded"):
            setattr(total, name, getattr(total, name) + getattr(counts, name))
        total.version = counts.version
        for name in ("warnings", "reasons"):
            for rule, number in getattr(counts, name).items():
                getattr(total, name)[rule] = getattr(total, name).get(rule, 0) + number
        progress(
            f"{manifest.feed}: {contract_id} {counts.rows_in:,} rows in, {counts.good:,} good, "
            f"{counts.quarantined:,} quarantined, in {time.monotonic() - clock:.1f} s"
        )
    home = next((one.contracts[0] for one in layouts.values() if one.feed == manifest.feed), "")
    entries += [ledger.refused_row(manifest, file, home) for file in manifest.refused]
    reached("before_ledger")
    ledger.record(settings, manifest, entries, wait)
    reached("after_ledger")
    ledger.finish(settings, manifest)
    outcome.batches.append(manifest.batch_id)
    outcome.entries += entries


def read_again(settings: Settings, manifest: Manifest, contract: Contract, silver: Path, quarantine: Path) -> None:
    """Judge the sealed files of a recorded batch by a contract again, into tables that lie beside the live ones.

    Args:
        settings: platform settings.
        manifest: the batch.
        contract: one of its tables.
        silver: folder of the table good rows go to.
        quarantine: folder of the table for the others.
    """
    _Table(settings, manifest, contract, _nowhere, (silver, quarantine)).commit()


class _Table:
    """One batch on its way into one table."""

    def __init__(
        self,
        settings: Settings,
        manifest: Manifest,
        contract: Contract,
        reached: Callable[[str], None],
        into: tuple[Path, Path] | None = None,
    ) -> None:
        self.settings, self.manifest, self.contract, self.reached = settings, manifest, contract, reached
        self.path, self.aside = into or (settings.silver(contract.id), settings.quarantine(contract.id))
        self.label = f"{manifest.sequence:08d}-{manifest.batch_id}"
        self.keys = load_keys(settings)

    def commit(self) -> tuple[TableCounts, list[dict[str, Any]]]:
        """Stage, judge and commit; return the counts and the ledger's rows, one per file."""
        self.connection = lake_connection(self.settings)
        try:
            self._stage()
            if self.contract.history:
                self._judge_history()
            counts, per_file = self._count()
            self.reached(f"judged:{self.contract.id}")
            self._commit_quarantine(counts)
            self.reached(f"quarantine:{self.contract.id}")
            counts.version = self._commit_good(counts)
            self.reached(f"silver:{self.contract.id}")
        finally:
            self.connection.close()
        rows = [self._ledger_row(number, figures, counts.version) for number, figures in per_file.items()]
        return counts, rows

    # --- stage and judge ------------------------------------------------------------------------------------------

    def _stage(self) -> None:
        layouts = load_layouts()
        feeding = [
            (number, file)
            for number, file in enumerate(self.manifest.files)
            if self.contract.id in layouts[file.layout].contracts
        ]
        self.feeding = dict(feeding)
        columns = ", ".join(f"{quote(f.name)} {f.physical_type}" for f in self.contract.columns)
        self.connection.execute(
            f"CREATE TEMP TABLE staged ({columns}, __file INTEGER, __text VARCHAR, __row_key VARCHAR, "
            "__errors VARCHAR[], __warnings VARCHAR[])"
        )
        self.connection.execute("CREATE TEMP TABLE sources (__file INTEGER, name VARCHAR, day DATE)")
        if feeding:
            self.connection.executemany(
                "INSERT INTO sources VALUES (?, ?, ?)", [[n, f.name, date.fromisoformat(f.day)] for n, f in feeding]
            )

        def reading(item: tuple[int, BatchFile]) -> tuple[str, tuple[str, ...], int]:
            return item[1].layout, item[1].header, item[1].header_line if item[1].header else 0

        for (layout_id, header, header_line), items in groupby(sorted(feeding, key=reading), key=reading):
            layout = layouts[layout_id]
            numbered = [(n, self.settings.lake / file.raw, layout.encoding) for n, file in items]
            stream = line_batches(numbered)
            self.connection.register("lines", stream)
            self.connection.execute(self._staging_sql(layout, header, header_line))
            self.connection.unregister("lines")

    def _staging_sql(self, layout: Layout, header: tuple[str, ...], header_line: int) -> str:
        """Return the INSERT that reads the stream ``lines`` into ``staged``, judged row by row."""
        contract, table = self.contract, layout.table(self.contract.id)
        if layout.format == "csv":
            cells = csv_cells(layout.delimiter, header, header_line, layout.later)
            raws = table.raw_expressions()
        else:
            cells = json_cells(table)
            # the cells are columns named by path: each line is parsed once, not once per field
            raws = replace(table, file_format="csv").raw_expressions()
        sourced = contract.sourced
        raw = ", ".join(f"{raws.get(f.name, 'NULL::VARCHAR')} AS {quote(raw_column(f.name))}" for f in sourced)
        typed = [
            cast_expression(f, quote(raw_column(f.name)), table.format_of(f.name), time_zone=layout.time_zone)
            + f" AS {quote(f.name)}"
            for f in sourced
        ]
        typed += [
            f"{value} AS {quote(name)}"
            for name, value in {
                "source_system": text(layout.source_system),
                "batch_id": text(self.manifest.batch_id),
                "source_file": "sources.name",
                "source_line": "__line",
                "ingested_at": f"TIMESTAMPTZ {text(self.manifest.ingested_at.isoformat())}",
            }.items()
        ]
        derived = [f"TRY({derivation_expression(f)}) AS {quote(f.name)}" for f in contract.derived]
        # a derived value is there whenever what it is derived from is sound; if not, the row must not land without it
        underived = " ".join(
            f"WHEN {quote(f.name)} IS NULL THEN [{text(f'{f.name}.required')}]" for f in contract.derived if f.required
        )
        errors = [rule for rule in rules(contract) if rule.severity == "error"]
        warnings = [rule for rule in rules(contract) if rule.severity == "warning"]
        keys = ", ".join(quote(raw_column(name)) for name in contract.key if contract.field(name).source_field)
        nested = "" if table.record == "$" else " || ' [' || __item || ']'"
        plain = [f for f in contract.fields if f.mask != "hmac"]
        masked = [
            f"{hmac_sha256(quote(f.name), self.keys[f.purpose or ''])} AS {quote(f.name)}"
            for f in contract.fields
            if f.mask == "hmac"
        ]
        hashed = ", ".join(f"coalesce(CAST({quote(f.name)} AS VARCHAR), chr(31))" for f in contract.fields)
        record = ", ".join(quote(f.name) for f in contract.record_fields if f.name != "record_hash")
        ordered = ", ".join(
            f"md5(concat_ws(chr(30), {hashed})) AS record_hash" if f.name == "record_hash" else quote(f.name)
            for f in contract.columns
        )
        # rules over the history come later, and a row they set aside keeps its text too
        original = "__text" if contract.history else "CASE WHEN __errors IS NOT NULL THEN __text END AS __text"
        extra = f"__file, {original}, __row_key, __errors, __warnings"
        columns = ", ".join([*(quote(f.name) for f in plain), *masked])
        return f"""
            INSERT INTO staged BY NAME
            SELECT {ordered}, {extra}
            FROM (
              SELECT {columns}, {record}, __file, __text, __row_key, __errors, __warnings
              FROM (
                SELECT *,
                  CASE WHEN __fault IS NOT NULL THEN [__fault]
                       ELSE coalesce({_broken(errors)}, CASE {underived or "WHEN FALSE THEN NULL::VARCHAR[]"} END)
                  END AS __errors,
                  CASE WHEN __fault IS NULL THEN {_broken(warnings)} END AS __warnings,
                  nullif(concat_ws('|', {keys}), ''){nested} AS __row_key
                FROM (
                  SELECT * {"," if derived else ""} {", ".join(derived)}
                  FROM (
                    SELECT raws.*, {", ".join(typed)}
                    FROM (SELECT __file, __line, __item, __text, __fault, {raw} FROM ({cells})) AS raws
                    JOIN sources ON sources.__file = raws.__file
                  )
                )
              )
            )
        """

    def _judge_history(self) -> None:
        """Set aside rows that do not fit the rest of their subject's history, in the batch and in the table.

        Each row is compared with the one whose state it leaves. Of a pair that does not fit the later one is set aside,
        or the earlier one when the later had landed before: what lies in the table always fits. Where a row between is
        missing nothing is set aside, so no row is lost because another came late.
        """
        *subject, _ = (quote(name) for name in self.contract.key)
        within = ", ".join(subject)
        days = [rule.day for rule in self.contract.history if rule.day]
        judged = ", ".join(
            quote(name) for name in dict.fromkeys([*self.contract.key, *compared_fields(self.contract), *days])
        )
        order = "message_at, message_seq, source_file, source_line"
        rows = f"SELECT {judged}, {order}, rowid AS __staged FROM staged WHERE __errors IS NULL"
        if DeltaTable(str(self.path)).file_uris():
            rows += (
                f" UNION ALL BY NAME SELECT {judged}, {order}, -1 AS __staged "
                f"FROM {table_view(self.connection, self.path)} "
                f"SEMI JOIN (SELECT {within} FROM staged WHERE __errors IS NULL) USING ({within})"
            )
        keys = ", ".join(quote(name) for name in self.contract.key)
        latest = (
            f"SELECT * FROM ({rows}) QUALIFY row_number() OVER "
            f"(PARTITION BY {keys} ORDER BY {_order('', ' DESC')}, __staged DESC) = 1"
        )
        broken = _broken(history_rules(self.contract))
        self.connection.execute(
            f"""
            CREATE TEMP TABLE blamed AS SELECT id, list_sort(list(DISTINCT rule)) AS broken FROM (
              SELECT CASE WHEN __staged >= 0 THEN __staged ELSE before____staged END AS id, unnest({broken}) AS rule
              FROM ({with_before(self.contract, latest, ("__staged",))})
            ) WHERE id >= 0 GROUP BY id
            """
        )
        self.connection.execute("UPDATE staged SET __errors = blamed.broken FROM blamed WHERE staged.rowid = blamed.id")

    def _count(self) -> tuple[TableCounts, dict[int, tuple[int, int, int]]]:
        per_file = dict.fromkeys(self.feeding, (0, 0, 0))
        for number, total, good, bad in self.connection.execute(
            "SELECT __file, count(*), count(*) FILTER (WHERE __errors IS NULL), "
            "count(*) FILTER (WHERE len(__errors) > 0) FROM staged GROUP BY __file"
        ).fetchall():
            if total != good + bad:
                raise CustomsError(
                    f"{self.feeding[number].name}: {total} rows in are not {good} good and {bad} quarantined rows of "
                    f"{self.contract.id}; nothing was committed, report this as a bug."
                )
            per_file[number] = (total, good, bad)
        counts = TableCounts(*(sum(figures) for figures in zip(*per_file.values(), strict=True)))
        for name, column in (("reasons", "__errors"), ("warnings", "__warnings")):
            found = self.connection.execute(
                f"SELECT rule, count(*) FROM (SELECT unnest({column}) AS rule FROM staged) GROUP BY rule ORDER BY rule"
            ).fetchall()
            setattr(counts, name, dict(found))
        return counts, per_file

    def _ledger_row(self, number: int, figures: tuple[int, int, int], version: int | None) -> dict[str, Any]:
        file = self.feeding[number]
        total, good, bad = figures
        return {
            "contract_id": self.contract.id,
            "source_file": file.name,
            "layout": file.layout,
            "source_system": load_layouts()[file.layout].source_system,
            "business_date": date.fromisoformat(file.day),
            "file_sha256": file.sha256,
            "file_status": "ingested",
            "rows_in": total,
            "rows_good": good,
            "rows_quarantined": bad,
            "table_version": version,
        }

    # --- commit ---------------------------------------------------------------------------------------------------

    def _notes(self) -> dict[str, str]:
        return {
            "batch_id": self.manifest.batch_id,
            "sequence": str(self.manifest.sequence),
            "feed": self.manifest.feed,
            "contract_version": self.contract.version,
        }

    def _commit_quarantine(self, counts: TableCounts) -> None:
        commit = Commit(f"quarantine/{self.contract.id}", self.manifest.sequence, self._notes())
        if not counts.quarantined or commit.done_in(DeltaTable(str(self.aside))):
            return
        remove_leftovers(self.aside, self.label)
        words = {f"{f.name}.required": f"{f.name} can be derived." for f in self.contract.derived}
        words |= {rule.id: rule.description for rule in (*rules(self.contract), *self.contract.history, *RECORD_FAULTS)}
        self.connection.execute("CREATE TEMP TABLE words (id VARCHAR, words VARCHAR)")
        self.connection.executemany("INSERT INTO words VALUES (?, ?)", [list(item) for item in words.items()])
        select = f"""
            SELECT {text(self.contract.id)} AS contract_id, batch_id, source_file, source_line,
                   __row_key AS row_key, array_to_string(__errors, ',') AS rule_ids,
                   coalesce(words, __errors[1]) AS reason,
                   __text AS original, source_system, sources.day AS business_date, ingested_at
            FROM staged JOIN sources USING (__file) LEFT JOIN words ON words.id = __errors[1]
            WHERE __errors IS NOT NULL
        """
        actions = add_actions(self.connection, select, quarantine_contract(), self.aside, self.label)
        append(quarantine_contract(), self.aside, actions, commit)

    def _commit_good(self, counts: TableCounts) -> int:
        table = DeltaTable(str(self.path))
        commit = Commit(self.contract.id, self.manifest.sequence, self._notes())
        if not counts.good:
            return table.version()
        if commit.done_in(table):
            return _version_of(table, self.manifest.batch_id)
        remove_leftovers(self.path, self.label)
        self._drop_superseded_within(counts)
        columns = ", ".join(quote(f.name) for f in self.contract.columns)
        good = f"SELECT {columns} FROM staged WHERE __errors IS NULL"
        partitions = self._drop_superseded_by(good, counts) if table.file_uris() else None
        left = count_of(self.connection, "SELECT count(*) FROM staged WHERE __errors IS NULL")
        if not left:
            return table.version()
        if partitions is not None:
            version = merge(self.connection, good, self.contract, self.path, partitions, commit)
            self.reached(f"merged:{self.contract.id}")
            return version
        actions = add_actions(self.connection, good, self.contract, self.path, self.label)
        self.reached(f"written:{self.contract.id}")
        return append(self.contract, self.path, actions, commit)

    def _drop_superseded_within(self, counts: TableCounts) -> None:
        """Keep the latest message of each key; only keys that come twice are ever sorted."""
        keys = ", ".join(quote(name) for name in self.contract.key)
        self.connection.execute(
            f"CREATE TEMP TABLE twice AS SELECT {keys} FROM staged WHERE __errors IS NULL "
            "GROUP BY ALL HAVING count(*) > 1"
        )
        if not count_of(self.connection, "SELECT count(*) FROM twice"):
            return
        self.connection.execute(
            f"""
            CREATE TEMP TABLE losers AS SELECT id FROM (
              SELECT rowid AS id, row_number() OVER (PARTITION BY {keys} ORDER BY {_order("", " DESC")}) AS place
              FROM staged SEMI JOIN twice USING ({keys}) WHERE __errors IS NULL
            ) WHERE place > 1
            """
        )
        counts.superseded += count_of(self.connection, "DELETE FROM staged WHERE rowid IN (SELECT id FROM losers)")

    def _drop_superseded_by(self, good: str, counts: TableCounts) -> list[dict[str, Any]] | None:
        """Drop rows older than what the table holds; return the partitions that hold keys of the rest, None if none.

        Rows of the same place in the same file count as newer: that is a re-reading under a new contract or key.
        """
        names = ["message_at", "message_seq", "source_file", "source_line", *self.contract.partition_by]
        columns = ", ".join(quote(name) for name in dict.fromkeys([*self.contract.key, *names]))
        keys = ", ".join(quote(name) for name in self.contract.key)
        self.connection.execute(
            f"CREATE TEMP TABLE held AS SELECT {columns} FROM {table_view(self.connection, self.path)} "
            f"SEMI JOIN (SELECT {keys} FROM ({good})) USING ({keys})"
        )
        counts.superseded += count_of(
            self.connection,
            f"""
            DELETE FROM staged WHERE rowid IN (
              SELECT new.rowid FROM staged AS new JOIN held AS old USING ({keys})
              WHERE new.__errors IS NULL AND ({_order("old.")}) > ({_order("new.")})
            )
            """,
        )
        parts = ", ".join(quote(name) for name in self.contract.partition_by) or "1"
        found = self.connection.execute(
            f"SELECT DISTINCT {parts} FROM held SEMI JOIN (SELECT {keys} FROM ({good})) USING ({keys})"
        ).fetchall()
        if not found:
            return None
        return [dict(zip(self.contract.partition_by, row, strict=False)) for row in found]


def _order(prefix: str, direction: str = "") -> str:
    """Return the total order of messages: event time, sequence, file, line."""
    parts = (
        f"coalesce({prefix}message_at, {_NEVER})",
        f"coalesce({prefix}message_seq, -1)",
        f"{prefix}source_file",
        f"{prefix}source_line",
    )
    return ", ".join(part + direction for part in parts)


def _broken(judged: Sequence[CompiledRule]) -> str:
    """Return SQL of the list of rules a row breaks, NULL when none: the list is built for broken rows only."""
    if not judged:
        return "NULL::VARCHAR[]"
    tests = [(rule.id, satisfied(rule)) for rule in judged]
    all_met = " AND ".join(f"({sql})" for _, sql in tests)
    each = ", ".join(f"CASE WHEN NOT ({sql}) THEN {text(name)} END" for name, sql in tests)
    return f"CASE WHEN NOT ({all_met}) THEN list_filter([{each}], lambda rule: rule IS NOT NULL) END"


def _version_of(table: DeltaTable, batch_id: str) -> int:
    for entry in table.history(200):
        if entry.get("batch_id") == batch_id:
            return int(entry["version"])
    return table.version()


def csv_cells(delimiter: str, header: Sequence[str], header_line: int, later: Collection[str] = ()) -> str:
    """Return SQL that splits the stream ``lines`` (file, line, text) into one VARCHAR column per header name.

    A record is one line: what a stray quote breaks is that line and no other. Empty cells are NULL; a line with another
    number of fields or unbalanced quotes has ``__fault`` and no cells. Records count from 1 after the header. Columns
    of ``later`` the header lacks are NULL.
    """
    names = ", ".join(
        [f"CASE WHEN whole THEN nullif(cells[{i}], '') END AS {quote(name)}" for i, name in enumerate(header, 1)]
        + [f"NULL::VARCHAR AS {quote(name)}" for name in sorted(set(later) - set(header))]
    )
    mark = text(delimiter)
    inside = "".join(f"\\{c}" if not c.isalnum() else c for c in delimiter)
    cell = f'("[^"{inside}]*"|[^"{inside}]*)'
    easy = text(f"{cell}({inside}{cell})*")
    full = text(f'{inside}("(?:[^"]|"")*"|[^"{inside}]*)')
    # Every line is rewritten with a separator no cell can hold, then one split serves all. Quotes that hide neither a
    # delimiter nor a quote are just dropped; taking cells apart by regular expression costs ten times as much.
    return f"""
        SELECT file AS __file, line - {header_line} AS __line, NULL::INTEGER AS __item, text AS __text,
               CASE WHEN NOT whole THEN {text(RAGGED.id)} END AS __fault, {names}
        FROM (
          SELECT *, coalesce(len(cells) = {len(header)}, FALSE) AS whole
          FROM (
            SELECT file, line, text, string_split(CASE kind
                WHEN 0 THEN replace(text, {mark}, chr(31))
                WHEN 1 THEN replace(replace(text, '"', ''), {mark}, chr(31))
                WHEN 2 THEN CASE WHEN list_sum(list_transform(quoted, lambda cell: length(cell) + {len(delimiter)}))
                                      = length(text) + {len(delimiter)}
                  THEN array_to_string(list_transform(quoted, lambda cell:
                         CASE WHEN cell[1] = '"' THEN replace(cell[2:-2], '""', '"') ELSE cell END), chr(31)) END
              END, chr(31)) AS cells
            FROM (
              SELECT *, CASE WHEN kind = 2 THEN regexp_extract_all({mark} || text, {full}, 1) END AS quoted
              FROM (
                SELECT *, CASE WHEN contains(text, chr(31)) THEN 3 WHEN NOT contains(text, '"') THEN 0
                               WHEN regexp_full_match(text, {easy}) THEN 1 ELSE 2 END AS kind
                FROM (SELECT file, line, rtrim(text, chr(13) || chr(10)) AS text FROM lines WHERE line > {header_line})
                WHERE text <> ''
              )
            )
          )
        )
    """


def json_cells(table: LayoutTable) -> str:
    """Return SQL that reads the stream ``lines`` of JSON objects into one VARCHAR column per path the table uses.

    For a nested record there is one row per element of the list; lines that are no JSON object count against the
    table of the whole message (``$``) only. ``__fault`` marks a line or list that cannot be read.
    """
    inside = {path for _, path in table.fields if table.record != "$" and path.startswith(table.record + ".")}
    outer = sorted({path for _, path in table.fields} - inside)
    inner = sorted(inside)
    lines = """
        SELECT file, line, text, json_valid(text) AND starts_with(ltrim(text), '{') AS is_object
        FROM (SELECT file, line, rtrim(text, chr(13) || chr(10)) AS text FROM lines)
        WHERE trim(text) <> ''
    """
    outer_paths = "[" + ", ".join(text(_json_path(path)) for path in outer) + "]"
    outer_names = "".join(f", cells[{i}] AS {quote(path)}" for i, path in enumerate(outer, 1))
    if table.record == "$":
        return f"""
            SELECT file AS __file, line AS __line, NULL::INTEGER AS __item, text AS __text,
                   CASE WHEN NOT is_object THEN {text(BROKEN_JSON.id)} END AS __fault{outer_names}
            FROM (SELECT *, CASE WHEN is_object THEN json_extract_string(text, {outer_paths}) END AS cells
                  FROM ({lines}))
        """
    array = table.record.removesuffix("[]")
    inner_paths = "[" + ", ".join(text(_json_path(path.removeprefix(table.record + "."))) for path in inner) + "]"
    inner_names = "".join(f", parts[{i}] AS {quote(path)}" for i, path in enumerate(inner, 1))
    return f"""
        SELECT file AS __file, line AS __line, item AS __item, text AS __text,
               CASE WHEN NOT is_list THEN {text(NO_LIST.id)} END AS __fault{outer_names}{inner_names}
        FROM (
          SELECT *, json_extract_string(element, {inner_paths}) AS parts
          FROM (
            SELECT file, line, text, cells, is_list, unnest(elements) AS element,
                   generate_subscripts(elements, 1) AS item
            FROM (
              SELECT *, json_extract_string(text, {outer_paths}) AS cells, kind = 'ARRAY' AS is_list,
                CASE WHEN kind = 'ARRAY' THEN json_extract(text, {text(_json_path(array) + "[*]")})
                     WHEN kind IS NOT NULL AND kind <> 'NULL' THEN [NULL::JSON] END AS elements
              FROM (SELECT *, json_type(text, {text(_json_path(array))}) AS kind FROM ({lines}) WHERE is_object)
            )
          )
        )
    """


def _json_path(path: str) -> str:
    return "$." + ".".join(step if step.isidentifier() else f'"{step}"' for step in path.split("."))
