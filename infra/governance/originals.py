"""Clear values of persons, read back from the sealed originals for the two tasks that need them: new keys, erasure."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import duckdb

from data_contracts import load_contract, load_contracts, load_layouts
from data_contracts.model import Contract, Field, LayoutTable
from infra.lake import ledger
from infra.lake.files import line_batches
from infra.lake.ingest import csv_cells, json_cells
from infra.lake.ledger import BatchFile
from infra.runtime.settings import Settings


def pseudonym_fields(purposes: Collection[str]) -> dict[str, list[Field]]:
    """Return {contract id: its columns that hold pseudonyms of one of the purposes}."""
    found = {
        contract.id: [f for f in contract.columns if f.mask == "hmac" and f.purpose in purposes]
        for contract in load_contracts().values()
    }
    return {contract_id: fields for contract_id, fields in found.items() if fields}


def read_originals(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    purposes: Collection[str],
    only: Mapping[str, Collection[str]] | None = None,
    files: int | None = None,
) -> int:
    """Create the temporary table ``originals`` (purpose, value) of clear values in the raw zone; return its size.

    It lives in the connection's memory only and goes with it.

    Args:
        connection: where the table is made.
        settings: platform settings.
        purposes: purposes of the pseudonyms.
        only: {contract id: columns} to read; default every column of the purposes.
        files: only so many files of each layout, the smallest; default all.
    """
    wanted = pseudonym_fields(purposes)
    if only is not None:
        wanted = {one: [f for f in fields if f.name in only[one]] for one, fields in wanted.items() if one in only}
    layouts = load_layouts()
    connection.execute("CREATE OR REPLACE TEMP TABLE originals (purpose VARCHAR, value VARCHAR)")
    by_layout: dict[str, list[BatchFile]] = {}
    for manifest in ledger.manifests(settings):
        for file in manifest.files:
            if file.layout in layouts and (settings.lake / file.raw).is_file():
                by_layout.setdefault(file.layout, []).append(file)
    for layout_id, sealed in by_layout.items():
        layout = layouts[layout_id]
        for file in sealed if files is None else sorted(sealed, key=lambda one: (one.size, one.raw))[:files]:
            path = settings.lake / file.raw
            for table in layout.tables:
                if table.contract not in wanted:
                    continue
                if layout.format == "csv":
                    cells = csv_cells(layout.delimiter, file.header, file.header_line, layout.later)
                else:
                    cells = json_cells(table)
                select = _values(load_contract(table.contract), table, layout.format, wanted[table.contract], cells)
                connection.register("lines", line_batches([(0, path, layout.encoding)]))
                connection.execute(f"INSERT INTO originals {select}")
                connection.unregister("lines")
    connection.execute("CREATE OR REPLACE TEMP TABLE originals AS SELECT DISTINCT purpose, value FROM originals")
    return int(connection.execute("SELECT count(*) FROM originals").fetchall()[0][0])


def _values(contract: Contract, table: LayoutTable, form: str, fields: list[Field], cells: str) -> str:
    # as ingest reads them: the cells of a JSON line are columns named by path
    raws = (table if form == "csv" else replace(table, file_format="csv")).raw_expressions()
    pairs = ", ".join(
        f"{{'purpose': '{f.purpose}', 'value': CAST({raws[f.name]} AS VARCHAR)}}" for f in fields if f.name in raws
    )
    return (
        f"SELECT DISTINCT pair.purpose, pair.value FROM (SELECT unnest([{pairs}]) AS pair FROM ({cells}) "
        "WHERE __fault IS NULL) WHERE pair.value IS NOT NULL"
    )
