"""Who acts: accounts with hashed passwords, and short sessions, in files only the owner of the data folder reads.

The one place where a person is let in or kept out: Superset and Airflow ask it at every sign-in and at every request
(``sign_in.py``), the commands of governance at every step. So this module, like the audit log, has to work in
Superset's environment: the standard library and Werkzeug.

A person is never a flag: every step of a share, rotation or erasure takes the account that proved a password just now
or holds an open session. Whoever owns the data folder's system account can read and write all of it anyway; the audit
log, anchored elsewhere, is what such a person cannot change unseen.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from werkzeug.security import check_password_hash, generate_password_hash

from infra.runtime import audit
from infra.runtime.audit import Home
from infra.runtime.errors import BadArgumentsError

# role -> what it may do; the approver roles are named as in the contracts
ROLES = {
    "requester": "asks for data on behalf of a recipient",
    "data-steward": "checks, approves at the first level, delivers",
    "security-officer": "approves at the second level, rotates keys, adds accounts",
    "analyst": "dashboards and SQL Lab on the analyst file",
    "manager": "dashboards",
    "administrator": "runs Airflow and Superset",
}
SHORT = {"steward": "data-steward", "security": "security-officer", "admin": "administrator"}
# what a role is called in the services; one that is not named here cannot sign in there
AIRFLOW = {"administrator": "Admin", "data-steward": "Op", "manager": "Viewer"}
SUPERSET = {
    "administrator": "Admin",
    "data-steward": "steward",
    "analyst": "analyst",
    "manager": "manager",
}
# made at set-up with generated passwords, in a file the platform can sign in with
FIRST = {"admin": "administrator", "steward": "data-steward", "analyst": "analyst", "manager": "manager"}
# those it does sign in with: to start DAGs, publish, and look at the dashboards as a manager does
OWN = ("admin", "manager")
SHORTEST_PASSWORD = 12
HASH = "scrypt:32768:8:1"
ATTEMPTS = 5
LOCKED = timedelta(minutes=15)
LONGEST_SESSION = 480
_NAME = re.compile(r"^[a-z][a-z0-9._-]{1,31}$")


class NotAllowedError(BadArgumentsError):
    """The account may not do this, or nobody proved who they are."""


@dataclass(frozen=True)
class Account:
    """Somebody who can act; made only by this module, from a password or an open session."""

    name: str
    role: str


def accounts_file(settings: Home) -> Path:
    """Return the file of the accounts."""
    return settings.home / "accounts.json"


def default_session(settings: Home) -> Path:
    """Return where `customs governance login` leaves the session unless told otherwise."""
    return settings.home / "session.token"


@contextmanager
def _store(settings: Home) -> Iterator[dict[str, Any]]:
    """Lend the stored accounts and sessions under a lock; what changed is written back whole."""
    settings.home.mkdir(parents=True, exist_ok=True)
    path = accounts_file(settings)
    with os.fdopen(os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.is_file() and path.stat().st_mode & 0o077:
            raise NotAllowedError(f"{path} can be read by others: run `chmod 600 {path}` and change the passwords.")
        text = path.read_text(encoding="utf-8") if path.is_file() else '{"accounts": {}, "sessions": {}}'
        content = json.loads(text)
        try:
            yield content
        finally:
            changed = json.dumps(content, indent=1, sort_keys=True)
            if changed != text:
                write_owner_only(path, changed)


def write_owner_only(path: Path, text: str) -> None:
    """Write a file in one step that only its owner can read, from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def role_named(name: str) -> str:
    """Return the role for a name or its short form.

    Raises:
        BadArgumentsError: no such role.
    """
    role = SHORT.get(name, name)
    if role not in ROLES:
        raise BadArgumentsError(f"There is no role '{name}': choose {', '.join(ROLES)}.")
    return role


def add_account(settings: Home, name: str, role: str, password: str, by: Account | None) -> Account:
    """Make an account, or give it a new password and role.

    Args:
        settings: platform settings.
        name: account, lower case.
        role: one of ``ROLES`` or its short form.
        password: at least twelve characters; only its scrypt hash is kept.
        by: a signed-in security officer; None only while no account of that role exists.

    Raises:
        NotAllowedError: somebody else than a security officer adds accounts, or changes their own role.
        BadArgumentsError: name, role or password cannot be used.
    """
    role = role_named(role)
    if not _NAME.match(name):
        raise BadArgumentsError(f"'{name}' is no account name: use 2 to 32 lower-case letters, digits, dots, dashes.")
    _strong(name, password)
    with _store(settings) as content:
        _officers_only(content, by)
        _not_our_own(content, name)
        if by and by.name == name and by.role != role:
            raise NotAllowedError(f"{name} cannot change their own role: ask another security officer.")
        _put(content, name, role, password)
    audit.record("account.added", by.name if by else "system:set-up", name, {"role": role}, settings=settings)
    return Account(name, role)


def add_first_accounts(settings: Home, passwords: Mapping[str, str], *, renew: bool = False) -> list[str]:
    """Make the accounts of ``FIRST`` that are missing, with the passwords generated at set-up; return their names.

    Args:
        settings: platform settings.
        passwords: account to password.
        renew: give those that exist their new password too: the file of the secrets was made anew.
    """
    with _store(settings) as content:
        made = [name for name in FIRST if name in passwords and (renew or name not in content["accounts"])]
        for name in made:
            _put(content, name, FIRST[name], passwords[name])
    for name in made:
        audit.record("account.added", "system:set-up", name, {"role": FIRST[name]}, settings=settings)
    return made


def disable_account(settings: Home, name: str, by: Account | None) -> None:
    """Keep an account out of everything from now on; `add_account` lets it in again with a new password.

    Raises:
        NotAllowedError: somebody else than a security officer asks, or one for themselves.
        BadArgumentsError: there is no such account.
    """
    with _store(settings) as content:
        _officers_only(content, by)
        if name not in content["accounts"]:
            raise BadArgumentsError(f"There is no account '{name}': see `customs governance account list`.")
        _not_our_own(content, name)
        if by and by.name == name:
            raise NotAllowedError(f"{name} cannot disable their own account: ask another security officer.")
        content["accounts"][name] |= {"disabled": True, "changed_at": _now()}
        _end_sessions(content, name)
    audit.record("account.disabled", by.name if by else "system:set-up", name, settings=settings)


def change_password(settings: Home, account: Account, password: str) -> None:
    """Give an account that has just proved its old password a new one; its sessions end, in the services too."""
    _strong(account.name, password)
    with _store(settings) as content:
        _not_our_own(content, account.name)
        _put(content, account.name, account.role, password)
    audit.record("account.password_changed", account.name, account.name, settings=settings)


def valid_since(settings: Home, name: str) -> datetime | None:
    """Return since when an account is as it is, None if it may not act: a session opened earlier is no longer good."""
    try:
        entry = json.loads(accounts_file(settings).read_text(encoding="utf-8"))["accounts"].get(name)
    except FileNotFoundError:
        return None
    if not entry or entry.get("disabled"):
        return None
    return datetime.fromisoformat(entry.get("changed_at") or entry["created_at"])


def _strong(name: str, password: str) -> None:
    if len(password) < SHORTEST_PASSWORD or name in password:
        raise BadArgumentsError(
            f"The password of {name} is too weak: use {SHORTEST_PASSWORD} or more characters, not the account's name."
        )


def _officers_only(content: Mapping[str, Any], by: Account | None) -> None:
    officers = [
        n for n, one in content["accounts"].items() if one["role"] == "security-officer" and not one.get("disabled")
    ]
    if officers and (by is None or by.role != "security-officer"):
        raise NotAllowedError(
            f"Accounts are changed by a security officer ({', '.join(officers)}): run `customs governance login`."
        )


def _not_our_own(content: Mapping[str, Any], name: str) -> None:
    if name in OWN and name in content["accounts"]:
        raise NotAllowedError(
            f"The platform itself signs in as {name}: delete secrets.json in the data folder and run `customs down`, "
            "`customs up` for new passwords; give persons accounts of their own."
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _put(content: dict[str, Any], name: str, role: str, password: str) -> None:
    now = _now()
    content["accounts"][name] = {
        "role": role,
        "password_hash": generate_password_hash(password, method=HASH),
        "created_at": content["accounts"].get(name, {}).get("created_at", now),
        "changed_at": now,
        "failures": 0,
        "locked_until": None,
    }
    _end_sessions(content, name)


def _end_sessions(content: dict[str, Any], name: str) -> None:
    content["sessions"] = {k: one for k, one in content["sessions"].items() if one["account"] != name}


def authenticate(
    settings: Home, name: str, password: str, *, door: str = "commands", admits: Collection[str] = tuple(ROLES)
) -> Account:
    """Return the account whose password this is; every attempt is an audit event.

    Args:
        settings: platform settings.
        name: account.
        password: its password.
        door: what is entered: the commands, superset or airflow.
        admits: roles that may enter there.

    Raises:
        NotAllowedError: wrong name or password (which of the two is not said), too many attempts, or a role that is
            not let in here.
    """
    now = datetime.now(UTC)
    with _store(settings) as content:
        entry = content["accounts"].get(name)
        locked = entry and entry["locked_until"] and datetime.fromisoformat(entry["locked_until"]) > now
        # an unknown name takes as long as a wrong password
        known = entry["password_hash"] if entry else _DUMMY
        open_ = entry is not None and not locked and not entry.get("disabled")
        right = check_password_hash(known, password) and open_
        if entry and not locked:
            entry["failures"] = 0 if right else entry["failures"] + 1
            entry["locked_until"] = None
            if entry["failures"] >= ATTEMPTS:
                entry["failures"] = 0
                entry["locked_until"] = (now + LOCKED).isoformat(timespec="seconds")
    if not right:
        # an unknown name may be a password typed into the wrong prompt: it is not logged
        audit.record("login.failed", name if entry else "system:unknown", door, settings=settings)
        if locked:
            raise NotAllowedError(f"{name} is locked after {ATTEMPTS} wrong passwords: try again in 15 minutes.")
        raise NotAllowedError("Account or password is wrong: try again, or ask a security officer for a new one.")
    if entry["role"] not in admits:
        audit.record("login.refused", name, door, {"role": entry["role"]}, settings=settings)
        raise NotAllowedError(f"{name} is {entry['role']}, which has no place in {door}: ask a security officer.")
    audit.record("login.succeeded", name, door, {"role": entry["role"]}, settings=settings)
    return Account(name, entry["role"])


# the hash of nothing anybody can type, with the same cost
_DUMMY = f"{HASH}${secrets.token_hex(8)}${secrets.token_hex(64)}"


def open_session(settings: Home, account: Account, minutes: int, path: Path | None = None) -> datetime:
    """Leave a session for the account in a file (mode 0600); return the instant it ends.

    Only a hash of its token is stored beside the accounts.
    """
    if not 1 <= minutes <= LONGEST_SESSION:
        raise BadArgumentsError(f"A session of {minutes} minutes is not possible: choose 1 to {LONGEST_SESSION}.")
    now = datetime.now(UTC)
    ends = now + timedelta(minutes=minutes)
    token = secrets.token_urlsafe(32)
    with _store(settings) as content:
        if account.name not in content["accounts"]:
            raise NotAllowedError(f"There is no account {account.name}: ask a security officer for one.")
        live = {k: one for k, one in content["sessions"].items() if datetime.fromisoformat(one["ends_at"]) > now}
        live[_digest(token)] = {"account": account.name, "ends_at": ends.isoformat()}
        content["sessions"] = live
    write_owner_only(path or default_session(settings), token + "\n")
    return ends


def session_account(settings: Home, path: Path | None = None) -> Account:
    """Return the account of an open session.

    Raises:
        NotAllowedError: no session there, it ended, or others can read it.
    """
    path = path or default_session(settings)
    if not path.is_file():
        raise NotAllowedError(f"Nobody is signed in ({path} is missing): run `customs governance login NAME`.")
    if path.stat().st_mode & 0o077:
        raise NotAllowedError(f"{path} can be read by others: delete it and run `customs governance login NAME` again.")
    token = path.read_text(encoding="utf-8").strip()
    with _store(settings) as content:
        session = content["sessions"].get(_digest(token))
        if not session or datetime.fromisoformat(session["ends_at"]) <= datetime.now(UTC):
            raise NotAllowedError("The session has ended: run `customs governance login NAME`.")
        return Account(session["account"], content["accounts"][session["account"]]["role"])


def close_session(settings: Home, path: Path | None = None) -> None:
    """End a session and remove its file."""
    path = path or default_session(settings)
    if path.is_file():
        token = path.read_text(encoding="utf-8").strip()
        with _store(settings) as content:
            content["sessions"].pop(_digest(token), None)
        path.unlink()


def accounts(settings: Home) -> list[Account]:
    """Return the accounts by name."""
    with _store(settings) as content:
        return [Account(name, one["role"]) for name, one in sorted(content["accounts"].items())]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
