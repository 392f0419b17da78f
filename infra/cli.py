"""`customs <room> <verb>`: the one command line, and the one place that may import every room."""

import importlib
import sys

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from infra.runtime.errors import ended

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
    "chain": ("infra.lake.chain_cli", "Follow trains over the land border, from the manifest to the last release."),
    "share": ("infra.governance.cli", "Share datasets by request, approval and expiry, with proof."),
    "audit": ("infra.governance.cli", "The hash-chained audit log: list, verify, anchor."),
    "governance": ("dashboards.governance_cli", "The report; accounts, pseudonym keys, vault, erasure of a person."),
    "features": ("spark_jobs.cli", "Build model features as of a date (Spark)."),
    "models": ("models.cli", "Train, score and evaluate the risk and AEO models."),
    "dashboards": ("dashboards.cli", "Check and publish the Superset dashboards."),
}


class LazyRooms(TyperGroup):
    """Loads a room's commands on first use."""

    def list_commands(self, ctx):
        """Return the rooms in the order an operator meets them."""
        return list(ROOMS)

    def get_command(self, ctx, cmd_name: str):
        """Return the room's command, imported only when it is the one being called."""
        if cmd_name not in ROOMS:
            return None
        module, help_line = ROOMS[cmd_name]
        if cmd_name not in sys.argv[1:2]:
            return TyperCommand(cmd_name, help=help_line, short_help=help_line)
        command = get_command(importlib.import_module(module).app)
        # one module may hold several of these rooms: take the one that was called
        return getattr(command, "commands", {}).get(cmd_name, command)


app = typer.Typer(
    cls=LazyRooms,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Examples:  customs up  ·  customs status --json  ·  customs lake ingest declarations --to 2026-11-20",
)


@app.callback()
def _customs(context: typer.Context) -> None:
    """Smart Customs data platform: from landed files to dashboards, one command per step."""
    if context.invoked_subcommand == "simulate":
        # the simulator stands for other people's systems and knows no settings: where they deliver is told from here
        from infra.runtime.settings import get_settings

        settings = get_settings()
        context.default_map = {"simulate": {"out": str(settings.landing), "truth": str(settings.truth)}}


def main() -> None:
    """Run the command line; an error of ours ends in one sentence and its exit code."""
    sys.exit(ended(lambda: app(prog_name="customs")))


if __name__ == "__main__":
    main()
