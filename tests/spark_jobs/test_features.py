from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from infra.lake.provenance import last_note
from infra.runtime.spark import CLASSES
from spark_jobs.features import FEATURE_SETS
from spark_jobs.features.build import build_features
from spark_jobs.features.enterprise_state import month_starts
from spark_jobs.features.provenance import provenance

pytestmark = pytest.mark.spark

CUT = date(2026, 6, 10)
KEYS = {"declaration_risk": ["declaration_no"], "enterprise_risk": ["trader_id", "snapshot_on"]}
# when a row of a table became known
KNOWN = {
    "declarations.declaration": "declared_on",
    "declarations.declaration_item": "declared_on",
    "declarations.declaration_event": "occurred_on",
    "inspections.inspection": "label_available_on",
    "inspections.selection": "decided_on",
    "enterprises.credit_event": "known_on",
    "enterprises.aeo_validation": "decided_on",
}


def features(settings, name):
    from deltalake import DeltaTable

    return DeltaTable(str(settings.features(name))).to_pandas()


def test_a_session_starts_from_the_classes_archived_at_set_up(spark):
    process = spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid()
    assert f" {CLASSES}\n" in Path(f"/proc/{process}/maps").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def cut_short(spark, lake):
    """The same lake as it was on the day of the cut: whatever became known later is deleted."""
    settings = lake.home()
    tables = lake.tables()
    tables = {n: t[t[KNOWN[n]] <= CUT].reset_index(drop=True) if n in KNOWN else t for n, t in tables.items()}
    lake.write_silver(settings, tables)
    build_features(spark, settings, CUT, ["declaration_risk", "enterprise_risk"])
    return settings


# a label may appear later; what describes the row may not change
LABELS = {
    "declaration_risk": {"is_violation", "severity", "recovered_duty", "label_available_on", "selected_by"},
    "enterprise_risk": {"months_to_violation", "months_observed"},
}


@pytest.mark.parametrize("name", ["declaration_risk", "enterprise_risk"])
def test_rows_that_came_later_change_no_feature(built, cut_short, name):
    before, after = features(cut_short, name), features(built, name)
    keys = KEYS[name]
    both = before.merge(after, on=keys, suffixes=("", " later"), how="inner")
    if name == "enterprise_risk":
        both = both[both["snapshot_on"] < CUT]
    assert len(both) == len(before if name == "declaration_risk" else before[before["snapshot_on"] < CUT]) > 500
    for column in set(before.columns) - set(keys) - LABELS[name] - {"as_of", "selection_prob"}:
        pd.testing.assert_series_equal(both[column], both[f"{column} later"], check_names=False, rtol=1e-9, obj=column)


def test_an_outcome_counts_from_the_day_after_it_became_known(built, lake):
    tables = lake.tables()
    declared = tables["declarations.declaration"][["declaration_no", "trader_id", "declared_on"]]
    known = tables["inspections.inspection"].merge(declared, on="declaration_no")
    known = known[known["label_available_on"] < lake.AS_OF]
    rows = features(built, "declaration_risk").set_index("declaration_no").loc[declared["declaration_no"]]
    groups = dict(list(known.groupby("trader_id")))
    empty = known.iloc[:0]
    expected = [
        groups.get(t, empty).loc[lambda k, day=d: k["label_available_on"] < day, "is_violation"].agg(["size", "sum"])
        for t, d in zip(declared["trader_id"], declared["declared_on"], strict=True)
    ]
    assert rows["trader_inspections"].tolist() == [float(e["size"]) for e in expected]
    assert rows["trader_violations"].tolist() == [float(e["sum"]) for e in expected]
    assert rows["trader_violations"].sum() > 0


def test_unknown_outcomes_give_no_label(built, lake):
    rows = features(built, "declaration_risk")
    labelled = rows[rows["is_violation"].notna()]
    assert (pd.to_datetime(labelled["label_available_on"]).dt.date < lake.AS_OF).all()
    late = lake.tables()["inspections.inspection"]
    late = late[late["label_available_on"] >= lake.AS_OF]
    assert len(late) > 0
    assert rows.set_index("declaration_no").loc[late["declaration_no"], "is_violation"].isna().all()


def test_an_unfinished_window_is_never_taken_for_a_clean_one(built, lake):
    rows = features(built, "enterprise_risk")
    start = pd.to_datetime(rows["snapshot_on"])
    complete = (lake.AS_OF.year - start.dt.year) * 12 + lake.AS_OF.month - start.dt.month
    assert (rows["months_observed"] <= complete).all()
    happened = rows["months_to_violation"].dropna()
    assert (happened <= rows.loc[happened.index, "months_observed"]).all()
    assert len(happened) > 100


def test_candidates_are_enterprises_that_are_no_operators_today(built, lake):
    rows = features(built, "aeo_candidate")
    candidates = rows[rows["validation_id"].isna()]
    assert set(candidates["snapshot_on"]) == {lake.AS_OF}
    assert (candidates["is_aeo"] == 0).all()
    decided = rows[rows["validation_id"].notna()]
    assert (pd.to_datetime(decided["decided_on"]) > pd.to_datetime(decided["snapshot_on"])).all()


def test_models_find_every_column_they_declare(built):
    from models.recipes import recipe_of

    for name in FEATURE_SETS:
        declared = recipe_of(name).features
        assert set(declared.columns) <= set(features(built, name).columns), name
        assert not set(declared.meta) & set(declared.numeric), "meta columns are never shown to the learner"


def test_empty_tables_give_empty_feature_sets(spark, lake):
    assert build_features(spark, lake.home(), lake.AS_OF) == dict.fromkeys(FEATURE_SETS, 0)


def test_a_day_built_twice_replaces_its_own_rows_and_no_others(spark, lake):
    from spark_jobs.features.build import _replace

    settings = lake.home()
    first = spark.createDataFrame([("a", 1.0), ("b", 2.0)], "trader_id string, x double")
    notes = {day: provenance(settings, day) for day in (date(2026, 1, 1), date(2026, 1, 2))}

    def replace(day, rows):
        return _replace(settings, "enterprise_risk", day, rows, notes[day])

    def is_built(day):
        return last_note(settings.features("enterprise_risk"), day) == notes[day]

    replace(date(2026, 1, 1), first)
    assert not is_built(date(2026, 1, 2))
    replace(date(2026, 1, 2), first)
    assert replace(date(2026, 1, 2), first.limit(1)) == 1
    assert is_built(date(2026, 1, 1))
    assert is_built(date(2026, 1, 2))
    assert features(settings, "enterprise_risk")["as_of"].value_counts().to_dict() == {
        date(2026, 1, 1): 2,
        date(2026, 1, 2): 1,
    }
    assert replace(date(2026, 1, 2), first.limit(0)) == 0
    assert not is_built(date(2026, 1, 2))
    # news in a table the features are made of: the day is built again
    lake.write_silver(settings, {"enterprises.credit_event": lake.tables()["enterprises.credit_event"]})
    assert provenance(settings, date(2026, 1, 1)) != notes[date(2026, 1, 1)]
    assert set(features(settings, "enterprise_risk")["as_of"]) == {date(2026, 1, 1)}


def test_snapshots_are_the_firsts_of_the_months_since_history_began():
    assert month_starts(date(2025, 11, 20), date(2026, 2, 1)) == [date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1)]
