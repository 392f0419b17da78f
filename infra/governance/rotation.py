"""New keys for the pseudonyms of a purpose, with proof.

While every original is in the raw zone, pseudonyms are derived again from them and the old key is destroyed: the same
person gets ``HMAC(new key, value)`` in rows old and new, so joins inside the purpose hold.

Where an original has left the raw zone, the new key is laid over the old one: ``HMAC(new key, former pseudonym)``.
Ingest applies both keys to what arrives later, so the same person still gets the same pseudonym. The former key stays
in the file of the keys; alone it says nothing about the new pseudonyms, and the next rotation that finds all originals
replaces the whole chain.

The rotation in progress, old key included, is written down in the keys folder before the first table changes. Run
again, the command goes on where it stopped; it is over when no former pseudonym is left in any file.
"""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from deltalake import CommitProperties, DeltaTable

from data_contracts import load_contract
from data_contracts.emit.sql import hmac_sha256, quote, text
from data_contracts.model import Contract, Field
from infra.governance import vault
from infra.governance.accounts import Account, NotAllowedError, write_owner_only
from infra.governance.history import forget_history
from infra.governance.originals import pseudonym_fields, read_originals
from infra.governance.search import Hit, Needles, search
from infra.lake import ledger
from infra.lake.commit import add_actions, lake_connection, table_locks, table_view
from infra.lake.pseudonym import KEY_BYTES, Key, key_file, links, load_keys, read_key, written_key
from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError, CustomsError, DataContractError, TryAgainError
from infra.runtime.settings import Settings


def _nothing(_: str) -> None:
    """Say nothing: progress is for the command line."""


def rotation_file(settings: Settings) -> Path:
    """Return where a rotation in progress is written down, readable by its owner only."""
    return settings.keys / "rotation.json"


def mapping_file(settings: Settings) -> Path:
    """Return where former and new pseudonyms lie side by side while keys are laid over each other."""
    return settings.keys / "rotation.parquet"


def rotate(
    settings: Settings,
    purpose: str,
    account: Account,
    *,
    progress: Callable[[str], None] = _nothing,
    reached: Callable[[str], None] = _nothing,
    wait: float = 600,
) -> dict[str, Any]:
    """Give the pseudonyms of a purpose a new key and prove that the old ones are gone.

    Args:
        settings: platform settings.
        purpose: a purpose of policy.yaml.
        account: a security officer.
        progress: called with one line per step.
        reached: called at each named fault point; tests raise there.
        wait: seconds to wait for commands that write the tables.

    Returns:
        tables, rows, persons' values re-keyed, whether the new key was laid over the old one, and what was searched.

    Raises:
        NotAllowedError: not a security officer.
        BadArgumentsError: unknown purpose, or another rotation is unfinished.
        DataContractError: former pseudonyms are left in derived files (the message says what to rebuild; then run the
            same again).
        TryAgainError: a batch is unfinished, or a table is being written.
    """
    if account.role != "security-officer":
        raise NotAllowedError(f"{account.name} is {account.role}; only a security-officer rotates keys.")
    keys = load_keys(settings)
    if purpose not in keys:
        raise BadArgumentsError(f"There is no key for '{purpose}': purposes are {', '.join(sorted(keys))}.")
    fields = pseudonym_fields({purpose})
    tables = {one: f for one, f in fields.items() if DeltaTable.is_deltatable(str(settings.silver(one)))}
    feeds = {contract.feed for contract in map(load_contract, fields) if contract.feed}
    with table_locks(settings, [*(f"feed-{feed}" for feed in feeds), *fields], wait):
        if ledger.pending(settings, list(fields)):
            raise TryAgainError(
                f"A batch of {', '.join(sorted(feeds))} is unfinished: run `customs lake ingest` first."
            )
        plan = _begin(settings, purpose, keys[purpose], account)
        connection = lake_connection(settings)
        try:
            pairs = _map(connection, settings, plan, keys[purpose], tables, progress)
            if plan["phase"] == "rekey":
                plan["rows"] = _rekey(connection, settings, purpose, plan, tables, progress, reached)
                vault.follow(settings, purpose, pairs)
                write_owner_only(rotation_file(settings), json.dumps(plan))
                reached("before_key")
                _replace_key(settings, purpose, _following(plan))
                reached("between")
                plan["phase"] = "prove"
                write_owner_only(rotation_file(settings), json.dumps(plan))
                reached("after_key")
            for contract_id in tables:
                forget_history(settings.silver(contract_id))
            former = [was for was, _ in pairs]
            unmatched = _unmatched(connection, settings, plan, tables)
        finally:
            connection.close()
    progress(f"{purpose}: searching every file for {len(former):,} former pseudonyms")
    # the two files that let this command go on are removed with it
    own = (rotation_file(settings), mapping_file(settings))
    outcome = search(settings, Needles(pseudonyms=former), besides=own, progress=progress)
    if outcome.hits:
        raise DataContractError(_left(settings, purpose, outcome.hits))
    for file in reversed(own):
        file.unlink(missing_ok=True)
    figures = {
        "purpose": purpose,
        "tables": sorted(tables),
        "rows": plan["rows"],
        "values": len(former),
        "layered": plan["layered"],
        "unmatched": unmatched,
        "searched_files": outcome.files,
        "searched_bytes": outcome.bytes,
        "former_pseudonyms_found": 0,
    }
    audit.record("key.rotated", account.name, purpose, figures, settings=settings)
    return figures


def _begin(settings: Settings, purpose: str, key: Key, account: Account) -> dict[str, Any]:
    path = rotation_file(settings)
    if path.is_file():
        plan = json.loads(path.read_text(encoding="utf-8"))
        if plan["purpose"] != purpose:
            raise BadArgumentsError(
                f"The rotation of {plan['purpose']} is unfinished: finish it with the same command."
            )
        return plan
    plan = {"purpose": purpose, "old": written_key(key), "new": secrets.token_hex(KEY_BYTES), "phase": "rekey"}
    write_owner_only(path, json.dumps(plan))
    audit.record("key.rotation_begun", account.name, purpose, settings=settings)
    return plan


def _following(plan: dict[str, Any]) -> Key:
    """Return the purpose's key after the rotation."""
    new = bytes.fromhex(plan["new"])
    return (*links(read_key(plan["old"])), new) if plan["layered"] else new


def _map(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    plan: dict[str, Any],
    key: Key,
    tables: dict[str, list[Field]],
    progress: Callable[[str], None],
) -> list[tuple[str, str]]:
    """Make the table ``mapping`` of former and new pseudonyms and return its rows."""
    new = bytes.fromhex(plan["new"])
    if not plan.get("layered"):
        progress(f"{plan['purpose']}: reading the sealed originals")
        read_originals(connection, settings, {plan["purpose"]})
        connection.execute(
            f"CREATE TEMP TABLE mapping AS SELECT {hmac_sha256('value', read_key(plan['old']))} AS was, "
            f"{hmac_sha256('value', new)} AS is_now FROM originals"
        )
        if "layered" not in plan:
            orphans = sum(_orphans(connection, settings, tables).values())
            plan["layered"] = orphans > 0
            if orphans:
                progress(f"{plan['purpose']}: {orphans:,} pseudonyms have no original: the new key is laid over theirs")
            # decided once: a table half one way and half the other would cut persons in two
            write_owner_only(rotation_file(settings), json.dumps(plan))
    if plan["layered"]:
        _map_layered(connection, settings, plan, key, tables, new)
    pairs = connection.execute("SELECT was, is_now FROM mapping").fetchall()
    if len({is_now for _, is_now in pairs}) < len(pairs):
        raise CustomsError(f"Two persons of {plan['purpose']} would get the same pseudonym: run it again.")
    if key == _following(plan):
        # it died between the key's file and its own
        plan["phase"] = "prove"
    return pairs


def _map_layered(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    plan: dict[str, Any],
    key: Key,
    tables: dict[str, list[Field]],
    new: bytes,
) -> None:
    file = mapping_file(settings)
    known = f"read_parquet({text(str(file))})" if file.is_file() else "(SELECT '' AS was, '' AS is_now WHERE FALSE)"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE mapping AS FROM {known}")
    if key == _following(plan):
        return
    for contract_id, fields in tables.items():
        view = table_view(connection, settings.silver(contract_id))
        for name in (quote(f.name) for f in fields):
            # a run that was stopped has left new ones behind, and ingest may have added former ones since
            connection.execute(
                f"INSERT INTO mapping SELECT DISTINCT {name}, {hmac_sha256(name, new)} FROM {view} WHERE {name} IS NOT "
                f"NULL AND {name} NOT IN (SELECT was FROM mapping UNION ALL SELECT is_now FROM mapping)"
            )
    draft = file.with_suffix(".new")
    connection.execute(f"COPY mapping TO {text(str(draft))} (FORMAT parquet)")
    draft.chmod(0o600)
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    draft.replace(file)


def _orphans(
    connection: duckdb.DuckDBPyConnection, settings: Settings, tables: dict[str, list[Field]]
) -> dict[str, int]:
    """Return {contract.column: pseudonyms that the table ``mapping`` does not know}."""
    found = {}
    for contract_id, fields in tables.items():
        view = table_view(connection, settings.silver(contract_id))
        for f in fields:
            counted = connection.execute(
                f"SELECT count(DISTINCT {quote(f.name)}) FROM {view} WHERE {quote(f.name)} IS NOT NULL "
                f"AND {quote(f.name)} NOT IN (SELECT was FROM mapping UNION ALL SELECT is_now FROM mapping)"
            ).fetchall()[0][0]
            found[f"{contract_id}.{f.name}"] = int(counted)
    return found


def _rekey(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    purpose: str,
    plan: dict[str, Any],
    tables: dict[str, list[Field]],
    progress: Callable[[str], None],
    reached: Callable[[str], None],
) -> int:
    for column, orphans in _orphans(connection, settings, tables).items():
        if orphans:
            raise DataContractError(
                f"{orphans} pseudonyms of {column} lost their original after the rotation of {purpose} had begun: "
                f"bring the sealed files back to {settings.lake / 'raw'} and run the same again; no table was changed."
            )
    rows = 0
    for contract_id, fields in tables.items():
        rows += _rewrite(connection, settings, load_contract(contract_id), fields, purpose)
        progress(f"{purpose}: {contract_id} has new pseudonyms")
        reached(f"rewritten:{contract_id}")
    return rows


def _rewrite(
    connection: duckdb.DuckDBPyConnection, settings: Settings, contract: Contract, fields: list[Field], purpose: str
) -> int:
    path = settings.silver(contract.id)
    joins = " ".join(f"LEFT JOIN mapping AS m{n} ON m{n}.was = held.{quote(f.name)}" for n, f in enumerate(fields))
    changed = {f.name: f"coalesce(m{n}.is_now, held.{quote(f.name)})" for n, f in enumerate(fields)}
    columns = ", ".join(f"{changed.get(f.name, f'held.{quote(f.name)}')} AS {quote(f.name)}" for f in contract.columns)
    select = f"SELECT {columns} FROM {table_view(connection, path)} AS held {joins}"
    if any(f.name == "record_hash" for f in contract.columns):
        # the same expression as at ingest: the hash covers the pseudonyms
        hashed = ", ".join(f"coalesce(CAST({quote(f.name)} AS VARCHAR), chr(31))" for f in contract.fields)
        select = f"SELECT * REPLACE (md5(concat_ws(chr(30), {hashed})) AS record_hash) FROM ({select})"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE rekeyed AS {select}")
    count = int(connection.execute("SELECT count(*) FROM rekeyed").fetchall()[0][0])
    if not count:
        return 0
    actions = add_actions(connection, "SELECT * FROM rekeyed", contract, path, f"rekey-{secrets.token_hex(4)}")
    table = DeltaTable(str(path))
    table.create_write_transaction(
        list(actions),
        mode="overwrite",
        schema=table.schema(),
        partition_by=list(contract.partition_by),
        commit_properties=CommitProperties(custom_metadata={"rotation": purpose}),
    )
    connection.execute("DROP TABLE rekeyed")
    return count


def _replace_key(settings: Settings, purpose: str, key: Key) -> None:
    path = key_file(settings)
    stored = json.loads(path.read_text(encoding="utf-8"))
    write_owner_only(path, json.dumps(stored | {purpose: written_key(key)}, indent=1))


def _unmatched(
    connection: duckdb.DuckDBPyConnection, settings: Settings, plan: dict[str, Any], tables: dict[str, list[Field]]
) -> int:
    """Return how many stored pseudonyms are not of the new key: 0 means every join inside holds.

    With keys laid over each other, what ingest added since is not in the mapping: there, former ones are counted.
    """
    wrong = "IN (SELECT was FROM mapping)" if plan["layered"] else "NOT IN (SELECT is_now FROM mapping)"
    unmatched = 0
    for contract_id, fields in tables.items():
        view = table_view(connection, settings.silver(contract_id))
        for name in (quote(f.name) for f in fields):
            counted = connection.execute(f"SELECT count(*) FROM {view} WHERE {name} IS NOT NULL AND {name} {wrong}")
            unmatched += int(counted.fetchall()[0][0])
    return unmatched


def _left(settings: Settings, purpose: str, hits: tuple[Hit, ...]) -> str:
    files = sorted({str(hit.file.relative_to(settings.home)) for hit in hits if hit.file.is_relative_to(settings.home)})
    shown = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    return (
        f"The lake has the new pseudonyms of {purpose}; former ones are left in files made from it ({shown}): rebuild "
        "them (customs features build, customs datasets build, customs serving publish) and rotate again to finish it."
    )
