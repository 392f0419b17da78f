"""The dbt models of the role files as their YAML states them: columns, types, descriptions, roles that may see them.

What managers see is aggregated and lies in serving; what an analyst's page shows row by row may be a mart itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from infra.runtime.errors import DataContractError
from infra.runtime.settings import REPOSITORY

MODELS = REPOSITORY / "dbt" / "models"
FOLDERS = (MODELS / "serving", MODELS / "marts")


@dataclass(frozen=True)
class Column:
    """A column of such a model: DuckDB type and description."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class Model:
    """A serving model or mart: a table of the role files in ``roles``."""

    name: str
    description: str
    roles: frozenset[str]
    columns: dict[str, Column]
    file: str


def load_serving_models(folders: Iterable[Path] = FOLDERS) -> dict[str, Model]:
    """Return the serving models and marts by name, read from the YAML beside their SQL.

    Raises:
        DataContractError: the folders have no models, or a file is not readable.
    """
    models: dict[str, Model] = {}
    for path in sorted(file for folder in folders for kind in ("*.yml", "*.yaml") for file in folder.rglob(kind)):
        where = f"dbt/models/{'/'.join(path.parts[-3:])}"
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise DataContractError(f"{where} is not readable YAML: {error}") from error
        for entry in content.get("models") or []:
            meta = (entry.get("config") or {}).get("meta") or entry.get("meta") or {}
            models[entry["name"]] = Model(
                name=entry["name"],
                description=" ".join(str(entry.get("description", "")).split()),
                roles=frozenset(meta.get("roles", ())),
                columns={
                    column["name"]: Column(
                        name=column["name"],
                        type=str(column.get("data_type", "VARCHAR")).upper(),
                        description=" ".join(str(column.get("description", "")).split()),
                    )
                    for column in entry.get("columns") or []
                },
                file=where,
            )
    if not models:
        raise DataContractError("dbt/models describes no models: write their YAML, or call this in a checkout.")
    return models
