"""Publish the dashboards: bundle, import, roles, accounts, rights; then ask Superset whether everything is there.

Everything goes over Superset's REST API: one import call in one transaction, with errors that name the object. The
command line of Superset costs ten CPU seconds a call and skips a broken dashboard silently.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import duckdb
import httpx

from dashboards import bundle, charts
from dashboards.access import ensure_roles, ensure_users
from dashboards.check import check
from dashboards.facts import known_indicators, read_facts
from dashboards.serving_models import load_serving_models
from dashboards.specification import AnyChart, Dataset, Specification, load_specification
from dashboards.superset_api import Superset, SupersetError
from infra.runtime import audit
from infra.runtime.errors import DataContractError
from infra.runtime.secrets import load_secrets
from infra.runtime.settings import Settings


@dataclass
class Published:
    """What is now in Superset: dashboard titles, number of charts, and those whose data set has no rows to show."""

    dashboards: list[str] = field(default_factory=list)
    charts: int = 0
    empty_charts: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    newest_day: str | None = None


def checked_specification() -> Specification:
    """Return the specs after the chain check.

    Raises:
        DataContractError: a broken link, with file and remedy.
    """
    specification = load_specification()
    problems = check(specification, load_serving_models(), known_indicators())
    if problems:
        raise DataContractError("\n".join(str(problem) for problem in problems))
    return specification


def publish(settings: Settings, say: Callable[[str], None] = lambda _: None) -> Published:
    """Publish every dashboard and assert through the API that each is there and each chart answers.

    Args:
        settings: the data folder whose serving files and Superset are used.
        say: receives one progress line per step.

    Raises:
        DataContractError: a spec is broken.
        BadArgumentsError: a serving file is missing, or Superset belongs to another data folder.
        TryAgainError: Superset is not up.
        SupersetError: Superset refused something, or a dashboard or chart is missing afterwards.
    """
    specification = checked_specification()
    facts = read_facts(settings, specification, load_serving_models())
    bundled = bundle.archive(bundle.build(specification, facts))
    passwords = load_secrets(settings).passwords
    with Superset(settings.superset_url, "admin", passwords["admin"]) as superset:
        say(f"Importing {len(specification.dashboards)} dashboards into {settings.superset_url}")
        superset.post("assets/import/", files={"bundle": ("bundle.zip", bundled, "application/zip")})
        say("Roles, accounts and rights")
        role_ids = ensure_roles(superset, specification)
        user_ids = ensure_users(superset, specification, role_ids)
        dashboard_ids = _grant(superset, specification, role_ids, user_ids)
        removed = _remove_leftovers(superset, specification)
        chart_ids = {row["uuid"]: row["id"] for row in superset.rows("chart/", ("id", "uuid"))}
        dataset_ids = {row["uuid"]: row["id"] for row in superset.rows("dataset/", ("id", "uuid"))}
    result = Published(
        dashboards=[dashboard.title for dashboard in specification.dashboards.values()],
        removed=removed,
        newest_day=max((last.isoformat() for _, last in facts.days.values()), default=None),
    )
    # the eyes of those a page is made for: rights and data are proved in one go
    for reader in dict.fromkeys(dashboard.roles[0] for dashboard in specification.dashboards.values()):
        with Superset(settings.superset_url, reader, passwords[reader]) as superset:
            for dashboard in specification.dashboards.values():
                if dashboard.roles[0] != reader:
                    continue
                say(f"Charts of {dashboard.slug}")
                for chart in dashboard.charts():
                    dataset = specification.datasets[chart.dataset]
                    rows = _ask(
                        superset,
                        chart,
                        dataset,
                        bundle.period(dashboard, facts),
                        dashboard_id=dashboard_ids[dashboard.slug],
                        chart_id=_known(chart_ids, "chart", f"{dashboard.slug}/{chart.id}"),
                        dataset_id=_known(dataset_ids, "dataset", chart.dataset),
                    )
                    if not rows and _has_rows(chart, dataset, bundle.period(dashboard, facts), facts):
                        raise SupersetError(
                            f"Chart {chart.id} of {dashboard.slug} shows nothing although {dataset.model} has rows for "
                            "it: run `customs dashboards publish` again; if it stays, look at superset.log in the logs "
                            "folder."
                        )
                    result.charts += 1
                    if not rows:
                        result.empty_charts.append(f"{dashboard.slug}/{chart.id}")
    detail = {
        "dashboards": sorted(dashboard_ids),
        "charts": result.charts,
        "bundle_sha256": sha256(bundled).hexdigest(),
    }
    audit.record("dashboards.published", "system:dashboards", "superset", detail, settings=settings)
    return result


def _known(ids: dict[str, int], kind: str, name: str) -> int:
    uuid = str(bundle.identify(kind, name))
    if uuid not in ids:
        raise SupersetError(f"The import left out {kind} {name}: publish again; its spec is in dashboards/.")
    return ids[uuid]


def _grant(
    superset: Superset, specification: Specification, role_ids: dict[str, int], user_ids: dict[str, int]
) -> dict[str, int]:
    known = {row["slug"]: row["id"] for row in superset.rows("dashboard/", ("id", "slug"))}
    missing = specification.dashboards.keys() - known.keys()
    if missing:
        raise SupersetError(
            f"The import left out {', '.join(sorted(missing))}: publish again; specs are in dashboards/."
        )
    owners = [user_ids["steward"]]
    for dashboard in specification.dashboards.values():
        current = superset.get(f"dashboard/{dashboard.slug}")["result"]
        roles = sorted(role_ids[name] for name in dashboard.roles)
        if (
            sorted(entry["id"] for entry in current["roles"]) != roles
            or sorted(entry["id"] for entry in current["owners"]) != owners
        ):
            superset.put(f"dashboard/{known[dashboard.slug]}", {"roles": roles, "owners": owners})
    return {slug: known[slug] for slug in specification.dashboards}


def _remove_leftovers(superset: Superset, specification: Specification) -> list[str]:
    """Delete what an earlier publish made and no spec names any more; what people made themselves stays."""
    wanted = {str(bundle.identify("dashboard", slug)) for slug in specification.dashboards}
    wanted |= {str(bundle.identify("dataset", name)) for name in specification.datasets}
    wanted |= {
        str(bundle.identify("chart", f"{dashboard.slug}/{chart.id}"))
        for dashboard in specification.dashboards.values()
        for chart in dashboard.charts()
    }
    removed = []
    for kind, title in (("dashboard", "dashboard_title"), ("chart", "slice_name"), ("dataset", "table_name")):
        for row in superset.rows(f"{kind}/", ("id", "uuid", title)):
            if row["uuid"] in wanted:
                continue
            if superset.get(f"{kind}/{row['id']}")["result"].get("is_managed_externally"):
                superset.delete(f"{kind}/{row['id']}")
                removed.append(f"{kind} {row[title]}")
    return removed


def _ask(
    superset: Superset,
    chart: AnyChart,
    dataset: Dataset,
    period: tuple[Any, Any],
    *,
    dashboard_id: int,
    chart_id: int,
    dataset_id: int,
) -> list[dict[str, Any]]:
    query = charts.query(chart, dataset, f"{period[0].isoformat()} : {period[1].isoformat()}")
    answer = superset.status(
        "chart/data",
        {
            "datasource": {"id": dataset_id, "type": "table"},
            "force": False,
            "queries": [query],
            "form_data": {"dashboardId": dashboard_id, "slice_id": chart_id},
            "result_format": "json",
            "result_type": "full",
        },
    )
    if answer.status_code != httpx.codes.OK:
        raise SupersetError(f"Chart {chart.id} ({chart.title}) answered {answer.status_code}: {answer.text[:600]}")
    rows = answer.json()["result"][0]["data"]
    # an aggregate without GROUP BY answers one row of nulls where there is nothing
    return [row for row in rows if any(value is not None for value in row.values())]


def _has_rows(chart: AnyChart, dataset: Dataset, period: tuple[Any, Any], facts: bundle.Facts) -> bool:
    follows = dataset.time is not None and not chart.timeless
    terms = [f"{dataset.time} >= $1 AND {dataset.time} < $2"] if follows else []
    for condition in chart.where:
        if condition.operator == "IS NOT NULL":
            terms.append(f'"{condition.column}" IS NOT NULL')
        elif condition.operator in ("==", "!=") and not isinstance(condition.value, list):
            sign = "=" if condition.operator == "==" else "<>"
            terms.append(f"\"{condition.column}\" {sign} '{condition.value}'")
    where = f" WHERE {' AND '.join(terms)}" if terms else ""
    with duckdb.connect(str(facts.serving / f"{dataset.database}.duckdb"), read_only=True) as connection:
        found = connection.execute(
            f"SELECT 1 FROM {bundle.SCHEMA}.{dataset.model}{where} LIMIT 1",
            list(period) if follows else [],
        ).fetchone()
    return found is not None
