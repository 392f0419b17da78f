"""The specs people edit: databases, roles, datasets and dashboards as compact YAML, loaded into strict models.

Every model refuses unknown keys, so a misspelled option is an error and never a silent default.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from infra.runtime.errors import DataContractError

ROOM = Path(__file__).resolve().parent
GRID_COLUMNS = 12


# day, week or month, as Superset writes them
Grain = Literal["P1D", "P1W", "P1M"]


class Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Database(Strict):
    """One read-only connection of Superset: the serving file of one role."""

    role: str
    name: str
    readers: tuple[str, ...]
    expose_in_sqllab: bool = False


class Role(Strict):
    """A role of Superset and its account; ``person`` is the name people see.

    ``permissions`` maps a view of Superset to the actions allowed on it; ``based_on`` names built-in roles whose
    permissions the role has too, but for those it goes ``without``; ``databases`` are the connections (by role) the
    role may query.
    """

    name: str
    person: str
    description: str
    based_on: tuple[str, ...] = ()
    without: dict[str, tuple[str, ...]] = {}
    databases: tuple[str, ...] = ()
    permissions: dict[str, tuple[str, ...]] = {}


class Metric(Strict):
    """A number of the semantic layer: one SQL aggregate with its name, format (d3) and meaning."""

    name: str
    sql: str
    format: str
    description: str
    unit: str | None = None


class Calculated(Strict):
    """A column worked out from others, for example a label that sorts right."""

    name: str
    sql: str
    description: str


class Dataset(Strict):
    """A table of a serving file as Superset sees it. Columns and their descriptions come from the dbt model.

    ``time`` is the column the dashboard's period applies to, ``grain`` how fine it is; a snapshot has no time.
    """

    database: str
    model: str
    owner: str
    time: str | None = None
    grain: Grain = "P1M"
    metrics: dict[str, Metric] = {}
    calculated: dict[str, Calculated] = {}
    labels: dict[str, str] = {}


class Condition(Strict):
    """A fixed filter of a chart: ``column operator value``."""

    column: str
    operator: Literal["==", "!=", ">", ">=", "<", "<=", "IN", "NOT IN", "IS NOT NULL"]
    value: bool | str | int | float | list[str | int | float] | None = None


class Target(Strict):
    """A horizontal line managers compare with: an indicator of the dbt model ``rpt_target``, which dates its values."""

    indicator: str
    name: str


class Chart(Strict):
    """What every chart has; the kinds below add what they show. ``timeless`` charts do not follow the period."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    dataset: str
    width: int = Field(ge=1, le=GRID_COLUMNS)
    height: int | None = None
    description: str | None = None
    where: tuple[Condition, ...] = ()
    timeless: bool = False

    def metrics_used(self) -> tuple[str, ...]:
        """Return the metrics the chart shows."""
        found = [getattr(self, key, None) for key in ("metric", "line")]
        found += [*getattr(self, "metrics", ()), getattr(self, "bubble", None)]
        return tuple(dict.fromkeys(name for name in found if name))

    def targets_used(self) -> tuple[str, ...]:
        """Return the indicators of ``rpt_target`` the chart compares with."""
        target = getattr(self, "target", None)
        return (*((target.indicator,) if target else ()), *(shade.target for shade in getattr(self, "shades", ())))

    def columns_shown(self) -> tuple[str, ...]:
        """Return the columns the chart groups by (the dataset's time column comes on top)."""
        found = [getattr(self, key, None) for key in ("by", "x", "y", "series", "country")]
        found += [*getattr(self, "rows", ()), *getattr(self, "columns", ())]
        return tuple(dict.fromkeys(name for name in found if name))

    def columns_used(self) -> tuple[str, ...]:
        """Return the columns the chart shows or filters by."""
        sorted_by = (self.sort_by,) if isinstance(self, Listing) else ()
        conditions = (condition.column for condition in self.where)
        return tuple(dict.fromkeys((*self.columns_shown(), *sorted_by, *conditions)))

    def over_time(self) -> bool:
        """Return whether the chart is drawn over the dataset's time column."""
        return hasattr(self, "grain") and not getattr(self, "by", None)


class Number(Chart):
    """One figure of the latest whole month or week, its change and its trend."""

    kind: Literal["number"]
    metric: str
    note: str
    grain: Grain | None = None


class Figure(Chart):
    """One figure as it stands now, red above zero when ``alarm`` is set."""

    kind: Literal["figure"]
    metric: str
    note: str
    alarm: bool = False


class Series(Chart):
    """Bars or lines over time."""

    kind: Literal["bars", "lines"]
    metrics: tuple[str, ...]
    series: str | None = None
    grain: Grain | None = None
    stack: bool = False
    axis: str
    target: Target | None = None
    last_year: bool = False


class Categories(Chart):
    """Bars by a category; horizontal by default, so that long names stay readable."""

    kind: Literal["categories"]
    x: str
    metrics: tuple[str, ...]
    series: str | None = None
    stack: bool = False
    axis: str
    vertical: bool = False
    sort_by: Literal["name", "name_descending", "value"] = "value"
    target: Target | None = None
    limit: int = 20


class LineAndBars(Chart):
    """A rate as a line, its counts as bars on an axis of their own: never a rate without its count."""

    kind: Literal["line_and_bars"]
    line: str
    metrics: tuple[str, ...]
    by: str | None = None
    grain: Grain | None = None
    line_axis: str
    axis: str
    target: Target | None = None
    last_year: bool = False
    from_zero: bool = True


class Shade(Strict):
    """A coloured cell in a table: where the metric lies on one side of an indicator's target."""

    metric: str
    operator: Literal[">", ">=", "<", "<="]
    target: str
    color: Literal["red", "amber", "green"]


class Scorecard(Chart):
    """Rows with several figures side by side."""

    kind: Literal["scorecard"]
    rows: tuple[str, ...]
    metrics: tuple[str, ...]
    shades: tuple[Shade, ...] = ()
    sort_by: str | None = None
    limit: int = 500


class Listing(Chart):
    """Rows as they are: a list to work off. Columns that hold a link (``<a href=…>``) are shown as one."""

    kind: Literal["list"]
    columns: tuple[str, ...]
    sort_by: str
    descending: bool = False
    search: bool = False
    limit: int = 200


class WorldMap(Chart):
    """Countries coloured by one figure, bubbles by another. ``country`` holds ISO 3166 alpha-2 codes."""

    kind: Literal["world"]
    country: str
    metric: str
    bubble: str


class Heatmap(Chart):
    """Two categories against each other."""

    kind: Literal["heatmap"]
    x: str
    y: str
    metric: str


AnyChart = Annotated[
    Number | Figure | Series | Categories | LineAndBars | Scorecard | Listing | WorldMap | Heatmap,
    Field(discriminator="kind"),
]


class Row(Strict):
    """Charts side by side; their widths add up to 12. Heights count in units of 8 pixels."""

    height: int
    charts: tuple[AnyChart, ...]

    @model_validator(mode="after")
    def _fills_the_grid(self) -> "Row":
        total = sum(chart.width for chart in self.charts)
        if total != GRID_COLUMNS:
            names = ", ".join(chart.id for chart in self.charts)
            raise ValueError(f"the row with {names} is {total} columns wide: make the widths add up to {GRID_COLUMNS}")
        return self


class Filter(Strict):
    """A filter of the dashboard: values of one column, for every chart whose dataset has that column.

    ``one`` lets people choose one value and opens with the last in order; charts named in ``spares`` are not narrowed.
    """

    column: str
    name: str
    dataset: str
    one: bool = False
    spares: tuple[str, ...] = ()


class Dashboard(Strict):
    """One page for one kind of reader: a question, an introduction, filters and rows of charts.

    It opens with the last whole months of its ``subject``, or with the last ``period_days`` up to today. Its first role
    is the one it is made for: published and drawn with that account's eyes. ``if_empty`` says for a dataset without any
    rows what that means and what to do.
    """

    title: str
    slug: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    subject: Literal["declarations", "ecommerce", "inspections", "enterprises", "rail"] | None = None
    description: str
    owner: str
    roles: tuple[str, ...]
    intro: str
    when_empty: str
    if_empty: dict[str, str] = {}
    period_months: int = Field(default=12, ge=1)
    period_days: int | None = Field(default=None, ge=1)
    filters: tuple[Filter, ...] = ()
    colors: dict[str, str] = {}
    rows: tuple[Row, ...]

    @field_validator("rows")
    @classmethod
    def _chart_ids_are_unique(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        ids = [chart.id for row in rows for chart in row.charts]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"chart ids used twice: {', '.join(twice)}; give each chart its own id")
        return rows

    @model_validator(mode="after")
    def _has_a_period(self) -> "Dashboard":
        if (self.subject is None) == (self.period_days is None):
            raise ValueError("give subject or period_days: one of them decides the days the page opens with")
        return self

    def charts(self) -> Iterator[AnyChart]:
        """Yield the charts in reading order."""
        for row in self.rows:
            yield from row.charts


@dataclass(frozen=True)
class Specification:
    """Everything under ``dashboards/`` that people edit, by name, and the file each part came from."""

    databases: dict[str, Database]
    roles: dict[str, Role]
    datasets: dict[str, Dataset]
    dashboards: dict[str, Dashboard]
    folder: Path

    def dataset_file(self, name: str) -> str:
        """Return the file of a dataset, as errors name it."""
        return f"{self.folder.name}/datasets/{name}.yaml"

    def dashboard_file(self, slug: str) -> str:
        """Return the file of a dashboard, as errors name it."""
        return f"{self.folder.name}/{slug}.yaml"


class _Databases(Strict):
    databases: tuple[Database, ...]


class _Roles(Strict):
    roles: tuple[Role, ...]


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DataContractError(f"{path.parent.name}/{path.name} is not readable YAML: {error}") from error


_Model = TypeVar("_Model", bound=BaseModel)


def _load(model: type[_Model], path: Path) -> _Model:
    try:
        return model.model_validate(_read(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise DataContractError(
            f"{path.parent.name}/{path.name}: {where}: {first['msg']}{more}; "
            f"the keys are those of dashboards/specification.py, class {model.__name__.strip('_')}."
        ) from error


def load_specification(folder: Path = ROOM) -> Specification:
    """Load and validate every spec of a folder laid out like ``dashboards/``.

    Raises:
        DataContractError: unreadable YAML, an unknown key, a value of the wrong kind; names the file and the place.
    """
    reserved = {"databases.yaml", "roles.yaml"}
    dashboards = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name in reserved:
            continue
        dashboard = _load(Dashboard, path)
        if dashboard.slug != path.stem:
            raise DataContractError(
                f"{folder.name}/{path.name}: slug is {dashboard.slug}; name the file after its slug."
            )
        dashboards[dashboard.slug] = dashboard
    return Specification(
        databases={entry.role: entry for entry in _load(_Databases, folder / "databases.yaml").databases},
        roles={entry.name: entry for entry in _load(_Roles, folder / "roles.yaml").roles},
        datasets={path.stem: _load(Dataset, path) for path in sorted((folder / "datasets").glob("*.yaml"))},
        dashboards=dashboards,
        folder=folder,
    )
