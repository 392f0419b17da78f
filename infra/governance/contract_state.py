"""What live tables are against what their contracts say, one row per table and day, for the steward's page.

Read from the tables themselves: a contract that was changed without the table, or a table somebody changed by hand,
shows here, and so does a dataset whose data stopped coming.
"""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from data_contracts import load_contracts
from data_contracts.emit.delta import arrow_schema
from data_contracts.emit.sql import quote
from data_contracts.model import Contract
from infra.lake.commit import QUARANTINE, lake_connection, table_view, write_table
from infra.lake.evolution import differences, stored_version
from infra.runtime.settings import Settings, get_settings

CONTRACT_STATE = "governance.contract_state"
_PERIOD_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "m": 31 * 24, "y": 366 * 24}


def promised_hours(contract: Contract) -> int | None:
    """Return within how many hours new data follows the last: the rhythm and the latency a contract promises.

    None when the contract promises no rhythm: its rows come when something happens.
    """
    if contract.frequency is None or contract.latency_hours is None:
        return None
    number, unit = contract.frequency[:-1], contract.frequency[-1]
    return int(number) * _PERIOD_HOURS[unit] + contract.latency_hours


def contract_states(settings: Settings | None = None) -> list[dict[str, Any]]:
    """Return one row per contract as ``governance.contract_state`` holds them, observed now."""
    settings = settings or get_settings()
    now = datetime.now(UTC)
    connection = lake_connection(settings)
    try:
        return [
            {
                "state_date": now.astimezone(ZoneInfo(settings.office_time_zone)).date(),
                "contract_id": contract.id,
                "contract_version": contract.version,
                "columns_expected": len(contract.columns),
                "promised_hours": promised_hours(contract),
                "observed_at": now,
                **_found(connection, contract, settings),
            }
            for contract in load_contracts().values()
            if contract.id != QUARANTINE
        ]
    finally:
        connection.close()


def _found(connection: duckdb.DuckDBPyConnection, contract: Contract, settings: Settings) -> dict[str, Any]:
    path = settings.silver(contract.id)
    if not DeltaTable.is_deltatable(str(path)):
        return {
            "row_count": 0,
            "columns_missing": len(contract.columns),
            "columns_unknown": 0,
            "columns_changed": 0,
            "is_in_step": False,
            "differences": "there is no table: run `customs lake init`",
        }
    table = DeltaTable(str(path))
    found = differences(table, contract)
    missing = {one.column for one in found if one.kind in ("new", "new_required")}
    unknown = {one.column for one in found if one.kind == "removed"}
    names = {f.name for f in table.schema().fields}
    arrived = "ingested_at" if contract.feed else contract.event_time
    # a table that lost the column can still be counted
    newest = f"max({quote(arrived)})" if arrived in names else "NULL"
    rows, last = connection.execute(f"SELECT count(*), {newest} FROM {table_view(connection, path)}").fetchall()[0]
    return {
        "live_version": stored_version(table),
        "table_version": table.version(),
        "row_count": rows,
        "columns_missing": len(missing),
        "columns_unknown": len(unknown),
        "columns_changed": len({one.column for one in found if one.column} - missing - unknown),
        "is_in_step": not found,
        "differences": "; ".join(one.sentence for one in found) or None,
        "last_arrival_at": last,
    }


def publish_states(settings: Settings | None = None) -> dict[str, int]:
    """Write today's states to ``governance.contract_state``; return how many tables there are and how many drifted."""
    settings = settings or get_settings()
    rows = contract_states(settings)
    for row in rows:
        if row["contract_id"] == CONTRACT_STATE:
            # its newest rows are these
            row["last_arrival_at"] = row["observed_at"]
    schema = arrow_schema(load_contracts()[CONTRACT_STATE]).remove_metadata()
    write_table(CONTRACT_STATE, pa.Table.from_pylist(rows, schema=schema), mode="merge", settings=settings)
    return {"tables": len(rows), "drifted": sum(not row["is_in_step"] for row in rows)}
