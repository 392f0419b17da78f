"""The DAGs load, are exactly the ones the design names, and call doors that exist."""

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DAGS = REPOSITORY / "dags"
EXPECTED = {
    "ingest_declarations", "ingest_ecommerce", "ingest_inspections", "ingest_enterprises", "ingest_rail",
    "build_datasets", "train_declaration_risk", "train_enterprise", "train_aeo", "train_ore", "score",
    "publish_dashboards", "maintain_lake", "keep_governance",
}  # fmt: skip


def pools():
    return json.loads((REPOSITORY / "infra/airflow/pools.json").read_text())


@pytest.fixture(scope="module")
def bag():
    sys.path.insert(0, str(DAGS))
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(DAGS))
    yield bag
    sys.path.remove(str(DAGS))


def tasks(bag):
    return [task for dag in bag.dags.values() for task in dag.tasks]


def test_the_bag_holds_exactly_the_dags_of_the_design(bag):
    assert bag.import_errors == {}
    assert set(bag.dags) == EXPECTED  # a bag on a wrong folder has 0 DAGs and 0 errors


def test_every_dag_tells_its_operator_what_to_do(bag):
    for dag in bag.dags.values():
        assert dag.doc_md, dag.dag_id
        assert "If it fails" in dag.doc_md, dag.dag_id
        assert "By hand" in dag.doc_md, dag.dag_id
        assert "{" not in dag.doc_md.replace("{{", ""), f"{dag.dag_id}: an unfilled placeholder in doc_md"


@pytest.mark.parametrize("clock", ["06:09", "06:11", "08:30", "23:00"])
def test_unpausing_an_ingestion_starts_nothing_before_its_next_hour(bag, monkeypatch, clock):
    """`customs up` unpauses the DAGs and brings the history itself: a run of the last day alone would come first."""
    import pendulum
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.timetables import trigger
    from airflow.timetables.base import TimeRestriction

    now = pendulum.parse(f"2026-11-23T{clock}", tz="Asia/Shanghai")
    monkeypatch.setattr(trigger, "utcnow", lambda: now.in_timezone("UTC"))
    ingestions = [dag for dag in bag.dags.values() if dag.dag_id.startswith("ingest_")]
    assert len(ingestions) == 5
    for dag in ingestions:
        assert dag.start_date is None
        timetable = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
        first = timetable.next_dagrun_info_v2(
            last_dagrun_info=None, restriction=TimeRestriction(earliest=None, latest=None, catchup=False)
        )
        assert first.run_after > now, f"{dag.dag_id} would run at once, for {first.partition_key}"


def test_tasks_retry_in_a_pool(bag):
    assert len(tasks(bag)) == 23
    for task in tasks(bag):
        assert task.retries == 2, task.task_id
        assert task.pool != "default_pool", f"{task.dag_id}.{task.task_id} guards no table and no engine"


def test_jobs_over_history_have_the_machine_to_themselves(bag):
    slots = pools()["spark"]["slots"]
    spark = {task.task_id: task.pool_slots for task in tasks(bag) if task.pool == "spark"}
    assert {name for name, taken in spark.items() if taken == slots} == {"build_features", "score"}


def test_every_pool_used_is_created_at_set_up(bag):
    assert {task.pool for task in tasks(bag)} <= set(pools())
    assert all(pool["slots"] == 1 for name, pool in pools().items() if name.startswith("lake_") or name == "duckdb")


def test_assets_are_contract_ids_and_every_consumer_has_a_producer(bag):
    contracts = {
        yaml.safe_load(path.read_text())["id"] for path in (REPOSITORY / "data_contracts").glob("*/*.odcs.yaml")
    }
    made = {asset.name for task in tasks(bag) for asset in task.outlets}
    assert made
    for name in made:
        assert name in contracts or name.startswith(("datasets.", "models.")), name
    for dag in bag.dags.values():
        condition = getattr(dag.timetable, "asset_condition", None)
        for asset in condition.objects if condition else ():
            assert asset.name in made, f"{dag.dag_id} waits for {asset.name}, which no task makes"


def test_ingestion_covers_every_fed_contract_and_no_other(bag):
    sys.path.insert(0, str(DAGS))
    import chain

    from data_contracts.loader import load_contracts

    fed = {c.id for c in load_contracts().values() if c.feed and c.domain != "reference"}
    assert {contract for i in chain.INGESTIONS for contract in i.contracts} == fed
    feeds = {c.feed for c in load_contracts().values() if c.feed and c.domain != "reference"}
    assert {feed for i in chain.INGESTIONS for feed in i.feeds} == feeds


@pytest.mark.slow
def test_every_command_of_a_dag_is_understood_by_the_real_door(bag):
    """Each rendered command is asked for its help through the real command line: room, verb and options exist."""
    seen = set()
    for task in tasks(bag):
        words = shlex.split(re.sub(r"\{\{.*?\}\}", "2026-11-20", task.bash_command))
        assert words[0] == "customs"
        verb = words[1:3]
        options = {word for word in words if word.startswith("--")}
        if (key := (*verb, *sorted(options))) in seen:
            continue
        seen.add(key)
        done = subprocess.run(
            [str(Path(sys.executable).with_name("customs")), *verb, "--help"],
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "HOME": "/tmp"},
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        for option in options:
            assert option in done.stdout, f"`customs {' '.join(verb)}` has no {option}"


@pytest.mark.parametrize(("code", "retried"), [(75, True), (3, False), (2, False), (1, False)])
def test_the_exit_code_decides_about_a_retry(bag, code, retried):
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
    from doors import Door

    door = Door(task_id="t", command=f"--version; exit {code};")
    door.bash_command = f"exit {code}"
    with pytest.raises(AirflowException) as raised:
        door._run_inline_command("bash", {"PATH": "/usr/bin:/bin"})
    assert isinstance(raised.value, AirflowFailException) is not retried


def test_dag_files_import_airflow_and_each_other_only():
    files = list(DAGS.glob("*.py"))
    assert len(files) >= 8
    allowed = {"airflow", "pendulum", "doors", "chain", *sys.stdlib_module_names}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in allowed, f"{path.name} imports {name}"
