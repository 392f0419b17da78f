"""Facts of the moment for the bundle: what the serving files hold, and how the last build of the datasets ended."""

import csv
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from dashboards.bundle import SCHEMA, Facts, Standing
from dashboards.serving_models import Model
from dashboards.specification import Specification
from infra.lake.datasets import known_outcome
from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import REPOSITORY, Settings

TARGETS = REPOSITORY / "dbt" / "seeds" / "targets.csv"
_GOOD = ("pass", "success", "warn")
_DEFAULT_CURRENCY = "CNY"


def known_indicators(path: Path = TARGETS) -> frozenset[str]:
    """Return the indicators that have a target in the dbt seed."""
    with path.open(encoding="utf-8", newline="") as file:
        return frozenset(row["indicator"] for row in csv.DictReader(file))


def read_facts(settings: Settings, specification: Specification, models: dict[str, Model]) -> Facts:
    """Read the serving files and the last dbt results.

    Raises:
        BadArgumentsError: a role's serving file is missing.
    """
    files = {role: settings.serving / f"{role}.duckdb" for role in specification.databases}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise BadArgumentsError(f"No {', '.join(missing)}: run `customs serving publish` first.")
    source, days = _sources(files["manager"])
    newest = max((last for _, last in days.values()), default=None)
    with duckdb.connect(str(files["manager"]), read_only=True) as connection:
        targets = dict(
            connection.execute(
                f"""SELECT indicator, target_value FROM {SCHEMA}.rpt_target
                WHERE valid_from <= $1 AND (valid_to IS NULL OR valid_to > $1)""",
                [newest or date.max],
            ).fetchall()
        )
        currency = connection.execute(
            f"""SELECT value_currency FROM {SCHEMA}.rpt_revenue_monthly
            WHERE source_system = $1 AND value_currency IS NOT NULL
            GROUP BY 1 ORDER BY sum(declarations) DESC, 1 LIMIT 1""",
            [source],
        ).fetchone()
    return Facts(
        serving=settings.serving,
        models=models,
        standing=_standings(settings, models),
        source=source,
        currency=currency[0] if currency else _DEFAULT_CURRENCY,
        days=days,
        targets=targets,
        version="-".join(str(files[role].stat().st_mtime_ns) for role in sorted(files)),
        today=datetime.now(ZoneInfo(settings.office_time_zone)).date(),
        empty=frozenset(name for file in files.values() for name in _empty(file)),
    )


def _empty(file: Path) -> list[str]:
    with duckdb.connect(str(file), read_only=True) as connection:
        rows = connection.execute(f"SELECT dataset FROM {SCHEMA}.published WHERE records = 0").fetchall()
    return [name for (name,) in rows]


def _sources(file: Path) -> tuple[str | None, dict[str, tuple[date, date]]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        rows = connection.execute(
            f"""WITH known AS (
                SELECT * FROM {SCHEMA}.rpt_data_day WHERE records > 0 AND last_day IS NOT NULL
            ), largest AS (
                SELECT source_system FROM known GROUP BY 1 ORDER BY sum(records) DESC, 1 LIMIT 1
            )
            SELECT source_system, subject, first_day, last_day FROM known JOIN largest USING (source_system)"""
        ).fetchall()
    return (rows[0][0] if rows else None), {subject: (first, last) for _, subject, first, last in rows}


def _standings(settings: Settings, models: dict[str, Model]) -> dict[str, Standing]:
    """Judge every serving model by the last build of it and of all it is made of, tests included."""
    file = settings.dbt_target / "manifest.json"
    status = {node: result[0] for node, result in known_outcome(settings).nodes.items()}
    if not file.is_file() or not status:
        return {}
    manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    generated_at = datetime.fromisoformat(manifest["metadata"]["generated_at"])
    built_on = generated_at.astimezone(ZoneInfo(settings.office_time_zone)).date()
    tests: dict[str, list[str]] = {}
    for unique_id, node in manifest["nodes"].items():
        if node["resource_type"] == "test":
            for parent in node["depends_on"]["nodes"]:
                tests.setdefault(parent, []).append(unique_id)
    standings = {}
    for unique_id, node in manifest["nodes"].items():
        if node["resource_type"] != "model" or node["name"] not in models:
            continue
        lineage = _ancestors(unique_id, manifest["parent_map"])
        checks = {test for parent in lineage for test in tests.get(parent, ()) if test in status}
        bad = sorted(
            manifest["nodes"][name]["name"]
            for name in checks | (lineage & manifest["nodes"].keys() & status.keys())
            if status[name] not in _GOOD
        )
        if bad:
            standings[node["name"]] = Standing(f"Failed in the last build: {', '.join(bad[:3])}", certified=False)
        elif checks:
            standings[node["name"]] = Standing(
                f"Built {built_on}; all {len(checks)} checks on it and its sources passed", certified=True
            )
    return standings


def _ancestors(unique_id: str, parents: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [unique_id]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += parents.get(node, [])
    return found
