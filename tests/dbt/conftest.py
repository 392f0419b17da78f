"""A lake small enough to count by hand, and the datasets built from it: once empty, once filled."""

import json
import os
import shutil
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from data_contracts import load_contract
from data_contracts.emit.delta import arrow_schema
from infra.lake.commit import create_lake, table_locks
from infra.lake.datasets import Outcome, build, run_dbt
from infra.lake.datasets import _outcome as read_outcome
from infra.runtime.settings import Settings

_FILL = {
    "VARCHAR": "x",
    "DATE": date(2026, 1, 1),
    "TIMESTAMPTZ": datetime(2026, 1, 1, tzinfo=UTC),
    "INTEGER": 1,
    "BIGINT": 1,
    "DOUBLE": 0.5,
    "BOOLEAN": False,
}


def put(settings: Settings, contract_id: str, rows: list[dict]) -> None:
    """Append rows to a silver table; required fields not given get a filler of their type."""
    contract = load_contract(contract_id)
    filled = []
    for row in rows:
        whole = {}
        for field in contract.columns:
            value = row.get(field.name)
            if value is None and field.required and field.name not in row:
                value = Decimal(1) if field.decimal else _FILL[field.physical_type]
            whole[field.name] = Decimal(str(value)) if field.decimal and value is not None else value
        filled.append(whole)
    table = pa.Table.from_pylist(filled, schema=arrow_schema(contract))
    write_deltalake(str(settings.silver(contract_id)), table, mode="append")


def at(day: int, hour: int, month: int = 5) -> datetime:
    """Instant of 2026 in UTC."""
    return datetime(2026, month, day, hour, tzinfo=UTC)


SW = {"source_system": "single_window"}
ALWAYS = {"valid_from": date(2000, 1, 1), "valid_to": None, **SW}


def fill(settings: Settings) -> None:
    """One day of customs: 14 declarations of one office and 2 of another, 12 lists, KCS rows without times."""
    put(
        settings,
        "reference.customs_office",
        [{"code": "2225", "name": "Yangshan", "district_name": "Shanghai", **ALWAYS}],
    )
    put(settings, "reference.transport_mode", [{"code": "2", "name": "Water", **ALWAYS}])
    put(settings, "reference.supervision_mode", [{"code": "0110", "name": "General trade", **ALWAYS}])
    put(settings, "reference.country", [{"code": "DE", "name": "Germany", "region": "Europe", **ALWAYS}])
    put(
        settings,
        "reference.hs_code",
        [
            {
                "code": "847130",
                "name": "Laptops",
                "chapter": "84",
                "chapter_name": "Machinery",
                "section_name": "XVI",
                **ALWAYS,
            }
        ],
    )
    put(
        settings,
        "reference.credit_rank",
        [
            {"code": "certified", "name": "Certified enterprise (AEO)", "is_aeo": True, **ALWAYS},
            {"code": "regular", "name": "Regular enterprise", "is_aeo": False, **ALWAYS},
        ],
    )
    put(
        settings,
        "enterprises.enterprise",
        [
            {
                "trader_id": "AEO",
                "valid_from": date(2020, 1, 1),
                "credit_rank_code": "certified",
                "employee_count": 1234,
                **SW,
            },
            {
                "trader_id": "REG",
                "valid_from": date(2020, 1, 1),
                "credit_rank_code": "regular",
                "employee_count": 55,
                **SW,
            },
        ],
    )
    head = {
        "direction": "I",
        "customs_office_code": "2225",
        "transport_mode_code": "2",
        "supervision_mode_code": "0110",
        "dispatch_country_code": "DE",
        "declared_on": date(2026, 5, 6),
        "declared_at": at(6, 2),
        "arrived_at": at(5, 2),
        "trader_id": "REG",
        **SW,
    }
    heads = [{**head, "declaration_no": f"D{n:02}"} for n in range(14)]
    # D00 waited for 30 days: the fee runs from 6 May 2026 (day 15 of 21 April)
    heads[0] |= {"arrived_at": at(21, 2, month=4), "declared_on": date(2026, 5, 8), "declared_at": at(8, 2)}
    heads += [{**head, "declaration_no": f"A{n}", "trader_id": "AEO", "customs_office_code": "9999"} for n in range(2)]
    korean = {"direction": "I", "customs_office_code": "40", "transport_mode_code": "2", "dispatch_country_code": "DE"}
    heads += [
        {
            **korean,
            "declaration_no": f"K{n}",
            "declared_on": date(2020, 5, 6),
            "trader_id": f"k{n}",
            "source_system": "kcs",
        }
        for n in range(11)
    ]
    put(settings, "declarations.declaration", heads)
    item = {
        "item_no": 1,
        "hs_code": "8471300000",
        "hs6_code": "847130",
        "origin_country_code": "DE",
        "customs_value": 100000,
        "value_currency_code": "CNY",
        "duty_amount": 8000,
        "vat_amount": 14040,
        "net_mass_kg": 10,
    }
    put(
        settings,
        "declarations.declaration_item",
        [
            {
                **item,
                "declaration_no": h["declaration_no"],
                "declared_on": h["declared_on"],
                "source_system": h["source_system"],
            }
            | ({"value_currency_code": "KRW", "vat_amount": None} if h["source_system"] == "kcs" else {})
            for h in heads
        ],
    )
    put(
        settings,
        "declarations.declaration_event",
        [
            {"declaration_no": f"D{n:02}", "event_seq": s, "status_code": code, "occurred_at": moment, **SW}
            for n in range(1, 14)
            for s, code, moment in ((1, "120", at(6, 3)), (2, "399", at(6, 4)), (3, "800", at(6, 12 if n < 12 else 23)))
        ],
    )
    put(
        settings,
        "inspections.selection",
        [
            {
                "declaration_no": f"D{n:02}",
                "is_selected": n < 4,
                "selected_by": ("random", "random", "rule", "model")[n] if n < 4 else None,
                "selection_prob": 0.1,
                **SW,
            }
            for n in range(14)
        ],
    )
    put(
        settings,
        "inspections.inspection",
        [
            {
                "inspection_id": f"I{n}",
                "declaration_no": f"D{n:02}",
                "selected_by": ("random", "random", "rule")[n],
                "selection_prob": 0.1,
                "is_violation": n != 0,
                "severity": (0, 1, 2)[n],
                "recovered_duty": 1234.56 * n,
                "value_currency_code": "CNY",
                "officer_id": "officer-pseudonym",
                "customs_office_code": "2225",
                "label_available_on": date(2026, 5, 9),
                **SW,
            }
            for n in range(3)
        ],
    )
    bought = {"platform_code": "P", "business_date": date(2026, 6, 18), "currency_code": "142", **SW}
    put(
        settings,
        "ecommerce.order",
        [
            {
                **bought,
                "order_no": f"o{n}",
                "goods_value": 100,
                "freight": 0,
                "discount": 0,
                "tax_total": 9,
                "actual_paid": 109,
                "buyer_id": "buyer-pseudonym",
                "consignee_name": "name-pseudonym",
            }
            for n in range(11)
        ],
    )
    put(
        settings,
        "ecommerce.payment",
        [
            {
                **bought,
                "payment_transaction_no": f"t{n}",
                "order_no": f"o{n}",
                "amount_paid": 109,
                "payer_id": "buyer-pseudonym",
            }
            for n in range(10)
        ],
    )
    put(
        settings,
        "ecommerce.waybill",
        [{**bought, "logistics_company_code": "L", "logistics_no": f"w{n}", "order_no": f"o{n}"} for n in range(12)],
    )
    put(
        settings,
        "ecommerce.list",
        [
            {
                **bought,
                "list_no": f"l{n:02}",
                "order_no": f"o{n}",
                "logistics_company_code": "L",
                "logistics_no": f"w{n}",
                "customs_office_code": "2225",
                "declared_at": at(18, 4, month=6),
                "buyer_id": "buyer-pseudonym",
                "buyer_name": "name-pseudonym",
                "total_value": 2300,
                "tax_amount": 209.3,
                "status_code": "800",
            }
            for n in range(12)
        ],
    )
    put(
        settings,
        "scores.declaration_risk",
        [
            {
                "declaration_no": f"D{n:02}",
                "as_of": date(2026, 5, 8),
                "score": n / 20,
                "score_rank": 14 - n,
                "reasons": "[]",
            }
            for n in range(14)
        ],
    )
    put(
        settings,
        "scores.aeo_candidate",
        [{"trader_id": t, "as_of": date(2026, 5, 8), "score": 0.7, "score_rank": 1} for t in ("AEO", "REG")],
    )
    put(
        settings,
        "governance.contract_state",
        [
            {"state_date": day, "contract_id": "ecommerce.list", "columns_unknown": unknown, "is_in_step": not unknown}
            | {"promised_hours": 48, "last_arrival_at": at(6, 2), "observed_at": at(7, 2)}
            for day, unknown in ((date(2026, 5, 6), 9), (date(2026, 5, 7), 2))
        ],
    )
    put(
        settings,
        "governance.quality_result",
        [
            {"run_id": run, "gate": gate, "dataset": table, "expectation": "1 <= row_count", "is_passed": passed}
            | {"measured_at": moment, "report_page": f"runs/{run}/a.html"}
            for run, gate, table, passed, moment in (
                ("r1", "silver", "ecommerce__list", False, at(6, 2)),
                ("r2", "silver", "ecommerce__list", True, at(6, 20)),
                ("r1m", "marts", "fct_ecommerce_list", False, at(6, 3)),
            )
        ],
    )
    put(
        settings,
        "governance.quarantine_sample",
        [
            {"contract_id": "declarations.declaration", "rule_id": "direction.pattern", "rule_words": "I or E."}
            | {"sample_number": 1, "sampled_at": at(6, 2)}
        ],
    )
    path = str(settings.quarantine("declarations.declaration"))
    contract = load_contract("governance.quarantine")
    rows = [
        {
            "contract_id": "declarations.declaration",
            "batch_id": "b",
            "source_file": "f",
            "source_line": n,
            "rule_ids": "direction.pattern,trader_id.checksum",
            "reason": "r",
            "original": "SECRET",
            "source_system": "single_window",
            "business_date": date(2026, 5, 6),
            "ingested_at": at(6, 2),
        }
        for n in range(3)
    ]
    write_deltalake(path, pa.Table.from_pylist(rows, schema=arrow_schema(contract)), mode="append")


class Built:
    """The platform's home with its datasets, and how building them went."""

    def __init__(self, settings: Settings, empty: Outcome, filled: Outcome) -> None:
        self.settings, self.empty, self.filled = settings, empty, filled

    def rows(self, sql: str) -> list[tuple]:
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Built:
    """Datasets of an own home, copied from what the first of several test processes built."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    first = Settings(home=shared / "datasets")
    outcomes = first.home / "outcomes.json"
    with table_locks(first, ["datasets"], wait=600):
        if not outcomes.exists():
            create_lake(first)
            # unit tests need the relations they stand in for, even empty
            run_dbt(["build", "--exclude-resource-type", "test"], first)
            empty = read_outcome(first)
            fill(first)
            outcomes.write_text(json.dumps([empty.nodes, build(None, first).nodes]))
    own = Settings(home=tmp_path_factory.mktemp("h"))
    shutil.copytree(first.home, own.home, dirs_exist_ok=True)
    return Built(own, *(Outcome(nodes) for nodes in json.loads(outcomes.read_text())))
