"""Erasure of a person: out of every zone, with a search of every file as proof.

A person is given by identifiers that are theirs alone: identity number, telephone, address. Their rows are found by the
pseudonyms of these under every purpose's key and by the texts themselves; whole rows go, so what a row says besides
goes too. Names are shared by many people and are not taken.

Lines of landed and sealed files are emptied, not removed: line numbers of everybody else stay true, and the batches
that brought the files stay known, so the next ingest brings nothing back.
"""

import gzip
import hashlib
import hmac
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from data_contracts import load_contracts
from data_contracts.emit.sql import quote, text
from infra.governance import delivery, sharing, vault
from infra.governance.accounts import Account, NotAllowedError, write_owner_only
from infra.governance.history import forget_history
from infra.governance.search import Needles, files_of, hits_in, search
from infra.lake import ledger
from infra.lake.commit import lake_connection, table_locks
from infra.lake.pseudonym import load_keys, pseudonym
from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError, DataContractError, TryAgainError
from infra.runtime.settings import Settings

SHORTEST = 8
_LINES = (".csv", ".jsonl", ".ndjson", ".txt", ".log", ".gz")


def _nothing(_: str) -> None:
    """Say nothing: progress is for the command line."""


@dataclass
class Erased:
    """What was removed, by kind, and what the search read afterwards."""

    rows: Counter = field(default_factory=Counter)
    lines: Counter = field(default_factory=Counter)
    shares: list[str] = field(default_factory=list)
    searched_files: int = 0
    searched_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the figures of the proof."""
        return {
            "rows": dict(self.rows),
            "lines": dict(self.lines),
            "shares_revoked": self.shares,
            "searched_files": self.searched_files,
            "searched_bytes": self.searched_bytes,
            "left": 0,
        }


def erase(
    settings: Settings,
    identifiers: Iterable[str],
    account: Account,
    *,
    progress: Callable[[str], None] = _nothing,
    wait: float = 600,
) -> dict[str, Any]:
    """Erase a person from lake, quarantine, originals, landing, role files and shares, and prove it.

    Args:
        settings: platform settings.
        identifiers: identity number, telephone, address: at least eight characters each.
        account: a security officer.
        progress: called with one line per step.
        wait: seconds to wait for commands that write the tables.

    Returns:
        rows by table, lines by zone, shares revoked, files and bytes searched.

    Raises:
        NotAllowedError: not a security officer.
        BadArgumentsError: no identifier, or one too short to be one person's.
        DataContractError: a file still holds an identifier; the message names it and what to do.
        TryAgainError: a batch is unfinished, or a table is being written.
    """
    if account.role != "security-officer":
        raise NotAllowedError(f"{account.name} is {account.role}; only a security-officer erases a person.")
    given = sorted({spelling for one in identifiers if one.strip() for spelling in _spellings(one.strip())})
    if not given:
        raise BadArgumentsError("No identifier was given: give identity number, telephone or address.")
    if any(len(one) < SHORTEST for one in given):
        raise BadArgumentsError(
            f"An identifier has fewer than {SHORTEST} characters: names and short numbers belong to many people."
        )
    case = f"ER-{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}"
    audit.record("person.erasure_begun", account.name, case, {"identifiers": len(given)}, settings=settings)
    by_purpose = {purpose: {pseudonym(one, key) for one in given} for purpose, key in load_keys(settings).items()}
    pseudonyms = set().union(*by_purpose.values())
    # the platform's own records hold no persons, and revoking a share writes one of them
    contracts = {one: contract for one, contract in load_contracts().items() if contract.domain != "governance"}
    feeds = {f"feed-{contract.feed}" for contract in contracts.values() if contract.feed}
    done = Erased()
    with table_locks(settings, [*feeds, *contracts], wait):
        if ledger.pending(settings, list(contracts)):
            raise TryAgainError("A batch is unfinished: run `customs lake ingest` for every feed first.")
        done.rows["vault"] = vault.forget(settings, by_purpose)
        shared = _revoke_shares(settings, given, pseudonyms, account, done)
        needles = Needles(given, pseudonyms | shared)
        connection = lake_connection(settings)
        needles.prepare(connection)
        try:
            tables = delta_tables(settings)
            for path in tables:
                _from_delta(connection, settings, path, needles, done, progress)
            for path in files_of(settings):
                if not any(path.is_relative_to(table) for table in tables) and hits_in(connection, path, needles):
                    _from_file(connection, settings, path, needles, done)
        finally:
            connection.close()
        progress("searching every file for what was erased")
        outcome = search(settings, needles, progress=progress)
    done.searched_files, done.searched_bytes = outcome.files, outcome.bytes
    if outcome.hits:
        files = sorted({str(hit.file) for hit in outcome.hits})
        audit.record("person.erasure_open", account.name, case, {"files_left": len(files)}, settings=settings)
        raise DataContractError(
            f"Erasure {case} is not complete, {len(files)} files still hold an identifier ({', '.join(files[:5])}): "
            "delete or rebuild them, stop services that hold them, and run it again."
        )
    figures = done.as_dict()
    audit.record("person.erased", account.name, case, figures, settings=settings)
    return {"case": case, **figures}


def _spellings(identifier: str) -> set[str]:
    # the check character of an identity number may be x or X
    return {identifier, identifier.upper(), identifier.lower()}


def delta_tables(settings: Settings) -> list[Path]:
    """Return every Delta table below the lake: silver, quarantine, features, whatever else."""
    return sorted(log.parent for log in settings.lake.rglob("_delta_log") if DeltaTable.is_deltatable(str(log.parent)))


def _values_that_hit(
    connection: duckdb.DuckDBPyConnection, relation: str, needles: Needles
) -> Iterator[tuple[str, list[str]]]:
    """Yield (column, its different values that hold an identifier or pseudonym) of a relation."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    for name in [name for name, kind, *_ in described if kind == "VARCHAR"]:
        column = quote(name)
        tokens = f"list_has_any(regexp_extract_all({column}, '[0-9a-f]{{64}}'), (SELECT list(token) FROM needles))"
        rows = connection.execute(
            f"SELECT DISTINCT {column} FROM {relation} WHERE {needles.condition(column)} OR {tokens}"
        ).fetchall()
        if rows:
            yield name, [row[0] for row in rows]


def _from_delta(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    path: Path,
    needles: Needles,
    done: Erased,
    progress: Callable[[str], None],
) -> None:
    name = str(path.relative_to(settings.lake))
    tests = [
        f"{column} IN ({', '.join(map(text, values))})"
        for column, values in _values_that_hit(connection, f"delta_scan({text(str(path))})", needles)
    ]
    if tests:
        outcome = DeltaTable(str(path)).delete(" OR ".join(tests))
        done.rows[name] += int(outcome["num_deleted_rows"])
        progress(f"{name}: {outcome['num_deleted_rows']} rows deleted")
    # earlier versions and the log's statistics hold what the present no longer does
    if tests or any(hits_in(connection, file, needles) for file in sorted(path.rglob("*")) if file.is_file()):
        forget_history(path)


def _from_file(
    connection: duckdb.DuckDBPyConnection, settings: Settings, path: Path, needles: Needles, done: Erased
) -> None:
    zone = path.relative_to(settings.home).parts[0] if path.is_relative_to(settings.home) else path.parent.name
    if path.suffix == ".duckdb":
        done.rows[f"{zone}/{path.name}"] += _from_database(connection, path, needles)
    elif path.suffix == ".parquet":
        done.rows[f"{zone}/{path.name}"] += _from_parquet(connection, path, needles)
    elif path.suffix in _LINES:
        done.lines[zone] += _empty_lines(settings, path, needles)


def _from_database(connection: duckdb.DuckDBPyConnection, path: Path, needles: Needles) -> int:
    """Write a DuckDB file anew without the rows: a deletion alone would leave their bytes in freed blocks."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    removed = 0
    try:
        connection.execute(f"ATTACH {text(str(path))} AS old (READ_ONLY)")
        connection.execute(f"ATTACH {text(str(draft))} AS new")
        connection.execute("COPY FROM DATABASE old TO new (SCHEMA)")
        tables = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'old' ORDER BY ALL"
        ).fetchall()
        for schema, table in tables:
            name = f"{quote(schema)}.{quote(table)}"
            tests = [
                f"{quote(column)} IN ({', '.join(map(text, values))})"
                for column, values in _values_that_hit(connection, f"old.{name}", needles)
            ]
            kept = f" WHERE NOT coalesce({' OR '.join(tests)}, FALSE)" if tests else ""
            connection.execute(f"INSERT INTO new.{name} SELECT * FROM old.{name}{kept}")
            counted = connection.execute(
                f"SELECT (SELECT count(*) FROM old.{name}) - (SELECT count(*) FROM new.{name})"
            ).fetchall()
            removed += int(counted[0][0])
    except duckdb.Error as error:
        raise TryAgainError(f"{path} cannot be rewritten ({error}): stop what has it open, or delete it.") from error
    finally:
        for name in ("old", "new"):
            connection.execute(f"DETACH DATABASE IF EXISTS {name}")
    draft.chmod(path.stat().st_mode & 0o777)
    os.replace(draft, path)
    return removed


def _from_parquet(connection: duckdb.DuckDBPyConnection, path: Path, needles: Needles) -> int:
    relation = f"read_parquet({text(str(path))}, hive_partitioning = false)"
    tests = [
        f"{quote(column)} IN ({', '.join(map(text, values))})"
        for column, values in _values_that_hit(connection, relation, needles)
    ]
    if not tests:
        return 0
    draft = path.with_name(f".{path.name}.new")
    broken = f"coalesce({' OR '.join(tests)}, FALSE)"
    removed = connection.execute(f"SELECT count(*) FROM {relation} WHERE {broken}").fetchall()[0][0]
    connection.execute(f"COPY (SELECT * FROM {relation} WHERE NOT {broken}) TO {text(str(draft))} (FORMAT parquet)")
    draft.chmod(path.stat().st_mode & 0o777)
    os.replace(draft, path)
    return int(removed)


def _empty_lines(settings: Settings, path: Path, needles: Needles) -> int:
    """Empty the lines that hold an identifier; everything else, the file's age and its place in the ledger stay."""
    about = path.stat()
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    draft = path.with_name(f".{path.name}.new")
    packed = path.suffix == ".gz"
    removed = 0
    with gzip.open(path, "rb") if packed else path.open("rb") as source, draft.open("wb") as raw:
        draft.chmod(0o600)
        # no name and time in the gzip header: the sealed copy and the landed file stay the same bytes
        target = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) if packed else raw
        for line in source:
            if needles.starting_in(line, 0, len(line)):
                removed += 1
                line = line[len(line.rstrip(b"\r\n")) :]
            target.write(line)
        if packed:
            target.close()
        raw.flush()
        os.fsync(raw.fileno())
    os.utime(draft, ns=(about.st_atime_ns, about.st_mtime_ns))
    draft.chmod(about.st_mode & 0o777)
    os.replace(draft, path)
    _note_in_ledger(settings, path, before)
    return removed


def _note_in_ledger(settings: Settings, path: Path, before: str) -> None:
    """Give the manifests of a changed file its new hash and size, so that the next ingest still knows it."""
    content = path.read_bytes()
    now = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    for place in sorted((settings.lake / "batches").glob("*.json")):
        manifest = json.loads(place.read_text(encoding="utf-8"))
        changed = [file for file in manifest["files"] if file["sha256"] == before]
        for file in changed:
            file |= now
        if changed:
            write_owner_only(place, json.dumps(manifest, indent=1))


def _revoke_shares(
    settings: Settings, given: list[str], pseudonyms: set[str], account: Account, done: Erased
) -> set[str]:
    """Revoke delivered shares that hold the person; return the pseudonyms these shares knew them by."""
    known: set[str] = set()
    connection = lake_connection(settings)
    try:
        for request in sharing.requests(settings):
            if request.state != "delivered":
                continue
            key = bytes.fromhex(json.loads(delivery.key_file(settings, request.id).read_text())["pseudonym"])
            own = {hmac.new(key, one.encode(), hashlib.sha256).hexdigest() for one in pseudonyms}
            needles = Needles(given, pseudonyms | own)
            needles.prepare(connection)
            folder = delivery.folder_of(settings, request.id)
            if any(hits_in(connection, file, needles) for file in sorted(folder.rglob("*")) if file.is_file()):
                delivery.revoke(settings, request.id, account, "A person in it was erased")
                done.shares.append(request.id)
                known |= own
    finally:
        connection.close()
    return known
