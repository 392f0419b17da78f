import json
from dataclasses import replace
from datetime import date

import pytest
import yaml

from dashboards import bundle
from dashboards.serving_models import load_serving_models
from dashboards.specification import load_specification


@pytest.fixture
def files(specs, facts):
    return {path: yaml.safe_load(text) for path, text in bundle.build(specs.load(), facts).items()}


def test_the_same_specs_and_facts_give_the_same_bytes(specs, facts):
    specification = specs.load()
    first, second = bundle.build(specification, facts), bundle.build(specification, facts)
    assert first == second
    assert bundle.archive(first) == bundle.archive(second)


def test_ids_last(files):
    # a changed id would orphan what is in Superset, its rights and people's bookmarks
    assert files["dashboards/clearance.yaml"]["uuid"] == "d294416a-d6e4-5196-92e9-1ecb51025239"


def test_every_chart_node_has_its_number_and_id(files):
    position = files["dashboards/clearance.yaml"]["position"]
    nodes = [node for node in position.values() if isinstance(node, dict) and node["type"] == "CHART"]
    assert [node["meta"]["chartId"] for node in nodes] == [1000, 1001, 1002]
    charts = {content["uuid"] for path, content in files.items() if path.startswith("charts/")}
    assert {node["meta"]["uuid"] for node in nodes} == charts
    for node in nodes:
        assert position[node["parents"][-1]]["children"].count(node["id"]) == 1


def test_the_period_reaches_every_chart(files):
    for path, content in files.items():
        if path.startswith("charts/"):
            assert content["params"]["adhoc_filters"][0] == {
                "clause": "WHERE",
                "expressionType": "SIMPLE",
                "operator": "TEMPORAL_RANGE",
                "subject": "business_date",
                "comparator": "No filter",
            }
    period = files["dashboards/clearance.yaml"]["metadata"]["native_filter_configuration"][0]
    assert period["defaultDataMask"]["extraFormData"] == {"time_range": "2025-11-01 : 2026-11-01"}


def test_a_timeless_chart_stands_whatever_the_period(specs, facts):
    specs.chart("offices")["timeless"] = True
    built = yaml.safe_load(bundle.build(specs.load(), facts)["charts/clearance/offices.yaml"])
    assert built["params"]["adhoc_filters"] == []
    (query,) = json.loads(built["query_context"])["queries"]
    assert query["filters"] == []


def test_the_stored_query_names_columns_metrics_and_period(files):
    (query,) = json.loads(files["charts/clearance/promise.yaml"]["query_context"])["queries"]
    assert query["metrics"] == ["share", "declarations"]
    assert query["columns"][0]["timeGrain"] == "P1M"
    assert query["time_offsets"] == ["1 year ago"]
    assert query["filters"] == [{"col": "business_date", "op": "TEMPORAL_RANGE", "val": "2025-11-01 : 2026-11-01"}]


def test_a_rate_has_its_target_its_counts_and_last_year(files):
    params = files["charts/clearance/promise.yaml"]["params"]
    (layer,) = params["annotation_layers"]
    assert (layer["value"], layer["showMarkers"]) == ("0.9", False)
    assert (params["metrics"], params["metrics_b"]) == (["share"], ["declarations"])
    # Superset answers 400 on a year without data when empty columns are dropped
    assert params["show_empty_columns"] is True


def test_a_target_not_in_force_draws_no_line_and_no_shade(specs, facts):
    built = bundle.build(specs.load(), replace(facts, targets={}))
    assert yaml.safe_load(built["charts/clearance/promise.yaml"])["params"]["annotation_layers"] == []
    assert yaml.safe_load(built["charts/clearance/offices.yaml"])["params"]["conditional_formatting"] == []


def test_the_source_filter_holds_exactly_one_origin_from_the_start(files):
    _, source, office = files["dashboards/clearance.yaml"]["metadata"]["native_filter_configuration"]
    assert source["controlValues"]["multiSelect"] is False
    assert source["controlValues"]["enableEmptyFilter"] is True
    assert source["defaultDataMask"]["extraFormData"]["filters"] == [
        {"col": "source_system", "op": "IN", "val": ["single_window"]}
    ]
    assert office["controlValues"]["multiSelect"] is True
    assert office["defaultDataMask"]["extraFormData"] == {}


def test_a_filter_of_one_opens_with_the_last_and_spares_the_list_it_is_chosen_from(specs, facts):
    specs.dashboard["filters"][1] |= {"one": True, "spares": ["offices"]}
    built = bundle.build(specs.load(), facts)
    office = yaml.safe_load(built["dashboards/clearance.yaml"])["metadata"]["native_filter_configuration"][2]
    chosen = office["controlValues"]
    assert (chosen["multiSelect"], chosen["defaultToFirstItem"], chosen["sortAscending"]) == (False, True, False)
    assert (chosen["enableEmptyFilter"], office["requiredFirst"]) == (True, True)
    assert 1001 in office["scope"]["excluded"]


def test_a_filter_leaves_out_charts_without_its_column(specs, facts, models):
    specs.datasets["totals"] = {
        **specs.datasets["clearance"],
        "model": "rpt_total",
        "calculated": {},
    }
    columns = {name: c for name, c in models["rpt_clearance"].columns.items() if name != "customs_office"}
    totals = replace(models["rpt_clearance"], name="rpt_total", columns=columns)
    specs.chart("count")["dataset"] = "totals"
    built = bundle.build(specs.load(), replace(facts, models={**models, "rpt_total": totals}))
    filters = yaml.safe_load(built["dashboards/clearance.yaml"])["metadata"]["native_filter_configuration"]
    assert [entry["scope"]["excluded"] for entry in filters] == [[], [], [1000]]


def test_connections_are_read_only_and_locked(files):
    manager, analyst = files["databases/manager.yaml"], files["databases/analyst.yaml"]
    assert manager["sqlalchemy_uri"] == "duckdb:////data/serving/manager.duckdb"
    assert (manager["expose_in_sqllab"], analyst["expose_in_sqllab"]) == (False, True)
    for database in (manager, analyst):
        arguments = database["extra"]["engine_params"]["connect_args"]
        assert arguments["read_only"] is True
        assert arguments["config"]["enable_external_access"] is False
        assert arguments["config"]["lock_configuration"] is True
        refused = ("allow_dml", "allow_ctas", "allow_cvas", "allow_csv_upload", "allow_run_async")
        assert [database[name] for name in refused] == [False] * 5


def test_columns_carry_the_descriptions_of_the_model(files):
    dataset = files["datasets/manager/clearance.yaml"]
    office = next(column for column in dataset["columns"] if column["column_name"] == "customs_office")
    assert (office["verbose_name"], office["description"]) == ("Customs office", "Meaning of customs_office")
    assert [column["column_name"] for column in dataset["columns"] if column["is_dttm"]] == ["business_date"]
    assert "Duty, CNY" in [metric["verbose_name"] for metric in dataset["metrics"]]


def test_a_failed_build_shows_as_a_warning_never_as_a_certificate(specs, facts, files):
    assert (
        files["datasets/manager/clearance.yaml"]["extra"]["certification"]["certified_by"] == "Clearance data steward"
    )
    assert files["dashboards/clearance.yaml"]["certified_by"] == "Clearance data steward"
    failed = replace(facts, standing={"rpt_clearance": bundle.Standing("Failed: not_null_office", certified=False)})
    built = bundle.build(specs.load(), failed)
    dataset = yaml.safe_load(built["datasets/manager/clearance.yaml"])
    assert dataset["extra"] == {"certification": None, "warning_markdown": "Failed: not_null_office"}
    assert yaml.safe_load(built["charts/clearance/count.yaml"])["certified_by"] is None
    assert yaml.safe_load(built["dashboards/clearance.yaml"])["certified_by"] is None


def test_a_page_without_data_says_so_and_still_has_a_period(specs, facts):
    built = bundle.build(specs.load(), replace(facts, days={}))
    dashboard = yaml.safe_load(built["dashboards/clearance.yaml"])
    assert "**Nothing yet.**" in dashboard["position"]["MARKDOWN-intro"]["meta"]["code"]
    period = dashboard["metadata"]["native_filter_configuration"][0]
    assert period["defaultDataMask"]["filterState"]["value"] == "2025-11-01 : 2026-11-01"


def test_the_railway_page_of_a_folder_without_rail_files_says_so(facts):
    specification = load_specification()
    own = replace(facts, models=load_serving_models(), empty=frozenset({"rpt_rail_lead_time"}))
    page = "dashboards/railway.yaml"

    def told(days):
        position = yaml.safe_load(bundle.build(specification, replace(own, days=days))[page])["position"]
        return position["MARKDOWN-intro"]["meta"]["code"]

    assert "No rail data has been fed in yet" in told(own.days)
    assert "No rail data" not in told({**own.days, "rail": own.days["declarations"]})


def test_a_page_of_the_last_days_ends_today(specs, facts):
    specs.dashboard |= {"subject": None, "period_days": 90}
    built = bundle.build(specs.load(), replace(facts, today=date(2026, 11, 21)))
    dashboard = yaml.safe_load(built["dashboards/clearance.yaml"])
    period = dashboard["metadata"]["native_filter_configuration"][0]
    assert period["defaultDataMask"]["filterState"]["value"] == "2026-08-24 : 2026-11-22"
    assert "The page opens with the last 90 days." in dashboard["position"]["MARKDOWN-intro"]["meta"]["code"]


def test_a_dataset_without_rows_says_what_that_means(specs, facts, models):
    specs.dashboard["if_empty"] = {"clearance": "**Nobody asked yet.**", "totals": "**No totals.**"}
    specs.datasets["totals"] = {**specs.datasets["clearance"], "model": "rpt_total"}
    specs.chart("count")["dataset"] = "totals"
    every = {**models, "rpt_total": replace(models["rpt_clearance"], name="rpt_total")}

    def told(empty):
        built = bundle.build(specs.load(), replace(facts, models=every, empty=frozenset(empty)))
        return yaml.safe_load(built["dashboards/clearance.yaml"])["position"]["MARKDOWN-intro"]["meta"]["code"]

    assert "No totals" not in told([])
    assert told(["rpt_total"]).endswith("**No totals.**")
    assert "Nobody asked" not in told(["rpt_total"])
    assert "**Nothing yet.**" in told(["rpt_total", "rpt_clearance"])


def test_a_list_shows_rows_with_links_and_asks_for_no_groups(specs, facts):
    specs.dashboard["rows"][0]["charts"][1] = {
        "id": "offices",
        "kind": "list",
        "title": "Which offices?",
        "dataset": "clearance",
        "columns": ["business_date", "short_office", "release_hours"],
        "sort_by": "duty",
        "descending": True,
        "width": 6,
    }
    built = yaml.safe_load(bundle.build(specs.load(), facts)["charts/clearance/offices.yaml"])
    assert built["params"]["allow_render_html"] is True
    assert built["params"]["order_by_cols"] == ['["duty", false]']
    assert built["params"]["column_config"] == {
        "business_date": {"d3TimeFormat": "%Y-%m-%d"},
        "release_hours": {"d3NumberFormat": ",.1f"},
    }
    (query,) = json.loads(built["query_context"])["queries"]
    assert "metrics" not in query
    assert (query["columns"], query["orderby"]) == (
        ["business_date", "short_office", "release_hours"],
        [["duty", False]],
    )


def test_a_figure_is_red_above_zero(specs, facts):
    figure = {"kind": "figure", "metric": "declarations", "note": "Now", "alarm": True}
    specs.dashboard["rows"][0]["charts"][0] = {**specs.chart("count"), **figure}
    built = yaml.safe_load(bundle.build(specs.load(), facts)["charts/clearance/count.yaml"])
    (alarm,) = built["params"]["conditional_formatting"]
    assert (built["viz_type"], alarm["operator"], alarm["targetValue"]) == ("big_number_total", ">", 0)


@pytest.mark.parametrize(
    ("oldest", "newest", "expected"),
    [
        (date(2024, 1, 1), date(2026, 11, 20), (date(2025, 11, 1), date(2026, 11, 1))),
        (date(2024, 1, 1), date(2026, 11, 30), (date(2025, 12, 1), date(2026, 12, 1))),
        (date(2026, 3, 15), date(2026, 11, 20), (date(2026, 4, 1), date(2026, 11, 1))),
        (date(2026, 3, 1), date(2026, 11, 20), (date(2026, 3, 1), date(2026, 11, 1))),
        (date(2026, 9, 21), date(2026, 11, 19), None),
        (date(2026, 12, 5), date(2026, 12, 20), None),
    ],
)
def test_whole_months_leave_out_half_ones(oldest, newest, expected):
    assert bundle.whole_months(oldest, newest, 12) == expected
