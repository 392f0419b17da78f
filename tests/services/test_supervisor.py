"""The supervisor's configuration, the secrets it hands out, and that nothing outlives it."""

import configparser
import json
import os
import stat
import subprocess
import sys
import time

import psutil
import pytest

from infra.runtime.errors import TryAgainError
from infra.runtime.secrets import ACCOUNTS, create_secrets, load_secrets
from infra.runtime.settings import Settings
from infra.services import supervisor


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "h")


def test_secrets_are_made_once_and_for_their_owner_only(settings):
    with pytest.raises(TryAgainError, match="customs up"):
        load_secrets(settings)
    made, fresh = create_secrets(settings)
    again, second = create_secrets(settings)
    assert (fresh, second) == (True, False)
    assert made == again == load_secrets(settings)
    assert stat.S_IMODE(settings.secrets_file.stat().st_mode) == 0o600
    assert set(made.passwords) == set(ACCOUNTS)
    assert len({*made.passwords.values(), made.airflow_jwt_secret, made.superset_secret_key}) == len(ACCOUNTS) + 2


def test_two_data_folders_have_nothing_in_common(tmp_path):
    one, _ = create_secrets(Settings(home=tmp_path / "1"))
    two, _ = create_secrets(Settings(home=tmp_path / "2"))
    assert one.airflow_fernet_key != two.airflow_fernet_key
    assert not set(one.passwords.values()) & set(two.passwords.values())


def test_secrets_do_not_show_in_a_traceback(settings):
    made, _ = create_secrets(settings)
    assert made.passwords["admin"] not in repr(made)
    assert made.airflow_jwt_secret not in repr(made)


def rendered(settings):
    config = configparser.RawConfigParser()
    config.read_string(supervisor.render(settings))
    return config


def test_every_service_restarts_and_takes_its_children_along(settings):
    config = rendered(settings)
    programs = [name for name in config.sections() if name.startswith("program:")]
    assert {name.removeprefix("program:") for name in programs} == {
        "postgres", "mlflow", "superset", "airflow-api", "airflow-scheduler", "airflow-dags",
    }  # fmt: skip
    for name in programs:
        assert config[name]["autorestart"] == "true", name
        assert config[name]["killasgroup"] == "true", name
        assert config[name]["stopasgroup"] == ("false" if name == "program:postgres" else "true"), name
        assert f'CUSTOMS_HOME="{settings.home}"' in config[name]["environment"], name


def test_nothing_listens_beyond_this_machine(settings):
    secrets, _ = create_secrets(settings)
    supervisor.write_configuration(settings, secrets)
    airflow = configparser.RawConfigParser()
    airflow.read(settings.home / "airflow" / "airflow.cfg")
    assert airflow["api"]["host"] == "127.0.0.1"
    assert airflow["core"]["execution_api_server_url"].startswith("http://127.0.0.1:")
    commands = {service.name: " ".join(service.command) for service in supervisor.services(settings)}
    assert "--bind 127.0.0.1:" in commands["superset"]
    assert "--skip-serve-logs" in commands["airflow-scheduler"]
    assert (
        dict(next(s.environment for s in supervisor.services(settings) if s.name == "mlflow"))["MLFLOW_HOST"]
        == "127.0.0.1"
    )
    assert "0.0.0.0" not in supervisor.render(settings)


def test_files_with_secrets_are_for_their_owner_only(settings):
    secrets, _ = create_secrets(settings)
    supervisor.write_configuration(settings, secrets)
    for file in ("airflow/airflow.cfg", "superset/settings.json", "run/supervisord.conf"):
        assert stat.S_IMODE((settings.home / file).stat().st_mode) == 0o600, file
    assert secrets.superset_secret_key not in supervisor.render(settings)
    assert secrets.airflow_jwt_secret in (settings.home / "airflow" / "airflow.cfg").read_text()
    assert json.loads((settings.home / "superset" / "settings.json").read_text())["secret_key"]


def test_a_long_data_folder_gets_a_short_socket_folder(tmp_path):
    long = Settings(home=tmp_path / ("x" * 120))
    assert len(str(long.postgres_socket / ".s.PGSQL.5432.lock")) < 107
    assert long.sockets != Settings(home=tmp_path / ("y" * 120)).sockets


def test_another_database_replaces_the_embedded_one(tmp_path):
    url = "postgresql+psycopg2://customs:p%40ss@db.example/x"
    settings = Settings(home=tmp_path, airflow_database=url, mlflow_database=url, superset_database=url)
    assert "postgres" not in {service.name for service in supervisor.services(settings)}
    secrets, _ = create_secrets(settings)
    supervisor.write_configuration(settings, secrets)
    assert "p%%40ss" in supervisor.render(settings)


def test_down_of_a_folder_that_never_ran_is_harmless(settings):
    assert supervisor.stop(settings) == 0
    assert set(supervisor.states(settings).values()) == {"down"}


# A program as Airflow's scheduler is one: it forks a worker that outlives it and ignores a polite end.
STUBBORN = """
import os, signal, sys, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.setsid()
    while True: time.sleep(1)
while True: time.sleep(1)
"""


@pytest.fixture
def running(settings, monkeypatch):
    """A supervisor with one stubborn service."""
    script = settings.home / "stubborn.py"
    script.parent.mkdir(parents=True)
    script.write_text(STUBBORN)
    service = supervisor.Service("stubborn", [sys.executable, str(script)], stop_seconds=5)
    monkeypatch.setattr(supervisor, "services", lambda _: [service])
    for folder in (settings.run, settings.logs):
        folder.mkdir(parents=True)
    (settings.run / "supervisord.conf").write_text(supervisor.render(settings))
    supervisor.start_supervisor(settings)
    supervisor.start(settings, "stubborn")
    list(supervisor.wait_healthy(settings, ["stubborn"]))
    yield settings
    supervisor.stop(settings)


def alive(settings):
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(settings.home / "stubborn.py") in (process.info["cmdline"] or [])
    ]


def pid_of(settings):
    return int((settings.run / "stubborn.pid").read_text())


def wait_until(condition):
    deadline = time.monotonic() + 25
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.services
def test_a_killed_service_comes_back_without_its_old_workers(running):
    before = {process.pid for process in alive(running)}
    assert len(before) == 2
    os.kill(pid_of(running), 9)
    wait_until(lambda: len(alive(running)) == 2 and not before & {process.pid for process in alive(running)})


@pytest.mark.services
def test_down_leaves_nothing(running):
    assert len(alive(running)) == 2
    assert supervisor.stop(running) == 3
    assert alive(running) == []
    assert not supervisor.is_running(running)


@pytest.mark.services
def test_down_clears_up_after_a_killed_supervisor(running):
    supervisor_pid = int((running.run / "supervisord.pid").read_text())
    os.kill(supervisor_pid, 9)
    wait_until(lambda: not psutil.pid_exists(supervisor_pid) or psutil.Process(supervisor_pid).status() == "zombie")
    supervisor.stop(running)
    # its worker, in a session of its own, is out of sight by now: it was handed to the system's first process
    assert [process for process in alive(running) if process.ppid() != 1] == []
    for process in alive(running):
        process.kill()


@pytest.mark.services
def test_a_service_that_does_not_stay_up_fails_with_its_last_lines(settings, monkeypatch):
    script = settings.home / "broken.py"
    script.parent.mkdir(parents=True)
    script.write_text("import sys; sys.exit('no such table: customs')")
    service = supervisor.Service("broken", [sys.executable, str(script)])
    monkeypatch.setattr(supervisor, "services", lambda _: [service])
    for folder in (settings.run, settings.logs):
        folder.mkdir(parents=True)
    (settings.run / "supervisord.conf").write_text(supervisor.render(settings))
    supervisor.start_supervisor(settings)
    try:
        supervisor.start(settings, "broken")
        with pytest.raises(supervisor.CustomsError, match=r"no such table: customs(.|\n)*does not stay up"):
            list(supervisor.wait_healthy(settings, ["broken"]))
    finally:
        supervisor.stop(settings)


def test_foreign_variables_of_the_shell_do_not_reach_the_services(settings, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "Other")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environment = supervisor.clean_environment(settings)
    assert "AIRFLOW__CORE__EXECUTOR" not in environment
    assert "PYTHONPATH" not in environment
    assert environment["CUSTOMS_HOME"] == str(settings.home)


def test_launcher_needs_nothing_but_the_standard_library():
    code = f"import sys; sys.path.insert(0, {str(supervisor.LAUNCHER.parent)!r}); import launch"
    done = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
