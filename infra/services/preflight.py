"""What a machine must have, checked before anything is half done; stdlib only, so the set-up can ask first.

Each check returns one sentence with the remedy, or None when all is well.
"""

import shutil
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

GIB = 1024**3
PYTHON = (3, 11)
SETUP_DISK_GIB = 6.0
RUN_DISK_GIB = 3.0
MEMORY_GIB = 7.0
FREE_MEMORY_GIB = 4.0


def wrong_python(version: tuple[int, ...] = sys.version_info[:2]) -> str | None:
    """Refuse any Python but 3.11."""
    if tuple(version[:2]) == PYTHON:
        return None
    return (
        f"Python {version[0]}.{version[1]} cannot run this platform (its pins need 3.11): "
        "install Python 3.11 and run `make up PYTHON=/path/to/python3.11`."
    )


def too_little_disk(folder: Path, need_gib: float) -> str | None:
    """Refuse a folder whose disk has less than ``need_gib`` GiB free."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free / GIB
    if free >= need_gib:
        return None
    return (
        f"Too little disk for {folder}: {free:.1f} GiB free, {need_gib:g} GiB needed; free some space, "
        "or point CUSTOMS_HOME at a larger disk (the environments stay in the checkout)."
    )


def _memory_gib() -> tuple[float, float]:
    """Return (total, available) memory in GiB, limited by the control group when there is one."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    total, available = (int(fields[name].split()[0]) * 1024 / GIB for name in ("MemTotal", "MemAvailable"))
    limit_file, used_file = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit_file.is_file() and (limit := limit_file.read_text(encoding="ascii").strip()).isdigit():
        total = min(total, int(limit) / GIB)
        available = min(available, total - int(used_file.read_text(encoding="ascii")) / GIB)
    return total, available


def too_little_memory(memory: tuple[float, float] | None = None) -> str | None:
    """Refuse a machine with less than 7 GiB of memory, or less than 4 GiB of it free.

    Args:
        memory: (total, available) in GiB; default this machine's.
    """
    if memory is None:
        if not Path("/proc/meminfo").is_file():
            return None
        memory = _memory_gib()
    total, available = memory
    if total < MEMORY_GIB:
        return f"Too little memory: {total:.1f} GiB in all, {MEMORY_GIB:g} GiB needed; use a larger machine."
    if available < FREE_MEMORY_GIB:
        return (
            f"Too little free memory: {available:.1f} GiB, {FREE_MEMORY_GIB:g} GiB needed; "
            "close other programs (`ps aux --sort=-rss | head` lists the largest)."
        )
    return None


def port_is_free(port: int) -> bool:
    """Return whether 127.0.0.1:port can be bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def occupied_port(ports: Mapping[str, int], holders: Mapping[int, str] | None = None) -> str | None:
    """Refuse ports another program listens on.

    Args:
        ports: service name to port.
        holders: port to a description of the program that holds it, where known.
    """
    for name, port in ports.items():
        if not port_is_free(port):
            holder = (holders or {}).get(port, f"another program (`ss -ltnp | grep {port}` names it)")
            return (
                f"Port {port} for {name} is occupied by {holder}: stop it, or choose another port "
                f"with CUSTOMS_{name.upper()}_PORT=<port>."
            )
    return None


def first_problem(checks: Iterable[str | None]) -> str | None:
    """Return the first sentence among the checks."""
    return next((sentence for sentence in checks if sentence), None)
