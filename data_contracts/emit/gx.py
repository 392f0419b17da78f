"""Contracts to expectations on aggregates: one SQL gives one row of figures per table, expectations judge that row.

Great Expectations reports and gates; it never splits rows (one scan here, against one Spark job per expectation there).
"""

from dataclasses import dataclass

import sqlglot

from data_contracts.emit.sql import quote, transpile
from data_contracts.model import Contract, Reference


@dataclass(frozen=True)
class Expectation:
    """``minimum <= metric <= maximum``, on one column of the aggregate row of a table."""

    metric: str
    dimension: str
    severity: str
    description: str
    minimum: float | None = None
    maximum: float | None = None

    def configuration(self) -> dict:
        """Return the expectation as Great Expectations configures it."""
        return {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": self.metric, "min_value": self.minimum, "max_value": self.maximum},
            "meta": {"dimension": self.dimension, "severity": self.severity, "notes": self.description},
        }


@dataclass(frozen=True)
class Metric:
    """A figure of a table: SQL of an aggregate and what is expected of it."""

    sql: str
    expectation: Expectation


def metrics(contract: Contract) -> tuple[Metric, ...]:
    """Return the figures judged for a table: volume, uniqueness, freshness, completeness, plausible spread."""
    key = ", ".join(map(quote, contract.key))
    key = key if len(contract.key) == 1 else f"({key})"
    found = [
        Metric("COUNT(*)", Expectation("row_count", "coverage", "warning", "The table has rows.", minimum=1)),
        Metric(
            f"COUNT(*) - COUNT(DISTINCT {key})",
            Expectation(
                "duplicate_keys", "uniqueness", "error", f"{', '.join(contract.key)} identifies a row.", maximum=0
            ),
        ),
    ]
    if contract.feed and contract.latency_hours:
        age = "DATE_DIFF('hour', MAX(ingested_at), CAST(__now AS TIMESTAMPTZ))"
        text = f"Something was ingested within {contract.latency_hours} hours of the day judged."
        limit = contract.latency_hours
        found.append(Metric(age, Expectation("hours_since_ingest", "timeliness", "warning", text, maximum=limit)))
    for f in contract.fields:
        column = quote(f.name)
        if f.required:
            text = f"{f.name} is never null."
            metric = Expectation(f"nulls__{f.name}", "completeness", "error", text, maximum=0)
            found.append(Metric(f"COUNT(*) - COUNT({column})", metric))
        if f.physical_type != "DATE" and (f.minimum is not None or f.maximum is not None):
            low = None if f.minimum is None else float(f.minimum)
            high = None if f.maximum is None else float(f.maximum)
            for function, name in (("MIN", "lowest"), ("MAX", "highest")):
                text = f"The {name} {f.name} is inside the contract's range."
                spread = Expectation(f"{name}__{f.name}", "accuracy", "error", text, low, high)
                found.append(Metric(f"CAST({function}({column}) AS DOUBLE)", spread))
    if contract.feed and "source_system" in {f.name for f in contract.columns}:
        text = "Every row says where it comes from."
        origin = Expectation("nulls__source_system", "completeness", "error", text, maximum=0)
        found.append(Metric("COUNT(*) - COUNT(source_system)", origin))
    return tuple(found)


def aggregates_sql(contract: Contract, relation: str, now: str | None = None, dialect: str = "duckdb") -> str:
    """Return the SELECT that gives the one row the expectations judge.

    Args:
        contract: the table.
        relation: SQL of the table, for example ``delta_scan('…')``.
        now: ISO instant freshness is measured from; default the current one.
        dialect: ``duckdb`` or ``spark``.
    """
    moment = "CURRENT_TIMESTAMP" if now is None else f"'{now}'"
    columns = ", ".join(
        f"{transpile(m.sql.replace('__now', moment), dialect)} AS {m.expectation.metric}" for m in metrics(contract)
    )
    return f"SELECT {columns} FROM {relation}"


def orphans_sql(contract: Contract, reference: Reference, relation: str, target: str, dialect: str = "duckdb") -> str:
    """Return the SELECT of the share of rows (0 to 1) whose reference is given and finds no row.

    Args:
        contract: the table.
        reference: one of its references.
        relation: SQL of the table.
        target: SQL of the table it points at.
        dialect: ``duckdb`` or ``spark``.
    """
    given = " AND ".join(f"{quote(f)} IS NOT NULL" for f in reference.fields)
    ours = ", ".join(map(quote, reference.fields))
    theirs = ", ".join(f"{quote(t)} AS {quote(f)}" for t, f in zip(reference.to_fields, reference.fields, strict=True))
    sql = (
        f"WITH pointing AS (SELECT {ours}, COUNT(*) AS n FROM {relation} WHERE {given} GROUP BY {ours}), "
        f"found AS (SELECT DISTINCT {theirs}, 1 AS is_there FROM {target}) "
        f"SELECT COALESCE(SUM(CASE WHEN is_there IS NULL THEN n ELSE 0 END) / SUM(n), 0) "
        f"AS {orphan_metric(reference)} FROM pointing LEFT JOIN found USING ({ours})"
    )
    return sql if dialect == "duckdb" else sqlglot.transpile(sql, read="duckdb", write=dialect)[0]


def orphan_metric(reference: Reference) -> str:
    """Return the name of a reference's figure."""
    return f"orphans__{reference.table}"


def orphan_expectation(reference: Reference) -> Expectation:
    """Return what is expected of a reference's share of orphans.

    A warning, and 5 % are allowed: two feeds do not arrive together, and the row pointed at may be set aside.
    """
    text = f"{', '.join(reference.fields)} is found in {reference.table}."
    return Expectation(orphan_metric(reference), "consistency", "warning", text, maximum=0.05)


def expectations(contract: Contract) -> tuple[Expectation, ...]:
    """Return what is expected of the figures of ``aggregates_sql``, then of one ``orphans_sql`` per reference."""
    return tuple(m.expectation for m in metrics(contract)) + tuple(map(orphan_expectation, contract.references))


def suite(contract: Contract) -> dict:
    """Return the Great Expectations suite of a table (the JSON form GX 1.x reads)."""
    return {
        "name": contract.table,
        "expectations": [e.configuration() for e in expectations(contract)],
        "meta": {"contract": contract.id, "version": contract.version, "owner": contract.owner},
    }
