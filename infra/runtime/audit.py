"""The audit log: one hash-chained line per event that matters, and its head kept in a second place.

``<home>/audit/<day>.jsonl`` holds the events of a UTC day. Each line is canonical JSON whose ``hash`` is
SHA-256(previous hash, event), so no line can change, vanish or move without the next one disagreeing. What a chain
cannot see, a cut at its end, is seen against the anchors in ``<home>/anchors``: ``head.json`` follows every event and
``heads.jsonl`` keeps the last hash of every day for good. Keep a copy of that folder on another machine: who can
write both places can rewrite history, and only the copy will disagree.

An event names who did what to what. It never carries the data itself: details are ids, counts and hashes.

Superset and Airflow write here from their own processes, so this module needs the standard library only.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from infra.runtime.errors import BadArgumentsError

GENESIS = "0" * 64
_EVENT = re.compile(r"^[a-z][a-z_]*(\.[a-z][a-z_]*)+$")
_TAIL = 1 << 16


class Home(Protocol):
    """What the log needs to know of the settings: the data folder in use."""

    @property
    def home(self) -> Path:
        """The data folder."""


def _settings() -> Home:
    # late: Superset's environment has no pydantic-settings, and always says which folder
    from infra.runtime.settings import get_settings

    return get_settings()


@dataclass(frozen=True)
class Event:
    """One line of the log. ``at`` is a UTC instant, ISO 8601; ``sequence`` counts from 1 over all days."""

    sequence: int
    at: str
    event: str
    actor: str
    subject: str
    detail: Mapping[str, Any]
    prev_hash: str
    hash: str


@dataclass(frozen=True)
class Finding:
    """What does not fit, and where: ``line`` counts from 1, 0 means the file as a whole."""

    kind: str
    file: str
    line: int
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """Outcome of a verification."""

    events: int
    days: int
    head: str
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def reason(self) -> str:
        """``ok``, or the first thing found."""
        return "ok" if self.sound else self.findings[0].sentence


def audit_folder(settings: Home) -> Path:
    """Return the folder of the log, one file per day."""
    return settings.home / "audit"


def anchor_folder(settings: Home) -> Path:
    """Return the second place: outside the log and the lake, to be copied to another machine."""
    return settings.home / "anchors"


def event_hash(previous: str, body: Mapping[str, Any]) -> str:
    """Return SHA-256 over the previous hash and the event without its hashes, as canonical JSON."""
    return hashlib.sha256((previous + _canonical(body)).encode()).hexdigest()


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def record(
    event: str,
    actor: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
    *,
    settings: Home | None = None,
) -> Event:
    """Append an event and return it; when this returns, the line is on disk.

    Args:
        event: what happened, ``<thing>.<verb>`` in lower case: ``share.approved``, ``key.rotated``.
        actor: account, or ``system:<command>`` when no person acted.
        subject: what it happened to: a request, contract, table or file name.
        detail: ids, counts, hashes: never a value of grade L3 or L4.
        settings: platform settings.

    Raises:
        BadArgumentsError: the event's name or detail cannot be written.
    """
    settings = settings or _settings()
    if not _EVENT.match(event) or not actor or not subject:
        raise BadArgumentsError(f"Audit event '{event}' needs a name like share.approved, an actor and a subject.")
    with _locked(settings):
        tail = _tail(settings)
        now = datetime.now(UTC)
        # a clock set back must not put an event before one that happened earlier
        stamp = max(now.isoformat(timespec="microseconds"), tail.at if tail else "")
        body: dict[str, Any] = {
            "sequence": tail.sequence + 1 if tail else 1,
            "at": stamp,
            "event": event,
            "actor": actor,
            "subject": subject,
            "detail": dict(detail or {}),
        }
        previous = tail.hash if tail else GENESIS
        try:
            made = Event(**body, prev_hash=previous, hash=event_hash(previous, body))
            line = _canonical(asdict(made)) + "\n"
        except (TypeError, ValueError) as error:
            raise BadArgumentsError(f"Detail of audit event {event} is not plain JSON ({error}).") from error
        head = _anchored(settings)
        if head and tail and tail.sequence > head["sequence"]:
            # the last writer died between its line and the head
            _write_head(settings, tail)
        _keep_head(settings, tail, stamp[:10])
        path = audit_folder(settings) / f"{stamp[:10]}.jsonl"
        _append(path, line)
        _write_head(settings, made)
    return made


@contextmanager
def _locked(settings: Home) -> Iterator[None]:
    for folder in (audit_folder(settings), anchor_folder(settings)):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(audit_folder(settings) / ".lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _append(path: Path, line: str) -> None:
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            # a writer died inside its line: the fragment stays as evidence, on a line of its own
            os.write(handle, b"\n")
        data = line.encode()
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _days(settings: Home) -> list[Path]:
    return sorted(audit_folder(settings).glob("????-??-??.jsonl"))


def _tail(settings: Home) -> Event | None:
    """Return the last readable event."""
    for path in reversed(_days(settings)):
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            span = _TAIL
            while True:
                file.seek(max(size - span, 0))
                lines = file.read().split(b"\n")
                # the first piece may be the end of a longer line
                for line in reversed(lines if span >= size else lines[1:]):
                    if event := _parsed(line):
                        return event
                if span >= size:
                    break
                span *= 8
    return None


def _parsed(line: bytes) -> Event | None:
    try:
        event = Event(**json.loads(line))
        return event if isinstance(event.sequence, int) and isinstance(event.hash, str) else None
    except (ValueError, TypeError):
        return None


# --- anchors ----------------------------------------------------------------------------------------------------------


def _head_file(settings: Home) -> Path:
    return anchor_folder(settings) / "head.json"


def _heads_file(settings: Home) -> Path:
    return anchor_folder(settings) / "heads.jsonl"


def _anchored(settings: Home) -> dict[str, Any] | None:
    try:
        return json.loads(_head_file(settings).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _keep_head(settings: Home, tail: Event | None, day: str) -> None:
    """Keep the running head for good when its day is over, or when the log no longer holds it.

    In the second case the log was cut: writing on would move the head past the cut and hide it, so the lost head is
    kept as a line that every later verification will miss in the log.
    """
    head = _anchored(settings)
    if head is None:
        return
    cut = tail is None or tail.sequence < head["sequence"]
    if cut or head["day"] < day:
        heads = _heads_file(settings)
        line = _canonical(head)
        if heads.is_file() and line in heads.read_text(encoding="utf-8").splitlines():
            return
        _append(heads, line + "\n")


def _write_head(settings: Home, event: Event) -> None:
    head = {"day": event.at[:10], "sequence": event.sequence, "hash": event.hash}
    draft = _head_file(settings).with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(_canonical(head) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, _head_file(settings))


def heads(settings: Home | None = None) -> list[dict[str, Any]]:
    """Return the anchored heads, oldest first, the running day last: day, sequence, hash."""
    settings = settings or _settings()
    kept = []
    if _heads_file(settings).is_file():
        for line in _heads_file(settings).read_text(encoding="utf-8").splitlines():
            try:
                kept.append(json.loads(line))
            except ValueError:
                kept.append({"day": "", "sequence": -1, "hash": line})
    running = _anchored(settings)
    return kept + ([running] if running else [])


# --- reading and verifying --------------------------------------------------------------------------------------------


def events(settings: Home | None = None, *, first: date | None = None, last: date | None = None) -> Iterator[Event]:
    """Yield the readable events of the days, oldest first."""
    settings = settings or _settings()
    for path in _days(settings):
        if (first and path.stem < first.isoformat()) or (last and path.stem > last.isoformat()):
            continue
        for line in path.read_bytes().splitlines():
            if event := _parsed(line):
                yield event


def verify(settings: Home | None = None) -> Verdict:
    """Read the whole log and say whether it is what was written.

    Finds ``edited``, ``deleted``, ``reordered`` and ``unreadable`` lines from the chain alone, ``truncated`` and
    ``rewritten`` logs against the anchored heads, and ``unanchored`` days whose kept head is gone.
    """
    settings = settings or _settings()
    if not audit_folder(settings).is_dir() and not heads(settings):
        return Verdict(0, 0, GENESIS, ())
    with _locked(settings):
        return _verify(settings)


def _verify(settings: Home) -> Verdict:
    kept = heads(settings)
    wanted = {head["sequence"] for head in kept}
    findings: list[Finding] = []
    hashes: dict[int, str] = {}
    days: list[str] = []
    events_read = top = 0
    previous, expected, before = GENESIS, 1, ""
    # after a line that cannot be trusted, the next one is judged by itself only
    blind = False
    for file, number, line in _lines(settings):
        place = f"{file} line {number}"
        if not days or days[-1] != file:
            days.append(file)
        events_read += 1
        event = _parsed(line)
        if event is None:
            findings.append(
                Finding("unreadable", file, number, f"{place} is no audit event: it was damaged or edited.")
            )
            fault, sequence, own = "unreadable", expected, ""
        elif fault := _fault(event, line, file):
            findings.append(Finding("edited", file, number, f"{place} was edited: {fault}."))
            sequence, own = expected, ""
        else:
            sequence, own = event.sequence, event.hash
            if not blind and (sequence != expected or event.prev_hash != previous):
                findings.append(_break(settings, event, expected, before, file, number))
        if sequence in wanted:
            hashes[sequence] = own
        top = max(top, sequence)
        expected, previous, before, blind = sequence + 1, own or previous, place, bool(fault)
    findings += _against_anchors(settings, kept, hashes, top, days, before)
    return Verdict(events_read, len(days), previous, tuple(findings))


def _lines(settings: Home) -> Iterator[tuple[str, int, bytes]]:
    for path in _days(settings):
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield path.name, number, line


def _fault(event: Event, line: bytes, file: str) -> str:
    body = {key: value for key, value in asdict(event).items() if key not in ("hash", "prev_hash")}
    if event_hash(event.prev_hash, body) != event.hash:
        return "its content does not give its hash"
    if (_canonical(asdict(event)) + "\n").encode() != line:
        return "it is not written as events are written"
    if not file.startswith(event.at[:10]):
        return f"it happened on {event.at[:10]} and lies in another day's file"
    return ""


def _break(settings: Home, event: Event, expected: int, before: str, file: str, number: int) -> Finding:
    place = f"{file} line {number}"
    if event.sequence == expected:
        sentence = f"{before or place} was replaced: its hash is not the one that {place} continues."
        name, _, at = (before or place).partition(" line ")
        return Finding("edited", name, int(at), sentence)
    if event.sequence > expected:
        there = {found.sequence for found in events(settings)}
        gone = next(n for n in count(expected) if n not in there)
        if gone < event.sequence:
            last = next(n for n in range(event.sequence - 1, gone - 1, -1) if n not in there)
            span = f"{gone} is" if gone == last else f"{gone} to {last} are"
            return Finding("deleted", file, number, f"Event {span} missing before {place}: deleted.")
    return Finding(
        "reordered", file, number, f"{place} is event {event.sequence} where {expected} belongs: lines were moved."
    )


def _against_anchors(
    settings: Home, kept: list[dict[str, Any]], hashes: Mapping[int, str], top: int, days: list[str], last: str
) -> Iterator[Finding]:
    end, _, at = last.partition(" line ")
    for number, head in enumerate(kept, 1):
        running = number == len(kept) and _head_file(settings).is_file()
        name, line = ("head.json", 1) if running else ("heads.jsonl", number)
        file = f"{head['day']}.jsonl"
        if head["sequence"] < 0:
            yield Finding("unreadable", name, line, f"{name} line {line} is no anchored head: it was damaged.")
        elif head["sequence"] > top:
            yield Finding(
                "truncated",
                end or file,
                int(at or 0),
                f"The log was cut after {last or 'its start'}: {name} anchors event {head['sequence']} of {head['day']}"
                f", the log ends with event {top}.",
            )
        elif hashes.get(head["sequence"], "") not in ("", head["hash"]):
            yield Finding(
                "rewritten", file, 0, f"{file} was rewritten: event {head['sequence']} is not the one {name} anchors."
            )
    if days and not _head_file(settings).is_file():
        yield Finding("unanchored", "head.json", 0, "head.json is gone from the anchors: restore it from its copy.")
    anchored = {head["day"] for head in kept}
    for file in days[:-1]:
        if file.removesuffix(".jsonl") not in anchored:
            yield Finding(
                "unanchored", file, 0, f"The anchored head of {file} is gone: restore heads.jsonl from its copy."
            )
