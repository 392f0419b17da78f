"""Delta tables of the lake: made from contracts, written by DuckDB, committed by delta-rs, one writer per table.

Parquet files are written first and become visible only through one commit that carries the batch's sequence as a Delta
application transaction, so a commit that happened can be recognised whatever happened to the process afterwards.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction

from data_contracts import load_contract, load_contracts
from data_contracts.emit.delta import delta_schema, table_properties
from data_contracts.emit.sql import CompiledRule, quote, rules, text
from data_contracts.model import Contract, Field
from infra.lake.evolution import describe, follow
from infra.lake.provenance import COMMIT_NOTE
from infra.lake.pseudonym import create_keys
from infra.runtime.duck import duck_connection
from infra.runtime.errors import BadArgumentsError, CustomsError, DataContractError, TryAgainError
from infra.runtime.settings import Settings, get_settings

QUARANTINE = "governance.quarantine"
# what a long string statistic would cost in the log is not worth what it prunes
_LONGEST_TEXT_STATISTIC = 64
_ATTEMPTS = 5


@dataclass(frozen=True)
class Commit:
    """Where a commit is recorded: ``app`` names the table, ``sequence`` the batch, ``notes`` the commit info."""

    app: str
    sequence: int
    notes: Mapping[str, str]

    @property
    def properties(self) -> CommitProperties:
        """Return the commit properties delta-rs writes with the commit."""
        return CommitProperties(
            app_transactions=[Transaction(self.app, self.sequence)], custom_metadata=dict(self.notes)
        )

    def done_in(self, table: DeltaTable) -> bool:
        """Return whether the table already holds this commit."""
        return (table.transaction_version(self.app) or 0) >= self.sequence


@contextmanager
def table_locks(settings: Settings, names: Sequence[str], wait: float) -> Iterator[None]:
    """Hold the writer locks of tables (or other named things); the system frees them when the process dies.

    Args:
        settings: platform settings.
        names: contract ids; taken in one order by everybody, so two commands cannot wait for each other.
        wait: seconds to wait for another writer.

    Raises:
        TryAgainError: another command still writes.
    """
    folder = settings.lake / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait
    with ExitStack() as held:
        for name in sorted(set(names)):
            handle = held.enter_context((folder / f"{name}.lock").open("a"))
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise TryAgainError(
                            f"Table {name} is being written by another command: try again when it has finished."
                        ) from None
                    time.sleep(0.1)
        yield


_instances: dict[tuple[int, str], duckdb.DuckDBPyConnection] = {}


def lake_connection(settings: Settings) -> duckdb.DuckDBPyConnection:
    """Return a connection of this process's DuckDB: tables made on it are temporary and its own.

    Loading the Delta extension takes a third of a second (DuckDB verifies the signature of its 80 MB each time), so it
    happens once per process, not once per table or search. Rows come in no order but one that is asked for.
    """
    key = (settings.duckdb_threads, settings.duckdb_memory_limit)
    if key not in _instances:
        scratch = settings.home / "tmp" / "duckdb"
        scratch.mkdir(parents=True, exist_ok=True)
        instance = duck_connection(settings=settings)
        instance.execute(f"SET temp_directory = {text(str(scratch))}")
        # order is explicit everywhere (file, line); keeping it implicitly would cost memory
        instance.execute("SET preserve_insertion_order = false")
        _instances[key] = instance
    connection = _instances[key].cursor()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def count_of(connection: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()) -> int:
    """Return the one number a statement answers with."""
    return int(connection.execute(sql, list(values)).fetchall()[0][0])


def satisfied(rule: CompiledRule) -> str:
    """Return SQL that is TRUE where a row meets a rule.

    Arithmetic can overflow on absurd values: those break a range rule, and one row must not stop all others.
    """
    return f"coalesce(TRY({rule.sql}), TRUE)" if rule.kind == "expression" else rule.sql


def quarantine_contract() -> Contract:
    """Return the contract every quarantine table follows."""
    return load_contract(QUARANTINE)


def create_lake(settings: Settings | None = None, only: Sequence[str] | None = None) -> dict[str, str]:
    """Create what is missing: folders, keys, every table empty from its contract; live tables follow their contracts.

    Args:
        settings: platform settings.
        only: contract ids; default all.

    Returns:
        {table: created | extended | described | present}, quarantine tables as ``quarantine/<name>``.

    Raises:
        DataContractError: a contract changed in a way an existing table cannot follow.
    """
    settings = settings or get_settings()
    for folder, mode in (
        (settings.lake, 0o755),
        (settings.lake / "silver", 0o750),
        (settings.lake / "quarantine", 0o700),
        (settings.lake / "raw", 0o700),
        (settings.lake / "batches", 0o700),
        (settings.landing, 0o755),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
    contracts = load_contracts()
    purposes = {f.purpose for c in contracts.values() for f in c.columns if f.mask == "hmac" and f.purpose and c.feed}
    create_keys(purposes, settings)
    outcome = {}
    with table_locks(settings, ["init"], wait=60):
        for contract in contracts.values():
            if only is not None and contract.id not in only:
                continue
            if contract.id != QUARANTINE:
                outcome[contract.table] = create_table(contract, settings.silver(contract.id), settings=settings)
            if contract.feed:
                outcome[f"quarantine/{contract.table}"] = create_table(
                    quarantine_contract(), settings.quarantine(contract.id), of=contract, settings=settings
                )
    return outcome


def create_table(contract: Contract, path: Path, of: Contract | None = None, settings: Settings | None = None) -> str:
    """Create a Delta table empty from its contract, or let the live one follow what the contract became since.

    Args:
        contract: what the table holds.
        path: where it lies.
        of: for a quarantine table, the contract its rows failed.
        settings: platform settings, for the audit log.

    Returns:
        ``created``, ``extended`` (columns were added), ``described`` or ``present``.

    Raises:
        DataContractError: the contract changed in a way stored rows cannot follow; the message names the migration.
    """
    if not DeltaTable.is_deltatable(str(path)):
        path.mkdir(parents=True, exist_ok=True)
        try:
            DeltaTable.create(
                str(path),
                schema=delta_schema(contract),
                mode="error",
                partition_by=list(contract.partition_by),
                name=f"quarantine__{of.table}" if of else contract.table,
                description=describe(contract, of),
                configuration=_properties(contract),
                raise_if_key_not_exists=False,
            )
            return "created"
        except DeltaError:
            if not DeltaTable.is_deltatable(str(path)):  # else another command was faster
                raise
    return follow(str(path), contract, settings or get_settings(), of)


def _properties(contract: Contract) -> dict[str, str]:
    return dict(table_properties(contract))


def add_actions(
    connection: duckdb.DuckDBPyConnection, select: str, contract: Contract, path: Path, label: str
) -> list[AddAction]:
    """Write a relation as Parquet files of a table, not yet visible, and return what a commit needs to add them.

    Args:
        connection: DuckDB connection the relation lives on.
        select: SQL with exactly the contract's columns.
        contract: what the table holds; its partition columns become folders.
        path: the table's folder.
        label: goes into the file names, to find leftovers of an interrupted batch.
    """
    options = "FORMAT parquet, COMPRESSION zstd, RETURN_STATS"
    columns = ", ".join(_physical(f) for f in contract.columns)
    if contract.partition_by:
        keys = ", ".join(quote(name) for name in contract.partition_by)
        # rows of a partition together: one file each instead of one per thread
        query = f"SELECT {columns} FROM ({select}) ORDER BY {keys}"
        options += f", PARTITION_BY ({keys}), FILENAME_PATTERN 'part-{label}-{{uuid}}', OVERWRITE_OR_IGNORE"
        target = path
    else:
        query = f"SELECT {columns} FROM ({select})"
        target = path / f"part-{label}-{time.time_ns():x}.parquet"
    connection.execute(f"COPY ({query}) TO {text(str(target))} ({options})")
    now = int(time.time() * 1000)
    actions = []
    for name, count, size, _, statistics, partition in connection.fetchall():
        file = Path(name)
        actions.append(
            AddAction(
                path=str(file.relative_to(path)),
                size=int(size),
                partition_values={key: str(value) for key, value in (partition or {}).items()},
                modification_time=now,
                data_change=True,
                stats=json.dumps(_statistics(contract, int(count), statistics)),
            )
        )
    return actions


def _physical(field: Field) -> str:
    # the cast pins the type Delta expects, whatever the relation was computed with
    return f"CAST({quote(field.name)} AS {field.physical_type}) AS {quote(field.name)}"


def _statistics(contract: Contract, count: int, columns: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return Delta file statistics; a bound that cannot be stated exactly is left out rather than guessed."""
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for name, values in columns.items():
        field = contract.field(name.strip('"').replace('""', '"'))
        if "null_count" in values:
            nulls[field.name] = int(values["null_count"])
        if "min" not in values or "max" not in values or values.get("has_nan") == "true":
            continue
        bounds = _bounds(field, values["min"], values["max"])
        if bounds:
            low[field.name], high[field.name] = bounds
    return {"numRecords": count, "minValues": low, "maxValues": high, "nullCount": nulls}


def _bounds(field: Field, low: str, high: str) -> tuple[Any, ...] | None:
    kind = field.physical_type
    if kind in ("INTEGER", "BIGINT"):
        return int(low), int(high)
    if kind == "DOUBLE":
        return float(low), float(high)
    if field.decimal:
        # JSON numbers are read as doubles: one step outwards keeps the bounds true for every digit
        step = Decimal(1).scaleb(-field.decimal[1])
        small, large = Decimal(low), Decimal(high)
        exact = max(abs(small), abs(large)) < Decimal(10) ** 15
        return (float(small), float(large)) if exact else (float(small - step), float(large + step))
    if kind == "DATE":
        return low, high
    if kind == "TIMESTAMPTZ":
        # Delta keeps milliseconds: round outwards
        first, last = datetime.fromisoformat(low), datetime.fromisoformat(high)
        last += timedelta(milliseconds=1)
        return tuple(t.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" for t in (first, last))
    if kind == "VARCHAR" and max(len(low), len(high)) <= _LONGEST_TEXT_STATISTIC and (low + high).isascii():
        return low, high
    return None


def append(contract: Contract, path: Path, actions: Sequence[AddAction], commit: Commit | None = None) -> int:
    """Commit written files to a table; return its version."""
    return _write(contract, path, actions, "append", commit=commit)


def replace(
    contract: Contract, path: Path, actions: Sequence[AddAction], partition: Mapping[str, str], note: str | None = None
) -> int:
    """Commit written files in place of one partition's; return the table's version."""
    filters = [(key, "=", value) for key, value in partition.items()]
    return _write(contract, path, actions, "overwrite", filters, note=note)


def _write(
    contract: Contract,
    path: Path,
    actions: Sequence[AddAction],
    mode: str,
    filters: list[tuple[str, str, str]] | None = None,
    *,
    commit: Commit | None = None,
    note: str | None = None,
) -> int:
    noted = CommitProperties(custom_metadata={COMMIT_NOTE: note}) if note else None

    def attempt(table: DeltaTable) -> None:
        table.create_write_transaction(
            list(actions),
            mode=mode,
            schema=table.schema(),
            partition_by=list(contract.partition_by),
            partition_filters=filters,
            commit_properties=commit.properties if commit else noted,
        )

    return _committed(path, attempt, commit)


def merge(
    connection: duckdb.DuckDBPyConnection,
    select: str,
    contract: Contract,
    path: Path,
    partitions: Sequence[Mapping[str, Any]],
    commit: Commit | None = None,
) -> int:
    """Upsert rows by key: a row with the same key is replaced wherever it lies, others are added; return the version.

    Args:
        connection: DuckDB connection of the relation.
        select: SQL with the contract's columns, one row per key.
        contract: gives key and partition columns.
        path: the table's folder.
        partitions: the partitions that hold the keys now. The predicate names them, so that only those are read
            (without it delta-rs took four times the memory) and a row that changes partition still finds its old self.
        commit: transaction of the batch.
    """
    columns = ", ".join(_physical(f) for f in contract.columns)
    predicate = " AND ".join(f"target.{name} = source.{name}" for name in contract.key)
    if contract.partition_by and partitions:
        choices = " OR ".join(
            "(" + " AND ".join(f"target.{name} = {_literal(one[name])}" for name in contract.partition_by) + ")"
            for one in partitions
        )
        predicate += f" AND ({choices})"

    def attempt(table: DeltaTable) -> None:
        source = connection.sql(f"SELECT {columns} FROM ({select})").to_arrow_reader(100_000)
        (
            table.merge(
                source=source,
                predicate=predicate,
                source_alias="source",
                target_alias="target",
                writer_properties=WriterProperties(compression="ZSTD"),
                commit_properties=commit.properties if commit else None,
            )
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .execute()
        )

    return _committed(path, attempt, commit)


def _literal(value: Any) -> str:
    if isinstance(value, date):
        return f"CAST('{value.isoformat()}' AS DATE)"
    return str(value) if isinstance(value, int) else text(str(value))


def _committed(path: Path, attempt: Callable[[DeltaTable], None], commit: Commit | None) -> int:
    for tries in range(1, _ATTEMPTS + 1):
        table = DeltaTable(str(path))
        if commit and commit.done_in(table):
            return table.version()
        try:
            attempt(table)
        except CommitFailedError as error:
            # somebody outside our locks (Spark, maintenance) committed first: take a fresh snapshot
            if tries == _ATTEMPTS:
                raise TryAgainError(
                    f"Table {path.name} keeps changing under this commit: try again. ({error})"
                ) from error
            time.sleep(0.2 * tries)
        else:
            return DeltaTable(str(path)).version()
    raise AssertionError


def remove_leftovers(path: Path, label: str) -> int:
    """Delete files an interrupted run of the same batch wrote but never committed; return how many."""
    live = {Path(uri).name for uri in DeltaTable(str(path)).file_uris()}
    leftovers = [file for file in path.rglob(f"part-{label}-*.parquet") if file.name not in live]
    for file in leftovers:
        file.unlink()
    return len(leftovers)


def table_view(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """Return SQL that reads a Delta table as it is now."""
    return f"delta_scan({text(str(path))})"


def write_table(
    contract_id: str,
    rows: "pa.Table | pa.RecordBatchReader | duckdb.DuckDBPyRelation",
    *,
    mode: Literal["append", "replace", "merge"],
    where: Mapping[str, Any] | None = None,
    note: str | None = None,
    settings: Settings | None = None,
    wait: float = 600,
) -> dict[str, Any]:
    """Write rows the platform itself made (scores, quality results) into a silver table, judged by the contract.

    Args:
        contract_id: table, for example ``scores.enterprise_risk``.
        rows: the contract's columns by name, in any order; missing optional columns become null.
        mode: ``append``; ``replace`` puts the rows in place of one partition (same call twice, same table);
            ``merge`` replaces rows of the same key.
        where: for ``replace``, every partition column and its value, ``{"as_of": date(2026, 11, 20)}``; all rows must
            lie in it.
        note: for ``replace``, what the rows were made from (``infra.lake.provenance.note_of``).
        settings: platform settings.
        wait: seconds to wait for another writer.

    Returns:
        ``{"rows", "version"}``.

    Raises:
        DataContractError: a row breaks an error rule; nothing is written. The message names rule and count.
        BadArgumentsError: columns or ``where`` do not fit the contract.
        TryAgainError: another command writes the table.
    """
    settings = settings or get_settings()
    contract = load_contract(contract_id)
    path = settings.silver(contract_id)
    connection = lake_connection(settings)
    if isinstance(rows, duckdb.DuckDBPyRelation):
        # the relation lives on its own connection
        rows = rows.to_arrow_table()
    connection.register("given_rows", rows)
    given = (
        connection.sql("SELECT * FROM given_rows LIMIT 0").columns if isinstance(rows, pa.Table) else rows.schema.names
    )
    names = {f.name for f in contract.columns}
    if unknown := [name for name in given if name not in names]:
        raise BadArgumentsError(f"{contract_id} has no field {', '.join(unknown)}: write only fields of its contract.")
    columns = ", ".join(
        (f"CAST({quote(f.name)} AS {f.physical_type})" if f.name in given else f"CAST(NULL AS {f.physical_type})")
        + f" AS {quote(f.name)}"
        for f in contract.columns
    )
    try:
        connection.execute(f"CREATE TEMP TABLE judged AS SELECT {columns} FROM given_rows")
    except duckdb.ConversionException as error:
        raise DataContractError(f"Rows for {contract_id} have values of the wrong type: {error}") from error
    _judge_own(connection, contract)
    if mode == "replace":
        _check_where(connection, contract, where)
    count = count_of(connection, "SELECT count(*) FROM judged")
    with table_locks(settings, [contract_id], wait):
        create_table(contract, path, settings=settings)
        label = f"own-{time.time_ns():x}"
        if mode == "merge":
            version = _merge_own(connection, contract, path, count, label)
        else:
            actions = add_actions(connection, "SELECT * FROM judged", contract, path, label) if count else []
            if mode == "replace":
                partition = {key: str(value) for key, value in (where or {}).items()}
                version = replace(contract, path, actions, partition, note=note)
            else:
                version = append(contract, path, actions) if actions else DeltaTable(str(path)).version()
    connection.close()
    return {"rows": count, "version": version}


def _merge_own(connection: duckdb.DuckDBPyConnection, contract: Contract, path: Path, count: int, label: str) -> int:
    partitions = existing_partitions(connection, contract, path, "SELECT * FROM judged")
    if partitions is not None:
        return merge(connection, "SELECT * FROM judged", contract, path, partitions)
    if not count:
        return DeltaTable(str(path)).version()
    return append(contract, path, add_actions(connection, "SELECT * FROM judged", contract, path, label))


def existing_partitions(
    connection: duckdb.DuckDBPyConnection, contract: Contract, path: Path, select: str
) -> list[dict[str, Any]] | None:
    """Return the partitions that hold keys of a relation now, None when no key exists yet.

    Only key and partition columns of the table are read.
    """
    keys = ", ".join(quote(name) for name in contract.key)
    parts = ", ".join(quote(name) for name in contract.partition_by) or "1"
    found = connection.execute(
        f"SELECT DISTINCT {parts} FROM {table_view(connection, path)} SEMI JOIN ({select}) USING ({keys})"
    ).fetchall()
    if not found:
        return None
    return [dict(zip(contract.partition_by, row, strict=False)) for row in found]


def _judge_own(connection: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    for rule in rules(contract):
        if rule.severity == "error":
            broken = count_of(connection, f"SELECT count(*) FROM judged WHERE NOT ({satisfied(rule)})")
            if broken:
                raise DataContractError(
                    f"{broken} rows for {contract.id} break {rule.id} ({rule.description}): nothing was written; "
                    "correct what made them."
                )
    keys = ", ".join(quote(name) for name in contract.key)
    repeated = count_of(
        connection, f"SELECT count(*) FROM (SELECT {keys} FROM judged GROUP BY ALL HAVING count(*) > 1)"
    )
    if repeated:
        raise DataContractError(
            f"{repeated} keys of {contract.id} come twice: nothing was written; write each key once."
        )


def _check_where(connection: duckdb.DuckDBPyConnection, contract: Contract, where: Mapping[str, Any] | None) -> None:
    if not where or set(where) != set(contract.partition_by):
        raise BadArgumentsError(
            f"Replacing in {contract.id} needs where = its partition columns: {', '.join(contract.partition_by)}."
        )
    test = " AND ".join(f"{quote(name)} = {_literal(value)}" for name, value in where.items())
    outside = count_of(connection, f"SELECT count(*) FROM judged WHERE NOT coalesce({test}, FALSE)")
    if outside:
        raise CustomsError(
            f"{outside} rows for {contract.id} lie outside {dict(where)}: write one partition at a time."
        )
