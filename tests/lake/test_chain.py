"""`customs chain`: trains as an analyst's file holds them, found by name or pass, and told in the audit log."""

import json

import duckdb
import pytest
import yaml
from typer.testing import CliRunner

from infra.lake import chain, chain_cli
from infra.lake.serving import role_file
from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import REPOSITORY, Settings

MARTS = REPOSITORY / "dbt" / "models" / "marts"
KNOWN = (MARTS / "rail" / "_rail__marts.yml", MARTS / "inspections" / "_special_goods__marts.yml")
TRAINS = [
    # pass, number, station, day, stay, abnormal wagons, alerts, manifest late, overdue
    ("20260429-75001", "20260430091500", "75001", "Khorgos", "2026-04-30", 17.0, 2, 4, True, 1),
    ("20260430-75003", "20260501091500", "75003", "Khorgos", "2026-05-01", 6.0, 0, 0, False, 0),
    ("20260430-75005", "20260501101500", "75005", "Erenhot", "2026-05-01", None, 0, 1, False, 0),
]


def put(connection, table: str, **row) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO mart.{table} ({names}) VALUES ({marks})", list(row.values()))


@pytest.fixture
def home(tmp_path) -> Settings:
    """An analysts' file with the columns the marts have, three trains, and everything about the first."""
    settings = Settings(home=tmp_path, duckdb_threads=1)
    path = role_file("analyst", settings)
    path.parent.mkdir(parents=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA mart")
        for model in [one for path in KNOWN for one in yaml.safe_load(path.read_text())["models"]]:
            columns = ", ".join(f"{column['name']} {column['data_type']}" for column in model["columns"])
            connection.execute(f"CREATE TABLE mart.{model['name']} ({columns})")
        for train_id, pass_id, number, station, day, stay, wagons, alerts, late, overdue in TRAINS:
            put(
                connection, "fct_rail_train", train_id=train_id, pass_id=pass_id, train_no=number, station=station,
                business_date=day, arrived_at=f"{day} {pass_id[8:10]}:15:00+08", port_stay_hours=stay, wagon_count=3,
                abnormal_wagons=wagons, alert_count=alerts, is_manifest_late=late, consignment_count=2,
                is_stay_over_target=None if stay is None else stay >= 16, overdue_consignments=overdue,
                goods_kind="minerals", dispatch_country="Kazakhstan",
            )  # fmt: skip
        first = {"train_id": TRAINS[0][0]}
        for note, step_no, step, at in (
            ("B1", 1, "Manifest sent", "2026-04-30 00:15:00+00"), ("B2", 1, "Manifest sent", "2026-04-30 00:15:00+00"),
            ("B1", 5, "Arrived", "2026-04-30 01:15:00+00"), ("B2", 12, "Released", "2026-04-30 02:45:00+00"),
            ("B1", 12, "Released", "2026-04-30 05:45:00+00"),
        ):  # fmt: skip
            put(connection, "fct_rail_milestone", waybill_no=note, step_no=step_no, step=step, reached_at=at, **first)
        for note in ("B1", "B2"):
            put(connection, "fct_rail_consignment", waybill_no=note, is_two_step=note == "B1", lane="Green", **first)
        for place, number, finding in ((1, "56650765", None), (2, "55655554", "Misread"), (3, None, "Unread")):
            put(
                connection, "fct_rail_wagon", position=place, wagon_no=number, findings=finding,
                is_abnormal=finding is not None, **first,
            )  # fmt: skip
        put(connection, "fct_rail_alert", severity="Check", title="Late", subject_id="B1", measured=1.5, **first)
        put(
            connection,
            "fct_special_goods_alert",
            severity="Severe",
            title="Pest",
            subject_id=f"{TRAINS[0][0]}/3",
            **first,
        )
        put(connection, "fct_time_limit", limit_kind="Complete declaration", subject_id="B1", late_days=3, **first)
        put(connection, "fct_time_limit", limit_kind="Complete declaration", subject_id="other", train_id="another")
    return settings


def test_trains_are_listed_newest_first_with_how_many_there_are(home):
    found, total = chain.trains(limit=2, settings=home)
    assert [one["train_id"] for one in found] == ["20260430-75005", "20260430-75003"]
    assert total == 3


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ({"station": "Khorgos"}, ["75003", "75001"]),
        ({"abnormal": True}, ["75005", "75001"]),
        ({"station": "Khorgos", "abnormal": True}, ["75001"]),
        ({"last": "2026-04-30"}, ["75001"]),
        ({"first": "2026-05-01"}, ["75005", "75003"]),
        ({"first": "2026-05-02"}, []),
    ],
)
def test_filters_narrow_the_list(home, given, numbers):
    assert [one["train_no"] for one in chain.trains(**given, settings=home)[0]] == numbers


@pytest.mark.parametrize("name", ["20260429-75001", "20260430091500"])
def test_one_train_is_found_by_name_or_pass_with_all_that_is_about_it(home, name):
    one = chain.train(name, home)
    assert one["train_no"] == "75001"
    steps = [(m["step_no"], m["consignments"], m["hours_since_previous"]) for m in one["milestones"]]
    assert steps == [(1, 2, None), (5, 1, 1.0), (12, 2, 1.5)]
    assert [(w["position"], w["findings"]) for w in one["wagons"]] == [(1, None), (2, "Misread"), (3, "Unread; Pest")]
    assert [a["title"] for a in one["alerts"]] == ["Pest", "Late"]
    assert [limit["subject_id"] for limit in one["time_limits"]] == ["B1"]
    assert [c["waybill_no"] for c in one["consignments"]] == ["B1", "B2"]


def test_a_train_about_which_nothing_else_is_known_is_shown_too(home):
    one = chain.train("20260430-75005", home)
    assert (one["milestones"], one["wagons"], one["alerts"], one["time_limits"]) == ([], [], [], [])


def test_an_unknown_train_names_the_nearest(home):
    with pytest.raises(BadArgumentsError, match="did you mean 20260430-75005, 20260430-75003, ") as refusal:
        chain.train("20260430-75004", home)
    assert refusal.value.exit_code == 2


def test_an_unknown_station_names_the_known_and_a_quiet_one_is_no_error(home):
    with pytest.raises(BadArgumentsError, match="use Erenhot, Khorgos"):
        chain.trains(station="Khorgas", settings=home)
    assert chain.trains(station="Erenhot", last="2026-04-30", settings=home) == ([], 0)


def test_without_a_published_file_the_remedy_is_named(tmp_path):
    with pytest.raises(BadArgumentsError, match="customs serving publish --role analyst"):
        chain.trains(settings=Settings(home=tmp_path))


def test_every_read_is_told_in_the_audit_log_with_what_was_asked_for(home):
    chain.train("20260429-75001", home)
    (event,) = audit.events(home)
    assert (event.event, event.subject, event.detail["rows"]) == ("query.run", "analyst.duckdb", 1)
    assert event.detail["values"] == {"train": "20260429-75001"}


@pytest.fixture
def run(home, monkeypatch):
    monkeypatch.setattr(chain_cli, "get_settings", lambda: home)

    def call(*words: str) -> str:
        done = CliRunner().invoke(chain_cli.app, list(words), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return call


def test_the_table_says_what_is_late_and_how_to_see_more(run):
    told = run("list", "--limit", "1", "--station", "Khorgos", "--abnormal")
    assert "manifest, port stay, complete declaration" in told
    assert "1 of 1 trains." in told
    assert "1 of 3 trains; --limit 3 shows all" in run("list", "--limit", "1")


def test_one_train_in_words_names_abnormal_wagons_only_unless_asked(run):
    told = run("show", "20260429-75001")
    assert "late: manifest, port stay, complete declaration" in told
    assert "Abnormal wagons, 2 of 3" in told
    assert "unread" in told
    assert "56650765" not in told
    assert "56650765" in run("show", "20260429-75001", "--wagons")


def test_json_is_the_whole_and_instants_are_utc(run):
    assert json.loads(run("list", "--json", "--limit", "1"))[0]["arrived_at"] == "2026-05-01T02:15:00+00:00"
    one = json.loads(run("show", "20260429-75001", "--json"))
    assert one["milestones"][-1]["first_at"] == "2026-04-30T02:45:00+00:00"
    assert len(one["wagons"]) == 3
