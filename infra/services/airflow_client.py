"""The calls to Airflow's REST API that bringing a day through the DAGs needs."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from infra.runtime.errors import CustomsError, TryAgainError
from infra.runtime.settings import Settings

_TRIES = 6


@dataclass(frozen=True)
class Task:
    """One try of one task of one run."""

    dag: str
    run: str
    name: str
    state: str | None
    number: int
    seconds: float | None


class Airflow:
    """A signed-in session with the web server.

    Raises:
        TryAgainError: the server does not answer.
        CustomsError: it refuses the account or a request.
    """

    def __init__(self, settings: Settings, account: str, password: str, timeout: float = 30) -> None:
        self.settings = settings
        self._credentials = {"username": account, "password": password}
        self._client = httpx.Client(base_url=settings.airflow_url, timeout=timeout)

    def _sign_in(self) -> None:
        answer = self._client.post("/auth/token", json=self._credentials)
        if answer.status_code >= 400:
            raise CustomsError(f"Airflow refused account {self._credentials['username']}: {answer.text[:200]}")
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, body: dict | None = None, query: dict | None = None) -> Any:
        """Call ``/api/v2<path>`` and return the JSON; server errors are tried again with growing pauses."""
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(0.5 * 2**attempt)
            try:
                if "Authorization" not in self._client.headers:
                    self._sign_in()
                answer = self._client.request(method, f"/api/v2{path}", json=body, params=query)
            except httpx.HTTPError as error:
                problem = str(error) or type(error).__name__
                continue
            if answer.status_code == 401 and attempt == 0:
                self._client.headers.pop("Authorization")
                continue
            if answer.status_code < 500:
                if answer.status_code >= 400:
                    raise CustomsError(f"Airflow refused {method} {path}: {answer.text[:300]}")
                return answer.json() if answer.content else None
            problem = answer.text[:200]
        raise TryAgainError(f"Airflow at {self.settings.airflow_url} does not answer {method} {path}: {problem}")

    def dags(self) -> dict[str, bool]:
        """Return DAG id to whether it is paused."""
        return {dag["dag_id"]: dag["is_paused"] for dag in self.call("GET", "/dags", query={"limit": 100})["dags"]}

    def import_errors(self) -> list[str]:
        """Return what stopped DAG files from loading, one text per file."""
        errors = self.call("GET", "/importErrors", query={"limit": 20})["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in errors]

    def unpause(self, dags: list[str]) -> None:
        """Let the scheduler run DAGs."""
        for dag in dags:
            self.call("PATCH", f"/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, day: str, conf: dict[str, Any]) -> str:
        """Start a run of a DAG for a business day; return its id."""
        body = {"logical_date": None, "partition_key": day, "conf": conf}
        return self.call("POST", f"/dags/{dag}/dagRuns", body)["dag_run_id"]

    def runs(self, dags: list[str], day: str) -> dict[str, dict[str, Any]]:
        """Return, for each DAG that has one, its newest run for a business day."""
        body = {"dag_ids": dags, "order_by": "-id", "page_limit": 100}
        newest: dict[str, dict[str, Any]] = {}
        for run in self.call("POST", "/dags/~/dagRuns/list", body)["dag_runs"]:
            if run.get("partition_key") == day:
                newest.setdefault(run["dag_id"], run)
        return newest

    def tasks(self, runs: list[dict[str, Any]]) -> list[Task]:
        """Return the tasks of runs."""
        if not runs:
            return []
        body = {
            "dag_ids": sorted({run["dag_id"] for run in runs}),
            "dag_run_ids": [run["dag_run_id"] for run in runs],
            "page_limit": 200,
        }
        return [
            Task(t["dag_id"], t["dag_run_id"], t["task_id"], t["state"], t["try_number"], t["duration"])
            for t in self.call("POST", "/dags/~/dagRuns/~/taskInstances/list", body)["task_instances"]
        ]

    def clear_failed(self, dag: str, run: str) -> None:
        """Let the failed tasks of a run, and what waits for them, run again."""
        body = {"dry_run": False, "dag_run_id": run, "only_failed": True, "include_downstream": True}
        self.call("POST", f"/dags/{dag}/clearTaskInstances", body)

    def task_log(self, task: Task) -> Path:
        """Return the log file of a task's latest try."""
        folder = self.settings.logs / "airflow" / f"dag_id={task.dag}" / f"run_id={task.run}" / f"task_id={task.name}"
        return folder / f"attempt={task.number}.log"


def readable(log: Path, lines: int) -> str:
    """Return the last lines of a task's log, which Airflow writes as JSON, as plain text."""
    if not log.is_file():
        return "(no log)"
    text = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            text.append(str(json.loads(line)["event"]))
        except (ValueError, KeyError, TypeError):
            text.append(line)
    # what Airflow says about itself around the command does not help to see why the command failed
    told = [line for line in text if not line.startswith("::") and "OpenLineage" not in line]
    return "\n".join(told[-lines:])
