"""Packages treated specially at the border: who is registered for them, their certificates and marks, what was decided.

Wood packaging, dangerous-goods packagings, lithium batteries, gas cylinders, and packs that must not be opened at the
border (vacuum, light-proof, constant temperature): those are passed unopened and inspected in the firm's clean room.
"""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.codes import code_list
from infra.simulator.enterprises import Enterprises
from infra.simulator.grain import DAY, HOUR, MINUTE, instants, planted_table, wagons_of
from infra.simulator.randomness import stream

KINDS = ("wood", "dangerous_goods", "lithium", "gas_cylinder", "sealed")
# Share of container wagons with a package of the kind: wood as proposed, the special ones 3 % together with cylinders.
SHARES = (0.40, 0.05, 0.02, 0.01, 0.03)
MARK_FAULT = {"wood": 0.015, "dangerous_goods": 0.01}
LIVE_PEST, UNDECLARED, OPENED = 0.002, 0.05, 0.04
OLD_CERTIFICATE = 0.03  # of registered consignees: with the few who renew late about 0.7 % rely on an expired one
TREATMENTS = ("exempt", "destination", "non_intrusive", "full")
# Treatment by kind, in the order above, when nothing is wrong. What must stay closed goes to its destination.
TREATMENT_SHARES = {
    "wood": (0.35, 0.0, 0.45, 0.20),
    "dangerous_goods": (0.20, 0.05, 0.50, 0.25),
    "lithium": (0.25, 0.10, 0.50, 0.15),
    "gas_cylinder": (0.30, 0.10, 0.50, 0.10),
    "sealed": (0.04, 0.93, 0.03, 0.0),
}
PORT_HOURS = {"exempt": 0.2, "destination": 0.3, "non_intrusive": 0.7, "full": 5.5}
FOUND_AT_PORT = {"exempt": 0.15, "destination": 0.2, "non_intrusive": 0.6, "full": 0.95}
VALID_DAYS = {
    "performance": 365, "use_appraisal": 365, "wood_treatment": 730, "retest": 1826, "test_summary": 730,
    "special_packing": 1096,
}  # fmt: skip
REGISTERED_SHARE = 0.04
LATE_RENEWAL, RENEWED_AHEAD = 0.08, 14
CONSIGNED_TO_REGISTERED = {"wood": 0.5, "dangerous_goods": 0.85, "lithium": 0.85, "gas_cylinder": 0.85, "sealed": 0.95}
MARK_CODES = {"1A": "1A1", "3H": "3H1", "4G": "4G"}
UN_NUMBERS = {
    "dangerous_goods": ("1263", "1170", "1830", "1993", "2014", "3077"),
    "lithium": ("3480", "3481", "3090", "3091"),
    "gas_cylinder": ("1013", "1066", "1072"),
}
LETTERS = {"I": "X", "II": "Y", "III": "Z"}


class PackagingSource:
    """Registers enterprises once, then checks the packages on the container trains of period after period."""

    def __init__(self, seed: int, world: Enterprises, first: date, last: date) -> None:
        self.seed, self.world = seed, world
        self.types = pd.DataFrame(
            [
                (c.code, c.attribute("kind"), c.attribute("certificateKind"))
                for c in code_list("reference.package_type")
            ],
            columns=["package_type", "kind", "certificate_kind"],
        )
        self.first, self.last = np.datetime64(first, "D"), np.datetime64(last, "D")
        self.registrations, self.certificates = self._register(stream(seed, "packaging register"))

    def _register(self, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Draw who is registered for what, and certificates renewed two weeks ahead, a few of them late."""
        n = max(40, int(len(self.world) * REGISTERED_SHARE))
        who = np.repeat(rng.choice(len(self.world), n, replace=False), 3)
        r = pd.DataFrame({"enterprise": who, "type": rng.integers(0, len(self.types), len(who))})
        r = r[rng.random(len(r)) < 0.7].drop_duplicates(ignore_index=True).join(self.types, on="type")
        k = len(r)
        r["trader_id"] = self.world.uscc.take(pa.array(r.enterprise)).to_pylist()
        offices = np.array([c.code for c in code_list("reference.customs_office") if c.valid_to is None])
        r["office"] = rng.choice(offices, k)
        r["registered"] = self.first - rng.integers(60, 900, k)
        r["registration_no"] = "SPR" + pd.Series(np.arange(k) + 1).astype(str).str.zfill(7)
        length = r.certificate_kind.map(VALID_DAYS)
        parts = []
        for turn in range(12):
            late = np.where(rng.random(k) < LATE_RENEWAL, rng.integers(20, 75, k), 0) if turn else np.zeros(k, int)
            issued = r.registered + pd.to_timedelta(turn * (length - RENEWED_AHEAD) + late, "D")
            parts.append(
                pd.DataFrame({"registration": np.arange(k), "turn": turn, "kind": r.certificate_kind, "issued": issued})
            )
        c = pd.concat(parts, ignore_index=True)
        c = c[c.issued <= pd.Timestamp(self.last)].copy()
        c["until"] = c.issued + pd.to_timedelta(c.kind.map(VALID_DAYS), "D")
        c["certificate_no"] = (
            "SPC" + (c.registration + 1).astype(str).str.zfill(7) + "-" + (c.turn + 1).astype(str).str.zfill(2)
        )
        return r, c.sort_values(["registration", "turn"], ignore_index=True)

    def register_messages(self) -> tuple:
        """Return the messages of the register: the state of the first day, then one per certificate issued."""
        r, c = self.registrations, self.certificates
        days = c[["registration", "issued"]].assign(day=c.issued.clip(lower=pd.Timestamp(self.first)))
        messages = days[["registration", "day"]].drop_duplicates(ignore_index=True)
        messages["seq"] = messages.groupby("registration").cumcount() + 1
        rows = messages.reset_index().merge(c, on="registration")
        rows = rows[rows.issued <= rows.day].sort_values(["index", "turn"], kind="stable")
        rng = stream(self.seed, "packaging register messages")
        sent = messages.day.to_numpy().astype("datetime64[s]") + rng.integers(0, 28_800, len(messages)).astype(
            "timedelta64[s]"
        )
        of = messages.registration.to_numpy()

        def column(name: str) -> pa.Array:
            return pa.array(r[name].to_numpy()[of], pa.string())

        values = {
            "registration_no": column("registration_no"),
            "trader_id": column("trader_id"),
            "package_type_code": column("package_type"),
            "customs_office_code": column("office"),
            "registered_on": pa.array(r.registered.to_numpy()[of].astype("datetime64[D]")),
            "valid_until": pa.nulls(len(of), pa.date32()),
            "registration_status": pa.array(np.full(len(of), "active")),
            "message_at": sent,
            "message_seq": messages.seq.to_numpy(),
        }
        nested = {
            "certificate_no": pa.array(rows.certificate_no, pa.string()),
            "certificate_kind": pa.array(rows.kind, pa.string()),
            "issued_on": pa.array(rows.issued.to_numpy().astype("datetime64[D]")),
            "valid_until": pa.array(rows.until.to_numpy().astype("datetime64[D]")),
            "certificate_status": pa.array(np.full(len(rows), "valid")),
        }
        return values, nested, np.searchsorted(rows["index"], np.arange(len(of) + 1)), sent

    def make(self, stamp: str, trains: tuple) -> dict[str, Any]:
        """Check the special packages on the container trains of a period.

        Args:
            stamp: name of the period.
            trains: (train values, wagon values, offsets, sent) as the rail source makes them.

        Returns:
            {"special_packages": (values, sent), "truth": what was planted}; nothing when no container arrived.
        """
        if not len(trains[-1]) or (wagons := wagons_of(trains, "container")).empty:
            return {}
        rng = stream(self.seed, "packaging", stamp)
        chosen = rng.random((len(wagons), len(KINDS))) < np.array(SHARES)
        at, kind = np.nonzero(chosen)
        if not len(at):
            return {}
        p = wagons.iloc[at].reset_index(drop=True)
        p["kind"] = np.array(KINDS)[kind]
        p["package_id"] = p.train_id + "/" + p.position.astype(str) + "/" + p.kind
        self._consign(rng, p)
        self._mark(rng, p)
        self._treat(rng, p)
        self._find(rng, p)
        subject = "inspections.special_package"
        planted = planted_table(
            [
                ("package_violation", subject, p.package_id[p.violation.notna()], p.violation[p.violation.notna()]),
                ("certificate_expired", subject, p.package_id[p.expired], p.treatment[p.expired]),
                ("special_pack_opened", subject, p.package_id[p.opened & (p.kind == "sealed")], "opened"),
                ("un_gross_over", subject, p.package_id[p.heavy], "gross"),
                ("un_group", subject, p.package_id[p.uncovered], "letter"),
            ]
        )
        return {"special_packages": self._values(rng, p), "truth": planted}

    def _consign(self, rng: np.random.Generator, p: pd.DataFrame) -> None:
        """Draw consignee, package type and the certificate relied on; a few rely on one that has expired."""
        r, c, n = self.registrations, self.certificates, len(p)
        registration = np.full(n, -1)
        p["package_type"] = ""
        for kind in KINDS:
            here = np.flatnonzero(p.kind == kind)
            types = self.types.package_type[self.types.kind == kind].to_numpy()
            p.loc[here, "package_type"] = rng.choice(types, len(here))
            known = np.flatnonzero(r.kind == kind)
            if len(known):
                mine = rng.random(len(here)) < CONSIGNED_TO_REGISTERED[kind]
                registration[here[mine]] = rng.choice(known, int(mine.sum()))
        p["registered"] = registration >= 0
        typed = r.package_type.to_numpy()[registration]
        p["package_type"] = np.where(p.registered, typed, p.package_type)
        stranger = self.world.uscc.take(pa.array(rng.integers(0, len(self.world), n))).to_pylist()
        p["trader_id"] = np.where(p.registered, r.trader_id.to_numpy()[registration], stranger)
        p["day"] = (p.arrived + 8 * HOUR) // DAY
        issued = c.issued.to_numpy().astype("datetime64[D]").astype(np.int64)
        # certificates lie registration after registration in the order of issue: the last one issued by that day
        wide = 10**6
        place = np.searchsorted(c.registration.to_numpy() * wide + issued, registration * wide + p.day, "right") - 1
        old = p.registered & (c.turn.to_numpy()[place] > 0) & (rng.random(n) < OLD_CERTIFICATE)
        place = np.where(old, place - 1, place)
        until = c.until.to_numpy().astype("datetime64[D]").astype(np.int64)[place]
        p["certificate_no"] = pd.Series(c.certificate_no.to_numpy()[place]).where(p.registered, None)
        p["until"] = pd.Series(until.astype(float)).where(p.registered)
        p["expired"] = p.registered & (p.until < p.day)

    def _mark(self, rng: np.random.Generator, p: pd.DataFrame) -> None:
        """Draw marks, packing groups and masses; a few marks are missing or wrong, do not cover, or are too light."""
        n = len(p)
        wood, dangerous = p.kind == "wood", p.kind == "dangerous_goods"
        p["count"] = rng.integers(1, 60, n)
        p["gross"] = np.where(dangerous, rng.uniform(8, 60, n), rng.uniform(20, 900, n)).round(1)
        country = p.dispatch_country_code.to_numpy().astype(str)
        number = pd.Series(rng.integers(1, 1000, n)).astype(str).str.zfill(3)
        treatment = pd.Series(rng.choice(["HT", "MB", "DH", "SF"], n, p=[0.8, 0.12, 0.05, 0.03]))
        p["group"] = pd.Series(rng.choice(["I", "II", "III"], n, p=[0.1, 0.55, 0.35])).where(dangerous, None)
        p["uncovered"] = dangerous & p.group.isin(["I", "II"]) & (rng.random(n) < 0.008)
        letter = p.group.map(LETTERS).where(~p.uncovered, "Z").fillna("Z")
        p["heavy"] = dangerous & (rng.random(n) < 0.005)
        limit = np.where(p.heavy, np.floor(p.gross * 0.8), np.ceil(p.gross) + rng.integers(0, 12, n)).astype(int)
        year = 1970 + (p.day // 365.25).astype(int) - np.where(rng.random(n) < 0.01, 6, rng.integers(0, 4, n))
        made_in_china = rng.random(n) < 0.3
        maker = np.where(made_in_china, "C" + rng.integers(100_000, 990_000, n).astype(str).astype(object),
                         "M" + number.to_numpy(dtype=object))  # fmt: skip
        state = np.where(made_in_china, "CN", country)
        code = p.package_type.map(MARK_CODES).fillna("4G")
        un = "u/n " + code + "/" + letter + pd.Series(limit).astype(str) + "/S/" + (year % 100).astype(str).str.zfill(2)
        mark = pd.Series(np.where(wood, country + "-" + number + " " + treatment, un + "/" + state + "/" + maker))
        faulty = rng.random(n) < p.kind.map(MARK_FAULT).fillna(0)
        wrong = np.where(wood, country + " " + number + " " + treatment, un + "/" + state)
        missing = rng.random(n) < 0.4
        p["mark_fault"] = np.where(faulty, np.where(missing, "mark_missing", "mark_wrong"), None)
        mark = mark.where(~faulty, wrong).where(~(faulty & missing), None)
        p["mark"] = mark.where(wood | dangerous, None)
        numbers = pd.Series([None] * n, dtype=object)
        for kind, known in UN_NUMBERS.items():
            here = (p.kind == kind).to_numpy()
            numbers[here] = rng.choice(known, int(here.sum()))
        p["un_no"] = numbers

    def _treat(self, rng: np.random.Generator, p: pd.DataFrame) -> None:
        """Decide the treatment and why, and do the check at the port."""
        n = len(p)
        treatment = np.empty(n, dtype=object)
        for kind, shares in TREATMENT_SHARES.items():
            here = (p.kind == kind).to_numpy()
            treatment[here] = rng.choice(TREATMENTS, int(here.sum()), p=shares)
        # exemption is for the registered
        treatment[(treatment == "exempt") & ~p.registered.to_numpy()] = "non_intrusive"
        sealed = (p.kind == "sealed").to_numpy()
        reason = np.select(
            [sealed, treatment == "full", treatment == "non_intrusive"],
            ["must_stay_closed", "risk", "marks_in_order"], "registered_enterprise",
        ).astype(object)  # fmt: skip
        chance = rng.random(n)
        for cause, where in (
            ("random", chance < 0.02),
            ("certificate_expired", p.expired.to_numpy() & (rng.random(n) < 0.9)),
            ("mark_fault", p.mark_fault.notna().to_numpy() & (rng.random(n) < 0.8)),
        ):
            where &= ~sealed
            treatment[where], reason[where] = "full", cause
        p["treatment"], p["reason"] = treatment, reason
        p["decided"] = p.arrived + rng.uniform(5, 60, n) * MINUTE
        p["started"] = p.decided + rng.lognormal(-0.3, 0.6, n) * HOUR
        p["finished"] = p.started + p.treatment.map(PORT_HOURS) * rng.lognormal(0, 0.35, n) * HOUR
        p["opened"] = (treatment == "full") | (sealed & (rng.random(n) < OPENED))
        order = "EXO" + pd.Series(rng.integers(0, 10**7, n)).astype(str).str.zfill(7)
        p["order"] = order.where(sealed & p.opened & (rng.random(n) < 0.6), None)
        away = (treatment == "destination") & ~p.opened
        p["destination"] = (p.finished + rng.uniform(1, 6, n) * DAY).where(away)

    def _find(self, rng: np.random.Generator, p: pd.DataFrame) -> None:
        """Plant violations; the less is opened at the port, the more of them are found later or never."""
        n, luck = len(p), rng.random(len(p))
        pest = (p.kind == "wood") & (luck < LIVE_PEST)
        hidden = (p.kind == "lithium") & (luck < UNDECLARED)
        other = luck > 0.985
        p["violation"] = p.mark_fault.where(p.mark_fault.notna(), None)
        p.loc[other, "violation"] = rng.choice(["damaged", "goods_differ"], int(other.sum()))
        p.loc[pest, "violation"], p.loc[hidden, "violation"] = "live_pest", "undeclared"
        at_port = p.violation.notna() & (rng.random(n) < p.treatment.map(FOUND_AT_PORT))
        at_port |= p.reason == "mark_fault"
        later = p.violation.notna() & ~at_port & (rng.random(n) < 0.7)
        there = later & p.destination.notna()
        p["stage"] = np.select([at_port, there, later], ["port", "destination", "after_release"], "")
        p["found"] = np.select(
            [at_port, there, later], [p.finished, p.destination, p.finished + rng.uniform(3, 60, n) * DAY], np.nan
        )

    def _values(self, rng: np.random.Generator, p: pd.DataFrame) -> tuple:
        """Return the message of the check at the port, and another one when there is more to say."""
        n = len(p)
        refused = p.expired & (p.treatment == "exempt")  # the decision was withdrawn an hour later
        later = p.destination.notna() | p.stage.isin(["destination", "after_release"]) | refused
        first = p.assign(seq=1, sent=p.finished + rng.uniform(60, 600, n))
        at = np.fmax(p.destination.fillna(p.finished + HOUR), p.found.fillna(0.0))
        second = p.assign(seq=2, sent=at + rng.uniform(60, 600, n))[later.to_numpy()]
        second["treatment"] = second.treatment.where(~refused[later], "non_intrusive")
        second["reason"] = second.reason.where(~refused[later], "certificate_expired")
        known = first.stage == "port"
        first["destination"] = np.nan
        first["found"], first["stage"] = first.found.where(known), first.stage.where(known, "")
        both = pd.concat([first, second], ignore_index=True)
        sent = instants(both.sent)
        found = (both.stage != "").to_numpy()
        texts = {
            "package_id": "package_id", "train_id": "train_id", "station_code": "station_code",
            "container_no": "container_no", "trader_id": "trader_id", "package_type_code": "package_type",
            "package_kind": "kind", "un_no": "un_no", "packing_group": "group", "mark_text": "mark",
            "certificate_no": "certificate_no", "border_treatment_code": "treatment",
            "border_treatment_reason_code": "reason", "exception_order_no": "order",
        }  # fmt: skip
        days = instants(both.until * DAY).astype("datetime64[D]")
        found_on = instants(both.found + 8 * HOUR).astype("datetime64[D]")
        values: dict[str, Any] = {
            ours: pa.array(both[name], pa.string(), from_pandas=True) for ours, name in texts.items()
        }
        return values | {
            "position": both.position.to_numpy(),
            "package_count": both["count"].to_numpy(),
            "gross_mass_kg": both.gross.to_numpy(),
            "arrived_at": instants(both.arrived),
            "certificate_valid_until": pa.array(days, pa.date32()),
            "decided_at": instants(both.decided),
            "port_started_at": instants(both.started),
            "port_finished_at": instants(both.finished),
            "is_opened_at_port": pa.array(both.opened),
            "destination_finished_at": instants(both.destination),
            "violation_code": pc.if_else(
                pa.array(found), pa.array(both.violation, pa.string(), from_pandas=True), None
            ),
            "violation_stage": pc.if_else(pa.array(found), pa.array(both.stage, pa.string()), None),
            "violation_found_on": pa.array(found_on, pa.date32()),
            "message_at": sent,
            "message_seq": both.seq.to_numpy(),
        }, sent
