"""`customs up`: from nothing to published dashboards, step by step, each step skipped when it was done before."""

import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

from infra.governance.accounts import add_first_accounts
from infra.runtime.errors import BadArgumentsError, CustomsError
from infra.runtime.secrets import Secrets, create_secrets
from infra.runtime.settings import REPOSITORY, Settings, active_home
from infra.services import flow, preflight, supervisor
from infra.services.airflow_client import Airflow
from infra.services.console import Steps, line, note
from infra.services.day import Day, choose_day, folder_fingerprint, landed_days
from infra.services.start import start_services

PLAN = [
    ("Check the machine", 1),
    ("Prepare the data folder", 5),
    ("Start the services", 60),
    ("Fill landing", 20),
    *((stage.title, stage.usual_seconds) for stage in flow.STAGES),
]
ACTIVE = REPOSITORY / "var" / ".active"


def check_machine(settings: Settings) -> None:
    """Refuse a machine the platform cannot run on, before anything is half done.

    Raises:
        BadArgumentsError: one sentence with the remedy.
    """
    running = supervisor.is_running(settings)
    ports = settings.ports
    problem = preflight.first_problem(
        [
            preflight.wrong_python(),
            preflight.too_little_disk(settings.home, preflight.RUN_DISK_GIB),
            None if running else preflight.too_little_memory(),
            None if running else preflight.occupied_port(ports, supervisor.port_holders(list(ports.values()))),
        ]
    )
    if problem:
        raise BadArgumentsError(problem)


def stop_other_home(settings: Settings) -> None:
    """Stop the services of another data folder of this checkout when they hold a port these need."""
    other = settings.model_copy(update={"home": active_home()})
    if other.home == settings.home or not supervisor.is_running(other):
        return
    if preflight.occupied_port(settings.ports):
        supervisor.stop(other)
        note(f"Stopped the services of {other.home}, which use the same ports; its data stays.")


def run_command(settings: Settings, *words: str) -> None:
    """Run a `customs` command for a data folder; what it prints is shown as progress.

    Raises:
        CustomsError: it failed; with its own exit code.
    """
    done = subprocess.run(
        [supervisor.PLATFORM_BIN / "customs", *words],
        env=supervisor.clean_environment(settings),
        stdout=sys.stderr,  # standard output is for the table at the end
        check=False,
    )
    if done.returncode:
        error = CustomsError(f"`customs {' '.join(words)}` failed: the lines above say why.")
        error.exit_code = done.returncode
        raise error


def fill_landing(settings: Settings, day: Day) -> Day:
    """Put the simulated history or the user's files into landing, unless they are there; return the day as it is now.

    Raises:
        BadArgumentsError: no file of the folder has a known layout.
    """
    if day.source:
        run_command(settings, "lake", "land", day.source, "--date", day.business_date)
        landed = folder_fingerprint(Path(day.source))
    else:
        folders = ("--out", str(settings.landing), "--truth", str(settings.truth))
        run_command(settings, "simulate", "--size", day.size, "--to", day.business_date, *folders)
        landed = f"{day.size} until {day.business_date}"
    days = landed_days(settings)
    if days is None:
        raise BadArgumentsError(f"Nothing was put into {settings.landing}: are there files in {day.source}?")
    first, last = days
    return day.with_landed(landed, first, last if day.source else day.business_date).save(settings)


def is_landed(day: Day) -> bool:
    """Return whether landing holds what the day asks for."""
    if day.source:
        return day.landed == folder_fingerprint(Path(day.source))
    return day.landed == f"{day.size} until {day.business_date}"


def bring_up(
    settings: Settings, size: str | None, source: Path | None, wanted: date | None, again: bool
) -> tuple[Secrets, bool, str]:
    """Start everything and bring the business day from landed files to dashboards.

    Args:
        settings: settings of the data folder to use.
        size: ``small`` or ``full``; default small.
        source: folder with files of the user's own instead of the simulated day.
        wanted: business day; default the last complete one, then the one the folder holds.
        again: run the day through the DAGs even if that was done.

    Returns:
        (secrets, whether they are new, time taken).

    Raises:
        CustomsError: a step failed; the message names it, its cause and its log.
    """
    steps = Steps(PLAN)
    steps.show_plan()
    with steps.step("Check the machine"):
        stop_other_home(settings)
        day = choose_day(settings, size, source, wanted)
        check_machine(settings)

    with steps.step("Prepare the data folder"):
        settings.home.mkdir(parents=True, exist_ok=True)
        secrets, fresh = create_secrets(settings)
        add_first_accounts(settings, secrets.passwords, renew=fresh)
        if settings.home.is_relative_to(ACTIVE.parent):
            # which of the checkout's own data folders later commands mean; one set with CUSTOMS_HOME stays private
            ACTIVE.write_text(f"{settings.home}\n", encoding="utf-8")
        day.save(settings)
        run_command(settings, "lake", "init")
        line(f"{settings.home}, business day {day.business_date}")

    with steps.step("Start the services"):
        if not start_services(settings, secrets, line):
            line("all up already")

    if is_landed(day):
        steps.skip("Fill landing", "unchanged")
    else:
        with steps.step("Fill landing"):
            day = fill_landing(settings, day)
            line(f"{day.first_day} to {day.business_date}")

    if day.done == day.landed and not again:
        for stage in flow.STAGES:
            steps.skip(stage.title, "done before")
        return secrets, fresh, steps.elapsed

    airflow = Airflow(settings, "admin", secrets.passwords["admin"])
    # new files on a day that was done, or a wish, start the chain from the beginning; else it goes on where it stopped
    if again or day.done or not day.since:
        day = day.begun_again().save(settings)
    follower = flow.Follower(airflow, day.business_date, datetime.fromisoformat(str(day.since)))
    for number, stage in enumerate(flow.STAGES):
        with steps.step(stage.title):
            if number == 0:
                flow.wait_for_dags(airflow)
                if resumed := follower.resume_failed():
                    line(f"going on with {', '.join(resumed)}")
                follower.trigger_missing(stage, day.first_day or day.business_date)
            for text in follower.follow(stage):
                line(text)
    day.finished().save(settings)
    return secrets, fresh, steps.elapsed
