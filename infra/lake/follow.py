"""Ingest as files arrive: one warm process that does what ``customs lake ingest`` does, as soon as a file is complete.

Nothing here judges or commits: every file goes through ``ingest_feed``, with its ledger, locks and quarantine. So a
scheduled ingestion of the same feed may run beside it, and a process killed at any point loses and doubles nothing.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from threading import Event

from watchfiles import watch

from infra.lake.commit import create_lake, lake_connection
from infra.lake.files import landed_files
from infra.lake.ingest import FeedOutcome, feeds, ingest_feed, unread
from infra.lake.ledger import LEDGER, Known, pending
from infra.runtime.errors import BadArgumentsError, TryAgainError
from infra.runtime.settings import Settings

SETTLE_SECONDS = 0.5
# a look without being told: network folders tell nothing
LOOK_SECONDS = 2.0
LOCK_SECONDS = 1.0


@dataclass(frozen=True)
class Taken:
    """A file that was taken: what became of its rows, and the seconds from landing until they could be queried."""

    feed: str
    file: str
    rows: int
    good: int
    quarantined: int
    seconds: float
    refusal: str | None = None

    @property
    def line(self) -> str:
        """Return the progress line."""
        if self.refusal:
            return f"{self.feed}: refused {self.refusal}"
        return (
            f"{self.file}: {self.rows:,} rows, {self.good:,} good, {self.quarantined:,} quarantined, "
            f"queryable after {self.seconds:.2f} s"
        )


def follow(
    names: Sequence[str],
    *,
    settings: Settings,
    stop: Event,
    settle: float = SETTLE_SECONDS,
    until_idle: float | None = None,
    longest: float | None = None,
    progress: Callable[[str], None],
    reached: Callable[[str], None] = lambda _: None,
) -> Iterator[Taken]:
    """Ingest the files of feeds as they arrive, until told to stop.

    A file is complete when it was renamed into place, or has not changed for ``settle`` seconds; names that start with
    a dot or end in ``.part`` are never taken. A file taken too early is read again when it has changed: its rows
    replace those of the same keys.

    Args:
        names: feeds.
        settings: platform settings.
        stop: set it to end after the file in hand.
        settle: seconds a file that is written in place must not have changed.
        until_idle: end when no file came for this many seconds.
        longest: end after this many seconds.
        progress: called with what is worth saying beside the files taken.
        reached: fault points, for tests.

    Yields:
        Every file, when its rows can be queried.

    Raises:
        BadArgumentsError: no such feed.
    """
    known_feeds = feeds()
    if unknown := [name for name in names if name not in known_feeds]:
        raise BadArgumentsError(f"There is no feed '{unknown[0]}'; feeds are {', '.join(known_feeds)}.")
    _warm_up(settings, [table for name in names for table in known_feeds[name]])
    known = {name: Known(settings, name) for name in dict.fromkeys(names)}
    progress(f"following {', '.join(known)} in {settings.landing}")
    busy_said = 0.0
    began = last = time.monotonic()
    for _ in _looks([settings.landing / name for name in known], stop, (until_idle, longest)):
        while not stop.is_set():
            waiting, taken, busy = 0, 0, False
            for name in known:
                if stop.is_set():
                    return
                fresh, _, unsettled = unread(settings, name, landed_files(settings.landing, name), known[name], settle)
                waiting += unsettled
                if not fresh and not pending(settings, known_feeds[name]):
                    continue
                try:
                    outcome = ingest_feed(
                        name, settings=settings, wait=LOCK_SECONDS, settle=settle, known=known[name], reached=reached
                    )
                except TryAgainError as error:
                    busy = True
                    if time.monotonic() - busy_said > LOOK_SECONDS:
                        progress(f"{name}: waiting. {error}")
                        busy_said = time.monotonic()
                    continue
                for file in _taken(settings, outcome):
                    taken += 1
                    yield file
            now = time.monotonic()
            last = now if taken or waiting or busy else last
            if longest is not None and now - began >= longest:
                return
            if not waiting and not busy and not taken:
                break
            if waiting or busy:
                stop.wait(min(settle, 0.1))
        if until_idle is not None and time.monotonic() - last >= until_idle:
            return


def _warm_up(settings: Settings, tables: Sequence[str]) -> None:
    """Load once what the first file would otherwise wait for: contracts, tables, the reader of Delta tables."""
    create_lake(settings, [*tables, LEDGER])
    with lake_connection(settings) as connection:
        connection.execute(f"SELECT count(*) FROM delta_scan('{settings.silver(LEDGER)}')")


def _looks(folders: Sequence[Path], stop: Event, limits: tuple[float | None, ...]) -> Iterator[None]:
    """Yield at once, whenever something changes in the folders, and every few seconds; end when ``stop`` is set."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    pause = min([LOOK_SECONDS, *(limit for limit in limits if limit is not None)])
    changes = watch(
        *folders,
        watch_filter=None,
        step=20,
        debounce=100,
        stop_event=stop,
        rust_timeout=max(int(pause * 1000), 50),
        yield_on_timeout=True,
        raise_interrupt=False,
    )
    yield None
    for _ in changes:
        yield None


def _taken(settings: Settings, outcome: FeedOutcome) -> Iterator[Taken]:
    """Tell an outcome file by file; the tables a file feeds count together."""
    now = datetime.now(UTC).timestamp()
    for (file, refusal), rows in groupby(outcome.entries, key=lambda row: (row["source_file"], row.get("refusal"))):
        counted = [(row["rows_in"], row["rows_good"], row["rows_quarantined"]) for row in rows]
        path = settings.landing / file
        # the file may have been taken away since
        seconds = now - path.stat().st_ctime if path.exists() else 0.0
        yield Taken(outcome.feed, file, *(sum(column) for column in zip(*counted, strict=True)), seconds, refusal)
