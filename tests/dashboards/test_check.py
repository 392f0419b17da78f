from dataclasses import replace

import duckdb
import pytest

from dashboards.check import check
from dashboards.facts import known_indicators
from dashboards.publish import checked_specification
from dashboards.serving_models import load_serving_models


def faults(specs, models, indicators):
    return [str(problem) for problem in check(specs.load(), models, indicators)]


def test_every_link_of_our_own_dashboards_holds():
    specification = checked_specification()
    shown = {dataset.model for dataset in specification.datasets.values()}
    assert shown <= load_serving_models().keys()
    assert "hit_rate" in known_indicators()


def test_every_metric_of_our_own_answers_on_an_empty_table():
    specification, models = checked_specification(), load_serving_models()
    with duckdb.connect() as connection:
        for model in models.values():
            columns = ", ".join(f'"{column.name}" {column.type}' for column in model.columns.values())
            connection.execute(f"CREATE TABLE {model.name} ({columns})")
        for dataset in specification.datasets.values():
            shown = [*(metric.sql for metric in dataset.metrics.values()), "COUNT(*)"]
            assert connection.execute(f"SELECT {', '.join(shown)} FROM {dataset.model}").fetchone()[-1] == 0
            for column in dataset.calculated.values():
                assert connection.execute(f"SELECT {column.sql} FROM {dataset.model}").fetchall() == []


def test_sound_specs_have_no_faults(specs, models, indicators):
    assert faults(specs, models, indicators) == []


def test_a_missing_column_names_dashboard_model_and_remedy(specs, models, indicators):
    specs.chart("offices")["rows"] = ["office"]
    (fault,) = faults(specs, models, indicators)
    assert fault == (
        "dashboards/clearance.yaml: chart offices: no column office in rpt_clearance "
        "(dbt/models/serving/clearance.yml); add it to the serving model or use another column."
    )


def test_a_column_dropped_from_the_model_breaks_metric_and_filter(specs, models, indicators):
    columns = dict(models["rpt_clearance"].columns)
    del columns["released_within_24h"], columns["source_system"]
    models["rpt_clearance"] = replace(models["rpt_clearance"], columns=columns)
    found = faults(specs, models, indicators)
    assert len(found) == 2
    assert "metric share: no column released_within_24h" in found[0]
    assert "filter Source: dataset clearance has no column source_system" in found[1]


def test_a_calculated_column_counts_as_a_column(specs, models, indicators):
    specs.chart("offices")["rows"] = ["short_office"]
    assert faults(specs, models, indicators) == []


def test_a_filter_spares_charts_of_its_page_only(specs, models, indicators):
    specs.dashboard["filters"][1]["spares"] = ["offices", "nothing"]
    assert faults(specs, models, indicators) == [
        "dashboards/clearance.yaml: filter Office spares nothing, which is no chart of the page; remove it."
    ]


def test_a_page_of_analysts_may_stand_on_a_mart_and_one_of_managers_not(specs, models, indicators):
    specs.datasets["clearance"] |= {"database": "analyst", "model": "fct_declaration"}
    (fault,) = {fault for fault in faults(specs, models, indicators) if "manager" in fault and "offices" in fault}
    assert "of the analyst file, which manager may not read" in fault
    specs.dashboard["roles"] = ["analyst"]
    assert not [fault for fault in faults(specs, models, indicators) if "may not read" in fault]


def test_two_datasets_of_ours_never_stand_on_one_table():
    """Superset knows a table of a connection once: the second dataset would take the place of the first."""
    found = [(dataset.database, dataset.model) for dataset in checked_specification().datasets.values()]
    assert sorted(found) == sorted(set(found))


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("SUM(declarationz)", "no column declarationz in rpt_clearance"),
        ("SUM(declarations", "is not valid DuckDB SQL"),
        ("declarations * 2", "metric share has no aggregate"),
    ],
)
def test_the_sql_of_a_metric_is_read(specs, models, indicators, sql, fault):
    specs.datasets["clearance"]["metrics"]["share"]["sql"] = sql
    (found,) = faults(specs, models, indicators)
    assert found.startswith("dashboards/datasets/clearance.yaml: metric share")
    assert fault in found


def test_a_missing_metric_dataset_and_target_are_named(specs, models, indicators):
    specs.chart("count")["metric"] = "releases"
    specs.chart("offices")["shades"][0]["target"] = "speed"
    specs.chart("promise")["dataset"] = "clearing"
    found = faults(specs, models, indicators)
    assert "chart count: no metric releases in dashboards/datasets/clearance.yaml" in found[0]
    assert "chart offices: no target for speed in dbt/seeds/targets.csv" in found[1]
    assert "chart promise: no dataset clearing" in found[2]


def test_a_missing_serving_model_is_named(specs, models, indicators):
    specs.datasets["clearance"]["model"] = "rpt_clearing"
    assert "no dbt serving model rpt_clearing" in faults(specs, models, indicators)[0]


def test_a_manager_dashboard_cannot_stand_on_the_analyst_file(specs, models, indicators):
    specs.datasets["clearance"]["database"] = "analyst"
    found = faults(specs, models, indicators)
    assert len(found) == 3
    assert all("of the analyst file, which manager may not read" in fault for fault in found)


def test_a_manager_dataset_cannot_stand_on_an_analyst_model(specs, models, indicators):
    models["rpt_clearance"] = replace(models["rpt_clearance"], roles=frozenset({"analyst"}))
    (fault,) = faults(specs, models, indicators)
    assert "rpt_clearance is not in the file of role manager" in fault


def test_a_list_can_only_be_sorted_by_a_column_there_is(specs, models, indicators):
    chart = specs.chart("offices")
    for key in ("rows", "metrics", "shades"):
        del chart[key]
    chart |= {"kind": "list", "columns": ["customs_office"], "sort_by": "office"}
    (fault,) = faults(specs, models, indicators)
    assert "chart offices: no column office in rpt_clearance" in fault


def test_a_sentence_for_a_dataset_no_chart_uses_is_a_fault(specs, models, indicators):
    specs.dashboard["if_empty"] = {"goods": "Nothing."}
    (fault,) = faults(specs, models, indicators)
    assert "if_empty names goods" in fault


def test_a_chart_over_time_needs_a_time_column(specs, models, indicators):
    del specs.datasets["clearance"]["time"]
    found = faults(specs, models, indicators)
    assert [fault.split(":")[1].split(" is ")[0] for fault in found] == [" chart count", " chart promise"]


def test_a_column_without_a_description_is_a_fault_of_the_model(specs, models, indicators):
    columns = dict(models["rpt_clearance"].columns)
    columns["duty"] = replace(columns["duty"], description="")
    models["rpt_clearance"] = replace(models["rpt_clearance"], columns=columns)
    (fault,) = faults(specs, models, indicators)
    assert fault.startswith("dbt/models/serving/clearance.yml: rpt_clearance.duty has no description")
