"""Brings the services of one data folder up, in an order two cores cope with."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from infra.runtime.errors import CustomsError, TryAgainError
from infra.runtime.secrets import Secrets
from infra.runtime.settings import REPOSITORY, Settings
from infra.services import postgres, supervisor

SUPERSET_FILES = REPOSITORY / "infra" / "superset"
Say = Callable[[str], None]


def _prepared(settings: Settings, part: str, made_from: str) -> bool:
    stamp = settings.home / part / "prepared"
    return stamp.is_file() and stamp.read_text(encoding="ascii") == made_from


class _Preparation:
    """A database preparation running beside others."""

    def __init__(self, settings: Settings, part: str, command: list[Path], text: str, env: dict[str, str]) -> None:
        self.part = part
        self.stamp = settings.home / part / "prepared"
        self.log = settings.logs / f"{part}-prepare.log"
        self.made_from = _fingerprint(command[1], text)
        self.clock = time.monotonic()
        self.process = None
        if not _prepared(settings, part, self.made_from):
            with self.log.open("w", encoding="utf-8") as log:
                self.process = subprocess.Popen(
                    [str(item) for item in command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=settings.home,
                    env={**supervisor.clean_environment(settings), **env},
                    text=True,
                )
            assert self.process.stdin is not None  # noqa: S101 - PIPE was asked for
            self.process.stdin.write(text)
            self.process.stdin.close()

    def finish(self, say: Say) -> None:
        if self.process is None:
            return
        if self.process.wait() != 0:
            raise CustomsError(
                f"{supervisor.tail(self.log)}\n{self.part.title()}'s database could not be prepared: "
                f"the lines above say why. Log: {self.log}"
            )
        self.stamp.write_text(self.made_from, encoding="ascii")
        say(f"{self.part} database prepared, {time.monotonic() - self.clock:.0f} s")


def _fingerprint(script: Path, text: str) -> str:
    locks = [(REPOSITORY / "infra" / "envs" / name).read_bytes() for name in ("platform.txt", "superset.txt")]
    parts = [script.read_bytes(), text.encode(), *locks]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _airflow_wishes() -> str:
    pools = json.loads((supervisor.AIRFLOW_FILES / "pools.json").read_text(encoding="utf-8"))
    return json.dumps({"pools": pools})


def start_services(settings: Settings, secrets: Secrets, say: Say) -> bool:
    """Start what does not run yet and wait until every service answers.

    Args:
        settings: platform settings.
        secrets: keys and passwords of the data folder.
        say: prints a progress line.

    Returns:
        Whether anything had to be started.

    Raises:
        CustomsError: a service or its database could not be brought up; with the last log lines.
    """
    names = [service.name for service in supervisor.services(settings)]
    if supervisor.is_running(settings) and "down" not in supervisor.states(settings).values():
        return False
    if not supervisor.SUPERSET_BIN.is_dir():
        raise TryAgainError(f"No {supervisor.SUPERSET_BIN.parent}: run `make setup` once.")
    supervisor.write_configuration(settings, secrets)
    if settings.embedded_postgres:
        postgres.initialise(settings)
    if not supervisor.is_running(settings):
        supervisor.start_supervisor(settings)
    if settings.embedded_postgres:
        clock = time.monotonic()
        supervisor.start(settings, "postgres")
        for _ in supervisor.wait_healthy(settings, ["postgres"]):
            while not postgres.is_ready(settings):
                if supervisor.states(settings)["postgres"] == "down":
                    log = supervisor.log_file(settings, "postgres")
                    raise CustomsError(f"{supervisor.tail(log)}\nPostgreSQL ended while it started. Log: {log}")
                time.sleep(0.1)
        postgres.create_databases(settings)
        say(f"postgres up, {time.monotonic() - clock:.0f} s")

    # two preparations beside each other fill two cores; the servers follow as their databases are ready
    airflow = _Preparation(
        settings,
        "airflow",
        [Path(sys.executable), supervisor.AIRFLOW_FILES / "prepare.py"],
        _airflow_wishes(),
        {"AIRFLOW_HOME": str(settings.home / "airflow")},
    )
    superset = _Preparation(
        settings,
        "superset",
        [supervisor.SUPERSET_BIN / "python", SUPERSET_FILES / "prepare.py"],
        "",
        supervisor.superset_environment(settings),
    )
    airflow.finish(say)
    for name in names:
        if name.startswith("airflow"):
            supervisor.start(settings, name)
    superset.finish(say)
    supervisor.start(settings, "superset")
    supervisor.start(settings, "mlflow")
    for name, seconds in supervisor.wait_healthy(settings, [name for name in names if name != "postgres"]):
        say(f"{name} up, {seconds:.0f} s")
    return True
