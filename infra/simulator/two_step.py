"""Two-step declarations: the summary on which goods are picked up, and the complete declaration that follows it.

The declaration of the world is the complete one; here it gets the summary that came before, with the three answers that
decide which fields are asked for. Draws come from streams of their own.
"""

from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.codes import code_list
from infra.simulator.days import SHANGHAI, Chunk, business_days
from infra.simulator.enterprises import DISHONEST, Enterprises, RankCodes
from infra.simulator.goods import Goods
from infra.simulator.identifiers import padded
from infra.simulator.lot import seconds, take_messages
from infra.simulator.randomness import stream

AFTER_ARRIVAL, ATTEMPTS, GUARANTEE_SHORT, OTHER_CODE, CONTROLLED = 0.04, 0.5, 0.005, 0.01, 0.06
# The clock reminds after so many days. Shares still waiting by the age of the arrival (days); a few are overdue.
REMINDER_DAYS, OLDEST_WAITING, WAITING_SCALE, OVERDUE = 11, 24.0, 5.0, 0.012
FOOD_CHAPTERS = np.array([f"{n:02d}" for n in range(1, 25)])
INSPECTED_CHAPTERS = np.array([*FOOD_CHAPTERS, "26", "30", "33", "44"])
Feed = tuple[dict[str, Any], dict[str, Any], np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Steps:
    """Instants per declaration: summary submitted and accepted, pickup, reminder, complete declaration sent again."""

    submitted: np.ndarray
    accepted: np.ndarray
    pickup: np.ndarray
    due: np.ndarray
    again: np.ndarray

    def take(self, rows: np.ndarray) -> "Steps":
        """Return the instants of some declarations."""
        return Steps(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class Waiting:
    """Summaries whose complete declaration has not come: like those of ``rows``, with ``numbers`` of their own."""

    rows: np.ndarray
    numbers: pa.Array


class TwoStepSource:
    """Says which declarations may go in two steps, when, and what their messages hold."""

    def __init__(self, seed: int, world: Enterprises, goods: Goods, first: date, last: date) -> None:
        self.seed, self.world, self.goods = seed, world, goods
        self.start = np.datetime64(first, "s") - SHANGHAI
        self.end = np.datetime64(last, "s") + np.timedelta64(1, "D") - SHANGHAI
        listed = [c for c in code_list("reference.negative_list") if c.valid_on(last)]
        heads = tuple(c.code for c in listed if c.attribute("kind") == "hs")
        self.barred_goods = np.array([str(code).startswith(heads) for code in goods.hs6])
        self.inspected_goods = np.isin(goods.chapter, INSPECTED_CHAPTERS)
        self.food = np.isin(goods.chapter, FOOD_CHAPTERS)
        self.ranks = RankCodes()
        self.serial = 900_000_000

    def barred(self, rank: np.ndarray, hs: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return which declarations the negative list bars from two steps."""
        if not len(rank):
            return np.zeros(0, dtype=bool)
        return (rank >= DISHONEST) | np.logical_or.reduceat(self.barred_goods[hs], offsets[:-1])

    def steps(self, chunk: Chunk, arrived: np.ndarray, declared: np.ndarray) -> Steps:
        """Draw when a summary would be submitted and accepted and the goods picked up, before the declaration."""
        rng = stream(self.seed, "two steps", chunk.name)
        n = len(arrived)
        wait = np.maximum((declared - arrived).astype(np.float64), 0)
        lead = np.exp(rng.normal(np.log(2.4), 0.45, n)) * 3600
        late = np.minimum(np.exp(rng.normal(np.log(0.8), 0.5, n)) * 3600, 0.3 * wait)
        submitted = arrived + seconds(np.where(rng.random(n) < AFTER_ARRIVAL, late, -lead))
        accepted = np.maximum(submitted, arrived) + seconds(rng.integers(120, 600, n))
        pickup = accepted + seconds(np.exp(rng.normal(np.log(1.8), 0.5, n)) * 3600)
        pickup = np.maximum(np.minimum(pickup, declared - np.timedelta64(600, "s")), accepted)
        due = arrived + np.timedelta64(REMINDER_DAYS, "D")
        again = declared + seconds(rng.uniform(4, 30, n) * 3600)
        return Steps(submitted, accepted, pickup, due, again)

    def waiting(self, chunk: Chunk, two_step: np.ndarray, arrived: np.ndarray, numbers: pa.Array) -> Waiting:
        """Draw which goods of late arrivals still wait for their complete declaration."""
        rng = stream(self.seed, "waiting", chunk.name)
        age = (self.end - arrived).astype(np.float64) / 86_400
        share = np.exp(-age / WAITING_SCALE) + np.where(age > 14, OVERDUE, 0)
        rows = np.flatnonzero(two_step & (age < OLDEST_WAITING) & (rng.random(len(age)) < share))
        serial = self.serial + np.arange(len(rows)) + 1
        self.serial += len(rows)
        head = pc.utf8_slice_codeunits(numbers.take(pa.array(rows)), 0, 9)
        return Waiting(rows, pc.binary_join_element_wise(head, padded(serial, 9), ""))

    def messages(
        self,
        chunk: Chunk,
        steps: Steps,
        two_step: np.ndarray,
        attempted: np.ndarray,
        returned: np.ndarray,
        waiting: Waiting,
        header: dict[str, Any],
        items: dict[str, Any],
        offsets: np.ndarray,
        hs: np.ndarray,
        rank: np.ndarray,
    ) -> tuple[Feed, Feed, pa.Table]:
        """Build the messages of a chunk.

        Args:
            chunk: what is made.
            steps: the instants, for every declaration.
            two_step: declarations lodged in two steps.
            attempted: declarations first tried in two steps although the negative list bars them.
            returned: of those in two steps, complete declarations customs sent back once.
            waiting: summaries whose complete declaration has not come.
            header: declarations as sent.
            items: their goods items.
            offsets: where each declaration's items begin.
            hs: position of each item's commodity.
            rank: rank of each trader on the day.

        Returns:
            Summary and complete declarations as (values, item values, offsets, sent), and what was planted.
        """
        rng = stream(self.seed, "two step messages", chunk.name)
        numbers = header["declaration_no"]
        lodged, tried = np.flatnonzero(two_step), np.flatnonzero(attempted)
        rows = np.concatenate([lodged, tried, waiting.rows])
        numbers_of = pa.concat_arrays([numbers.take(pa.array(lodged)), numbers.take(pa.array(tried)), waiting.numbers])
        at = steps.submitted[rows]
        sent_in_time = np.flatnonzero((at >= self.start) & (at < self.end - np.timedelta64(30, "s")))
        rows, at, numbers_of = rows[sent_in_time], at[sent_in_time], numbers_of.take(pa.array(sent_in_time))
        short = rng.random(len(rows)) < GUARANTEE_SHORT
        other = rng.random(len(rows)) < OTHER_CODE
        planted = {
            "negative_list_attempt": numbers.take(pa.array(tried)),
            "complete_returned": numbers.take(pa.array(np.flatnonzero(returned & two_step))),
            "complete_waiting": waiting.numbers,
            "guarantee_short": numbers_of.filter(pa.array(short)),
            "other_code_in_summary": numbers_of.filter(pa.array(other)),
        }
        truth = pa.table(
            {
                "kind": pa.array(np.repeat(list(planted), [len(v) for v in planted.values()]), pa.string()),
                "declaration_no": pa.concat_arrays([pc.cast(v, pa.string()) for v in planted.values()]),
            }
        )
        positions = {"__hs": hs}
        head, lines, cut = take_messages(header, items | positions, offsets, rows)
        summaries = self._summaries(rng, head, lines, cut, numbers_of, at, rank[rows], short, other)
        head, lines, cut = take_messages(header, items | positions, offsets, lodged)
        return summaries, self._completes(head, lines, cut, returned[lodged], steps.again[lodged]), truth

    def _goods(self, items: dict[str, Any]) -> dict[str, Any]:
        """Return the fields both steps hold: category of 13 digits, attribute, purpose, qualification, quantity."""
        hs = items["__hs"]
        category = np.where(self.food[hs], "101", np.where(self.goods.chapter[hs] == "28", "301", "999"))
        qualified = pc.binary_join_element_wise("411/", pc.utf8_slice_codeunits(items["hs_code"], 0, 6), "")
        return {
            "supervision_category_code": pc.binary_join_element_wise(items["hs_code"], pa.array(category), ""),
            "cargo_attribute_code": pa.array(np.where(self.food[hs], "14", "19")),
            "purpose_code": pa.array(np.where(self.food[hs], "11", "99")),
            "product_qualification": pc.if_else(pa.array(self.inspected_goods[hs]), qualified, "none"),
            "declared_quantity": items["quantity"],
            "declared_unit_code": items["unit_code"],
            "invoice_amount": items["invoice_amount"],
            "invoice_currency_code": items["invoice_currency_code"],
            "item_no": items["item_no"],
        }

    def _summaries(
        self,
        rng: np.random.Generator,
        header: dict[str, Any],
        items: dict[str, Any],
        offsets: np.ndarray,
        numbers: pa.Array,
        at: np.ndarray,
        rank: np.ndarray,
        short: np.ndarray,
        other: np.ndarray,
    ) -> Feed:
        n = len(at)
        owner = np.repeat(np.arange(n), np.diff(offsets))
        hs = items["__hs"]
        days = business_days(at)
        known = {(int(r), d): self.ranks.code(int(r), d) for r, d in {*zip(rank, days.astype(object), strict=True)}}
        tax = np.add.reduceat(np.append(items["duty_amount"] + items["vat_amount"], 0.0), offsets)[:-1]
        inspected = np.logical_or.reduceat(np.append(self.inspected_goods[hs], False), offsets)[:-1]
        controlled, taxed = rng.random(n) < CONTROLLED, tax > 0
        boxed = pc.is_valid(header["container_no"]).to_numpy(zero_copy_only=False)
        guaranteed = np.ceil(tax * 1.1 / 1000) * 1000
        guaranteed = np.where(short, np.round(tax * 0.7, 2), guaranteed)
        no_text = pa.scalar(None, pa.string())
        values = {
            **{
                name: header[name]
                for name in (
                    "customs_office_code", "port_code", "bill_no", "transport_mode_code", "conveyance_name",
                    "gross_mass_kg", "container_no", "trader_id", "declarant_id", "supervision_mode_code",
                    "dispatch_country_code", "incoterms_code", "item_count",
                )
            },
            "declaration_no": numbers,
            "summary_submitted_at": at,
            "is_controlled": pa.array(controlled),
            "is_inspected": pa.array(inspected),
            "is_taxed": pa.array(taxed),
            "is_containerised": pa.array(boxed),
            "licence_code": pc.if_else(pa.array(controlled), pa.array(rng.choice(["1", "7"], n)), no_text),
            "licence_no": pc.if_else(
                pa.array(controlled),
                pc.binary_join_element_wise("L", padded(rng.integers(0, 10**8, n), 8), ""),
                no_text,
            ),
            "guarantee_no": pc.if_else(
                pa.array(taxed), pc.binary_join_element_wise("G", padded(rng.integers(0, 10**8, n), 8), ""), no_text
            ),
            "guarantee_amount": pc.if_else(pa.array(taxed), pa.array(guaranteed), pa.scalar(None, pa.float64())),
            "credit_rank_code": pa.array(
                [known[(int(r), d)] for r, d in zip(rank, days.astype(object), strict=True)], pa.string()
            ),
            "message_at": at + seconds(rng.integers(2, 25, n)),
            "message_seq": np.ones(n, dtype=np.int64),
        }  # fmt: skip
        # another six-digit code than the complete declaration will state, of the next commodity in the tariff
        next_hs = (hs + 1) % len(self.goods.hs6)
        moved = other[owner] & (items["item_no"] == 1) & ~self.barred_goods[next_hs]
        hs = np.where(moved, next_hs, hs)
        code = pc.cast(pa.array(self.goods.hs6[hs]), pa.string())
        common = self._goods(items)
        common["supervision_category_code"] = pc.binary_join_element_wise(
            code, pc.utf8_slice_codeunits(common["supervision_category_code"], 6, 13), ""
        )
        asked = pa.array(inspected[owner])
        only_inspected = ("supervision_category_code", "cargo_attribute_code", "purpose_code", "product_qualification")
        common |= {name: pc.if_else(asked, common[name], no_text) for name in only_inspected}
        lines = common | {
            "hs6_code": code,
            "goods_description": pc.replace_substring_regex(items["goods_description"], "; model .*", ""),
            "origin_country_code": items["origin_country_code"],
            "item_container_no": pc.if_else(
                pa.array((inspected | controlled)[owner]), header["container_no"].take(pa.array(owner)), no_text
            ),
        }
        return values, lines, offsets, values["message_at"]

    def _completes(
        self,
        header: dict[str, Any],
        items: dict[str, Any],
        offsets: np.ndarray,
        returned: np.ndarray,
        again: np.ndarray,
    ) -> Feed:
        """Send complete declarations; one that was returned comes again, later, with its next sequence."""
        twice = np.flatnonzero(returned)
        every = np.concatenate([np.arange(len(returned)), twice])
        is_second = np.arange(len(every)) >= len(returned)
        items = (
            items
            | self._goods(items)
            | {
                "specification_model": pc.binary_join_element_wise(
                    pc.replace_substring_regex(items["goods_description"], "^.*; model ", "model "),
                    "brand as marked",
                    "; ",
                )
            }
        )
        header, items, offsets = take_messages(header, items, offsets, every)
        at = np.where(is_second, again[every], header["declared_at"])
        sent = np.where(is_second, at + np.timedelta64(20, "s"), header["message_at"])
        keep = np.flatnonzero(sent < self.end)
        header, items, offsets = take_messages(
            {
                "declaration_no": header["declaration_no"],
                "complete_submitted_at": at,
                "item_count": header["item_count"],
                "message_at": sent,
                "message_seq": np.where(is_second, 2, 1),
            },
            items,
            offsets,
            keep,
        )
        return header, items, offsets, sent[keep]
