"""`customs governance refresh`: what the steward's page shows, written to the lake."""

import json
from typing import Annotated

import typer


def refresh(as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Write what the steward's page shows: audit heads, requests, state of the live tables, samples of quarantine.

    An audit log that was changed is shown on the page and does not stop it; `customs audit verify` ends with exit
    code 3.
    """
    from infra.governance.contract_state import publish_states
    from infra.governance.heads import publish_heads
    from infra.governance.quarantine_samples import publish_samples
    from infra.governance.sharing import publish_requests, requests
    from infra.runtime.report import RunReport
    from infra.runtime.settings import get_settings

    settings = get_settings()
    with RunReport("governance refresh", settings) as report:
        heads = publish_heads(settings)
        publish_requests(settings)
        report.figures |= {
            "audit": heads["audit"],
            "audit_days": heads["days"],
            "requests": len(requests(settings)),
            "quarantine_samples": publish_samples(settings),
            **publish_states(settings),
        }
    figures = report.figures
    if as_json:
        typer.echo(json.dumps(figures, ensure_ascii=False))
        return
    typer.echo(
        f"Audit log of {figures['audit_days']} days: {figures['audit']}; {figures['requests']} requests; "
        f"{figures['tables']} tables, {figures['drifted']} not as their contract says; "
        f"{figures['quarantine_samples']} samples of rows set aside."
    )
