"""A customs day on real services, in a data folder and on ports of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CUSTOMS = Path(sys.executable).with_name("customs")
MINUTES = 60
KCS = REPOSITORY.parent / "shared/data/kcs"


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


@dataclass
class Platform:
    """The platform as an operator meets it: a command line and a data folder."""

    home: Path
    environment: dict[str, str]

    def run(self, *words: str, minutes: float = 15, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(CUSTOMS), *words],
            env=self.environment, cwd=REPOSITORY, text=True, capture_output=True, timeout=minutes * MINUTES,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, f"customs {' '.join(words)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done

    def status(self) -> dict[str, Any]:
        return json.loads(self.run("status", "--json").stdout)

    def password(self, account: str) -> str:
        return json.loads((self.home / "secrets.json").read_text())["passwords"][account]


def start(name: str) -> Platform:
    # short: the path of a Unix socket has a limit of about 100 characters
    home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp"))
    home.chmod(0o755)
    airflow, superset, mlflow = free_ports(3)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUSTOMS_", "AIRFLOW"))}
    environment = {
        **kept,
        "CUSTOMS_HOME": str(home),
        "CUSTOMS_AIRFLOW_PORT": str(airflow),
        "CUSTOMS_SUPERSET_PORT": str(superset),
        "CUSTOMS_MLFLOW_PORT": str(mlflow),
    }
    return Platform(home, environment)


def stop(platform: Platform) -> None:
    platform.run("down", minutes=3, check=False)
    shutil.rmtree(platform.home, ignore_errors=True)


@pytest.fixture(scope="module")
def small_day():
    """The simulated small day, brought up once for all tests."""
    platform = start("day")
    try:
        platform.run("up", "--size", "small", minutes=20)
        yield platform
    finally:
        stop(platform)


@pytest.fixture(scope="module")
def kcs_files():
    """Published declarations in a foreign layout, brought to the dashboards."""
    if not KCS.is_dir():
        pytest.skip(f"{KCS} is not there: it holds the published declarations this test reads")
    platform = start("kcs")
    try:
        platform.run("up", "--input", str(KCS), minutes=20)
        yield platform
    finally:
        stop(platform)
