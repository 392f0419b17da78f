"""Policy and contract to what a role's file may hold: one SQL expression per column, or None for absent."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from data_contracts.emit.sql import quote, transpile
from data_contracts.model import Contract, Field
from data_contracts.policy import Policy, load_policy

_CLOSED = re.compile(r"^\^\(?[a-z0-9_]+(\|[a-z0-9_]+)*\)?\$$", re.IGNORECASE)
_NUMERIC = re.compile(r"^(DECIMAL|INTEGER|BIGINT|HUGEINT|SMALLINT|TINYINT|DOUBLE|FLOAT|REAL|U[A-Z]*INT)", re.IGNORECASE)


@dataclass(frozen=True)
class GradedColumn:
    """A column of a mart, graded in its dbt YAML. ``closed``: its values are a closed vocabulary (codes, flags)."""

    name: str
    grade: str | None
    physical_type: str
    personal_information: str = "none"
    mask: str = "none"
    closed: bool = False


def _closed(column: Field | GradedColumn) -> bool:
    if column.physical_type == "BOOLEAN" or getattr(column, "closed", False) or getattr(column, "code_list", None):
        return True
    pattern = getattr(column, "pattern", None)
    return pattern is not None and _CLOSED.match(pattern) is not None


def _masked(column: Field | GradedColumn, mask: str, policy: Policy) -> str | None:
    template = policy.masks.get(mask)
    if template is None:
        return None
    return template.replace("{value}", quote(column.name)).replace("{type}", column.physical_type)


def _bucketed(column: Field | GradedColumn, policy: Policy) -> str | None:
    if column.mask not in ("none", "bucket"):
        return _masked(column, column.mask, policy)
    if _NUMERIC.match(column.physical_type):
        return _masked(column, "bucket", policy)
    # Text without a closed vocabulary cannot be generalised; a day can: to its month.
    if column.physical_type == "DATE":
        return f"CAST(DATE_TRUNC('month', {quote(column.name)}) AS DATE)"
    return quote(column.name) if _closed(column) else None


def column_expression(
    column: Field | GradedColumn, role: str, policy: Policy, *, aggregated: bool = False, dialect: str = "duckdb"
) -> str | None:
    """Return the SQL of a column as the role may see it, None when it may not.

    Args:
        column: what is graded.
        role: role name; an unknown role sees nothing.
        policy: the access policy.
        aggregated: the rows stand for at least ``policy.k`` records each.
        dialect: ``duckdb`` or ``spark``.
    """
    form = policy.form(column.grade, role, column.personal_information)
    sql: str | None = None
    if form == "clear":
        sql = quote(column.name)
    elif form == "masked":
        sql = None if column.mask == "none" else _masked(column, column.mask, policy)
    elif form == "bucketed":
        sql = quote(column.name) if aggregated else _bucketed(column, policy)
    elif form == "pseudonym":
        sql = quote(column.name) if column.mask == "hmac" else None
    elif form == "aggregated":
        sql = quote(column.name) if aggregated else None
    return None if sql is None else transpile(sql, dialect)


def role_projection(
    columns: Contract | Iterable[Field | GradedColumn],
    role: str,
    policy: Policy | None = None,
    *,
    aggregated: bool = False,
    dialect: str = "duckdb",
) -> dict[str, str | None]:
    """Return {column: SQL, or None where the role may not have it}, in the order of the columns.

    Args:
        columns: a contract, or graded columns of a mart.
        role: role name; an unknown role sees nothing.
        policy: the access policy; default the platform's.
        aggregated: the rows stand for at least ``policy.k`` records each (use ``cohort_condition`` to make it so).
        dialect: ``duckdb`` or ``spark``.
    """
    policy = policy or load_policy()
    fields = columns.columns if isinstance(columns, Contract) else columns
    return {c.name: column_expression(c, role, policy, aggregated=aggregated, dialect=dialect) for c in fields}


def cohort_condition(count_column: str, policy: Policy | None = None) -> str:
    """Return the SQL condition that keeps only rows standing for at least k records."""
    return f"{quote(count_column)} >= {(policy or load_policy()).k}"
