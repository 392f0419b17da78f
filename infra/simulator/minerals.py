"""Loads of minerals on the railway: what they really are, what is declared, and what the instruments read of them.

Compositions close: gangue is drawn, iron fills the rest as oxide (as metal in sulphide concentrates), so contents,
ferrous oxide and loss on ignition add up to the whole. Means, variation and correlations are those of the concentrate
and drill-hole statistics of the rail chain reference (sections 2.1 and 7); slag, scale and cinder those of section 2.3.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.signal import lfilter

from infra.simulator.days import SHANGHAI
from infra.simulator.randomness import stream
from infra.simulator.scale import Scale

PARTS = ("sio2", "al2o3", "cao", "mgo", "tio2", "mno", "p2o5", "s", "loi", "cu", "zn", "pb", "as")
# Mean and coefficient of variation of each part; what is not named is a trace.
_TRACE = (0.006, 0.5)
MATERIALS: dict[str, dict[str, tuple[float, float]]] = {
    "magnetite_concentrate": {
        "sio2": (4.6, 0.28), "al2o3": (1.1, 0.30), "cao": (0.9, 0.45), "mgo": (0.9, 0.35), "tio2": (0.25, 0.5),
        "mno": (0.15, 0.5), "p2o5": (0.05, 0.5), "s": (0.30, 0.6), "loi": (0.6, 0.6),
    },
    "hematite_fines": {
        "sio2": (4.2, 0.30), "al2o3": (1.9, 0.30), "cao": (0.2, 0.6), "mgo": (0.12, 0.45), "tio2": (0.09, 0.4),
        "mno": (0.19, 0.6), "p2o5": (0.10, 0.4), "s": (0.03, 0.6), "loi": (0.8, 0.5),
    },
    "iron_pellets": {
        "sio2": (4.6, 0.2), "al2o3": (0.7, 0.3), "cao": (2.2, 0.4), "mgo": (0.8, 0.35), "tio2": (0.2, 0.4),
        "mno": (0.1, 0.5), "p2o5": (0.03, 0.5), "s": (0.015, 0.5), "loi": (0.1, 0.5),
    },
    "copper_concentrate": {
        "sio2": (8.0, 0.25), "al2o3": (1.8, 0.3), "cao": (0.8, 0.4), "mgo": (0.6, 0.4), "tio2": (0.1, 0.4),
        "mno": (0.03, 0.5), "p2o5": (0.03, 0.5), "s": (30.0, 0.05), "loi": (2.0, 0.3), "cu": (24.0, 0.10),
        "zn": (1.2, 0.5), "pb": (0.5, 0.5), "as": (0.10, 0.5),
    },
}  # fmt: skip
# Share of the iron that is magnetite, as parameters of a beta distribution; none in the sulphide concentrate.
MAGNETITE = {"magnetite_concentrate": (12, 2), "hematite_fines": (1, 20), "iron_pellets": (1, 30)}
CORRELATIONS = {
    ("sio2", "al2o3"): 0.45, ("al2o3", "tio2"): 0.6, ("cao", "s"): 0.5, ("sio2", "cao"): 0.3, ("sio2", "mgo"): 0.3,
    ("cao", "mgo"): 0.3, ("sio2", "tio2"): 0.35, ("p2o5", "loi"): 0.4,
}  # fmt: skip
BRANDS = 4
# Of the variance between loads 75 % lies between brands and trains, 25 % between wagons of a train.
BETWEEN_BRANDS, BETWEEN_TRAINS, BETWEEN_WAGONS = 0.45, 0.30, 0.25
MEASURED = ("tfe", "sio2", "cao", "al2o3", "mgo", "tio2", "mno", "p2o5", "s", "cu", "zn", "pb", "as")
# By-products that are solid waste when they come as ore: contents of the measured elements, and FeO (%).
WASTES: dict[str, tuple[tuple[float, ...], float]] = {
    "blast_furnace_slag": ((0.6, 35, 38, 12, 8, 1.2, 0.5, 0.02, 0.9, 0.005, 0.005, 0.005, 0.005), 0.6),
    "converter_slag": ((17.5, 12, 46, 2.2, 7, 0.6, 4, 2.0, 0.1, 0.01, 0.01, 0.005, 0.005), 14),
    "arc_furnace_slag": ((22, 15, 32, 8, 8, 0.5, 5, 0.6, 0.1, 0.02, 0.05, 0.01, 0.005), 24),
    "copper_slag": ((46, 27, 1.8, 3.2, 1.0, 0.2, 0.1, 0.1, 0.36, 0.42, 1.5, 0.1, 0.05), 42),
    "mill_scale": ((71.2, 1.0, 0.4, 0.6, 0.2, 0.03, 0.6, 0.05, 0.03, 0.1, 0.02, 0.01, 0.005), 58),
    "pyrite_cinder": ((57, 9.5, 1.5, 2.5, 0.9, 0.2, 0.1, 0.05, 1.8, 0.3, 0.4, 0.25, 0.2), 4),
    "sinter_returns": ((54, 5.3, 9.8, 1.9, 2.0, 0.2, 0.3, 0.1, 0.04, 0.01, 0.02, 0.01, 0.005), 9),
}
GANGUE = np.array([2.0, 78, 4, 13, 3, 0.5, 0.1, 0.1, 0.05, 0.0, 0.0, 0.0, 0.0])
# Errors of LIBS (root mean square, %) and its limits of detection.
LIBS_ERROR = np.array([0.62, 0.36, 0.096, 0.046, 0.216, 0.03, 0.05, 0.02, 0.08, 0.15, 0.08, 0.10, 0.03])
LIBS_LIMIT = np.array([0.0, 0.0, 0.03, 0.03, 0.05, 0.02, 0.03, 0.02, 0.05, 0.10, 0.08, 0.08, 0.03])
# Planted schemes of iron ore and their shares; copper concentrate with too much arsenic stands for itself.
SCHEMES = ("grade_overstated", "grade_swap", "solid_waste", "waste_blend", "other_goods")
SCHEME_SHARES = np.array([0.20, 0.20, 0.20, 0.22, 0.18])
VERDICTS = {
    "grade_overstated": "grade_below_declared", "grade_swap": "grade_below_declared", "solid_waste": "solid_waste",
    "waste_blend": "solid_waste", "other_goods": "other_goods", "harmful_element": "harmful_element",
}  # fmt: skip
CLASSES = ("magnetite", "hematite", "pellet", "chalcopyrite", "slag", "scale", "cinder", "other")
CLASS_OF = {
    "magnetite_concentrate": 0, "hematite_fines": 1, "iron_pellets": 2, "copper_concentrate": 3,
    "blast_furnace_slag": 4, "converter_slag": 4, "arc_furnace_slag": 4, "copper_slag": 4, "mill_scale": 5,
    "pyrite_cinder": 6, "sinter_returns": 7,
}  # fmt: skip
SURFACE_RIGHT = 0.85  # hyperspectral classes in field geometry
PANEL, SUPPRESSED = 7_070.0, (0.03, 0.12)
OFFICES = ("9404", "9402", "0700", "0603")
HOUR = 3600.0


@dataclass
class Note:
    """One consignment of minerals on its train."""

    train_id: str
    waybill_no: str
    pass_id: str
    station: int
    hs6: str
    position: int
    arrived: float
    scanned: float
    times: dict[str, float]
    numbers: list[str | None] = field(default_factory=list)
    masses: list[float] = field(default_factory=list)


class MineralSource:
    """Makes orders, readings and laboratory results of the consignments of minerals of a period."""

    def __init__(self, seed: int, scale: Scale) -> None:
        self.seed, self.scale = seed, scale
        rng = stream(seed, "mines")
        correlation = np.eye(len(PARTS))
        for (a, b), r in CORRELATIONS.items():
            i, j = PARTS.index(a), PARTS.index(b)
            correlation[i, j] = correlation[j, i] = r
        self.factor = np.linalg.cholesky(correlation)
        parts = np.array([[spec.get(p, _TRACE) for p in PARTS] for spec in MATERIALS.values()])
        self.sigma = np.sqrt(np.log1p(parts[..., 1] ** 2))
        self.mu = np.log(parts[..., 0]) - self.sigma**2 / 2
        drawn = rng.normal(size=(len(MATERIALS), BRANDS, len(PARTS))) @ self.factor.T
        self.brands = self.mu[:, None] + np.sqrt(BETWEEN_BRANDS) * self.sigma[:, None] * drawn

    def scheme(self, waybill_no: str, hs6: str) -> str | None:
        """Return the scheme planted on a consignment: a function of its note, so that others can ask for it."""
        rng = stream(self.seed, "scheme", waybill_no)
        if rng.random() >= self.scale.mineral_fraud_share:
            return None
        if hs6 == "260300":
            return "harmful_element" if rng.random() < 0.4 else None
        return SCHEMES[int(rng.choice(len(SCHEMES), p=SCHEME_SHARES))]

    def is_held(self, waybill_no: str, hs6: str) -> bool:
        """Return whether the port sees waste on the consignment and keeps it for the laboratory."""
        found = self.scheme(waybill_no, hs6) == "solid_waste"
        return found and stream(self.seed, "held", waybill_no).random() < 0.93

    def make(self, stamp: str, notes: list[Note]) -> dict[str, Any]:
        """Make what is sent about the consignments of a period.

        Returns:
            {feed: (values named as in the contracts, sent)} and ``planted``: [(kind, contract, subject, detail)].
        """
        rng = stream(self.seed, "minerals", stamp)
        if not notes:
            return {"planted": []}
        loads = _Loads(self, rng, notes)
        return {
            "rail_orders": loads.orders(),
            "rail_radiations": loads.radiations(),
            "rail_compositions": loads.compositions(),
            "rail_inclusions": loads.inclusions(),
            "rail_laboratory": loads.laboratory(),
            "planted": loads.planted,
        }


def _instants(seconds: np.ndarray) -> np.ndarray:
    return seconds.astype(np.int64).astype("datetime64[s]")


def _text(values: Any) -> pa.Array:
    return pa.array(list(values), pa.string())


class _Loads:
    """The wagons of the consignments of a period as arrays, one row per wagon."""

    def __init__(self, source: MineralSource, rng: np.random.Generator, notes: list[Note]) -> None:
        self.source, self.rng, self.notes = source, rng, notes
        self.planted: list[tuple[str, str, str, str]] = []
        self.sizes = np.array([len(n.numbers) for n in notes])
        self.of = np.repeat(np.arange(len(notes)), self.sizes)
        self.n, k = len(self.of), len(notes)
        self.place = np.arange(self.n) - np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)
        self.position = np.array([n.position for n in notes])[self.of] + self.place + 1
        self.train = np.array([n.train_id for n in notes])[self.of]
        self.schemes = [source.scheme(n.waybill_no, n.hs6) for n in notes]
        names = list(MATERIALS)
        magnetite = rng.random(k) < 0.75
        self.material = np.array(
            [{"260300": 3, "260112": 2}.get(n.hs6, 0 if m else 1) for n, m in zip(notes, magnetite, strict=True)]
        )
        self.brand = rng.integers(0, BRANDS, k)
        self.names = names
        self._compose()
        self._read_composition()
        self._read_radiation()
        self.order_no = np.array([f"SI{n.waybill_no}" for n in notes])
        self.declaration_no = np.array(
            [f"{OFFICES[n.station]}{stream(source.seed, 'dn', n.waybill_no).integers(9 * 10**8, 10**9)}" for n in notes]
        )
        years = [str(np.datetime64(int(n.arrived), "s") + SHANGHAI)[:4] for n in notes]
        self.declaration_no = np.array(
            [d[:4] + y + "1" + d[4:] for d, y in zip(self.declaration_no, years, strict=True)]
        )
        self.starts = np.array([n.times.get("M8", max(n.arrived, n.times["M4"]) + 900.0) for n in notes])

    def _plant(self, kind: str, contract: str, rows: np.ndarray, detail: Any = "") -> None:
        for row in np.atleast_1d(rows).tolist():
            text = detail if isinstance(detail, str) else str(detail[row])
            self.planted.append((kind, contract, f"{self.train[row]}/{self.position[row]}", text))

    # -- what the loads are -------------------------------------------------------------------------------------------

    def _ore(self, material: np.ndarray, brand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return contents of the measured elements (n, 13) and FeO (n,) of ores, given per consignment."""
        source, rng, of = self.source, self.rng, self.of
        sigma = source.sigma[material]
        train = rng.normal(size=(len(material), len(PARTS))) @ source.factor.T * sigma * np.sqrt(BETWEEN_TRAINS)
        wagon = rng.normal(size=(self.n, len(PARTS))) @ source.factor.T * sigma[of] * np.sqrt(BETWEEN_WAGONS)
        parts = np.exp((source.brands[material, brand] + train)[of] + wagon)
        share = np.array([rng.beta(*MAGNETITE[self.names[m]]) if self.names[m] in MAGNETITE else 0.0 for m in material])
        return _closed(parts, share[of], (material == 3)[of])

    def _typical(self) -> np.ndarray:
        """Return the iron content of each declared brand at its mean."""
        parts = np.exp(self.source.brands[self.material, self.brand])
        share = np.array([a / (a + b) for a, b in (MAGNETITE.get(self.names[m], (0, 1)) for m in self.material)])
        return _closed(parts, share, self.material == 3)[0][:, 0]

    def _compose(self) -> None:
        rng, k = self.rng, len(self.notes)
        real, mine = self.material.copy(), self.brand.copy()
        for c, scheme in enumerate(self.schemes):
            if scheme == "other_goods":
                if rng.random() < 0.6:
                    real[c] = (real[c] + int(rng.integers(1, 3))) % 3
                mine[c] = (mine[c] + int(rng.integers(1, BRANDS))) % BRANDS
        self.contents, self.feo = self._ore(real, mine)
        ore = self.contents[:, 0].copy()
        self.surface = np.array([CLASS_OF[self.names[m]] for m in real])[self.of]
        self.verdict = np.full(self.n, "as_declared", dtype=object)
        self.detail = np.full(self.n, "", dtype=object)
        overstated = np.zeros(k)
        wastes = list(WASTES)
        for c, scheme in enumerate(self.schemes):
            if scheme is None:
                continue
            rows = np.flatnonzero(self.of == c)
            if scheme in ("grade_swap", "solid_waste", "waste_blend"):
                run = min(int(rng.integers(2, 11)), len(rows))
                start = int(rng.integers(0, len(rows) - run + 1))
                rows = rows[start : start + run]
            detail = self.names[real[c]]
            if scheme == "grade_overstated":
                overstated[c] = rng.uniform(1.8, 5)
            elif scheme == "grade_swap":
                self._mix(rows, GANGUE, 0.5, rng.uniform(0.04, 0.12))
            elif scheme in ("solid_waste", "waste_blend"):
                detail = wastes[int(rng.integers(len(wastes)))]
                share = 1.0 if scheme == "solid_waste" else rng.uniform(0.10, 0.40)
                self._mix(rows, np.array(WASTES[detail][0]), WASTES[detail][1], share)
                seen = rows[rng.random(len(rows)) < min(1.0, 1.2 * share)]
                self.surface[seen] = CLASS_OF[detail]
            elif scheme == "harmful_element":
                self.contents[rows, 12] = rng.uniform(0.6, 3.0) * rng.lognormal(0, 0.1, len(rows))
                detail = "arsenic"
            self.verdict[rows], self.detail[rows] = VERDICTS[scheme], detail
            self._plant(f"mineral_{scheme}", "rail.composition", rows, detail)
        mean = np.bincount(self.of, ore) / self.sizes
        other = np.array([s == "other_goods" for s in self.schemes])
        stated = np.where(other, self._typical(), mean) + rng.normal(0, 0.3, k) + overstated
        self.declared_tfe = np.round(stated.clip(5, 71.5), 1)
        self.declared_cu = np.round(np.bincount(self.of, self.contents[:, 9]) / self.sizes + rng.normal(0, 0.2, k), 1)

    def _mix(self, rows: np.ndarray, other: np.ndarray, feo: float, share: float) -> None:
        spread = other * np.exp(self.rng.normal(0, 0.07, (len(rows), len(MEASURED))))
        spread *= np.minimum(1.0, other.sum() / spread.sum(axis=1))[:, None]
        self.contents[rows] = (1 - share) * self.contents[rows] + share * spread
        self.feo[rows] = (1 - share) * self.feo[rows] + share * feo

    # -- what the instruments read ------------------------------------------------------------------------------------

    def _read_composition(self) -> None:
        rng = self.rng
        drift = lfilter([1.0], [1.0, -0.98], rng.normal(0, np.sqrt(1 - 0.98**2), (self.n, len(MEASURED))), axis=0)
        error = LIBS_ERROR * (0.9 * rng.normal(size=self.contents.shape) + 0.43 * drift)
        raw = rng.random(self.n) < 0.01  # not normalised: sums of 105 to 120
        factor = np.where(raw, rng.uniform(1.06, 1.20, self.n), 1.0)
        self.libs = np.round(np.maximum(self.contents + error, 0) * factor[:, None], 3)
        self.libs[(self.libs < LIBS_LIMIT) & (LIBS_LIMIT > 0)] = np.nan
        self._plant("uncalibrated_reading", "rail.composition", np.flatnonzero(raw))
        wrong = rng.random(self.n) >= SURFACE_RIGHT
        self.seen = np.where(
            wrong, rng.choice([0, 1, 2, 7, 4, 6], self.n, p=[0.3, 0.3, 0.2, 0.16, 0.02, 0.02]), self.surface
        )
        frames = int(min(n.arrived for n in self.notes)) * 1000
        self.frame = frames + np.arange(self.n)
        for c in np.flatnonzero(rng.random(len(self.notes)) < 0.015):
            row = int(np.flatnonzero(self.of == c)[-1])
            if self.place[row] == 0:
                continue
            self.libs[row] = self.libs[row - 1]
            if rng.random() < 0.5:
                self.frame[row] = self.frame[row - 1]
                self._plant("frame_repeated", "rail.composition", np.array([row]))
            else:
                self._plant("copied_spectrum", "rail.composition", np.array([row]))

    def _read_radiation(self) -> None:
        rng, k = self.rng, len(self.notes)
        portal = PANEL * (1 - rng.uniform(*SUPPRESSED, k)) * rng.uniform(0.97, 1.03, k)
        self.background = np.round(portal[self.of]).astype(np.int64)
        level = np.ones((self.n, 4)) * rng.normal(1, 0.003, (self.n, 1))
        norm = np.flatnonzero((rng.random(k) < 2 * self.source.scale.hidden_source_share)[self.of])
        level[norm] *= 1 + rng.uniform(0.08, 0.60, (len(norm), 1))
        neutron = rng.poisson(0.02, self.n)
        self.nuclide = np.full(self.n, None, dtype=object)
        self.activity = np.full(self.n, np.nan)
        self.nuclide[norm] = "natural"
        self.activity[norm] = np.round(rng.lognormal(-0.3, 0.8, len(norm)), 3)
        hidden = [
            int(rng.choice(np.flatnonzero(self.of == c)))
            for c in np.flatnonzero(rng.random(k) < self.source.scale.hidden_source_share)
        ]
        for row in hidden:
            level[row, rng.integers(0, 4)] += rng.uniform(0.5, 4)
            neutron[row] += rng.poisson(6) * int(rng.random() < 0.5)
            self.nuclide[row], self.activity[row] = "industrial", round(float(rng.lognormal(3, 1)), 3)
        self._plant("radiation_norm", "rail.radiation", norm)
        self._plant("radiation_source", "rail.radiation", np.array(hidden, dtype=np.int64))
        self.panels = rng.poisson(level * self.background[:, None])
        dead = np.flatnonzero((rng.random(k) < 0.003)[self.of])
        self.panels[dead, 2] = 0
        self._plant("dead_panel", "rail.radiation", dead)
        top = self.panels.max(axis=1) - self.background
        self.neutron = neutron
        self.alarm = ((top > 0) & (top.astype(float) ** 2 > 25.0 * self.background)) | (neutron > 3)

    # -- messages -----------------------------------------------------------------------------------------------------

    def _head(self, contract: str, misread: float = 0.003) -> dict[str, Any]:
        """Return train, position, number as this instrument read it, order and declaration."""
        rng = self.rng
        numbers = [number for note in self.notes for number in note.numbers]
        for row in np.flatnonzero(rng.random(self.n) < misread):
            if numbers[row] is not None:
                at = int(rng.integers(8))
                digit = (int(numbers[row][at]) + int(rng.integers(1, 10))) % 10
                numbers[row] = f"{numbers[row][:at]}{digit}{numbers[row][at + 1 :]}"
                self._plant("instrument_misread", contract, np.array([row]))
        position = self.position.copy()
        lost = np.flatnonzero(rng.random(self.n) < 0.0005)
        position[lost] = 150 - lost % 10  # a wagon the consist does not know: pushed in by shunting
        for row in lost:
            numbers[row] = "60290228"
        self._plant("wagon_not_in_consist", contract, lost)
        return {
            "train_id": _text(self.train),
            "position": position,
            "wagon_no": _text(numbers),
            "order_no": _text(self.order_no[self.of]),
            "declaration_no": _text(self.declaration_no[self.of]),
        }

    def _device(
        self, kind: str, at: np.ndarray, abnormal: np.ndarray, frame: np.ndarray
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Return what a reading says of its device and instants, and when it is sent."""
        rng, n = self.rng, len(at)
        station = np.array([note.station for note in self.notes])[self.of]
        if n != self.n:
            station = np.tile(station, n // self.n)
        day = np.floor((at + 2 * HOUR) / 86_400) * 86_400 - 2 * HOUR  # calibrated at six in the morning, China time
        stale = rng.random(n) < 0.003
        state = np.where(rng.random(n) < 0.005, rng.choice(["warming_up", "degraded", "fault"], n), "normal")
        known = at + rng.uniform(2, 40, n)
        return {
            "conclusion_code": pa.array(np.where(abnormal, "abnormal", "normal")),
            "device_id": pc.binary_join_element_wise(kind, pa.array(np.array(["01", "02", "03", "04"])[station]), "-"),
            "device_state": pa.array(state),
            "frame_no": frame,
            "calibrated_at": _instants(day - np.where(stale, 2 * 86_400, 0)),
            "read_at": _instants(at),
            "known_at": _instants(known),
            "message_at": _instants(known + 1),
            "message_seq": np.ones(n, dtype=np.int64),
        }, _instants(known + 2)

    def orders(self) -> tuple[dict[str, Any], np.ndarray]:
        """Return the orders; a few are lost, so that results answer an order nobody knows."""
        notes, rng = self.notes, self.rng
        at = np.array([n.times.get("M7", n.times["M4"] + 300.0) for n in notes])
        lost = rng.random(len(notes)) < 0.01
        for c in np.flatnonzero(lost):
            self.planted.append(("order_lost", "rail.inspection_order", str(self.order_no[c]), notes[c].waybill_no))
        kept = np.flatnonzero(~lost)
        codes = {0: "2601111000", 1: "2601119000", 2: "2601120000", 3: "2603000010"}
        rows = [notes[c] for c in kept]
        material = self.material[kept]
        copper = material == 3
        return {
            "order_no": _text(self.order_no[kept]),
            "train_id": _text(n.train_id for n in rows),
            "waybill_no": _text(n.waybill_no for n in rows),
            "declaration_no": _text(self.declaration_no[kept]),
            "station_code": _text(f"CN0{n.station + 1}" for n in rows),
            "hs_code": _text(codes[int(m)] for m in material),
            "material_code": _text(self.names[m] for m in material),
            "brand_code": _text(
                f"{self.names[m][:3].upper()}{b + 1}" for m, b in zip(material, self.brand[kept], strict=True)
            ),
            "declared_tfe_pct": self.declared_tfe[kept],
            "declared_cu_pct": pa.array(self.declared_cu[kept], mask=~copper),
            "wagon_count": self.sizes[kept],
            "checks": _text(["radiation,inclusion,composition"] * len(kept)),
            "selected_by": _text(["rule"] * len(kept)),
            "selection_prob": np.ones(len(kept)),
            "ordered_at": _instants(at[kept]),
            "message_at": _instants(at[kept] + 2),
            "message_seq": np.ones(len(kept), dtype=np.int64),
        }, _instants(at[kept] + 3)

    def radiations(self) -> tuple[dict[str, Any], np.ndarray]:
        """Return the readings of the portal: one wagon every eight seconds of the pass."""
        at = np.array([n.scanned for n in self.notes])[self.of] + 8.0 * self.position
        self.scanned_at = at
        device, sent = self._device("RPM", at, self.alarm, self.frame)
        values = self._head("rail.radiation") | {
            "pass_id": _text(np.array([n.pass_id for n in self.notes])[self.of]),
            **{f"panel_{i + 1}_count": self.panels[:, i] for i in range(4)},
            "neutron_count": self.neutron,
            "gamma_total": self.panels.sum(axis=1),
            "background_count": self.background,
            "is_alarm": pa.array(self.alarm),
        }
        return values | device, sent

    def compositions(self) -> tuple[dict[str, Any], np.ndarray]:
        """Return LIBS and hyperspectral readings, one wagon every hundred seconds."""
        rng = self.rng
        at = self.starts[self.of] + 100.0 * (self.place + 1)
        self.analysed_at = at
        skew = rng.random(len(self.notes)) < 0.004
        wrong = at + np.where(skew[self.of], rng.uniform(400, 900), 0.0)
        read = dict(zip(MEASURED, np.nan_to_num(self.libs).T, strict=True))
        gap = np.abs(read["tfe"] - self.declared_tfe[self.of]) > 3
        basic = (read["cao"] > 8) & (read["cao"] + read["mgo"] > 1.2 * (read["sio2"] + read["al2o3"]))
        iron = self.material[self.of] != 3
        self.abnormal = iron & (gap | basic | (read["cao"] > 15) | ((read["s"] > 1) & (read["tfe"] < 63)))
        self.abnormal |= (~iron & (read["as"] > 0.5)) | (iron & np.isin(self.seen, (4, 5, 6)))
        head, both = self._head("rail.composition"), 2
        device, _ = self._device(
            "LIBS", np.concatenate([wrong, at + 20]), np.tile(self.abnormal, both), np.concatenate([self.frame] * both)
        )
        half = np.arange(2 * self.n) < self.n
        device["device_id"] = pc.if_else(
            pa.array(half), device["device_id"], pc.replace_substring(device["device_id"], "LIBS", "HSI")
        )
        known = np.concatenate([at, at + 20]) + 30
        device |= {"known_at": _instants(known), "message_at": _instants(known + 1)}
        self._plant("clock_skew", "rail.composition", np.flatnonzero(skew[self.of]))
        image = np.full((self.n, len(MEASURED)), np.nan)
        for column, error in ((1, 0.9), (2, 0.5)):
            image[:, column] = np.round(np.maximum(self.contents[:, column] + rng.normal(0, error, self.n), 0), 3)
        feo = np.round(np.clip(self.feo + rng.normal(0, 1.0, self.n), 0, None), 3)
        told = rng.random(self.n) < 0.003  # LIBS that reports a ferrous oxide of nought, as the first devices did
        elements = np.vstack([self.libs, image])
        below = [",".join(MEASURED[j] for j in np.flatnonzero(row)) or None for row in np.isnan(self.libs)]
        waste = np.isin(self.seen, (4, 5, 6))
        values = {
            name: pa.concat_arrays([column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column] * both)
            if isinstance(column, pa.Array | pa.ChunkedArray)
            else np.tile(column, both)
            for name, column in head.items()
        }
        values |= {
            "method_code": pa.array(np.where(half, "libs", "hyperspectral")),
            **{f"{e}_pct": elements[:, j] for j, e in enumerate(MEASURED)},
            "feo_pct": np.concatenate([np.where(told, 0.0, np.nan), np.where(iron, feo, np.nan)]),
            "below_lod": _text(below + [None] * self.n),
            "mineral_class": _text([None] * self.n + [CLASSES[c] for c in self.seen]),
            "solid_waste_attribute": _text([None] * self.n + ["suspected" if w else "none" for w in waste]),
        }
        return values | device, _instants(known + 2)

    def inclusions(self) -> tuple[dict[str, Any], np.ndarray]:
        """Return what the cameras saw at reloading; vision finds A .97, B .90 and C .85 of what is there."""
        rng, n = self.rng, self.n
        net = np.array([m for note in self.notes for m in note.masses])
        a = rng.binomial(rng.poisson(2e-5 * self.source.scale.rare_factor, n), 0.97)
        b = rng.binomial(rng.poisson(0.05, n), 0.90)
        grams = rng.lognormal(np.log(300), 1.2, n) * (rng.random(n) < 0.85)
        self._plant("inclusion_a", "rail.inclusion", np.flatnonzero(a))
        share = grams / (net * 10)
        at = np.array([note.times["M13"] for note in self.notes])[self.of] - 90.0 * (self.sizes[self.of] - self.place)
        device, sent = self._device("CAM", at, (a > 0) | (b > 0) | (share >= 0.01), self.frame)
        return self._head("rail.inclusion") | {
            "class_a_count": a,
            "class_b_count": b,
            "class_c_weight_g": np.round(grams, 1),
            "class_c_share_pct": np.round(share, 6),
            "net_mass_kg": net,
        } | device, sent

    def laboratory(self) -> tuple[dict[str, Any], np.ndarray]:
        """Return results of the samples drawn: some wagons at random, most of those an instrument finds abnormal."""
        rng, scale = self.rng, self.source.scale
        suspicious = self.abnormal | self.alarm
        chance = np.where(suspicious, max(0.9, scale.mineral_sample_share), scale.mineral_sample_share)
        rows = np.flatnonzero(rng.random(self.n) < chance)
        drawn = self.analysed_at[rows] + rng.uniform(1, 3, len(rows)) * HOUR
        told = np.array([n.times.get("M10", 0.0) for n in self.notes])[self.of[rows]]
        later = drawn + rng.uniform(24, 144, len(rows)) * HOUR
        known = np.where(told > drawn, told, later)
        sample = [f"S{self.order_no[c][2:]}-{p:03d}" for c, p in zip(self.of[rows], self.position[rows], strict=True)]
        activity = np.where(np.isnan(self.activity[rows]), np.nan, self.activity[rows])
        return {
            "sample_no": _text(sample),
            "train_id": _text(self.train[rows]),
            "position": self.position[rows],
            "order_no": _text(self.order_no[self.of[rows]]),
            "declaration_no": _text(self.declaration_no[self.of[rows]]),
            "selected_by": pa.array(np.where(suspicious[rows], "rule", "random")),
            "selection_prob": chance[rows],
            "verdict_code": _text(self.verdict[rows]),
            "tfe_pct": np.round((self.contents[rows, 0] + rng.normal(0, 0.12, len(rows))).clip(0, 72.3), 2),
            "activity_bq_g": activity,
            "nuclide_class": _text(self.nuclide[rows]),
            "drawn_at": _instants(drawn),
            "known_at": _instants(known),
            "message_at": _instants(known + 60),
            "message_seq": np.ones(len(rows), dtype=np.int64),
        }, _instants(known + 90)


def _closed(parts: np.ndarray, magnetite: np.ndarray, sulphide: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the measured elements and FeO of loads whose iron fills what the parts leave."""
    rest = np.maximum(100 - parts.sum(axis=1), 0)
    iron = np.where(sulphide, rest, rest * (magnetite * 0.7236 + (1 - magnetite) * 0.6994))
    column = {name: parts[:, j] for j, name in enumerate(PARTS)} | {"tfe": iron}
    return np.column_stack([column[e] for e in MEASURED]), np.where(sulphide, 0.0, rest * magnetite * 0.3103)
