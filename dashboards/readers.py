"""Roles as Superset serves them: what a person really gets there, for `customs governance report` to compare."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from dashboards.specification import load_specification
from dashboards.superset_api import Superset, SupersetError
from data_contracts.emit.sql import quote
from infra.governance.assurance.matrix import Reader, by_table
from infra.lake import serving
from infra.runtime.secrets import load_secrets
from infra.runtime.settings import Settings


@dataclass(frozen=True)
class Chart:
    """A chart on a dashboard, with the table behind it: what a person needs to ask for that table's data."""

    chart: int
    dashboard: int
    dataset: int
    table: str = ""
    database: str = ""


def charts_of(superset: Superset) -> list[Chart]:
    """Return the charts on the dashboards an account sees, as the account itself is told of them."""
    found = []
    for dashboard in superset.rows("dashboard/", ("id",)):
        datasets = superset.get(f"dashboard/{dashboard['id']}/datasets")["result"]
        tables = {one["id"]: (one["table_name"], one["database"]["name"]) for one in datasets}
        for chart in superset.get(f"dashboard/{dashboard['id']}/charts")["result"]:
            dataset = int(chart["form_data"]["datasource"].partition("__")[0])
            if dataset in tables:
                found.append(Chart(chart["id"], dashboard["id"], dataset, *tables[dataset]))
    return found


def chart_request(chart: Chart, result_format: str = "json", **query: Any) -> dict[str, Any]:
    """Return the body of ``POST chart/data`` for a question of one's own over the table of a chart."""
    asked = {"columns": [], "metrics": [], "filters": [], "extras": {}, "row_limit": 50_000, **query}
    return {
        "datasource": {"id": chart.dataset, "type": "table"},
        "force": True,
        "queries": [asked],
        "form_data": {"dashboardId": chart.dashboard, "slice_id": chart.chart},
        "result_format": result_format,
        "result_type": "full",
    }


def metric(sql: str, label: str) -> dict[str, str]:
    """Return an ad-hoc metric, as the chart builder sends it."""
    return {"expressionType": "SQL", "sqlExpression": sql, "label": label}


@dataclass
class SqlLabReader:
    """SQL Lab as an account: everything the connection shows can be listed and asked for."""

    superset: Superset
    database: int
    label: str = "SQL Lab"
    partial: bool = False
    _columns: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """List what the connection shows, once."""
        listed = "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE NOT internal"
        rows = self._run(listed)
        self._columns = by_table([(row["schema_name"], row["table_name"], row["column_name"]) for row in rows])

    def _run(self, sql: str) -> list[dict[str, Any]]:
        body = {"database_id": self.database, "sql": sql, "schema": serving.SCHEMA, "runAsync": False}
        answer = self.superset.status("sqllab/execute/", {**body, "queryLimit": 50_000})
        if answer.status_code != httpx.codes.OK:
            raise SupersetError(
                f"SQL Lab answered {answer.status_code} to {self.superset.account}: {answer.text[:600]}; "
                "its log is superset.log in the logs folder."
            )
        return answer.json()["data"]

    def tables(self) -> set[str]:
        """Return every table of the connection."""
        return set(self._columns)

    def columns(self, table: str, candidates: Iterable[str]) -> set[str]:
        """Return the columns of a table."""
        return self._columns[table]

    def ask(self, table: str, aggregates: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of SQL aggregates over a table."""
        if not aggregates:
            return {}
        # names of columns could be the same but for the case: the answer is read by number
        select = ", ".join(f"{sql} AS c{number}" for number, sql in enumerate(aggregates.values()))
        (row,) = self._run(f"SELECT {select} FROM {serving.SCHEMA}.{quote(table)}")
        return {label: row[f"c{number}"] for number, label in enumerate(aggregates)}


@dataclass
class ChartReader:
    """Chart data as an account without SQL: any expression over the tables of the charts it sees."""

    superset: Superset
    label: str = "chart data"
    partial: bool = True
    _charts: dict[str, Chart] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find one chart for every table."""
        self._charts = {chart.table: chart for chart in charts_of(self.superset)}

    def _answer(self, table: str, aggregates: Mapping[str, str]) -> httpx.Response:
        metrics = [metric(sql, label) for label, sql in aggregates.items()]
        return self.superset.status("chart/data", chart_request(self._charts[table], metrics=metrics, row_limit=1))

    def tables(self) -> set[str]:
        """Return the tables behind the charts."""
        return set(self._charts)

    def columns(self, table: str, candidates: Iterable[str]) -> set[str]:
        """Return which of the candidates answer; a column nobody knows of cannot be listed this way."""
        wanted = {name: f'COUNT("{name}")' for name in candidates}
        if self._answer(table, wanted).status_code == httpx.codes.OK:
            return set(wanted)
        return {name for name, sql in wanted.items() if self._answer(table, {name: sql}).status_code == httpx.codes.OK}

    def ask(self, table: str, aggregates: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of SQL aggregates over a table."""
        if not aggregates:
            return {}
        answer = self._answer(table, aggregates)
        if answer.status_code != httpx.codes.OK:
            raise SupersetError(
                f"Chart data of {table} answered {answer.status_code} to {self.superset.account}: {answer.text[:600]}; "
                "its log is superset.log in the logs folder."
            )
        return answer.json()["result"][0]["data"][0]


@contextmanager
def superset_readers(settings: Settings) -> Iterator["_Readers"]:
    """Sign in as every role's account; give the connections of a role through Superset.

    Raises:
        TryAgainError: Superset does not answer.
        BadArgumentsError: an account cannot sign in.
    """
    with ExitStack() as open_sessions:
        yield _Readers(settings, open_sessions)


class _Readers:
    def __init__(self, settings: Settings, open_sessions: ExitStack) -> None:
        self._passwords = load_secrets(settings).passwords
        self._url = settings.superset_url
        self._open = open_sessions
        # the first of all, so that a Superset that is down is told before anything is measured
        self._admin = self._session("admin")

    def _session(self, account: str) -> Superset:
        return self._open.enter_context(Superset(self._url, account, self._passwords[account]))

    def __call__(self, role: str, known: Mapping[str, Any]) -> Sequence[Reader]:
        about = load_specification().roles.get(role)
        if about is None or role not in self._passwords:
            raise SupersetError(f"Role {role} has a file and no account in Superset: add it to dashboards/roles.yaml.")
        superset = self._session(role)
        if not about.databases:
            return [ChartReader(superset)]
        databases = superset.rows("database/", ("id", "database_name"))
        if len(databases) != len(about.databases):
            names = ", ".join(one["database_name"] for one in databases) or "none"
            raise SupersetError(
                f"Account {role} sees the databases {names} in Superset, meant are the files of "
                f"{', '.join(about.databases)}: run `customs dashboards publish`."
            )
        return [SqlLabReader(superset, one["id"]) for one in databases]
