"""A small real lake: e-commerce lists, orders and enterprises ingested from landed files, persons with valid
numbers."""

import csv
import random
import shutil
from datetime import date
from pathlib import Path

import pytest

from data_contracts import load_contract, load_layouts
from data_contracts.emit.fixtures import valid_rows
from infra.governance import accounts
from infra.governance.accounts import add_account
from infra.lake.ingest import ingest_feed
from infra.runtime.settings import Settings

DAY = date(2026, 11, 18)
PASSWORD = "correct horse battery"
ID_WEIGHTS = [pow(2, 17 - i, 11) for i in range(17)]


def person(n: int) -> dict[str, str]:
    """Return one invented person: identity number with a right check character, mobile, name, address."""
    body = f"310101{1960 + n % 40}{1 + n % 12:02d}{1 + n % 28:02d}{n % 1000:03d}"
    check = "10X98765432"[sum(int(d) * w for d, w in zip(body, ID_WEIGHTS, strict=True)) % 11]
    name = f"买家{chr(0x4E00 + n)}{chr(0x5200 + n)}"
    return {"id": body + check, "phone": f"138{n:08d}", "name": name, "address": f"Nanjing Road {n}, house of {name}"}


PERSONS = [person(n) for n in range(60)]
CANARY = person(777)


def land(settings: Settings, contract_id: str, rows: list[dict], name: str = "a.csv") -> Path:
    """Write raw rows as their source system would send them."""
    layout = load_layouts()[f"single_window_{contract_id.replace('.', '_')}"]
    fields = layout.table(contract_id).fields
    path = settings.landing / layout.feed / DAY.isoformat() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([theirs for _, theirs in fields])
        writer.writerows([[row.get(ours) or "" for ours, _ in fields] for row in rows])
    return path


def lists(n: int, seed: int = 1) -> list[dict]:
    """Return goods lists in few coarse cohorts; the canary person bought a few."""
    rng = random.Random(seed)
    rows = valid_rows(load_contract("ecommerce.list"), n, seed)
    for number, row in enumerate(rows):
        buyer = CANARY if number % 50 == 0 else PERSONS[number % len(PERSONS)]
        row |= {
            "business_date": DAY.isoformat(),
            "declared_at": f"{DAY}T10:00:00+08:00",
            "buyer_id": buyer["id"],
            "buyer_name": buyer["name"],
            "customs_office_code": ("0100", "5300")[number % 2] if number % 97 else "2200",
            "supervision_mode_code": "9610",
            "total_value": f"{rng.randint(100, 900)}.00",
            "message_seq": str(number),
        }
    return rows


def orders(n: int, seed: int = 2) -> list[dict]:
    rows = valid_rows(load_contract("ecommerce.order"), n, seed)
    for number, row in enumerate(rows):
        buyer = CANARY if number % 50 == 0 else PERSONS[number % len(PERSONS)]
        row |= {
            "buyer_id": buyer["id"],
            "buyer_name": buyer["name"],
            "buyer_phone": buyer["phone"],
            "consignee_name": buyer["name"],
            "consignee_phone": buyer["phone"],
            "consignee_address": buyer["address"],
        }
    return rows


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture(scope="session")
def ingested(tmp_path_factory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("governed") / "home")
    broken = {"agent_code": "X"}
    land(settings, "ecommerce.list", [*lists(400)[:-2], *(row | broken for row in lists(400)[-2:])])
    bad = orders(100)
    bad[50] |= {"agent_code": "X", "platform_code": "?"}
    land(settings, "ecommerce.order", bad)
    for feed in ("ecommerce_list", "ecommerce_order"):
        outcome = ingest_feed(feed, settings=settings)
        assert not outcome.refused, outcome.refused
    for log in settings.lake.rglob("_delta_log"):
        # empty tables would be copied and searched in every test
        if not list(log.parent.rglob("part-*.parquet")):
            shutil.rmtree(log.parent)
    return settings


@pytest.fixture
def lake(ingested, tmp_path) -> Settings:
    """A copy to change: Delta tables hold relative paths only."""
    shutil.copytree(ingested.home, tmp_path / "home")
    return Settings(home=tmp_path / "home")


@pytest.fixture
def people(lake, monkeypatch):
    """{name: account}: rao asks, wang and zhao are stewards, li and sun are security officers."""
    monkeypatch.setattr(accounts, "HASH", "scrypt:1024:8:1")
    roles = {"li": "security", "sun": "security", "wang": "steward", "zhao": "steward", "rao": "requester"}
    made = {}
    for name, role in roles.items():
        made[name] = add_account(lake, name, role, PASSWORD, made.get("li"))
    return made
