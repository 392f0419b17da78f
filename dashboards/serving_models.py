"""The dbt serving models as their YAML states them: columns, types, descriptions and the roles that may see them."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from infra.runtime.errors import DataContractError
from infra.runtime.settings import REPOSITORY

SERVING_FOLDER = REPOSITORY / "dbt" / "models" / "serving"


@dataclass(frozen=True)
class Column:
    """A column of a serving model: DuckDB type and description."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class Model:
    """A serving model: a table of the role files in ``roles``."""

    name: str
    description: str
    roles: frozenset[str]
    columns: dict[str, Column]
    file: str


def load_serving_models(folder: Path = SERVING_FOLDER) -> dict[str, Model]:
    """Return the serving models by name, read from the YAML beside their SQL.

    Raises:
        DataContractError: the folder has no models, or a file is not readable.
    """
    models: dict[str, Model] = {}
    for path in sorted([*folder.rglob("*.yml"), *folder.rglob("*.yaml")]):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise DataContractError(f"{path.name} in dbt/models/serving is not readable YAML: {error}") from error
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
                file=f"dbt/models/serving/{path.relative_to(folder)}",
            )
    if not models:
        raise DataContractError("dbt/models/serving describes no models: write their YAML, or call this in a checkout.")
    return models
