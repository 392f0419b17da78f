"""Which business day a data folder holds, and how far it came."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import REPOSITORY, Settings


@dataclass(frozen=True)
class Day:
    """The day ``customs up`` brings through the platform.

    ``source`` is a folder of files, or None for the simulated day. ``landed`` names what lies in landing (a simulation,
    or a fingerprint of the folder), ``done`` what of it was last brought through to the dashboards. ``since`` is when
    its DAGs were last started from the beginning (UTC): older runs do not count.
    """

    business_date: str
    size: str
    source: str | None = None
    first_day: str | None = None
    landed: str | None = None
    done: str | None = None
    since: str | None = None

    def save(self, settings: Settings) -> "Day":
        """Write ``<home>/day.json``."""
        unfinished = settings.home / "day.json.new"
        unfinished.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        unfinished.replace(settings.home / "day.json")
        return self

    def with_landed(self, landed: str, first: str, last: str) -> "Day":
        """Return the day after its files were put into landing."""
        return replace(self, landed=landed, first_day=first, business_date=last)

    def begun_again(self) -> "Day":
        """Return the day as one whose DAGs have yet to start."""
        return replace(self, done=None, since=datetime.now(UTC).isoformat(timespec="seconds"))

    def finished(self) -> "Day":
        """Return the day after the dashboards were published."""
        return replace(self, done=self.landed)


def yesterday(settings: Settings) -> str:
    """Return the last complete business day in the office's time zone."""
    return (datetime.now(ZoneInfo(settings.office_time_zone)) - timedelta(days=1)).date().isoformat()


def read_day(settings: Settings) -> Day | None:
    """Return the day of a data folder, or None before the first ``up``."""
    file = settings.home / "day.json"
    return Day(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def choose_day(settings: Settings, size: str | None, source: Path | None, wanted: date | None) -> Day:
    """Return the day to bring through: the one the data folder holds, else a new one.

    Raises:
        BadArgumentsError: the folder holds other data.
    """
    present = read_day(settings)
    if present is None:
        asked = wanted.isoformat() if wanted else yesterday(settings)
        return Day(asked, size or "small", str(source) if source else None)
    if present.source != (str(source) if source else None):
        held = f"the files of {present.source}" if present.source else "the simulated day"
        raise BadArgumentsError(f"{settings.home} holds {held}: set CUSTOMS_HOME to another folder for other data.")
    if (size and size != present.size) or (wanted and wanted.isoformat() != present.business_date):
        raise BadArgumentsError(
            f"{settings.home} holds the {present.size} day {present.business_date}: leave --size and --date out to go "
            "on with it, or set CUSTOMS_HOME to another folder for another day."
        )
    return present


def folder_fingerprint(folder: Path) -> str:
    """Return a name for the files of a folder that changes when one of them does."""
    seen = [
        (str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]


def landed_days(settings: Settings) -> tuple[str, str] | None:
    """Return the first and last day that has files in ``<landing>/<feed>/<day>/``, the platform's code lists aside."""
    files = (file for file in settings.landing.glob("*/[0-9]*-*-*/*") if file.is_file())
    days = sorted({file.parent.name for file in files if not file.parents[1].name.startswith("reference_")})
    return (days[0], days[-1]) if days else None


def home_for(base: Settings, source: Path | None) -> Path:
    """Return the data folder to use: the one set, else ``var/``, or ``var/input/<name>`` for a user's own files."""
    if "home" in base.model_fields_set:
        return base.home.resolve()
    return REPOSITORY / "var" / "input" / source.resolve().name if source else REPOSITORY / "var"
