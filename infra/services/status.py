"""What `customs status` tells: services, feeds, datasets, models, dashboards, addresses; in a few seconds, always.

What only a server knows is kept in ``<home>/run/status.json`` when it was last seen, so it is still told while the
services are down.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from infra.runtime.errors import CustomsError, TryAgainError
from infra.runtime.secrets import load_secrets
from infra.runtime.settings import Settings
from infra.services import supervisor

SECONDS = 8.0
Status = dict[str, Any]


def feeds(settings: Settings) -> dict[str, dict[str, int]]:
    """Return feed to rows in, good and quarantined, as the lake's ledger has them."""
    # not at the top: nothing else here needs these heavy imports
    import duckdb
    from deltalake.exceptions import DeltaError

    from infra.lake.ledger import feed_totals

    try:
        totals = feed_totals(settings)
    except (duckdb.Error, DeltaError) as error:
        raise TryAgainError(f"The ledger of the lake could not be read: {error}") from error
    return {
        feed: {name: figures[name] for name in ("rows_in", "good", "quarantined")} for feed, figures in totals.items()
    }


def datasets(settings: Settings) -> dict[str, int]:
    """Return how many datasets dbt built, and how many of their tests passed and failed, over all selections."""
    from infra.lake.datasets import known_outcome

    return known_outcome(settings).counts


def models(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return registered model to version, alias and metrics of its champion (or, without one, its newest version)."""
    with httpx.Client(base_url=f"{settings.tracking_uri}/api/2.0/mlflow", timeout=SECONDS) as client:
        found = client.get("/registered-models/search", params={"max_results": 100}).raise_for_status().json()
        told = {}
        for model in found.get("registered_models", []):
            aliases = {alias["alias"]: alias["version"] for alias in model.get("aliases", [])}
            newest = max((int(v["version"]) for v in model.get("latest_versions", [])), default=None)
            alias = "champion" if "champion" in aliases else None
            version = aliases.get("champion", str(newest) if newest else None)
            if version is None:
                continue
            query = {"name": model["name"], "version": version}
            entry = client.get("/model-versions/get", params=query).raise_for_status().json()["model_version"]
            # training leaves the figures to show as a tag; the run holds all of them under longer names
            tags = {tag["key"]: tag["value"] for tag in entry.get("tags", [])}
            metrics = json.loads(tags.get("headline", "{}"))
            told[model["name"]] = {"version": version, "alias": alias, "metrics": metrics}
        return told


def dashboards(settings: Settings) -> list[str]:
    """Return the titles of the published dashboards."""
    account = {"username": "admin", "password": load_secrets(settings).passwords["admin"], "provider": "db"}
    with httpx.Client(base_url=f"{settings.superset_url}/api/v1", timeout=SECONDS) as client:
        token = client.post("/security/login", json=account).raise_for_status().json()["access_token"]
        listed = client.get(
            "/dashboard/",
            params={"q": "(columns:!(dashboard_title,published),page_size:100)"},
            headers={"Authorization": f"Bearer {token}"},
        ).raise_for_status()
        return sorted(d["dashboard_title"] for d in listed.json()["result"] if d.get("published", True))


def urls(settings: Settings) -> dict[str, str]:
    """Return name to address: the services, and the pages that were generated."""
    told = {
        "dashboards": f"{settings.superset_url}/dashboard/list/",
        "superset": settings.superset_url,
        "airflow": settings.airflow_url,
        "mlflow": settings.tracking_uri,
    }
    pages = {
        "quality_report": settings.home / "quality" / "data_docs" / "index.html",
        "dataset_docs": settings.dbt_target.parent / "docs" / "index.html",
    }
    return told | {name: page.as_uri() for name, page in pages.items() if page.is_file()}


def collect(settings: Settings) -> Status:
    """Return everything `customs status --json` prints.

    Keys: ``services`` (name to up or down), ``feeds``, ``datasets``, ``models``, ``dashboards``, ``urls``. A part whose
    source does not answer is told as it was last seen, or empty.
    """
    seen_file = settings.run / "status.json"
    seen: Status = json.loads(seen_file.read_text(encoding="utf-8")) if seen_file.is_file() else {}
    states = supervisor.states(settings)
    nothing: Status = {
        "feeds": {},
        "datasets": {"built": 0, "tests_passed": 0, "tests_failed": 0},
        "models": {},
        "dashboards": [],
    }
    sources: dict[str, Callable[[Settings], Any]] = {"feeds": feeds, "datasets": datasets}
    if states.get("mlflow") == "up":
        sources["models"] = models
    if states.get("superset") == "up":
        sources["dashboards"] = dashboards
    told: Status = {name: seen.get(name, empty) for name, empty in nothing.items()}
    with ThreadPoolExecutor(len(sources)) as pool:
        answers = {name: pool.submit(source, settings) for name, source in sources.items()}
        for name, answer in answers.items():
            try:
                told[name] = answer.result()
            except (httpx.HTTPError, OSError, ValueError, KeyError, CustomsError):
                continue
    if settings.run.is_dir():
        _remember(seen_file, told)
    return {"services": states, **told, "urls": urls(settings)}


def _remember(file: Path, told: Status) -> None:
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(told), encoding="utf-8")
    unfinished.replace(file)
