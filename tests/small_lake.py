"""A small silver lake with a known mechanism: some traders, goods and months are worse than others."""

import shutil
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from deltalake import write_deltalake

from data_contracts.emit.delta import arrow_schema
from data_contracts.loader import load_contract
from infra.runtime.settings import Settings

FIRST, AS_OF = date(2025, 7, 1), date(2026, 10, 15)
# removed when the test process ends
_HOMES = []
_RECORD = {
    "source_system": "single_window",
    "batch_id": "b",
    "source_file": "f",
    "source_line": 1,
    "ingested_at": datetime(2026, 10, 15, tzinfo=UTC),
    "record_hash": "h",
}


def small_silver(seed=1, traders=240, declarations=7000, inspected=2200):
    """Return {contract id: rows}; violations depend on the trader's compliance, the goods and a low price."""
    rng = np.random.default_rng(seed)
    span = (AS_OF - FIRST).days + 1
    ids = np.array([f"9131{i:014d}" for i in range(traders)])
    bad = rng.beta(1.2, 5, traders)
    rank = np.where(bad > 0.55, "dishonest", np.where(bad < 0.03, "advanced_certified", "regular"))
    enterprise = pd.DataFrame(
        {
            "trader_id": ids,
            "valid_from": date(2025, 1, 1),
            "enterprise_name": "n",
            "enterprise_kind": rng.choice(["trader", "broker"], traders, p=[0.9, 0.1]),
            "industry_code": rng.choice(["01", "02", "03"], traders),
            "registered_on": [date(2010, 1, 1) + timedelta(int(d)) for d in rng.integers(0, 5000, traders)],
            "registered_capital": rng.lognormal(14, 2, traders).round(2),
            "employee_count": rng.integers(1, 500, traders),
            "region_code": rng.choice(["CN-SH", "CN-BJ"], traders),
            "credit_rank_code": rank,
            "debt_ratio": np.clip(0.4 + 0.5 * bad + rng.normal(0, 0.1, traders), 0, 2),
        }
    )
    n = declarations
    who = rng.choice(traders, n, p=(w := 1 / np.arange(1, traders + 1) ** 0.6) / w.sum())
    offset = np.sort(rng.integers(0, span, n))
    day = np.array([FIRST + timedelta(int(d)) for d in offset])
    number = np.array([f"2225{d.year}1{i:09d}" for i, d in enumerate(day)])
    hs = rng.choice(["8501100000", "8471300000", "3923100000", "6203420000", "2204210000"], n)
    origin = rng.choice(["JP", "US", "DE", "VN"], n)
    dispatch = np.where(rng.random(n) < 0.2, "HK", origin)
    cheap = rng.random(n) < 0.5 * bad[who]
    mass = rng.lognormal(5, 1, n).round(3) + 1
    value = (mass * np.exp(rng.normal(3, 0.3, n) - 1.2 * cheap)).round(2)
    lift = 3 * bad[who] + 1.2 * cheap + 0.8 * (hs == "2204210000") + 0.6 * (dispatch != origin)
    chance = 1 / (1 + np.exp(-(lift - 3.2)))
    violated = rng.random(n) < chance
    header = pd.DataFrame(
        {
            "declaration_no": number,
            "direction": "I",
            "customs_office_code": rng.choice(["2225", "2248"], n),
            "declared_on": day,
            "declared_at": [datetime(d.year, d.month, d.day, 3, tzinfo=UTC) for d in day],
            "declared_month": [d.replace(day=1) for d in day],
            "arrived_at": [datetime(d.year, d.month, d.day, tzinfo=UTC) - timedelta(days=2) for d in day],
            "supervision_mode_code": rng.choice(["0110", "0615"], n),
            "transport_mode_code": "2",
            "declarant_id": ids[rng.integers(0, 20, n)],
            "trader_id": ids[who],
            "dispatch_country_code": dispatch,
            "gross_mass_kg": (mass * 1.1).round(3),
            "net_mass_kg": mass,
            "package_count": rng.integers(1, 50, n),
            "item_count": 1,
        }
    )
    item = pd.DataFrame(
        {
            "declaration_no": number,
            "item_no": 1,
            "declared_on": day,
            "declared_month": header["declared_month"],
            "hs_code": hs,
            "hs6_code": [h[:6] for h in hs],
            "origin_country_code": origin,
            "preference_code": "MFN",
            "net_mass_kg": mass,
            "customs_value": value,
            "value_currency_code": "CNY",
            "duty_rate_pct": np.where(hs == "2204210000", 14.0, 5.0),
        }
    )
    # never written anywhere: for tests that ask whether an estimate is right
    header.attrs["violated"] = violated
    # graded selection: worse traders are chosen more often, nobody never
    probability = np.clip(0.05 + 0.9 * bad[who], 0.005, 1) * inspected / (n * 0.25)
    probability = np.clip(probability, 0.005, 1)
    chosen = np.flatnonzero(rng.random(n) < probability)
    delay = rng.integers(1, 30, len(chosen))
    inspection = pd.DataFrame(
        {
            "inspection_id": [f"I{i}" for i in chosen],
            "declaration_no": number[chosen],
            "customs_office_code": "2225",
            "inspected_on": day[chosen],
            "inspected_month": header["declared_month"].to_numpy()[chosen],
            "selected_by": np.where(rng.random(len(chosen)) < 0.2, "random", "rule"),
            "selection_prob": probability[chosen],
            "is_violation": violated[chosen],
            "finding_code": np.where(violated[chosen], "undervaluation", None),
            "severity": violated[chosen].astype(int),
            "recovered_duty": np.where(violated[chosen], 1000.0, 0.0),
            "label_available_on": [d + timedelta(int(k)) for d, k in zip(day[chosen], delay, strict=True)],
        }
    )
    selection = pd.DataFrame(
        {
            "declaration_no": number,
            "decided_on": day,
            "decided_month": header["declared_month"],
            "is_selected": np.isin(np.arange(n), chosen),
            "selection_prob": probability,
            "policy_version": "p1",
        }
    )
    m = 260
    hit = rng.choice(traders, m, p=bad / bad.sum())
    occurred = [FIRST + timedelta(int(d)) for d in rng.integers(0, span - 40, m)]
    credit = pd.DataFrame(
        {
            "event_id": [f"C{i}" for i in range(m)],
            "trader_id": ids[hit],
            "event_kind": rng.choice(["penalty", "arrears", "repair"], m, p=[0.6, 0.3, 0.1]),
            "occurred_on": occurred,
            "known_on": [d + timedelta(int(k)) for d, k in zip(occurred, rng.integers(0, 40, m), strict=True)],
            "amount": 1000.0,
        }
    )
    v = 240
    applicant = rng.integers(0, traders, v)
    applied = [FIRST + timedelta(int(d)) for d in np.sort(rng.integers(30, span - 60, v))]
    passed = rng.random(v) < 1 / (1 + np.exp(-(2.0 - 8 * bad[applicant])))
    validation = pd.DataFrame(
        {
            "validation_id": [f"V{i}" for i in range(v)],
            "trader_id": ids[applicant],
            "validation_kind": rng.choice(["first", "recheck"], v),
            "applied_on": applied,
            "validated_on": [d + timedelta(20) for d in applied],
            "decided_on": [d + timedelta(40) for d in applied],
            "total_score": np.where(passed, 98.0, 90.0),
            "is_passed": passed,
        }
    )
    k = rng.choice(n, 500, replace=False)
    event = pd.DataFrame(
        {
            "declaration_no": number[k],
            "event_seq": 2,
            "status_code": "100",
            "occurred_at": [datetime(d.year, d.month, d.day, 8, tzinfo=UTC) for d in day[k]],
            "occurred_on": day[k],
            "occurred_month": header["declared_month"].to_numpy()[k],
            "actor_code": "declarant",
        }
    )
    return {
        "enterprises.enterprise": enterprise,
        "enterprises.credit_event": credit,
        "enterprises.aeo_validation": validation,
        "declarations.declaration": header,
        "declarations.declaration_item": item,
        "declarations.declaration_event": event,
        "inspections.inspection": inspection,
        "inspections.selection": selection,
    }


def write_silver(settings, tables):
    """Write rows as silver tables of their contracts; columns not given are null."""
    for contract_id, rows in tables.items():
        contract = load_contract(contract_id)
        schema = arrow_schema(contract)
        frame = rows.assign(**{name: value for name, value in _RECORD.items() if name not in rows})
        columns = [
            pa.array(frame[f.name].tolist() if f.name in frame else [None] * len(frame), _plain(f.type)).cast(f.type)
            for f in schema
        ]
        table = pa.Table.from_arrays(columns, schema=schema)
        path = settings.silver(contract_id)
        path.mkdir(parents=True, exist_ok=True)
        write_deltalake(str(path), table, mode="overwrite", partition_by=list(contract.partition_by) or None)


def _plain(kind):
    return pa.float64() if pa.types.is_decimal(kind) else kind


def home(**given):
    """Return settings of an empty home that keeps Spark small."""
    _HOMES.append(tempfile.TemporaryDirectory(prefix="small-lake-", ignore_cleanup_errors=True))
    return Settings(
        home=Path(_HOMES[-1].name),
        spark_master="local[2]",
        spark_shuffle_partitions=2,
        spark_driver_memory="1g",
        **given,
    )


def session():
    """Return the Spark session of the test process."""
    from infra.runtime.spark import spark_session

    return spark_session("tests", home())


def tables():
    """Return the silver rows of the lake that tests share."""
    return small_silver(traders=160, declarations=4000, inspected=1600)


def copy_of_built(spark, shared):
    """Return settings of an own copy of the lake whose features are built as of the last day.

    Args:
        spark: running session.
        shared: home that the first of several test processes fills while the others wait.
    """
    from infra.lake.commit import table_locks
    from spark_jobs.features.build import build_features

    settings = home().model_copy(update={"home": shared})
    with table_locks(settings, ["features"], wait=600):
        if not (shared / "built").exists():
            write_silver(settings, tables())
            build_features(spark, settings, AS_OF)
            (shared / "built").touch()
    own = home()
    shutil.copytree(settings.lake, own.lake, dirs_exist_ok=True)
    return own
