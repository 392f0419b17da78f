"""What the steward's page stands on: samples without persons, live tables against contracts, one command for all."""

import dataclasses
import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake import Field as DeltaField
from deltalake.schema import PrimitiveType
from typer.testing import CliRunner

from data_contracts import load_contract
from data_contracts.emit.fixtures import to_message, valid_rows
from data_contracts.policy import load_policy
from infra.governance.cli import app
from infra.governance.contract_state import contract_states, promised_hours
from infra.governance.quarantine_samples import PER_RULE, judged_fields, sample
from infra.lake.commit import create_lake
from infra.lake.ingest import ingest_feed
from infra.runtime.settings import Settings
from tests.governance.conftest import CANARY, DAY, land, lists

pytestmark = pytest.mark.slow

LIST = load_contract("ecommerce.list")


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("samples"))
    rows = lists(12)
    rows[0]["agent_code"] = "X"
    rows[1]["total_value"] = "-5.00"
    rows[2]["buyer_id"] = ""
    rows[3]["agent_code"] = CANARY["id"]
    rows[4] |= {"agent_code": "Y", "list_no": CANARY["phone"]}
    rows[5]["agent_code"] = "Z" * 200
    path = land(settings, "ecommerce.list", rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{CANARY['name']},{CANARY['id']},too,few\n")
    header, item = (load_contract(f"declarations.declaration{end}") for end in ("", "_item"))
    message = to_message(header, valid_rows(header, 1)[0])
    message["items"] = [to_message(item, row)["items"][0] for row in valid_rows(item, 2)]
    message["items"][1]["gNo"] = "2"
    message["itemCount"] = "2"
    name = dict(_item_fields())["customs_value"].removeprefix("items[].")
    message["items"][1][name] = "N/A"
    target = settings.landing / "declarations" / DAY.isoformat() / "a.jsonl"
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(message) + "\n")
    for feed in ("ecommerce_list", "declarations"):
        ingest_feed(feed, settings=settings)
    return settings


def _item_fields() -> tuple:
    from data_contracts import load_layouts

    layout = next(one for one in load_layouts().values() if one.format == "jsonl" and one.feed == "declarations")
    return layout.table("declarations.declaration_item").fields


def found(settings: Settings, rule: str, contract: str = "ecommerce.list") -> list[dict]:
    return [row for row in sample(load_contract(contract), settings) if row["rule_id"] == rule]


def test_the_steward_sees_what_came_in_fields_the_policy_shows_her(broken):
    (row,) = found(broken, "total_value.range")
    assert row["shown_values"] == "total_value = -5.00"
    assert (row["withheld"], row["field_grade"], row["source_line"]) == (None, "L3", 2)
    assert row["source_file"].endswith("a.csv")
    assert row["row_key"]


def test_a_value_in_a_nested_record_is_that_of_its_element(broken):
    (row,) = found(broken, "customs_value.type", "declarations.declaration_item")
    assert row["shown_values"] == "customs_value = N/A"
    assert row["row_key"].endswith(" [2]")


def test_personal_fields_are_never_shown_whatever_their_mask(broken):
    (row,) = found(broken, "buyer_id.required")
    assert row["shown_values"] is None
    assert row["withheld"] == "buyer_id: personal information"


def test_a_person_in_the_wrong_field_or_key_is_withheld_and_a_long_value_is_cut(broken):
    rows = {
        row["source_line"]: row for row in found(broken, "agent_code.checksum") + found(broken, "agent_code.length")
    }
    assert rows[1]["shown_values"] == "agent_code = X"
    assert rows[4]["shown_values"] is None
    assert rows[4]["withheld"] == "agent_code: it looks like personal information"
    assert rows[5]["row_key"] is None
    assert rows[6]["shown_values"] == "agent_code = " + "Z" * 40 + "…"


def test_a_broken_line_has_a_place_and_no_text(broken):
    (row,) = found(broken, "record.fields")
    assert (row["source_line"], row["shown_values"], row["withheld"]) == (13, None, "the line as a whole is broken")


def test_no_sample_holds_a_person(broken):
    text = json.dumps(sample(LIST, broken), default=str, ensure_ascii=False)
    assert CANARY["id"] not in text
    assert CANARY["phone"] not in text
    assert CANARY["name"] not in text


def test_the_policy_decides_and_not_the_code(broken):
    policy = load_policy()
    stricter = dataclasses.replace(policy, forms={**policy.forms, "L2": {**policy.forms["L2"], "steward": "absent"}})
    rows = [row for row in sample(LIST, broken, stricter) if row["failing_fields"] == "agent_code"]
    assert rows
    assert all(row["shown_values"] is None and row["row_key"] is None for row in rows)
    assert {row["withheld"] for row in rows} == {"agent_code: grade L2"}


def test_a_rule_over_several_fields_names_them_all():
    names = [f.name for f in judged_fields(LIST, "business_date.day_of_declared_at")]
    assert names == ["business_date", "declared_at"]


def test_few_samples_per_rule(tmp_path):
    settings = Settings(home=tmp_path)
    rows = lists(12)
    for row in rows:
        row["total_value"] = "-1"
    land(settings, "ecommerce.list", rows)
    ingest_feed("ecommerce_list", settings=settings)
    assert [row["sample_number"] for row in found(settings, "total_value.range")] == list(range(1, PER_RULE + 1))


def test_one_command_writes_all_and_again_the_same(broken):
    create_lake(broken)
    runner = CliRunner(env={"CUSTOMS_HOME": str(broken.home)})
    from infra.runtime.settings import get_settings

    get_settings.cache_clear()
    try:
        figures = [json.loads(runner.invoke(app, ["governance", "refresh", "--json"]).stdout) for _ in range(2)]
    finally:
        get_settings.cache_clear()
    assert figures[0]["audit"] == "ok"
    assert figures[0]["drifted"] == 0
    assert figures[0]["quarantine_samples"] == figures[1]["quarantine_samples"] > 5
    table = DeltaTable(str(broken.silver("governance.quarantine_sample"))).to_pyarrow_table()
    assert table.num_rows == figures[1]["quarantine_samples"]
    states = DeltaTable(str(broken.silver("governance.contract_state"))).to_pyarrow_table().to_pylist()
    days = {row["state_date"] for row in states}
    assert len(states) == figures[0]["tables"] * len(days)


def test_a_table_changed_by_hand_and_one_that_is_missing_are_in_drift(tmp_path):
    settings = Settings(home=tmp_path)
    create_lake(settings, ["ecommerce.list"])
    DeltaTable(str(settings.silver("ecommerce.list"))).alter.add_columns(
        [DeltaField("note", PrimitiveType("string"), nullable=True)]
    )
    states = {row["contract_id"]: row for row in contract_states(settings)}
    changed = states["ecommerce.list"]
    assert (changed["is_in_step"], changed["columns_unknown"], changed["columns_missing"]) == (False, 1, 0)
    assert "note" in changed["differences"]
    assert changed["live_version"] == LIST.version
    assert "customs lake init" in states["ecommerce.order"]["differences"]


def test_the_age_of_data_is_that_of_its_newest_rows(broken):
    states = {row["contract_id"]: row for row in contract_states(broken)}
    arrived = states["ecommerce.list"]["last_arrival_at"]
    assert abs((datetime.now(UTC) - arrived).total_seconds()) < 3600
    assert states["ecommerce.list"]["row_count"] == 6
    assert states["ecommerce.payment"].get("last_arrival_at") is None


@pytest.mark.parametrize(
    ("frequency", "latency", "hours"), [("1d", 24, 48), ("1w", 24, 192), ("1d", None, None), (None, 24, None)]
)
def test_a_promise_is_rhythm_and_latency(frequency, latency, hours):
    assert promised_hours(dataclasses.replace(LIST, frequency=frequency, latency_hours=latency)) == hours


def test_samples_fit_their_contract(broken):
    from data_contracts.emit.delta import arrow_schema

    schema = arrow_schema(load_contract("governance.quarantine_sample"))
    assert pa.Table.from_pylist(sample(LIST, broken), schema=schema).num_rows
