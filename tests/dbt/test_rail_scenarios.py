"""The registry of scenarios claims nothing that is not there: tables, steps and emitters it names exist."""

import pytest

from data_contracts import load_contracts
from data_contracts.codes import code_list
from infra.runtime.settings import REPOSITORY

SCENARIOS = {code.code: code for code in code_list("reference.rail_scenario")}


def test_there_are_twenty_eight_scenarios_in_force():
    assert sorted(map(int, SCENARIOS)) == list(range(1, 29))
    assert all(code.valid_to is None for code in SCENARIOS.values())


@pytest.mark.parametrize("number", SCENARIOS)
def test_a_scenario_names_tables_and_steps_that_exist(number):
    scenario = SCENARIOS[number]
    marts = {path.stem for path in (REPOSITORY / "dbt" / "models" / "marts").rglob("*.sql")}
    known = marts | set(load_contracts())
    named = (scenario.attribute("coveredBy") or "").split()
    assert set(named) <= known, f"scenario {number} is said to be covered by tables that do not exist"
    steps = {code.code for code in code_list("reference.rail_step")}
    assert set((scenario.attribute("steps") or "").split()) <= steps
    # whoever claims coverage names a contract of a feed: a mart alone may be empty by construction
    assert not named or any("." in name for name in named)


def test_steps_carry_codes_of_the_three_standards_only():
    vocabulary = {
        "bizStep": "arriving departing loading unloading transporting inspecting sampling sensor_reporting holding "
        "accepting storing repackaging destroying entering_exiting",
        "disposition": "in_transit in_progress conformant non_conformant mismatch_quantity mismatch_instance "
        "container_open container_closed returned destroyed",
        "rec24": "1 8 10 12 16 17 18 24 27 28 29 31 35 39",
        "edifact7365": "1 2 4 5 6 7 8 9 10 15 16 17",
    }
    for step in code_list("reference.rail_step"):
        for name, words in vocabulary.items():
            assert (step.attribute(name) or "") in {"", *words.split()}, (step.code, name)
