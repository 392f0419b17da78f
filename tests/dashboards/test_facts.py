import json
from datetime import date

import duckdb
import pytest

from dashboards.facts import read_facts
from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


def serve(settings, rows):
    settings.serving.mkdir(parents=True)
    for role in ("manager", "analyst"):
        with duckdb.connect(str(settings.serving / f"{role}.duckdb")) as connection:
            connection.execute("CREATE SCHEMA mart")
            connection.execute(
                "CREATE TABLE mart.rpt_data_day "
                "(subject VARCHAR, source_system VARCHAR, first_day DATE, last_day DATE, records BIGINT)"
            )
            if rows:
                connection.executemany("INSERT INTO mart.rpt_data_day VALUES (?, ?, ?, ?, ?)", rows)
            connection.execute(
                "CREATE TABLE mart.published AS SELECT unnest(['rpt_clearance', 'rpt_data_day']) dataset, "
                f"unnest([0, {len(rows)}]) records"
            )
            connection.execute(
                "CREATE TABLE mart.rpt_target AS SELECT * FROM (VALUES "
                "('old', DATE '2020-01-01', DATE '2025-01-01', 0.5::DOUBLE), ('new', DATE '2025-01-01', NULL, 0.9)) "
                "t(indicator, valid_from, valid_to, target_value)"
            )
            connection.execute(
                "CREATE TABLE mart.rpt_revenue_monthly AS SELECT 'single_window' source_system, 'CNY' value_currency, "
                "9 declarations UNION ALL SELECT 'kcs', 'KRW', 90"
            )


def test_the_larger_source_opens_the_dashboards(settings, specs, models):
    serve(
        settings,
        [
            ("declarations", "single_window", date(2025, 5, 20), date(2026, 11, 20), 900),
            ("ecommerce", "single_window", date(2025, 6, 1), date(2026, 11, 19), 2000),
            ("declarations", "kcs", date(2020, 1, 1), date(2021, 6, 30), 1000),
            ("inspections", "single_window", None, None, 0),
        ],
    )
    facts = read_facts(settings, specs.load(), models)
    assert (facts.source, facts.currency) == ("single_window", "CNY")
    assert facts.days == {
        "declarations": (date(2025, 5, 20), date(2026, 11, 20)),
        "ecommerce": (date(2025, 6, 1), date(2026, 11, 19)),
    }
    assert facts.targets == {"new": 0.9}


def test_a_folder_with_only_old_data_has_the_targets_of_then(settings, specs, models):
    serve(settings, [("declarations", "kcs", date(2020, 1, 1), date(2021, 6, 30), 1000)])
    facts = read_facts(settings, specs.load(), models)
    assert (facts.source, facts.currency, facts.targets) == ("kcs", "KRW", {"old": 0.5})


def test_nothing_fed_in_yet_is_no_error(settings, specs, models):
    serve(settings, [])
    facts = read_facts(settings, specs.load(), models)
    assert (facts.source, facts.days) == (None, {})
    assert facts.empty == {"rpt_clearance", "rpt_data_day"}


def test_a_new_file_has_a_new_version(settings, specs, models):
    serve(settings, [])
    before = read_facts(settings, specs.load(), models).version
    (settings.serving / "manager.duckdb").touch()
    assert read_facts(settings, specs.load(), models).version != before


def test_a_missing_serving_file_names_the_command(settings, specs, models):
    with pytest.raises(BadArgumentsError, match=r"manager\.duckdb.* run `customs serving publish` first"):
        read_facts(settings, specs.load(), models)


@pytest.mark.parametrize(("status", "certified"), [("pass", True), ("warn", True), ("fail", False), ("skipped", False)])
def test_a_check_on_what_a_model_is_made_of_decides_its_standing(settings, specs, models, status, certified):
    serve(settings, [])
    mart, serving, test = "model.customs.mart", "model.customs.rpt_clearance", "test.customs.unique_mart"
    settings.dbt_target.mkdir(parents=True)
    manifest = {
        "metadata": {"generated_at": "2026-11-20T22:00:00.123456Z"},
        "nodes": {
            mart: {"resource_type": "model", "name": "mart"},
            serving: {"resource_type": "model", "name": "rpt_clearance"},
            test: {"resource_type": "test", "name": "unique_mart", "depends_on": {"nodes": [mart]}},
        },
        "parent_map": {serving: [mart], mart: ["source.customs.silver"], test: [mart]},
    }
    (settings.dbt_target / "manifest.json").write_text(json.dumps(manifest))
    results = settings.dbt_target.parent / "results"
    results.mkdir()
    (results / "marts.json").write_text(json.dumps({mart: ("success", "", 0), test: (status, "", 0)}))
    standing = read_facts(settings, specs.load(), models).standing["rpt_clearance"]
    assert standing.certified is certified
    assert ("unique_mart" in standing.details) is not certified
    # the day of the office, which is ahead of UTC
    assert ("2026-11-21" in standing.details) is certified
