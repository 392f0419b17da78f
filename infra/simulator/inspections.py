"""Inspections: what officers and instruments find, when it becomes known, and the penalties that follow."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.simulator.days import business_days
from infra.simulator.enterprises import Enterprises
from infra.simulator.identifiers import padded
from infra.simulator.lot import Lot, seconds, take_messages
from infra.simulator.randomness import hashed_below
from infra.simulator.selection import Selected

KINDS = ("undervaluation", "misclassification", "false_origin", "quantity", "intellectual_property", "prohibited")
METHODS = np.array(["documents", "non_intrusive", "physical", "laboratory"])
METHOD_SHARES = np.array([0.25, 0.25, 0.44, 0.06])
SENSITIVITY = np.array([0.62, 0.72, 0.93, 0.96])  # share of frauds a method finds
HOURS = np.array([1.0, 0.6, 3.5, 30.0])
DAYS_TO_OUTCOME = np.array([3, 3, 6, 6])


@dataclass(frozen=True)
class Inspected:
    """Messages of inspections and penalties, and per declaration of the lot when the check ended and what it found."""

    messages: tuple
    penalties: tuple
    finished_at: np.ndarray
    is_violation: np.ndarray
    outcomes: tuple[np.ndarray, np.ndarray, np.ndarray]


class Inspector:
    """Inspects what was selected; keeps running numbers only."""

    def __init__(self, world: Enterprises, offices: pa.Array, last: date, end: np.datetime64) -> None:
        self.uscc, self.offices, self.last, self.end = world.uscc, offices, last, end
        self.serial, self.event_serial = 0, 0

    def inspect(self, rng: np.random.Generator, lot: Lot, selected: Selected) -> Inspected:
        """Inspect the chosen declarations; the outcome becomes known, and is sent, days later."""
        rows = np.flatnonzero(selected.chosen)
        k = len(rows)
        kind, trader, office = lot.kind[rows], lot.trader[rows], self.offices.take(pa.array(lot.office[rows]))
        method = rng.choice(4, k, p=METHOD_SHARES)
        instructed = selected.values["message_at"][rows] + seconds(rng.integers(60, 5400, k))
        started = instructed + (np.exp(rng.normal(2.5, 0.7, k)) * 3600).clip(1800, 8 * 86400).astype("timedelta64[s]")
        finished = started + (HOURS[method] * np.exp(0.5 * rng.normal(size=k)) * 3600).astype("timedelta64[s]")
        inspected_on = business_days(finished)
        known_on = inspected_on + np.where(
            method == 3, rng.integers(5, 21, k), rng.integers(0, DAYS_TO_OUTCOME[method])
        )
        caught = (kind >= 0) & (rng.random(k) < SENSITIVITY[method])
        petty = ~caught & (rng.random(k) < 0.012)
        violation = caught | petty
        finding = np.where(caught, np.array([*KINDS, ""])[kind], np.where(petty, "other", ""))
        severity = np.where(caught & ((kind == 5) | ((kind == 4) & (rng.random(k) < 0.2))), 2, violation.astype(int))
        sent = np.maximum(
            known_on.astype("datetime64[s]") + rng.integers(0, 9 * 3600, k).astype("timedelta64[s]"),
            finished + np.timedelta64(600, "s"),
        )
        finish_all, violation_all = lot.at.copy(), np.zeros(len(lot), dtype=bool)
        finish_all[rows], violation_all[rows] = finished, violation
        serial = self.serial + np.arange(k) + 1
        self.serial += k
        year = inspected_on.astype("datetime64[Y]").astype(np.int64) + 1970
        ids = pc.binary_join_element_wise("IN", padded(year, 4), padded(serial, 9), "")
        recovered = np.where(caught, np.round(lot.evaded[rows] * rng.uniform(0.6, 1.0, k), 2), 0.0)
        values = {
            "inspection_id": ids,
            "declaration_no": lot.numbers.take(pa.array(rows)),
            "item_no": pc.if_else(pa.array(caught), pa.array(lot.main_item_no[rows]), pa.scalar(None, pa.int64())),
            "customs_office_code": office,
            "inspected_on": pa.array(inspected_on),
            "instructed_at": instructed,
            "started_at": started,
            "finished_at": finished,
            "selected_by": selected.values["selected_by"].take(pa.array(rows)),
            "selection_prob": selected.probability[rows],
            "officer_id": pc.binary_join_element_wise(office, "-", padded(rng.integers(1, 40, k), 3), ""),
            "method_code": pa.array(METHODS[method]),
            "is_violation": pa.array(violation),
            "finding_code": pc.if_else(pa.array(violation), pa.array(finding), pa.scalar(None, pa.string())),
            "severity": severity,
            "recovered_duty": recovered,
            "value_currency_code": pa.array(np.full(k, "CNY")),
            "label_available_on": pa.array(known_on),
            "message_at": sent,
            "message_seq": np.ones(k, dtype=np.int64),
        }
        measurements, offsets = _measurements(
            rng, method, lot.real_net[rows], np.isin(lot.main_chapter[rows], ["26", "72", "74"]), inspected_on
        )
        ready = np.flatnonzero(sent < self.end)
        values, measurements, offsets = take_messages(values, measurements, offsets, ready)
        punished = violation & (rng.random(k) < 0.33)
        return Inspected(
            (values, measurements, offsets, sent[ready]),
            self._penalise(rng, trader, inspected_on, punished, recovered),
            finish_all,
            violation_all,
            (trader, known_on, violation.astype(float)),
        )

    def _penalise(
        self,
        rng: np.random.Generator,
        trader: np.ndarray,
        inspected_on: np.ndarray,
        punished: np.ndarray,
        recovered: np.ndarray,
    ) -> tuple[dict, np.ndarray]:
        """Open penalty cases for some of the violations found; the penalty follows weeks later."""
        rows = np.flatnonzero(punished)
        occurred = inspected_on[rows] + rng.integers(15, 75, len(rows))
        known = occurred + rng.integers(0, 8, len(rows))
        keep = known <= np.datetime64(self.last, "D")
        rows, occurred, known = rows[keep], occurred[keep], known[keep]
        amount = np.round(np.maximum(recovered[rows] * rng.uniform(0.3, 1.5, len(rows)), 1000.0), 2)
        serial = self.event_serial + np.arange(len(rows)) + 1
        self.event_serial += len(rows)
        sent = known.astype("datetime64[s]") + rng.integers(0, 8 * 3600, len(rows)).astype("timedelta64[s]")
        return {
            "event_id": pc.binary_join_element_wise("CEI", padded(serial, 10), ""),
            "trader_id": self.uscc.take(pa.array(trader[rows])),
            "event_kind": pa.array(np.full(len(rows), "penalty")),
            "occurred_on": pa.array(occurred.astype("datetime64[D]")),
            "known_on": pa.array(known.astype("datetime64[D]")),
            "amount": amount,
            "published_until": pa.array((known + 365).astype("datetime64[D]")),
            "message_at": sent,
            "message_seq": np.ones(len(rows), dtype=np.int64),
        }, sent


def _measurements(
    rng: np.random.Generator, method: np.ndarray, real_net: np.ndarray, ore: np.ndarray, inspected_on: np.ndarray
) -> tuple[dict, np.ndarray]:
    """Read the instruments: radiation at every non-documentary check, scale, X-ray density, iron content of ores."""
    k = len(method)
    every = np.arange(k)
    readings = [
        (
            every[method >= 1],
            "radiation",
            "gamma_dose_rate",
            "uSv/h",
            np.where(rng.random(k) < 0.002, rng.uniform(1, 9, k), rng.normal(0.11, 0.02, k).clip(0.03)),
        ),
        (every[method >= 2], "scale", "net_mass", "kg", np.round(real_net * rng.normal(1, 0.003, k), 3)),
        (every[method == 1], "xray", "density", "kg/m3", np.round(rng.lognormal(6.4, 0.6, k), 1)),
        (every[(method == 3) & ore], "libs", "fe_pct", "%", np.round(rng.normal(61, 4, k).clip(5, 72), 2)),
    ]
    owner = np.concatenate([r[0] for r in readings])
    which = np.concatenate([np.full(len(r[0]), i) for i, r in enumerate(readings)])
    value = np.concatenate([r[4][r[0]] for r in readings])
    order = np.lexsort([which, owner])
    owner, which, value = owner[order], which[order], value[order]
    offsets = np.searchsorted(owner, np.arange(k + 1))
    device = hashed_below(owner * 5 + which, 60, 7, "device")

    def pick(position: int) -> pa.Array:
        return pa.array([str(r[position]) for r in readings]).take(pa.array(which))

    return {
        "instrument_code": pick(1),
        "measurement_seq": np.ones(len(owner), dtype=np.int64),
        "quantity_code": pick(2),
        "measured_value": np.round(value, 4),
        "unit_code": pick(3),
        "device_id": pc.binary_join_element_wise("DEV", padded(device, 4), "-"),
        "calibrated_on": pa.array(inspected_on[owner] - rng.integers(1, 360, len(owner))),
    }, offsets
