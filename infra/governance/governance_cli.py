"""`customs governance`: accounts and sessions of people, keys of pseudonyms, erasure of a person."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.governance.accounts import (
    ROLES,
    Account,
    accounts,
    add_account,
    authenticate,
    change_password,
    close_session,
    default_session,
    disable_account,
    open_session,
    session_account,
    valid_since,
)
from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Accounts and sessions, keys of the pseudonyms, erasure of a person, proofs of the policy.\n\n"
    "Examples:  customs governance account add wang --role steward  ·  customs governance login wang",
    context_settings={"help_option_names": ["-h", "--help"]},
)
account_app = typer.Typer(
    no_args_is_help=True,
    help="Accounts: who may enter the commands, Superset and Airflow, and as what.\n\n"
    "Examples:  customs governance account add wang --role steward  ·  customs governance account disable wang",
)
keys_app = typer.Typer(
    no_args_is_help=True,
    help="Keys of the pseudonyms.\n\nExample:  customs governance keys rotate ecommerce_person",
)
app.add_typer(account_app, name="account")
app.add_typer(keys_app, name="keys")
vault_app = typer.Typer(
    no_args_is_help=True,
    help="Re-identification of a person, approved by two.\n\nExample:  customs governance vault list",
)
app.add_typer(vault_app, name="vault")
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Session = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Session to act with (default: that of the last login).")
]
Stdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def _password(name: str, from_stdin: bool, *, twice: bool = False) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=twice)


@account_app.command(
    "add", epilog="Examples:  customs governance account add wang --role steward  ·  … --role security-officer"
)
def account_add(
    name: Annotated[str, typer.Argument(help="Account, lower case.")],
    role: Annotated[str, typer.Option(help=f"{', '.join(ROLES)}; steward, security and admin for short.")],
    password_stdin: Stdin = False,
    session: Session = None,
) -> None:
    """Add an account, or give it a new role and password; what it had open ends.

    It signs in to Superset and Airflow where its role has a place. Once a security officer exists, only one of them
    does this.
    """
    settings = get_settings()
    by = _officer(session)
    made = add_account(settings, name, role, _password(name, password_stdin, twice=True), by)
    typer.echo(f"{made.name} is {made.role}")


def _officer(session: Path | None) -> Account | None:
    """Return who is signed in, or nobody while there is no security officer yet."""
    settings = get_settings()
    officers = any(one.role == "security-officer" for one in accounts(settings))
    return session_account(settings, session) if officers else None


@account_app.command("disable", epilog="Example:  customs governance account disable wang")
def account_disable(name: Annotated[str, typer.Argument(help="Account.")], session: Session = None) -> None:
    """Keep an account out of the commands, Superset and Airflow, at once (security officer)."""
    disable_account(get_settings(), name, _officer(session))
    typer.echo(f"{name} is disabled; `customs governance account add {name} --role …` lets it in again")


@account_app.command("list", epilog="Example:  customs governance account list")
def account_list(as_json: AsJson = False) -> None:
    """List the accounts, their roles, and who is disabled."""
    settings = get_settings()
    found = [vars(one) | {"disabled": valid_since(settings, one.name) is None} for one in accounts(settings)]
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for one in found:
        typer.echo(f"{one['name']:<20} {one['role']:<18} {'disabled' if one['disabled'] else ROLES[one['role']]}")


@app.command(
    epilog="Examples:  customs governance login wang  ·  customs governance login li --session ~/li.token --minutes 15"
)
def login(
    name: Annotated[str, typer.Argument(help="Account.")],
    minutes: Annotated[int, typer.Option(help="Length of the session, at most 480.")] = 60,
    session: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to leave the session.")] = None,
    password_stdin: Stdin = False,
) -> None:
    """Prove who you are; the session file lets the next commands act as you."""
    settings = get_settings()
    account = authenticate(settings, name, _password(name, password_stdin))
    ends = open_session(settings, account, minutes, session)
    typer.echo(
        f"{account.name} ({account.role}) is signed in until {ends:%H:%M} UTC: {session or default_session(settings)}"
    )


@app.command(epilog="Example:  customs governance password wang")
def password(
    name: Annotated[str, typer.Argument(help="Your account.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read old and new password from standard input, one a line.")
    ] = False,
) -> None:
    """Give yourself a new password, for the commands, Superset and Airflow; what you have open there ends."""
    settings = get_settings()
    account = authenticate(settings, name, _password(name, password_stdin))
    change_password(settings, account, _password(f"{name} from now on", password_stdin, twice=True))
    typer.echo(f"{name} has a new password")


@app.command(epilog="Example:  customs governance logout")
def logout(session: Session = None) -> None:
    """End the session."""
    settings = get_settings()
    if not (session or default_session(settings)).is_file():
        raise BadArgumentsError("Nobody is signed in: there is no session to end.")
    close_session(settings, session)
    typer.echo("signed out")


@keys_app.command("list", epilog="Example:  customs governance keys list")
def keys_list(as_json: AsJson = False) -> None:
    """List the purposes and a fingerprint of each key, never the key."""
    from infra.governance.originals import pseudonym_fields
    from infra.lake.pseudonym import fingerprint, load_keys

    keys = load_keys(get_settings())
    found = {
        purpose: {"fingerprint": fingerprint(keys, [purpose]), "tables": sorted(pseudonym_fields({purpose}))}
        for purpose in sorted(keys)
    }
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for purpose, about in found.items():
        typer.echo(f"{purpose:<20} {about['fingerprint']}  {', '.join(about['tables'])}")


@keys_app.command("rotate", epilog="Example:  customs governance keys rotate ecommerce_person")
def keys_rotate(
    purpose: Annotated[str, typer.Argument(help="Purpose of policy.yaml: see `customs governance keys list`.")],
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Give a purpose a new key: every person a new pseudonym, joins kept, no old pseudonym left (security officer).

    Where originals have left the raw zone, the new key is laid over the old one.

    Interrupted, or with old pseudonyms left in files made from the lake, the same command goes on.
    """
    from infra.governance.rotation import rotate

    settings = get_settings()
    figures = rotate(settings, purpose, session_account(settings, session), progress=_say)
    if as_json:
        typer.echo(json.dumps(figures, indent=1))
        return
    typer.echo(
        f"{purpose}: {figures['values']} values have new pseudonyms in {figures['rows']} rows of "
        f"{', '.join(figures['tables'])}; no former one in {figures['searched_files']} files"
    )


@vault_app.command("seal", epilog="Example:  customs governance vault seal")
def vault_seal(session: Session = None, as_json: AsJson = False) -> None:
    """Seal the recoverable identity numbers of the originals anew (security officer); others leave the vault."""
    from infra.governance import vault

    settings = get_settings()
    sealed = vault.seal(settings, session_account(settings, session))
    if as_json:
        typer.echo(json.dumps(sealed))
        return
    for purpose, number in sealed.items():
        typer.echo(f"{purpose}: {number} values sealed")


@vault_app.command(
    "ask",
    epilog="Example:  customs governance vault ask ecommerce_person 3f7a… --case 2026-117 --reason 'Smuggling inquiry'",
)
def vault_ask(
    purpose: Annotated[str, typer.Argument(help="Purpose of the pseudonym.")],
    pseudonym: Annotated[str, typer.Argument(help="The pseudonym, 64 hexadecimal digits.")],
    case: Annotated[str, typer.Option(help="Number of the case.")],
    reason: Annotated[str, typer.Option(help="Why the person must be known, and on which legal ground.")],
    session: Session = None,
) -> None:
    """Ask to know the person behind a pseudonym; a steward and a security officer decide."""
    from infra.governance import vault

    settings = get_settings()
    made = vault.ask(settings, purpose, pseudonym, case, reason, session_account(settings, session))
    typer.echo(f"{made.id} is {made.state}; to approve within a day: {' and '.join(vault.APPROVERS)}")


@vault_app.command("approve", epilog="Example:  customs governance vault approve VI-20261122-001")
def vault_approve(inquiry: Annotated[str, typer.Argument(help="Inquiry.")], session: Session = None) -> None:
    """Approve an inquiry in your role."""
    from infra.governance import vault

    settings = get_settings()
    done = vault.approve(settings, inquiry, session_account(settings, session))
    typer.echo(f"{done.id} is {done.state}")


@vault_app.command("refuse", epilog="Example:  customs governance vault refuse VI-20261122-001 --reason 'No case'")
def vault_refuse(
    inquiry: Annotated[str, typer.Argument(help="Inquiry.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    session: Session = None,
) -> None:
    """Refuse an inquiry."""
    from infra.governance import vault

    settings = get_settings()
    done = vault.refuse(settings, inquiry, session_account(settings, session), reason)
    typer.echo(f"{done.id} is {done.state}")


@vault_app.command("reveal", epilog="Example:  customs governance vault reveal VI-20261122-001")
def vault_reveal(
    inquiry: Annotated[str, typer.Argument(help="Your approved inquiry.")], session: Session = None
) -> None:
    """Print the value of your approved inquiry, once."""
    from infra.governance import vault

    settings = get_settings()
    typer.echo(vault.reveal(settings, inquiry, session_account(settings, session)))


@vault_app.command("list", epilog="Example:  customs governance vault list --json")
def vault_list(as_json: AsJson = False) -> None:
    """List the inquiries; persons and pseudonyms are not shown."""
    from infra.governance import vault

    found = [
        {
            "inquiry": one.id,
            "state": one.state,
            "purpose": one.purpose,
            "case": one.case,
            "reason": one.reason,
            "asker": one.asker,
            "approved_by": [name for name, _ in one.approvals],
            "asked_at": one.asked_at.isoformat(timespec="seconds"),
        }
        for one in vault.inquiries(get_settings())
    ]
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for one in found:
        typer.echo(
            f"{one['inquiry']}  {one['state']:<9} {one['purpose']:<20} case {one['case']}  asked by {one['asker']}"
        )


@app.command(epilog="Examples:  customs governance erase  ·  customs governance erase --yes --json < identifiers.txt")
def erase(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person from every zone and prove it (security officer).

    Identity number, telephone, address are read from standard input, one a line, an empty line ends: on the command
    line they would stay in the shell's history.
    """
    from infra.governance.erasure import erase as erase_person

    settings = get_settings()
    account = session_account(settings, session)
    if sys.stdin.isatty():
        _say("Identity number, telephone, address of the person, one a line, an empty line ends:")
    identifiers = []
    while line := sys.stdin.readline().strip():
        identifiers.append(line)
    if not yes:
        typer.confirm(f"Erase the person of these {len(identifiers)} identifiers for good?", abort=True, err=True)
    figures = erase_person(settings, identifiers, account, progress=_say)
    if as_json:
        typer.echo(json.dumps(figures, indent=1))
        return
    typer.echo(
        f"{figures['case']}: {sum(figures['rows'].values())} rows and {sum(figures['lines'].values())} lines erased, "
        f"{len(figures['shares_revoked'])} shares revoked; nothing left in {figures['searched_files']} files"
    )


@app.command(epilog="Examples:  customs governance mutate  ·  customs governance mutate --sample 100 --json")
def mutate(
    sample: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only N of the mutants.")] = None,
    as_json: AsJson = False,
) -> None:
    """Weaken the contracts in every way, one at a time, and say who is not noticed (a minute; meant for the night).

    Every rule removed, every grade lowered, every mask dropped. Exit code 3 when a weakened contract goes unnoticed.
    """
    from infra.governance.assurance import mutation
    from infra.runtime.errors import DataContractError

    found = mutation.measure(get_settings(), _say, sample)
    if as_json:
        about = {kind: {"killed": killed, "total": total} for kind, (killed, total) in found.kinds.items()}
        typer.echo(
            json.dumps(
                {"killed": found.killed, "total": found.total, "survivors": list(found.survivors), "kinds": about},
                indent=1,
                ensure_ascii=False,
            )
        )
    else:
        for kind, (killed, total) in found.kinds.items():
            typer.echo(f"{kind + 's':<7} {killed:>5} of {total} noticed")
        for one in found.survivors:
            typer.echo(f"survived: {one}")
        typer.echo(f"score {found.killed}/{found.total} = {100 * found.killed / max(found.total, 1):.1f} %")
    if found.survivors:
        raise DataContractError(f"{len(found.survivors)} of {found.total} weakened contracts go unnoticed.")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
