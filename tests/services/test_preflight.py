"""What is said, in one sentence with the remedy, before anything is half done."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.services import preflight

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def taken_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_another_python_is_refused_with_the_way_out():
    assert preflight.wrong_python((3, 11)) is None
    sentence = preflight.wrong_python((3, 12))
    assert "Python 3.12 cannot run" in sentence
    assert "make up PYTHON=" in sentence


def test_bootstrap_says_so_in_any_python(tmp_path):
    # what an older or newer interpreter would see: the version check comes before any other import of ours
    script = (REPOSITORY / "infra/services/bootstrap.py").read_text(encoding="utf-8")
    faked = f"import sys; sys.version_info = (3, 9, 2)\n{script}"
    done = subprocess.run([sys.executable, "-c", faked], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("customs: Python 3.9 cannot run this platform")
    assert len(done.stderr.splitlines()) == 1


def test_little_disk_names_folder_need_and_remedy(tmp_path):
    assert preflight.too_little_disk(tmp_path / "not" / "there" / "yet", 0.001) is None
    sentence = preflight.too_little_disk(tmp_path / "not" / "there", 10_000_000)
    assert str(tmp_path) in sentence
    assert "10000000 GiB needed" in sentence or "1e+07 GiB needed" in sentence
    assert "CUSTOMS_HOME" in sentence


@pytest.mark.parametrize(
    ("memory", "words"),
    [((16.0, 9.0), None), ((4.0, 3.5), "4.0 GiB in all"), ((16.0, 1.5), "Too little free memory: 1.5 GiB")],
)
def test_little_memory(memory, words):
    sentence = preflight.too_little_memory(memory)
    assert (sentence is None) if words is None else (words in sentence)


def test_this_machines_memory_can_be_read():
    total, available = preflight._memory_gib()
    assert 0 < available <= total


def test_an_occupied_port_names_service_and_variable(taken_port):
    sentence = preflight.occupied_port({"superset": taken_port})
    assert f"Port {taken_port} for superset is occupied" in sentence
    assert "CUSTOMS_SUPERSET_PORT=" in sentence
    named = preflight.occupied_port({"superset": taken_port}, {taken_port: "process 7 (nginx)"})
    assert "process 7 (nginx)" in named


def test_bootstrap_refuses_an_occupied_port_before_it_installs_anything(taken_port, tmp_path):
    # a checkout without environments: only what bootstrap needs
    for name in (
        "infra/services/bootstrap.py",
        "infra/services/preflight.py",
        "infra/runtime/ports.py",
        "pyproject.toml",
    ):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((REPOSITORY / name).read_bytes())
    envs = tmp_path / "infra" / "envs"
    envs.mkdir()
    for file in (REPOSITORY / "infra" / "envs").iterdir():
        (envs / file.name).write_bytes(file.read_bytes())
    done = subprocess.run(
        [sys.executable, "infra/services/bootstrap.py"],
        cwd=tmp_path, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "CUSTOMS_AIRFLOW_PORT": str(taken_port)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert f"Port {taken_port} for airflow is occupied" in done.stderr
    assert not (tmp_path / ".venv").exists()
    assert not (tmp_path / ".setup").exists()
