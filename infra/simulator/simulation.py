"""Runs the world through time: chunk after chunk, every message into the file of the day it was sent."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.codes import code_list
from infra.simulator import canaries
from infra.simulator.days import DECLARATION_HOURS, ORDER_HOURS, Chunk, Period, chunks, periods
from infra.simulator.declarations import DeclarationSource
from infra.simulator.ecommerce import EcommerceSource
from infra.simulator.enterprises import (
    CERTIFIED,
    RANK_CHANGE,
    REGIONS,
    VIOLATIONS,
    Enterprises,
    RankCodes,
    build_enterprises,
    customs_codes,
    enterprise_versions,
    names,
    people,
    phones,
)
from infra.simulator.goods import build_goods
from infra.simulator.grain import make_grain
from infra.simulator.identifiers import padded
from infra.simulator.messages import FAULT_SHARE, FeedWriter, build_messages, shape_of
from infra.simulator.packaging import PackagingSource
from infra.simulator.rail import RailSource
from infra.simulator.randomness import hashed_below
from infra.simulator.scale import Scale

# A two-step declaration is made when it is complete; what its summary sent lies up to six weeks before.
BEHIND_FEEDS, BEHIND = ("receipts", "summary_declarations"), timedelta(days=45)
MINERAL_FEEDS = ("rail_orders", "rail_radiations", "rail_compositions", "rail_inclusions", "rail_laboratory")
EXCHANGE_FEEDS = ("rail_instructions", "rail_instruction_results")
RAIL_FEEDS = ("rail_trains", "rail_manifests", "rail_milestones", *EXCHANGE_FEEDS, *MINERAL_FEEDS)
SPECIAL_GOODS_FEEDS = ("grain_steps", "grain_samples", "special_packages")
JSON_FEEDS = (
    "declarations",
    "receipts",
    "summary_declarations",
    "complete_declarations",
    "selections",
    "inspections",
    "aeo_validations",
    "packaging_registrations",
    *RAIL_FEEDS,
    *SPECIAL_GOODS_FEEDS,
)
CSV_FEEDS = (
    "enterprises",
    "credit_events",
    "aeo_certificates",
    "ecommerce_order",
    "ecommerce_payment",
    "ecommerce_waybill",
    "ecommerce_list",
)
FEEDS = JSON_FEEDS + CSV_FEEDS
DAILY_FILES = 5


@dataclass(frozen=True)
class Request:
    """What to simulate and where to put it. ``landing`` and ``truth`` must be different folders."""

    scale: Scale
    first: date
    last: date
    seed: int
    landing: Path
    truth: Path
    daily: int = DAILY_FILES
    fault_share: float = FAULT_SHARE


@dataclass
class Summary:
    """Figures of a run: rows (lines), array elements, files, bytes and planted faults per feed, and seconds."""

    size: str
    first: str
    last: str
    seed: int
    seconds: float = 0.0
    feeds: dict[str, dict[str, Any]] = field(default_factory=dict)
    world: dict[str, Any] = field(default_factory=dict)


def simulate(request: Request, progress: Callable[[str, int, int], None] | None = None) -> Summary:
    """Simulate the source systems.

    Args:
        request: size, days, seed and folders.
        progress: called with (what, done, all) after each chunk.

    Returns:
        The figures of the run. Files and their bytes depend on seed, size and days only.
    """
    clock = time.monotonic()
    seed, first, last, scale = request.seed, request.first, request.last, request.scale
    goods = build_goods(seed, last)
    world = build_enterprises(seed, scale, goods, first, last)
    writers = {
        feed: FeedWriter(
            shape_of(feed, feed in JSON_FEEDS),
            request.landing,
            seed,
            scale.file_rows,
            4 * scale.chunk_rows,
            request.fault_share,
        )
        for feed in FEEDS
    }
    truth = Truth(request.truth)
    truth.clear_earlier_run(request.landing)
    declarations = DeclarationSource(seed, scale, world, goods, first, last)
    orders = EcommerceSource(seed, scale, world, goods, first, last)
    rail = RailSource(seed, scale, world, goods, first, last)
    packaging = PackagingSource(seed, world, first, last)
    _add(writers["packaging_registrations"], packaging.register_messages(), seed)
    _add_register(writers, world, seed, first, last)
    truth.write_enterprises(world)

    plan = periods(first, last, min(request.daily, (last - first).days))
    tracks: list[tuple[Any, np.ndarray, tuple[str, ...], str]] = [
        (
            declarations,
            DECLARATION_HOURS,
            ("declarations", "complete_declarations", "selections", "inspections", "credit_events"),
            "declarations",
        ),
        (
            orders,
            ORDER_HOURS,
            ("ecommerce_order", "ecommerce_payment", "ecommerce_waybill", "ecommerce_list"),
            "cbec_cases",
        ),
    ]
    work = [
        (period, [(t, chunks(period, t[0].expected(period.days), t[1], scale.chunk_rows)) for t in tracks])
        for period in plan
    ]
    behind: list[tuple[Period, np.datetime64]] = []
    done, total = 0, sum(len(c) for _, parts in work for _, c in parts)
    for period, parts in work:
        for (source, _, feeds, subject), cut in parts:
            for chunk in cut:
                made = source.make(chunk)
                if chunk is cut[0]:
                    canaries.plant(made)
                if source is declarations:
                    rail.notice(made)
                if "two_step_truth" in made:
                    truth.add("two_step", chunk, made.pop("two_step_truth"))
                for name, content in made.items():
                    if name != "truth":
                        _add(writers["declarations" if name == "corrections" else name], content, seed)
                for feed in feeds:
                    writers[feed].flush(period, chunk.until)
                truth.add(subject, chunk, made["truth"])
                done += 1
                if progress:
                    progress(f"{subject} {chunk.days[-1]}", done, total)
        for feed in ("enterprises", "aeo_certificates", "aeo_validations", "credit_events"):
            writers[feed].flush(period, cut[-1].until)
        behind.append((period, cut[-1].until))
        while behind and (period is plan[-1] or behind[0][0].last + BEHIND < period.last):
            earlier, until = behind.pop(0)
            for feed in BEHIND_FEEDS:
                writers[feed].flush(earlier, until)
    # A train arrives before the declaration that completes it, so trains are made when all declarations are known.
    for period in plan:
        made, chunk = rail.make(period), rail.chunk(period)
        for feed in RAIL_FEEDS:
            if feed in made:
                _add(writers[feed], made[feed], seed)
            writers[feed].flush(period, chunk.until)
        truth.add("rail", chunk, made["truth"])
        for subject, checked in (
            ("grain", make_grain(seed, period.stamp, made["rail_trains"])),
            ("packaging", packaging.make(period.stamp, made["rail_trains"])),
        ):
            if "truth" in checked:
                truth.add(subject, chunk, checked.pop("truth"))
            for feed, content in checked.items():
                _add(writers[feed], content, seed)
        for feed in ("packaging_registrations", *SPECIAL_GOODS_FEEDS):
            writers[feed].flush(period, chunk.until)
    truth.write_faults(writers)
    truth.write_canaries()
    truth.remember(request, [file for w in writers.values() for file in w.files])
    summary = Summary(scale.name, first.isoformat(), last.isoformat(), seed, round(time.monotonic() - clock, 1))
    summary.feeds = {
        feed: {
            "rows": w.counters.rows,
            "elements": w.counters.nested_rows,
            "files": w.counters.files,
            "bytes": w.counters.bytes,
            "faults": w.counters.faults,
        }
        for feed, w in writers.items()
    }
    summary.world = {"enterprises": len(world), "months": len(world.months)}
    return summary


def _add(writer: FeedWriter, content: tuple, seed: int) -> None:
    """Hand values to a feed: (values, sent) or, for nested messages, (values, elements, offsets, sent)."""
    if len(content) == 2:
        values, sent = content
        if len(sent):
            writer.add(build_messages(writer.shape, values, seed), sent)
        return
    values, nested, offsets, sent = content
    if len(sent):
        writer.add(build_messages(writer.shape, values, seed, nested, offsets), sent)


def _sent_at(day: np.ndarray, seed: int, name: str, hours: tuple[int, int] = (0, 8)) -> np.ndarray:
    """Return instants (UTC) on Shanghai days: office hours 08-16 there are 00-08 UTC."""
    low, high = hours[0] * 3600, hours[1] * 3600
    where = np.arange(len(day)) + day.astype("datetime64[D]").astype(np.int64) * 1_000_003
    return day.astype("datetime64[s]") + (low + hashed_below(where, high - low, seed, name)).astype("timedelta64[s]")


def _add_register(writers: dict[str, FeedWriter], world: Enterprises, seed: int, first: date, last: date) -> None:
    """Add what is slow and small: the register's dated versions, credit record, certificates, validations."""
    versions = enterprise_versions(world, seed, first, last)
    who = versions.enterprise.to_numpy()
    valid_from = versions.valid_from.to_numpy().astype("datetime64[D]")
    codes = RankCodes()
    by_day = {
        (r, d): codes.code(int(r), d) for r, d in set(zip(versions["rank"], valid_from.astype(object), strict=True))
    }
    sent = _sent_at(versions.sent_on.to_numpy().astype("datetime64[D]"), seed, "versions")
    index = np.arange(len(world))
    section = np.array([f"{int(c):02d}" for c in _sections(world)])
    one = np.ones(len(who), dtype=np.int64)
    register = {
        "trader_id": world.uscc.take(pa.array(who)),
        "valid_from": pa.array(valid_from),
        "customs_registration_no": customs_codes(world).take(pa.array(who)),
        "enterprise_name": names(world, seed).take(pa.array(who)),
        "enterprise_kind": pa.array(world.kind[who]),
        "industry_code": pa.array(section[who]),
        "registered_on": pa.array(world.registered_on[who]),
        "registered_capital": world.capital[who],
        "employee_count": versions.employee_count.to_numpy(),
        "region_code": pa.array(_regions(world)[who]),
        "credit_rank_code": pa.array(
            [by_day[(r, d)] for r, d in zip(versions["rank"], valid_from.astype(object), strict=True)]
        ),
        "debt_ratio": versions.debt_ratio.to_numpy(),
        "legal_person_id": people(index, seed, "legal person").take(pa.array(who)),
        "contact_phone": phones(index, seed, "contact").take(pa.array(who)),
        "message_at": sent,
        "message_seq": one,
    }
    canaries.plant_in_register(register, np.flatnonzero(who == 0))
    writers["enterprises"].add(build_messages(writers["enterprises"].shape, register, seed), sent)

    _add_credit_events(writers["credit_events"], world, seed, first, last)

    certificates = world.certificates[world.certificates.sent_on <= pd.Timestamp(last)]
    who = certificates.enterprise.to_numpy()
    sent = _sent_at(certificates.sent_on.to_numpy().astype("datetime64[D]"), seed, "certificates")
    reformed = certificates.granted_on.to_numpy() >= np.datetime64("2026-04-01")
    level = np.where((certificates.level.to_numpy() == CERTIFIED) & reformed, "certified", "advanced_certified")
    writers["aeo_certificates"].add(
        build_messages(
            writers["aeo_certificates"].shape,
            {
                "certificate_no": pc.binary_join_element_wise("AEOCN", padded(certificates.serial.to_numpy(), 8), ""),
                "trader_id": world.uscc.take(pa.array(who)),
                "certificate_level": pa.array(level),
                "granted_on": pa.array(certificates.granted_on.to_numpy().astype("datetime64[D]")),
                "valid_until": pc.if_else(
                    pa.array((certificates.status == "revoked").to_numpy()),
                    pa.array(certificates.sent_on.to_numpy().astype("datetime64[D]")),
                    pa.scalar(None, pa.date32()),
                ),
                "certificate_status": pa.array(certificates.status.to_numpy()),
                "message_at": sent,
                "message_seq": (certificates.groupby("enterprise").cumcount() + 1).to_numpy(),
            },
            seed,
        ),
        sent,
    )

    known = (world.validations.decided_on >= pd.Timestamp(first)) & (world.validations.decided_on <= pd.Timestamp(last))
    validations = world.validations[known]
    who = validations.enterprise.to_numpy()
    sent = _sent_at(validations.decided_on.to_numpy().astype("datetime64[D]"), seed, "validations", (8, 10))
    writers["aeo_validations"].add(
        build_messages(
            writers["aeo_validations"].shape,
            {
                "validation_id": pc.binary_join_element_wise("AEOV", padded(validations.index.to_numpy() + 1, 8), ""),
                "trader_id": world.uscc.take(pa.array(who)),
                "validation_kind": pa.array(validations.kind.to_numpy()),
                **{
                    f"{step}_on": pa.array(validations[f"{step}_on"].to_numpy().astype("datetime64[D]"))
                    for step in ("applied", "validated", "decided")
                },
                **{
                    f"{pillar}_score": validations[f"{pillar}_score"].to_numpy()
                    for pillar in (
                        "internal_control",
                        "financial",
                        "compliance",
                        "trade_security",
                        "additional",
                        "total",
                    )
                },
                "is_passed": pa.array(validations.is_passed.to_numpy()),
                "message_at": sent,
                "message_seq": np.ones(len(who), dtype=np.int64),
            },
            seed,
        ),
        sent,
    )


def _add_credit_events(writer: FeedWriter, world: Enterprises, seed: int, first: date, last: date) -> None:
    start = np.datetime64(first, "D")
    moved = world.rank_changes[world.rank_changes.day >= pd.Timestamp(first)]
    moved = moved[moved.day <= pd.Timestamp(last)]
    changes = pd.DataFrame(
        {
            "enterprise": moved.enterprise,
            "kind": RANK_CHANGE,
            "occurred_on": moved.day,
            "known_on": moved.day,
            "amount": np.nan,
        }
    )
    events = pd.concat([world.credit_events, changes], ignore_index=True).sort_values(
        ["known_on", "enterprise", "kind"], kind="stable"
    )
    who = events.enterprise.to_numpy()
    known_on = events.known_on.to_numpy().astype("datetime64[D]")
    sent = _sent_at(np.maximum(known_on, start), seed, "credit events")
    published = pc.if_else(
        pa.array(events.kind.isin(VIOLATIONS).to_numpy()),
        pa.array(known_on + 365),
        pa.scalar(None, pa.date32()),
    )
    record = {
        "event_id": pc.binary_join_element_wise("CE", padded(np.arange(len(events)) + 1, 10), ""),
        "trader_id": world.uscc.take(pa.array(who)),
        "event_kind": pa.array(events.kind.to_numpy()),
        "occurred_on": pa.array(events.occurred_on.to_numpy().astype("datetime64[D]")),
        "known_on": pa.array(known_on),
        "amount": pa.array(events.amount.to_numpy(), from_pandas=True),
        "published_until": published,
        "message_at": sent,
        "message_seq": np.ones(len(who), dtype=np.int64),
    }
    canaries.plant_in_credit_record(record)
    writer.add(build_messages(writer.shape, record, seed), sent)


def _sections(world: Enterprises) -> np.ndarray:
    section = {c.code: c.attribute("section") or "00" for c in code_list("reference.hs_code")}
    ordered = np.array(list(section.values()))
    return ordered[world.line_hs[:, 0].clip(0, len(ordered) - 1)]


def _regions(world: Enterprises) -> np.ndarray:
    return np.array([r[0] for r in REGIONS])[world.region]


class Truth:
    """The hidden truth, as Parquet in a folder of its own that no job, mart or model reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clear_earlier_run(self, landing: Path) -> None:
        """Remove what an earlier run put into these folders: two worlds must not mix. Other files stay untouched."""
        note = self.folder / "run.json"
        if not note.exists():
            return
        for name in json.loads(note.read_text(encoding="utf-8"))["files"]:
            (landing / name).unlink(missing_ok=True)
        for path in self.folder.rglob("*.parquet"):
            path.unlink()
        note.unlink()

    def remember(self, request: Request, files: list[str]) -> None:
        """Write down which run this was and which files it landed."""
        run = {
            "size": request.scale.name,
            "first": request.first.isoformat(),
            "last": request.last.isoformat(),
            "seed": request.seed,
            "files": files,
        }
        (self.folder / "run.json").write_text(json.dumps(run) + "\n", encoding="utf-8")

    def add(self, subject: str, chunk: Chunk, table: pa.Table) -> None:
        """Write the truth of a chunk."""
        path = self.folder / subject / f"{subject}_{chunk.days[0]:%Y%m%d}_{round(chunk.begin * 1e6):07d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd")

    def _write(self, name: str, table: pa.Table) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, self.folder / f"{name}.parquet", compression="zstd")

    def write_enterprises(self, world: Enterprises) -> None:
        """Write compliance per enterprise and month, and the true probability behind each AEO decision."""
        n, m = world.compliance.shape
        self._write(
            "enterprise_month",
            pa.table(
                {
                    "trader_id": world.uscc.take(pa.array(np.repeat(np.arange(n), m))),
                    "month": pa.array(np.tile(world.months.astype("datetime64[D]"), n)),
                    "compliance": world.compliance.ravel(),
                    "rank": world.rank.ravel(),
                    "decay_from_month": np.repeat(world.decay_from, m),
                }
            ),
        )
        v = world.validations
        self._write(
            "aeo_validation",
            pa.table(
                {
                    "validation_id": pc.binary_join_element_wise("AEOV", padded(v.index.to_numpy() + 1, 8), ""),
                    "trader_id": world.uscc.take(pa.array(v.enterprise.to_numpy())),
                    "pass_probability": v.pass_probability.to_numpy(),
                    "is_passed": v.is_passed.to_numpy(),
                }
            ),
        )

    def write_canaries(self) -> None:
        """Write the known values that must not be found where the policy does not allow them."""
        self._write("canaries", canaries.listed())

    def write_faults(self, writers: dict[str, FeedWriter]) -> None:
        """Write which line of which landed file was spoiled, and how."""
        faults = [f for w in writers.values() for f in w.faults]
        names = ("feed", "file", "line", "kind", "field")
        types = (pa.string(), pa.string(), pa.int64(), pa.string(), pa.string())
        self._write(
            "faults",
            pa.table({n: pa.array([getattr(f, n) for f in faults], t) for n, t in zip(names, types, strict=True)}),
        )
