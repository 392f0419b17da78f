"""A judge: raw rows of a contract in, per row the ids of the rules it broke out."""

from collections.abc import Callable, Iterator

import duckdb
import pytest

from data_contracts import load_contract
from data_contracts.emit.fixtures import RawRow, brought
from data_contracts.emit.sql import (
    cast_expression,
    derivation_expression,
    history_rules,
    quote,
    raw_column,
    rules,
    text,
    with_before,
)
from data_contracts.model import Contract

Judge = Callable[[Contract, list[RawRow]], list[list[str]]]


@pytest.fixture(scope="session")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET TimeZone = 'UTC'")
    yield connection
    connection.close()


def _typed_relation(contract: Contract, source: str, dialect: str = "duckdb") -> str:
    """SQL of the relation rules are judged on, from a relation of raw columns."""
    mark = "`" if dialect == "spark" else '"'
    typed = ", ".join(
        f"{cast_expression(f, mark + raw_column(f.name) + mark, dialect=dialect)} AS {f.name}"
        for f in brought(contract)
        if not contract.feed or f.name != "source_system"
    )
    derived = "".join(f", {derivation_expression(f, dialect)} AS {f.name}" for f in contract.derived)
    if not contract.feed:
        return f"SELECT *, {typed} FROM {source}"
    return (
        f"SELECT *{derived} FROM (SELECT *, CAST('2026-11-22 00:00:00+00:00' AS TIMESTAMP"
        f"{'TZ' if dialect == 'duckdb' else ''}) AS ingested_at, {typed} FROM {source})"
    )


@pytest.fixture(scope="session")
def judge(duck: duckdb.DuckDBPyConnection) -> Judge:
    def run(contract: Contract, rows: list[RawRow]) -> list[list[str]]:
        given = [*(f.name for f in brought(contract)), *(["source_system"] if contract.feed else [])]
        names = [name if name == "source_system" and contract.feed else raw_column(name) for name in given]
        duck.execute(
            f"CREATE OR REPLACE TEMP TABLE raws ({', '.join(f'{quote(n)} VARCHAR' for n in names)}, n INTEGER)"
        )
        columns = [[r[name] for r in rows] for name in given]
        unnested = ", ".join("unnest(?::VARCHAR[])" for _ in columns)
        duck.execute(f"INSERT INTO raws SELECT {unnested}, unnest(range({len(rows)}))", columns)
        broken = ", ".join(f"CASE WHEN NOT ({r.sql}) THEN {text(r.id)} END" for r in rules(contract))
        typed = _typed_relation(contract, "raws")
        sql = f"SELECT list_filter([{broken}], lambda x: x IS NOT NULL) FROM ({typed}) ORDER BY n"
        return [row[0] for row in duck.execute(sql).fetchall()]

    return run


@pytest.fixture(scope="session")
def typed_relation() -> Callable[..., str]:
    """SQL of the relation rules are judged on, for either engine."""
    return _typed_relation


# event_seq, status, hour of the first of May; the rule it breaks
HISTORIES = {
    "accepted_then_released": [(1, "1", 1), (2, "120", 2), (3, "800", 3)],
    "released_before_accepted": [(1, "1", 1), (2, "800", 2, "status_code.legal_transition"), (3, "120", 3,
        "status_code.legal_transition")],
    "starts_with_release": [(1, "800", 1, "status_code.legal_transition")],
    "gap_is_not_judged": [(1, "1", 1), (3, "800", 3)],
    "first_is_missing": [(2, "800", 2)],
    "inspected_without_order": [(1, "1", 1), (2, "120", 2), (3, "inspected", 3, "status_code.legal_transition")],
    "two_open_orders": [(1, "1", 1), (2, "120", 2), (3, "500", 3), (4, "500", 4, "status_code.legal_transition")],
    "pickup_with_open_order": [(1, "1", 1), (2, "120", 2), (3, "500", 3), (4, "pickup_allowed", 4,
        "status_code.legal_transition")],
    "amendment_keeps_the_state": [(1, "1", 1), (2, "120", 2), (3, "500", 3), (4, "amended", 4), (5, "tax_paid", 4),
        (6, "inspected", 5), (7, "800", 6)],
    "amendment_hides_nothing": [(1, "1", 1), (2, "amended", 2), (3, "800", 3, "status_code.legal_transition")],
    "unknown_past_behind_an_amendment": [(1, "1", 1), (3, "amended", 2), (4, "800", 3)],
    "two_steps": [(1, "1", 1), (2, "awaiting_arrival", 1), (3, "120", 2), (4, "pickup_allowed", 3),
        (5, "complete_submitted", 4), (6, "complete_returned", 5), (7, "complete_submitted", 6),
        (8, "complete_accepted", 7), (9, "800", 8)],
    "complete_before_summary_accepted": [(1, "1", 1), (2, "awaiting_arrival", 1), (3, "complete_submitted", 2,
        "status_code.legal_transition")],
    "anything_but_closed_after_release": [(1, "1", 1), (2, "120", 2), (3, "800", 3), (4, "500", 4,
        "status_code.legal_transition")],
    "closed_after_release": [(1, "1", 1), (2, "120", 2), (3, "800", 3), (4, "closed", 4)],
    "same_instant": [(1, "1", 1), (2, "120", 1)],
    "before_its_parent": [(1, "1", 2), (2, "120", 1, "occurred_at.time_order")],
}  # fmt: skip


class Histories:
    """Receipts of made-up declarations as SQL, and the rules each is to break."""

    expected = {(name, e[0]): list(e[3:]) for name, events in HISTORIES.items() for e in events}

    def __call__(self, dialect: str) -> str:
        """SQL of (declaration, position, rule broken)."""
        contract = load_contract("declarations.declaration_event")
        names = "declaration_no, event_seq, status_code, occurred_at, occurred_on"
        instant = "TIMESTAMPTZ" if dialect == "duckdb" else "TIMESTAMP"
        values = ", ".join(
            f"('{name}', {seq}, '{status}', CAST('2026-05-01 {hour:02d}:00:00+00:00' AS {instant}), DATE '2026-05-01')"
            for name, events in HISTORIES.items()
            for seq, status, hour, *_ in events
        )
        judged = with_before(contract, f"SELECT * FROM (VALUES {values}) AS v({names})", dialect=dialect)
        return " UNION ALL ".join(
            f"SELECT declaration_no, event_seq, {text(r.id)} AS broken FROM ({judged}) WHERE NOT ({r.sql})"
            for r in history_rules(contract, dialect)
        )


@pytest.fixture(scope="session")
def histories() -> Histories:
    """Receipts of made-up declarations, for either engine."""
    return Histories()
