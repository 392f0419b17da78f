"""Declarations: who trades what with whom, who cheats how, and what is then declared.

The hidden compliance of the trader (and of broker, partner, goods) sets the probability of fraud; fraud changes what is
declared; what follows (selection, inspection, receipts) sees the declared values.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.codes import code_list
from infra.simulator.days import DECLARATION_HOURS, Chunk, business_days, declaration_weight, spread
from infra.simulator.enterprises import AEO, CERTIFIED, DISHONEST, Enterprises
from infra.simulator.goods import PREFERENCE_PARTNERS, TRANSIT, Goods
from infra.simulator.identifiers import containers, padded
from infra.simulator.inspections import KINDS, Inspector
from infra.simulator.lot import Lot, seconds, take_messages
from infra.simulator.randomness import choose, hashed_below, hashed_uniform, stream
from infra.simulator.receipts import build_receipts
from infra.simulator.scale import Scale
from infra.simulator.selection import Selector
from infra.simulator.two_step import ATTEMPTS, TwoStepSource

FRAUD_SHARE = 0.045
OFFICE_WEIGHTS = {
    "2248": 10, "2233": 7, "2225": 5, "5304": 7, "5316": 6, "5320": 5, "3104": 7, "4227": 6, "0202": 5, "5141": 4,
    "5208": 3, "5165": 3, "2308": 5, "3714": 3, "0908": 3, "0101": 4, "7904": 2, "8015": 2, "4604": 2, "9402": 1.5,
    "9404": 1.5,
}  # fmt: skip
CURRENCIES = np.array(["USD", "EUR", "CNY", "JPY", "HKD", "KRW"])
CURRENCY_SHARES = np.array([0.62, 0.13, 0.12, 0.07, 0.04, 0.02])
CNY_PER_UNIT = np.array([7.12, 8.05, 1.0, 0.047, 0.91, 0.0051])
MODES = np.array(["0110", "0615", "0214", "4019", "3010", "2600"])
MODE_SHARES = np.array([0.80, 0.09, 0.04, 0.03, 0.03, 0.01])
INCOTERMS = np.array(["CIF", "FOB", "EXW", "DAP"])
INCOTERM_FACTOR = np.array([1.0, 0.94, 0.90, 1.03])
LINE_WEIGHTS = np.array([0.50, 0.20, 0.12, 0.08, 0.06, 0.04])
# Of 4 to 96 hours before loading: below it an export is declared less than 24 hours before (2.5 %).
EXPORT_LATE_BELOW = 6.3
PACKAGES = np.array(["22", "23", "32", "39", "92", "00"])


@dataclass(frozen=True)
class Scheme:
    """A way of cheating that is new in its quarter: goods of a chapter routed through a place, in one manner."""

    quarter: int
    chapter: str
    kind: int
    dispatch: str
    order_from: date
    order_chapter: str


def _normal(index: np.ndarray, seed: int, name: str) -> np.ndarray:
    """Return about normal numbers that are a function of the index (sum of four uniform ones)."""
    total = sum(hashed_uniform(index, seed, f"{name} {k}") for k in range(4))
    return (np.asarray(total) - 2.0) * np.sqrt(3.0)


class DeclarationSource:
    """Makes the declarations of chunk after chunk; remembers what customs has found out so far, nothing else."""

    def __init__(self, seed: int, scale: Scale, world: Enterprises, goods: Goods, first: date, last: date) -> None:
        self.seed, self.scale, self.world, self.goods, self.first, self.last = seed, scale, world, goods, first, last
        self.end = np.datetime64(last, "s") + np.timedelta64(16, "h")  # midnight in Shanghai after the last day
        offices = [c for c in code_list("reference.customs_office") if c.valid_on(first) and c.valid_on(last)]
        self.offices = pa.array([c.code for c in offices])
        weight = np.array([OFFICE_WEIGHTS.get(c.code, 0.0 if c.code.endswith("00") else 0.6) for c in offices])
        self.office_weight = weight if weight.sum() else np.ones(len(offices))
        self.office_mode = np.array([_mode_of(c.name) for c in offices])
        # District seats do the desk work of a region that has no port here; traders of a region with ports use those.
        self.home = np.where(
            self.office_weight[world.office] > 0,
            world.office,
            choose(stream(seed, "home office"), self.office_weight, len(world)),
        )
        self.sequence: dict[int, np.ndarray] = {}
        self.carriers = np.flatnonzero(world.kind == "carrier")
        self.schemes = self._schemes()
        self.intercept = self._calibrate()
        self.selector = Selector(world, goods, first, last)
        self.inspector = Inspector(world, self.offices, last, self.end)
        self.expected_per_day = scale.declarations_per_year / 365.25
        self.two_steps = TwoStepSource(seed, world, goods, first, last)
        self.hs10 = pc.binary_join_element_wise(pa.array(goods.hs6), pa.array(goods.suffix), "")
        self.descriptions = pa.array(goods.name)

    def expected(self, days: list[date]) -> dict[date, float]:
        """Return the expected number of declarations for each day."""
        return {d: self.expected_per_day * declaration_weight(d) for d in days}

    def _schemes(self) -> dict[int, Scheme]:
        rng = stream(self.seed, "schemes")
        busy = np.array(["85", "62", "39", "84", "42", "90", "22", "33", "64", "95"])
        schemes = {}
        for quarter in range(_quarter(self.first), _quarter(self.last) + 1):
            start = date(quarter // 4, quarter % 4 * 3 + 1 + int(rng.integers(0, 2)), int(rng.integers(3, 20)))
            schemes[quarter] = Scheme(
                quarter,
                str(rng.choice(busy)),
                int(rng.choice([0, 1, 2, 4])),
                str(rng.choice(TRANSIT)),
                start,
                str(rng.choice(busy)),
            )
        return schemes

    def _log_odds(
        self,
        trader: np.ndarray,
        column: np.ndarray,
        hs: np.ndarray,
        origin: np.ndarray,
        broker: np.ndarray,
        partner: np.ndarray,
        is_import: np.ndarray,
        day: np.ndarray,
    ) -> np.ndarray:
        world, goods = self.world, self.goods
        young = (day - world.registered_on[trader]).astype("timedelta64[D]").astype(np.int64) < 365
        return (
            -1.25 * world.compliance[trader, column]
            - 0.35 * np.where(broker == trader, 0, world.compliance[broker, column])
            + goods.risk[hs]
            + np.where(is_import, goods.origin_risk[origin], -0.7)
            + 0.55 * _normal(partner, self.seed, "partner")
            + 0.5 * young
        )

    def _calibrate(self) -> float:
        """Find the intercept that gives the wanted share of fraud among declarations of the first month."""
        rng = stream(self.seed, "calibration")
        n = 20_000
        trader = choose(rng, self.world.activity, n)
        line = choose(rng, LINE_WEIGHTS, n)
        day = np.full(n, np.datetime64(self.first, "D"))
        odds = self._log_odds(
            trader,
            np.zeros(n, dtype=np.int64),
            self.world.line_hs[trader, line],
            self.world.line_origin[trader, line],
            self.world.broker[trader, 0],
            trader * 3,
            rng.random(n) >= self.world.exporter_share[trader],
            day,
        )
        low, high = -12.0, 4.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (
                (middle, high) if (1 / (1 + np.exp(-(middle + odds)))).mean() < FRAUD_SHARE * 0.85 else (low, middle)
            )
        return low

    def _numbers(self, office: np.ndarray, year: np.ndarray, is_import: np.ndarray) -> pa.Array:
        """Give each declaration the next number of its office, year and direction."""
        serial = np.zeros(len(office), dtype=np.int64)
        for y in np.unique(year):
            counters = self.sequence.setdefault(int(y), np.zeros(len(self.offices) * 2, dtype=np.int64))
            rows = np.flatnonzero(year == y)
            key = office[rows] * 2 + is_import[rows]
            order = np.argsort(key, kind="stable")
            starts = np.searchsorted(key[order], np.arange(len(counters)))
            serial[rows[order]] = counters[key[order]] + np.arange(len(rows)) - starts[key[order]] + 1
            counters += np.bincount(key, minlength=len(counters))
        return pc.binary_join_element_wise(
            self.offices.take(pa.array(office)),
            padded(year, 4),
            pa.array(np.where(is_import, "1", "0")),
            padded(serial, 9),
            "",
        )

    def make(self, chunk: Chunk) -> dict[str, Any]:
        """Make one chunk.

        Returns:
            {"declarations": (header values, item values, offsets, sent_at), "corrections": the same, "receipts",
            "selections", "inspections", "credit_events": (values, sent_at) …, "summary_declarations" and
            "complete_declarations" like declarations, "truth" and "two_step_truth": Arrow tables}; values are named
            as in the contracts. Messages later than the last simulated day are left out: they have not been sent yet.
        """
        rng = stream(self.seed, "declarations", chunk.name)
        world, goods = self.world, self.goods
        self.selector.learn(np.datetime64(chunk.days[0], "D"))
        at = spread(rng, chunk, self.expected(list(chunk.days)), DECLARATION_HOURS)
        n = len(at)
        day = business_days(at)
        column = world.month_position(day)

        # Who, where, how.
        active = world.activity * (world.registered_on <= np.datetime64(chunk.days[0], "D"))
        active = active * np.where(world.rank[:, column[0] if n else 0] >= DISHONEST, 0.7, 1.0)
        trader = choose(rng, active, n)
        rank = world.rank[trader, column]
        aeo = (rank == AEO) | (rank == CERTIFIED)
        is_import = rng.random(n) >= world.exporter_share[trader]
        office = np.where(rng.random(n) < 0.82, self.home[trader], choose(rng, self.office_weight, n))
        transport = np.where(
            rng.random(n) < 0.8, self.office_mode[office], rng.choice([2, 3, 4, 5], n, p=[0.45, 0.1, 0.2, 0.25])
        )
        broker = np.where(world.self_declares[trader], trader, world.broker[trader, (rng.random(n) < 0.2).astype(int)])
        partner = hashed_below(
            trader * 4 + rng.choice(3, n, p=[0.6, 0.25, 0.15]), int(len(world) * 1.6), self.seed, "partner of"
        )
        mode = choose(rng, MODE_SHARES, n)
        processing = np.isin(mode, [1, 2])

        # What: items of the trader's lines.
        count = np.minimum(rng.geometric(0.39, n), 20)
        offsets = np.concatenate([[0], np.cumsum(count)])
        total = int(offsets[-1])
        owner = np.repeat(np.arange(n), count)
        line = choose(rng, LINE_WEIGHTS, total)
        strange = rng.random(total) < 0.06
        hs = np.where(strange, choose(rng, goods.weight, total), world.line_hs[trader[owner], line])
        home_line = world.line_origin[trader, 0]
        origin = np.where(rng.random(total) < 0.8, home_line[owner], world.line_origin[trader[owner], line])
        origin = np.where(rng.random(total) < 0.06, choose(rng, goods.origin_weight, total), origin)
        expected_price = goods.price[hs] + goods.origin_price(hs, origin)
        noise = world.price_level[trader[owner]] + goods.spread[hs] * rng.standard_t(6, total) * 0.85
        price = expected_price + noise
        mass = np.exp((goods.mass[hs] + 0.5 * world.size[trader[owner]] + 2.3 * rng.normal(size=total)).clip(-3, 16.5))
        mass = np.maximum(mass, 0.01)
        value = np.maximum(np.minimum(mass * np.exp(price), 3e8), 1.0)
        mass = np.minimum(mass, value / np.exp(price))
        main = _main_item(value, owner, offsets)

        # Fraud, by the hidden probability.
        scheme = self.schemes[_quarter(chunk.days[-1])]
        hub = rng.random(n) < 0.2
        transit = rng.choice(TRANSIT, n)
        in_scheme = is_import & hub & (transit == scheme.dispatch) & (goods.chapter[hs[main]] == scheme.chapter)
        odds = self._log_odds(trader, column, hs[main], origin[main], broker, partner, is_import, day)
        odds = odds + self.intercept + np.where(in_scheme, 2.2, 0.0)
        probability = 1 / (1 + np.exp(-odds))
        fraud = rng.random(n) < probability
        kind = self._kinds(rng, hs[main], origin[main], is_import & ~processing, fraud)
        kind = np.where(fraud & in_scheme & (rng.random(n) < 0.7), scheme.kind, kind)
        true_hs, true_origin, true_mass, true_value = hs.copy(), origin.copy(), mass.copy(), value.copy()
        hs, origin, mass, value, transport = self._cheat(rng, kind, main, owner, hs, origin, mass, value, transport)
        hub = hub | ((kind == 4) & (rng.random(n) < 0.5))
        discounted = (rng.random(total) < 0.015) & (kind[owner] < 0)  # honest bargains: low price is no proof
        value = np.where(discounted, value * rng.uniform(0.35, 0.7, total), value)

        # Taxes as declared.
        agreement = goods.agreement[origin]
        claims = (agreement != "") & is_import[owner] & ((rng.random(total) < 0.7) | (kind[owner] == 2))
        rate = np.where(claims, goods.preferential_duty(hs, origin), goods.duty[hs])
        taxed = (is_import & ~processing)[owner]
        rate, vat_rate = np.where(taxed, rate, 0.0), np.where(taxed, goods.vat[hs], 0.0)
        mass, value = np.round(mass, 3).clip(0.001), np.round(value, 2)
        duty = np.round(value * rate / 100, 2)
        vat = np.round((value + duty) * vat_rate / 100, 2)
        net = np.round(_sums(mass, offsets), 3)
        real_net = _sums(np.where(kind[owner] == 3, true_mass, mass), offsets)
        packing = np.where(rng.random(n) < 0.07, rng.uniform(1.2, 2.0, n), rng.uniform(1.02, 1.18, n))
        gross = np.round(np.maximum(real_net * packing, net), 3)
        packages = np.maximum(1, (real_net / np.exp(rng.normal(2.7, 0.5, n)))).clip(1, 900_000).astype(np.int64)
        currency = choose(rng, CURRENCY_SHARES, n)
        term = rng.choice(len(INCOTERMS), n, p=[0.45, 0.40, 0.08, 0.07])
        invoice = np.round(value / CNY_PER_UNIT[currency[owner]] * INCOTERM_FACTOR[term[owner]], 2)

        # When it came, against when it was declared: late ones pay a fee from day 15.
        z = world.compliance[trader, column]
        advance = is_import & (rng.random(n) < np.where(aeo, 0.35, 0.15))
        two_step = ~advance & is_import & (rng.random(n) < np.where(aeo, 0.25, 0.08))
        barred = self.two_steps.barred(rank, hs, offsets)
        attempted = two_step & barred & (stream(self.seed, "attempts", chunk.name).random(n) < ATTEMPTS)
        two_step = two_step & ~barred
        late = is_import & ~advance & (rng.random(n) < (0.023 * np.exp(-0.75 * z)).clip(0, 0.4))
        lag_hours = np.where(late, rng.uniform(14.2, 40, n) * 24, np.exp(rng.normal(3.9, 0.75, n)).clip(1, 13.5 * 24))
        # exports are declared a day and more before loading, few later than that
        before_loading = rng.uniform(4, 96, n)
        before_loading = np.where(
            before_loading < EXPORT_LATE_BELOW,
            4 + (before_loading - 4) * 20 / (EXPORT_LATE_BELOW - 4),
            24.05 + (before_loading - EXPORT_LATE_BELOW) * 0.8,
        )
        lag_hours = np.where(advance, -rng.uniform(2, 72, n), np.where(is_import, lag_hours, -before_loading))
        arrived = at - (lag_hours * 3600).astype("timedelta64[s]")
        steps = self.two_steps.steps(chunk, arrived, at)
        bonded = _bonded_arrivals(stream(self.seed, "bonded area", chunk.name), at, is_import)

        numbers = self._numbers(office, day.astype("datetime64[Y]").astype(np.int64) + 1970, is_import)
        dispatch_code = np.where(
            is_import,
            np.where(hub, transit, goods.origins[true_origin[main]]),
            goods.destinations[world.line_destination[trader, 0]],
        )
        declared_origin = np.where(is_import[owner], goods.origins[origin], "CN")
        uscc = world.uscc
        boxed = np.isin(transport, [2, 3]) & (gross > 400)
        header = {
            "declaration_no": numbers,
            "direction": pa.array(np.where(is_import, "I", "E")),
            "declaration_mode": pa.array(np.where(advance, "advance", np.where(two_step, "two_step", "one_step"))),
            "customs_office_code": self.offices.take(pa.array(office)),
            "port_code": self.offices.take(
                pa.array(np.where(rng.random(n) < 0.7, office, choose(rng, self.office_weight, n)))
            ),
            "declared_on": pa.array(day),
            "declared_at": at,
            "arrived_at": arrived,
            "bonded_arrived_at": bonded,
            "supervision_mode_code": pa.array(MODES).take(pa.array(mode)),
            "levy_nature_code": pa.array(np.where(processing, "503", np.where(mode > 3, "299", "101"))),
            "process_type_code": pa.array(np.where(rng.random(n) < 0.985, "M", "P")),
            "payment_method_code": pa.array(rng.choice(["1", "2", "3"], n, p=[0.8, 0.15, 0.05])),
            "transport_mode_code": pc.cast(pa.array(transport), pa.string()),
            "conveyance_name": _conveyances(rng, transport),
            "bill_no": pc.binary_join_element_wise(
                pa.array(np.array(["", "", "SLBL", "RWB", "TRK", "AWB"])[transport]),
                padded(rng.integers(0, 10**10, n), 10),
                "",
            ),
            "container_no": pc.if_else(
                pa.array(boxed),
                containers(rng.integers(0, 6, n), rng.integers(0, 10**6, n)),
                pa.scalar(None, pa.string()),
            ),
            "declarant_id": uscc.take(pa.array(broker)),
            "trader_id": uscc.take(pa.array(trader)),
            "owner_id": uscc.take(pa.array(np.where(rng.random(n) < 0.88, trader, (trader + 7) % len(world)))),
            "overseas_party_id": pc.binary_join_element_wise(pa.array(dispatch_code), padded(partner, 7), ""),
            "carrier_id": uscc.take(
                pa.array(self.carriers[choose(rng, 1.0 / (np.arange(len(self.carriers)) + 1.0), n)])
            ),
            "dispatch_country_code": pa.array(dispatch_code),
            "incoterms_code": pa.array(INCOTERMS).take(pa.array(term)),
            "gross_mass_kg": gross,
            "net_mass_kg": net,
            "package_count": packages,
            "package_type_code": pa.array(PACKAGES).take(
                pa.array(rng.choice(6, n, p=[0.55, 0.1, 0.1, 0.1, 0.1, 0.05]))
            ),
            "item_count": count,
            "message_at": at + rng.integers(2, 50, n).astype("timedelta64[s]"),
            "message_seq": np.ones(n, dtype=np.int64),
        }
        piece = goods.piece[hs]
        counted = ~np.isnan(piece)
        described = np.where((kind[owner] == 1) & (rng.random(total) < 0.6), true_hs, hs)
        items = {
            "item_no": np.arange(total) - offsets[owner] + 1,
            "hs_code": self.hs10.take(pa.array(hs)),
            "goods_description": pc.binary_join_element_wise(
                self.descriptions.take(pa.array(described)),
                "; model ",
                padded(hashed_below(hs * 7 + trader[owner], 9000, self.seed, "model"), 4),
                "",
            ),
            "origin_country_code": pa.array(declared_origin),
            "origin_mark_code": pa.array(rng.choice(["0", "1", "2"], total, p=[0.15, 0.75, 0.1])),
            "preference_code": pa.array(np.where(claims, agreement, "MFN")),
            "quantity": np.where(counted, np.maximum(1, np.round(mass / np.where(counted, piece, 1))), mass),
            "unit_code": pa.array(np.where(counted, "007", "035")),
            "net_mass_kg": mass,
            "invoice_amount": invoice,
            "invoice_currency_code": pa.array(CURRENCIES).take(pa.array(currency[owner])),
            "customs_value": value,
            "value_currency_code": pa.array(np.full(total, "CNY")),
            "duty_rate_pct": rate,
            "vat_rate_pct": vat_rate,
            "duty_amount": duty,
            "vat_amount": vat,
        }

        # What customs sees: price against the usual one, history, known risk.
        usual = goods.price[hs] + goods.origin_price(hs, origin)
        deviation = (np.log(value / mass) - usual) / (goods.spread[hs] + 0.2)
        lowest = np.minimum.reduceat(deviation, offsets[:-1]) if n else np.zeros(0)
        lot = Lot(
            numbers=numbers,
            at=at,
            day=day,
            trader=trader,
            rank=rank,
            aeo=aeo,
            is_import=is_import,
            office=office,
            transport=transport,
            main_hs=hs[main],
            main_chapter=goods.chapter[hs[main]],
            main_item_no=main - offsets[:-1] + 1,
            lowest_price=lowest,
            rerouted_preference=(dispatch_code != declared_origin[main]) & claims[main],
            packing=gross / np.maximum(net, 1e-6),
            log_value=np.log(_sums(value, offsets)),
            kind=kind,
            evaded=self._evaded(true_hs, true_origin, true_value, duty + vat, taxed, claims, offsets),
            real_net=_sums(true_mass, offsets),
            compliance=z,
        )
        selected = self.selector.select(rng, lot, scheme.order_from, scheme.order_chapter)
        inspected = self.inspector.inspect(rng, lot, selected)
        self.selector.expect(*inspected.outcomes)
        rejected = ~selected.chosen & (rng.random(n) < (0.004 * np.exp(-0.4 * z)).clip(0, 0.05))
        corrected = ~rejected & (rng.random(n) < (0.019 * np.exp(-0.85 * z)).clip(0, 0.4))
        corrected_at = at + seconds((np.exp(rng.normal(3.2, 1.3, n)) * 3600).clip(1800, 35 * 86400))
        waiting = self.two_steps.waiting(chunk, two_step, arrived, numbers)
        receipts = build_receipts(
            rng,
            lot,
            selected.chosen,
            inspected,
            rejected,
            corrected,
            corrected_at,
            self.seed,
            (self.two_steps.start, self.end),
            two_step,
            steps,
            waiting,
        )
        summaries, completes, planted = self.two_steps.messages(
            chunk, steps, two_step, attempted, rejected, waiting, header, items, offsets, hs, rank
        )
        truth = pa.table(
            {
                "declaration_no": numbers,
                "declared_on": pa.array(day),
                "trader_id": header["trader_id"],
                "is_fraud": fraud,
                "fraud_kind": pa.array([None if k < 0 else KINDS[k] for k in kind], pa.string()),
                "fraud_probability": probability,
                "in_scheme": in_scheme,
                "compliance": z.astype(np.float64),
                "fraud_item_no": lot.main_item_no,
                "true_hs_code": self.hs10.take(pa.array(true_hs[main])),
                "true_origin_country_code": pa.array(np.where(is_import, goods.origins[true_origin[main]], "CN")),
                "true_net_mass_kg": true_mass[main],
                "true_customs_value": true_value[main],
                "evaded_tax": lot.evaded,
                "selection_prob": selected.probability,
                "is_selected": selected.chosen,
            }
        )
        return {
            "declarations": (header, items, offsets, header["message_at"]),
            "corrections": self._corrections(
                rng, header, items, offsets, np.flatnonzero(corrected & (corrected_at < self.end)), corrected_at
            ),
            "receipts": receipts,
            "summary_declarations": summaries,
            "complete_declarations": completes,
            "two_step_truth": planted,
            "selections": (selected.values, selected.values["message_at"]),
            "inspections": inspected.messages,
            "credit_events": inspected.penalties,
            "truth": truth,
        }

    def _kinds(
        self, rng: np.random.Generator, hs: np.ndarray, origin: np.ndarray, taxed: np.ndarray, fraud: np.ndarray
    ) -> np.ndarray:
        """Draw the kind of each fraud (-1 = none): each where it pays."""
        goods = self.goods
        duty = goods.duty[hs]
        pay = np.column_stack(
            [
                np.where(taxed, 0.6 + 0.06 * duty, 0.05),
                np.where((goods.neighbour[hs] >= 0), np.where(taxed, 1.1, 0.5), 0.0),
                np.where(taxed & (duty >= 5) & (goods.agreement[origin] == ""), 1.2, 0.0),
                np.full(len(hs), 0.65),
                np.where(goods.branded[hs], 0.9, 0.0),
                np.full(len(hs), 0.08),
            ]
        ).cumsum(axis=1)
        drawn = (rng.random(len(hs))[:, None] * pay[:, -1:] > pay).sum(axis=1)
        return np.where(fraud, drawn, -1)

    def _cheat(
        self,
        rng: np.random.Generator,
        kind: np.ndarray,
        main: np.ndarray,
        owner: np.ndarray,
        hs: np.ndarray,
        origin: np.ndarray,
        mass: np.ndarray,
        value: np.ndarray,
        transport: np.ndarray,
    ) -> tuple[np.ndarray, ...]:
        """Change what is declared, as each kind of fraud does."""
        goods = self.goods
        hs, origin, mass, value = hs.copy(), origin.copy(), mass.copy(), value.copy()
        is_main = np.zeros(len(hs), dtype=bool)
        is_main[main] = True
        low = (kind[owner] == 0) & (is_main | (rng.random(len(hs)) < 0.5))
        # Mostly below the fifth percentile of the heading and origin: 1.1 to 3 spreads under the usual price.
        target = (
            goods.price[hs] + goods.origin_price(hs, origin) - (goods.spread[hs] + 0.2) * rng.uniform(1.1, 3.0, len(hs))
        )
        value = np.where(low, np.maximum(np.minimum(value, mass * np.exp(target)), 1.0), value)
        moved = (kind[owner] == 1) & is_main & (goods.neighbour[hs] >= 0)
        hs = np.where(moved, goods.neighbour[hs], hs)
        partners = np.flatnonzero(np.isin(goods.origins, PREFERENCE_PARTNERS))
        false = (kind[owner] == 2) & (is_main | (rng.random(len(hs)) < 0.6))
        origin = np.where(false, rng.choice(partners, len(hs)), origin)
        short = (kind[owner] == 3) & (is_main | (rng.random(len(hs)) < 0.4))
        part = np.where(short, rng.uniform(0.5, 0.92, len(hs)), 1.0)
        mass, value = mass * part, np.maximum(value * part, 1.0)
        fake = (kind[owner] == 4) & is_main
        value = np.where(fake, np.maximum(value * rng.uniform(0.2, 0.6, len(hs)), 1.0), value)
        by_air = np.isin(kind, [4, 5]) & (rng.random(len(kind)) < 0.5)
        return hs, origin, mass, value, np.where(by_air, 5, transport)

    def _evaded(
        self,
        hs: np.ndarray,
        origin: np.ndarray,
        value: np.ndarray,
        assessed: np.ndarray,
        taxed: np.ndarray,
        claims: np.ndarray,
        offsets: np.ndarray,
    ) -> np.ndarray:
        """Return for each declaration the duty and VAT truly owed less those assessed, in CNY, none below zero."""
        goods = self.goods
        rate = np.where(claims, goods.preferential_duty(hs, origin), goods.duty[hs])
        duty = value * rate / 100
        owed = (duty + (value + duty) * goods.vat[hs] / 100) * taxed
        return np.round(np.maximum(_sums(owed - assessed, offsets), 0), 2)

    def _corrections(
        self,
        rng: np.random.Generator,
        header: dict[str, Any],
        items: dict[str, Any],
        offsets: np.ndarray,
        rows: np.ndarray,
        corrected_at: np.ndarray,
    ) -> tuple:
        """Send some declarations again, later, with one value put right: the latest message wins."""
        header, items, offsets = take_messages(header, items, offsets, rows)
        factor = np.ones(int(offsets[-1]))
        factor[offsets[:-1]] = np.exp(rng.normal(0.03, 0.12, len(rows)))
        items["customs_value"] = np.round(items["customs_value"] * factor, 2)
        items["invoice_amount"] = np.round(items["invoice_amount"] * factor, 2)
        items["duty_amount"] = np.round(items["customs_value"] * items["duty_rate_pct"] / 100, 2)
        items["vat_amount"] = np.round((items["customs_value"] + items["duty_amount"]) * items["vat_rate_pct"] / 100, 2)
        header["message_at"] = corrected_at[rows]
        header["message_seq"] = np.full(len(rows), 2)
        return header, items, offsets, corrected_at[rows]


def _bonded_arrivals(rng: np.random.Generator, at: np.ndarray, is_import: np.ndarray) -> np.ndarray:
    """Return when export goods arrived in the bonded area: before they are declared, few after; unknown for imports."""
    n = len(at)
    hours = np.exp(rng.normal(np.log(9), 0.8, n)).clip(0.2, 120)
    arrived = at - seconds(np.where(rng.random(n) < 0.015, -rng.uniform(0.5, 3, n), hours) * 3600)
    return np.where(is_import, np.datetime64("NaT"), arrived)


def _quarter(day: date) -> int:
    return day.year * 4 + (day.month - 1) // 3


def _mode_of(name: str) -> int:
    """Return the usual mode of transport of an office, read from its name (China code)."""
    if "Airport" in name:
        return 5
    if any(word in name for word in ("Railway", "Land Port", "Alashankou")):
        return 3
    if any(word in name for word in ("Wenjindu", "Horgos", "Kashgar", "Hengqin", "Industrial Park", "Bonded Area")):
        return 4
    return 2


def _sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Add item values up to their declarations."""
    return np.add.reduceat(values, offsets[:-1]) if len(offsets) > 1 else np.zeros(0)


def _main_item(value: np.ndarray, owner: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return for each declaration the position of its most valuable item."""
    if not len(value):
        return np.zeros(0, dtype=np.int64)
    return np.lexsort([value, owner])[offsets[1:] - 1]


def _conveyances(rng: np.random.Generator, transport: np.ndarray) -> pa.Array:
    names = np.array(["", "", "MV EASTERN STAR", "TRAIN X", "TRUCK GDZ", "FLIGHT CK"])
    return pc.binary_join_element_wise(
        pa.array(names[transport]), padded(rng.integers(0, 10_000, len(transport)), 4), " "
    )
