"""Source layouts: how files of an administration map to our contracts. Data, not code; closed keys."""

import csv
import io
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from data_contracts.emit.sql import FORMATS
from data_contracts.errors import ContractError
from data_contracts.loader import ROOT, columns_of, load_contracts, read_yaml
from data_contracts.model import LAYOUT_FORMATS, Contract, Layout, LayoutTable

LAYOUT_KEYS = {
    "layout",
    "source_system",
    "feed",
    "format",
    "match",
    "header",
    "null_values",
    "encoding",
    "delimiter",
    "time_zone",
    "description",
    "tables",
}
TABLE_KEYS = {"contract", "record", "fields", "codes", "constants", "expressions", "formats"}
NATIVE = "single_window"


def _closed(raw: Mapping, allowed: set[str], where: str) -> None:
    for key in raw:
        if key not in allowed:
            raise ContractError(f"{where}: key '{key}' is not known; use one of {', '.join(sorted(allowed))}.")


def _table(raw: Mapping, layout: Mapping, header: tuple[str, ...] | None, where: str) -> LayoutTable:
    _closed(raw, TABLE_KEYS, where)
    contract = load_contracts().get(raw.get("contract", ""))
    if contract is None or contract.feed is None:
        raise ContractError(f"{where}: contract '{raw.get('contract')}' is not a fed table; name one that is.")
    where = f"{where}, table {contract.id}"
    known = {f.name: f for f in contract.columns}
    fields = {ours: str(theirs) for ours, theirs in (raw.get("fields") or {}).items()}
    constants = {ours: str(value) for ours, value in (raw.get("constants") or {}).items()}
    expressions = dict(raw.get("expressions") or {})
    formats = dict(raw.get("formats") or {})
    codes = {
        ours: tuple((str(theirs), str(value)) for theirs, value in mapping.items())
        for ours, mapping in (raw.get("codes") or {}).items()
    }
    for ours in (*fields, *constants, *expressions, *formats, *codes):
        if ours not in known:
            raise ContractError(f"{where}: '{ours}' is no field of the contract; correct the name.")
        if known[ours].derivation:
            raise ContractError(f"{where}: {ours} is derived by the contract; remove it from the layout.")
    if not fields:
        if layout["source_system"] != NATIVE:
            raise ContractError(f"{where}: 'fields' is missing; map our fields to the file's columns.")
        fields = {f.name: f.source_field or "" for f in contract.sourced if f.name not in expressions}
        fields = {ours: theirs for ours, theirs in fields.items() if ours not in constants}
    given = [*fields, *constants, *expressions]
    for ours in set(given):
        if given.count(ours) > 1:
            raise ContractError(f"{where}: {ours} is given twice (fields, constants, expressions); keep one.")
    for ours in codes:
        if ours not in fields and ours not in expressions:
            raise ContractError(f"{where}: codes for {ours}, which no column brings; map the field first.")
    for ours, fmt in formats.items():
        if fmt not in FORMATS:
            raise ContractError(f"{where}: format {fmt} of {ours} is not known; use one of {', '.join(FORMATS)}.")
        if known[ours].physical_type == "TIMESTAMPTZ" and not layout.get("time_zone"):
            raise ContractError(f"{where}: format {fmt} of {ours} has no offset; give the layout a time_zone.")
    for f in contract.fields:
        if f.required and not f.derivation and f.name not in given:
            raise ContractError(f"{where}: required field {f.name} is not brought; map it or give a constant.")
    if header is not None:
        for ours, theirs in fields.items():
            if theirs not in header:
                raise ContractError(f"{where}: {ours} reads column '{theirs}', which the header lacks; correct it.")
    for ours, sql in expressions.items():
        if unknown := columns_of(sql, f"{where}, {ours}") - set(header or ()):
            raise ContractError(f"{where}: {ours} reads {sorted(unknown)}, which the header lacks; correct it.")
    record = raw.get("record") or contract.record or "$"
    if record != "$" and (layout["format"] == "csv" or not record.endswith("[]")):
        raise ContractError(f"{where}: record '{record}' must be $ or, in JSON Lines, name[]; correct it.")
    return LayoutTable(
        contract=contract.id,
        record=record,
        fields=tuple(fields.items()),
        codes=tuple(codes.items()),
        constants=tuple(constants.items()),
        expressions=tuple(expressions.items()),
        formats=tuple(formats.items()),
        null_values=_nulls(layout),
        absent=tuple(f.name for f in contract.sourced if f.name not in given),
        file_format=layout["format"],
    )


def _nulls(raw: Mapping) -> tuple[str, ...]:
    return tuple(str(v) for v in raw.get("null_values", [""]))


def native_header(contract: Contract) -> tuple[str, ...]:
    """Return the CSV header of a native message: the sourceField names in contract order, record fields last."""
    return tuple(f.source_field or "" for f in contract.sourced)


def parse_layout(raw: Mapping[str, Any], name: str) -> Layout:
    """Check one layout document.

    Raises:
        ContractError: names file, table, field and remedy.
    """
    where = f"{name}, layout {raw.get('layout')}"
    _closed(raw, LAYOUT_KEYS, where)
    for key in ("layout", "source_system", "feed", "format", "match", "tables"):
        if not raw.get(key):
            raise ContractError(f"{where}: '{key}' is missing; add it.")
    if raw["format"] not in LAYOUT_FORMATS:
        raise ContractError(f"{where}: format '{raw['format']}' is not known; use jsonl or csv.")
    header: tuple[str, ...] | None = None
    if raw["format"] == "csv":
        if raw.get("header"):
            header = tuple(str(h) for h in raw["header"])
        elif raw["source_system"] == NATIVE and len(raw["tables"]) == 1:
            header = native_header(load_contracts()[raw["tables"][0]["contract"]])
        else:
            raise ContractError(f"{where}: a csv layout needs its 'header'; list the column names.")
        if len(set(header)) != len(header):
            raise ContractError(f"{where}: the header names a column twice; correct it.")
    elif raw.get("header"):
        raise ContractError(f"{where}: a jsonl layout has no header; remove it.")
    tables = tuple(_table(t, raw, header, where) for t in raw["tables"])
    return Layout(
        id=raw["layout"],
        source_system=raw["source_system"],
        feed=raw["feed"],
        format=raw["format"],
        match=raw["match"],
        header=header or (),
        encoding=raw.get("encoding", "utf-8"),
        delimiter=raw.get("delimiter", ","),
        null_values=_nulls(raw),
        time_zone=raw.get("time_zone"),
        tables=tables,
        file=name,
        description=raw.get("description", ""),
        later=_later_columns(tables) if header else frozenset(),
    )


def _later_columns(tables: Sequence[LayoutTable]) -> frozenset[str]:
    """Return the columns that only fields with ``since`` are read from."""
    later: set[str] = set()
    always: set[str] = set()
    for table in tables:
        contract = load_contracts()[table.contract]
        for ours, theirs in table.fields:
            (later if contract.field(ours).since else always).add(theirs)
        for ours, sql in table.expressions:
            always |= columns_of(sql, f"{table.contract}, {ours}")
    return frozenset(later - always)


@cache
def load_layouts(root: Path = ROOT) -> Mapping[str, Layout]:
    """Read and check every layout; {id: Layout}. A file is one layout or a list of them.

    Raises:
        ContractError: names file, table, field and remedy.
    """
    layouts: dict[str, Layout] = {}
    for path in sorted(root.glob("*/*.layout.yaml")):
        name = f"{path.parent.name}/{path.name}"
        document = read_yaml(path)
        for raw in document if isinstance(document, list) else [document]:
            layout = parse_layout(raw, name)
            if layout.id in layouts:
                raise ContractError(f"{name}: layout {layout.id} exists already; rename one.")
            layouts[layout.id] = layout
    return layouts


def header_of(line: str, delimiter: str = ",") -> tuple[str, ...]:
    """Return the column names in the first line of a CSV file."""
    return tuple(next(csv.reader(io.StringIO(line.lstrip("\ufeff")), delimiter=delimiter), ()))


def match_layouts(
    file_name: str, *, feed: str | None = None, header: Sequence[str] | str | None = None
) -> tuple[Layout, ...]:
    """Return the layouts a landed or offered file can have, best first; empty when none fits.

    A CSV file fits a layout when its name matches the glob and its header has the layout's columns (``Layout.fits``);
    one whose header lacks or adds columns follows, so that the caller can say which. JSON Lines fit by feed.

    Args:
        file_name: name of the file, without folders.
        feed: landing feed folder; None for a user's own folder.
        header: column names, or the first line, of a CSV file.
    """
    exact, near = [], []
    for layout in load_layouts().values():
        if (feed is not None and layout.feed != feed) or not fnmatch(file_name, layout.match):
            continue
        if layout.format == "jsonl":
            if feed is not None:
                exact.append(layout)
            continue
        if header is None:
            near.append(layout)
            continue
        names = header_of(header, layout.delimiter) if isinstance(header, str) else tuple(header)
        if layout.fits(names):
            exact.append(layout)
        elif feed is not None and len(set(names) & set(layout.header)) * 2 >= len(layout.header):
            near.append(layout)
    return tuple(exact + near)
