"""Selection for inspection as customs runs it: graded probabilities, recorded for every declaration.

It rests on declared values and on what is known of the trader that day, never on the truth.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.simulator.days import business_days
from infra.simulator.enterprises import DISHONEST, SERIOUSLY_DISHONEST, VIOLATIONS, Enterprises
from infra.simulator.goods import Goods
from infra.simulator.lot import Lot, seconds

FLOOR = 0.005  # nothing has inclusion probability zero, or no policy could be evaluated afterwards
# Share selected by rank. 0.57 % and 85 % are the published rates of 2019. Regular traders: 6 % all methods together, of
# which physical checks are about half, the published 3 %.
SELECTED_SHARE = {"aeo": 0.0057, "regular": 0.06, "dishonest": 0.85}
ORDER_PROBABILITY = 0.20


@dataclass(frozen=True)
class Selected:
    """Selections as messages (``values``, named as in the contract), who was chosen, and with what probability."""

    values: dict[str, Any]
    chosen: np.ndarray
    probability: np.ndarray


class Selector:
    """Selects declarations; remembers outcomes of inspections and penalties once they are known."""

    def __init__(self, world: Enterprises, goods: Goods, first: date, last: date) -> None:
        self.goods = goods
        self.model_from = np.datetime64(first, "D") + (last - first).days // 3
        self.inspected, self.found, self.penalties = (np.zeros(len(world)) for _ in range(3))
        self._outcomes: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._credit = world.credit_events[world.credit_events.kind.isin(VIOLATIONS)].sort_values("known_on")
        self._credit_read = 0
        self._recent: dict[str, np.ndarray] = {}

    def expect(self, trader: np.ndarray, known_on: np.ndarray, violation: np.ndarray) -> None:
        """Note outcomes of inspections, to be known from their days on."""
        self._outcomes.append((trader, known_on, violation))

    def learn(self, today: np.datetime64) -> None:
        """Take in outcomes and penalties known before today: all a selection may rest on."""
        waiting = []
        for trader, known_on, violation in self._outcomes:
            due = known_on < today
            np.add.at(self.inspected, trader[due], 1)
            np.add.at(self.found, trader[due], violation[due])
            if not due.all():
                waiting.append((trader[~due], known_on[~due], violation[~due]))
        self._outcomes = waiting
        known = self._credit.known_on.to_numpy().astype("datetime64[D]")
        upto = int(np.searchsorted(known, today))
        np.add.at(self.penalties, self._credit.enterprise.to_numpy()[self._credit_read : upto], 1)
        self._credit_read = upto

    def select(self, rng: np.random.Generator, lot: Lot, order_from: date, order_chapter: str) -> Selected:
        """Select by floor + (1 - floor) * min(1, c * exp(2 * score)), Poisson sampling; c per rank meets its share.

        A draw below the floor is the random lane; otherwise the stronger of rule and model is named, or the order that
        raised the probability.

        Args:
            rng: source of randomness.
            lot: the declarations.
            order_from: first of 21 days on which an authority's order holds.
            order_chapter: HS chapter the order is about.
        """
        n, day, trader, rank, aeo = len(lot), lot.day, lot.trader, lot.rank, lot.aeo
        history = np.log((self.found[trader] + 0.4) / (self.inspected[trader] + 6.0)) + 2.7
        cheap = np.clip(-lot.lowest_price - 1.0, 0, 2.5)
        rule = (
            0.55 * history
            + 0.45 * cheap
            + 0.40 * self.goods.known_risk[lot.main_hs]
            + 0.5 * lot.rerouted_preference
            + 0.30 * np.minimum(self.penalties[trader], 3)
            + 0.5 * (lot.packing > 1.3)
            + 0.35 * rng.normal(size=n)
        )
        model = (
            0.75 * history
            + 0.70 * cheap
            + 0.25 * self.goods.known_risk[lot.main_hs]
            + 0.7 * (lot.packing > 1.3)
            + 0.08 * (lot.log_value - 10)
            + 0.4 * np.minimum(self.penalties[trader], 3)
            + 0.25 * rng.normal(size=n)
        )
        # The first third of the history ran on rules alone, then a first scoring model joined them.
        with_model = day >= self.model_from
        score = np.where(with_model, 0.5 * rule + 0.5 * model, rule)
        score = (score - 0.35) / 1.05
        group = np.where(
            aeo, "aeo", np.where((rank == DISHONEST) | (rank == SERIOUSLY_DISHONEST), "dishonest", "regular")
        )
        prob = np.full(n, FLOOR)
        for name, share in SELECTED_SHARE.items():
            rows = group == name
            if not rows.any():
                continue
            weight = np.exp(2 * score[rows])
            # c follows the latest 4,000 declarations of the rank: a single small day would make it jump.
            recent = np.concatenate([self._recent.get(name, weight[:0]), weight])[-4000:]
            self._recent[name] = recent
            factor = _factor(recent, (share - FLOOR) / (1 - FLOOR))
            prob[rows] = FLOOR + (1 - FLOOR) * np.minimum(1.0, factor * weight)
        ordered = (day >= np.datetime64(order_from)) & (day < np.datetime64(order_from) + 21)
        ordered &= ~aeo & (lot.main_chapter == order_chapter)
        by_order = ordered & (prob < ORDER_PROBABILITY)
        prob = np.where(by_order, ORDER_PROBABILITY, prob)
        prob = np.maximum(np.round(prob, 6), FLOOR)
        u = rng.random(n)
        selected = u < prob
        stronger_model = with_model & (model / 1.25 > rule)
        reason = np.where(u < FLOOR, "random", np.where(by_order, "order", np.where(stronger_model, "model", "rule")))
        decided = lot.at + seconds(rng.integers(60, 1500, n))
        values = {
            "declaration_no": lot.numbers,
            "decided_on": pa.array(business_days(decided)),
            "is_selected": pa.array(selected),
            "selected_by": pc.if_else(pa.array(selected), pa.array(reason), pa.scalar(None, pa.string())),
            "selection_prob": prob,
            "policy_version": pa.array(np.where(with_model, "graded-rules-model-2", "graded-rules-1")),
            "message_at": decided,
            "message_seq": np.ones(n, dtype=np.int64),
        }
        return Selected(values, selected, prob)


def _factor(weight: np.ndarray, share: float) -> float:
    """Find c with mean(min(1, c * weight)) = share."""
    low, high = 0.0, 1e6
    for _ in range(80):
        middle = (low + high) / 2 if high < 1e5 else max(low, 1e-9) * 4
        if np.minimum(1.0, middle * weight).mean() < share:
            low = middle
        else:
            high = middle
        if high - low < 1e-12 * high:
            break
    return high if high < 1e5 else low
