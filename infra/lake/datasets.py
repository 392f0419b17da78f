"""The business datasets: runs dbt over the lake and keeps what every run built and tested."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.policy import load_policy
from infra.lake.commit import create_lake
from infra.runtime.errors import BadArgumentsError, CustomsError, DataContractError, TryAgainError
from infra.runtime.settings import REPOSITORY, Settings, get_settings

PROJECT = REPOSITORY / "dbt"
# Two runs a day: DuckDB has one writer, so a task per model would only queue. Scores arrive between the two.
SELECTIONS = {
    "marts": (
        *("path:seeds", "path:models/staging", "path:models/intermediate", "path:models/marts"),
        *("--indirect-selection", "cautious"),
    ),
    "serving": ("path:models/serving", "--indirect-selection", "buildable"),
}
_BUILT = ("model.", "seed.")
_LOCKED = ("Could not set lock on file", "Conflicting lock")


@dataclass(frozen=True)
class Outcome:
    """What a dbt run did, node by node: {unique id: (status, message, failing rows)}."""

    nodes: dict[str, tuple[str, str, int]]

    @property
    def counts(self) -> dict[str, int]:
        """Return datasets built, tests passed (with warnings) and tests failed."""
        counted: Counter[str] = Counter()
        for node, (status, _, _) in self.nodes.items():
            if node.startswith(_BUILT):
                counted["built"] += status == "success"
            elif status in ("pass", "warn"):
                counted["tests_passed"] += 1
            elif status in ("fail", "error"):
                counted["tests_failed"] += 1
        return {name: counted[name] for name in ("built", "tests_passed", "tests_failed")}

    @property
    def warnings(self) -> list[str]:
        """Return one line per test that found something it only warns of."""
        return [f"{_short(n)}: {rows} rows" for n, (status, _, rows) in self.nodes.items() if status == "warn"]

    def stop_if_failed(self) -> None:
        """Raise the error the run ended in: our own first, then the data's.

        Raises:
            CustomsError: a model or test could not run.
            DataContractError: a data test found rows that break it.
        """
        for node, (status, message, _) in self.nodes.items():
            if status in ("error", "runtime error"):
                raise CustomsError(f"{_short(node)} could not be built: {message}")
        failed = [f"{_short(n)} ({rows} rows)" for n, (status, _, rows) in self.nodes.items() if status == "fail"]
        if failed:
            raise DataContractError(
                f"{len(failed)} tests of the datasets failed: {', '.join(failed[:5])}; "
                "the failing rows come from the query in the target folder's compiled/."
            )


def _short(node: str) -> str:
    return node.split(".")[2] if node.count(".") >= 2 else node


def run_dbt(
    arguments: Sequence[str], settings: Settings | None = None, progress: Callable[[str], None] | None = None
) -> None:
    """Run one dbt command on the project, with the platform's settings in its environment.

    dbt runs as a process of its own: it keeps state (adapters, event manager, the warehouse's lock) in its process.

    Args:
        arguments: dbt's arguments, for example ``["build", "--select", "path:models/marts"]``.
        settings: platform settings.
        progress: receives dbt's log lines.

    Raises:
        TryAgainError: another process has the warehouse open.
        CustomsError: dbt stopped before it ran anything; the message is dbt's.
    """
    settings = settings or get_settings()
    settings.warehouse.parent.mkdir(parents=True, exist_ok=True)
    settings.dbt_target.mkdir(parents=True, exist_ok=True)
    results = settings.dbt_target / "run_results.json"
    results.unlink(missing_ok=True)
    variables = {"small_cell_minimum": load_policy().k, "office_time_zone": settings.office_time_zone}
    command = [
        str(Path(sys.executable).with_name("dbt")),
        *("--no-use-colors", "--log-path", str(settings.dbt_target.parent / "logs")),
        *arguments,
        *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(settings.dbt_target)),
        *("--vars", json.dumps(variables)),
    ]
    environment = {
        **os.environ,
        "DBT_CUSTOMS_LAKE": str(settings.lake),
        "DBT_CUSTOMS_WAREHOUSE": str(settings.warehouse),
        "DBT_CUSTOMS_MEMORY_LIMIT": settings.duckdb_memory_limit,
        "DBT_CUSTOMS_THREADS": str(settings.duckdb_threads),
        "PYTHONPATH": str(REPOSITORY),
    }
    tail: list[str] = []
    with subprocess.Popen(
        command, cwd=settings.home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            tail = [*tail[-60:], line.rstrip()]
            if progress:
                progress(line.rstrip())
    said = "\n".join(tail)
    if process.returncode and any(word in said for word in _LOCKED):
        raise TryAgainError(f"{settings.warehouse} is in use by another command: try again when it has finished.")
    if process.returncode and not results.is_file():
        raise CustomsError(f"dbt {arguments[0]} stopped: {said[-2000:]}")


def _outcome(settings: Settings) -> Outcome:
    document = json.loads((settings.dbt_target / "run_results.json").read_text(encoding="utf-8"))
    return Outcome(
        {
            r["unique_id"]: (r["status"], " ".join((r["message"] or "").split()), int(r["failures"] or 0))
            for r in document["results"]
        }
    )


def _kept(settings: Settings, selection: str) -> Path:
    return settings.dbt_target.parent / "results" / f"{selection}.json"


def build(
    selection: str | None = None, settings: Settings | None = None, progress: Callable[[str], None] | None = None
) -> Outcome:
    """Build and test the datasets of a selection, or of all of them.

    Args:
        selection: ``marts`` (everything up to the datasets), ``serving`` (what roles and dashboards read, scores
            included), None for both.
        settings: platform settings.
        progress: receives dbt's log lines.

    Returns:
        The outcome, not judged yet: call ``stop_if_failed``.

    Raises:
        BadArgumentsError: the selection is not known.
    """
    settings = settings or get_settings()
    if selection is not None and selection not in SELECTIONS:
        raise BadArgumentsError(f"There is no selection '{selection}': use {' or '.join(SELECTIONS)}.")
    create_lake(settings)  # a source table that was never fed is empty, not missing
    nodes: dict[str, tuple[str, str, int]] = {}
    for name in [selection] if selection else list(SELECTIONS):
        run_dbt(["build", "--exclude-resource-type", "unit_test", "--select", *SELECTIONS[name]], settings, progress)
        outcome = _outcome(settings)
        kept = _kept(settings, name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(outcome.nodes, indent=0) + "\n", encoding="utf-8")
        nodes |= outcome.nodes
    return Outcome(nodes)


def known_outcome(settings: Settings | None = None) -> Outcome:
    """Return what the last run of each selection did, together."""
    settings = settings or get_settings()
    nodes: dict[str, Any] = {}
    for name in SELECTIONS:
        if _kept(settings, name).is_file():
            nodes |= json.loads(_kept(settings, name).read_text(encoding="utf-8"))
    return Outcome({node: tuple(result) for node, result in nodes.items()})


def run_tests(settings: Settings | None = None, progress: Callable[[str], None] | None = None) -> Outcome:
    """Run all data tests and unit tests on what is built."""
    settings = settings or get_settings()
    run_dbt(["test"], settings, progress)
    return _outcome(settings)


def write_docs(settings: Settings | None = None, progress: Callable[[str], None] | None = None) -> Path:
    """Write the documentation of all datasets as one static page and return it."""
    settings = settings or get_settings()
    run_dbt(["docs", "generate", "--static"], settings, progress)
    page = settings.dbt_target.parent / "docs" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(settings.dbt_target / "static_index.html", page)
    return page


@dataclass(frozen=True)
class Dataset:
    """A mart or serving model as dbt's manifest describes it; ``may_be_empty`` when no rows are nothing to warn of."""

    name: str
    layer: str
    schema: str
    description: str
    roles: tuple[str, ...]
    aggregated: bool
    cells: str | None
    columns: dict[str, dict[str, Any]]
    may_be_empty: bool = False


def datasets(settings: Settings | None = None) -> dict[str, Dataset]:
    """Return the datasets by name, from the manifest of the last run.

    Raises:
        BadArgumentsError: nothing was built yet.
    """
    settings = settings or get_settings()
    manifest = settings.dbt_target / "manifest.json"
    if not manifest.is_file():
        raise BadArgumentsError("No datasets were built yet: run `customs datasets build` first.")
    found = {}
    for node in json.loads(manifest.read_text(encoding="utf-8"))["nodes"].values():
        if node["resource_type"] != "model" or node["fqn"][1] not in ("marts", "serving"):
            continue
        meta = node["config"].get("meta") or {}
        found[node["name"]] = Dataset(
            name=node["name"],
            layer=node["fqn"][1],
            schema=node["schema"],
            description=node["description"],
            roles=tuple(meta.get("roles") or ()),
            aggregated=bool(meta.get("aggregated")),
            cells=meta.get("cells"),
            columns={
                c["name"]: {
                    "type": c["data_type"],
                    "description": c["description"],
                    **(c.get("config", {}).get("meta") or c.get("meta") or {}),
                }
                for c in node["columns"].values()
            },
            may_be_empty=bool(meta.get("may_be_empty")),
        )
    return dict(sorted(found.items()))
