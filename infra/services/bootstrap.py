"""From a bare Python 3.11 to a working checkout: two environments, the project, the Delta JARs, Spark's class archive.

Run by ``make``; stdlib only. Every part leaves a stamp in ``.setup/`` naming what it was made from, so a second run
takes no time and an interrupted one goes on where it stopped. ``--browser`` also looks for the Chromium of the tests.
"""

import sys

if sys.version_info[:2] != (3, 11):
    # older syntax on purpose: any Python must be able to say this
    sys.exit(
        "customs: Python %d.%d cannot run this platform (its pins need 3.11): "  # noqa: UP031
        "install Python 3.11 and run `make up PYTHON=/path/to/python3.11`." % sys.version_info[:2]
    )

import hashlib
import importlib.util
import os
import shutil
import subprocess
import time
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from infra.runtime.ports import SERVICE_PORTS  # noqa: E402 - found by the line above
from infra.services import preflight  # noqa: E402 - likewise

STAMPS = REPOSITORY / ".setup"
ENVS = REPOSITORY / "infra" / "envs"
PLATFORM = REPOSITORY / ".venv"
SUPERSET = REPOSITORY / ".venv-superset"
TOOLS = STAMPS / "tools"
# pip's options that uv understands under another name; with any other option set, pip does the work itself
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "no-index": "UV_NO_INDEX",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "trusted-host": "UV_INSECURE_HOST",
}
WITHOUT_EFFECT = {
    "disable-pip-version-check",
    "no-cache-dir",
    "root-user-action",
    "no-input",
    "progress-bar",
    "quiet",
    "retries",
}


class SetupError(Exception):
    """One sentence that says what failed and what to do."""


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201 - the set-up runs before any console library is there


def fingerprint(*files: Path) -> str:
    """Return a hash of the files' content and of this Python."""
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def is_fresh(part: str, made_from: str, *results: Path) -> bool:
    """Return whether a part was finished from the same input and its results are still there."""
    stamp = STAMPS / part
    return stamp.is_file() and stamp.read_text(encoding="ascii") == made_from and all(p.exists() for p in results)


def finish(part: str, made_from: str) -> None:
    """Write the stamp of a finished part."""
    STAMPS.mkdir(exist_ok=True)
    (STAMPS / part).write_text(made_from, encoding="ascii")


def logged(command: list, log: Path, env: dict | None = None) -> subprocess.Popen:
    """Start a command whose output goes to a log file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [str(part) for part in command],
        stdout=log.open("w", encoding="utf-8"),
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        cwd=REPOSITORY,
        env={**os.environ, **(env or {})},
    )


def ended_well(process: subprocess.Popen, log: Path, remedy: str) -> None:
    """Wait for a command; raise with its last lines when it failed."""
    if process.wait() == 0:
        return
    last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
    raise SetupError(f"{last}\nSet-up of {log.stem} failed: {remedy} Log: {log}")


def make_environment(folder: Path) -> None:
    """Create an empty environment with pip."""
    if not (folder / "bin" / "python").exists() or not (folder / "bin" / "pip").exists():
        venv.create(folder, with_pip=True, symlinks=True, clear=folder.exists())


def uv_environment(tools: Path = TOOLS) -> dict | None:
    """Return the user's pip configuration as uv's variables, or None when pip has to do it itself."""
    listing = subprocess.run(
        [tools / "bin" / "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    variables: dict = {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        option = key.rsplit(".", 1)[-1].lstrip(".")
        if option in WITHOUT_EFFECT:
            continue
        if option not in UV_NAMES:
            return None
        variables[UV_NAMES[option]] = " ".join(value.strip("'\"").replace("\\n", " ").split())
    return variables


def get_uv() -> tuple[Path, dict] | None:
    """Install uv (hash-pinned, through pip) and return it with its configuration, or None to use pip."""
    made_from = fingerprint(ENVS / "bootstrap.txt")
    uv = TOOLS / "bin" / "uv"
    if not is_fresh("uv", made_from, uv):
        make_environment(TOOLS)
        log = STAMPS / "uv.log"
        install = [TOOLS / "bin" / "pip", "install", "--no-deps", "--require-hashes", "-r", ENVS / "bootstrap.txt"]
        if logged(install, log).wait() != 0:
            return None
        finish("uv", made_from)
    variables = uv_environment()
    return None if variables is None else (uv, variables)


def install_requirements(parts: dict) -> None:
    """Install hash-pinned requirements, all environments, with uv where possible and pip otherwise.

    The lists are complete, so nothing is resolved: ``--no-deps``.

    Args:
        parts: name to (environment folder, requirements file).
    """
    for folder, _ in parts.values():
        make_environment(folder)
    uv = get_uv()
    waiting = dict(parts)
    if uv:
        for name, (folder, requirements) in parts.items():
            log = STAMPS / f"{name}.log"
            command = [uv[0], "pip", "install", "--python", folder / "bin" / "python", "--no-deps"]
            # as pip does: a day starts some hundred processes, and where Python may not write its bytecode (a read-only
            # installation, PYTHONDONTWRITEBYTECODE) each of them would compile thousands of modules again
            command += ["--compile-bytecode", "--require-hashes", "-r", requirements]
            if logged(command, log, uv[1]).wait() != 0:
                say(f"      uv could not install {requirements.name} (see {log}); pip does it, which takes longer")
                break
            finish(name, fingerprint(requirements))
            waiting.pop(name)
    running = []
    for name, (folder, requirements) in waiting.items():
        log = STAMPS / f"{name}.log"
        command = [folder / "bin" / "python", "-m", "pip", "install", "--no-deps", "--require-hashes"]
        running.append((name, requirements, logged([*command, "-r", requirements], log), log))
    for name, requirements, process, log in running:
        ended_well(process, log, "check the network and pip's configuration (`pip config list`), then run make again.")
        finish(name, fingerprint(requirements))


def install_project() -> None:
    """Install the checkout itself, editable, with the build tools of the environment."""
    log = STAMPS / "project.log"
    command = [PLATFORM / "bin" / "python", "-m", "pip", "install", "--no-deps", "--no-build-isolation", "-e", "."]
    ended_well(logged(command, log), log, "this is a bug of the checkout's pyproject.toml.")
    finish("project", fingerprint(REPOSITORY / "pyproject.toml"))


def fetch_jars() -> None:
    """Fetch and verify the Delta JARs."""
    log = STAMPS / "jars.log"
    process = logged([PLATFORM / "bin" / "python", "-m", "infra.services.jars"], log)
    ended_well(process, log, "check the network, or put the files of infra/envs/jars.sha256 into .jars/ by hand.")


def archive_classes() -> None:
    """Archive Spark's classes; Spark works without, each session a few seconds later."""
    log = STAMPS / "classes.log"
    if logged([PLATFORM / "bin" / "python", "-m", "infra.services.classes"], log).wait():
        say(f"        this Java keeps none: Spark starts from its JARs, some seconds slower each time. Log: {log}")
    finish("classes", fingerprint(ENVS / "platform.txt", ENVS / "jars.sha256"))


def ensure_browser() -> None:
    """Install Chromium for the browser tests where there is none, apt is there and the account may use it."""
    if any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        say("No Chromium: the browser tests need it; install the package chromium as an administrator.")
        return
    say("Installing Chromium for the browser tests …")
    log = STAMPS / "browser.log"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    logged(["apt-get", "update", "-qq"], log, quiet).wait()
    if logged(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"], log, quiet).wait():
        say(f"Chromium could not be installed; the browser tests will say so. Log: {log}")


def ports() -> dict:
    """Return the ports asked for, before any settings class can be imported."""
    return {name: int(os.environ.get(f"CUSTOMS_{name.upper()}_PORT", port)) for name, port in SERVICE_PORTS.items()}


def main() -> int:
    """Bring the checkout up to date; return the exit code."""
    environments = {
        "platform": (PLATFORM, ENVS / "platform.txt"),
        "superset": (SUPERSET, ENVS / "superset.txt"),
    }
    stale = {
        name: part
        for name, part in environments.items()
        if not is_fresh(name, fingerprint(part[1]), part[0] / "bin" / "python")
    }
    project_is_stale = "platform" in stale or not is_fresh(
        "project", fingerprint(REPOSITORY / "pyproject.toml"), PLATFORM / "bin" / "customs"
    )
    jars = [line.split()[1] for line in (ENVS / "jars.sha256").read_text(encoding="ascii").splitlines()]
    jars_are_stale = not all((REPOSITORY / ".jars" / jar).is_file() for jar in jars)
    if "--browser" in sys.argv[1:]:
        ensure_browser()
    classes_are_stale = not is_fresh("classes", fingerprint(ENVS / "platform.txt", ENVS / "jars.sha256"))
    if not (stale or project_is_stale or jars_are_stale or classes_are_stale):
        return 0

    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    problem = preflight.first_problem(
        [
            f"This Python lacks {missing[0]}: install the package python3.11-venv." if missing else None,
            preflight.too_little_disk(REPOSITORY, preflight.SETUP_DISK_GIB) if stale else None,
            preflight.too_little_memory() if stale else None,
            preflight.occupied_port(ports()) if "platform" in stale else None,
        ]
    )
    if problem:
        sys.stderr.write(f"customs: {problem}\n")
        return 2
    start = time.monotonic()
    say("Setting up this checkout (first time about 3 minutes, 4 GB of disk):")
    steps = [
        (f"environments {' and '.join(stale)}", lambda: install_requirements(stale), bool(stale)),
        ("this project", install_project, project_is_stale),
        ("Delta JARs", fetch_jars, jars_are_stale),
        ("archive of Spark's classes", archive_classes, classes_are_stale),
    ]
    steps = [step for step in steps if step[2]]
    for number, (title, action, _) in enumerate(steps, 1):
        say(f"  [{number}/{len(steps)}] {title}")
        clock = time.monotonic()
        try:
            action()
        except SetupError as error:
            sys.stderr.write(f"customs: {error}\n")
            return 1
        say(f"        {time.monotonic() - clock:.0f} s")
    say(f"Set up in {time.monotonic() - start:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
