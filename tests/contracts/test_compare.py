"""Changes of a contract are called by their name: additive, breaking or words only."""

import copy
from dataclasses import replace

import pytest

from data_contracts import load_contract
from data_contracts.compare import compare
from data_contracts.loader import ROOT, parse_contract, read_yaml

DOCUMENT = read_yaml(ROOT / "declarations" / "declaration.odcs.yaml")


def load(document: dict):
    return parse_contract(document, "declarations/declaration.odcs.yaml")


def field_of(document: dict, name: str) -> dict:
    return next(p for p in document["schema"][0]["properties"] if p["name"] == name)


def verdict(change, version: str = "1.1.0"):
    document = copy.deepcopy(DOCUMENT)
    document["version"] = "1.1.0"
    old = load(document)
    change(document)
    document["version"] = version
    (found,) = compare({old.id: old}, {old.id: load(document)})
    return found


def new_field(required: bool, since: str | None = None):
    def change(document: dict) -> None:
        field = copy.deepcopy(field_of(document, "bill_no"))
        field.update(name="seal_no", required=required)
        if since:
            field["customProperties"].append({"property": "since", "value": since})
        next(p for p in field["customProperties"] if p["property"] == "sourceField")["value"] = "sealNo"
        document["schema"][0]["properties"].append(field)

    return change


def set_property(name: str, prop: str, value: str):
    def change(document: dict) -> None:
        next(p for p in field_of(document, name)["customProperties"] if p["property"] == prop)["value"] = value

    return change


QUALITY = DOCUMENT["schema"][0]["quality"]
CASES = [
    ("a new optional field", new_field(False, "1.1.0"), "additive"),
    ("a new field old files are refused for", new_field(False), "breaking"),
    ("a new required field", new_field(True), "breaking"),
    ("a field removed", lambda d: d["schema"][0]["properties"].remove(field_of(d, "bill_no")), "breaking"),
    ("a type", lambda d: field_of(d, "net_mass_kg").update(physicalType="DECIMAL(20,3)"), "breaking"),
    ("now required", lambda d: field_of(d, "bill_no").update(required=True), "breaking"),
    ("a grade", lambda d: field_of(d, "bill_no").update(classification="L3"), "breaking"),
    ("a source field", set_property("bill_no", "sourceField", "blNo"), "breaking"),
    ("a unit", set_property("net_mass_kg", "unit", "t"), "breaking"),
    ("a narrower range", lambda d: field_of(d, "item_count")["logicalTypeOptions"].update(maximum=20), "breaking"),
    (
        "a rule's SQL",
        lambda d: d["schema"][0]["quality"][0]["implementation"].update(sql="direction = 'I'"),
        "breaking",
    ),
    ("a rule becomes an error", lambda d: d["schema"][0]["quality"][4].update(severity="error"), "breaking"),
    ("a rule becomes a warning", lambda d: d["schema"][0]["quality"][0].update(severity="warning"), "additive"),
    ("a rule removed", lambda d: d["schema"][0]["quality"].pop(0), "additive"),
    ("a description", lambda d: field_of(d, "bill_no").update(description="Bill."), "editorial"),
]


@pytest.mark.parametrize(("change", "kind"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_change_has_its_kind(change, kind):
    assert QUALITY[4]["severity"] == "warning"
    assert verdict(change).kind == kind


def test_a_breaking_change_needs_a_major_version():
    change = {name: c for name, c, _ in CASES}["a field removed"]
    assert not verdict(change).is_honest
    assert not verdict(change, "1.9.0").is_honest
    assert verdict(change, "2.0.0").is_honest


def test_an_additive_change_needs_a_minor_version_and_words_need_none():
    assert not verdict(new_field(False, "1.1.0")).is_honest
    assert not verdict(new_field(False, "1.1.0"), "1.1.1").is_honest
    assert verdict(new_field(False, "1.1.0"), "1.2.0").is_honest
    assert verdict(CASES[-1][1]).is_honest


def test_tables_come_and_go():
    contract = load(copy.deepcopy(DOCUMENT))
    (added,) = compare({}, {contract.id: contract})
    (removed,) = compare({contract.id: contract}, {})
    assert (added.kind, added.is_honest) == ("additive", True)
    assert (removed.kind, removed.is_honest) == ("breaking", False)
    assert compare({contract.id: contract}, {contract.id: contract}) == []


@pytest.mark.parametrize(
    ("contract_id", "field", "mask", "kind"),
    [
        # a clear telephone number in silver
        ("ecommerce.order", "buyer_phone", "none", "breaking"),
        ("ecommerce.order", "buyer_phone", "redact", "breaking"),
        # analysts saw [redacted]
        ("declarations.declaration_event", "note", "none", "breaking"),
        ("declarations.declaration_event", "note", "first_char", "breaking"),
        # public values are clear for every role, whatever the mask
        ("ecommerce.order", "currency_code", "redact", "editorial"),
    ],
)
def test_a_mask_is_judged_by_what_somebody_sees(contract_id, field, mask, kind):
    old = load_contract(contract_id)
    fields = tuple(replace(f, mask=mask) if f.name == field else f for f in old.fields)
    (found,) = compare({old.id: old}, {old.id: replace(old, fields=fields)})
    assert found.kind == kind
    assert any(f"field {field}: mask" in change.what for change in found.changes)
