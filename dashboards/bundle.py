"""The import bundle of Superset, written from the specs and the facts of the moment; never committed.

Same specs and same facts give the same bytes: ids are ``uuid5`` of names, so publishing again updates in place.
"""

import io
import json
import zipfile
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import yaml

from dashboards import charts
from dashboards.serving_models import Model
from dashboards.specification import AnyChart, Dashboard, Database, Dataset, Filter, LineAndBars, Specification

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:smart-customs:dashboards")
_VERSION = "1.0.0"
SCHEMA = "mart"
_CACHE_SECONDS = 300
_LINE, _BARS, _LAST_YEAR = "#3E8EBF", "#8FA8B5", "#E3A008"
_INTRO_HEIGHT = 13
# works on the light and the dark theme: no fixed background, thin translucent borders
_CSS = """.dashboard .grid-container,.dashboard-content{background:transparent}
.dashboard-component-chart-holder{border:1px solid rgba(127,145,155,.28);border-radius:10px}
.dashboard-component-chart-holder{box-shadow:0 1px 3px rgba(6,41,58,.07)}
.dashboard-markdown h3{margin:0 0 4px}
"""
_TIME_TYPES = ("DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")


@dataclass(frozen=True)
class Standing:
    """How far a dataset can be trusted: certified by its owner, or a warning, never both."""

    details: str
    certified: bool


@dataclass(frozen=True)
class Facts:
    """What the bundle takes from the running platform.

    Attributes:
        serving: folder of the role files.
        models: dbt serving models by name.
        standing: result of the last build, by model.
        source: origin of the data the dashboards open with; figures of different origins are never added.
        currency: currency of that origin's amounts.
        days: oldest and newest business day of that origin, by subject; a subject without data is absent.
        targets: indicator -> value in force.
        version: stamp of the data; a new one makes Superset drop its cached answers.
        today: day of publishing; the period counts from it where there is no data at all.
        empty: models without any rows.
    """

    serving: Path
    models: dict[str, Model]
    standing: dict[str, Standing] = field(default_factory=dict)
    source: str | None = None
    currency: str = "CNY"
    days: dict[str, tuple[date, date]] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    version: str = ""
    today: date = date(2026, 1, 1)
    empty: frozenset[str] = frozenset()


def identify(kind: str, name: str) -> UUID:
    """Return the lasting id of an object, e.g. ``identify("chart", "clearance/released")``."""
    return uuid5(_NAMESPACE, f"{kind}/{name}")


def whole_months(oldest: date, newest: date, months: int) -> tuple[date, date] | None:
    """Return the last whole calendar months between two days as ``[start, end)``, or None when there are not two.

    A month is whole when both its first and its last day lie between them: half a month at an end looks like a fall.
    """
    end = (newest + timedelta(days=1)).replace(day=1)
    count = end.year * 12 + end.month - 1 - months
    start = max(date(count // 12, count % 12 + 1, 1), oldest)
    if start.day > 1:
        start = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    return (start, end) if (start + timedelta(days=32)) < end else None


def period(dashboard: Dashboard, facts: Facts) -> tuple[date, date]:
    """Return the period a dashboard opens with, ``[start, end)``.

    The last days up to today where the spec says so. Else whole months, counted from the newest day of its subject;
    with fewer than two, all its days. It is never empty: a comparison with last year is an error in Superset without a
    period.
    """
    if dashboard.subject is None:
        end = facts.today + timedelta(days=1)
        return end - timedelta(days=dashboard.period_days or 1), end
    oldest, newest = facts.days.get(dashboard.subject) or (facts.today - timedelta(days=730), facts.today)
    return whole_months(oldest, newest, dashboard.period_months) or (oldest, newest + timedelta(days=1))


def build(specification: Specification, facts: Facts) -> dict[str, str]:
    """Return the bundle: path inside it -> text.

    Args:
        specification: the specs, already checked.
        facts: columns, trust and days of the data to show.
    """
    files: dict[str, Any] = {"metadata.yaml": {"version": _VERSION, "type": "assets"}}
    for database in specification.databases.values():
        files[f"databases/{database.role}.yaml"] = _database(database, facts)
    for name, dataset in specification.datasets.items():
        files[f"datasets/{dataset.database}/{name}.yaml"] = _dataset(name, dataset, facts)
    chart_number = 1000
    for dashboard in specification.dashboards.values():
        numbers = {}
        for chart in dashboard.charts():
            numbers[chart.id] = chart_number
            chart_number += 1
            dataset = specification.datasets[chart.dataset]
            files[f"charts/{dashboard.slug}/{chart.id}.yaml"] = _chart(dashboard, chart, dataset, facts)
        files[f"dashboards/{dashboard.slug}.yaml"] = _dashboard(dashboard, numbers, specification, facts)
    return {path: yaml.safe_dump(files[path], sort_keys=False, allow_unicode=True, width=200) for path in sorted(files)}


def archive(files: dict[str, str]) -> bytes:
    """Return the bundle as the ZIP file Superset's REST import takes; same files give the same bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path, text in files.items():
            bundle.writestr(zipfile.ZipInfo(f"assets/{path}"), text)
    return target.getvalue()


def _fill(text: str | None, facts: Facts) -> str | None:
    return text.replace("{currency}", facts.currency) if text else text


def _database(database: Database, facts: Facts) -> dict[str, Any]:
    return {
        "database_name": database.name,
        "sqlalchemy_uri": f"duckdb:///{facts.serving.absolute() / database.role}.duckdb",
        "cache_timeout": _CACHE_SECONDS,
        "expose_in_sqllab": database.expose_in_sqllab,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        # an absent key would switch uploads on
        "allow_csv_upload": False,
        "impersonate_user": False,
        "extra": {
            "engine_params": {
                "connect_args": {
                    "read_only": True,
                    "config": {
                        "enable_external_access": False,
                        "lock_configuration": True,
                        "threads": 2,
                        "memory_limit": "1GB",
                    },
                }
            },
            "allows_virtual_table_explore": False,
            "schemas_allowed_for_csv_upload": [],
        },
        "uuid": str(identify("database", database.role)),
        "version": _VERSION,
        "is_managed_externally": True,
    }


def _dataset(name: str, dataset: Dataset, facts: Facts) -> dict[str, Any]:
    model = facts.models[dataset.model]
    standing = facts.standing.get(dataset.model)
    columns = [
        {
            "column_name": column.name,
            "verbose_name": label(dataset, column.name),
            "type": column.type,
            "is_dttm": column.type.upper() in _TIME_TYPES,
            "expression": None,
            "description": column.description,
        }
        for column in model.columns.values()
    ]
    columns += [
        {
            "column_name": column_name,
            "verbose_name": column.name,
            "type": "VARCHAR",
            "is_dttm": False,
            "expression": column.sql,
            "description": column.description,
        }
        for column_name, column in dataset.calculated.items()
    ]
    return {
        "table_name": dataset.model,
        "schema": SCHEMA,
        "catalog": None,
        "sql": None,
        "main_dttm_col": dataset.time,
        "description": model.description,
        "cache_timeout": _CACHE_SECONDS,
        "params": {"data_version": facts.version},
        "extra": {
            "certification": {"certified_by": dataset.owner, "details": standing.details}
            if standing and standing.certified
            else None,
            "warning_markdown": standing.details if standing and not standing.certified else None,
        },
        "filter_select_enabled": True,
        "uuid": str(identify("dataset", name)),
        "database_uuid": str(identify("database", dataset.database)),
        "version": _VERSION,
        "is_managed_externally": True,
        "columns": [{**column, "is_active": True, "groupby": True, "filterable": True} for column in columns],
        "metrics": [
            {
                "metric_name": metric_name,
                "verbose_name": _fill(metric.name, facts),
                "expression": metric.sql,
                "d3format": metric.format,
                "description": _fill(metric.description, facts),
            }
            for metric_name, metric in dataset.metrics.items()
        ],
    }


def label(dataset: Dataset, column: str) -> str:
    """Return the name people see for a column: the spec's label, else the column's own name in words."""
    words = column.replace("_", " ")
    return dataset.labels.get(column, words[:1].upper() + words[1:])


def _chart(dashboard: Dashboard, chart: AnyChart, dataset: Dataset, facts: Facts) -> dict[str, Any]:
    span = " : ".join(day.isoformat() for day in period(dashboard, facts))
    drawing = charts.params(chart, dataset, facts.targets)
    params = json.loads(json.dumps(drawing).replace("{currency}", facts.currency))
    standing = facts.standing.get(dataset.model)
    certified = standing is not None and standing.certified
    return {
        "slice_name": _fill(chart.title, facts),
        "description": _fill(chart.description, facts),
        "certified_by": dataset.owner if certified else None,
        "certification_details": standing.details if standing and certified else None,
        "viz_type": params["viz_type"],
        "params": params,
        # with a stored query the chart answers over REST too; the importer puts in the real dataset id
        "query_context": json.dumps(
            {
                "datasource": {"id": 0, "type": "table"},
                "force": False,
                "queries": [charts.query(chart, dataset, span)],
                "form_data": params,
                "result_format": "json",
                "result_type": "full",
            }
        ),
        "cache_timeout": None,
        "uuid": str(identify("chart", f"{dashboard.slug}/{chart.id}")),
        "version": _VERSION,
        "dataset_uuid": str(identify("dataset", chart.dataset)),
        "is_managed_externally": True,
    }


def _dashboard(
    dashboard: Dashboard, numbers: dict[str, int], specification: Specification, facts: Facts
) -> dict[str, Any]:
    used = {specification.datasets[chart.dataset].model for chart in dashboard.charts()}
    standings = [facts.standing.get(name) for name in sorted(used)]
    certified = all(standing is not None and standing.certified for standing in standings)
    return {
        "dashboard_title": dashboard.title,
        "description": dashboard.description,
        "slug": dashboard.slug,
        "css": _CSS,
        "certified_by": dashboard.owner if certified else None,
        "certification_details": "Every dataset passed its checks in the last build" if certified else None,
        "published": True,
        "uuid": str(identify("dashboard", dashboard.slug)),
        "version": _VERSION,
        "is_managed_externally": True,
        "position": _position(dashboard, numbers, specification, facts),
        "metadata": {
            # a colour scheme here would repaint the maps in categorical colours
            "color_scheme": "",
            "label_colors": _colors(dashboard, specification, facts),
            "shared_label_colors": [],
            "expanded_slices": {},
            "refresh_frequency": 0,
            "timed_refresh_immune_slices": [],
            "cross_filters_enabled": True,
            "chart_configuration": {},
            "global_chart_configuration": {
                "scope": {"rootPath": ["ROOT_ID"], "excluded": []},
                "chartsInScope": list(numbers.values()),
            },
            "filter_bar_orientation": "HORIZONTAL",
            "native_filter_configuration": [
                _period_filter(dashboard, facts),
                *(_filter(entry, dashboard, numbers, specification, facts) for entry in dashboard.filters),
            ],
        },
    }


def _colors(dashboard: Dashboard, specification: Specification, facts: Facts) -> dict[str, str]:
    """Return colours by label: rates in blue, the counts behind them in quiet grey, last year in amber."""
    colors: dict[str, str] = {}
    for chart in dashboard.charts():
        if isinstance(chart, LineAndBars):
            metrics = specification.datasets[chart.dataset].metrics
            # Superset looks a metric's colour up by its name or by what people see, depending on the chart
            for name, color in [*((name, _BARS) for name in chart.metrics), (chart.line, _LINE)]:
                colors |= {name: color, str(_fill(metrics[name].name, facts)): color}
    return colors | {"1 year ago": _LAST_YEAR} | dashboard.colors


def _period_filter(dashboard: Dashboard, facts: Facts) -> dict[str, Any]:
    chosen = " : ".join(day.isoformat() for day in period(dashboard, facts))
    return {
        "id": "NATIVE_FILTER-period",
        "type": "NATIVE_FILTER",
        "filterType": "filter_time",
        "name": "Period",
        "description": f"Business days; opens with the last {dashboard.period_days or 'whole months'}"
        + (" days" if dashboard.period_days else ""),
        "targets": [{}],
        "scope": {"rootPath": ["ROOT_ID"], "excluded": []},
        "controlValues": {"enableEmptyFilter": True},
        "cascadeParentIds": [],
        "defaultDataMask": {
            "extraFormData": {"time_range": chosen},
            "filterState": {"value": chosen},
            "ownState": {},
        },
    }


def _filter(
    entry: Filter, dashboard: Dashboard, numbers: dict[str, int], specification: Specification, facts: Facts
) -> dict[str, Any]:
    # figures of two origins must never be added, so this filter holds exactly one, from the start
    one = facts.source if entry.column == "source_system" else None
    return {
        "id": f"NATIVE_FILTER-{entry.column}",
        "type": "NATIVE_FILTER",
        "filterType": "filter_select",
        "name": entry.name,
        "description": "",
        "targets": [{"datasetUuid": str(identify("dataset", entry.dataset)), "column": {"name": entry.column}}],
        "scope": {
            "rootPath": ["ROOT_ID"],
            "excluded": [
                numbers[chart.id]
                for chart in dashboard.charts()
                if chart.id in entry.spares
                or not has_column(specification.datasets[chart.dataset], entry.column, facts.models)
            ],
        },
        # with it no chart asks before the filter has its first value
        "requiredFirst": entry.one,
        "controlValues": {
            "multiSelect": one is None and not entry.one,
            "enableEmptyFilter": one is not None or entry.one,
            "defaultToFirstItem": entry.one,
            "inverseSelection": False,
            # more values than a list is loaded with are searched for on the server
            "searchAllOptions": entry.one,
            "sortAscending": not entry.one,
        },
        "cascadeParentIds": [],
        "defaultDataMask": {
            "extraFormData": {"filters": [{"col": entry.column, "op": "IN", "val": [one]}]} if one else {},
            "filterState": {"value": [one], "label": one} if one else {},
            "ownState": {},
        },
    }


def has_column(dataset: Dataset, column: str, models: dict[str, Model]) -> bool:
    """Return whether a dataset has the column, from its dbt model or worked out."""
    return column in dataset.calculated or (dataset.model in models and column in models[dataset.model].columns)


def _intro(dashboard: Dashboard, specification: Specification, facts: Facts) -> str:
    intro = dashboard.intro.strip().replace("{currency}", facts.currency)
    models = {chart.dataset: specification.datasets[chart.dataset].model for chart in dashboard.charts()}
    if facts.empty.issuperset(models.values()):
        return f"{intro}\n\n**{dashboard.when_empty}**"
    said = " ".join(text for name, text in dashboard.if_empty.items() if models[name] in facts.empty)
    if dashboard.subject is None:
        return f"{intro} The page opens with the last {dashboard.period_days} days. {said}".rstrip()
    days = facts.days.get(dashboard.subject)
    if not days:
        return f"{intro}\n\n**{dashboard.when_empty}**"
    newest = days[1]
    state = f"Data up to **{newest.day} {newest:%B %Y}**"
    start, end = period(dashboard, facts)
    if start.day == 1 and (months := (end.year - start.year) * 12 + end.month - start.month) > 1:
        state += f"; the page opens with the last {months} whole months"
    return f"{intro} {state}. {said}".rstrip()


def _position(
    dashboard: Dashboard, numbers: dict[str, int], specification: Specification, facts: Facts
) -> dict[str, Any]:
    grid = ["ROOT_ID", "GRID_ID"]
    nodes: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["GRID_ID"]},
        "GRID_ID": {"id": "GRID_ID", "type": "GRID", "parents": ["ROOT_ID"], "children": ["ROW-intro"]},
        "HEADER_ID": {"id": "HEADER_ID", "type": "HEADER", "meta": {"text": dashboard.title}},
        "ROW-intro": _row("ROW-intro", ["MARKDOWN-intro"]),
        "MARKDOWN-intro": {
            "id": "MARKDOWN-intro",
            "type": "MARKDOWN",
            "parents": [*grid, "ROW-intro"],
            "children": [],
            "meta": {"code": _intro(dashboard, specification, facts), "width": 12, "height": _INTRO_HEIGHT},
        },
    }
    for index, row in enumerate(dashboard.rows, start=1):
        row_id = f"ROW-{index}"
        nodes["GRID_ID"]["children"].append(row_id)
        nodes[row_id] = _row(row_id, [f"CHART-{chart.id}" for chart in row.charts])
        for chart in row.charts:
            nodes[f"CHART-{chart.id}"] = {
                "id": f"CHART-{chart.id}",
                "type": "CHART",
                "parents": [*grid, row_id],
                "children": [],
                "meta": {
                    "uuid": str(identify("chart", f"{dashboard.slug}/{chart.id}")),
                    # without a number Superset's importer drops the dashboard
                    "chartId": numbers[chart.id],
                    "sliceName": _fill(chart.title, facts),
                    "width": chart.width,
                    "height": chart.height or row.height,
                },
            }
    return nodes


def _row(row_id: str, children: list[str]) -> dict[str, Any]:
    return {
        "id": row_id,
        "type": "ROW",
        "parents": ["ROOT_ID", "GRID_ID"],
        "children": children,
        "meta": {"background": "BACKGROUND_TRANSPARENT"},
    }
