"""A live table follows a breaking change of its contract: rows are rewritten, counted, and only then put in place.

Where every stored value survives the change (a wider type, a column dropped, a new partition), rows are cast. Where it
does not (another key, pseudonyms, a new required field), a fed table is read again from the sealed originals, judged
by the new contract, beside the live one. Either way the live table changes in one commit, is read back and compared;
if it does not hold what was built, its former version is restored. The former version stays readable by time travel
until `customs lake maintain` removes its files.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from data_contracts import load_contract, load_contracts, load_layouts
from data_contracts.emit.sql import derivation_expression, quote
from data_contracts.loader import columns_of
from data_contracts.model import Contract, Field
from infra.lake import ledger
from infra.lake.commit import (
    QUARANTINE,
    count_of,
    create_table,
    lake_connection,
    quarantine_contract,
    table_locks,
    table_view,
)
from infra.lake.evolution import Difference, differences, follow, record_applied, rewrite, say_version, stored_version
from infra.lake.ingest import read_again
from infra.lake.ledger import Manifest
from infra.runtime.errors import BadArgumentsError, CustomsError, DataContractError, TryAgainError
from infra.runtime.settings import Settings, get_settings


def _nothing(_: str) -> None:
    """Say nothing: progress is for the command line."""


def migrate(
    contract_id: str,
    settings: Settings | None = None,
    *,
    wait: float = 600,
    progress: Callable[[str], None] = _nothing,
) -> dict[str, Any]:
    """Rebuild the live table of a contract as the contract says now.

    Args:
        contract_id: ``<domain>.<entity>``; ``governance.quarantine`` stands for every quarantine table.
        settings: platform settings.
        wait: seconds to wait for commands that write the table.
        progress: called with one line per step.

    Returns:
        {table: {method, rows_before, rows_after, quarantined, version, former_version}}; method ``none`` where the
        table follows without rewriting, ``cast`` or ``originals`` where rows were rewritten.

    Raises:
        BadArgumentsError: the table does not exist yet.
        DataContractError: rows cannot follow; nothing was changed, the message says why and what to do.
        TryAgainError: a batch is unfinished, or the table is being written.
    """
    settings = settings or get_settings()
    contract = load_contract(contract_id)
    if contract_id == QUARANTINE:
        fed = [one for one in load_contracts().values() if one.feed]
        targets: list[tuple[Contract, Path, Contract | None]] = [
            (contract, settings.quarantine(one.id), one) for one in fed
        ]
    else:
        fed, targets = [contract], [(contract, settings.silver(contract_id), None)]
    if not any(DeltaTable.is_deltatable(str(path)) for _, path, _ in targets):
        raise BadArgumentsError(
            f"{contract_id} has no table yet: run `customs lake init`, there is nothing to migrate."
        )
    names = [one.id for one in fed]
    with table_locks(settings, [*names, *{f"feed-{one.feed}" for one in fed if one.feed}], wait):
        if ledger.pending(settings, names):
            raise TryAgainError(f"A batch of {', '.join(names)} is unfinished: run `customs lake ingest` first.")
        return {
            str(path.relative_to(settings.lake)): _migrate_table(settings, one, path, of, progress)
            for one, path, of in targets
            if DeltaTable.is_deltatable(str(path))
        }


def _migrate_table(
    settings: Settings, contract: Contract, path: Path, of: Contract | None, progress: Callable[[str], None]
) -> dict[str, Any]:
    table = DeltaTable(str(path))
    former, version = table.version(), stored_version(table)
    breaking = [one for one in differences(table, contract, of) if one.breaking]
    connection = lake_connection(settings)
    try:
        before = count_of(connection, f"SELECT count(*) FROM {table_view(connection, path)}") if former else 0
        figures: dict[str, Any] = {"method": "none", "rows_before": before, "rows_after": before, "quarantined": 0}
        if not breaking or not table.file_uris():
            follow(str(path), contract, settings, of)
            return figures | {"version": DeltaTable(str(path)).version(), "former_version": former}
        obstacle = _obstacle(connection, contract, table, path, breaking)
        if obstacle is None:
            progress(f"{contract.id}: every value survives, casting {before:,} rows")
            figures["method"] = "cast"
            _replace(connection, contract, path, _cast_select(connection, contract, table, path), former, of)
        elif contract.feed and of is None:
            progress(f"{contract.id}: {obstacle}; reading the sealed originals again")
            figures |= {"method": "originals"} | _from_originals(connection, settings, contract, path, former, progress)
        else:
            raise DataContractError(
                f"Table {table.metadata().name} cannot follow contract {contract.id} {contract.version}: {obstacle}, "
                "and it has no originals to read again; give the changed field a new name and keep the old one."
            )
        figures["rows_after"] = count_of(connection, f"SELECT count(*) FROM {table_view(connection, path)}")
    finally:
        connection.close()
    figures |= {"version": DeltaTable(str(path)).version(), "former_version": former}
    detail = {"from": version, "to": contract.version, "migrated": [one.sentence for one in breaking], **figures}
    record_applied(contract, of, detail, settings)
    return figures


def _obstacle(
    connection: duckdb.DuckDBPyConnection, contract: Contract, table: DeltaTable, path: Path, breaking: list[Difference]
) -> str | None:
    """Return why rows cannot be cast, None when every stored value survives: the values decide, not the types."""
    held = {f.name for f in table.schema().fields}
    view = table_view(connection, path)
    for one in breaking:
        name = quote(one.column)
        if one.kind == "type":
            field = contract.field(one.column)
            was = connection.sql(f"SELECT {name} FROM {view} LIMIT 0").types[0]
            back = f"TRY_CAST(TRY_CAST({name} AS {field.physical_type}) AS {was})"
            lost = count_of(
                connection, f"SELECT count(*) FROM {view} WHERE {name} IS NOT NULL AND {back} IS DISTINCT FROM {name}"
            )
            if lost:
                return f"{lost:,} values of {one.column} do not survive as {field.physical_type}"
        if one.kind == "required" or (one.kind == "type" and contract.field(one.column).required):
            empty = count_of(connection, f"SELECT count(*) FROM {view} WHERE {name} IS NULL")
            if empty:
                return f"{empty:,} rows have no {one.column}, which is required now"
        if one.kind == "new_required" and not _derivable(contract.field(one.column), held):
            return f"stored rows have no {one.column}, which is required"
        if one.kind == "pseudonym":
            return one.sentence
        if one.kind == "key":
            if contract.feed:
                return one.sentence + ", and which message wins is decided by the key"
            keys = ", ".join(quote(key) for key in contract.key)
            twice = count_of(
                connection, f"SELECT count(*) FROM (SELECT {keys} FROM {view} GROUP BY ALL HAVING count(*) > 1)"
            )
            if twice:
                return f"{twice:,} values of the new key {', '.join(contract.key)} come more than once"
    return None


def _derivable(field: Field, held: set[str]) -> bool:
    return field.derivation is not None and columns_of(field.derivation, field.name) <= held


def _cast_select(connection: duckdb.DuckDBPyConnection, contract: Contract, table: DeltaTable, path: Path) -> str:
    held = {f.name for f in table.schema().fields}
    columns = []
    for field in contract.columns:
        if field.name in held:
            value = quote(field.name)
        elif _derivable(field, held):
            value = f"TRY({derivation_expression(field)})"
        else:
            value = "NULL"
        columns.append(f"CAST({value} AS {field.physical_type}) AS {quote(field.name)}")
    select = f"SELECT {', '.join(columns)} FROM {table_view(connection, path)}"
    if any(field.name == "record_hash" for field in contract.columns):
        # as at ingest: the hash covers every field of the contract
        hashed = ", ".join(f"coalesce(CAST({quote(f.name)} AS VARCHAR), chr(31))" for f in contract.fields)
        select = f"SELECT * REPLACE (md5(concat_ws(chr(30), {hashed})) AS record_hash) FROM ({select})"
    return select


def _replace(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    path: Path,
    select: str,
    former: int,
    of: Contract | None,
) -> None:
    """Put the rows of a select in place of a table's and read them back; restore the former version if they differ."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE rebuilt AS {select}")
    meant = _content(connection, "rebuilt")
    rows = connection.sql("SELECT * FROM rebuilt").to_arrow_reader(100_000)
    rewrite(str(path), contract, rows, {"former_version": str(former)})
    columns = ", ".join(quote(field.name) for field in contract.columns)
    found = _content(connection, f"(SELECT {columns} FROM {table_view(connection, path)})")
    left = [one for one in differences(DeltaTable(str(path)), contract, of) if one.breaking]
    if found != meant or left:
        DeltaTable(str(path)).restore(former)
        what = (
            left[0].sentence if left else f"{found[0]:,} rows were read back, {meant[0]:,} were built, or they differ"
        )
        raise CustomsError(f"{contract.id}: {what}; version {former} of the table was restored, report this as a bug.")
    say_version(str(path), contract, of)
    connection.execute("DROP TABLE rebuilt")


def _content(connection: duckdb.DuckDBPyConnection, relation: str) -> tuple[int, Any]:
    rows = connection.execute(f"SELECT count(*), bit_xor(hash(one)) FROM {relation} AS one").fetchall()
    return rows[0]


# --- from the sealed originals ----------------------------------------------------------------------------------------


def _from_originals(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    contract: Contract,
    path: Path,
    former: int,
    progress: Callable[[str], None],
) -> dict[str, int]:
    batches = [one for one in ledger.manifests(settings) if contract.id in one.tables and one.files]
    _check_originals(settings, contract, batches)
    aside = settings.quarantine(contract.id)
    with _beside(settings, contract) as (silver, quarantine):
        create_table(contract, silver, settings=settings)
        create_table(quarantine_contract(), quarantine, of=contract, settings=settings)
        for number, manifest in enumerate(batches, 1):
            read_again(settings, manifest, contract, silver, quarantine)
            progress(f"{contract.id}: batch {number} of {len(batches)} read again")
        bad = count_of(connection, f"SELECT count(*) FROM {table_view(connection, quarantine)}")
        was_bad = count_of(connection, f"SELECT count(*) FROM {table_view(connection, aside)}")
        _check_keys(connection, contract, path, silver, bad - was_bad)
        # quarantine first, as at ingest: a row is never in neither
        set_aside, held = quarantine_contract(), DeltaTable(str(aside))
        _replace(
            connection,
            set_aside,
            aside,
            f"SELECT * FROM {table_view(connection, quarantine)}",
            held.version(),
            contract,
        )
        columns = ", ".join(quote(field.name) for field in contract.columns)
        select = f"SELECT {columns} FROM {table_view(connection, silver)}"
        _replace(connection, contract, path, select, former, None)
    return {"quarantined": bad}


def _check_originals(settings: Settings, contract: Contract, batches: Sequence[Manifest]) -> None:
    layouts = load_layouts()
    files = [
        (one, file)
        for one in batches
        for file in one.files
        if file.layout not in layouts or contract.id in layouts[file.layout].contracts
    ]
    if unknown := sorted({file.layout for _, file in files if file.layout not in layouts}):
        raise DataContractError(
            f"Originals of {contract.id} have layout {', '.join(unknown)}, which is no more: bring its layout file "
            "back; nothing was changed."
        )
    gone = [(one, file) for one, file in files if not (settings.lake / file.raw).is_file()]
    if gone:
        oldest = min(one.created_at for one, _ in gone)[:10]
        raise DataContractError(
            f"{len(gone)} of {len(files)} sealed originals of {contract.id} are gone (raw zone, retention reached or "
            f"purged; oldest ingested {oldest}): bring them back from their archive to {settings.lake / 'raw'}, or "
            "give the changed field a new name; nothing was changed."
        )


def _check_keys(
    connection: duckdb.DuckDBPyConnection, contract: Contract, path: Path, silver: Path, newly_bad: int
) -> None:
    """Stop when rows of the live table are neither in the rebuilt one nor newly set aside."""
    held = {f.name for f in DeltaTable(str(path)).schema().fields}
    key = [name for name in contract.key if name in held]
    keys = ", ".join(f"CAST({quote(name)} AS VARCHAR)" for name in key)
    live, rebuilt = table_view(connection, path), table_view(connection, silver)
    lost = count_of(connection, f"SELECT count(*) FROM (SELECT {keys} FROM {live} EXCEPT SELECT {keys} FROM {rebuilt})")
    if lost > max(newly_bad, 0):
        raise DataContractError(
            f"{lost:,} keys of {contract.id} are in the live table and not among its originals' good rows, and only "
            f"{max(newly_bad, 0):,} more rows would be set aside; nothing was changed, report this as a bug."
        )


@contextmanager
def _beside(settings: Settings, contract: Contract) -> Iterator[tuple[Path, Path]]:
    """Give two folders for the rebuilt tables, readable by their owner only, and remove them whatever happens."""
    folder = settings.home / "tmp" / f"migrate-{contract.table}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder / "silver", folder / "quarantine"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
