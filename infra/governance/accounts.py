"""Who acts: accounts with hashed passwords, and short sessions, in files only the owner of the data folder reads.

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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from werkzeug.security import check_password_hash, generate_password_hash

from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import Settings

# role -> what it may do; the approver roles are named as in the contracts
ROLES = {
    "requester": "asks for data on behalf of a recipient",
    "data-steward": "checks, approves at the first level, delivers",
    "security-officer": "approves at the second level, rotates keys, adds accounts",
}
SHORT = {"steward": "data-steward", "security": "security-officer"}
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


def accounts_file(settings: Settings) -> Path:
    """Return the file of the accounts."""
    return settings.home / "accounts.json"


def default_session(settings: Settings) -> Path:
    """Return where `customs governance login` leaves the session unless told otherwise."""
    return settings.home / "session.token"


@contextmanager
def _store(settings: Settings) -> Iterator[dict[str, Any]]:
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


def add_account(settings: Settings, name: str, role: str, password: str, by: Account | None) -> Account:
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
    if len(password) < SHORTEST_PASSWORD or name in password:
        raise BadArgumentsError(
            f"The password of {name} is too weak: use {SHORTEST_PASSWORD} or more characters, not the account's name."
        )
    with _store(settings) as content:
        officers = [n for n, one in content["accounts"].items() if one["role"] == "security-officer"]
        if officers and (by is None or by.role != "security-officer"):
            raise NotAllowedError(
                f"Accounts are added by a security officer ({', '.join(officers)}): run `customs governance login`."
            )
        if by and by.name == name and by.role != role:
            raise NotAllowedError(f"{name} cannot change their own role: ask another security officer.")
        content["accounts"][name] = {
            "role": role,
            "password_hash": generate_password_hash(password, method=HASH),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "failures": 0,
            "locked_until": None,
        }
        # a new password ends the sessions opened with the old one
        content["sessions"] = {k: one for k, one in content["sessions"].items() if one["account"] != name}
    audit.record("account.added", by.name if by else "system:set-up", name, {"role": role}, settings=settings)
    return Account(name, role)


def authenticate(settings: Settings, name: str, password: str) -> Account:
    """Return the account whose password this is; every attempt is an audit event.

    Raises:
        NotAllowedError: wrong name or password (which of the two is not said), or too many attempts.
    """
    now = datetime.now(UTC)
    with _store(settings) as content:
        entry = content["accounts"].get(name)
        locked = entry and entry["locked_until"] and datetime.fromisoformat(entry["locked_until"]) > now
        # an unknown name takes as long as a wrong password
        known = entry["password_hash"] if entry else _DUMMY
        right = check_password_hash(known, password) and entry is not None and not locked
        if entry and not locked:
            entry["failures"] = 0 if right else entry["failures"] + 1
            entry["locked_until"] = None
            if entry["failures"] >= ATTEMPTS:
                entry["failures"] = 0
                entry["locked_until"] = (now + LOCKED).isoformat(timespec="seconds")
    if not right:
        # an unknown name may be a password typed into the wrong prompt: it is not logged
        audit.record("login.failed", name if entry else "system:unknown", "accounts", settings=settings)
        if locked:
            raise NotAllowedError(f"{name} is locked after {ATTEMPTS} wrong passwords: try again in 15 minutes.")
        raise NotAllowedError("Account or password is wrong: try again, or ask a security officer for a new one.")
    audit.record("login.succeeded", name, "accounts", {"role": entry["role"]}, settings=settings)
    return Account(name, entry["role"])


_DUMMY = generate_password_hash(secrets.token_urlsafe(16), method=HASH)


def open_session(settings: Settings, account: Account, minutes: int, path: Path | None = None) -> datetime:
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


def session_account(settings: Settings, path: Path | None = None) -> Account:
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


def close_session(settings: Settings, path: Path | None = None) -> None:
    """End a session and remove its file."""
    path = path or default_session(settings)
    if path.is_file():
        token = path.read_text(encoding="utf-8").strip()
        with _store(settings) as content:
            content["sessions"].pop(_digest(token), None)
        path.unlink()


def accounts(settings: Settings) -> list[Account]:
    """Return the accounts by name."""
    with _store(settings) as content:
        return [Account(name, one["role"]) for name, one in sorted(content["accounts"].items())]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
