"""The chain dashboard → chart → dataset → dbt serving model → column, followed without a server."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dashboards.bundle import has_column
from dashboards.serving_models import Model
from dashboards.specification import (
    AnyChart,
    Dashboard,
    Dataset,
    Specification,
)

_TEMPORAL = ("DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")


@dataclass(frozen=True)
class Problem:
    """A broken link: the file to edit, what is wrong, what to do."""

    file: str
    fault: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.fault}; {self.remedy}."


def check(specification: Specification, models: dict[str, Model], indicators: frozenset[str]) -> list[Problem]:
    """Return every broken link, in reading order.

    Args:
        specification: the specs.
        models: dbt serving models by name.
        indicators: names that have a target in ``dbt/seeds/targets.csv``.
    """
    problems = list(_roles(specification))
    for name, dataset in specification.datasets.items():
        problems += _dataset(name, dataset, specification, models)
    for dashboard in specification.dashboards.values():
        problems += _dashboard(dashboard, specification, models, indicators)
    return problems


def _roles(specification: Specification) -> Iterator[Problem]:
    folder = specification.folder.name
    for role in specification.roles.values():
        for name in role.databases:
            if name not in specification.databases:
                yield Problem(
                    f"{folder}/roles.yaml",
                    f"role {role.name} may query {name}, which is no database",
                    f"use one of {_names(specification.databases)}",
                )
    for database in specification.databases.values():
        for reader in database.readers:
            if reader not in specification.roles:
                yield Problem(
                    f"{folder}/databases.yaml",
                    f"reader {reader} of {database.role} is no role",
                    f"use one of {_names(specification.roles)}",
                )


def _dataset(name: str, dataset: Dataset, specification: Specification, models: dict[str, Model]) -> Iterator[Problem]:
    file = specification.dataset_file(name)
    if dataset.database not in specification.databases:
        yield Problem(file, f"unknown database {dataset.database}", f"use one of {_names(specification.databases)}")
    model = models.get(dataset.model)
    if model is None:
        yield Problem(
            file,
            f"no dbt serving model {dataset.model}",
            "add it with its YAML under dbt/models/serving (or marts, for analysts) or correct the name",
        )
        return
    if dataset.database not in model.roles:
        yield Problem(
            file,
            f"{dataset.model} is not in the file of role {dataset.database} (meta roles in {model.file}: "
            f"{_names(model.roles) or 'none'})",
            "use a model of that role, or let its steward grant the role there",
        )
    columns = model.columns
    if dataset.time and dataset.time not in columns:
        yield _missing_column(file, "time", dataset.time, model)
    elif dataset.time and columns[dataset.time].type not in _TEMPORAL:
        yield Problem(
            file,
            f"time column {dataset.time} is {columns[dataset.time].type} in {model.file}",
            "name a DATE or TIMESTAMP column",
        )
    for labelled in dataset.labels:
        if labelled not in columns:
            yield _missing_column(file, f"label {labelled}", labelled, model)
    for column in columns.values():
        if not column.description:
            yield Problem(model.file, f"{model.name}.{column.name} has no description", "say what it means")
    for metric_name, metric in dataset.metrics.items():
        yield from _expression(file, f"metric {metric_name}", metric.sql, model, aggregate=True)
    for column_name, calculated in dataset.calculated.items():
        yield from _expression(file, f"calculated column {column_name}", calculated.sql, model, aggregate=False)
        if column_name in columns:
            yield Problem(file, f"calculated column {column_name} hides one of {model.file}", "give it another name")


def _expression(file: str, what: str, sql: str, model: Model, *, aggregate: bool) -> Iterator[Problem]:
    try:
        tree = sqlglot.parse_one(sql, dialect="duckdb")
    except SqlglotError as error:
        yield Problem(file, f"{what} is not valid DuckDB SQL ({str(error).splitlines()[0]})", "correct it")
        return
    for column in sorted({node.name for node in tree.find_all(exp.Column)} - model.columns.keys()):
        yield _missing_column(file, what, column, model)
    if (tree.find(exp.AggFunc) is not None) != aggregate:
        yield Problem(
            file,
            f"{what} {'has no aggregate' if aggregate else 'has an aggregate'}",
            "wrap it in SUM, COUNT, …" if aggregate else "make it a metric",
        )


def _dashboard(
    dashboard: Dashboard, specification: Specification, models: dict[str, Model], indicators: frozenset[str]
) -> Iterator[Problem]:
    file = specification.dashboard_file(dashboard.slug)
    for role in dashboard.roles:
        if role not in specification.roles:
            yield Problem(file, f"unknown role {role}", f"use one of {_names(specification.roles)}")
    for chart in dashboard.charts():
        yield from _chart(file, chart, dashboard, specification, models, indicators)
    datasets = [specification.datasets[c.dataset] for c in dashboard.charts() if c.dataset in specification.datasets]
    for name in dashboard.if_empty:
        if name not in {chart.dataset for chart in dashboard.charts()}:
            yield Problem(file, f"if_empty names {name}, which no chart of the page stands on", "remove it")
    for entry in dashboard.filters:
        target = specification.datasets.get(entry.dataset)
        if target is None:
            yield _missing_dataset(file, f"filter {entry.name}", entry.dataset, specification)
        elif not has_column(target, entry.column, models):
            yield Problem(
                file,
                f"filter {entry.name}: dataset {entry.dataset} has no column {entry.column}",
                f"use a column of {target.model} in dbt/models/serving",
            )
        elif not any(has_column(dataset, entry.column, models) for dataset in datasets):
            yield Problem(
                file, f"filter {entry.name} narrows no chart of the page", "remove it or add a chart it narrows"
            )
        for spared in set(entry.spares) - {chart.id for chart in dashboard.charts()}:
            yield Problem(file, f"filter {entry.name} spares {spared}, which is no chart of the page", "remove it")


def _chart(
    file: str,
    chart: AnyChart,
    dashboard: Dashboard,
    specification: Specification,
    models: dict[str, Model],
    indicators: frozenset[str],
) -> Iterator[Problem]:
    dataset = specification.datasets.get(chart.dataset)
    if dataset is None:
        yield _missing_dataset(file, f"chart {chart.id}", chart.dataset, specification)
        return
    database = specification.databases.get(dataset.database)
    strangers = [role for role in dashboard.roles if database is not None and role not in database.readers]
    if strangers:
        yield Problem(
            file,
            f"chart {chart.id} stands on dataset {chart.dataset} of the {dataset.database} file, "
            f"which {_names(strangers)} may not read",
            f"use a dataset of a file {strangers[0]} reads: whoever sees a dashboard can ask for every column under it",
        )
    for metric in chart.metrics_used():
        if metric not in dataset.metrics:
            yield Problem(
                file,
                f"chart {chart.id}: no metric {metric} in {specification.dataset_file(chart.dataset)}",
                f"define it there, or use one of {_names(dataset.metrics)}",
            )
    if dataset.model in models:
        for column in chart.columns_used():
            if not has_column(dataset, column, models):
                yield Problem(
                    file,
                    f"chart {chart.id}: no column {column} in {dataset.model} ({models[dataset.model].file})",
                    "add it to the serving model or use another column",
                )
    if chart.over_time() and not dataset.time:
        yield Problem(
            file,
            f"chart {chart.id} is drawn over time, but dataset {chart.dataset} has no time column",
            f"set time: in {specification.dataset_file(chart.dataset)} or use another kind of chart",
        )
    for indicator in chart.targets_used():
        if indicator not in indicators:
            yield Problem(
                file,
                f"chart {chart.id}: no target for {indicator} in dbt/seeds/targets.csv",
                f"add a dated row there, or use one of {_names(indicators)}",
            )


def _missing_column(file: str, what: str, column: str, model: Model) -> Problem:
    return Problem(
        file,
        f"{what}: no column {column} in {model.name} ({model.file})",
        "add it to the serving model or correct the name",
    )


def _missing_dataset(file: str, what: str, dataset: str, specification: Specification) -> Problem:
    return Problem(
        file,
        f"{what}: no dataset {dataset}",
        f"add {specification.dataset_file(dataset)} or use one of {_names(specification.datasets)}",
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
