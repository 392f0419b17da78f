"""Trains over the land border: manifest before arrival, declaration, risk assessment, inspection, pickup, reload.

A train is tied to the rest of the world where a two-step import declaration came by rail: it arrives at the instant
that declaration states, its consignment note is the declaration's bill, and the declaration is the complete one
that follows the pickup. All other consignments are declared in one step on the corridor itself.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from infra.simulator.days import SHANGHAI, Chunk, Period, business_days
from infra.simulator.enterprises import Enterprises
from infra.simulator.goods import Goods
from infra.simulator.grain import SITE_HOURS
from infra.simulator.identifiers import containers, digits, text
from infra.simulator.minerals import MineralSource, Note
from infra.simulator.rail_exchange import WAGONS, exchange
from infra.simulator.randomness import hashed, stream
from infra.simulator.scale import Scale

RAIL, HOUR, MINUTE = "3", 3600.0, 60.0
STATIONS = np.array(["CN01", "CN02", "CN03", "CN04"])
STATION_SHARES = np.array([0.45, 0.45, 0.03, 0.07])
STATION_OF_PORT = {"9404": 0, "9402": 1, "0700": 2, "0603": 3}
COUNTRIES = ("KZ", "KZ", "MN", "RU")
WIND_STATION, SKEWED_STATION = 0, 1
WIND_STOPS = 0.22  # share of trains whose reloading waits for the wind: 90 % of consignments leave within 16 hours
KINDS = ("container", "minerals", "grain", "fertiliser", "other")
KIND_SHARES = np.array(
    [0.10, 0.55, 0.13, 0.12, 0.10]
)  # of trains without a declaration of ours; those carry containers
KIND_HS6 = {"minerals": ("260111", "260112", "260300"), "grain": ("100199",), "fertiliser": ("310420",)}
LANES = ("green", "documents", "inspection", "random")
LANE_SHARES = np.array([0.80, 0.12, 0.06, 0.02])
DECISIONS = {
    "green": "release_on_arrival",
    "documents": "check_documents",
    "inspection": "inspect",
    "random": "inspect",
}
WAGON_KINDS = np.array([5, 6, 2, 4])
WAGON_KIND_SHARES = np.array([0.45, 0.50, 0.03, 0.02])
# Step: number of its scenario, state entered, who reports it.
STEPS = {
    "M0": (2, "departed", "foreign_railway"),
    "M1": (4, "manifest_sent", "railway"),
    "M2": (4, "manifest_accepted", "single_window"),
    "M3": (6, "accepted", "declarant"),
    "M4": (10, "assessed", "risk"),
    "M5": (11, "arrived", "railway"),
    "M6": (14, "scanned", "terminal"),
    "M7": (16, "inspection_ordered", "customs"),
    "M8": (17, "inspection_started", "customs"),
    "M9": (17, "inspected", "customs"),
    "M10": (19, "lab_result", "laboratory"),
    "M11": (25, "pickup_allowed", "customs"),
    "M12": (25, "released", "customs"),
    "M13": (26, "reloaded", "terminal"),
    "M14": (27, "left", "railway"),
    "M15": (28, "complete_accepted", "customs"),
    "M16": (28, "closed", "customs"),
}
# Linked declarations: heavier ones do not fit a train, faster ones would be complete before the pickup.
HEAVIEST, FASTEST_HOURS = 400_000.0, 12.0
# What the chain takes from the receipts of a linked declaration.
RECEIPTS = {
    "summary_at": "1",
    "pickup_at": "pickup_allowed",
    "completed_at": "complete_accepted",
    "released_at": "800",
}
COMPLETE_LATE, OPEN_TWO_STEP = 0.03, 0.5


@dataclass
class _Rows:
    """Columns that grow row by row, handed on as arrays."""

    columns: dict[str, list] = field(default_factory=lambda: defaultdict(list))

    def add(self, **values: Any) -> None:
        """Add one row; every row brings the same columns."""
        for name, value in values.items():
            self.columns[name].append(value)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))


def _lognormal(rng: np.random.Generator, median: float, sigma: float) -> float:
    return float(np.exp(rng.normal(np.log(median), sigma)))


def _instants(values: list) -> np.ndarray:
    """Turn epoch seconds (None = unknown) into instants."""
    return np.array(
        [np.datetime64("NaT") if v is None else np.datetime64(int(v), "s") for v in values], "datetime64[s]"
    )


class RailSource:
    """Makes the trains of period after period; knows beforehand which declarations they have to meet."""

    def __init__(self, seed: int, scale: Scale, world: Enterprises, goods: Goods, first: date, last: date) -> None:
        self.seed, self.scale, self.world, self.goods, self.first = seed, scale, world, goods, first
        self.end = (np.datetime64(last, "s") + np.timedelta64(16, "h")).astype(np.int64)
        # as many declarations as there are trains to carry them: at full size a sample, so that few are remembered
        self.share = min(1.0, scale.trains_per_day / (scale.declarations_per_year / 365.25 * 0.003))
        self.minerals = MineralSource(seed, scale)
        self.known: list[pd.DataFrame] = []
        self.numbers: dict[str, int] = {}

    def notice(self, made: dict[str, Any]) -> None:
        """Remember the declarations of a chunk that came by rail in two steps, and when they were released."""
        header, items, offsets, _ = made["declarations"]
        lag = (header["declared_at"] - header["arrived_at"]).astype(np.float64)
        fits = pc.and_(
            pc.equal(header["declaration_mode"], "two_step"), pc.equal(header["transport_mode_code"], RAIL)
        ).to_numpy(zero_copy_only=False)
        fits &= (header["gross_mass_kg"] <= HEAVIEST) & (lag >= FASTEST_HOURS * HOUR)
        rows = np.flatnonzero(fits)
        if self.share < 1:
            kept = hashed(header["declared_at"][rows].astype(np.int64) + rows, self.seed, "rail") >> np.uint64(11)
            rows = rows[kept.astype(np.float64) / (1 << 53) < self.share]
        where = pa.array(rows)
        found = pd.DataFrame(
            {
                name: header[name].take(where).to_numpy(zero_copy_only=False)
                for name in (
                    "declaration_no",
                    "bill_no",
                    "trader_id",
                    "dispatch_country_code",
                    "container_no",
                    "port_code",
                )
            }
        )
        found["hs6"] = [str(code)[:6] for code in items["hs_code"].take(pa.array(offsets[rows])).to_pylist()]
        for name in ("arrived_at", "declared_at"):
            found[name] = header[name][rows].astype("datetime64[s]").astype(np.int64)
        found["gross"], found["packages"] = header["gross_mass_kg"][rows], header["package_count"][rows]
        receipts, _ = made["receipts"]
        ours = pc.is_in(receipts["declaration_no"], pa.array(found["declaration_no"], pa.string()))
        for name, status in RECEIPTS.items():
            is_it = pc.and_(pc.equal(receipts["status_code"], status), ours)
            hit = np.flatnonzero(is_it.to_numpy(zero_copy_only=False))
            when = receipts["occurred_at"][hit].astype("datetime64[s]").astype(np.int64)
            found[name] = found["declaration_no"].map(
                dict(zip(receipts["declaration_no"].take(pa.array(hit)).to_pylist(), when.tolist(), strict=True))
            )
        self.known.append(found)

    def make(self, period: Period) -> dict[str, Any]:
        """Make the trains that arrive in a period.

        Returns:
            {"rail_trains": (train values, wagon values, offsets, sent), the other feeds: (values, sent), "truth": what
            was planted}; values are named as in the contracts.
        """
        rng = stream(self.seed, "rail", period.stamp)
        out = _Period()
        for arrival, link in self._arrivals(rng, period):
            self._train(rng, out, arrival, link)
        minerals = self.minerals.make(period.stamp, out.minerals)
        for one in minerals.pop("planted"):
            out.plant(*one)
        told = exchange(stream(self.seed, "rail exchange", period.stamp), out.chosen_wagons())
        planted = pd.concat([pd.DataFrame(out.planted.columns), told.pop("planted")])
        return minerals | {
            "rail_trains": out.trains_and_wagons(),
            "rail_manifests": out.manifest_values(),
            "rail_milestones": out.milestone_values(),
            **told,
            "truth": pa.table(
                {name: pa.array(planted[name], pa.string()) for name in ("kind", "contract_id", "subject_id", "detail")}
            ),
        }

    def chunk(self, period: Period) -> Chunk:
        """Return the period as one chunk: trains are few."""
        until = np.datetime64(period.last, "s") + np.timedelta64(1, "D") - SHANGHAI
        return Chunk(period, tuple(period.days), 0.0, 1.0, until)

    def _arrivals(self, rng: np.random.Generator, period: Period) -> list[tuple[int, Any]]:
        """Return (arrival, linked declaration or None) in the order of arrival."""
        known = pd.concat(self.known, ignore_index=True) if self.known else pd.DataFrame({"arrived_at": []})
        day = business_days(known["arrived_at"].to_numpy().astype(np.int64).astype("datetime64[s]"))
        start = max(
            np.datetime64(period.first, "D"), np.datetime64(self.first, "D") + 2
        )  # all messages after the first day
        links = known[(day >= start) & (day <= np.datetime64(period.last, "D"))]
        arrivals: list[tuple[int, Any]] = [(int(link.arrived_at), link) for link in links.itertuples()]
        per_day = pd.Series(
            [int(business_days(np.array([a], "datetime64[s]"))[0].astype(np.int64)) for a, _ in arrivals]
        )
        counted = per_day.value_counts().to_dict()
        for d in range(start.astype(np.int64), np.datetime64(period.last, "D").astype(np.int64) + 1):
            more = rng.poisson(max(self.scale.trains_per_day - counted.get(d, 0), 0.0))
            midnight = d * 86_400 - 8 * 3600
            arrivals += [(midnight + int(s), None) for s in rng.integers(0, 86_400, more)]
        return sorted(arrivals, key=lambda a: (a[0], a[1] is None))

    def _train(self, rng: np.random.Generator, out: "_Period", arrival: int, link: Any) -> None:
        station = STATION_OF_PORT.get(link.port_code) if link is not None else None
        station = int(rng.choice(len(STATIONS), p=STATION_SHARES)) if station is None else station
        kind = "container" if link is not None else KINDS[int(rng.choice(len(KINDS), p=KIND_SHARES))]
        # M1 to M5: lognormal, median 3.5 h, mean 3.72; 1 % only after arrival
        late = rng.random() < 0.01
        sent = arrival + _lognormal(rng, 0.5, 0.5) * HOUR if late else arrival - _lognormal(rng, 3.5, 0.35) * HOUR
        transit, receipt = _lognormal(rng, 0.6, 0.3) * HOUR, _lognormal(rng, 6, 0.5) * MINUTE
        if link is not None and link.summary_at < arrival:  # the manifest of a summary came before it
            own = stream(self.seed, "manifest", link.declaration_no)  # the other trains draw what they drew without it
            sent = link.summary_at - _lognormal(own, 0.9, 0.49) * HOUR - receipt
        departed, accepted = min(sent, arrival) - transit, sent + receipt
        left_on = business_days(np.array([int(departed)], "datetime64[s]"))[0]
        stamp = str(left_on).replace("-", "")
        self.numbers[stamp] = self.numbers.get(stamp, 0) + 1
        train_no = f"{75_000 + 2 * self.numbers[stamp]}"
        train = f"{stamp}-{train_no}"
        seen_no = train_no
        if rng.random() < 0.005:
            seen_no = f"{int(train_no) + 1}"
            out.plant("train_renumbered", "rail.train", train, seen_no)
        scanned = arrival + rng.uniform(5, 25) * MINUTE
        if station == SKEWED_STATION:
            scanned += rng.uniform(-90, 90)  # a device whose clock is off, within what is allowed
        times = {"M0": departed, "M1": sent, "M2": accepted, "M5": float(arrival), "M6": scanned}
        out.events(rng, train, "train", train, STATIONS[station], times, {})
        wind = (4 + rng.weibull(1.2) * 6) * HOUR if station == WIND_STATION and rng.random() < WIND_STOPS else 0.0
        bulk = kind != "container"
        total = int(rng.integers(50, 61)) if bulk else int(rng.integers(50, 56))
        notes = int(rng.integers(1, 4)) if bulk else int(rng.integers(4, 7))
        sizes = 1 + rng.multinomial(total - notes, rng.dirichlet(np.ones(notes)))
        if link is not None:
            wanted = min(max(int(np.ceil(link.gross / 22_000)), 1), total - notes + 1)
            sizes = np.concatenate(
                [[wanted], 1 + rng.multinomial(total - wanted - notes + 1, np.ones(notes - 1) / (notes - 1))]
            )
        advance = rng.random() >= 0.04
        position = 0
        first_wagon = len(out.wagons)
        pass_id = str(np.datetime64(arrival, "s") + SHANGHAI).translate(str.maketrans("", "", "-T:"))
        for n, size in enumerate(sizes.tolist()):
            here = link if n == 0 else None
            bill = link.bill_no if here is not None else f"RWB{stamp[2:]}{train_no[-3:]}{n:02d}"
            steps, hs6 = self._consignment(
                rng, out, train, bill, station, kind, size, here, arrival, sent, accepted, advance, wind
            )
            self._wagons(rng, out, train, bill, kind, size, position, here)
            if kind == "minerals":
                seen, weighed = (out.wagons.columns[c][-size:] for c in ("wagon_no", "weighed_mass_kg"))
                out.minerals.append(
                    Note(train, bill, pass_id, station, hs6, position, arrival, scanned, steps, seen, weighed)
                )
            position += size
        whole = _lognormal(rng, 20, 0.4) * MINUTE
        out.trains.add(
            train_id=train,
            pass_id=pass_id,
            train_no=seen_no,
            train_date=left_on,
            station_code=STATIONS[station],
            dispatch_country_code=COUNTRIES[station],
            goods_kind=kind,
            wagon_count=len(out.wagons) - first_wagon,
            arrived_at=arrival,
            sent=arrival + whole,
        )
        out.offsets.append(len(out.wagons))

    def _consignment(
        self,
        rng: np.random.Generator,
        out: "_Period",
        train: str,
        bill: str,
        station: int,
        kind: str,
        size: int,
        link: Any,
        arrival: int,
        sent: float,
        accepted: float,
        advance: bool,
        wind: float,
    ) -> tuple[dict[str, float], str]:
        hs6 = link.hs6 if link is not None else self._hs6(rng, kind)
        held = kind == "minerals" and self.minerals.is_held(bill, hs6)
        lane = (
            LANES[int(rng.choice(4, p=LANE_SHARES))]
            if link is None
            else ("documents" if rng.random() < 0.13 else "green")
        )
        lane = "inspection" if held else lane
        # M2 to M3: lognormal, median 0.9 h, 95 % within 2 h
        lodged = (accepted if advance else max(accepted, arrival)) + _lognormal(rng, 0.9, 0.49) * HOUR
        if link is not None and link.summary_at == link.summary_at:  # known
            lodged = max(float(link.summary_at), accepted)
        assessed = lodged + _lognormal(rng, 6, 0.6) * MINUTE
        t = {"M3": lodged, "M4": assessed}
        start = max(float(arrival), assessed)
        bulk = kind != "container"
        if lane in ("inspection", "random"):
            t["M7"] = start + rng.uniform(2, 12) * MINUTE
            t["M8"] = t["M7"] + _lognormal(rng, 3, 0.4) * HOUR
            t["M9"] = t["M8"] + _lognormal(rng, 4, 0.35) * HOUR
            if held or rng.random() < {"minerals": 0.25, "grain": 0.5}.get(kind, 0.05):
                t["M10"] = t["M9"] + rng.uniform(20, 60) * HOUR
            t["M11"] = t.get("M10", t["M9"]) + _lognormal(rng, 2, 0.4) * HOUR
        else:
            t["M11"] = start + _lognormal(rng, 2.0 if lane == "green" else 3.2, 0.4) * HOUR
        if link is not None:
            t["M11"] = min(t["M11"], link.declared_at - 600) if link.pickup_at != link.pickup_at else link.pickup_at
            t["M11"] = max(t["M11"], assessed + 60)
        if kind == "grain":
            t["M11"] = max(t["M11"], arrival + SITE_HOURS * HOUR)
        reload = max(rng.normal(11.0, 1.3), 7) if bulk else _lognormal(rng, 4.6, 0.35)
        t["M13"] = max(t["M11"] + _lognormal(rng, 0.8, 0.4) * HOUR, arrival + reload * HOUR + wind)
        t["M14"] = t["M13"] + _lognormal(rng, 0.7, 0.4) * HOUR
        complete = link is not None
        # two-step consignments whose complete declaration has not come yet: their days are counted by the worklist
        days = (
            rng.uniform(14.2, 30) if rng.random() < COMPLETE_LATE else np.exp(rng.normal(3.9, 0.75)).clip(1, 324) / 24
        )
        is_open = link is None and rng.random() < OPEN_TWO_STEP and arrival + days * 86_400 > self.end
        if complete:
            t["M15"] = float(link.completed_at if link.completed_at == link.completed_at else link.declared_at)
            if link.released_at == link.released_at:  # known
                t["M12"] = float(link.released_at)
        elif not is_open:
            t["M12"] = t["M11"] + _lognormal(rng, 15, 0.6) * MINUTE
        if "M12" in t:
            t["M16"] = max(t["M12"], t["M14"]) + _lognormal(rng, 20, 0.6) * HOUR
        more: dict[str, dict[str, Any]] = {
            "M4": {"lane_code": lane, "decision_code": DECISIONS[lane], "deadline_at": assessed + 24 * HOUR}
        }
        if link is not None:
            more |= {step: {"declaration_no": link.declaration_no} for step in ("M15", "M12", "M16")}
        early = rng.random() < 0.003 and "M12" in t and link is None
        if early:
            out.plant("release_before_acceptance", "rail.milestone", bill, "M12")
        out.events(
            rng, train, "consignment", bill, STATIONS[station], t, more,
            scenario={"M3": 7} if complete or is_open else {"M8": 21, "M9": 21} if kind == "grain" else {},
            first_status="accepted_awaiting_arrival" if lodged < arrival else "accepted",
            moved={"M12": lodged - 1800} if early else {},
        )  # fmt: skip
        unseen = rng.random() < 0.003
        if unseen:
            out.plant("manifest_wagon_unseen", "rail.manifest", bill, str(size))
        mass = out.mass(rng, kind, size) if link is None else np.full(size, link.gross / size)
        out.next_masses = mass
        out.inspected = {"lane": lane, **{f"m{step}": t[f"M{step}"] for step in (7, 8, 9)}} if "M7" in t else {}
        values = {
            "waybill_no": bill,
            "train_id": train,
            "station_code": STATIONS[station],
            "note_kind": "CIM/SMGS" if kind == "container" and rng.random() < 0.7 else "SMGS",
            "goods_kind": kind,
            "hs6_code": hs6,
            "consignee_id": link.trader_id
            if link is not None
            else self.world.uscc[int(rng.integers(len(self.world)))].as_py(),
            "dispatch_country_code": link.dispatch_country_code if link is not None else COUNTRIES[station],
            "wagon_count": size + int(unseen),
            "package_count": int(link.packages)
            if link is not None
            else size * (1 if bulk else int(rng.integers(20, 900))),
            "declared_mass_kg": round(float(mass.sum()), 3),
            "manifest_at": sent,
        }
        if rng.random() < 0.015:  # the first message states another mass, a correction follows before arrival
            wrong = values | {"declared_mass_kg": round(values["declared_mass_kg"] * rng.uniform(0.9, 1.1), 3)}
            out.manifests.add(**wrong, message_seq=1, sent=sent + 5)
            out.manifests.add(**values, message_seq=2, sent=sent + rng.uniform(600, 7200))
            out.plant("manifest_corrected", "rail.manifest", bill, "declared_mass_kg")
        else:
            out.manifests.add(**values, message_seq=1, sent=sent + 5)
        out.inspected |= {name: values[name] for name in ("train_id", "waybill_no", "consignee_id", "station_code")}
        out.inspected |= {"goods_kind": kind, "declaration_no": link.declaration_no if link is not None else None}
        return t, hs6

    def _hs6(self, rng: np.random.Generator, kind: str) -> str:
        if kind in KIND_HS6:
            return str(rng.choice(KIND_HS6[kind]))
        return str(self.goods.hs6[int(rng.integers(len(self.goods.hs6)))])

    def _wagons(
        self,
        rng: np.random.Generator,
        out: "_Period",
        train: str,
        bill: str,
        kind: str,
        size: int,
        position: int,
        link: Any,
    ) -> None:
        declared = out.next_masses
        body = rng.choice(WAGON_KINDS, size, p=WAGON_KIND_SHARES) * 1_000_000 + rng.integers(0, 1_000_000, size)
        numbers = text(luhn_numbers(body) + 48).to_pylist()
        boxes: list[str | None] = [None] * size
        if kind == "container":
            boxes = containers(rng.integers(0, 6, size), rng.integers(0, 10**6, size)).to_pylist()
            if link is not None and link.container_no is not None:
                boxes[0] = link.container_no
        weighed = declared * (1 + rng.normal(0, 0.006 if kind == "container" else 0.002, size))
        if link is None and rng.random() < 0.006:
            declared = declared * 0.97  # shaved: 3 % less is stated than stands on the scales
            out.plant("weight_shaving", "rail.wagon", bill, "0.97")
        luck = rng.random(size)
        for i in range(size):
            number, note, place = numbers[i], bill, position + i + 1
            if luck[i] < 0.002:
                number = None
                out.plant("wagon_unread", "rail.wagon", f"{train}/{place}", numbers[i])
            elif luck[i] < 0.006:
                at = int(rng.integers(8))
                number = number[:at] + str((int(number[at]) + int(rng.integers(1, 10))) % 10) + number[at + 1 :]
                out.plant("wagon_misread", "rail.wagon", f"{train}/{place}", numbers[i])
            elif luck[i] < 0.0065:
                at = int(rng.integers(7))
                number = number[:at] + number[at + 1] + number[at] + number[at + 2 :]
                out.plant("wagon_swapped_digits", "rail.wagon", f"{train}/{place}", numbers[i])
            elif luck[i] < 0.007:
                note = f"{bill}X"
                out.plant("wagon_not_on_manifest", "rail.wagon", f"{train}/{place}", bill)
            out.wagons.add(
                position=place,
                wagon_no=number,
                waybill_no=note,
                container_no=boxes[i],
                declared_mass_kg=round(float(declared[i]), 3),
                weighed_mass_kg=round(float(min(weighed[i], 71_300)), 3),
            )
            if "m7" in out.inspected and i < WAGONS:
                out.chosen.add(**out.inspected, position=place, wagon_no=number)


def luhn_numbers(body: np.ndarray) -> np.ndarray:
    """Add the check digit to seven-digit wagon numbers; returns an (n, 8) array of digits."""
    given = digits(body, 7)
    doubled = given[:, ::2] * 2
    total = (doubled - 9 * (doubled > 9)).sum(axis=1) + given[:, 1::2].sum(axis=1)
    return np.column_stack([given, (10 - total % 10) % 10])


class _Period:
    """What the trains of one period send."""

    def __init__(self) -> None:
        self.trains, self.wagons, self.manifests, self.milestones, self.planted = (_Rows() for _ in range(5))
        self.chosen, self.inspected = _Rows(), dict[str, Any]()
        self.offsets = [0]
        self.minerals: list[Note] = []
        self.next_masses = np.zeros(0)

    def plant(self, kind: str, contract_id: str, subject_id: str, detail: str) -> None:
        """Note in the truth what is wrong on purpose."""
        self.planted.add(kind=kind, contract_id=contract_id, subject_id=subject_id, detail=detail)

    def mass(self, rng: np.random.Generator, kind: str, size: int) -> np.ndarray:
        """Draw the loads of wagons (kg)."""
        if kind == "container":
            return rng.uniform(8_000, 26_000, size)
        tonnes = rng.normal(57, 1.5, size) if kind == "grain" else rng.normal(68.5, 1.2, size)
        return np.minimum(tonnes, 70) * 1000

    def events(
        self,
        rng: np.random.Generator,
        train: str,
        subject_kind: str,
        subject: str,
        station: str,
        times: dict[str, float],
        more: dict[str, dict[str, Any]],
        scenario: dict[str, int] | None = None,
        first_status: str | None = None,
        moved: dict[str, float] | None = None,
    ) -> None:
        """Send a subject's events in the order of their instants, each naming the state it leaves; spoil a few."""
        previous = "submitted" if first_status else None
        for step, at in sorted(times.items(), key=lambda item: item[1]):
            number, status, emitter = STEPS[step]
            status = first_status if step == "M3" and first_status else status
            event = {
                "event_id": f"{train}/{subject}/{step}" if subject != train else f"{train}/{step}",
                "chain_id": train,
                "scenario_no": (scenario or {}).get(step, number),
                "subject_kind": subject_kind,
                "subject_id": subject,
                "step_code": step,
                "step_status": status,
                "previous_status": previous,
                "emitter": emitter,
                "station_code": station,
                "occurred_at": (moved or {}).get(step, at),
                "known_at": at + rng.uniform(1, 30),
                **dict.fromkeys(("lane_code", "decision_code", "deadline_at", "declaration_no")),
                **more.get(step, {}),
            }
            previous = status
            self._send(rng, event)

    def _send(self, rng: np.random.Generator, event: dict[str, Any]) -> None:
        luck, name = rng.random(), event["event_id"]
        sent = event["known_at"] + rng.uniform(1, 10)
        first, second = dict(event), None
        if luck < 0.002:
            return self.plant("missing_event", "rail.milestone", name, event["step_code"])
        if luck < 0.012:
            second = (dict(event), sent + rng.uniform(1, 300))
            self.plant("duplicate", "rail.milestone", name, event["step_code"])
        elif luck < 0.032:
            sent += rng.uniform(600, 3600)
            self.plant("out_of_order", "rail.milestone", name, event["step_code"])
        elif luck < 0.042:
            sent += rng.uniform(1, 24) * HOUR
            self.plant("late", "rail.milestone", name, event["step_code"])
        elif luck < 0.057:
            first["occurred_at"] = event["occurred_at"] - rng.uniform(5, 40) * MINUTE
            second = (dict(event), sent + rng.uniform(1, 24) * HOUR)
            self.plant("corrected", "rail.milestone", name, event["step_code"])
        elif luck < 0.0575:
            first["occurred_at"] = event["occurred_at"] + float(rng.choice([2, 3])) * HOUR
            self.plant("zone_slip", "rail.milestone", name, event["step_code"])
        elif luck < 0.0595 and event["step_code"] in ("M11", "M12", "M13", "M14"):
            first["previous_status"] = "accepted"
            self.plant("illegal_transition", "rail.milestone", name, event["step_code"])
        self.milestones.add(**first, message_no=f"{name}#1", message_seq=1, sent=sent)
        if second is not None:
            self.milestones.add(**second[0], message_no=f"{name}#2", message_seq=2, sent=second[1])
        return None

    def trains_and_wagons(self) -> tuple:
        """Return (train values, wagon values, offsets, sent)."""
        t, w = self.trains.columns, self.wagons.columns
        sent = _instants(t["sent"])
        header = {n: pa.array(v) for n, v in t.items() if n not in ("arrived_at", "sent", "train_date")}
        header |= {
            "train_date": pa.array(np.array(t["train_date"], "datetime64[D]")),
            "arrived_at": _instants(t["arrived_at"]),
            "message_at": sent,
            "message_seq": np.ones(len(sent), dtype=np.int64),
        }
        texts = ("wagon_no", "waybill_no", "container_no")
        wagons = {n: pa.array(v, pa.string() if n in texts else None) for n, v in w.items()}
        return header, wagons, np.array(self.offsets), sent

    def chosen_wagons(self) -> pd.DataFrame:
        """Return the wagons that are to be inspected, one row each."""
        names = ("train_id", "waybill_no", "consignee_id", "station_code", "goods_kind", "declaration_no", "lane")
        numbers = dict.fromkeys(("position", "m7", "m8", "m9"), "float64")
        texts = dict.fromkeys((*names, "wagon_no"), "object")
        return pd.DataFrame(
            {n: pd.Series(self.chosen.columns[n], dtype=t) for n, t in (texts | numbers).items()}
        ).astype({"position": "int64"})

    def manifest_values(self) -> tuple:
        """Return (values, sent)."""
        return self._values(self.manifests, ("manifest_at",), ())

    def milestone_values(self) -> tuple:
        """Return (values, sent)."""
        optional = ("previous_status", "lane_code", "decision_code", "declaration_no")
        return self._values(self.milestones, ("occurred_at", "known_at", "deadline_at"), optional)

    @staticmethod
    def _values(rows: _Rows, instants: tuple[str, ...], optional: tuple[str, ...]) -> tuple:
        sent = _instants(rows.columns["sent"])
        values: dict[str, Any] = {
            name: _instants(column) if name in instants else pa.array(column, pa.string() if name in optional else None)
            for name, column in rows.columns.items()
            if name != "sent"
        }
        return values | {"message_at": sent}, sent
