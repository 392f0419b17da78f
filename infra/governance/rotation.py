"""New keys for the pseudonyms of a purpose, with proof.

Re-derived from the sealed originals, not layered: ingest hashes a clear value with one key, so the same person must get
``HMAC(new key, value)`` in rows old and new, or joins inside the purpose would break at the day of the rotation.
Layering (a new key over the old pseudonym) needs no originals, but ingest would apply every key there ever was to
each new value and none could be destroyed. The price is that every original must still be there: a pseudonym without
one stops the rotation before anything changed, so rotate inside the raw zone's retention.

The rotation in progress, old key included, is written down in the keys folder before the first table changes. Run
again, the command goes on where it stopped; the old key is destroyed when no old pseudonym is left in any file.
"""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from deltalake import CommitProperties, DeltaTable

from data_contracts import load_contract
from data_contracts.emit.sql import hmac_sha256, quote
from data_contracts.model import Contract, Field
from infra.governance.accounts import Account, NotAllowedError, write_owner_only
from infra.governance.history import forget_history
from infra.governance.originals import pseudonym_fields, read_originals
from infra.governance.search import Hit, Needles, search
from infra.lake import ledger
from infra.lake.commit import add_actions, table_locks, table_view
from infra.lake.pseudonym import KEY_BYTES, key_file, load_keys
from infra.runtime import audit
from infra.runtime.duck import duck_connection
from infra.runtime.errors import BadArgumentsError, DataContractError, TryAgainError
from infra.runtime.settings import Settings


def _nothing(_: str) -> None:
    """Say nothing: progress is for the command line."""


def rotation_file(settings: Settings) -> Path:
    """Return where a rotation in progress is written down, readable by its owner only."""
    return settings.keys / "rotation.json"


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
        tables, rows, persons' values re-keyed, and what was searched.

    Raises:
        NotAllowedError: not a security officer.
        BadArgumentsError: unknown purpose, or another rotation is unfinished.
        DataContractError: a pseudonym has no original (nothing was changed), or former ones are left in derived files
            (the message says what to rebuild; then run the same again).
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
        connection = duck_connection(settings=settings)
        try:
            progress(f"{purpose}: reading the sealed originals")
            values = read_originals(connection, settings, {purpose})
            old, new = bytes.fromhex(plan["old"]), bytes.fromhex(plan["new"])
            connection.execute(
                f"CREATE TEMP TABLE mapping AS SELECT {hmac_sha256('value', old)} AS was, "
                f"{hmac_sha256('value', new)} AS is_now FROM originals"
            )
            if plan["phase"] == "rekey":
                rows = _rekey(connection, settings, purpose, plan, tables, progress, reached)
                plan |= {"phase": "prove", "rows": rows}
                reached("before_key")
                _replace_key(settings, purpose, new)
                write_owner_only(rotation_file(settings), json.dumps(plan))
                reached("after_key")
            for contract_id in tables:
                forget_history(settings.silver(contract_id))
            former = [row[0] for row in connection.execute("SELECT was FROM mapping").fetchall()]
            joined = _joined(connection, settings, tables)
        finally:
            connection.close()
    progress(f"{purpose}: searching every file for {len(former):,} former pseudonyms")
    outcome = search(settings, Needles(pseudonyms=former), progress=progress)
    if outcome.hits:
        raise DataContractError(_left(settings, purpose, outcome.hits))
    rotation_file(settings).unlink()
    figures = {
        "purpose": purpose,
        "tables": sorted(tables),
        "rows": plan["rows"],
        "values": values,
        "unmatched": joined,
        "searched_files": outcome.files,
        "searched_bytes": outcome.bytes,
        "former_pseudonyms_found": 0,
    }
    audit.record("key.rotated", account.name, purpose, figures, settings=settings)
    return figures


def _begin(settings: Settings, purpose: str, key: bytes, account: Account) -> dict[str, Any]:
    path = rotation_file(settings)
    if path.is_file():
        plan = json.loads(path.read_text(encoding="utf-8"))
        if plan["purpose"] != purpose:
            raise BadArgumentsError(
                f"The rotation of {plan['purpose']} is unfinished: finish it with the same command."
            )
        return plan
    plan = {"purpose": purpose, "old": key.hex(), "new": secrets.token_hex(KEY_BYTES), "phase": "rekey"}
    write_owner_only(path, json.dumps(plan))
    audit.record("key.rotation_begun", account.name, purpose, settings=settings)
    return plan


def _rekey(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    purpose: str,
    plan: dict[str, Any],
    tables: dict[str, list[Field]],
    progress: Callable[[str], None],
    reached: Callable[[str], None],
) -> int:
    for contract_id, fields in tables.items():
        view = table_view(connection, settings.silver(contract_id))
        for f in fields:
            orphans = connection.execute(
                f"SELECT count(DISTINCT {quote(f.name)}) FROM {view} WHERE {quote(f.name)} IS NOT NULL "
                f"AND {quote(f.name)} NOT IN (SELECT was FROM mapping UNION ALL SELECT is_now FROM mapping)"
            ).fetchall()[0][0]
            if orphans:
                if not plan.get("started"):
                    rotation_file(settings).unlink()
                raise DataContractError(
                    f"{orphans} pseudonyms of {contract_id}.{f.name} have no original in {settings.lake / 'raw'}: "
                    f"bring the sealed files back from their archive and rotate {purpose} again; this run changed "
                    "no table."
                )
    plan["started"] = True
    write_owner_only(rotation_file(settings), json.dumps(plan))
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


def _replace_key(settings: Settings, purpose: str, key: bytes) -> None:
    path = key_file(settings)
    stored = json.loads(path.read_text(encoding="utf-8"))
    write_owner_only(path, json.dumps(stored | {purpose: key.hex()}, indent=1))


def _joined(connection: duckdb.DuckDBPyConnection, settings: Settings, tables: dict[str, list[Field]]) -> int:
    """Return how many stored pseudonyms are not the new key's of an original: 0 means every join inside holds."""
    unmatched = 0
    for contract_id, fields in tables.items():
        view = table_view(connection, settings.silver(contract_id))
        for name in (quote(f.name) for f in fields):
            counted = connection.execute(
                f"SELECT count(*) FROM {view} WHERE {name} IS NOT NULL AND {name} NOT IN (SELECT is_now FROM mapping)"
            )
            unmatched += int(counted.fetchall()[0][0])
    return unmatched


def _left(settings: Settings, purpose: str, hits: tuple[Hit, ...]) -> str:
    files = sorted({str(hit.file.relative_to(settings.home)) for hit in hits if hit.file.is_relative_to(settings.home)})
    shown = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    return (
        f"The lake has the new pseudonyms of {purpose}; former ones are left in files made from it ({shown}): rebuild "
        "them (customs features build, customs datasets build, customs serving publish) and rotate again to finish it."
    )
