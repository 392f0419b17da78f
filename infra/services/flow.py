"""Follows a business day down the chain of DAGs, from ingestion to published dashboards."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.runtime.errors import CustomsError
from infra.services.airflow_client import Airflow, Task, readable
from infra.services.supervisor import LOG_TAIL

QUIET_SECONDS = 300


@dataclass(frozen=True)
class Stage:
    """DAGs that run beside each other; assets start them when the stage before is finished."""

    title: str
    dags: tuple[str, ...]
    usual_seconds: int


STAGES = (
    Stage(
        "Landing to silver",
        ("ingest_enterprises", "ingest_declarations", "ingest_ecommerce", "ingest_inspections", "ingest_rail"),
        75,
    ),
    Stage("Quality gates, datasets, features", ("build_datasets",), 120),
    Stage("Train the models", ("train_declaration_risk", "train_enterprise", "train_aeo", "train_ore"), 165),
    Stage("Score", ("score",), 40),
    Stage("Serving files and dashboards", ("publish_dashboards",), 60),
)
ALL_DAGS = tuple(dag for stage in STAGES for dag in stage.dags)
OTHER_DAGS = ("maintain_lake", "keep_governance")


def wait_for_dags(airflow: Airflow) -> None:
    """Wait until the DAG processor has read every DAG, then let them run.

    Raises:
        CustomsError: a DAG file does not load.
    """
    wanted = {*ALL_DAGS, *OTHER_DAGS}
    deadline = time.monotonic() + QUIET_SECONDS
    while not wanted <= set(airflow.dags()):
        if errors := airflow.import_errors():
            raise CustomsError("DAG files do not load:\n" + "\n".join(errors))
        if time.monotonic() > deadline:
            raise CustomsError(
                f"The DAG processor read no {', '.join(sorted(wanted - set(airflow.dags())))} in {QUIET_SECONDS} s: "
                "`customs services logs airflow-dags` says why."
            )
        time.sleep(1)
    airflow.unpause([dag for dag, paused in airflow.dags().items() if paused and dag in wanted])


class Follower:
    """Follows the stages one after another.

    ``since`` keeps runs of an earlier attempt out: a run counts only when it was queued after the stage before started.
    """

    def __init__(self, airflow: Airflow, day: str, since: datetime) -> None:
        self.airflow = airflow
        self.day = day
        self.since = since

    def _runs(self, dags: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        runs = self.airflow.runs(list(dags), self.day)
        return {dag: run for dag, run in runs.items() if _instant(run["queued_at"]) >= self.since}

    def resume_failed(self) -> list[str]:
        """Let failed runs of the day go on; return their DAG ids."""
        failed = {dag: run for dag, run in self._runs(ALL_DAGS).items() if run["state"] == "failed"}
        for dag, run in failed.items():
            self.airflow.clear_failed(dag, run["dag_run_id"])
        return list(failed)

    def trigger_missing(self, stage: Stage, first_day: str) -> None:
        """Start the DAGs of a stage that have no run of the day yet, for the days from ``first_day`` on."""
        present = self._runs(stage.dags)
        for dag in stage.dags:
            if dag not in present:
                self.airflow.trigger(dag, self.day, {"from_day": first_day})

    def follow(self, stage: Stage) -> Iterator[str]:
        """Wait until the DAGs of a stage have finished the day.

        Yields:
            A line for each task that ended or is tried again.

        Raises:
            CustomsError: a run failed (with the task's last log lines), or was not started by the stage before.
        """
        reported: set[tuple[str, str, int, str]] = set()
        moved = time.monotonic()
        while True:
            runs = self._runs(stage.dags)
            tasks = self.airflow.tasks(list(runs.values()))
            for task in tasks:
                key = (task.dag, task.name, task.number, task.state or "")
                if key in reported:
                    continue
                reported.add(key)
                moved = time.monotonic()
                if task.state == "success":
                    yield f"{task.name}  {task.seconds or 0:.0f} s"
                elif task.state == "up_for_retry":
                    yield f"{task.name}  try {task.number} failed, is tried again (log: {self.airflow.task_log(task)})"
            self._refuse_failure(runs, tasks)
            if len(runs) == len(stage.dags) and all(run["state"] == "success" for run in runs.values()):
                self.since = max(_instant(run["start_date"]) for run in runs.values())
                return
            busy = any(task.state in ("running", "queued", "scheduled", "up_for_retry") for task in tasks)
            if not busy and time.monotonic() - moved > QUIET_SECONDS:
                waiting = [dag for dag in stage.dags if dag not in runs or runs[dag]["state"] != "success"]
                raise CustomsError(
                    f"{', '.join(waiting)} did not move for {QUIET_SECONDS} s: look at the assets in Airflow, "
                    "and at `customs services logs airflow-scheduler`."
                )
            time.sleep(1.5)

    def _refuse_failure(self, runs: dict[str, dict[str, Any]], tasks: list[Task]) -> None:
        failed = [dag for dag, run in runs.items() if run["state"] == "failed"]
        if not failed:
            return
        guilty = next((t for t in tasks if t.dag in failed and t.state == "failed"), None)
        if guilty is None:
            raise CustomsError(f"DAG {failed[0]} failed without a failed task: look at its run in Airflow.")
        log = self.airflow.task_log(guilty)
        raise CustomsError(
            f"{readable(log, LOG_TAIL)}\nTask {guilty.dag}.{guilty.name} failed: the lines above say why. Log: {log}\n"
            "After the remedy, `customs up` goes on from there."
        )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
