"""What the rooms do with data, models and secrets is told in the audit log, by ids, counts and hashes."""

import hashlib
from collections import namedtuple
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
import sqlalchemy as sa
from mlflow import MlflowClient

from infra.governance import accounts, airflow_events
from infra.lake import maintain, quality, serving
from infra.lake.pseudonym import create_keys
from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError
from infra.runtime.secrets import create_secrets


def told(settings):
    return [(e.event, e.subject, dict(e.detail)) for e in audit.events(settings)]


def test_secrets_and_keys_are_told_by_name_never_by_value(settings):
    made, _ = create_secrets(settings)
    create_secrets(settings)
    create_keys(["ecommerce_person"], settings)
    create_keys(["ecommerce_person"], settings)
    first, second = told(settings)
    assert first[:2] == ("secrets.made", "secrets.json")
    assert second == ("key.made", "pseudonym.json", {"purposes": ["ecommerce_person"]})
    text = "".join(path.read_text() for path in audit.audit_folder(settings).glob("*.jsonl"))
    for secret in (made.superset_secret_key, *made.passwords.values()):
        assert secret not in text


@pytest.fixture
def role_file(settings):
    settings.serving.mkdir(parents=True)
    with duckdb.connect(str(serving.role_file("analyst", settings))) as connection:
        connection.execute("CREATE SCHEMA mart; CREATE TABLE mart.fct AS SELECT range AS n FROM range(20)")
    return settings


def test_a_query_by_hand_is_told_with_hash_and_rows_and_a_refused_one_too(role_file):
    sql = "SELECT n FROM fct WHERE n > 2 OR 'L4 value' = ''"
    assert len(serving.query("analyst", sql, 5, role_file)[1]) == 5
    with pytest.raises(BadArgumentsError):
        serving.query("analyst", "SELECT * FROM read_text('/etc/hostname')", 5, role_file)
    ran, refused = told(role_file)
    assert ran[:2] == ("query.run", "analyst.duckdb")
    assert ran[2]["rows"] == 5
    assert ran[2]["statement_sha256"] == hashlib.sha256(sql.encode()).hexdigest()
    assert (refused[0], refused[2]["rows"]) == ("query.refused", 0)
    assert "L4 value" not in str(told(role_file))


def test_originals_that_reached_their_age_are_told_when_they_go(settings, monkeypatch):
    batch = namedtuple("Batch", "feed batch_id tables ingested_at")
    long_ago = datetime.now(UTC) - timedelta(days=20_000)
    old = batch("declarations", "b1", ["declarations.declaration"], long_ago)
    monkeypatch.setattr(maintain, "manifests", lambda _: [old])
    settings.raw("declarations").joinpath("b1").mkdir(parents=True)
    for _ in range(2):
        maintain._remove_expired_originals(settings, lambda _: None)
    assert told(settings) == [("raw.purged", "declarations", {"batch": "b1"})]


def test_a_gate_that_closes_is_told_with_the_datasets(settings, monkeypatch):
    def result(dataset, severity, passed):
        expectation = quality._all_rows("rows", 1, 2, severity, "words", "completeness")
        return quality.Result(dataset, expectation, 0.0, passed)

    outcomes = [result("a", "error", False), result("b", "warning", False), result("c", "error", True)]
    monkeypatch.setitem(quality.MEASURES, "silver", lambda *_: [])
    monkeypatch.setattr(quality, "record", lambda *_: "")
    monkeypatch.setattr(quality, "judge", lambda *_: outcomes)
    quality.run_gate("silver", settings)
    ((event, gate, detail),) = told(settings)
    assert (event, gate, detail["datasets"], detail["expectations"]) == ("quality.gate_failed", "silver", ["a"], 1)
    outcomes[:] = [result("c", "error", True)]
    quality.run_gate("silver", settings)
    assert len(told(settings)) == 1


def test_a_new_champion_is_told_with_the_one_before(settings, tmp_path):
    from models import registry

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri, uri)
    client.create_registered_model("m")
    run = client.create_run(client.create_experiment("m", artifact_location=str(tmp_path))).info.run_id
    for _ in range(2):
        version = client.create_model_version("m", str(tmp_path), run).version
        registry.promote(client, settings, "m", str(version))
    assert told(settings) == [
        ("model.champion", "m", {"before": None, "version": "1"}),
        ("model.champion", "m", {"before": "1", "version": "2"}),
    ]


@pytest.fixture
def airflow_log(settings, tmp_path):
    """Airflow's own log with what admin, a task and a command left in it, and room for more."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/airflow.db")
    with engine.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE log (id INTEGER, dttm DATETIME, event TEXT, owner TEXT, dag_id TEXT, run_id TEXT)")
        )

    def write(number, event, owner, minute=0):
        at = datetime(2026, 11, 22, 10, minute, tzinfo=UTC)
        with engine.begin() as connection:
            row = {"id": number, "dttm": at, "event": event, "owner": owner, "dag_id": "ingest", "run_id": "r1"}
            connection.execute(sa.insert(airflow_events._LOG).values(row))

    accounts.add_first_accounts(settings, {"admin": "correct horse battery"})
    return settings.model_copy(update={"airflow_database": f"sqlite:///{tmp_path}/airflow.db"}), write


def test_what_people_changed_in_airflow_is_moved_once(airflow_log):
    settings, write = airflow_log
    write(2, "trigger_dag_run", "admin")
    write(3, "get_task_instances_batch", "admin")
    write(4, "running", "data platform")
    assert airflow_events.collect(settings) == 1
    assert airflow_events.collect(settings) == 0
    # committed late, with an earlier number and moment; and after the database was made anew
    write(1, "patch_dag", "admin")
    write(2, "clear_dag_run", "admin", minute=30)
    assert airflow_events.collect(settings) == 2
    moved = [(e.actor, e.subject, e.detail["what"]) for e in audit.events(settings) if e.event == "airflow.changed"]
    assert moved == [("admin", "ingest", what) for what in ("trigger_dag_run", "patch_dag", "clear_dag_run")]


def test_without_airflow_nothing_is_moved_and_nothing_stops(settings):
    gone = settings.model_copy(update={"airflow_database": f"sqlite:///{settings.home}/nowhere/airflow.db"})
    assert airflow_events.collect(gone) is None
