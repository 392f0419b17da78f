"""Keys of the pseudonyms: one per purpose, made once, readable by their owner only.

A rotation gives a purpose a new key, or, where originals are gone, one more: keys of a purpose are applied one after
the other. The same person gets the same pseudonym within a purpose and unrelated ones across purposes. Who holds a key
can test a guess against a pseudonym, so the keys never leave this file and never appear in a log, report or table.
"""

import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError, TryAgainError
from infra.runtime.settings import Settings

KEY_BYTES = 32
Key = bytes | tuple[bytes, ...]


def key_file(settings: Settings) -> Path:
    """Return the path of the keys, ``<home>/keys/pseudonym.json``."""
    return settings.keys / "pseudonym.json"


def create_keys(purposes: Iterable[str], settings: Settings) -> bool:
    """Make the keys that are missing; return whether any was made.

    A key that exists is never replaced: its pseudonyms would stop matching those already stored.
    """
    path = key_file(settings)
    keys = _read(settings) if path.is_file() else {}
    missing = sorted(set(purposes) - set(keys))
    if not missing:
        return False
    if not keys and settings.silver("governance.batch").is_dir() and any(settings.lake.glob("batches/*.done")):
        raise BadArgumentsError(
            f"{path} is gone, but the lake holds pseudonyms made with it: restore the file from its backup; "
            "new keys would cut every person off from their history."
        )
    _write(keys | {purpose: secrets.token_hex(KEY_BYTES) for purpose in missing}, settings)
    audit.record("key.made", "system:set-up", path.name, {"purposes": missing}, settings=settings)
    return True


def _write(keys: dict[str, Any], settings: Settings) -> None:
    path = key_file(settings)
    settings.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.keys.chmod(0o700)
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(keys, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def load_keys(settings: Settings) -> dict[str, Key]:
    """Return {purpose: key, or keys in the order they are applied}.

    Raises:
        TryAgainError: the lake was not initialised yet.
        BadArgumentsError: others can read the file.
    """
    if not key_file(settings).is_file():
        raise TryAgainError(f"No {key_file(settings)}: run `customs lake init` first, it makes the keys.")
    return {purpose: read_key(written) for purpose, written in _read(settings).items()}


def read_key(written: str | list[str]) -> Key:
    """Return a key, or a chain of them, as the file has it."""
    return bytes.fromhex(written) if isinstance(written, str) else tuple(bytes.fromhex(link) for link in written)


def written_key(key: Key) -> str | list[str]:
    """Return a key, or a chain of them, as the file has it."""
    return key.hex() if isinstance(key, bytes) else [link.hex() for link in key]


def links(key: Key) -> tuple[bytes, ...]:
    """Return the keys that are applied one after the other."""
    return (key,) if isinstance(key, bytes) else key


def pseudonym(value: str, key: Key) -> str:
    """Return the pseudonym of a value, as ingest computes it in SQL."""
    for link in links(key):
        value = hmac.new(link, value.encode(), sha256).hexdigest()
    return value


def fingerprint(keys: Mapping[str, Key], purposes: Iterable[str]) -> str:
    """Return a short name of the keys in use, safe to store.

    It is part of a batch's identity, so new keys mean that the history is read again.
    """
    text = "".join(
        f"{purpose}:{sha256(b'fingerprint' + b''.join(links(keys[purpose]))).hexdigest()};"
        for purpose in sorted(set(purposes))
    )
    return sha256(text.encode()).hexdigest()[:8] if text else ""


def _read(settings: Settings) -> dict[str, Any]:
    path = key_file(settings)
    if path.stat().st_mode & 0o077:
        raise BadArgumentsError(
            f"{path} can be read by others: run `chmod 600 {path}`, and rotate the keys if it leaked."
        )
    return json.loads(path.read_text(encoding="utf-8"))
