"""Role by role: what every role really gets, column by column, against the form the policy gives it.

What is due is worked out here from the warehouse and a second writing of the forms, on purpose not with the code that
builds the role files: a fault there must show. A whole column is compared by the fingerprint of its values, so no value
leaves the database and a table takes one query.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import duckdb

from data_contracts.emit.sql import quote, text
from data_contracts.policy import Policy, load_policy
from infra.lake import serving
from infra.lake.datasets import Dataset, datasets
from infra.runtime.duck import duck_connection
from infra.runtime.errors import BadArgumentsError, TryAgainError
from infra.runtime.settings import Settings

PSEUDONYM = "[0-9a-f]{64}"
_NUMBERS = ("DECIMAL", "INTEGER", "BIGINT", "HUGEINT", "SMALLINT", "TINYINT", "DOUBLE", "FLOAT", "REAL", "UINT", "UBIG")
_FLOATS = ("DOUBLE", "FLOAT", "REAL")
# written from the description of the masks in policy.yaml, not from its SQL
_MASKS = {
    "hmac": "{0}",
    "redact": "CASE WHEN {0} IS NOT NULL THEN '[redacted]' END",
    "first_char": "{0}[1] || '**'",
    "phone_3_4": "{0}[1:3] || '****' || {0}[-4:]",
    # the first significant digit and the exponent, read as text; what a division adds at the end is rounded away
    # (by way of a double: DuckDB takes a hundred times as long to read 5e+05 as a wide decimal)
    "bucket": r"CAST(CAST(regexp_replace(printf('%.13e', CAST({0} AS DOUBLE)), '\.[0-9]*', '') AS DOUBLE) AS {1})",
}


class Reader(Protocol):
    """A real connection of a role: its file opened as readers do, or Superset as that user."""

    @property
    def label(self) -> str:
        """Name of the connection for the steward."""

    @property
    def partial(self) -> bool:
        """Whether some tables of the file cannot be asked for this way at all."""

    def tables(self) -> set[str]:
        """Return every table that can be asked for, whatever its database and schema."""

    def columns(self, table: str, candidates: Iterable[str]) -> set[str]:
        """Return which columns a table gives, the candidates tried one by one where they cannot be listed."""

    def ask(self, table: str, aggregates: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of SQL aggregates over a table, by label."""


class FileReader:
    """A role's file, opened read-only and locked as its readers open it."""

    label = "role file"
    partial = False

    def __init__(self, role: str, settings: Settings) -> None:
        self._connection = serving.open_role_file(role, settings)
        rows = self._connection.execute(
            "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
        self._columns = by_table(rows)

    def tables(self) -> set[str]:
        """Return every table of the file."""
        return set(self._columns)

    def columns(self, table: str, candidates: Iterable[str]) -> set[str]:
        """Return the columns of a table."""
        return self._columns[table]

    def ask(self, table: str, aggregates: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of SQL aggregates over a table."""
        return _asked(self._connection, f"{serving.SCHEMA}.{quote(table)}", aggregates)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()


@dataclass(frozen=True)
class Matrix:
    """How many columns of tables were asked for as a role, and how many are not what the policy gives."""

    checked: int
    failed: int
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Due:
    """What a role is due of a column: its form, and the SQL over the warehouse that gives the same values, or None."""

    form: str
    sql: str | None


def by_table(rows: Sequence[Sequence[str]]) -> dict[str, set[str]]:
    """Return {table: columns} of (schema, table, column) rows; tables of other schemas than the role's keep theirs."""
    found: dict[str, set[str]] = {}
    for schema, table, column in rows:
        found.setdefault(table if schema == serving.SCHEMA else f"{schema}.{table}", set()).add(column)
    return found


def fingerprint(sql: str, kind: str | None) -> str:
    """Return the SQL aggregate that is the same for the same values, in whatever order, and else (almost) never."""
    if (kind or "").upper().startswith(_FLOATS):
        # two ways to the same number differ in the last bits
        sql = f"CAST({sql} AS FLOAT)"
    return f"CAST(COUNT({sql}) AS VARCHAR) || ' ' || CAST(SUM(CAST(HASH({sql}) AS HUGEINT)) AS VARCHAR)"


def no_pseudonym(column: str) -> str:
    """Return the SQL aggregate that counts values that are no pseudonym."""
    value = f"CAST({quote(column)} AS VARCHAR)"
    return f"SUM(CASE WHEN REGEXP_FULL_MATCH({value}, '{PSEUDONYM}') THEN 0 WHEN {value} IS NULL THEN 0 ELSE 1 END)"


def due(dataset: Dataset, column: str, role: str, policy: Policy) -> Due:
    """Return what the policy gives a role of a dataset's column.

    Args:
        dataset: a dataset with the grades of its columns.
        column: name of the column.
        role: role name.
        policy: the access policy.
    """
    about = dataset.columns.get(column, {})
    form = policy.form(about.get("grade"), role, about.get("personal_information", "none"))
    mask = about.get("mask", "none")
    own = quote(column)
    cells = dataset.aggregated and dataset.cells is not None
    if role not in dataset.roles:
        return Due("absent", None)
    if form == "clear":
        return Due(form, own)
    if form == "aggregated" or (form == "bucketed" and cells):
        return Due("aggregated", own if cells else None)
    if form == "pseudonym":
        return Due(form, own if mask == "hmac" else None)
    if form == "masked":
        return Due("pseudonym" if mask == "hmac" else form, _mask(mask, column, about))
    if form == "bucketed":
        return Due("pseudonym" if mask == "hmac" else form, _bucket(mask, column, about))
    return Due("absent", None)


def _mask(mask: str, column: str, about: Mapping[str, Any]) -> str | None:
    if mask not in _MASKS:
        return None
    return _MASKS[mask].format(quote(column), about["type"] or "VARCHAR")


def _bucket(mask: str, column: str, about: Mapping[str, Any]) -> str | None:
    kind = (about["type"] or "VARCHAR").upper()
    if mask not in ("none", "bucket"):
        return _mask(mask, column, about)
    if kind.startswith(_NUMBERS):
        return _mask("bucket", column, about)
    if kind == "DATE":
        return f"make_date(year({quote(column)}), month({quote(column)}), 1)"
    return quote(column) if kind == "BOOLEAN" or about.get("closed") else None


def measure(
    settings: Settings,
    progress: Callable[[str], None],
    others: Callable[[str, dict[str, Dataset]], Sequence[Reader]] = lambda role, known: (),
) -> Matrix:
    """Ask for every column of every dataset as every role, and compare with what the policy gives.

    Args:
        settings: platform settings.
        progress: receives one line per role and connection.
        others: gives further connections of a role, those through Superset.

    Raises:
        BadArgumentsError: nothing was built, or a role has no file.
        TryAgainError: the warehouse is being written, or was written after the role files.
    """
    known = datasets(settings)
    policy = load_policy()
    if not settings.warehouse.is_file():
        raise BadArgumentsError("No datasets were built yet: run `customs datasets build` first.")
    warehouse = duck_connection(settings=settings)
    try:
        try:
            warehouse.execute(f"ATTACH {text(str(settings.warehouse))} AS warehouse (READ_ONLY)")
        except duckdb.IOException as error:
            raise TryAgainError(f"{settings.warehouse} is being built: try again when that has finished.") from error
        source = _Source(warehouse, known)
        checked, sentences = 0, []
        for role in serving.roles_served(known.values()):
            own = FileReader(role, settings)
            try:
                for reader in (own, *others(role, known)):
                    number, found = _compare(reader, role, source, policy)
                    progress(f"matrix: {role}, {reader.label}: {number:,} columns, {len(found)} not as due")
                    checked += number
                    sentences += [f"{role}, {reader.label}, {one}" for one in found]
            finally:
                own.close()
    finally:
        warehouse.close()
    if sentences:
        _refuse_old_files(settings)
    return Matrix(checked, len(sentences), tuple(sentences))


class _Source:
    """The datasets as the warehouse holds them; every fingerprint is taken once."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, known: Mapping[str, Dataset]) -> None:
        self.known = known
        self._connection = connection
        self._taken: dict[tuple[str, str], Any] = {}
        rows = connection.execute(
            "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE database_name = 'warehouse'"
        ).fetchall()
        self._columns: dict[tuple[str, str], list[str]] = {}
        for schema, table, column in rows:
            self._columns.setdefault((schema, table), []).append(column)

    def columns(self, dataset: Dataset) -> list[str]:
        """Return the columns a dataset has in the warehouse and in its description."""
        stored = self._columns.get((dataset.schema, dataset.name))
        if stored is None:
            raise BadArgumentsError(f"{dataset.name} is not built: run `customs datasets build` first.")
        return list(dict.fromkeys([*stored, *dataset.columns]))

    def ask(self, dataset: Dataset, aggregates: Iterable[str]) -> dict[str, Any]:
        """Return the values of SQL aggregates over a dataset, by their SQL."""
        wanted = [sql for sql in dict.fromkeys(aggregates) if (dataset.name, sql) not in self._taken]
        relation = f"warehouse.{quote(dataset.schema)}.{quote(dataset.name)}"
        for sql, value in _asked(self._connection, relation, dict(zip(wanted, wanted, strict=True))).items():
            self._taken[dataset.name, sql] = value
        return {sql: self._taken[dataset.name, sql] for sql in aggregates}


def _asked(connection: duckdb.DuckDBPyConnection, relation: str, aggregates: Mapping[str, str]) -> dict[str, Any]:
    if not aggregates:
        return {}
    row = connection.execute(f"SELECT {', '.join(aggregates.values())} FROM {relation}").fetchone()
    return dict(zip(aggregates, row or (), strict=True))


def _compare(reader: Reader, role: str, source: _Source, policy: Policy) -> tuple[int, list[str]]:
    checked, found = 0, []
    there = reader.tables()
    for name in sorted(there - set(source.known) - {serving.CONTENTS_TABLE}):
        checked += 1
        found.append(f"{name}: the table is no dataset and must not be there")
    for dataset in source.known.values():
        given = {column: due(dataset, column, role, policy) for column in source.columns(dataset)}
        if dataset.name not in there:
            if reader.partial:
                continue
            checked += len(given)
            found += [
                f"{dataset.name}.{c}: {one.form} is due, the table is not there" for c, one in given.items() if one.sql
            ]
            continue
        shown = reader.columns(dataset.name, given)
        for column in sorted(shown - given.keys()):
            checked += 1
            found.append(f"{dataset.name}.{column}: the warehouse has no such column")
        checked += len(given)
        present = {column: one for column, one in given.items() if column in shown}
        found += [
            f"{dataset.name}.{column}: {one.form} is due, the column is {'there' if column in shown else 'not there'}"
            for column, one in given.items()
            if (one.sql is not None) != (column in shown)
        ]
        found += _values(reader, dataset, {c: one for c, one in present.items() if one.sql}, source, policy)
    return checked, found


def _values(reader: Reader, dataset: Dataset, given: Mapping[str, Due], source: _Source, policy: Policy) -> list[str]:
    """Return what is wrong with the values of columns that are rightly there."""
    kinds = {column: dataset.columns[column]["type"] for column in given}
    shown = {column: fingerprint(quote(column), kinds[column]) for column in given}
    wanted = {column: fingerprint(str(one.sql), kinds[column]) for column, one in given.items()}
    odd = {f"{column} odd": no_pseudonym(column) for column, one in given.items() if one.form == "pseudonym"}
    smallest = f"MIN(COALESCE({quote(dataset.cells)}, 0))" if dataset.cells else ""
    small = {"cells": smallest} if smallest and dataset.cells in given else {}
    # through Superset numbers may come as text and the other way round
    answer = {
        label: None if v is None else str(v) for label, v in reader.ask(dataset.name, shown | odd | small).items()
    }
    source_values = source.ask(dataset, [*wanted.values(), *shown.values()])
    if smallest and not small and any(one.form == "aggregated" for one in given.values()):
        answer["cells"] = source.ask(dataset, [smallest])[smallest]
    found = []
    for column, one in given.items():
        if answer[column] != source_values[wanted[column]]:
            clear = answer[column] == source_values[shown[column]]
            found.append(
                f"{dataset.name}.{column}: {one.form} is due, "
                + ("the stored values are shown" if clear else "other values are shown")
            )
        elif one.form == "pseudonym" and float(answer[f"{column} odd"] or 0):
            count = int(float(answer[f"{column} odd"] or 0))
            found.append(f"{dataset.name}.{column}: pseudonym is due, {count} values are none")
        elif one.form == "aggregated" and answer["cells"] is not None and float(answer["cells"]) < policy.k:
            found.append(
                f"{dataset.name}.{column}: aggregated is due, a row stands for {answer['cells']} records, "
                f"fewer than {policy.k}"
            )
    return found


def _refuse_old_files(settings: Settings) -> None:
    """Tell a role file that is older than the warehouse from one that shows too much."""
    built = datetime.fromtimestamp(settings.warehouse.stat().st_mtime, UTC)
    for path in sorted(settings.serving.glob("*.duckdb")):
        made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if made < built:
            raise TryAgainError(
                f"{path.name} is of {made:%Y-%m-%d %H:%M:%S} UTC, the datasets are of {built:%Y-%m-%d %H:%M:%S}: "
                "run `customs serving publish`, then measure again."
            )
