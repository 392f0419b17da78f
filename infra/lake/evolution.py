"""How a live table follows its contract: what can be said without touching a row is applied, the rest is refused.

The table is compared with the contract, not with the contract's former version: names, types, nullability, key,
partition and pseudonyms are read from the Delta log. A new optional column, a column that may now be empty, another
wording or grade is a metadata commit. Whatever would make stored rows wrong needs ``customs lake migrate``.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError

from data_contracts.emit.delta import arrow_schema, delta_schema, table_description
from data_contracts.model import Contract
from infra.runtime import audit
from infra.runtime.errors import DataContractError, TryAgainError
from infra.runtime.settings import Settings

ACTOR = "system:lake-init"
_ATTEMPTS = 5
_VERSION = re.compile(r"\[[a-z_.]+ ([0-9]+\.[0-9]+\.[0-9]+), ")


@dataclass(frozen=True)
class Difference:
    """One thing a live table does not share with its contract.

    ``kind`` is new, optional, words (those are applied), or removed, type, required, new_required, key, partition,
    pseudonym (those need a migration). ``sentence`` says it with the column's name.
    """

    kind: str
    column: str
    sentence: str

    @property
    def breaking(self) -> bool:
        """Whether rows would have to be rewritten."""
        return self.kind not in ("new", "optional", "words")


def describe(contract: Contract, of: Contract | None = None) -> str:
    """Return the description a live table carries: meaning, contract, version, grade, retention.

    Args:
        contract: what the table holds.
        of: for a quarantine table, the contract its rows failed.
    """
    about = table_description(contract)
    return f"Rows that failed {of.id}. {about}" if of else about


def stored_version(table: DeltaTable) -> str | None:
    """Return the contract version a live table says it follows, None when it does not say."""
    found = _VERSION.search(table.metadata().description or "")
    return found[1] if found else None


def differences(table: DeltaTable, contract: Contract, of: Contract | None = None) -> list[Difference]:
    """Return where a live table differs from its contract, breaking ones first.

    Args:
        table: the live table.
        contract: what it should hold.
        of: for a quarantine table, the contract its rows failed.
    """
    there = {f.name: f for f in table.schema().fields}
    asked = {f.name: f for f in delta_schema(contract).fields}
    partition = list(table.metadata().partition_columns)
    found = [
        Difference("removed", name, f"column {name} is in the table and not in the contract")
        for name in there.keys() - asked.keys()
    ]
    for name, wanted in asked.items():
        held = there.get(name)
        if held is None:
            kind = "new" if wanted.nullable else "new_required"
            found.append(Difference(kind, name, f"column {name} is new{'' if wanted.nullable else ' and required'}"))
            continue
        if held.type != wanted.type:
            types = f"{held.type.type} in the table and {wanted.type.type} in the contract"
            found.append(Difference("type", name, f"column {name} is {types}"))
        if held.nullable and not wanted.nullable:
            found.append(Difference("required", name, f"column {name} may be empty in the table and is now required"))
        elif wanted.nullable and not held.nullable:
            found.append(Difference("optional", name, f"column {name} may now be empty"))
        if any(held.metadata.get(key) != value for key, value in wanted.metadata.items()):
            found.append(Difference("words", name, f"column {name} is described anew"))
    # tables made before key and pseudonyms were stored say nothing of either; they take what the contract says
    if any("category" in f.metadata for f in there.values()):
        found += _stored_marks(there, asked)
    if partition != list(contract.partition_by):
        name = ", ".join(contract.partition_by) or "nothing"
        was = ", ".join(partition) or "nothing"
        found.append(Difference("partition", name, f"the table is partitioned by {was}, the contract says {name}"))
    if table.metadata().description != describe(contract, of):
        found.append(Difference("words", "", "the table is described anew"))
    return sorted(found, key=lambda one: (not one.breaking, one.column))


def _stored_marks(there: dict, asked: dict) -> list[Difference]:
    found = []
    was, now = (
        [name for _, name in sorted((int(f.metadata["key"]), n) for n, f in fields.items() if f.metadata.get("key"))]
        for fields in (there, asked)
    )
    if was != now:
        words = f"the key of the table is {', '.join(was) or 'nothing'}, the contract says {', '.join(now)}"
        found.append(Difference("key", ", ".join(now), words))
    for name in there.keys() & asked.keys():
        held, wanted = (fields[name].metadata.get("pseudonym") for fields in (there, asked))
        if held != wanted:
            words = f"column {name} holds {_pseudonym(held)} and the contract asks for {_pseudonym(wanted)}"
            found.append(Difference("pseudonym", name, words))
    return found


def _pseudonym(purpose: str | None) -> str:
    return f"pseudonyms of {purpose}" if purpose else "clear values"


def follow(path: str, contract: Contract, settings: Settings, of: Contract | None = None) -> str:
    """Let a live table follow its contract as far as no row has to be rewritten, and record it.

    Args:
        path: folder of the table.
        contract: what it should hold.
        settings: platform settings, for the audit log.
        of: for a quarantine table, the contract its rows failed.

    Returns:
        ``present`` when nothing differed, ``extended`` when columns were added, else ``described``.

    Raises:
        DataContractError: the contract changed in a way stored rows cannot follow; the message names the migration.
        TryAgainError: another command keeps changing the table.
    """
    done: list[Difference] = []
    version: str | None = None
    for tries in range(1, _ATTEMPTS + 1):
        table = DeltaTable(path)
        found = differences(table, contract, of)
        if not found:
            break
        if found[0].breaking and table.file_uris():
            raise DataContractError(
                f"Table {table.metadata().name}, contract {contract.id} {contract.version}: {found[0].sentence}; "
                f"run `customs lake migrate {contract.id}`, or take the change back."
            )
        version, done = version or stored_version(table), done or found
        try:
            if found[0].breaking:
                rewrite(path, contract, arrow_schema(contract).empty_table().to_reader(), {"rows": "none"})
                table = DeltaTable(path)
                found = differences(table, contract, of)
            _apply(table, contract, found, of)
            break
        except CommitFailedError as error:
            # a batch was committed meanwhile: what is left to do is read from the table as it is now
            if tries == _ATTEMPTS:
                raise TryAgainError(f"Table {contract.table} keeps changing: try again. ({error})") from error
            time.sleep(0.2 * tries)
    if not done:
        return "present"
    added = [one.column for one in done if one.kind in ("new", "new_required")]
    detail = {
        "from": version,
        "to": contract.version,
        "added": added,
        "optional": [one.column for one in done if one.kind == "optional"],
        "described": sum(one.kind == "words" for one in done),
    }
    record_applied(contract, of, detail, settings)
    return "extended" if added else "described"


def rewrite(path: str, contract: Contract, rows: pa.RecordBatchReader, notes: Mapping[str, str]) -> None:
    """Put rows, columns, types and partition of a contract in place of a table's, in one commit.

    The former version stays readable by time travel until maintenance removes its files; the transactions that make
    ingestion exactly-once stay too.

    Args:
        path: folder of the table.
        contract: what the table holds from now on.
        rows: the contract's columns in order.
        notes: written with the commit.
    """
    schema = arrow_schema(contract)
    batches = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in rows)
    write_deltalake(
        path,
        pa.RecordBatchReader.from_batches(schema, batches),
        mode="overwrite",
        schema_mode="overwrite",
        partition_by=list(contract.partition_by),
        writer_properties=WriterProperties(compression="ZSTD"),
        commit_properties=CommitProperties(custom_metadata={"contract_version": contract.version, **notes}),
    )


def record_applied(contract: Contract, of: Contract | None, detail: dict, settings: Settings) -> None:
    """Record that a live table follows a contract version now."""
    name = f"quarantine/{of.table}" if of else contract.table
    audit.record("contract.applied", ACTOR, name, {"contract": contract.id, **detail}, settings=settings)


def _apply(table: DeltaTable, contract: Contract, found: list[Difference], of: Contract | None) -> None:
    asked = {f.name: f for f in delta_schema(contract).fields}
    note = CommitProperties(custom_metadata={"contract_version": contract.version})
    if added := [asked[one.column] for one in found if one.kind == "new"]:
        table.alter.add_columns(added, commit_properties=note)
    for one in found:
        if one.kind == "optional":
            table.alter.drop_column_not_null(one.column, commit_properties=note)
        elif one.kind == "words" and one.column:
            table.alter.set_column_metadata(one.column, asked[one.column].metadata, commit_properties=note)
    # last: a table that says it follows a version does so in every column
    say_version(str(table.table_uri), contract, of)


def say_version(path: str, contract: Contract, of: Contract | None = None) -> None:
    """Let a table say which contract version it follows."""
    table = DeltaTable(path)
    if table.metadata().description != describe(contract, of):
        table.alter.set_table_description(describe(contract, of))
