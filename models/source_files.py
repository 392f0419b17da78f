"""Labelled rows straight from files of a source layout, without a lake: for evaluating a model on given files."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_contracts.emit.sql import cast_expression, quote, text
from data_contracts.layout import load_layouts
from data_contracts.loader import load_contract
from data_contracts.model import Layout
from infra.runtime.duck import duck_connection
from infra.runtime.errors import BadArgumentsError

# where each column the model reads sits in silver; the first contract of the layout that brings it wins
_CONTRACTS = ("declarations.declaration_item", "declarations.declaration", "inspections.inspection")


def labelled_rows(layout_id: str, files: Sequence[Path]) -> pd.DataFrame:
    """Read declarations with inspection outcome through a layout's mapping.

    Args:
        layout_id: id of a CSV layout that brings declarations, items and inspections, one record each.
        files: files of that layout, read in the order given.

    Returns:
        One row per record with the silver columns the layout brings, typed; a field it does not bring is absent.

    Raises:
        BadArgumentsError: no such layout, it brings no inspections, or a file has another header.
    """
    layout = load_layouts().get(layout_id)
    if layout is None:
        raise BadArgumentsError(f"No layout {layout_id}: there are {', '.join(sorted(load_layouts()))}.")
    missing = [c for c in _CONTRACTS if c not in layout.contracts]
    if missing or layout.format != "csv":
        raise BadArgumentsError(
            f"Layout {layout_id} cannot be evaluated from files: it has to be CSV and bring {', '.join(_CONTRACTS)}."
        )
    columns = _columns(layout)
    connection = duck_connection()
    frames = []
    for file in files:
        if not file.is_file():
            raise BadArgumentsError(f"No file {file}: give files of layout {layout_id}.")
        # all text and nothing null: the layout alone decides what a value means ("NA" is Namibia)
        relation = (
            f"read_csv({text(str(file))}, header = true, all_varchar = true, nullstr = '\x01', "
            f"delim = {text(layout.delimiter)}, quote = '\"', escape = '\"')"
        )
        found = [row[0] for row in connection.execute(f"DESCRIBE FROM {relation}").fetchall()]
        if set(found) != set(layout.header):
            wrong = sorted(set(layout.header) ^ set(found))
            raise BadArgumentsError(f"{file}: its header differs from layout {layout_id} in {', '.join(wrong)}.")
        frames.append(connection.execute(f"SELECT {columns} FROM {relation}").df())
    connection.close()
    return pd.concat(frames, ignore_index=True)


def _columns(layout: Layout) -> str:
    """Return the select list: raw text through the layout, cast to the contract's type, derived fields on top."""
    typed: dict[str, str] = {}
    for contract_id in _CONTRACTS:
        contract, table = load_contract(contract_id), layout.table(contract_id)
        for name, raw in table.raw_expressions().items():
            if name in typed:
                continue
            field = contract.field(name)
            typed[name] = cast_expression(field, raw, table.format_of(name), time_zone=layout.time_zone)
    item = load_contract("declarations.declaration_item")
    # DuckDB lets a select list refer to its own names, so a derivation reads the typed fields
    typed["hs6_code"] = item.field("hs6_code").derivation or "NULL"
    return ", ".join(
        f"CAST({sql} AS DOUBLE) AS {quote(name)}" if name in _NUMBERS else f"{sql} AS {quote(name)}"
        for name, sql in typed.items()
    )


_NUMBERS = {"net_mass_kg", "customs_value", "duty_rate_pct"}
