"""Delivery of an approved share: built from silver through the policy, judged, scanned, and only then published.

Nothing is visible to a recipient before the last rename; a share that fails a check leaves no file behind.
"""

import hashlib
import hmac
import json
import re
import secrets
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable, write_deltalake

from data_contracts import load_contract
from data_contracts.emit.sql import hmac_sha256, quote, text
from data_contracts.model import Contract
from data_contracts.policy import load_policy
from infra.governance import sharing
from infra.governance.accounts import Account, NotAllowedError, write_owner_only
from infra.governance.leaks import Leak, scan
from infra.governance.sharing import Assessment, Request
from infra.lake.commit import table_view
from infra.runtime import audit
from infra.runtime.duck import duck_connection
from infra.runtime.errors import BadArgumentsError, DataContractError
from infra.runtime.settings import Settings

ROW_ID = "share_row_id"
# columns a share has beside those of its contract: (grade, category)
OWN_COLUMNS = {ROW_ID: ("L1", "platform_ops"), "records": ("L2", "statistics")}
_ROW_ID = re.compile(r"^([0-9a-f]{8})([0-9a-f]{24})$")


def _nothing(_: str) -> None:
    """Say nothing: progress is for the command line."""


def key_file(settings: Settings, request_id: str) -> Path:
    """Return the keys of one share, outside the lake, readable by their owner only."""
    return settings.keys / "shares" / f"{request_id}.json"


def folder_of(settings: Settings, request_id: str) -> Path:
    """Return the folder a recipient is given."""
    return sharing.shares_folder(settings) / request_id


def deliver(
    settings: Settings, request_id: str, account: Account, progress: Callable[[str], None] = _nothing
) -> tuple[Request, dict[str, Any]]:
    """Build, judge, scan and publish an approved share; return the request and the manifest.

    Raises:
        NotAllowedError: the account is no data steward, or asked for the data itself.
        BadArgumentsError: the request is not approved, or contract and policy now forbid it.
        DataContractError: every cohort is too small, or the leak scan found something; nothing was published.
    """
    with sharing.locked(settings):
        request = sharing.request_named(settings, request_id)
        sharing.must_follow(request, "delivered")
        sharing.must_be(account, ("data-steward",), "deliver a share")
        sharing.must_be_another(request, account, "deliver")
        found = sharing.assess(request.wish)
        if found.problems or len(found.approvers) > len(request.approvals):
            reason = found.problems[0] if found.problems else f"it now needs {' and '.join(found.approvers)}."
            raise BadArgumentsError(
                f"Request {request_id} cannot be delivered under today's contract: {reason} Revoke it and ask anew."
            )
        building = sharing.shares_folder(settings) / f".building-{request_id}"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=0o700)
        try:
            manifest = _build(settings, request, found, building, progress)
            hashes = {name: one["sha256"] for name, one in manifest["files"].items()}
            # whatever happens next, no file leaves without an event that names it
            audit.record("share.publishing", account.name, request_id, {"files": hashes}, settings=settings)
            final = folder_of(settings, request_id)
            shutil.rmtree(final, ignore_errors=True)
            building.rename(final)
        except BaseException as error:
            shutil.rmtree(building, ignore_errors=True)
            key_file(settings, request_id).unlink(missing_ok=True)
            if isinstance(error, DataContractError):
                audit.record("share.blocked", account.name, request_id, {"reason": str(error)}, settings=settings)
            raise
        detail = {"rows": manifest["rows"], "suppressed": manifest["suppressed"], "files": hashes}
        sharing.store_step(settings, request_id, "delivered", account.name, detail)
    return sharing.published(settings, request_id), manifest


def _build(
    settings: Settings, request: Request, found: Assessment, building: Path, progress: Callable[[str], None]
) -> dict[str, Any]:
    contract = load_contract(request.wish.contract)
    path = settings.silver(contract.id)
    if not (path / "_delta_log").is_dir():
        raise DataContractError(f"{contract.id} has no rows yet ({path} is missing): ingest it first.")
    keys = {name: secrets.token_hex(32) for name in ("pseudonym", "watermark")}
    write_owner_only(key_file(settings, request.id), json.dumps(keys))
    key_file(settings, request.id).parent.chmod(0o700)
    connection = duck_connection(settings=settings)
    try:
        progress(f"{request.id}: building from {contract.id}")
        source = _source(connection, request, contract, path)
        connection.execute(f"CREATE TEMP TABLE source AS {source}")
        version = DeltaTable(str(path)).version()
        pseudonym_key = bytes.fromhex(keys["pseudonym"])
        if request.wish.kind == "rows":
            suppressed = _build_rows(connection, found, pseudonym_key)
        else:
            suppressed = _build_cells(connection, contract, found)
        rows = connection.execute("SELECT count(*) FROM built").fetchall()[0][0]
        if not rows:
            raise DataContractError(
                f"Request {request.id} gives no row: {suppressed} are withheld because fewer than {found.cohort} share "
                "their values; ask for fewer or coarser columns."
            )
        _mark_rows(connection, bytes.fromhex(keys["watermark"]))
        for form in request.wish.formats:
            progress(f"{request.id}: writing {form}")
            _write(connection, form, building)
        for form in request.wish.formats:
            _refuse_leaks(request, scan(connection, _reading(form, building), settings, progress))
    finally:
        connection.close()
    files = {
        str(file.relative_to(building)): {"bytes": file.stat().st_size, "sha256": _sha256(file)}
        for file in sorted(building.rglob("*"))
        if file.is_file()
    }
    now = datetime.now(UTC)
    wish = request.wish
    manifest = {
        "request": request.id,
        "recipient": wish.recipient,
        "purpose": wish.purpose,
        "legal_basis": wish.legal_basis,
        "approved_by": [name for name, _ in request.approvals],
        "contract": {"id": contract.id, "version": contract.version, "table_version": version},
        "policy_version": load_policy().version,
        "kind": wish.kind,
        "period": {"from": str(wish.first_day or ""), "to": str(wish.last_day or "")},
        "sharing_type": found.sharing_type,
        "grade": found.grade,
        "columns": {one.name: {"grade": one.field.grade, "form": one.form} for one in found.columns}
        | {f"{how}_{name}": {"grade": one.grade, "form": "aggregated"} for how, name, one in found.measures},
        "rows": rows,
        "suppressed": suppressed,
        "k": found.cohort,
        "leak_scan": "nothing found",
        "watermark": {"column": ROW_ID, "method": "row number and HMAC-SHA-256 under a key of this share"},
        "files": files,
        "delivered_at": now.isoformat(timespec="seconds"),
        "valid_days": wish.valid_days,
        "expires_at": (now + timedelta(days=wish.valid_days)).isoformat(timespec="seconds"),
    }
    (building / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _source(connection: duckdb.DuckDBPyConnection, request: Request, contract: Contract, path: Path) -> str:
    wish = request.wish
    tests = []
    day = sharing.period_column(contract)
    if day:
        if wish.first_day:
            tests.append(f"CAST({quote(day)} AS DATE) >= DATE '{wish.first_day}'")
        if wish.last_day:
            tests.append(f"CAST({quote(day)} AS DATE) <= DATE '{wish.last_day}'")
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    return f"SELECT * FROM {table_view(connection, path)}{where}"


def _build_rows(connection: duckdb.DuckDBPyConnection, found: Assessment, key: bytes) -> int:
    """Create ``built`` from rows; return how many are withheld because their cohort is smaller than k.

    A cohort is the rows that agree on every column a third party may know: all but pseudonyms and bucketed numbers.
    Where persons are in the share, a cohort counts persons, not rows.
    """
    persons = [one.name for one in found.columns if one.form == "pseudonym"]
    columns = ", ".join(
        (hmac_sha256(one.sql, key) if one.form == "pseudonym" else one.sql) + f" AS {quote(one.name)}"
        for one in found.columns
    )
    connection.execute(f"CREATE TEMP TABLE shaped AS SELECT {columns} FROM source")
    if not found.cohort:
        connection.execute("CREATE TEMP TABLE built AS SELECT * FROM shaped")
        return 0
    known = [
        quote(one.name)
        for one in found.columns
        if one.form != "pseudonym" and not (one.form == "bucketed" and one.field.logical_type in ("integer", "number"))
    ]
    over = f"OVER (PARTITION BY {', '.join(known)})" if known else "OVER ()"
    sizes = [f"count(DISTINCT {quote(name)}) {over}" for name in persons] or [f"count(*) {over}"]
    connection.execute(
        f"CREATE TEMP TABLE built AS SELECT * FROM shaped QUALIFY least({', '.join(sizes)}) >= {found.cohort}"
    )
    return _difference(connection, "shaped")


def _build_cells(connection: duckdb.DuckDBPyConnection, contract: Contract, found: Assessment) -> int:
    """Create ``built`` from an aggregate; return how many cells are withheld because they stand for fewer than k."""
    dimensions = [f"{one.sql} AS {quote(one.name)}" for one in found.columns]
    functions = {"sum": "sum({})", "avg": "avg({})", "distinct": "count(DISTINCT {})"}
    measures = [f"{functions[how].format(quote(name))} AS {quote(f'{how}_{name}')}" for how, name, _ in found.measures]
    # a cell of many records of few persons would tell about those persons
    subjects = {f.name for f in contract.fields if f.mask == "hmac" and f.grade == "L4"}
    subjects |= {name for how, name, f in found.measures if how == "distinct" and f.mask == "hmac"}
    sizes = ["count(*)", *(f"count(DISTINCT {quote(name)})" for name in sorted(subjects))]
    connection.execute(
        f"CREATE TEMP TABLE shaped AS SELECT {', '.join([*dimensions, 'count(*) AS records', *measures])}, "
        f"least({', '.join(sizes)}) AS __size FROM source "
        f"GROUP BY {', '.join(str(n + 1) for n in range(len(dimensions)))}"
    )
    connection.execute(
        f"CREATE TEMP TABLE built AS SELECT * EXCLUDE (__size) FROM shaped WHERE __size >= {found.cohort}"
    )
    return _difference(connection, "shaped")


def _difference(connection: duckdb.DuckDBPyConnection, whole: str) -> int:
    counted = connection.execute(f"SELECT (SELECT count(*) FROM {whole}) - (SELECT count(*) FROM built)")
    return int(counted.fetchall()[0][0])


def _mark_rows(connection: duckdb.DuckDBPyConnection, key: bytes) -> None:
    """Create ``marked``: rows in the order of their values, each with an id that tells whose copy it is from."""
    columns = ", ".join(quote(name) for name, *_ in connection.execute("DESCRIBE built").fetchall())
    number = f"CAST(row_number() OVER (ORDER BY {columns}) AS BIGINT)"
    tag = f"substring({hmac_sha256('CAST(__number AS VARCHAR)', key)}, 1, 24)"
    connection.execute(
        f"CREATE TEMP TABLE marked AS SELECT printf('%08x', __number) || {tag} AS {ROW_ID}, * EXCLUDE (__number) "
        f"FROM (SELECT {number} AS __number, * FROM built) ORDER BY __number"
    )


def trace(settings: Settings, row_id: str) -> str | None:
    """Return the request a row id belongs to, None when no share of this platform made it."""
    match = _ROW_ID.match(row_id.strip().lower())
    if not match:
        raise BadArgumentsError(f"'{row_id}' is no row id: give the 32 hexadecimal digits of column {ROW_ID}.")
    number = str(int(match[1], 16)).encode()
    for path in sorted((settings.keys / "shares").glob("*.json")):
        key = bytes.fromhex(json.loads(path.read_text(encoding="utf-8"))["watermark"])
        if hmac.compare_digest(hmac.new(key, number, hashlib.sha256).hexdigest()[:24], match[2]):
            return path.stem
    return None


def _write(connection: duckdb.DuckDBPyConnection, form: str, folder: Path) -> None:
    if form == "parquet":
        connection.execute(f"COPY marked TO {text(str(folder / 'data.parquet'))} (FORMAT parquet, COMPRESSION zstd)")
    elif form == "csv":
        connection.execute(f"COPY marked TO {text(str(folder / 'data.csv'))} (FORMAT csv, HEADER)")
    else:
        write_deltalake(str(folder / "delta"), connection.sql("SELECT * FROM marked").to_arrow_reader(100_000))


def _reading(form: str, folder: Path) -> str:
    """Return SQL that reads the written files as a recipient will."""
    if form == "parquet":
        return f"read_parquet({text(str(folder / 'data.parquet'))})"
    if form == "csv":
        return f"read_csv({text(str(folder / 'data.csv'))}, all_varchar = true, header = true)"
    return f"delta_scan({text(str(folder / 'delta'))})"


def _refuse_leaks(request: Request, leaks: list[Leak]) -> None:
    if leaks:
        told = "; ".join(f"column {one.column} holds {one.values} × {one.kind}" for one in leaks)
        raise DataContractError(
            f"Request {request.id} is not published, the leak scan found what must not leave: {told}. Leave the column "
            "out, or correct the rows at their source."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the end of a share -----------------------------------------------------------------------------------------------


def revoke(settings: Settings, request_id: str, account: Account, reason: str) -> Request:
    """Take a request or share back: its files and its pseudonym key are destroyed.

    The requester may withdraw their own; stewards and security officers may revoke any.
    """
    with sharing.locked(settings):
        request = sharing.request_named(settings, request_id)
        sharing.must_follow(request, "revoked")
        if account.name != request.requester and account.role == "requester":
            raise NotAllowedError(f"{account.name} did not make request {request_id}: a steward can revoke it.")
        if not reason.strip():
            raise BadArgumentsError(f"Revoking {request_id} needs a reason.")
        removed = _remove(settings, request_id)
        sharing.store_step(
            settings, request_id, "revoked", account.name, {"reason": reason.strip(), "files_removed": removed}
        )
    return sharing.published(settings, request_id)


def expire(settings: Settings, now: datetime | None = None) -> list[str]:
    """Remove the files of shares whose time is over; return their requests. Meant for a schedule."""
    now = now or datetime.now(UTC)
    over = []
    with sharing.locked(settings):
        for request in sharing.requests(settings):
            ends = request.expires_at
            if request.state == "delivered" and ends and ends <= now:
                removed = _remove(settings, request.id)
                sharing.store_step(settings, request.id, "expired", "system:share-expire", {"files_removed": removed})
                over.append(request.id)
    if over:
        sharing.publish_requests(settings)
    return over


def _remove(settings: Settings, request_id: str) -> int:
    folder = folder_of(settings, request_id)
    count = sum(1 for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise BadArgumentsError(f"{folder} cannot be removed: correct its permissions and revoke again.")
    path = key_file(settings, request_id)
    if path.is_file():
        # the watermark stays, so that a copy that surfaces later can still be traced
        keys = json.loads(path.read_text(encoding="utf-8"))
        write_owner_only(path, json.dumps({"watermark": keys["watermark"]}))
    return count
