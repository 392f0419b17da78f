"""The enterprises of the world: who they are, how compliant they secretly are, and what customs comes to know of it."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from data_contracts.codes import code_list
from infra.simulator.goods import Goods
from infra.simulator.identifiers import identity_cards, padded, social_credit_codes
from infra.simulator.randomness import choose, hashed_below, stream
from infra.simulator.scale import Scale

# Region, six-digit code of the registering region, share of enterprises, romanised name used in company names.
REGIONS = (
    ("CN-GD", 440100, 0.24, "Guangdong"), ("CN-ZJ", 330100, 0.15, "Zhejiang"), ("CN-JS", 320100, 0.14, "Jiangsu"),
    ("CN-SH", 310100, 0.11, "Shanghai"), ("CN-SD", 370100, 0.09, "Shandong"), ("CN-FJ", 350200, 0.06, "Xiamen"),
    ("CN-BJ", 110100, 0.04, "Beijing"), ("CN-TJ", 120100, 0.03, "Tianjin"), ("CN-LN", 210200, 0.03, "Dalian"),
    ("CN-SC", 510100, 0.025, "Chengdu"), ("CN-CQ", 500100, 0.02, "Chongqing"), ("CN-HB", 420100, 0.015, "Wuhan"),
    ("CN-XJ", 650100, 0.015, "Urumqi"), ("CN-GX", 450100, 0.015, "Nanning"), ("CN-YN", 530100, 0.01, "Kunming"),
    ("CN-HA", 410100, 0.01, "Zhengzhou"),
)  # fmt: skip
# A district of each region's city, as on identity cards and addresses, in the order of REGIONS.
DISTRICTS = (440106, 330106, 320106, 310101, 370202, 350203, 110105, 120103, 210202, 510107, 500103, 420103, 650102,
             450103, 530102, 410105)  # fmt: skip
KINDS = np.array(["trader", "broker", "carrier", "platform", "warehouse"])
KIND_SHARES = np.array([0.90, 0.05, 0.025, 0.005, 0.02])
SYLLABLES = (
    "Heng",
    "Tai",
    "Xin",
    "Yuan",
    "Hua",
    "Jin",
    "De",
    "Sheng",
    "Rui",
    "Feng",
    "Hai",
    "Tong",
    "Bao",
    "Li",
    "Guang",
    "Ming",
    "Zhong",
    "He",
    "Long",
    "Da",
    "An",
    "Shun",
    "Kang",
    "Wei",
)
TRADES = ("Trading", "Import & Export", "Electronics", "Technology", "Industrial", "Textiles", "Foods", "Machinery")
KIND_NAMES = {
    "broker": "Customs Brokerage",
    "carrier": "Logistics",
    "platform": "E-Commerce",
    "warehouse": "Bonded Warehousing",
}

REGULAR, AEO, CERTIFIED, DISHONEST, SERIOUSLY_DISHONEST = range(5)
# Internal rank -> codes in order of preference; the first valid on the day is written (the list changed 2026-04-01).
RANK_CODES = {
    REGULAR: ("regular", "other", "general"),
    AEO: ("advanced_certified",),
    CERTIFIED: ("certified", "advanced_certified"),
    DISHONEST: ("dishonest",),
    SERIOUSLY_DISHONEST: ("seriously_dishonest", "dishonest"),
}
PENALTY, ARREARS, SMUGGLING, REPAIR, RANK_CHANGE = "penalty", "arrears", "smuggling", "repair", "rank_change"
VIOLATIONS = (PENALTY, ARREARS, SMUGGLING)
NEW_RANKS_FROM = date(2026, 4, 1)  # GACC Order 282
LINES = 6  # lines of goods an enterprise usually trades


@dataclass
class Enterprises:
    """Parallel arrays over enterprises (axis 0); months are axis 1 of ``compliance`` and ``rank``.

    ``compliance`` is the hidden latent (0 = typical, higher = better, about one unit of standard deviation) and never
    leaves the truth folder. ``activity`` are the weights with which traders declare.
    """

    uscc: pa.Array
    number: np.ndarray
    kind: np.ndarray
    region: np.ndarray
    office: np.ndarray
    registered_on: np.ndarray
    employees: np.ndarray
    capital: np.ndarray
    debt_ratio: np.ndarray
    size: np.ndarray
    compliance: np.ndarray
    rank: np.ndarray
    activity: np.ndarray
    exporter_share: np.ndarray
    line_hs: np.ndarray
    line_origin: np.ndarray
    line_destination: np.ndarray
    price_level: np.ndarray
    broker: np.ndarray
    self_declares: np.ndarray
    partner_risk_seed: int
    months: np.ndarray
    decay_from: np.ndarray
    credit_events: pd.DataFrame
    certificates: pd.DataFrame
    validations: pd.DataFrame
    rank_changes: pd.DataFrame

    def __len__(self) -> int:
        return len(self.number)

    def month_position(self, days: np.ndarray) -> np.ndarray:
        """Return the column of ``compliance`` and ``rank`` for business days."""
        return (days.astype("datetime64[M]") - self.months[0]).astype(np.int64).clip(0, len(self.months) - 1)


class RankCodes:
    """Internal ranks as the codes valid on a day."""

    def __init__(self) -> None:
        self._codes = code_list("reference.credit_rank")

    def code(self, rank: int, day: date) -> str:
        """Return the code of a rank on a day, e.g. ``certified`` only from 2026-04-01."""
        valid = [c.code for c in self._codes if c.valid_on(day)]
        wanted = [c for c in RANK_CODES[rank] if c in valid]
        return wanted[0] if wanted else valid[0]


def _latent(rng: np.random.Generator, start: np.ndarray, months: int) -> tuple[np.ndarray, np.ndarray]:
    """Walk the compliance latent month by month: slow random walk, pulled to its start, with shocks that heal slowly.

    Returns:
        (n, months) latent, and (n,) month position in which a shock begins (months = none).
    """
    n = len(start)
    shocked = rng.random(n) < 0.24
    begins = np.where(shocked, rng.integers(-10, months, n), months)
    depth = np.where(shocked, rng.uniform(1.3, 2.8, n), 0.0)
    walk = np.zeros(n)
    latent = np.empty((n, months), dtype=np.float32)
    for month in range(months):
        walk = 0.97 * walk + 0.12 * rng.normal(size=n)
        since = month - begins
        ramp = np.where(since < 0, 0.0, np.minimum((since + 1) / 3.0, 1.0) * np.exp(-np.maximum(since - 8, 0) / 10.0))
        latent[:, month] = start + walk - depth * ramp
    return latent, begins


def _amounts(rng: np.random.Generator, size: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    level = np.where(kinds == SMUGGLING, 12.8, np.where(kinds == ARREARS, 11.0, 9.8))
    return np.round(np.exp(level + 0.35 * size + rng.normal(0, 1.0, len(size))).clip(500, 5e8), 2)


def _credit_record(
    rng: np.random.Generator, compliance: np.ndarray, debt: np.ndarray, size: np.ndarray, months: np.ndarray, last: date
) -> pd.DataFrame:
    """Draw penalties, arrears and smuggling cases from audits: the hazard follows compliance three months before.

    Three years before the first month are drawn too: customs starts with a credit record, not with a blank one.
    """
    n, m = compliance.shape
    history = 36
    parts = []
    for month in range(-history, m):
        lagged = compliance[:, max(month - 3, 0)]
        hazard = 0.0036 * np.exp(-1.2 * lagged + 0.30 * size + 0.6 * (debt - 0.5))
        if month < 0:
            hazard = 0.0034 * np.exp(-1.15 * compliance[:, 0] + 0.30 * size)
        hit = np.flatnonzero(rng.random(n) < hazard.clip(0, 0.3))
        u = rng.random(len(hit))
        arrears_share = (0.18 + 0.5 * (debt[hit] - 0.45)).clip(0.05, 0.6)
        kind = np.where(u < 0.05, SMUGGLING, np.where(u < 0.05 + arrears_share, ARREARS, PENALTY))
        day = (months[0] + month).astype("datetime64[D]") + rng.integers(0, 28, len(hit))
        known = day + rng.integers(0, 21, len(hit))
        parts.append(
            pd.DataFrame(
                {
                    "enterprise": hit,
                    "kind": kind,
                    "occurred_on": day,
                    "known_on": known,
                    "amount": _amounts(rng, size[hit], kind),
                }
            )
        )
    events = pd.concat(parts, ignore_index=True)
    repairable = events[rng.random(len(events)) < 0.35]
    repaired = repairable.assign(
        kind=REPAIR,
        amount=np.nan,
        occurred_on=repairable.known_on + pd.to_timedelta(rng.integers(120, 330, len(repairable)), unit="D"),
    )
    repaired["known_on"] = repaired.occurred_on
    events = pd.concat([events, repaired], ignore_index=True)
    return events[events.known_on <= pd.Timestamp(last)].reset_index(drop=True)


def _marks(rng: np.random.Generator, quality: np.ndarray, level: float) -> np.ndarray:
    """Draw marks lost per pillar: (n, 4) whole numbers, none positive. Lower quality loses more."""
    share = np.array([0.30, 0.22, 0.28, 0.20])
    expected = np.exp(level - 0.75 * quality)[:, None] * share
    return -np.minimum(rng.poisson(expected.clip(0, 30)), 20)


def _passes(rng: np.random.Generator, marks: np.ndarray) -> np.ndarray:
    """Apply the standard: 100 plus marks at least 95, and no item at -2 (the likelier the more marks are lost)."""
    lost = -marks.sum(axis=1)
    return (lost <= 5) & (rng.random(len(lost)) >= 1 - np.exp(-0.03 * lost))


def _validation_outcomes(
    rng: np.random.Generator, quality: np.ndarray, noise: float, target: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return marks, decisions and the true probability of passing; the level is set so that ``target`` pass."""
    low, high = -1.0, 4.0
    trial = quality + noise * rng.normal(size=len(quality))
    seed = int(rng.integers(1 << 31))
    for _ in range(24):
        level = (low + high) / 2
        again = np.random.default_rng(seed)
        passed = _passes(again, _marks(again, trial, level)).mean()
        low, high = (level, high) if passed > target else (low, level)
    draws = np.zeros(len(quality))
    for _ in range(64):
        draws += _passes(rng, _marks(rng, quality + noise * rng.normal(size=len(quality)), level))
    marks = _marks(rng, quality + noise * rng.normal(size=len(quality)), level)
    return marks, _passes(rng, marks), draws / 64


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / max(values.std(), 1e-9)


def build_enterprises(seed: int, scale: Scale, goods: Goods, first: date, last: date) -> Enterprises:
    """Draw every enterprise and its whole hidden history; what customs learns comes later, message by message."""
    rng = stream(seed, "enterprises")
    n = scale.enterprises
    months = np.arange(np.datetime64(first, "M"), np.datetime64(last, "M") + 1)
    number = (np.arange(n, dtype=np.int64) * 6_364_137 + 1_442_695) % 10_000_000
    region = choose(rng, np.array([r[2] for r in REGIONS]), n)
    kind = KINDS[choose(rng, KIND_SHARES, n)]
    kind[: len(KINDS)] = KINDS  # every kind exists, however small the scale
    offices = [c for c in code_list("reference.customs_office") if c.valid_on(first) and c.valid_on(last)]
    office = _home_offices(rng, offices, region)
    registered = np.datetime64(first, "D") - (rng.gamma(1.8, 1500, n)).astype(np.int64).clip(30, 12_000)
    newcomer = rng.random(n) < 0.06
    window = max((last - first).days - 45, 1)
    registered = np.where(newcomer, np.datetime64(first, "D") + rng.integers(0, window, n), registered)

    tenure = np.log1p((np.datetime64(first, "D") - registered).astype(np.int64).clip(0, None) / 365.0)
    # Activity is Zipf (s = 1.05, head softened); size follows it loosely.
    rank_of = rng.permutation(n)
    activity = 1.0 / (rank_of + 8.0) ** 1.05
    size = _standard(0.75 * _standard(np.log(activity)) + 0.66 * rng.normal(size=n))
    debt = (0.52 - 0.05 * size + 0.17 * rng.normal(size=n)).clip(0.02, 1.6)
    start = (
        0.44 * size - 0.38 * _standard(debt) + 0.36 * _standard(tenure) + 0.70 * rng.normal(size=n)
    )  # observable proxies explain about half of the starting compliance
    compliance, decay_from = _latent(rng, start, len(months))
    employees = np.exp(3.6 + 1.25 * size + 0.5 * rng.normal(size=n)).clip(1, 200_000).astype(np.int64)
    capital = np.round(np.exp(14.8 + 1.3 * size + 0.7 * rng.normal(size=n)).clip(1e4, 5e10), -4)
    credit = _credit_record(rng, compliance, debt, size, months, last)

    lines = choose(rng, goods.weight, n * LINES).reshape(n, LINES)
    main_chapter = goods.chapter[lines[:, 0]]
    for column in range(1, LINES):  # most lines stay in the main chapter: traders specialise
        same = rng.random(n) < 0.6
        lines[:, column] = np.where(same, _same_chapter(rng, goods, main_chapter), lines[:, column])
    trader = kind == "trader"
    activity = np.where(trader, activity, 0.0)
    brokers = np.flatnonzero(kind == "broker")
    broker_weight = 1.0 / (np.arange(len(brokers)) + 1.5) ** 0.9
    world = Enterprises(
        uscc=social_credit_codes(number, np.array([REGIONS[r][1] for r in region])),
        number=number,
        kind=kind,
        region=region,
        office=office,
        registered_on=registered,
        employees=employees,
        capital=capital,
        debt_ratio=debt,
        size=size,
        compliance=compliance,
        rank=np.zeros((n, len(months)), dtype=np.int8),
        activity=activity / activity.sum(),
        exporter_share=np.where(rng.random(n) < 0.25, 0.95, rng.uniform(0, 0.25, n)),
        line_hs=lines,
        line_origin=choose(rng, goods.origin_weight, n * LINES).reshape(n, LINES),
        line_destination=choose(rng, goods.destination_weight, n * LINES).reshape(n, LINES),
        price_level=0.25 * rng.normal(size=n),
        broker=brokers[choose(rng, broker_weight, n * 2)].reshape(n, 2),
        self_declares=(rng.random(n) < 0.12) & (size > 0.3),
        partner_risk_seed=seed,
        months=months,
        decay_from=decay_from,
        credit_events=credit,
        certificates=pd.DataFrame(),
        validations=pd.DataFrame(),
        rank_changes=pd.DataFrame(),
    )
    _rank_history(stream(seed, "ranks"), world, scale, first, last)
    return world


def _home_offices(rng: np.random.Generator, offices: list, region: np.ndarray) -> np.ndarray:
    """Give each enterprise an office of its region where there is one (as a position in the office list)."""
    weight = 1.0 / (np.arange(len(offices)) + 2.0)
    home = choose(rng, weight, len(region))
    for position, (code, _, _, _) in enumerate(REGIONS):
        near = np.array([i for i, o in enumerate(offices) if o.attribute("region") == code])
        rows = np.flatnonzero((region == position) & (rng.random(len(region)) < 0.85))
        if len(near) and len(rows):
            home[rows] = near[choose(rng, 1.0 / (np.arange(len(near)) + 1.0), len(rows))]
    return home


def _same_chapter(rng: np.random.Generator, goods: Goods, chapter: np.ndarray) -> np.ndarray:
    """Draw a code of the given chapters by the goods' weights."""
    drawn = np.zeros(len(chapter), dtype=np.int64)
    for c in np.unique(chapter):
        rows, codes = np.flatnonzero(chapter == c), np.flatnonzero(goods.chapter == c)
        drawn[rows] = codes[choose(rng, goods.weight[codes], len(rows))]
    return drawn


def _rank_history(rng: np.random.Generator, world: Enterprises, scale: Scale, first: date, last: date) -> None:
    """Fill ranks, certificates and validations: who starts as AEO or dishonest, who applies, passes, loses the rank."""
    n, m = world.compliance.shape
    z = world.compliance[:, 0]
    start, end = np.datetime64(first, "D"), np.datetime64(last, "D")
    eligible = (world.registered_on < start - 400) & np.isin(world.kind, ["trader", "broker", "warehouse"])
    merit = np.where(eligible, 0.9 * z + 0.05 * world.size + 0.5 * rng.normal(size=n), -np.inf)
    aeo = np.argsort(-merit)[: max(int(n * scale.aeo_share), 3)]
    blame = np.where(eligible & ~np.isin(np.arange(n), aeo), -z + 0.45 * world.size + 0.5 * rng.normal(size=n), -np.inf)
    bad = np.argsort(-blame)[: max(int(n * scale.dishonest_share), 3)]
    rank = np.zeros(n, dtype=np.int8)
    rank[aeo], rank[bad] = AEO, np.where(rng.random(len(bad)) < 0.2, SERIOUSLY_DISHONEST, DISHONEST)
    changes = [pd.DataFrame({"enterprise": np.arange(n), "day": np.full(n, start - 1), "rank": rank})]

    certificates = [
        pd.DataFrame(
            {
                "enterprise": aeo,
                "granted_on": (start - rng.integers(200, 1700, len(aeo))).clip(world.registered_on[aeo] + 90),
                "level": AEO,
                "sent_on": np.full(len(aeo), start),
                "status": "active",
            }
        )
    ]
    # First validations: applicants lean towards the better and the larger, but only a little.
    candidates = np.flatnonzero(eligible & (rank == REGULAR))
    lure = np.exp(0.1 * z[candidates] + 0.7 * _standard(np.log(world.activity[candidates] + 1e-9)))
    firsts = rng.choice(
        candidates, min(int(n * scale.applicant_share * 0.82), len(candidates)), replace=False, p=lure / lure.sum()
    )
    rechecks = aeo[rng.random(len(aeo)) < 0.45]
    severe = world.credit_events[world.credit_events.kind.isin([PENALTY, SMUGGLING])]
    severe = severe[severe.enterprise.isin(aeo) & (severe.occurred_on >= pd.Timestamp(first))]
    span = max((last - first).days, 1)
    plans = pd.concat(
        [
            pd.DataFrame(
                {
                    "enterprise": firsts,
                    "kind": "first",
                    "applied_on": start - 100 + rng.integers(0, span + 60, len(firsts)),
                }
            ),
            pd.DataFrame(
                {
                    "enterprise": rechecks,
                    "kind": "recheck",
                    "applied_on": start - 60 + rng.integers(0, span + 20, len(rechecks)),
                }
            ),
            pd.DataFrame(
                {
                    "enterprise": severe.enterprise.to_numpy(),
                    "kind": "adhoc",
                    "applied_on": severe.known_on.to_numpy().astype("datetime64[D]") + 14,
                }
            ),
        ],
        ignore_index=True,
    )
    applied = plans.applied_on.to_numpy().astype("datetime64[D]")
    plans["validated_on"] = applied + rng.integers(30, 75, len(plans))
    plans["decided_on"] = plans.validated_on.to_numpy().astype("datetime64[D]") + rng.integers(10, 40, len(plans))
    plans = plans[plans.decided_on >= pd.Timestamp(first)].reset_index(drop=True)
    k = len(plans)
    who = plans.enterprise.to_numpy()
    column = world.month_position(plans.validated_on.to_numpy().astype("datetime64[D]"))
    # What auditors look at: compliance, finances, how organised a house of that size is; then their own judgement.
    quality = (
        1.45 * world.compliance[who, column]
        - 0.20 * _standard(world.debt_ratio[who])
        + 0.50 * world.size[who]
        - 0.8 * (plans.kind.to_numpy() == "adhoc")
    )
    marks, passed, probability = _validation_outcomes(rng, _standard(quality) * 1.6, 0.4, 0.60)
    for position, pillar in enumerate(("internal_control", "financial", "compliance", "trade_security")):
        plans[f"{pillar}_score"] = marks[:, position].astype(float)
    plans["is_passed"], plans["pass_probability"] = passed, probability
    plans["additional_score"] = np.where(rng.random(k) < 0.12, rng.integers(1, 3, k), 0).astype(float)
    plans["total_score"] = 100 + marks.sum(axis=1) + plans.additional_score
    failed_high = ~passed & (plans.total_score.to_numpy() >= 95)
    plans["failed_on_item"] = failed_high
    world.validations = (
        plans.sort_values(["decided_on", "enterprise"])
        .drop_duplicates(["enterprise", "decided_on"])
        .reset_index(drop=True)
    )

    decided = world.validations[world.validations.decided_on <= pd.Timestamp(last)]
    won = decided[(decided.kind == "first") & decided.is_passed]
    after_reform = won.decided_on.to_numpy() >= np.datetime64(NEW_RANKS_FROM)
    level = np.where(after_reform & (rng.random(len(won)) < 0.6), CERTIFIED, AEO).astype(np.int8)
    changes.append(
        pd.DataFrame(
            {
                "enterprise": won.enterprise.to_numpy(),
                "day": won.decided_on.to_numpy() + np.timedelta64(1, "D"),
                "rank": level,
            }
        )
    )
    certificates.append(
        pd.DataFrame(
            {
                "enterprise": won.enterprise.to_numpy(),
                "granted_on": won.decided_on.to_numpy(),
                "level": level,
                "sent_on": won.decided_on.to_numpy(),
                "status": "active",
            }
        )
    )
    lost = decided[(decided.kind != "first") & ~decided.is_passed]
    changes.append(
        pd.DataFrame(
            {
                "enterprise": lost.enterprise.to_numpy(),
                "day": lost.decided_on.to_numpy() + np.timedelta64(1, "D"),
                "rank": np.int8(REGULAR),
            }
        )
    )
    smuggled = world.credit_events[
        (world.credit_events.kind == SMUGGLING) & (world.credit_events.known_on >= pd.Timestamp(first))
    ]
    smuggled = smuggled[smuggled.known_on < pd.Timestamp(last)]
    changes.append(
        pd.DataFrame(
            {
                "enterprise": smuggled.enterprise.to_numpy(),
                "day": smuggled.known_on.to_numpy() + np.timedelta64(5, "D"),
                "rank": np.int8(DISHONEST),
            }
        )
    )
    world.certificates = _certificate_states(pd.concat(certificates, ignore_index=True), lost, smuggled)
    all_changes = pd.concat(changes, ignore_index=True)
    all_changes["day"] = all_changes["day"].astype("datetime64[s]")
    all_changes = all_changes.sort_values(["enterprise", "day"], kind="stable").drop_duplicates(
        ["enterprise", "day"], keep="last"
    )
    before = all_changes.groupby("enterprise")["rank"].shift()
    world.rank_changes = all_changes[before.isna() | (before != all_changes["rank"])].reset_index(drop=True)
    later = world.rank_changes[world.rank_changes.day > pd.Timestamp(start)]
    world.rank[:] = rank[:, None]
    for who_, day, new in zip(
        later.enterprise, later.day.to_numpy().astype("datetime64[D]"), later["rank"], strict=True
    ):
        if day <= end:
            world.rank[who_, world.month_position(np.array([day]))[0] + (1 if m > 1 else 0) :] = new


def _certificate_states(certificates: pd.DataFrame, lost: pd.DataFrame, smuggled: pd.DataFrame) -> pd.DataFrame:
    """Add the later states of certificates (suspended, revoked) as further messages of the same number."""
    certificates = certificates.drop_duplicates("enterprise", keep="last").reset_index(drop=True)
    certificates["serial"] = np.arange(len(certificates)) + 1
    later = []
    for cases, status in ((lost, "revoked"), (smuggled, "suspended")):
        day = cases["decided_on" if "decided_on" in cases else "known_on"]
        state = pd.DataFrame(
            {
                "enterprise": cases.enterprise.to_numpy(),
                "sent_on": day.to_numpy() + np.timedelta64(1, "D"),
                "status": status,
            }
        )
        merged = certificates.drop(columns=["sent_on", "status"]).merge(state, on="enterprise")
        later.append(merged[merged.sent_on > merged.granted_on])
    return (
        pd.concat([t for t in (certificates, *later) if len(t)], ignore_index=True)
        .sort_values(["sent_on", "serial"])
        .reset_index(drop=True)
    )


def enterprise_versions(world: Enterprises, seed: int, first: date, last: date) -> pd.DataFrame:
    """Return one row per dated state of an enterprise: start, annual report in June, rank change, reform of 2026-04-01.

    Returns:
        Columns enterprise, valid_from, rank, debt_ratio, employee_count, sent_on; sorted by enterprise and day.
    """
    rng = stream(seed, "versions")
    n = len(world)
    start = np.datetime64(first, "D")
    opening = np.where(
        world.registered_on >= start,
        world.registered_on,
        np.maximum(world.registered_on, start - rng.integers(1, 300, n)),
    )
    parts = [pd.DataFrame({"enterprise": np.arange(n), "valid_from": opening, "rank": np.nan})]
    for year in range(first.year, last.year + 1):
        day = np.datetime64(f"{year}-06-01") + rng.integers(0, 29, n)
        keep = (day > opening + 60) & (day > start)
        parts.append(pd.DataFrame({"enterprise": np.flatnonzero(keep), "valid_from": day[keep], "rank": np.nan}))
    moved = world.rank_changes
    parts.append(
        pd.DataFrame(
            {
                "enterprise": moved.enterprise,
                "valid_from": moved.day.to_numpy().astype("datetime64[D]"),
                "rank": moved["rank"].astype(float),
            }
        )
    )
    codes = RankCodes()
    if first < NEW_RANKS_FROM <= last:
        renamed = [
            r for r in RANK_CODES if codes.code(r, NEW_RANKS_FROM - timedelta(1)) != codes.code(r, NEW_RANKS_FROM)
        ]
        column = world.month_position(np.array([np.datetime64(NEW_RANKS_FROM - timedelta(days=31))]))[0]
        rows = np.flatnonzero(
            np.isin(world.rank[:, column], [*renamed, AEO]) & (opening < np.datetime64(NEW_RANKS_FROM))
        )
        parts.append(pd.DataFrame({"enterprise": rows, "valid_from": np.datetime64(NEW_RANKS_FROM), "rank": np.nan}))
    table = pd.concat(parts, ignore_index=True)
    table["valid_from"] = table["valid_from"].astype("datetime64[s]")
    table = table.sort_values(["enterprise", "valid_from"], kind="stable")
    table["rank"] = table.groupby("enterprise")["rank"].ffill().fillna(REGULAR)
    table = table.drop_duplicates(["enterprise", "valid_from"], keep="last")
    opened = opening[table.enterprise.to_numpy()].astype("datetime64[s]")
    # The rank carried in from before the first day belongs to the opening state, it is no state of its own.
    table = table[(table.valid_from.to_numpy() >= opened) & (table.valid_from <= pd.Timestamp(last))].copy()
    initial = world.rank_changes.drop_duplicates("enterprise").set_index("enterprise")["rank"]
    is_opening = table.valid_from.to_numpy() == opening[table.enterprise.to_numpy()].astype("datetime64[s]")
    table.loc[is_opening, "rank"] = initial.reindex(table.enterprise[is_opening]).to_numpy()
    table = table[~((table.valid_from == pd.Timestamp(start - 1)) & ~is_opening)]
    table["rank"] = table["rank"].astype(int)
    who = table.enterprise.to_numpy()
    column = world.month_position(table.valid_from.to_numpy().astype("datetime64[D]"))
    drift = world.compliance[who, column] - world.compliance[who, 0]
    later = table.valid_from.to_numpy() > np.datetime64(first)
    table["debt_ratio"] = np.round(
        (world.debt_ratio[who] - later * (0.08 * drift + 0.03 * rng.normal(size=len(who)))).clip(0.01, 3), 4
    )
    table["employee_count"] = np.maximum(
        1, world.employees[who] * np.exp(later * 0.08 * rng.normal(size=len(who)))
    ).astype(np.int64)
    table["sent_on"] = np.maximum(table.valid_from.to_numpy().astype("datetime64[D]"), start)
    return table.reset_index(drop=True)


def names(world: Enterprises, seed: int) -> pa.Array:
    """Return romanised company names, e.g. ``Shanghai Hengtai Electronics Co., Ltd.``."""
    index = np.arange(len(world))
    first = hashed_below(index, len(SYLLABLES), seed, "name 1")
    second = hashed_below(index, len(SYLLABLES), seed, "name 2")
    trade = hashed_below(index, len(TRADES), seed, "name 3")
    return pa.array(
        [
            f"{REGIONS[r][3]} {SYLLABLES[a]}{SYLLABLES[b].lower()} {KIND_NAMES.get(k, TRADES[t])} Co., Ltd."
            for r, a, b, k, t in zip(world.region, first, second, world.kind, trade, strict=True)
        ]
    )


def customs_codes(world: Enterprises) -> pa.Array:
    """Return the ten-character customs registration numbers (region, kind of zone, serial)."""
    prefix = np.array([REGIONS[r][1] // 100 for r in world.region], dtype=np.int64)
    return padded(prefix * 1_000_000 + np.arange(len(world)), 10)


def people(index: np.ndarray, seed: int, name: str) -> pa.Array:
    """Return identity card numbers of adults, a function of their index (valid check character and region)."""
    district = np.array(DISTRICTS)[hashed_below(index, len(DISTRICTS), seed, f"{name} district")]
    born = np.datetime64("1960-01-01") + hashed_below(index, 17_500, seed, f"{name} birth")
    year = born.astype("datetime64[Y]").astype(np.int64) + 1970
    month = born.astype("datetime64[M]").astype(np.int64) % 12 + 1
    day = (born - born.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
    return identity_cards(district, year * 10_000 + month * 100 + day, hashed_below(index, 1000, seed, f"{name} order"))


def phones(index: np.ndarray, seed: int, name: str) -> pa.Array:
    """Return eleven-digit mobile numbers, a function of the index."""
    return padded(13_000_000_000 + hashed_below(index, 6_999_999_999, seed, f"{name} phone"), 11)
