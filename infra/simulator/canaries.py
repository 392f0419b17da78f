"""Canaries: a few known persons and restricted values put into the feeds, so that a leak of them can be searched for.

They are the same in every run, keep every rule of the contracts, and look like nothing the rest of the world makes: a
place of birth where nobody else is from, names of another kind, amounts with digits of their own. The truth folder
lists them; who looks for leaks reads it there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.simulator.identifiers import identity_cards

_HOME = 460106  # a district of Haikou: the simulated people are born elsewhere
_CARDS = identity_cards(
    np.full(4, _HOME), np.array([19840312, 19901105, 19770623, 19690418]), np.array([101, 102, 103, 104])
).to_pylist()


@dataclass(frozen=True)
class Person:
    """A buyer who does not exist."""

    id: str
    name: str
    phone: str
    address: str


BUYERS = tuple(
    Person(card, f"金丝雀{mark}", f"1991234000{n}", f"海口市龙华区金丝雀路{1000 + n}号")
    for n, (card, mark) in enumerate(zip(_CARDS, "甲乙丙", strict=False), 1)
)
LEGAL_PERSON, CONTACT_PHONE = _CARDS[3], "19912340009"
DEBT_RATIO = 0.4807526976
PENALTY = 8153942.67
OVERSEAS_PARTY = "JPCANARY01"
NOTE = "canary: seal 77-0419 found broken at the quay"
OFFICER = "0000-C01"

# feed -> field -> attribute of the buyer
_OF_BUYER = {
    "ecommerce_order": {
        "buyer_id": "id",
        "buyer_name": "name",
        "buyer_phone": "phone",
        "consignee_name": "name",
        "consignee_phone": "phone",
        "consignee_address": "address",
    },
    "ecommerce_payment": {"payer_id": "id", "payer_name": "name"},
    "ecommerce_waybill": {"consignee_name": "name", "consignee_phone": "phone", "consignee_address": "address"},
    "ecommerce_list": {"buyer_id": "id", "buyer_name": "name"},
}
# feed -> field -> value, in the first message of a period
_OF_MESSAGE = {
    "declarations": {"overseas_party_id": OVERSEAS_PARTY},
    "receipts": {"note": NOTE},
    "inspections": {"officer_id": OFFICER},
}
# feed -> contract of the messages
_CONTRACT = {
    "ecommerce_order": "ecommerce.order",
    "ecommerce_payment": "ecommerce.payment",
    "ecommerce_waybill": "ecommerce.waybill",
    "ecommerce_list": "ecommerce.list",
    "declarations": "declarations.declaration",
    "receipts": "declarations.declaration_event",
    "inspections": "inspections.inspection",
}


def plant(made: dict[str, Any]) -> None:
    """Put the canaries into the first messages of a chunk: one honest order per buyer, with all that belongs to it.

    Args:
        made: what a source made, {feed: (values, …)}; changed in place.
    """
    if "ecommerce_order" in made:
        cases = made["truth"].column("order_no")
        numbers = made["ecommerce_order"][0]["order_no"]
        honest = numbers.filter(pc.invert(pc.is_in(numbers, value_set=cases.combine_chunks())))
        for buyer, number in zip(BUYERS, honest[: len(BUYERS)], strict=False):
            for feed, fields in _OF_BUYER.items():
                values = made[feed][0]
                rows = np.flatnonzero(pc.equal(values["order_no"], number).to_numpy(zero_copy_only=False))
                for field, attribute in fields.items():
                    values[field] = _with(values[field], rows, getattr(buyer, attribute))
    for feed, fields in _OF_MESSAGE.items():
        if feed in made and len(made[feed][-1]):
            values = made[feed][0]
            for field, value in fields.items():
                values[field] = _with(values[field], np.array([0]), value)


def plant_in_register(values: dict[str, Any], of_first: np.ndarray) -> None:
    """Give one enterprise the canary legal person, telephone and debt ratio.

    Args:
        values: columns of the register's messages; changed in place.
        of_first: positions of the messages of that enterprise.
    """
    for field, value in (("legal_person_id", LEGAL_PERSON), ("contact_phone", CONTACT_PHONE)):
        values[field] = _with(values[field], of_first, value)
    values["debt_ratio"] = values["debt_ratio"].copy()
    values["debt_ratio"][of_first] = DEBT_RATIO


def plant_in_credit_record(values: dict[str, Any]) -> None:
    """Give the first penalty with an amount the canary amount."""
    rows = np.flatnonzero(pc.is_valid(values["amount"]).to_numpy(zero_copy_only=False))[:1]
    values["amount"] = _with(values["amount"], rows, PENALTY)


def listed() -> pa.Table:
    """Return where each canary was put: contract, field, value as text."""
    rows = [
        (_CONTRACT[feed], field, getattr(buyer, attribute))
        for feed, fields in _OF_BUYER.items()
        for field, attribute in fields.items()
        for buyer in BUYERS
    ]
    rows += [(_CONTRACT[feed], field, value) for feed, fields in _OF_MESSAGE.items() for field, value in fields.items()]
    rows += [
        ("enterprises.enterprise", "legal_person_id", LEGAL_PERSON),
        ("enterprises.enterprise", "contact_phone", CONTACT_PHONE),
        ("enterprises.enterprise", "debt_ratio", str(DEBT_RATIO)),
        ("enterprises.credit_event", "amount", str(PENALTY)),
    ]
    return pa.table(dict(zip(("contract", "field", "value"), map(list, zip(*rows, strict=True)), strict=True)))


def _with(column: Any, rows: np.ndarray, value: Any) -> pa.Array:
    array = column if isinstance(column, pa.Array) else pa.array(column)
    mask = np.zeros(len(array), dtype=bool)
    mask[rows] = True
    return pc.if_else(pa.array(mask), pa.scalar(value, array.type), array)
