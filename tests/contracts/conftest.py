"""A judge: raw rows of a contract in, per row the ids of the rules it broke out."""

from collections.abc import Callable, Iterator

import duckdb
import pytest

from data_contracts.emit.fixtures import RawRow, brought
from data_contracts.emit.sql import cast_expression, derivation_expression, quote, raw_column, rules, text
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
