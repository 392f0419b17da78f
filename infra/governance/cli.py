"""`customs audit`, `customs share` and `customs governance`: three rooms of commands, one module to mount."""

import typer

from infra.governance.audit_cli import app as audit_app
from infra.governance.governance_cli import app as governance_app
from infra.governance.refresh_cli import refresh
from infra.governance.share_cli import app as share_app

governance_app.command(epilog="Examples:  customs governance refresh  ·  customs governance refresh --json")(refresh)
app = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
app.add_typer(audit_app, name="audit")
app.add_typer(share_app, name="share")
app.add_typer(governance_app, name="governance")
