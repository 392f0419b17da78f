"""`customs audit`: list the log, verify it, show its heads to the steward."""

import json
from datetime import datetime
from typing import Annotated

import typer

from infra.runtime import audit
from infra.runtime.errors import DataContractError
from infra.runtime.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="The audit log: list it, verify that nobody changed it.\n\n"
    "Examples:  customs audit verify  ·  customs audit list",
    context_settings={"help_option_names": ["-h", "--help"]},
)
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command(epilog="Examples:  customs audit verify  ·  customs audit verify --json")
def verify(as_json: AsJson = False) -> None:
    """Read the whole log and name every place that was edited, deleted, reordered or cut. Exit code 3 if any was."""
    verdict = audit.verify(get_settings())
    if as_json:
        figures = {
            "audit": verdict.reason,
            "events": verdict.events,
            "days": verdict.days,
            "head": verdict.head,
            "findings": [vars(found) for found in verdict.findings],
        }
        typer.echo(json.dumps(figures, indent=1, ensure_ascii=False))
        raise typer.Exit(0 if verdict.sound else DataContractError.exit_code)
    for found in verdict.findings:
        typer.echo(f"{found.kind}: {found.sentence}")
    if not verdict.sound:
        raise DataContractError(
            f"The audit log is not what was written ({len(verdict.findings)} findings in {verdict.events} events): "
            "keep the folder as it is and compare it with the copy of the anchors."
        )
    typer.echo(f"{verdict.events} events of {verdict.days} days, nothing changed; head {verdict.head}")


@app.command(
    "list", epilog="Examples:  customs audit list  ·  customs audit list --event share --from 2026-11-20 --json"
)
def list_(
    first: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First UTC day.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last UTC day.")] = None,
    event: Annotated[str | None, typer.Option(help="Events whose name starts so, for example share.")] = None,
    actor: Annotated[str | None, typer.Option(help="Events of this account.")] = None,
    subject: Annotated[str | None, typer.Option(help="Events about this request, contract or account.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List events, oldest first; what people did in Airflow is moved into the log before."""
    from infra.governance.airflow_events import collect

    collect(get_settings())
    found = [
        one
        for one in audit.events(
            get_settings(), first=first.date() if first else None, last=last.date() if last else None
        )
        if (event is None or one.event.startswith(event))
        and (actor is None or one.actor == actor)
        and (subject is None or one.subject == subject)
    ][-limit:]
    if as_json:
        typer.echo(json.dumps([vars(one) for one in found], indent=1, ensure_ascii=False))
        return
    for one in found:
        detail = " ".join(f"{key}={value}" for key, value in one.detail.items())
        typer.echo(
            f"{one.sequence:>6}  {one.at[:19]}Z  {one.event:<22} {one.actor:<18} {one.subject}  {detail}".rstrip()
        )


@app.command(epilog="Example:  customs audit anchor --json")
def anchor(as_json: AsJson = False) -> None:
    """Verify the log and write its daily heads to the lake for the steward's page. Exit code 3 if it was changed."""
    from infra.governance.heads import publish_heads

    figures = publish_heads(get_settings())
    if as_json:
        typer.echo(json.dumps(figures, indent=1, ensure_ascii=False))
    else:
        typer.echo(f"{figures['days']} days, {figures['events']} events, log {figures['audit']}")
    if figures["audit"] != "ok":
        raise DataContractError(f"{figures['audit']} Run `customs audit verify` for every place.")
