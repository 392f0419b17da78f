"""Looking at the lake: status, queries on silver, reasons of quarantine. Reads only."""

from typing import Any

import duckdb
from deltalake import DeltaTable

from data_contracts import load_contracts
from infra.lake.commit import lake_connection, table_view
from infra.lake.ingest import feeds
from infra.lake.ledger import LEDGER, feed_totals
from infra.lake.maintain import lake_tables
from infra.runtime.duck import duck_connection
from infra.runtime.errors import BadArgumentsError, TryAgainError
from infra.runtime.settings import Settings


def lake_status(settings: Settings) -> dict[str, Any]:
    """Return feeds (rows in, good, quarantined, files, refused), tables (rows, version, files) and refusals."""
    empty = dict.fromkeys(("rows_in", "good", "quarantined", "files", "refused"), 0)
    totals = feed_totals(settings)
    tables = {}
    for name, (_, path) in lake_tables(settings).items():
        table = DeltaTable(str(path))
        tables[name] = {"rows": table.count(), "version": table.version(), "files": len(table.file_uris())}
    return {
        "feeds": {feed: totals.get(feed, dict(empty)) for feed in feeds()},
        "tables": tables,
        "refused": _refusals(settings),
    }


def _refusals(settings: Settings) -> list[str]:
    """Return why files were refused, newest first, unless a file of that name was ingested since."""
    path = settings.silver(LEDGER)
    if not DeltaTable.is_deltatable(str(path)):
        return []
    connection = lake_connection(settings)
    try:
        rows = connection.execute(
            f"""
            WITH entries AS (SELECT * FROM {table_view(connection, path)})
            SELECT max_by(refusal, committed_at) FROM entries AS bad WHERE file_status = 'refused' AND NOT EXISTS (
              SELECT 1 FROM entries AS good WHERE good.source_file = bad.source_file
              AND good.file_status = 'ingested' AND good.committed_at > bad.committed_at)
            GROUP BY source_file ORDER BY max(committed_at) DESC, source_file LIMIT 100
            """
        ).fetchall()
    finally:
        connection.close()
    return [sentence for (sentence,) in rows]


def run_query(sql: str, limit: int, settings: Settings) -> tuple[list[str], list[tuple]]:
    """Run one SELECT over views ``<domain>.<entity>`` of the silver tables; return column names and rows.

    Raises:
        BadArgumentsError: no SELECT, or DuckDB cannot run it.
    """
    connection = duck_connection(settings=settings)
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise BadArgumentsError("Only one SELECT is answered: the lake is changed by ingest, never by hand.")
        for contract in load_contracts().values():
            path = settings.silver(contract.id)
            if DeltaTable.is_deltatable(str(path)):
                connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{contract.domain}"')
                connection.execute(
                    f'CREATE VIEW "{contract.domain}"."{contract.entity}" AS '
                    f"SELECT * FROM {table_view(connection, path)}"
                )
        answer = connection.execute(statements[0])
        return [column[0] for column in answer.description], answer.fetchmany(limit)
    except duckdb.Error as error:
        raise BadArgumentsError(f"DuckDB cannot run this: {error}") from error
    finally:
        connection.close()


def quarantine_reasons(name: str, limit: int, original: bool, settings: Settings) -> dict[str, Any]:
    """Return {table: {reasons: [{rules, rows, reason}], samples: [...]}} of a feed's or one table's quarantine.

    Samples name file, line and key; the original text, which can hold personal data, only when asked for.

    Raises:
        BadArgumentsError: no such feed or table.
        TryAgainError: the lake was not initialised.
    """
    contracts = load_contracts()
    if name in feeds():
        wanted = list(feeds()[name])
    elif name in contracts and contracts[name].feed:
        wanted = [name]
    else:
        fed = [contract.id for contract in contracts.values() if contract.feed]
        raise BadArgumentsError(f"There is no feed or fed table '{name}'; use one of {', '.join([*feeds(), *fed])}.")
    connection = lake_connection(settings)
    found = {}
    columns = ["source_file", "source_line", "row_key", "rule_ids"] + (["original"] if original else [])
    try:
        for contract_id in wanted:
            path = settings.quarantine(contract_id)
            if not DeltaTable.is_deltatable(str(path)):
                raise TryAgainError(f"No {path}: run `customs lake init` first.")
            view = table_view(connection, path)
            reasons = connection.execute(
                f"SELECT rule_ids, count(*), any_value(reason) FROM {view} GROUP BY 1 ORDER BY 2 DESC, 1"
            ).fetchall()
            samples = connection.execute(
                f"SELECT {', '.join(columns)} FROM {view} "
                f"ORDER BY ingested_at DESC, source_file, source_line LIMIT {limit:d}"
            ).fetchall()
            found[contract_id] = {
                "reasons": [{"rules": rules, "rows": rows, "reason": reason} for rules, rows, reason in reasons],
                "samples": [dict(zip(columns, row, strict=True)) for row in samples],
            }
    finally:
        connection.close()
    return found
