"""Starts one service below the supervisor, so that it can neither outlive it nor leave workers behind; stdlib only.

``launch.py supervisor -- <command>``                              makes the command inherit its orphans, then runs it
``launch.py service <run folder> <name> <signal> [account] -- …``  ends orphans, notes the process id, then runs it

Airflow's workers outlive a killed scheduler and would run a task twice beside the restarted one. The supervisor
inherits them (PR_SET_CHILD_SUBREAPER); the next service started ends every process below it that no service owns.
"""

import ctypes
import os
import pwd
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _parents() -> dict[int, int]:
    """Return process id to parent id of all processes."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue  # gone meanwhile
    return parents


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _tree(root: int, parents: dict[int, int]) -> list[int]:
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def orphans(supervisor: int, run_folder: Path) -> list[int]:
    """Return the processes below the supervisor that belong to no running service.

    A service's own process id is in ``<run folder>/<name>.pid``; one that is just starting is still a launcher.
    """
    owned = {int(file.read_text() or 0) for file in run_folder.glob("*.pid")} | {os.getpid()}
    parents = _parents()
    supervisor_command = _command_line(supervisor)
    return [
        pid
        for child, parent in parents.items()
        if parent == supervisor and child not in owned
        if (command := _command_line(child)) and command != supervisor_command and __file__ not in command
        for pid in _tree(child, parents)
    ]


def end(pids: list[int], patience: float = 5.0) -> None:
    """Ask processes to end, then insist."""
    for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 2.0)):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            pids = [pid for pid in pids if _command_line(pid)]
            if not pids:
                return
            time.sleep(0.1)


def main(arguments: list[str]) -> None:
    """Prepare the process and become the command."""
    cut = arguments.index("--")
    options, command = arguments[:cut], arguments[cut + 1 :]
    if options[0] == "supervisor":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    else:
        _, folder, name, death_signal, *account = options
        run_folder = Path(folder)
        end(orphans(os.getppid(), run_folder))
        (run_folder / f"{name}.pid").write_text(str(os.getpid()), encoding="ascii")
        if account:
            entry = pwd.getpwnam(account[0])
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
        # last, because a change of account resets it: end with the supervisor even if that is killed
        _prctl(_PR_SET_PDEATHSIG, signal.Signals[death_signal])
    os.execv(command[0], command)  # noqa: S606 - the point is to become the service


if __name__ == "__main__":
    main(sys.argv[1:])
