"""`customs <room> <verb>`: the one command line, and the one place that may import every room."""

import importlib
import sys

import click
import typer
from typer.core import TyperGroup
from typer.main import get_command

# room -> (module with a Typer `app`, help line). Rooms are imported only when called, so `customs --help` is instant.
ROOMS = {
    "up": ("infra.services.cli", "Start everything and run the customs day from landed files to dashboards."),
    "down": ("infra.services.cli", "Stop the services; data stays."),
    "status": ("infra.services.cli", "Services, feeds, datasets, models, dashboards and URLs."),
    "services": ("infra.services.cli", "Look after single services: logs, restart."),
    "contracts": ("data_contracts.cli", "Check, build and compare data contracts."),
    "simulate": ("infra.simulator.cli", "Stand in for the source systems: write a customs history to landing."),
    "lake": ("infra.lake.cli", "Ingest landed files into Delta tables; query and maintain them."),
    "datasets": ("infra.lake.datasets_cli", "Build and test the business datasets (dbt)."),
    "quality": ("infra.lake.quality_cli", "Quality gates and the published quality report (Great Expectations)."),
    "serving": ("infra.lake.serving_cli", "Publish one read-only file per role."),
    "features": ("spark_jobs.cli", "Build model features as of a date (Spark)."),
    "models": ("models.cli", "Train, score and evaluate the risk and AEO models."),
    "dashboards": ("dashboards.cli", "Check and publish the Superset dashboards."),
}


class LazyRooms(TyperGroup):
    """Loads a room's commands on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the rooms in the order an operator meets them."""
        return list(ROOMS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the room's command, imported only when it is the one being called."""
        if cmd_name not in ROOMS:
            return None
        module, help_line = ROOMS[cmd_name]
        if cmd_name not in sys.argv[1:2]:
            return click.Command(cmd_name, help=help_line, short_help=help_line)
        command = get_command(importlib.import_module(module).app)
        if isinstance(command, click.Group) and cmd_name in command.commands:
            command = command.commands[cmd_name]
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=LazyRooms,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Examples:  customs up  ·  customs status --json  ·  customs lake ingest declarations --to 2026-11-20",
)


@app.callback()
def _customs() -> None:
    """Smart Customs data platform: from landed files to dashboards, one command per step."""


def main() -> None:
    """Run the command line; errors of ours end in one sentence and their exit code."""
    from infra.runtime.errors import CustomsError

    try:
        app()
    except CustomsError as error:
        sys.stderr.write(f"customs: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
