"""Completeness: every column that is really there has a grade and a category, table by table as the files hold them."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from data_contracts import load_contract, load_contracts
from data_contracts.emit.sql import text
from data_contracts.model import CATEGORIES, GRADES
from infra.governance import delivery, sharing
from infra.lake import serving
from infra.lake.datasets import datasets
from infra.runtime.errors import BadArgumentsError, TryAgainError
from infra.runtime.settings import Settings

Grading = tuple[str | None, str | None]
_NO_GRADING: Grading = (None, None)


@dataclass(frozen=True)
class Columns:
    """How many columns the tables have, and how many of them are graded."""

    graded: int
    total: int
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Table:
    """A table as found: its columns, what is said of them, and where a missing grade is to be written."""

    place: str
    columns: tuple[str, ...]
    gradings: Mapping[str, Grading]
    remedy: str


def measure(settings: Settings, progress: Callable[[str], None]) -> Columns:
    """Read the columns of silver, warehouse, role files and shares, and look for each one's grade and category.

    Raises:
        BadArgumentsError: nothing was built or published yet.
        TryAgainError: the warehouse is being written.
    """
    total = graded = 0
    sentences = []
    for read in (_silver, _warehouse, _role_files, _shares):
        tables = list(read(settings))
        columns = 0
        for table in tables:
            for name in table.columns:
                grade, category = table.gradings.get(name, _NO_GRADING)
                columns += 1
                if grade in GRADES and category in CATEGORIES:
                    graded += 1
                    continue
                missing = " and ".join(
                    word
                    for word, value, known in (("grade", grade, GRADES), ("category", category, CATEGORIES))
                    if value not in known
                )
                sentences.append(f"{table.place}: column {name} has no {missing}; {table.remedy}.")
        total += columns
        progress(f"columns: {columns:,} in {len(tables)} tables of {read.__name__.strip('_').replace('_', ' ')}")
    return Columns(graded, total, tuple(sentences))


def _silver(settings: Settings) -> Iterator[_Table]:
    contracts = {contract.table: contract for contract in load_contracts().values()}
    logs = sorted((settings.lake / "silver").glob("*/_delta_log"))
    if not logs:
        raise BadArgumentsError(f"{settings.lake} holds no silver table: run `customs lake init` and ingest first.")
    for log in logs:
        contract = contracts.get(log.parent.name)
        yield _Table(
            f"silver table {log.parent.name}",
            tuple(field.name for field in DeltaTable(str(log.parent)).schema().fields),
            {f.name: (f.grade, f.category) for f in contract.columns} if contract else {},
            f"add it to {contract.file if contract else 'a contract in data_contracts/'}, or drop it from the table",
        )


def _described(about: Mapping[str, Mapping[str, Any]]) -> dict[str, Grading]:
    return {name: (one.get("grade"), one.get("category")) for name, one in about.items()}


def _warehouse(settings: Settings) -> Iterator[_Table]:
    if not settings.warehouse.is_file():
        raise BadArgumentsError("No datasets were built yet: run `customs datasets build` first.")
    known = {(one.schema, one.name): one for one in datasets(settings).values()}
    schemas = sorted({schema for schema, _ in known})
    try:
        connection = duckdb.connect(str(settings.warehouse), read_only=True)
    except duckdb.IOException as error:
        raise TryAgainError(f"{settings.warehouse} is being built: try again when that has finished.") from error
    with connection:
        found = _listed(connection, f"table_schema IN ({', '.join(map(text, schemas))})")
    for (schema, name), columns in found.items():
        dataset = known.get((schema, name))
        yield _Table(
            f"dataset {schema}.{name}",
            columns,
            _described(dataset.columns) if dataset else {},
            "describe it in the model's YAML in dbt/models/ and build again, or drop it from the warehouse",
        )


def _listed(connection: duckdb.DuckDBPyConnection, where: str) -> dict[tuple[str, str], tuple[str, ...]]:
    rows = connection.execute(
        "SELECT table_schema, table_name, list(column_name ORDER BY ordinal_position) "
        f"FROM information_schema.columns WHERE {where} GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return {(schema, name): tuple(columns) for schema, name, columns in rows}


def _role_files(settings: Settings) -> Iterator[_Table]:
    known = datasets(settings)
    paths = sorted(settings.serving.glob("*.duckdb"))
    if not paths:
        raise BadArgumentsError("No role file was published yet: run `customs serving publish` first.")
    for path in paths:
        with serving.open_role_file(path.stem, settings) as connection:
            found = _listed(connection, "table_catalog NOT IN ('system', 'temp')")
        for (schema, name), columns in found.items():
            about = serving.CONTENTS if name == serving.CONTENTS_TABLE else getattr(known.get(name), "columns", {})
            yield _Table(
                f"role file {path.name}, {schema}.{name}",
                columns,
                _described(about),
                f"describe it in the model's YAML in dbt/models/ and run `customs serving publish --role {path.stem}`",
            )


def _shares(settings: Settings) -> Iterator[_Table]:
    for manifest in sorted(sharing.shares_folder(settings).glob("*/manifest.json")):
        about = json.loads(manifest.read_text(encoding="utf-8"))
        fields = {f.name: f for f in load_contract(about["contract"]["id"]).columns}
        gradings: dict[str, Grading] = dict(delivery.OWN_COLUMNS)
        for name, one in about["columns"].items():
            # a measure is named after its column: sum_<column>
            field = fields.get(name) or fields.get(name.partition("_")[2])
            gradings[name] = (one.get("grade"), field.category if field else None)
        for place, columns in _shared(manifest.parent):
            yield _Table(
                f"share {manifest.parent.name}, {place}",
                columns,
                gradings,
                f"revoke the share: `customs share revoke {manifest.parent.name}`",
            )


def _shared(folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the tables of a share as its recipient opens them."""
    if (folder / "delta" / "_delta_log").is_dir():
        yield "delta", tuple(field.name for field in DeltaTable(str(folder / "delta")).schema().fields)
    with duckdb.connect() as connection:
        for path in sorted([*folder.glob("*.parquet"), *folder.glob("*.csv")]):
            described = connection.execute(f"DESCRIBE SELECT * FROM {text(str(path))}").fetchall()
            yield path.name, tuple(name for name, *_ in described)
