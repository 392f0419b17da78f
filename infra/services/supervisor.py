"""The services and the supervisor that keeps them: rendered configuration, start, stop, state."""

import configparser
import io
import json
import os
import shutil
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import httpx
import psutil
from supervisor.xmlrpc import SupervisorTransport

from infra.runtime.errors import CustomsError, TryAgainError
from infra.runtime.secrets import Secrets
from infra.runtime.settings import REPOSITORY, Settings
from infra.services import postgres

PLATFORM_BIN = Path(sys.executable).parent
SUPERSET_BIN = REPOSITORY / ".venv-superset" / "bin"
LAUNCHER = Path(__file__).with_name("launch.py")
AIRFLOW_FILES = REPOSITORY / "infra" / "airflow"
SUPERSET_CONFIG = REPOSITORY / "infra" / "superset" / "superset_config.py"
# what a shell may carry over that would change a service behind our back
_FOREIGN_VARIABLES = ("AIRFLOW", "SUPERSET", "MLFLOW", "FLASK", "GUNICORN", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
QUIET_SECONDS = 240
LOG_TAIL = 25


@dataclass(frozen=True)
class Service:
    """One supervised program.

    ``health`` is the URL that answers 200 when it is up; None means that running is being up.
    """

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    priority: int = 100
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    account: str | None = None
    health: str | None = None


def services(settings: Settings) -> list[Service]:
    """Return the services in the order they start."""
    airflow_env = {
        "AIRFLOW_HOME": str(settings.home / "airflow"),
        "PATH": _path(PLATFORM_BIN),
        "PYTHONUNBUFFERED": "1",
    }
    found = [
        Service(
            "mlflow",
            [str(PLATFORM_BIN / "mlflow"), "server"],
            {
                "MLFLOW_BACKEND_STORE_URI": settings.database_url("mlflow"),
                "MLFLOW_ARTIFACTS_DESTINATION": str(settings.home / "mlflow" / "artifacts"),
                "MLFLOW_SERVE_ARTIFACTS": "true",
                "MLFLOW_HOST": "127.0.0.1",
                "MLFLOW_PORT": str(settings.mlflow_port),
                "MLFLOW_WORKERS": "1",
                # halves the server's memory; we run no jobs inside it
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "PATH": airflow_env["PATH"],
            },
            priority=20,
            health=f"{settings.tracking_uri}/health",
        ),
        Service(
            "superset",
            [
                str(SUPERSET_BIN / "gunicorn"),
                *("--bind", f"127.0.0.1:{settings.superset_port}"),
                *("--workers", "1", "--worker-class", "gthread", "--threads", "8", "--timeout", "120"),
                *("--access-logfile", "/dev/null", "--worker-tmp-dir", str(settings.run)),
                "superset.app:create_app()",
            ],
            superset_environment(settings),
            priority=30,
            health=f"{settings.superset_url}/health",
        ),
        Service(
            "airflow-api",
            [str(PLATFORM_BIN / "airflow"), "api-server"],
            airflow_env,
            priority=40,
            health=f"{settings.airflow_url}/api/v2/version",
        ),
        # without its log server, which would listen on all interfaces: the web server reads the files itself
        Service(
            "airflow-scheduler",
            [str(PLATFORM_BIN / "airflow"), "scheduler", "--skip-serve-logs"],
            airflow_env,
            priority=50,
            stop_seconds=30,
        ),
        Service("airflow-dags", [str(PLATFORM_BIN / "airflow"), "dag-processor"], airflow_env, priority=60),
    ]
    if settings.embedded_postgres:
        # SIGINT: PostgreSQL's "fast" shutdown; SIGTERM would wait for the clients
        database = Service(
            "postgres", postgres.command(settings), priority=10, stop_signal="INT", account=postgres.account()
        )
        found.insert(0, database)
    return found


def _path(first: Path) -> str:
    return os.pathsep.join([str(first), *os.get_exec_path()])


def superset_environment(settings: Settings) -> dict[str, str]:
    """Return the variables Superset's processes need."""
    return {
        "SUPERSET_HOME": str(settings.home / "superset"),
        "SUPERSET_CONFIG_PATH": str(SUPERSET_CONFIG),
        "FLASK_APP": "superset.app:create_app()",
        "PATH": _path(SUPERSET_BIN),
    }


def clean_environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment for the services: the data folder named, foreign settings left out."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN_VARIABLES)}
    return {**kept, "CUSTOMS_HOME": str(settings.home)}


def _private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    path.chmod(0o600)


def render(settings: Settings) -> str:
    """Return supervisord's configuration."""
    config = configparser.RawConfigParser()
    config.optionxform = str  # type: ignore[assignment,method-assign]
    socket = settings.sockets / "supervisor.sock"

    def literal(value: object) -> str:
        return str(value).replace("%", "%%")

    config["unix_http_server"] = {"file": literal(socket), "chmod": "0700"}
    config["supervisord"] = {
        "nodaemon": "true",
        "logfile": literal(settings.logs / "supervisor.log"),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "1",
        "pidfile": literal(settings.run / "supervisord.pid"),
        "directory": literal(settings.home),
        "childlogdir": literal(settings.logs),
        **({"user": "root"} if os.geteuid() == 0 else {}),
    }
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for service in services(settings):
        launch = [sys.executable, str(LAUNCHER), "service", str(settings.run), service.name]
        launch += [f"SIG{service.stop_signal}", *([service.account] if service.account else []), "--"]
        environment = {"CUSTOMS_HOME": str(settings.home), **service.environment}
        config[f"program:{service.name}"] = {
            "command": literal(" ".join(f'"{part}"' for part in [*launch, *service.command])),
            "environment": literal(",".join(f'{key}="{value}"' for key, value in environment.items())),
            "directory": "/" if service.account else literal(settings.home),
            "autostart": "false",
            "autorestart": "true",
            "startsecs": "3",
            "startretries": "3",
            "stopsignal": service.stop_signal,
            "stopwaitsecs": str(service.stop_seconds),
            # PostgreSQL ends its own processes; a signal to all of them would cut the shutdown checkpoint
            "stopasgroup": "false" if service.name == "postgres" else "true",
            "killasgroup": "true",
            "priority": str(service.priority),
            "redirect_stderr": "true",
            "stdout_logfile": literal(settings.logs / f"{service.name}.log"),
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": "2",
        }
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def write_configuration(settings: Settings, secrets: Secrets) -> None:
    """Write the configuration of the supervisor, Airflow and Superset below the data folder, owner-only."""
    for folder in (settings.run, settings.logs, settings.home / "lineage", settings.home / "mlflow" / "artifacts"):
        folder.mkdir(parents=True, exist_ok=True)
    settings.run.chmod(0o711)
    if settings.sockets != settings.run:
        settings.sockets.mkdir(mode=0o711, exist_ok=True)
        if settings.sockets.stat().st_uid != os.geteuid():
            raise CustomsError(f"{settings.sockets} belongs to another account: set CUSTOMS_HOME to a shorter path.")
    airflow = Template((AIRFLOW_FILES / "airflow.cfg").read_text(encoding="utf-8")).substitute(
        repository=REPOSITORY,
        home=settings.home,
        logs=settings.logs,
        parallelism=settings.airflow_parallelism,
        url=settings.airflow_url,
        port=settings.airflow_port,
        database=settings.database_url("airflow").replace("%", "%%"),
        fernet_key=secrets.airflow_fernet_key,
        secret_key=secrets.airflow_secret_key,
        jwt_secret=secrets.airflow_jwt_secret,
    )
    _private(settings.home / "airflow" / "airflow.cfg", airflow)
    shutil.copy(AIRFLOW_FILES / "webserver_config.py", settings.home / "airflow" / "webserver_config.py")
    superset = {"secret_key": secrets.superset_secret_key, "database": settings.database_url("superset")}
    _private(settings.home / "superset" / "settings.json", json.dumps(superset, indent=1))
    _private(settings.run / "supervisord.conf", render(settings))


def _proxy(settings: Settings) -> Any:
    # the address is a formality: the transport speaks through the socket
    transport = SupervisorTransport(None, None, f"unix://{settings.sockets / 'supervisor.sock'}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def _stop_together(settings: Settings, names: list[str]) -> None:
    proxy = _proxy(settings)
    for name in names:
        with suppress(xmlrpc.client.Fault):  # was not running
            proxy.stopProcess(name, False)
    while any(p["name"] in names and p["statename"] == "STOPPING" for p in proxy.getAllProcessInfo()):
        time.sleep(0.2)


@contextmanager
def _reported(action: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TryAgainError(f"The services are not running (cannot {action}): `customs up` starts them.") from error
    except xmlrpc.client.Error as error:
        raise CustomsError(f"The supervisor could not {action}: {error}") from error


def is_running(settings: Settings) -> bool:
    """Return whether the supervisor of this data folder answers."""
    try:
        return _proxy(settings).getState()["statename"] == "RUNNING"
    except (xmlrpc.client.Error, OSError):
        return False


def states(settings: Settings) -> dict[str, str]:
    """Return service name to ``up`` or ``down`` (all down when the supervisor is)."""
    try:
        running = {p["name"]: p["statename"] for p in _proxy(settings).getAllProcessInfo()}
    except (xmlrpc.client.Error, OSError):
        running = {}
    return {s.name: "up" if running.get(s.name) == "RUNNING" else "down" for s in services(settings)}


def start_supervisor(settings: Settings) -> None:
    """Start the supervisor in a session of its own; it starts no service yet.

    Raises:
        CustomsError: it ended at once.
    """
    for stale in settings.run.glob("*.pid"):
        stale.unlink()
    log = settings.logs / "supervisor.out"
    command = [sys.executable, LAUNCHER, "supervisor", "--", PLATFORM_BIN / "supervisord", "-n"]
    command += ["-c", settings.run / "supervisord.conf"]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=settings.home,
            env=clean_environment(settings),
        )
    while not is_running(settings):
        if process.poll() is not None:
            raise CustomsError(f"The supervisor ended at once.\n{tail(log)}\nLog: {log}")
        time.sleep(0.1)


def start(settings: Settings, name: str) -> None:
    """Start a service unless it runs."""
    proxy = _proxy(settings)
    with _reported(f"start {name}"):
        if proxy.getProcessInfo(name)["statename"] not in ("RUNNING", "STARTING"):
            proxy.startProcess(name, False)


def restart(settings: Settings, name: str) -> None:
    """Stop and start a service."""
    proxy = _proxy(settings)
    with _reported(f"restart {name}"):
        if proxy.getProcessInfo(name)["statename"] in ("RUNNING", "STARTING"):
            proxy.stopProcess(name)
        proxy.startProcess(name, False)


def log_file(settings: Settings, name: str) -> Path:
    """Return a service's log file."""
    return settings.logs / f"{name}.log"


def tail(file: Path, lines: int = LOG_TAIL) -> str:
    """Return the last lines of a log file."""
    if not file.is_file():
        return "(no log yet)"
    return "\n".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def answers(url: str) -> bool:
    """Return whether an address answers 200."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def wait_healthy(settings: Settings, names: list[str]) -> Iterator[tuple[str, float]]:
    """Wait until services answer, as long as they live and their logs move.

    Yields:
        (service name, seconds) as each one answers.

    Raises:
        CustomsError: one died for good or went quiet; with its last log lines.
    """
    clock = time.monotonic()
    waiting = {s.name: s for s in services(settings) if s.name in names}
    moved = {name: (0, time.monotonic()) for name in waiting}
    proxy = _proxy(settings)
    while waiting:
        for name, service in list(waiting.items()):
            with _reported(f"look at {name}"):
                state = proxy.getProcessInfo(name)["statename"]
            log = log_file(settings, name)
            if state == "RUNNING" and (service.health is None or answers(service.health)):
                waiting.pop(name)
                yield name, time.monotonic() - clock
                continue
            size = log.stat().st_size if log.is_file() else 0
            if size != moved[name][0]:
                moved[name] = (size, time.monotonic())
            quiet = time.monotonic() - moved[name][1] > QUIET_SECONDS
            if quiet or state in ("FATAL", "EXITED", "STOPPED"):
                cause = f"did not answer and wrote nothing for {QUIET_SECONDS} s" if quiet else "does not stay up"
                raise CustomsError(f"{tail(log)}\nService {name} {cause}: the lines above say why. Log: {log}")
        time.sleep(0.3)


def _below(settings: Settings) -> list[psutil.Process]:
    """Return the supervisor and every process below it, or what a killed supervisor left behind."""
    try:
        root = psutil.Process(int((settings.run / "supervisord.pid").read_text(encoding="ascii")))
        if str(settings.run / "supervisord.conf") in root.cmdline():
            return [root, *root.children(recursive=True)]
    except (OSError, ValueError, psutil.Error):
        pass
    left = []
    for file in settings.run.glob("*.pid"):
        try:
            process = psutil.Process(int(file.read_text(encoding="ascii")))
            # the file is written when the process starts: another creation time means the number was used again
            if abs(process.create_time() - file.stat().st_mtime) < 60:
                left += [process, *process.children(recursive=True)]
        except (OSError, ValueError, psutil.Error):
            continue
    return left


def stop(settings: Settings) -> int:
    """Stop all services and the supervisor; return the number of processes ended. Nothing of theirs stays.

    Raises:
        CustomsError: a process survived being killed.
    """
    processes = _below(settings)
    if is_running(settings):
        with _reported("stop the services"):
            # all at once but the database, which the others still write to as they end
            names = [service.name for service in services(settings)]
            _stop_together(settings, [name for name in names if name != "postgres"])
            _stop_together(settings, [name for name in names if name == "postgres"])
            _proxy(settings).shutdown()
        processes = list({p.pid: p for p in [*processes, *_below(settings)]}.values())
        psutil.wait_procs(processes[:1], timeout=15)
    # what put itself out of the supervisor's reach, in a session of its own
    _, left = psutil.wait_procs(processes, timeout=1)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(left, timeout=4)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _, left = psutil.wait_procs(left, timeout=5)
    if left:
        raise CustomsError(f"Processes {', '.join(str(p.pid) for p in left)} could not be ended: end them by hand.")
    for stale in [*settings.run.glob("*.pid"), settings.sockets / "supervisor.sock"]:
        stale.unlink(missing_ok=True)
    return len(processes)


def port_holders(ports: list[int]) -> dict[int, str]:
    """Return who listens on ports, as far as this account may see."""
    holders = {}
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return {}
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port in ports and connection.pid:
            try:
                process = psutil.Process(connection.pid)
                holders[connection.laddr.port] = f"process {process.pid} ({' '.join(process.cmdline())[:80]})"
            except psutil.Error:
                continue
    return holders
