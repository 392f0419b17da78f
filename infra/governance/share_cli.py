"""`customs share`: from a request for data to its delivery and its end."""

import json
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from infra.governance.accounts import Account, session_account
from infra.runtime.settings import Settings, get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Share data with another authority: request, check, approve, deliver, revoke.\n\n"
    "You act as the account of your session: `customs governance login NAME` opens one.\n\n"
    "Examples:  customs share list  ·  customs share check SR-20261122-001",
    context_settings={"help_option_names": ["-h", "--help"]},
)
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Session = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Session to act with (default: that of the last login).")
]
RequestId = Annotated[str, typer.Argument(metavar="REQUEST", help="Number of the request, SR-20261122-001.")]
Reason = Annotated[str, typer.Option(help="Why, in a sentence the requester can read.")]


def _acting(session: Path | None) -> tuple[Settings, Account]:
    settings = get_settings()
    return settings, session_account(settings, session)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _list(value: str | None) -> tuple[str, ...]:
    return tuple(word for word in (value or "").replace(" ", "").split(",") if word)


def _day(value: datetime | None) -> date | None:
    return value.date() if value else None


def _summary(settings: Settings, request: Any) -> dict[str, Any]:
    wish = request.wish
    due = request.due(settings.office_time_zone)
    return {
        "request": request.id,
        "state": request.state,
        "contract": wish.contract,
        "kind": wish.kind,
        "columns": list(wish.columns),
        "measures": list(wish.measures),
        "recipient": wish.recipient,
        "purpose": wish.purpose,
        "legal_basis": wish.legal_basis,
        "requester": request.requester,
        "approved_by": [name for name, _ in request.approvals],
        "due": {"step": due[0], "on": due[1].isoformat()} if due else None,
        "expires_at": request.expires_at.isoformat(timespec="seconds") if request.expires_at else None,
        "steps": [{"at": s.at.isoformat(timespec="seconds"), "step": s.step, "actor": s.actor} for s in request.steps],
    }


def _show(settings: Settings, request: Any, as_json: bool, *more: str) -> None:
    if as_json:
        typer.echo(json.dumps(_summary(settings, request), indent=1, ensure_ascii=False))
        return
    due = request.due(settings.office_time_zone)
    typer.echo(f"{request.id} is {request.state}" + (f"; {due[0]} due by {due[1]}" if due else ""))
    for line in more:
        typer.echo(f"  {line}")


@app.command(
    epilog="Examples:  customs share request enterprises.enterprise --columns registered_region,industry_code "
    "--kind aggregate --recipient 'Tax bureau' --purpose 'Joint risk study' --legal-basis 'Decree 809'  ·  "
    "customs share request ecommerce.list --columns business_date,customs_office_code,buyer_id --from 2026-10-01 …"
)
def request(
    contract: Annotated[str, typer.Argument(help="Table, by its contract: ecommerce.list.")],
    columns: Annotated[str, typer.Option(help="Columns, comma-separated: only what the purpose needs.")],
    recipient: Annotated[str, typer.Option(help="Authority that will receive the data.")],
    purpose: Annotated[str, typer.Option(help="What it is for.")],
    legal_basis: Annotated[str, typer.Option(help="Law or agreement it rests on.")],
    kind: Annotated[str, typer.Option(help="rows, or aggregate: cells of at least k records.")] = "rows",
    measures: Annotated[
        str | None, typer.Option(help="Of an aggregate: sum:COLUMN, avg:COLUMN, distinct:COLUMN.")
    ] = None,
    first: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day.")] = None,
    formats: Annotated[str, typer.Option("--format", help="parquet, csv, delta: one or several.")] = "parquet",
    days: Annotated[int, typer.Option(help="Days after delivery until the files are removed.")] = 90,
    draft: Annotated[
        bool, typer.Option("--draft", help="Keep it as a draft; `customs share submit` sends it.")
    ] = False,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Ask for data on behalf of a recipient."""
    from infra.governance import sharing

    settings, account = _acting(session)
    wish = sharing.Wish(
        contract=contract,
        recipient=recipient,
        purpose=purpose,
        legal_basis=legal_basis,
        kind=kind,
        columns=_list(columns),
        measures=_list(measures),
        first_day=_day(first),
        last_day=_day(last),
        formats=_list(formats),
        valid_days=days,
    )
    made = sharing.ask(settings, wish, account, submit=not draft)
    found = sharing.assess(wish)
    lines = [f"{one.name} leaves {one.form}" for one in found.columns]
    _show(settings, made, as_json, *lines, *(f"cannot be approved as it is: {one}" for one in found.problems))


@app.command(epilog="Example:  customs share submit SR-20261122-001")
def submit(request_id: RequestId, session: Session = None, as_json: AsJson = False) -> None:
    """Submit a draft of yours."""
    from infra.governance import sharing

    settings, account = _acting(session)
    _show(settings, sharing.submit(settings, request_id, account), as_json)


@app.command(epilog="Example:  customs share check SR-20261122-001")
def check(request_id: RequestId, session: Session = None, as_json: AsJson = False) -> None:
    """Check a request against contract and policy (data steward); purely public data is granted with it."""
    from infra.governance import sharing

    settings, account = _acting(session)
    done, found = sharing.check(settings, request_id, account)
    forms = ", ".join(f"{one.name} {one.form}" for one in found.columns)
    lines = [
        f"sharing type {found.sharing_type}, grade {found.grade}, cohorts of at least {found.cohort or 1}; {forms}",
        f"to approve: {' and '.join(found.approvers) or 'nobody, the check grants it'}",
        *(f"cannot be approved: {one}" for one in found.problems),
    ]
    _show(settings, done, as_json, *lines)


@app.command(epilog="Example:  customs share approve SR-20261122-001")
def approve(request_id: RequestId, session: Session = None, as_json: AsJson = False) -> None:
    """Approve a checked request in your role; personal and L4 data needs a steward and a security officer."""
    from infra.governance import sharing

    settings, account = _acting(session)
    done = sharing.approve(settings, request_id, account)
    given = [role for _, role in done.approvals]
    waiting = [role for role in sharing.assess(done.wish).approvers if role not in given]
    _show(settings, done, as_json, *([f"still to approve: {' and '.join(waiting)}"] if waiting else []))


@app.command(epilog="Example:  customs share refuse SR-20261122-001 --reason 'The purpose needs no values'")
def refuse(request_id: RequestId, reason: Reason, session: Session = None, as_json: AsJson = False) -> None:
    """Refuse a request and say why."""
    from infra.governance import sharing

    settings, account = _acting(session)
    _show(settings, sharing.refuse(settings, request_id, account, reason), as_json)


@app.command(epilog="Example:  customs share deliver SR-20261122-001")
def deliver(request_id: RequestId, session: Session = None, as_json: AsJson = False) -> None:
    """Build an approved share, judge and scan it, and publish it (data steward)."""
    from infra.governance import delivery

    settings, account = _acting(session)
    done, manifest = delivery.deliver(settings, request_id, account, _say)
    if as_json:
        typer.echo(json.dumps(manifest, indent=1, ensure_ascii=False))
        return
    _show(
        settings,
        done,
        False,
        f"{manifest['rows']} rows, {manifest['suppressed']} withheld (k = {manifest['k']})",
        f"until {manifest['expires_at']}",
        f"{delivery.folder_of(settings, request_id)}",
    )


@app.command(epilog="Example:  customs share revoke SR-20261122-001 --reason 'The study has ended'")
def revoke(request_id: RequestId, reason: Reason, session: Session = None, as_json: AsJson = False) -> None:
    """Take a request or share back: its files and its pseudonym key are destroyed."""
    from infra.governance import delivery

    settings, account = _acting(session)
    _show(settings, delivery.revoke(settings, request_id, account, reason), as_json)


@app.command(epilog="Example:  customs share expire")
def expire(as_json: AsJson = False) -> None:
    """Remove the files of shares whose time is over (for the schedule: acts for nobody)."""
    from infra.governance import delivery

    over = delivery.expire(get_settings())
    typer.echo(
        json.dumps({"expired": over})
        if as_json
        else f"{len(over)} shares expired{': ' if over else ''}{', '.join(over)}"
    )


@app.command(epilog="Examples:  customs share send  ·  customs share send --every 1  ·  customs share send --json")
def send(
    every: Annotated[
        float | None,
        typer.Option(help="Look again after so many seconds, until Ctrl-C or SIGTERM; default once.", min=0),
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for another command that sends.")] = 600,
    as_json: AsJson = False,
) -> None:
    """Write to every railway, port and enterprise what is new about its own consignments (acts for nobody).

    Rows and columns follow the policy (messages). Files appear in <data folder>/outbox/<kind>/<code>/ under the next
    number, whole, each once; a correction is sent again, what was told is not. Every file is an audit event.
    """
    import signal
    from dataclasses import asdict
    from threading import Event

    from infra.governance import messages
    from infra.runtime.report import RunReport

    settings, stop = get_settings(), Event()
    if every is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
    files, rows, seen = 0, 0, None
    with RunReport("share send") as report:
        while True:
            now = messages.versions(settings)
            if now != seen:
                done, seen = messages.send(settings, wait=wait, progress=_say), now
                if done.files or every is None:
                    _told(settings, done, asdict(done) if as_json else None)
                files, rows = files + done.files, rows + done.rows
                report.figures.update(asdict(done) | {"files": files, "rows": rows})
            if every is None or stop.wait(every):
                return


def _told(settings: Settings, done: Any, figures: dict[str, Any] | None) -> None:
    if figures is not None:
        typer.echo(json.dumps(figures, indent=1))
        return
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(done.recipients.items()))
    typer.echo(f"{done.rows:,} rows in {done.files:,} files{': ' if told else ''}{told}  ({settings.outbox})")
    for kind, number in sorted(done.unaddressed.items()):
        typer.echo(f"  {number:,} rows for the {kind} name nobody who could receive them: correct them at their source")


@app.command("list", epilog="Examples:  customs share list  ·  customs share list --all --json")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also what is refused, expired or revoked.")] = False,
    as_json: AsJson = False,
) -> None:
    """List requests, what is due first."""
    from infra.governance import sharing

    settings = get_settings()
    found = [one for one in sharing.requests(settings) if every or sharing.NEXT[one.state]]
    if as_json:
        typer.echo(json.dumps([_summary(settings, one) for one in found], indent=1, ensure_ascii=False))
        return
    today = datetime.now(ZoneInfo(settings.office_time_zone)).date()
    due = {one.id: one.due(settings.office_time_zone) or ("", date.max) for one in found}
    for one in sorted(found, key=lambda r: (due[r.id][1], r.id)):
        step, by = due[one.id]
        late = " LATE" if by < today else ""
        what = f"{step} by {by}{late}" if step else f"until {one.expires_at:%Y-%m-%d}" if one.expires_at else ""
        typer.echo(
            f"{one.id}  {one.state:<10} {what:<28} {one.wish.contract:<28} {one.wish.kind:<10} {one.wish.recipient}"
        )


@app.command(epilog="Example:  customs share trace 0000000a6f2d1c…")
def trace(
    row_id: Annotated[str, typer.Argument(help="Value of column share_row_id in a copy that surfaced.")],
    as_json: AsJson = False,
) -> None:
    """Say which share a row was handed out in."""
    from infra.governance import delivery, sharing

    settings = get_settings()
    found = delivery.trace(settings, row_id)
    if found is None:
        typer.echo(json.dumps({"request": None}) if as_json else "No share of this platform made that row.")
        raise typer.Exit(3)
    _show(
        settings,
        sharing.request_named(settings, found),
        as_json,
        f"handed to {sharing.request_named(settings, found).wish.recipient}",
    )
