"""The re-identification vault: clear values of the few fields the law lets officers recover, opened by two persons.

Values are sealed with AES-256-GCM under a key of their own (``<home>/keys/vault.json``), bound to purpose and place, so
an entry moved to another person's place does not open. Entries are found by a keyed hash of the pseudonym: the file
holds neither values nor pseudonyms. A key rotation moves the entries along, an erasure removes them, and sealing anew
leaves in it what the originals in the raw zone still hold.

To open one value: an account asks for a pseudonym with case and reason, a data steward and a security officer approve,
none of them the asker, and the asker reads it once within a day. Every step is an audit event; the value is in none.
"""

import dataclasses
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from data_contracts import load_contract
from data_contracts.emit.sql import hmac_sha256
from infra.governance.accounts import Account, NotAllowedError, write_owner_only
from infra.governance.originals import read_originals
from infra.lake.commit import lake_connection
from infra.lake.pseudonym import load_keys
from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError, DataContractError
from infra.runtime.settings import Settings

# the identity numbers an investigation may need; names, telephones and addresses are never recovered
RECOVERABLE = {
    "ecommerce.list": ("buyer_id",),
    "ecommerce.order": ("buyer_id",),
    "ecommerce.payment": ("payer_id",),
    "enterprises.enterprise": ("legal_person_id",),
}
APPROVERS = ("data-steward", "security-officer")
OPEN_FOR = timedelta(days=1)
_PSEUDONYM = re.compile(r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class Inquiry:
    """A request to open one value; ``index`` names the entry without naming the person."""

    id: str
    purpose: str
    index: str
    case: str
    reason: str
    asker: str
    asked_at: datetime
    approvals: tuple[tuple[str, str], ...] = ()
    opened_at: datetime | None = None
    refused_by: str | None = None

    @property
    def state(self) -> str:
        """asked, approved, opened, refused, or lapsed a day after it was asked."""
        if self.refused_by:
            return "refused"
        if self.opened_at:
            return "opened"
        if datetime.now(UTC) > self.asked_at + OPEN_FOR:
            return "lapsed"
        return "approved" if {role for _, role in self.approvals} == set(APPROVERS) else "asked"


def vault_file(settings: Settings, purpose: str) -> Path:
    """Return the sealed entries of a purpose."""
    return settings.home / "vault" / f"{purpose}.jsonl"


def purposes() -> tuple[str, ...]:
    """Return the purposes that have recoverable fields."""
    found = {load_contract(one).field(name).purpose for one, names in RECOVERABLE.items() for name in names}
    return tuple(sorted(purpose for purpose in found if purpose))


def _keys(settings: Settings) -> tuple[bytes, bytes]:
    """Return the keys of values and of the index; made at first use."""
    path = settings.keys / "vault.json"
    if not path.is_file():
        write_owner_only(path, json.dumps({name: secrets.token_hex(32) for name in ("value", "index")}))
    if path.stat().st_mode & 0o077:
        raise NotAllowedError(f"{path} can be read by others: run `chmod 600 {path}` and seal the vault anew.")
    stored = json.loads(path.read_text(encoding="utf-8"))
    return bytes.fromhex(stored["value"]), bytes.fromhex(stored["index"])


def _index(key: bytes, purpose: str, pseudonym: str) -> str:
    return hmac.new(key, f"{purpose}:{pseudonym}".encode(), hashlib.sha256).hexdigest()


def seal(settings: Settings, account: Account) -> dict[str, int]:
    """Seal the recoverable values of the originals; return {purpose: entries}.

    Only values of ``RECOVERABLE`` fields enter. Entries whose original has left the raw zone stay; an erasure takes
    a person's out.
    """
    if account.role != "security-officer":
        raise NotAllowedError(f"{account.name} is {account.role}; only a security-officer seals the vault.")
    value_key, index_key = _keys(settings)
    pseudonym_keys = load_keys(settings)
    sealed = {}
    for purpose in purposes():
        connection = lake_connection(settings)
        try:
            read_originals(connection, settings, {purpose}, RECOVERABLE)
            rows = connection.execute(
                f"SELECT {hmac_sha256('value', pseudonym_keys[purpose])}, value FROM originals ORDER BY ALL"
            ).fetchall()
        finally:
            connection.close()
        entries = _entries(settings, purpose)
        for pseudonym, value in rows:
            place = _index(index_key, purpose, pseudonym)
            nonce = secrets.token_bytes(12)
            cipher = AESGCM(value_key).encrypt(nonce, value.encode(), f"{purpose}:{place}".encode())
            entries[place] = {"index": place, "nonce": nonce.hex(), "sealed": cipher.hex()}
        _write_entries(settings, purpose, entries)
        sealed[purpose] = len(entries)
    audit.record("vault.sealed", account.name, "vault", sealed, settings=settings)
    return sealed


def _entries(settings: Settings, purpose: str) -> dict[str, dict[str, str]]:
    path = vault_file(settings, purpose)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else ()
    return {entry["index"]: entry for entry in map(json.loads, lines)}


def _write_entries(settings: Settings, purpose: str, entries: Mapping[str, Mapping[str, str]]) -> None:
    # the order of the file says nothing about the order of the pseudonyms
    lines = sorted(json.dumps(entry) for entry in entries.values())
    write_owner_only(vault_file(settings, purpose), "".join(f"{line}\n" for line in lines))


def follow(settings: Settings, purpose: str, pseudonyms: Iterable[tuple[str, str]]) -> int:
    """Let the entries of a purpose be found by new pseudonyms, (former, new) each; return how many. Part of a rotation.

    Run again, it changes nothing more: a former pseudonym has no entry then.
    """
    entries = _entries(settings, purpose)
    if not entries:
        return 0
    value_key, index_key = _keys(settings)
    cipher = AESGCM(value_key)
    moved = 0
    for former, new in pseudonyms:
        entry = entries.pop(_index(index_key, purpose, former), None)
        if entry is None:
            continue
        value = cipher.decrypt(
            bytes.fromhex(entry["nonce"]), bytes.fromhex(entry["sealed"]), f"{purpose}:{entry['index']}".encode()
        )
        place = _index(index_key, purpose, new)
        nonce = secrets.token_bytes(12)
        sealed = cipher.encrypt(nonce, value, f"{purpose}:{place}".encode())
        entries[place] = {"index": place, "nonce": nonce.hex(), "sealed": sealed.hex()}
        moved += 1
    if moved:
        _write_entries(settings, purpose, entries)
    return moved


def forget(settings: Settings, pseudonyms: Mapping[str, Iterable[str]]) -> int:
    """Remove the entries of pseudonyms, {purpose: pseudonyms}; return how many there were. Part of an erasure."""
    removed = 0
    for purpose, names in pseudonyms.items():
        entries = _entries(settings, purpose)
        if not entries:
            continue
        _, index_key = _keys(settings)
        gone = {_index(index_key, purpose, name) for name in names}
        kept = {index: entry for index, entry in entries.items() if index not in gone}
        if len(kept) < len(entries):
            _write_entries(settings, purpose, kept)
            removed += len(entries) - len(kept)
    return removed


def _entry(settings: Settings, purpose: str, index: str) -> dict[str, str]:
    if entry := _entries(settings, purpose).get(index):
        return entry
    raise BadArgumentsError(
        f"The vault has no value for that pseudonym of {purpose}: it is unknown, was erased, is of before a rotation, "
        "or has arrived since the vault was sealed (`customs governance vault seal` adds it)."
    )


# --- inquiries --------------------------------------------------------------------------------------------------------


@contextmanager
def _inquiries(settings: Settings) -> Iterator[dict[str, Inquiry]]:
    """Lend the inquiries under a lock; what changed is written back whole."""
    folder = settings.home / "vault"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "inquiries.json"
    with os.fdopen(os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        found = {one["id"]: _parsed(one) for one in stored}
        before = dict(found)
        yield found
        if found != before:
            texts = [dataclasses.asdict(one) for one in found.values()]
            write_owner_only(path, json.dumps(texts, indent=1, default=datetime.isoformat, ensure_ascii=False))


def _parsed(raw: dict[str, Any]) -> Inquiry:
    opened = raw["opened_at"]
    return Inquiry(
        **raw
        | {
            "asked_at": datetime.fromisoformat(raw["asked_at"]),
            "opened_at": datetime.fromisoformat(opened) if opened else None,
            "approvals": tuple((name, role) for name, role in raw["approvals"]),
        }
    )


def inquiries(settings: Settings) -> list[Inquiry]:
    """Return every inquiry, oldest first."""
    if not (settings.home / "vault").is_dir():
        return []
    with _inquiries(settings) as found:
        return list(found.values())


def _named(found: Mapping[str, Inquiry], inquiry_id: str, state: str) -> Inquiry:
    if inquiry_id not in found:
        raise BadArgumentsError(f"There is no inquiry {inquiry_id}: `customs governance vault list` shows them.")
    if found[inquiry_id].state != state:
        raise BadArgumentsError(f"Inquiry {inquiry_id} is {found[inquiry_id].state}, not {state}: ask anew if needed.")
    return found[inquiry_id]


def ask(settings: Settings, purpose: str, pseudonym: str, case: str, reason: str, account: Account) -> Inquiry:
    """Ask to open the value behind a pseudonym.

    Raises:
        BadArgumentsError: no such purpose or entry, or case or reason is missing.
    """
    if purpose not in purposes():
        raise BadArgumentsError(f"Nothing of '{purpose}' can be recovered: purposes are {', '.join(purposes())}.")
    if not _PSEUDONYM.match(pseudonym) or not case.strip() or not reason.strip():
        raise BadArgumentsError("An inquiry needs the pseudonym (64 hexadecimal digits), the case and the reason.")
    index = _index(_keys(settings)[1], purpose, pseudonym)
    _entry(settings, purpose, index)
    with _inquiries(settings) as found:
        number = f"VI-{datetime.now(UTC):%Y%m%d}-{len(found) + 1:03d}"
        made = Inquiry(number, purpose, index, case.strip(), reason.strip(), account.name, datetime.now(UTC))
        audit.record("vault.asked", account.name, number, {"purpose": purpose, "case": made.case}, settings=settings)
        found[number] = made
    return made


def approve(settings: Settings, inquiry_id: str, account: Account) -> Inquiry:
    """Approve an inquiry in the account's role; one steward and one security officer are needed.

    Raises:
        NotAllowedError: the asker, or a role that has approved or does not approve.
    """
    with _inquiries(settings) as found:
        inquiry = _named(found, inquiry_id, "asked")
        if account.name == inquiry.asker:
            raise NotAllowedError(f"{account.name} made inquiry {inquiry_id}: two others must approve it.")
        missing = [role for role in APPROVERS if role not in {role for _, role in inquiry.approvals}]
        if account.role not in missing:
            raise NotAllowedError(
                f"{account.name} is {account.role}; {inquiry_id} still needs {' and '.join(missing)}."
            )
        audit.record("vault.approved", account.name, inquiry_id, {"role": account.role}, settings=settings)
        found[inquiry_id] = dataclasses.replace(inquiry, approvals=(*inquiry.approvals, (account.name, account.role)))
        return found[inquiry_id]


def refuse(settings: Settings, inquiry_id: str, account: Account, reason: str) -> Inquiry:
    """Refuse an inquiry."""
    with _inquiries(settings) as found:
        inquiry = _named(found, inquiry_id, "asked")
        if account.role not in APPROVERS or account.name == inquiry.asker:
            raise NotAllowedError(f"{account.name} cannot refuse {inquiry_id}: a steward or security officer can.")
        audit.record("vault.refused", account.name, inquiry_id, {"reason": reason}, settings=settings)
        found[inquiry_id] = dataclasses.replace(inquiry, refused_by=account.name)
        return found[inquiry_id]


def reveal(settings: Settings, inquiry_id: str, account: Account) -> str:
    """Open the value of an approved inquiry to the one who asked, once.

    Raises:
        NotAllowedError: somebody else than the asker.
        BadArgumentsError: not approved by both, opened already, or a day has passed.
        DataContractError: the entry was changed: it does not open.
    """
    value_key, _ = _keys(settings)
    with _inquiries(settings) as found:
        inquiry = _named(found, inquiry_id, "approved")
        if account.name != inquiry.asker:
            raise NotAllowedError(f"{account.name} did not ask for {inquiry_id}: only {inquiry.asker} reads it.")
        entry = _entry(settings, inquiry.purpose, inquiry.index)
        place = f"{inquiry.purpose}:{inquiry.index}".encode()
        # the event comes first: no value is read without it
        audit.record("vault.opened", account.name, inquiry_id, {"case": inquiry.case}, settings=settings)
        found[inquiry_id] = dataclasses.replace(inquiry, opened_at=datetime.now(UTC))
        try:
            return (
                AESGCM(value_key).decrypt(bytes.fromhex(entry["nonce"]), bytes.fromhex(entry["sealed"]), place).decode()
            )
        except InvalidTag:
            raise DataContractError(
                f"The entry of {inquiry_id} does not open: it was changed or has another key; seal the vault anew."
            ) from None
