"""`customs up`, `down`, `status` and `services`: the platform as a whole on one machine."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import Settings, get_settings

app = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
services_app = typer.Typer(
    no_args_is_help=True,
    help="Look after single services.\n\nExamples:  customs services restart superset  ·  customs services logs mlflow",
)
app.add_typer(services_app, name="services")


@app.command()
def up(
    size: Annotated[str | None, typer.Option(help="Size of the simulated history: small (minutes) or full.")] = None,
    source: Annotated[
        Path | None,
        typer.Option("--input", metavar="FOLDER", help="Use the files of this folder instead of the simulated day."),
    ] = None,
    date: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Business day; default the last complete one.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Run the day through the DAGs even if that was done.")] = False,
) -> None:
    """Start everything and run the customs day from landed files to dashboards.

    Run again, it skips what was done; after a failure it goes on where it stopped.

    Examples:  customs up  ·  customs up --size full  ·  customs up --input ~/declarations
    """
    from infra.services.day import home_for
    from infra.services.ending import print_end
    from infra.services.up import bring_up

    if size not in (None, "small", "full"):
        raise BadArgumentsError(f"--size {size} is unknown: choose small or full.")
    if source is not None:
        source = source.expanduser().resolve()
        if not source.is_dir():
            raise BadArgumentsError(f"--input {source} is not a folder: give the folder that holds your files.")
    base = get_settings()
    settings = base.model_copy(update={"home": home_for(base, source)})
    secrets, fresh, elapsed = bring_up(settings, size, source, date.date() if date else None, again)
    print_end(settings, secrets, fresh, elapsed)


@app.command()
def down() -> None:
    """Stop the services and every process of theirs; data stays.

    Example:  customs down
    """
    from infra.services import supervisor

    settings = get_settings()
    ended = supervisor.stop(settings)
    typer.echo(f"Stopped ({ended} processes); the data stays in {settings.home}." if ended else "Nothing was running.")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")] = False,
) -> None:
    """Tell services, feeds, datasets, models, dashboards and addresses.

    Examples:  customs status  ·  customs status --json
    """
    from infra.services.ending import print_status
    from infra.services.status import collect

    settings = get_settings()
    told = collect(settings)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
    else:
        print_status(settings, told, Console())


def _known(settings: Settings, name: str) -> str:
    from infra.services import supervisor

    names = [service.name for service in supervisor.services(settings)]
    if name not in names:
        raise BadArgumentsError(f"There is no service {name}: choose one of {', '.join(names)}.")
    return name


@services_app.command()
def restart(name: Annotated[str, typer.Argument(help="Service, as `customs status` names it.")]) -> None:
    """Restart one service and wait until it answers.

    Example:  customs services restart superset
    """
    from infra.services import supervisor

    settings = get_settings()
    supervisor.restart(settings, _known(settings, name))
    for service, seconds in supervisor.wait_healthy(settings, [name]):
        typer.echo(f"{service} up, {seconds:.0f} s")


@services_app.command()
def logs(
    name: Annotated[str, typer.Argument(help="Service, as `customs status` names it.")],
    lines: Annotated[int, typer.Option(help="How many of the last lines.")] = 50,
) -> None:
    """Print the last lines of a service's log.

    Example:  customs services logs airflow-scheduler --lines 100
    """
    from infra.services import supervisor

    settings = get_settings()
    file = supervisor.log_file(settings, _known(settings, name))
    typer.echo(supervisor.tail(file, lines))
    typer.echo(f"({file})", err=True)
