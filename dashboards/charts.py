"""What a chart of a spec becomes in Superset: its ``params`` (drawing) and its query (data).

The shapes below were seen working in Superset 6.1; the comments name the traps.
"""

import json
from functools import singledispatch
from typing import Any

from dashboards.specification import (
    Categories,
    Chart,
    Condition,
    Dataset,
    Figure,
    Grain,
    Heatmap,
    LineAndBars,
    Listing,
    Number,
    Scorecard,
    Series,
    Target,
    WorldMap,
)

SHADES = {"red": "#E57373", "amber": "#E3A008", "green": "#6FBF8B"}
# readable on the light and on the dark theme
_LINE_COLOR = {"r": 62, "g": 142, "b": 191, "a": 1}
_BUBBLE_COLOR = {"r": 227, "g": 160, "b": 8, "a": 1}
_TARGET_COLOR = "#C0392B"
_OPERATOR_IDS = {
    "==": "EQUALS",
    "!=": "NOT_EQUALS",
    ">": "GREATER_THAN",
    ">=": "GREATER_THAN_OR_EQUAL",
    "<": "LESS_THAN",
    "<=": "LESS_THAN_OR_EQUAL",
    "IN": "IN",
    "NOT IN": "NOT_IN",
    "IS NOT NULL": "IS_NOT_NULL",
}
_GRAIN_NAMES = {"P1D": "day", "P1W": "week", "P1M": "month"}
_GRAIN_FORMATS = {"P1D": "%d %b", "P1W": "%d %b %y", "P1M": "%b %y"}
_GRAIN_TOOLTIPS = {"P1D": "%d %b %Y", "P1W": "Week of %d %b %Y", "P1M": "%b %Y"}
# by name, so that a filter never reorders or recolours what is left
_SERIES_ORDER = {"sort_series_type": "name", "sort_series_ascending": True}
# without the empty columns Superset answers 400 where last year has no data
_LAST_YEAR = {"time_compare": ["1 year ago"], "comparison_type": "values", "show_empty_columns": True}
_SERIES_TYPES = {"bars": "echarts_timeseries_bar", "lines": "echarts_timeseries_line"}


def axis_format(metric_format: str) -> str:
    """Return the format of an axis for a metric's own format: whole percent unless it is tiny, short numbers."""
    if "%" in metric_format:
        return metric_format if metric_format == ".2%" else ".0%"
    # "~s" would write nine tenths as "900m"
    return ",.3~r" if metric_format == ",d" else metric_format


def params(chart: Chart, dataset: Dataset, targets: dict[str, float]) -> dict[str, Any]:
    """Return the chart's ``params``: what Explore would have saved.

    Args:
        chart: its spec.
        dataset: spec of the dataset it stands on.
        targets: indicator -> value in force; a target without a value draws no line.
    """
    drawing = _drawing(chart, dataset)
    if isinstance(chart, Scorecard):
        drawing["conditional_formatting"] = _shades(chart, targets)
    target = getattr(chart, "target", None)
    return {
        "extra_form_data": {},
        "annotation_layers": [_target_layer(target, targets[target.indicator])]
        if target is not None and target.indicator in targets
        else [],
        "adhoc_filters": _adhoc_filters(chart, dataset),
        # country and world maps turn categorical when a colour scheme is named
        **({} if isinstance(chart, WorldMap) else {"color_scheme": "customs"}),
        **drawing,
    }


def query(chart: Chart, dataset: Dataset, period: str) -> dict[str, Any]:
    """Return the chart's query as ``/api/v1/chart/data`` takes it, over ``<first day> : <day after the last>``."""
    filters: list[dict[str, Any]] = [
        {"col": condition.column, "op": condition.operator, "val": condition.value} for condition in chart.where
    ]
    if dataset.time and not chart.timeless:
        filters.append({"col": dataset.time, "op": "TEMPORAL_RANGE", "val": period})
    metrics = list(chart.metrics_used())
    if isinstance(chart, Listing):
        # an empty list of metrics would group the rows
        shown: dict[str, Any] = {"orderby": [[chart.sort_by, not chart.descending]]}
    else:
        shown = {"metrics": metrics, "orderby": [[metrics[0], False]]}
    return {
        "filters": filters,
        "extras": {"having": "", "where": ""},
        "applied_time_extras": {},
        "columns": _query_columns(chart, dataset),
        **shown,
        "annotation_layers": [],
        "row_limit": getattr(chart, "limit", 10000),
        "series_limit": 0,
        "order_desc": True,
        "url_params": {},
        "custom_params": {},
        "custom_form_data": {},
        "time_offsets": ["1 year ago"] if getattr(chart, "last_year", False) else [],
        "post_processing": [],
    }


def _query_columns(chart: Chart, dataset: Dataset) -> list[Any]:
    axis = {
        "columnType": "BASE_AXIS",
        "sqlExpression": dataset.time,
        "label": dataset.time,
        "expressionType": "SQL",
        "timeGrain": _grain(chart, dataset),
    }
    return [*([axis] if chart.over_time() else []), *chart.columns_shown()]


def _grain(chart: Chart, dataset: Dataset) -> Grain:
    return getattr(chart, "grain", None) or dataset.grain


def _adhoc_filters(chart: Chart, dataset: Dataset) -> list[dict[str, Any]]:
    # without the TEMPORAL_RANGE row the dashboard's period never reaches the chart
    follows = dataset.time and not chart.timeless
    rows = [_adhoc("TEMPORAL_RANGE", str(dataset.time), "No filter")] if follows else []
    return rows + [_condition(condition) for condition in chart.where]


def _adhoc(operator: str, subject: str, comparator: Any) -> dict[str, Any]:
    return {
        "clause": "WHERE",
        "expressionType": "SIMPLE",
        "operator": operator,
        "subject": subject,
        "comparator": comparator,
    }


def _condition(condition: Condition) -> dict[str, Any]:
    return {
        **_adhoc(condition.operator, condition.column, condition.value),
        "operatorId": _OPERATOR_IDS[condition.operator],
    }


def _target_layer(target: Target, value: float) -> dict[str, Any]:
    # Superset answers 400 when showMarkers is missing
    return {
        "name": target.name,
        "annotationType": "FORMULA",
        "value": f"{value:g}",
        "show": True,
        "showMarkers": False,
        "hideLine": False,
        "showLabel": False,
        "style": "dashed",
        "width": 2,
        "color": _TARGET_COLOR,
        "opacity": "",
        "sourceType": "",
        "overrides": {"time_range": None},
    }


def _format(dataset: Dataset, metric: str) -> str:
    return dataset.metrics[metric].format if metric in dataset.metrics else "SMART_NUMBER"


def _axis_titles(vertical: str, horizontal: str = "") -> dict[str, Any]:
    return {
        "x_axis_title": horizontal,
        "x_axis_title_margin": 30 if horizontal else 0,
        "y_axis_title": vertical,
        "y_axis_title_margin": 55,
        "y_axis_title_position": "Left",
    }


def _legend(shown: bool, orientation: str = "top") -> dict[str, Any]:
    return {"show_legend": shown, "legendType": "scroll", "legendOrientation": orientation}


def _shades(chart: Scorecard, targets: dict[str, float]) -> list[dict[str, Any]]:
    return [
        {
            "column": shade.metric,
            "operator": {">=": "≥", "<=": "≤"}.get(shade.operator, shade.operator),
            "targetValue": targets[shade.target],
            "colorScheme": SHADES[shade.color],
        }
        for shade in chart.shades
        if shade.target in targets
    ]


@singledispatch
def _drawing(chart: Chart, dataset: Dataset) -> dict[str, Any]:
    raise TypeError(f"no drawing for {type(chart).__name__}")


@_drawing.register
def _(chart: Number, dataset: Dataset) -> dict[str, Any]:
    return {
        "viz_type": "big_number",
        "metric": chart.metric,
        "x_axis": dataset.time,
        "time_grain_sqla": _grain(chart, dataset),
        "aggregation": "LAST_VALUE",
        "show_trend_line": True,
        "start_y_axis_at_zero": False,
        "compare_lag": 1,
        # the change of a rate is relative too: 8 % after 10 % shows -20 %
        "compare_suffix": f"relative to the {_GRAIN_NAMES[_grain(chart, dataset)]} before",
        "subtitle": f"{chart.note}, latest whole {_GRAIN_NAMES[_grain(chart, dataset)]}",
        "subtitle_font_size": 0.125,
        "subheader_font_size": 0.125,
        "header_font_size": 0.4,
        "y_axis_format": _format(dataset, chart.metric),
        "time_format": "%b %Y",
        "show_timestamp": False,
        "color_picker": _LINE_COLOR,
        "rolling_type": "None",
    }


@_drawing.register
def _(chart: Figure, dataset: Dataset) -> dict[str, Any]:
    alarm = {"column": chart.metric, "operator": ">", "targetValue": 0, "colorScheme": _TARGET_COLOR}
    return {
        "viz_type": "big_number_total",
        "metric": chart.metric,
        "subtitle": chart.note,
        "subtitle_font_size": 0.125,
        "header_font_size": 0.4,
        "y_axis_format": _format(dataset, chart.metric),
        "conditional_formatting": [alarm] if chart.alarm else [],
    }


@_drawing.register
def _(chart: Series, dataset: Dataset) -> dict[str, Any]:
    drawing: dict[str, Any] = {
        "viz_type": _SERIES_TYPES[chart.kind],
        "x_axis": dataset.time,
        "time_grain_sqla": _grain(chart, dataset),
        "metrics": list(chart.metrics),
        "groupby": [chart.series] if chart.series else [],
        **_legend(bool(chart.series) or len(chart.metrics) > 1 or chart.last_year or chart.target is not None),
        **_axis_titles(chart.axis),
        "y_axis_format": axis_format(_format(dataset, chart.metrics[0])),
        "x_axis_time_format": _GRAIN_FORMATS[_grain(chart, dataset)],
        "tooltipTimeFormat": _GRAIN_TOOLTIPS[_grain(chart, dataset)],
        **_SERIES_ORDER,
        "rich_tooltip": True,
        "showTooltipTotal": chart.stack,
        "truncateYAxis": False,
        "orientation": "vertical",
        "order_desc": True,
        "row_limit": 10000,
    }
    if chart.stack:
        drawing["stack"] = "Stack"
    if chart.kind == "lines":
        drawing |= {"seriesType": "line", "markerEnabled": True, "markerSize": 5}
    if chart.last_year:
        drawing |= _LAST_YEAR
    return drawing


@_drawing.register
def _(chart: Categories, dataset: Dataset) -> dict[str, Any]:
    by_value = chart.sort_by == "value"
    # the first category of a horizontal chart is at the bottom
    ascending = (chart.sort_by == "name") == chart.vertical
    return {
        "viz_type": "echarts_timeseries_bar",
        "x_axis": chart.x,
        "xAxisForceCategorical": True,
        "metrics": list(chart.metrics),
        "groupby": [chart.series] if chart.series else [],
        **({"stack": "Stack"} if chart.stack else {}),
        **_legend(bool(chart.series) or len(chart.metrics) > 1),
        # a horizontal chart swaps its axes, and their titles with them
        **_axis_titles(chart.axis),
        "y_axis_title_margin": 55 if chart.vertical else 30,
        "y_axis_format": _format(dataset, chart.metrics[0]),
        "show_value": chart.stack or not chart.series,
        "only_total": chart.stack,
        # bars of several series are sorted by their sum, not by a metric
        "x_axis_sort": ("sum" if by_value else "name") if chart.series else chart.metrics[0] if by_value else chart.x,
        "x_axis_sort_asc": ascending,
        **_SERIES_ORDER,
        "rich_tooltip": True,
        "truncateYAxis": False,
        "orientation": "vertical" if chart.vertical else "horizontal",
        "order_desc": True,
        "row_limit": chart.limit,
    }


@_drawing.register
def _(chart: LineAndBars, dataset: Dataset) -> dict[str, Any]:
    # the rate comes first: a target line is drawn on the first axis only
    return {
        "viz_type": "mixed_timeseries",
        "x_axis": chart.by or dataset.time,
        **({"xAxisForceCategorical": True} if chart.by else {"time_grain_sqla": _grain(chart, dataset)}),
        "metrics": [chart.line],
        "groupby": [],
        "seriesType": "line",
        "markerEnabled": True,
        "markerSize": 6,
        "yAxisIndex": 0,
        # a short stretch of the axis needs the decimals
        "y_axis_format": axis_format(_format(dataset, chart.line)) if chart.from_zero else _format(dataset, chart.line),
        **_axis_titles(chart.line_axis),
        **(_LAST_YEAR if chart.last_year else {}),
        "metrics_b": list(chart.metrics),
        "groupby_b": [],
        "adhoc_filters_b": _adhoc_filters(chart, dataset),
        "seriesTypeB": "bar",
        "opacityB": 0.4,
        "yAxisIndexB": 1,
        "y_axis_format_secondary": axis_format(_format(dataset, chart.metrics[0])),
        "yAxisTitleSecondary": chart.axis,
        **_legend(True, "bottom"),
        "truncateYAxis": not chart.from_zero,
        "y_axis_bounds": [0 if chart.from_zero else None, None],
        # bars always start at zero
        "y_axis_bounds_secondary": [0, None],
        "rich_tooltip": True,
        "x_axis_time_format": _GRAIN_FORMATS[_grain(chart, dataset)],
        "tooltipTimeFormat": _GRAIN_TOOLTIPS[_grain(chart, dataset)],
        "row_limit": 10000,
    }


@_drawing.register
def _(chart: Scorecard, dataset: Dataset) -> dict[str, Any]:
    return {
        "viz_type": "table",
        "query_mode": "aggregate",
        "groupby": list(chart.rows),
        "metrics": list(chart.metrics),
        "timeseries_limit_metric": chart.sort_by or chart.metrics[0],
        "order_desc": True,
        "row_limit": chart.limit,
        "page_length": 0,
        "server_pagination": False,
        "include_search": False,
        "show_cell_bars": False,
        "table_timestamp_format": "%Y-%m-%d",
        "column_config": {name: {"d3NumberFormat": _format(dataset, name)} for name in chart.metrics},
    }


@_drawing.register
def _(chart: Listing, dataset: Dataset) -> dict[str, Any]:
    return {
        "viz_type": "table",
        "query_mode": "raw",
        "all_columns": list(chart.columns),
        "order_by_cols": [json.dumps([chart.sort_by, not chart.descending])],
        "row_limit": chart.limit,
        "page_length": 0,
        "server_pagination": False,
        "include_search": chart.search,
        "show_cell_bars": False,
        "allow_render_html": True,
        "table_timestamp_format": "%Y-%m-%d %H:%M",
        # by the names columns of days and of measured hours have
        "column_config": {
            name: {"d3TimeFormat": "%Y-%m-%d"} for name in chart.columns if name.endswith(("_date", "_on", "_day"))
        }
        | {name: {"d3NumberFormat": ",.1f"} for name in chart.columns if "hours" in name or name == "measured"},
    }


@_drawing.register
def _(chart: WorldMap, dataset: Dataset) -> dict[str, Any]:
    return {
        "viz_type": "world_map",
        "entity": chart.country,
        "country_fieldtype": "cca2",
        "metric": chart.metric,
        "secondary_metric": chart.bubble,
        "show_bubbles": True,
        "max_bubble_size": "18",
        "color_by": "metric",
        "color_picker": _BUBBLE_COLOR,
        "linear_color_scheme": "customs_seq",
        "y_axis_format": _format(dataset, chart.metric),
        "row_limit": 300,
        "sort_by_metric": True,
    }


@_drawing.register
def _(chart: Heatmap, dataset: Dataset) -> dict[str, Any]:
    return {
        "viz_type": "heatmap_v2",
        "x_axis": chart.x,
        "groupby": chart.y,
        "metric": chart.metric,
        "linear_color_scheme": "customs_seq",
        "legend_type": "continuous",
        "normalize_across": "heatmap",
        "show_legend": False,
        "show_values": False,
        "show_percentage": False,
        "sort_x_axis": "alpha_asc",
        "sort_y_axis": "alpha_desc",
        # "auto" hides every second label
        "xscale_interval": 1,
        "yscale_interval": 1,
        "bottom_margin": 50,
        "left_margin": 75,
        "value_bounds": [None, None],
        "y_axis_format": _format(dataset, chart.metric),
        "row_limit": 10000,
    }
