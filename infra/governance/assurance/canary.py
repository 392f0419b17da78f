"""Canary: known restricted values are searched in every byte the platform keeps, outside the zones that may hold them.

The simulator puts the values into the feeds and lists them in its hidden truth, which only tools like this one read. A
data folder that holds somebody's own files has no such list: there a sample of the sealed originals is searched for.

What may lie where follows from contract and policy. The clear value of a column pseudonymised at ingest may be in
landing, in the sealed raw zone, and in quarantine, whose column ``original`` is graded for it. A restricted value kept
in clear may be in the lake and the warehouse besides, and in the files of those roles whose form of it is ``clear``.
Nothing may be anywhere else: logs, reports, Data Docs, dbt's and Airflow's files, models, shares, services' databases.
"""

import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import duckdb
import psycopg2
import pyarrow.parquet as pq
from psycopg2.extensions import connection as Database
from psycopg2.sql import SQL, Identifier

from data_contracts import load_contract, load_contracts
from data_contracts.emit.sql import hmac_sha256, quote, text
from data_contracts.model import Contract, Field
from data_contracts.policy import load_policy
from infra.governance.originals import pseudonym_fields, read_originals
from infra.governance.search import Needles, files_of, hits_in, hits_together, occurrences, size_of, together
from infra.lake.commit import QUARANTINE, lake_connection, table_view
from infra.lake.pseudonym import load_keys
from infra.runtime.errors import BadArgumentsError, CustomsError, TryAgainError
from infra.runtime.settings import Settings

SERVICES = ("airflow", "mlflow", "superset")
# of own files: so many originals per column, long enough to be one person's
SAMPLE, SHORTEST = 8, 10
_CHUNK = 1 << 20
# files of each feed a sample is taken from, the smallest
_SAMPLED_FILES = 3


@dataclass(frozen=True)
class Value:
    """A value that is searched for, and the column it was put into."""

    contract: Contract
    field: Field
    text: str

    @property
    def label(self) -> str:
        """Return the column, never the value."""
        return f"{self.contract.id}.{self.field.name} ({self.field.grade})"


@dataclass(frozen=True)
class Coverage:
    """What was read: files and bytes outside the zones that may hold every value, and databases by name."""

    files: int
    bytes: int
    databases: tuple[str, ...]


@dataclass(frozen=True)
class Canary:
    """Outcome: ``hits`` are files and database tables that hold a value they must not."""

    hits: int
    values: int
    searched: Coverage
    sentences: tuple[str, ...] = ()


def measure(settings: Settings, progress: Callable[[str], None]) -> Canary:
    """Search every file and every service's database for values they must not hold.

    Args:
        settings: platform settings.
        progress: called with one line per step.

    Raises:
        BadArgumentsError: nothing was ingested, so there is no value to look for.
        TryAgainError: a file or database could not be read and nothing was found in the others: that is no proof.
        CustomsError: the search did not even find the values where they are.
    """
    connection = lake_connection(settings)
    try:
        values = _planted(connection, settings) or _sampled(connection, settings)
        if not values:
            raise BadArgumentsError("There is no value to search for: simulate or land files, and ingest them first.")
        progress(f"canary: {len(values)} values of {len({one.label for one in values})} columns")
        _check_sight(connection, settings, values)
        sentences: list[str] = []
        unread: list[str] = []
        files = size = 0
        searches: dict[frozenset[str], Needles] = {}
        for group, forbidden in _groups(settings, values):
            texts = frozenset(one.text for one in forbidden)
            if texts not in searches:
                searches[texts] = _needles(forbidden)
            try:
                size += size_of(group)
                for path in sorted({hit.file for hit in hits_together(connection, group, searches[texts])}):
                    held = [one for one in forbidden if hits_in(connection, path, _needles([one]))]
                    sentences.append(_sentence(str(_place(settings, path)), held))
            except FileNotFoundError:
                continue
            except (PermissionError, duckdb.IOException) as error:
                unread.append(f"{_place(settings, group[0])} could not be read ({str(error).splitlines()[0]})")
            if (files + len(group)) // 500 > files // 500:
                progress(f"canary: searched {files + len(group):,} files, {size / 1e6:,.0f} MB")
            files += len(group)
    finally:
        connection.close()
    databases = []
    for service in SERVICES:
        if not settings.database_url(service).startswith("postgresql"):
            unread.append(f"the database of {service} is no PostgreSQL")
        elif _exists(settings, service):
            try:
                sentences += _in_database(settings, service, values)
                databases.append(service)
                progress(f"canary: searched the database of {service}")
            except psycopg2.Error as error:
                reason = " ".join(str(error).split())
                unread.append(f"the database of {service} could not be read ({reason}); `customs up` starts it")
    if unread and not sentences:
        raise TryAgainError(f"The canary search is not complete: {'; '.join(unread)}. Then run it again.")
    return Canary(
        len(sentences),
        len(values),
        Coverage(files, size, tuple(databases)),
        (*sentences, *(f"Not searched: {one}." for one in unread)),
    )


def _groups(settings: Settings, values: list[Value]) -> Iterator[tuple[list[Path], list[Value]]]:
    """Yield files, those of one table's Parquet together, with the values they must not hold."""
    zones: dict[str, list[Path]] = {}
    for path in files_of(settings):
        zones.setdefault(_zone(settings, path), []).append(path)
    for zone, paths in zones.items():
        if forbidden := [one for one in values if not _may_hold(zone, one.field)]:
            for group in together(paths):
                yield group, forbidden


def _sentence(place: str, held: Iterable[Value]) -> str:
    columns = ", ".join(sorted({one.label for one in held}))
    return f"{place} holds clear values of {columns}: find what wrote it, remove it, and correct the writer."


def _place(settings: Settings, path: Path) -> Path:
    return path.relative_to(settings.home) if path.is_relative_to(settings.home) else path


def _needles(values: Iterable[Value]) -> Needles:
    values = list(values)
    return Needles(
        texts=[one.text for one in values],
        numbers=[float(one.text) for one in values if one.field.physical_type != "VARCHAR"],
    )


def _zone(settings: Settings, path: Path) -> str:
    """Return what kind of place a file lies in: ``lake/<zone>``, ``role/<name>``, or the name of the place."""
    if path.is_relative_to(settings.truth):
        return "truth"
    if path.is_relative_to(settings.landing):
        return "landing"
    if path.is_relative_to(settings.lake):
        return f"lake/{path.relative_to(settings.lake).parts[0]}"
    if path.is_relative_to(settings.warehouse.parent):
        return "warehouse"
    if path.is_relative_to(settings.serving):
        return f"role/{path.name.partition('.')[0]}"
    return "elsewhere"


def _may_hold(zone: str, field: Field) -> bool:
    """Return whether contract and policy let the files of a zone hold a column's clear value."""
    if zone in ("truth", "landing", "lake/raw"):
        return True
    if zone == "lake/quarantine":
        return field.grade <= load_contract(QUARANTINE).field("original").grade
    if field.mask == "hmac":
        return False
    if zone in ("lake/silver", "lake/features", "warehouse"):
        return True
    what, _, role = zone.partition("/")
    return what == "role" and load_policy().form(field.grade, role, field.personal_information) == "clear"


# --- what is searched for -----------------------------------------------------------------------------------------


def _planted(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[Value]:
    """Return the simulator's canaries that arrived: silver holds their pseudonym, or the value where it is clear."""
    path = settings.truth / "canaries.parquet"
    if not path.is_file():
        return []
    keys = load_keys(settings)
    planted: dict[tuple[str, str], list[str]] = {}
    for one in pq.read_table(path).to_pylist():
        planted.setdefault((one["contract"], one["field"]), []).append(one["value"])
    arrived = []
    for (contract_id, name), values in planted.items():
        contract = load_contract(contract_id)
        f = contract.field(name)
        if not (settings.silver(contract_id) / "_delta_log").is_dir():
            continue
        stored = [text(one) if f.mask != "hmac" else hmac_sha256(text(one), keys[f.purpose or ""]) for one in values]
        rows = ", ".join(f"({number}, CAST({one} AS {f.physical_type}))" for number, one in enumerate(stored))
        held = connection.execute(
            f"SELECT number FROM (VALUES {rows}) AS planted (number, stored) WHERE stored IN "
            f"(SELECT {quote(name)} FROM {table_view(connection, settings.silver(contract_id))}) ORDER BY number"
        ).fetchall()
        arrived += [Value(contract, f, values[number]) for (number,) in held]
    return arrived


def _sampled(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[Value]:
    """Return a sample of the persons in the sealed originals, the same one every time.

    Restricted values that are kept in clear are left out: nobody knows which of them are unlike everything public.
    """
    if not read_originals(connection, settings, set(load_policy().purposes), files=_SAMPLED_FILES):
        return []
    keys = load_keys(settings)
    sample = []
    for contract_id, fields in pseudonym_fields(set(load_policy().purposes)).items():
        contract = load_contracts()[contract_id]
        if not (settings.silver(contract_id) / "_delta_log").is_dir():
            continue
        for f in fields:
            pseudonym = hmac_sha256("value", keys[f.purpose or ""])
            rows = connection.execute(
                f"SELECT value FROM originals WHERE purpose = {text(f.purpose or '')} AND length(value) >= {SHORTEST} "
                f"AND {pseudonym} IN (SELECT {quote(f.name)} FROM "
                f"{table_view(connection, settings.silver(contract_id))}) ORDER BY md5(value) LIMIT {SAMPLE}"
            ).fetchall()
            sample += [Value(contract, f, row[0]) for row in rows]
    return sample


def _check_sight(connection: duckdb.DuckDBPyConnection, settings: Settings, values: list[Value]) -> None:
    """Find a value where it is for certain: a search that cannot see proves nothing."""
    needles = _needles(values)
    feeds = sorted({one.contract.feed or "" for one in values})
    for feed in feeds:
        for path in sorted(settings.raw(feed).rglob("*")):
            if path.is_file() and hits_in(connection, path, needles):
                return
    raise CustomsError(
        f"The canary search finds none of its {len(values)} values in {settings.lake / 'raw'}, where they came from: "
        "bring the sealed files back from their archive, or report this as a bug."
    )


# --- databases ----------------------------------------------------------------------------------------------------


def _exists(settings: Settings, service: str) -> bool:
    own = {"airflow": settings.airflow_database, "mlflow": settings.mlflow_database}
    return bool(own.get(service, settings.superset_database)) or (settings.home / "postgres" / "PG_VERSION").is_file()


def _connect(settings: Settings, service: str) -> Database:
    return psycopg2.connect(settings.database_url(service).replace("+psycopg2", "", 1), connect_timeout=5)


def _in_database(settings: Settings, service: str, values: list[Value]) -> list[str]:
    """Read every table through SQL: long values are compressed in the server's files, where no byte search sees them.

    Returns:
        A sentence per table that holds a value.
    """
    sentences = []
    needles = _needles(values)
    with _connect(settings, service) as database, database.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name, array_agg(column_name::text) FILTER (WHERE data_type = 'bytea') "
            "FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) "
            "WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema') "
            "GROUP BY table_schema, table_name ORDER BY 1, 2"
        )
        for schema, table, binary in cursor.fetchall():
            with tempfile.TemporaryFile() as dump:
                # CSV leaves values as they are but for doubled quotes
                statement = SQL("COPY (SELECT * FROM {}) TO STDOUT (FORMAT csv)").format(Identifier(schema, table))
                cursor.copy_expert(statement.as_string(database), dump)
                for name in binary or ():
                    cursor.execute(SQL("SELECT {} FROM {}").format(Identifier(name), Identifier(schema, table)))
                    for row in cursor:
                        dump.write(b"\n" + _unpacked(bytes(row[0] or b"")))
                if occurrences(_from_start(dump), needles):
                    held = [one for one in values if occurrences(_from_start(dump), _needles([one]))]
                    sentences.append(_sentence(f"Table {schema}.{table} in the database of {service}", held))
    database.close()
    return sentences


def _unpacked(content: bytes) -> bytes:
    try:
        return zlib.decompress(content)
    except zlib.error:
        return content


def _from_start(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    return iter(partial(file.read, _CHUNK), b"")
