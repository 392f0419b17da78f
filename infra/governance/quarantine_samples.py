"""A few newest rows per broken rule, as the steward may see them: where they lie, and the text of the failing fields.

The original text is read here and stays in the restricted zone. Of the fields a rule judges, those the policy shows
the steward in clear keep their text; personal information and L4 fields never do, whatever their mask: a mask made for
sound values does not hide a broken one. What looks like an identifier of a person is withheld wherever it stands.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from deltalake import DeltaTable
from sqlglot import expressions as exp

from data_contracts import load_contract, load_contracts, load_layouts
from data_contracts.emit.delta import arrow_schema
from data_contracts.emit.sql import RAW_PREFIX, quote
from data_contracts.emit.sql import rules as compiled_rules
from data_contracts.model import Contract, Field, Layout
from data_contracts.policy import Policy, load_policy
from infra.governance.leaks import forms_in
from infra.lake.commit import lake_connection, table_view, write_table
from infra.lake.ingest import RECORD_FAULTS, csv_cells, json_cells
from infra.lake.ledger import manifests
from infra.runtime.settings import Settings, get_settings

QUARANTINE_SAMPLE = "governance.quarantine_sample"
PER_RULE = 5
READER = "steward"
_LONGEST = 40
_ITEM = re.compile(r" \[(\d+)\]$")
_NO_FIELD = "the line as a whole is broken"
_UNREADABLE = "the line cannot be taken apart any more"
_LOOKS_PERSONAL = "it looks like personal information"


def clear_for_steward(field: Field, policy: Policy) -> bool:
    """Return whether the policy shows the steward a field as it is."""
    return policy.form(field.grade, READER, field.personal_information) == "clear"


def judged_fields(contract: Contract, rule_id: str) -> tuple[Field, ...]:
    """Return the fields of a message a rule looks at; none for a fault of the line as a whole."""
    columns = {f.name: f for f in contract.columns}
    rule = next((one for one in compiled_rules(contract) if one.id == rule_id), None)
    names = [rule_id.split(".")[0]]
    if rule is not None and rule.kind == "expression":
        names += [name.removeprefix(RAW_PREFIX) for name in _columns_in(rule.sql)]
    found: dict[str, Field] = {}
    for name in names:
        if name in columns:
            # a derived field has no text of its own: what it is derived from has
            derivation = columns[name].derivation
            sources = _columns_in(derivation) if derivation else [name]
            found |= {one: columns[one] for one in sources if one in columns and columns[one].source_field}
    return tuple(found.values())


def _columns_in(sql: str) -> list[str]:
    return [node.name for node in sqlglot.parse_one(sql, read="duckdb").find_all(exp.Column)]


def sample(contract: Contract, settings: Settings, policy: Policy | None = None) -> list[dict[str, Any]]:
    """Return the newest rows of a table's quarantine per rule, as ``governance.quarantine_sample`` holds them.

    Args:
        contract: a fed table.
        settings: platform settings.
        policy: the access policy; default the platform's.
    """
    policy = policy or load_policy()
    path = settings.quarantine(contract.id)
    if not DeltaTable.is_deltatable(str(path)):
        return []
    connection = lake_connection(settings)
    try:
        cursor = connection.execute(
            f"""
            SELECT *, row_number() OVER (
              PARTITION BY rule_id ORDER BY ingested_at DESC, business_date DESC, source_file, source_line DESC, row_key
            ) AS sample_number
            FROM (SELECT *, unnest(string_split(rule_ids, ',')) AS rule_id FROM {table_view(connection, path)})
            QUALIFY sample_number <= {PER_RULE} ORDER BY rule_id, sample_number
            """
        )
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        texts = _texts(connection, contract, rows, settings)
    finally:
        connection.close()
    words = {rule.id: rule.description for rule in (*compiled_rules(contract), *RECORD_FAULTS)}
    words |= {f"{f.name}.required": f"{f.name} can be derived." for f in contract.derived}
    now = datetime.now(UTC)
    kept = ("contract_id", "rule_id", "sample_number", "business_date", "source_system", "source_file", "source_line")
    return [
        {
            **{name: row[name] for name in kept},
            "rule_words": words.get(row["rule_id"], row["rule_id"]),
            "row_key": _shown_key(row["row_key"], contract, policy),
            **_shown(judged_fields(contract, row["rule_id"]), text, policy),
            "sampled_at": now,
        }
        for row, text in zip(rows, texts, strict=True)
    ]


def _shown_key(key: str | None, contract: Contract, policy: Policy) -> str | None:
    clear = all(clear_for_steward(contract.field(name), policy) for name in contract.key)
    return _cut(key) if key and clear and not forms_in(key) else None


def _shown(fields: Sequence[Field], text: dict[str, str | None] | None, policy: Policy) -> dict[str, Any]:
    shown, withheld = [], []
    for field in fields:
        if not clear_for_steward(field, policy):
            withheld.append(f"{field.name}: {_why(field)}")
        elif text is not None:
            value = text.get(field.name)
            if value is not None and forms_in(value):
                withheld.append(f"{field.name}: {_LOOKS_PERSONAL}")
            else:
                shown.append(f"{field.name} = {_cut(value)}")
    if not fields:
        withheld.append(_NO_FIELD)
    elif text is None and not withheld:
        withheld.append(_UNREADABLE)
    return {
        "failing_fields": ", ".join(f.name for f in fields) or None,
        "field_grade": max((f.grade for f in fields), default=None),
        "shown_values": ", ".join(shown) or None,
        "withheld": ", ".join(withheld) or None,
    }


def _why(field: Field) -> str:
    return "personal information" if field.personal_information != "none" else f"grade {field.grade}"


def _cut(value: str | None) -> str:
    if value is None:
        return "(nothing)"
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"


def _texts(
    connection: duckdb.DuckDBPyConnection, contract: Contract, rows: Sequence[dict[str, Any]], settings: Settings
) -> list[dict[str, str | None] | None]:
    """Return the text of every field of each row, taken apart as at ingest; None where that is not possible."""
    read = {file.name: file for manifest in manifests(settings) for file in manifest.files}
    groups: dict[tuple[str, tuple[str, ...]], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        file = read.get(row["source_file"])
        if file is not None and row["original"] is not None:
            groups[file.layout, file.header].append(number)
    found: list[dict[str, str | None] | None] = [None] * len(rows)
    layouts = load_layouts()
    for (layout_id, header), numbers in groups.items():
        if layout_id not in layouts or contract.id not in layouts[layout_id].contracts:
            continue
        lines = pa.table(
            {
                "file": pa.array([0] * len(numbers), pa.int32()),
                "line": pa.array(numbers, pa.int64()),
                "text": pa.array([rows[number]["original"] for number in numbers], pa.string()),
            }
        )
        connection.register("lines", lines)
        cells = _cells(connection, contract, layouts[layout_id], header)
        connection.unregister("lines")
        for number in numbers:
            item = _ITEM.search(rows[number]["row_key"] or "")
            found[number] = cells.get((number, int(item[1]) if item else None))
    return found


def _cells(
    connection: duckdb.DuckDBPyConnection, contract: Contract, layout: Layout, header: tuple[str, ...]
) -> dict[tuple[int, int | None], dict[str, str | None]]:
    table = layout.table(contract.id)
    if layout.format == "csv":
        # the lines come without their header: the first one is line 0 here
        cells, raws = csv_cells(layout.delimiter, header, -1), table.raw_expressions()
        shift = -1
    else:
        cells, raws = json_cells(table), replace(table, file_format="csv").raw_expressions()
        shift = 0
    columns = ", ".join(f"{raws[f.name]} AS {quote(f.name)}" for f in contract.sourced if f.name in raws)
    names = [f.name for f in contract.sourced if f.name in raws]
    answer = connection.execute(f"SELECT __line, __item, {columns} FROM ({cells}) WHERE __fault IS NULL").fetchall()
    return {(line + shift, item): dict(zip(names, values, strict=True)) for line, item, *values in answer}


def publish_samples(settings: Settings | None = None) -> int:
    """Write the samples of every fed table to ``governance.quarantine_sample``; return how many there are."""
    settings = settings or get_settings()
    schema = arrow_schema(load_contract(QUARANTINE_SAMPLE)).remove_metadata()
    count = 0
    for contract in load_contracts().values():
        if not contract.feed:
            continue
        rows = sample(contract, settings)
        count += len(rows)
        write_table(
            QUARANTINE_SAMPLE,
            pa.Table.from_pylist(rows, schema=schema),
            mode="replace",
            where={"contract_id": contract.id},
            settings=settings,
        )
    return count
