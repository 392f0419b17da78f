"""Which day `customs up` brings through, what it skips, and how it follows the chain of DAGs."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from infra.runtime.errors import BadArgumentsError, CustomsError
from infra.runtime.settings import REPOSITORY, Settings
from infra.services import day as days
from infra.services import flow, up
from infra.services.airflow_client import Task, readable


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def put(settings, feed, day, name="a.csv"):
    file = settings.landing / feed / day / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x")


def test_the_day_chosen_first_is_kept(settings):
    first = days.choose_day(settings, None, None, date(2026, 11, 20)).save(settings)
    assert days.choose_day(settings, None, None, None) == first
    assert first.size == "small"
    with pytest.raises(BadArgumentsError, match="holds the small day 2026-11-20"):
        days.choose_day(settings, None, None, date(2026, 11, 21))
    with pytest.raises(BadArgumentsError, match="CUSTOMS_HOME"):
        days.choose_day(settings, "full", None, None)


def test_a_new_day_is_the_last_complete_one_of_the_office(settings):
    chosen = date.fromisoformat(days.choose_day(settings, None, None, None).business_date)
    assert timedelta(0) < datetime.now(UTC).date() + timedelta(days=1) - chosen <= timedelta(days=2)


def test_code_lists_do_not_stretch_the_landed_days(settings):
    assert days.landed_days(settings) is None
    put(settings, "declarations", "2026-10-31")
    put(settings, "receipts", "2026-11-20")
    put(settings, "reference_country", "2026-11-25")
    assert days.landed_days(settings) == ("2026-10-31", "2026-11-20")


def test_own_files_have_a_data_folder_of_their_own(tmp_path):
    plain = Settings.model_construct(_fields_set=set(), home=tmp_path / "marked-active")
    assert days.home_for(plain, None) == REPOSITORY / "var"
    assert days.home_for(plain, tmp_path / "kcs") == REPOSITORY / "var" / "input" / "kcs"
    assert days.home_for(Settings(home=tmp_path / "h"), tmp_path / "kcs") == tmp_path / "h"


def test_a_folder_with_one_origin_does_not_take_another(settings, tmp_path):
    days.choose_day(settings, None, tmp_path / "kcs", None).save(settings)
    with pytest.raises(BadArgumentsError, match="holds the files of"):
        days.choose_day(settings, None, None, None)
    assert days.choose_day(settings, None, tmp_path / "kcs", None).source == str(tmp_path / "kcs")


def test_a_changed_file_makes_the_folder_new(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    before = days.folder_fingerprint(tmp_path)
    assert days.folder_fingerprint(tmp_path) == before
    (tmp_path / "a.csv").write_text("12")
    assert days.folder_fingerprint(tmp_path) != before


def test_landing_is_filled_once(settings, monkeypatch):
    called = []

    def pretend(_, *words):
        called.append(words)
        put(settings, "declarations", "2025-06-30")

    monkeypatch.setattr(up, "run_command", pretend)
    day = days.choose_day(settings, None, None, date(2026, 11, 20))
    assert not up.is_landed(day)
    day = up.fill_landing(settings, day)
    assert up.is_landed(day)
    assert (day.first_day, day.business_date) == ("2025-06-30", "2026-11-20")
    assert up.is_landed(days.read_day(settings))
    assert len(called) == 1


def test_the_stages_name_every_dag_of_the_repository():
    named = set(flow.ALL_DAGS) | set(flow.OTHER_DAGS)
    texts = " ".join(file.read_text(encoding="utf-8") for file in (REPOSITORY / "dags").glob("*.py"))
    for dag in named:
        domain = dag.removeprefix("ingest_")
        assert f'"{dag}"' in texts or (dag.startswith("ingest_") and f'"{domain}"' in texts), dag
    assert len(named) == 14


class FakeAirflow:
    """Answers like Airflow's API, a script of what it sees at each look."""

    def __init__(self, looks):
        self.looks = looks
        self.triggered = []
        self.cleared = []

    def runs(self, dags, day):
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return {run["dag_id"]: run for run in look if run["dag_id"] in dags}

    def tasks(self, runs):
        return [Task(run["dag_id"], run["dag_run_id"], f"do_{run['dag_id']}", run["state"], 1, 2.0) for run in runs]

    def task_log(self, task):
        return Path("/nowhere") / f"{task.name}.log"

    def trigger(self, dag, day, conf):
        self.triggered.append((dag, day, conf))

    def clear_failed(self, dag, run):
        self.cleared.append((dag, run))


BEGIN = datetime(2026, 11, 21, 6, tzinfo=UTC)


def run(dag, state, minute=1, name="r1"):
    moment = (BEGIN + timedelta(minutes=minute)).isoformat()
    return {"dag_id": dag, "dag_run_id": name, "state": state, "queued_at": moment, "start_date": moment}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(flow.time, "sleep", lambda _: None)


STAGE = flow.Stage("Score", ("score",), 1)


def test_a_stage_ends_when_its_runs_succeed():
    airflow = FakeAirflow([[], [run("score", "running")], [run("score", "success")]])
    follower = flow.Follower(airflow, "2026-11-20", BEGIN)
    assert list(follower.follow(STAGE)) == ["do_score  2 s"]


def test_a_run_of_an_earlier_attempt_does_not_count():
    old = run("score", "success", minute=-5, name="old")
    airflow = FakeAirflow([[old], [old], [run("score", "success", name="new")]])
    follower = flow.Follower(airflow, "2026-11-20", BEGIN)
    assert len(list(follower.follow(STAGE))) == 1
    assert airflow.looks == [[run("score", "success", name="new")]]


def test_a_failed_task_is_named_with_its_log():
    airflow = FakeAirflow([[run("score", "failed")]])
    with pytest.raises(CustomsError, match=r"Task score.do_score failed(.|\n)*/nowhere/do_score.log"):
        list(flow.Follower(airflow, "2026-11-20", BEGIN).follow(STAGE))


def test_a_stage_that_nothing_starts_is_named(monkeypatch):
    monkeypatch.setattr(flow, "QUIET_SECONDS", -1)
    with pytest.raises(CustomsError, match="score did not move"):
        list(flow.Follower(FakeAirflow([[]]), "2026-11-20", BEGIN).follow(STAGE))


def test_going_on_clears_what_failed_and_starts_what_is_missing():
    ingest = flow.STAGES[0]
    airflow = FakeAirflow([[run("ingest_enterprises", "failed"), run("ingest_ecommerce", "success")]])
    follower = flow.Follower(airflow, "2026-11-20", BEGIN)
    assert follower.resume_failed() == ["ingest_enterprises"]
    follower.trigger_missing(ingest, "2025-06-30")
    assert airflow.cleared == [("ingest_enterprises", "r1")]
    assert airflow.triggered == [
        (dag, "2026-11-20", {"from_day": "2025-06-30"})
        for dag in ("ingest_declarations", "ingest_inspections", "ingest_rail")
    ]


def test_a_tasks_log_reads_as_text_without_airflows_own_words(tmp_path):
    log = tmp_path / "attempt=1.log"
    log.write_text('{"event": "::group::Pre Execute"}\n{"event": "no such file: a.csv"}\nplain\n')
    assert readable(log, 5) == "no such file: a.csv\nplain"
    assert readable(tmp_path / "none", 5) == "(no log)"
