"""Role files: one DuckDB file per role that holds only what the role may see. What is not in the file cannot leak."""

import hashlib
import os
import pwd
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from data_contracts.emit.masks import GradedColumn, role_projection
from data_contracts.emit.sql import quote, text
from data_contracts.policy import Policy, load_policy
from infra.lake.datasets import Dataset, datasets
from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError, CustomsError, TryAgainError
from infra.runtime.settings import Settings, get_settings

SCHEMA = "mart"
# a reader of a role file can neither read other files nor change that
LOCKED = {"enable_external_access": False, "lock_configuration": True}
# every role file tells what it holds and since when, in a table that is graded like any other
CONTENTS_TABLE = "published"
CONTENTS = {
    name: {"type": kind, "description": description, "grade": "L1", "category": "platform_ops"}
    for name, kind, description in (
        ("dataset", "VARCHAR", "Table of this file."),
        ("description", "VARCHAR", "What its rows are."),
        ("records", "BIGINT", "Rows of the table."),
        ("policy_version", "VARCHAR", "Version of the access policy the file was made by."),
        ("published_at", "TIMESTAMPTZ", "When the file was made."),
    )
}


@dataclass(frozen=True)
class Published:
    """One table of a role file."""

    dataset: str
    rows: int
    columns: tuple[str, ...]
    absent: tuple[str, ...]


def role_file(role: str, settings: Settings | None = None) -> Path:
    """Return the file of a role, ``<home>/serving/<role>.duckdb``."""
    return (settings or get_settings()).serving / f"{role}.duckdb"


def roles_served(found: Iterable[Dataset]) -> list[str]:
    """Return the roles any dataset names, in the order of the policy."""
    named = {role for dataset in found for role in dataset.roles}
    if unknown := named - set(load_policy().roles):
        raise CustomsError(f"Role {', '.join(sorted(unknown))} of a dataset is not in policy.yaml: add it there first.")
    return [role for role in load_policy().roles if role in named]


def projection(dataset: Dataset, role: str, policy: Policy) -> dict[str, str | None]:
    """Return {column: SQL or None where the role may not have it}; an ungraded column is absent.

    Args:
        dataset: a dataset with the grades of its columns.
        role: role name.
        policy: the access policy.
    """
    columns = [
        GradedColumn(
            name=name,
            grade=about.get("grade"),
            physical_type=about["type"] or "VARCHAR",
            personal_information=about.get("personal_information", "none"),
            mask=about.get("mask", "none"),
            closed=bool(about.get("closed")),
        )
        for name, about in dataset.columns.items()
    ]
    return role_projection(columns, role, policy, aggregated=dataset.aggregated and dataset.cells is not None)


def publish(
    role: str, settings: Settings | None = None, progress: Callable[[str], None] | None = None
) -> list[Published]:
    """Build a role's file beside the old one, verify it as its readers will open it, then put it in place.

    Args:
        role: a role some dataset names.
        settings: platform settings.
        progress: receives one line per table.

    Returns:
        The tables of the new file.

    Raises:
        BadArgumentsError: no dataset is meant for the role, or nothing was built.
        TryAgainError: the warehouse is being written.
        CustomsError: the new file is not what the policy says; the old one stays in place.
    """
    settings = settings or get_settings()
    policy = load_policy()
    meant = [d for d in datasets(settings).values() if role in d.roles]
    if not meant:
        raise BadArgumentsError(
            f"No dataset is meant for role '{role}': roles served are "
            f"{', '.join(roles_served(datasets(settings).values()))}."
        )
    if not settings.warehouse.is_file():
        raise BadArgumentsError("No datasets were built yet: run `customs datasets build` first.")
    final = role_file(role, settings)
    final.parent.mkdir(parents=True, exist_ok=True)
    following = final.with_name(f"{final.name}.next")
    for leftover in (following, following.with_name(f"{following.name}.wal")):
        leftover.unlink(missing_ok=True)
    published = _write(following, role, meant, policy, settings, progress)
    following.chmod(0o640)
    _verify(following, published, settings)
    with following.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    os.replace(following, final)
    detail = {
        "tables": {one.dataset: one.rows for one in published},
        "policy_version": policy.version,
        "sha256": digest,
    }
    audit.record("serving.published", "system:serving", final.name, detail, settings=settings)
    return published


def _write(
    path: Path,
    role: str,
    meant: list[Dataset],
    policy: Policy,
    settings: Settings,
    progress: Callable[[str], None] | None,
) -> list[Published]:
    published = []
    connection = duckdb.connect(
        str(path), config={"threads": settings.duckdb_threads, "memory_limit": settings.duckdb_memory_limit}
    )
    try:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            connection.execute(f"ATTACH {text(str(settings.warehouse))} AS warehouse (READ_ONLY)")
        except duckdb.IOException as error:
            raise TryAgainError(f"{settings.warehouse} is being built: try again when that has finished.") from error
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
        for dataset in meant:
            source = f"warehouse.{quote(dataset.schema)}.{quote(dataset.name)}"
            try:
                connection.execute(f"SELECT 1 FROM {source} LIMIT 0")
            except duckdb.CatalogException as error:
                raise BadArgumentsError(
                    f"{dataset.name} is not built: run `customs datasets build --select {dataset.layer}` first."
                ) from error
            _check_cells(connection, dataset, source, policy)
            allowed = projection(dataset, role, policy)
            shown = {name: sql for name, sql in allowed.items() if sql is not None}
            if not shown:
                raise CustomsError(f"{dataset.name}: no column is for role {role}; take the role off the dataset.")
            table = f"{SCHEMA}.{quote(dataset.name)}"
            select = ", ".join(f"{sql} AS {quote(name)}" for name, sql in shown.items())
            connection.execute(f"CREATE TABLE {table} AS SELECT {select} FROM {source}")
            connection.execute(f"COMMENT ON TABLE {table} IS {text(dataset.description)}")
            for name in shown:
                comment = dataset.columns[name]["description"]
                connection.execute(f"COMMENT ON COLUMN {table}.{quote(name)} IS {text(comment)}")
            rows = _count(connection, source)
            absent = tuple(name for name, sql in allowed.items() if sql is None)
            published.append(Published(dataset.name, rows, tuple(shown), absent))
            missing = f", without {', '.join(absent)}" if absent else ""
            if progress:
                progress(f"{role}: {dataset.name} {rows:,} rows{missing}")
        _write_contents(connection, published, meant, policy)
        connection.execute("DETACH warehouse")
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
    return published


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
    return row[0] if row else 0


def _check_cells(connection: duckdb.DuckDBPyConnection, dataset: Dataset, source: str, policy: Policy) -> None:
    """Stop when a dataset published as aggregated has a row that stands for fewer records than the policy's k."""
    if not (dataset.aggregated and dataset.cells):
        return
    small = _count(connection, f"{source} WHERE {quote(dataset.cells)} < {policy.k} OR {quote(dataset.cells)} IS NULL")
    if small:
        raise CustomsError(
            f"{dataset.name}: {small} rows stand for fewer than {policy.k} records ({dataset.cells}); "
            "merge its small cells before it is published."
        )


def _write_contents(
    connection: duckdb.DuckDBPyConnection, published: list[Published], meant: list[Dataset], policy: Policy
) -> None:
    about = {dataset.name: dataset.description for dataset in meant}
    table = f"{SCHEMA}.{CONTENTS_TABLE}"
    columns = ", ".join(f"{name} {about['type']}" for name, about in CONTENTS.items())
    connection.execute(f"CREATE TABLE {table} ({columns})")
    moment = datetime.now(UTC)
    connection.executemany(
        f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)",
        [[p.dataset, about[p.dataset], p.rows, policy.version, moment] for p in published],
    )
    connection.execute(f"COMMENT ON TABLE {table} IS 'What this file holds and since when.'")
    for name, about in CONTENTS.items():
        connection.execute(f"COMMENT ON COLUMN {table}.{name} IS {text(about['description'])}")


def open_role_file(role: str, settings: Settings | None = None) -> duckdb.DuckDBPyConnection:
    """Open a role's file as its readers do: read-only, no other files, configuration locked.

    Raises:
        BadArgumentsError: the role has no file.
    """
    settings = settings or get_settings()
    path = role_file(role, settings)
    if not path.is_file():
        raise BadArgumentsError(f"There is no file for role '{role}': run `customs serving publish --role {role}`.")
    return _open(path, settings)


def _open(path: Path, settings: Settings) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(path), read_only=True, config={"threads": settings.duckdb_threads, **LOCKED})


def _verify(path: Path, published: list[Published], settings: Settings) -> None:
    """Compare the file with what was meant, through the very connection readers get."""
    connection = _open(path, settings)
    try:
        found: dict[str, list[str]] = {}
        for table, column in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = ? "
            "ORDER BY table_name, ordinal_position",
            [SCHEMA],
        ).fetchall():
            found.setdefault(table, []).append(column)
        found.pop(CONTENTS_TABLE, None)
        meant = {p.dataset: list(p.columns) for p in published}
        if found != meant:
            raise CustomsError(f"{path.name} does not hold the tables and columns the policy gives: nothing published.")
        for p in published:
            rows = _count(connection, f"{SCHEMA}.{quote(p.dataset)}")
            if rows != p.rows:
                raise CustomsError(f"{path.name}: {p.dataset} has {rows} rows, the warehouse {p.rows}: not published.")
        try:
            connection.execute("SELECT * FROM read_text('/etc/hostname')")
        except duckdb.Error:
            return
        raise CustomsError(f"{path.name} can read other files when opened as a reader does: not published.")
    finally:
        connection.close()


def query(
    role: str,
    sql: str,
    limit: int,
    settings: Settings | None = None,
    values: Mapping[str, object] | None = None,
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run SQL as a role would; the statement is an event of the audit log, by its hash.

    Args:
        role: role name.
        sql: one statement.
        limit: rows returned at most.
        settings: platform settings.
        values: what ``$name`` in the statement stands for.

    Returns:
        Column names and rows.

    Raises:
        BadArgumentsError: the statement is wrong or not allowed; the message is DuckDB's.
    """
    connection = open_role_file(role, settings)
    # nobody proves who they are here: whoever may run this owns the file
    about: dict[str, Any] = {
        "system_account": pwd.getpwuid(os.getuid()).pw_name,
        "statement_sha256": hashlib.sha256(sql.encode()).hexdigest(),
        **({"values": {name: str(value) for name, value in values.items()}} if values else {}),
    }
    event, rows = "query.refused", []
    try:
        connection.execute(f"USE {SCHEMA}")
        cursor = connection.execute(sql, values)
        names = [column[0] for column in cursor.description or ()]
        rows = cursor.fetchmany(limit)
        event = "query.run"
    except duckdb.Error as error:
        raise BadArgumentsError(f"Role {role}: {str(error).splitlines()[0]}") from error
    finally:
        connection.close()
        audit.record(event, "system:serving", f"{role}.duckdb", about | {"rows": len(rows)}, settings=settings)
    return names, rows
