"""Messages to those a consignment concerns: railway, port, enterprise; each gets its own rows, in columns it may have.

Which rows concern whom stands in ``policy.yaml`` (``messages``); the columns are those the policy gives the role
``party``, without the ones of sharing type none. Messages are files ``outbox/<kind>/<code>/<number>.jsonl``, numbered
without gaps per recipient, one line per row.

A row is sent when the recipient was not told it yet, or was last told something else. Files are drafted, recorded in
``governance.message`` in one commit, then renamed into place. Killed anywhere, the next call drops the drafts that were
not recorded and renames those that were: a row goes out once.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from data_contracts import load_contract
from data_contracts.emit.masks import column_expression
from data_contracts.emit.sql import quote, text
from data_contracts.model import Contract
from data_contracts.policy import Message, Policy, load_policy
from infra.lake.commit import count_of, create_lake, lake_connection, table_locks, table_view, write_table
from infra.runtime import audit
from infra.runtime.settings import Settings

MESSAGE = "governance.message"
ROLE = "party"
# becomes the name of a folder
_CODE = "[0-9A-Za-z_-]{1,40}"


@dataclass
class Sent:
    """What one call sent; ``unaddressed`` counts rows whose recipient has no usable code, by kind of recipient."""

    files: int = 0
    rows: int = 0
    finished: int = 0
    recipients: dict[str, int] = field(default_factory=dict)
    unaddressed: dict[str, int] = field(default_factory=dict)


def party_columns(contract: Contract, policy: Policy) -> dict[str, str]:
    """Return {column: SQL} of what a party may be told of its own rows."""
    found = {}
    for f in contract.fields:
        sql = column_expression(f, ROLE, policy)
        # the partition repeats a day the row states anyway
        if sql is not None and f.sharing_type != "none" and f.name not in contract.partition_by:
            # ISO 8601 as every message here: a T between day and time
            found[f.name] = f"replace(CAST({sql} AS VARCHAR), ' ', 'T')" if f.physical_type == "TIMESTAMPTZ" else sql
    return found


def versions(settings: Settings) -> dict[str, int]:
    """Return {table: version} of the tables messages are made from, as far as they exist: the same, nothing is new."""
    wanted = {name for one in load_policy().messages for name in (one.table, one.through) if name}
    paths = {name: str(settings.silver(name)) for name in sorted(wanted)}
    return {name: DeltaTable(path).version() for name, path in paths.items() if DeltaTable.is_deltatable(path)}


def send(
    settings: Settings,
    *,
    wait: float = 600,
    progress: Callable[[str], None] = lambda _: None,
    reached: Callable[[str], None] = lambda _: None,
) -> Sent:
    """Write what is new into the outboxes.

    Args:
        settings: platform settings.
        wait: seconds to wait for another command that sends.
        progress: called with what is worth saying.
        reached: fault points, for tests.

    Returns:
        What was sent.

    Raises:
        TryAgainError: another command sends, or writes the table of what was sent.
    """
    policy, sent = load_policy(), Sent()
    create_lake(settings, [MESSAGE])
    with table_locks(settings, ["messages"], wait):
        sent.finished = _finish(settings)
        if sent.finished:
            progress(f"{sent.finished} files of an interrupted call were put in place")
        with lake_connection(settings) as connection:
            _collect(connection, settings, policy, sent)
            if not count_of(connection, "SELECT count(*) FROM fresh"):
                return sent
            drafts = _draft(connection, settings, sent)
            reached("drafted")
            columns = ", ".join(quote(f.name) for f in load_contract(MESSAGE).fields)
            write_table(
                MESSAGE,
                connection.sql(f"SELECT {columns} FROM fresh").to_arrow_table(),
                mode="append",
                settings=settings,
                wait=wait,
            )
            reached("recorded")
        for draft in drafts:
            _publish(settings, draft)
            reached("published")
        shutil.rmtree(_drafts(settings), ignore_errors=True)
    return sent


def _drafts(settings: Settings) -> Path:
    return settings.outbox / ".drafts"


def _finish(settings: Settings) -> int:
    """Put drafts in place that were recorded, drop the others; return how many were put in place."""
    drafts = sorted(_drafts(settings).glob("*/*/*.jsonl"))
    if not drafts:
        return 0
    with lake_connection(settings) as connection:
        recorded = set(
            connection.execute(
                "SELECT DISTINCT addressee_kind, addressee_code, file_no "
                f"FROM {table_view(connection, settings.silver(MESSAGE))}"
            ).fetchall()
        )
    done = [one for one in drafts if (one.parent.parent.name, one.parent.name, int(one.stem)) in recorded]
    for draft in done:
        _publish(settings, draft)
    shutil.rmtree(_drafts(settings), ignore_errors=True)
    return len(done)


def _collect(connection: duckdb.DuckDBPyConnection, settings: Settings, policy: Policy, sent: Sent) -> None:
    """Create ``fresh``: what every recipient was not told yet, with the number of the file it will be in."""
    # one version of each table: its railway and its enterprise hear of a row in the same call
    tables = {
        name: f"delta_scan({text(str(settings.silver(name)))}, version={version})"
        for name, version in versions(settings).items()
    }
    parts = [
        _select(tables, policy, one) for one in policy.messages if {one.table, one.through or one.table} <= set(tables)
    ]
    nothing = (
        "SELECT NULL::VARCHAR AS addressee_kind, NULL::VARCHAR AS addressee_code, NULL::VARCHAR AS contract_id, "
        "NULL::VARCHAR AS row_key, NULL::TIMESTAMPTZ AS said_at, NULL::VARCHAR AS content WHERE FALSE"
    )
    connection.execute(f"CREATE TEMP TABLE due AS {' UNION '.join([nothing, *parts])}")
    fits = f"coalesce(regexp_full_match(addressee_code, {text(_CODE)}), FALSE)"
    sent.unaddressed = dict(
        connection.execute(f"SELECT addressee_kind, count(*) FROM due WHERE NOT {fits} GROUP BY ALL").fetchall()
    )
    who, now = "addressee_kind, addressee_code", f"TIMESTAMPTZ {text(datetime.now(UTC).isoformat())}"
    connection.execute(
        f"""
        CREATE TEMP TABLE fresh AS
        WITH told AS (
            SELECT {who}, contract_id, row_key, arg_max(content_sha256, file_no) AS content_sha256
            FROM {table_view(connection, settings.silver(MESSAGE))} GROUP BY ALL
        ),
        numbers AS (
            SELECT {who}, max(file_no) AS file_no
            FROM {table_view(connection, settings.silver(MESSAGE))} GROUP BY ALL
        )
        SELECT due.*, sha256(due.content) AS content_sha256,
               CAST(coalesce(numbers.file_no, 0) + 1 AS INTEGER) AS file_no, {now} AS sent_at
        FROM due LEFT JOIN told USING ({who}, contract_id, row_key) LEFT JOIN numbers USING ({who})
        WHERE {fits} AND sha256(due.content) IS DISTINCT FROM told.content_sha256
        """
    )


def _select(tables: dict[str, str], policy: Policy, message: Message) -> str:
    """Return SQL of the rows of a table that concern a kind of recipient, each as the line it is told in."""
    contract = load_contract(message.table)
    shown = ", ".join(f"{text(name)}: {sql}" for name, sql in party_columns(contract, policy).items())
    key = ", ".join(f"CAST({quote(name)} AS VARCHAR)" for name in contract.key)
    ours = "" if message.through else f", {quote(message.own)} AS __owner"
    joined = "".join(f", {quote(name)} AS {quote(f'__by_{name}')}" for name in message.by)
    rows = (
        f"SELECT concat_ws('|', {key}) AS __key, {quote(contract.event_time or contract.key[0])} AS __said_at, "
        f"CAST(to_json({{'table': {text(contract.id)}, 'row': {{{shown}}}}}) AS VARCHAR) AS __content{ours}{joined} "
        f"FROM {tables[contract.id]} WHERE {message.rows}"
    )
    if message.through:
        theirs = load_contract(message.through)
        pairs = " AND ".join(f"mine.{quote(f'__by_{a}')} = other.{quote(b)}" for a, b in message.by.items())
        owner = quote(theirs.field(message.own).name)
        rows = (
            f"SELECT mine.*, other.{owner} AS __owner FROM ({rows}) AS mine "
            f"JOIN {tables[theirs.id]} AS other ON {pairs}"
        )
    return (
        f"SELECT {text(message.recipient)} AS addressee_kind, __owner AS addressee_code, {text(contract.id)} AS "
        f"contract_id, __key AS row_key, __said_at AS said_at, __content AS content FROM ({rows})"
    )


def _draft(connection: duckdb.DuckDBPyConnection, settings: Settings, sent: Sent) -> list[Path]:
    """Write one file per recipient where nobody looks."""
    drafts = []
    rows = connection.execute(
        "SELECT addressee_kind, addressee_code, file_no, content FROM fresh "
        "ORDER BY addressee_kind, addressee_code, said_at, contract_id, row_key"
    )
    for (kind, code, number), lines in groupby(rows.fetchall(), key=lambda row: row[:3]):
        path = _drafts(settings) / kind / code / f"{number:08d}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        contents = [f"{line[3]}\n" for line in lines]
        with path.open("w", encoding="utf-8") as file:
            file.writelines(contents)
            file.flush()
            os.fsync(file.fileno())
        drafts.append(path)
        sent.files += 1
        sent.rows += len(contents)
        sent.recipients[kind] = sent.recipients.get(kind, 0) + 1
    return drafts


def _publish(settings: Settings, draft: Path) -> None:
    """Tell the audit log, then make a file visible."""
    kind, code = draft.parent.parent.name, draft.parent.name
    content = draft.read_bytes()
    tables: dict[str, int] = {}
    for line in content.splitlines():
        table = json.loads(line)["table"]
        tables[table] = tables.get(table, 0) + 1
    # whatever happens next, no file leaves without an event that names it
    detail = {"sha256": hashlib.sha256(content).hexdigest(), "rows": tables}
    audit.record("message.sent", "system:share-send", f"{kind}/{code}/{draft.stem}", detail, settings=settings)
    target = settings.outbox / kind / code / draft.name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.replace(draft, target)
