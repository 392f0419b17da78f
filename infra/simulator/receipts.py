"""Receipts of the Single Window: each declaration's way from stored to released, in one step or two."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.simulator.inspections import Inspected
from infra.simulator.lot import Lot, seconds
from infra.simulator.randomness import hashed_below
from infra.simulator.two_step import Steps, Waiting

NOTES = ("goods description completed", "customs value corrected", "net mass corrected", "origin document added")
ACTORS = ["system", "officer", "declarant"]
# rows, state, instants of every row, actor, note
Step = tuple[np.ndarray, str, np.ndarray, str, int]


def build_receipts(
    rng: np.random.Generator,
    lot: Lot,
    chosen: np.ndarray,
    inspected: Inspected,
    rejected: np.ndarray,
    corrected: np.ndarray,
    corrected_at: np.ndarray,
    seed: int,
    span: tuple[np.datetime64, np.datetime64],
    two_step: np.ndarray,
    steps: Steps,
    waiting: Waiting,
) -> tuple[dict[str, Any], np.ndarray]:
    """Build receipts from stored (1) to released (800), rejected (100) or returned (700); none outside ``span``.

    In two steps the summary is stored and accepted first, the goods picked up, and the complete declaration takes the
    place of the declaration; one that is rejected is returned and submitted again.

    Returns:
        Values named as in the contract, and the instants sent (UTC).
    """
    n, at, aeo, transport = len(lot), lot.at, lot.aeo, lot.transport
    every = np.arange(n)
    stored = at + seconds(rng.integers(20, 400, n))
    first_stored = stored
    stored = np.where(two_step & rejected, steps.again + (stored - at), stored)
    one, two, back = ~two_step, every[two_step], two_step & rejected
    rejected = rejected & one
    review = ~chosen & ~rejected & (rng.random(n) < np.where(aeo, 0.03, 0.13))
    reviewed = stored + seconds(rng.exponential(5400, n) + 600)
    approved = reviewed + seconds(rng.exponential(4 * 3600, n) + 900)
    # Release, hours after declaration (lognormal): imports slower than exports, AEO faster, air faster than sea.
    typical = np.where(lot.is_import, 1.9, -0.6) - 0.9 * aeo - 0.4 * (transport == 5) + 0.2 * (transport == 3)
    released = stored + seconds(np.exp(typical + 0.9 * rng.normal(size=n)).clip(0.02, 600) * 3600)
    released = np.where(review, np.maximum(released, approved + seconds(rng.exponential(3600, n) + 60)), released)
    detained = inspected.finished_at + np.timedelta64(1200, "s")
    freed = detained + seconds(rng.exponential(6 * 86400, n) + 86400)
    after = np.where(inspected.is_violation, freed, inspected.finished_at) + seconds(rng.exponential(2 * 3600, n) + 600)
    released = np.where(chosen, after, released)
    returned = inspected.is_violation & (rng.random(n) < 0.12)
    ordered = np.minimum(stored + seconds(rng.integers(600, 7200, n)), inspected.finished_at)
    amended = corrected & ~returned
    values, sent = _assemble(
        [
            *_summary(steps, two),
            (two, "complete_submitted", at, "declarant", 0),
            (every[back], "complete_returned", first_stored, "officer", 1),
            (every[back], "complete_submitted", steps.again, "declarant", 0),
            (two, "complete_accepted", stored, "system", 0),
            (every[one], "1", at, "declarant", 0),
            (every[one & ~rejected], "120", stored, "system", 0),
            (every[rejected], "100", stored, "system", 1),
            (every[review], "300", reviewed, "officer", 0),
            (every[review & (rng.random(n) < 0.6)], "399", approved, "officer", 0),
            (every[chosen], "500", ordered, "officer", 0),
            (every[chosen], "inspected", inspected.finished_at, "officer", 0),
            (every[inspected.is_violation], "502", detained, "officer", 0),
            (every[inspected.is_violation & ~returned], "599", freed, "officer", 0),
            (every[amended], "amended", corrected_at, "declarant", 2),
            (every[~rejected & ~returned], "800", released, "system", 0),
            (every[returned], "700", released, "officer", 3),
        ],
        lot.numbers,
        seed,
        rng,
        span,
    )
    if not len(waiting.rows):
        return values, sent
    more, more_sent = _assemble(
        _summary(steps.take(waiting.rows), np.arange(len(waiting.rows)), still_waits=True),
        waiting.numbers,
        seed,
        rng,
        span,
    )
    both = {
        name: np.concatenate([column, more[name]])
        if isinstance(column, np.ndarray)
        else pa.concat_arrays([column, more[name]])
        for name, column in values.items()
    }
    return both, np.concatenate([sent, more_sent])


def _summary(steps: Steps, rows: np.ndarray, still_waits: bool = False) -> list[Step]:
    """Return the receipts of summaries: stored, accepted (before arrival it waits), picked up, reminded."""
    early = rows[(steps.accepted - steps.submitted)[rows] > np.timedelta64(900, "s")]
    reminded = rows if still_waits else rows[(steps.due < steps.again - np.timedelta64(30, "h"))[rows]]
    return [
        (rows, "1", steps.submitted, "declarant", 0),
        (early, "awaiting_arrival", steps.submitted + np.timedelta64(90, "s"), "system", 0),
        (rows, "120", steps.accepted, "system", 0),
        (rows, "pickup_allowed", steps.pickup, "system", 0),
        (reminded, "complete_due", steps.due, "system", 0),
    ]


def _assemble(
    steps: list[Step],
    numbers: pa.Array,
    seed: int,
    rng: np.random.Generator,
    span: tuple[np.datetime64, np.datetime64],
) -> tuple[dict[str, Any], np.ndarray]:
    """Put the receipts of declarations in the order of their instants and number them; equal ones as listed."""
    start, end = span
    owner = np.concatenate([s[0] for s in steps])
    when = np.concatenate([s[2][s[0]] for s in steps])
    status = np.concatenate([np.full(len(s[0]), s[1]) for s in steps])
    actor = np.concatenate([np.full(len(s[0]), ACTORS.index(s[3])) for s in steps])
    note = np.concatenate([np.full(len(s[0]), s[4]) for s in steps])
    order = np.lexsort([np.arange(len(owner)), when, owner])
    owner, when, status, actor, note = owner[order], when[order], status[order], actor[order], note[order]
    starts = np.searchsorted(owner, np.arange(len(numbers)))
    position = np.arange(len(owner)) - starts[owner] + 1
    texts = np.array(["", "declared elements incomplete", "", "goods returned after inspection", *NOTES])
    note = np.where(note == 2, 4 + hashed_below(owner, len(NOTES), seed, "note"), note)
    keep = (when >= start) & (when < end)
    owner, when, status, actor, note, position = (
        owner[keep],
        when[keep],
        status[keep],
        actor[keep],
        note[keep],
        position[keep],
    )
    sent = when + seconds(rng.integers(1, 20, len(when)))
    sent = np.minimum(sent, end - np.timedelta64(1, "s"))
    return {
        "declaration_no": numbers.take(pa.array(owner)),
        "event_seq": position,
        "status_code": pa.array(status, pa.string()),
        "occurred_at": when,
        "actor_code": pa.array(ACTORS).take(pa.array(actor)),
        "note": pc.if_else(pa.array(note > 0), pa.array(texts).take(pa.array(note)), pa.scalar(None, pa.string())),
        "message_at": sent,
        "message_seq": np.ones(len(when), dtype=np.int64),
    }, sent
