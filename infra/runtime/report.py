"""Run reports: one small JSON per command, read by the scheduler's operators and by `customs status`."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.runtime.settings import Settings, get_settings


class RunReport:
    """Collects figures of one command and writes them to ``<home>/reports/<command>/<stamp>.json``.

    Use as a context manager; ``outcome`` becomes ``done`` or ``failed``, ``seconds`` the wall time.
    """

    def __init__(self, command: str, settings: Settings | None = None, **figures: Any) -> None:
        self.command = command
        self.settings = settings or get_settings()
        self.figures: dict[str, Any] = dict(figures)
        self.path: Path | None = None

    def __enter__(self) -> "RunReport":
        self._clock = time.monotonic()
        self._started = datetime.now(UTC)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        record = {
            "command": self.command,
            "started_at": self._started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._clock, 2),
            "outcome": "done" if kind is None else "failed",
            **({"error": str(error)} if error else {}),
            **self.figures,
        }
        folder = self.settings.reports / self.command.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{self._started.strftime('%Y%m%dT%H%M%S%f')}.json"
        self.path.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")


def latest_report(command: str, settings: Settings | None = None) -> dict[str, Any] | None:
    """Return the newest report of a command, or None when it never ran."""
    folder = (settings or get_settings()).reports / command.replace(" ", "_")
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return json.loads(files[-1].read_text(encoding="utf-8")) if files else None
