"""Contracts are refused for every kind of mistake, with a sentence that names the place and the remedy."""

import copy
from pathlib import Path

import pytest

from data_contracts.errors import ContractError, UnknownContractError
from data_contracts.loader import ROOT, check_agreement, load_contract, load_contracts, parse_contract, read_yaml

DECLARATION = ROOT / "declarations" / "declaration.odcs.yaml"


@pytest.fixture
def document() -> dict:
    return copy.deepcopy(read_yaml(DECLARATION))


def field_of(document: dict, name: str) -> dict:
    return next(p for p in document["schema"][0]["properties"] if p["name"] == name)


def set_property(entry: dict, name: str, value: object) -> None:
    for item in entry["customProperties"]:
        if item["property"] == name:
            item["value"] = value
            return
    entry["customProperties"].append({"property": name, "value": value})


def drop_property(entry: dict, name: str) -> None:
    entry["customProperties"] = [p for p in entry["customProperties"] if p["property"] != name]


def refuse(document: dict, *words: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_contract(document, "declarations/declaration.odcs.yaml")
    message = str(caught.value)
    assert message.startswith("declarations/declaration.odcs.yaml")
    for word in words:
        assert word in message
    assert caught.value.exit_code == 3


def test_all_contracts_load_and_every_table_is_keyed_and_graded():
    contracts = load_contracts()
    assert len(contracts) == len(list(ROOT.glob("*/*.odcs.yaml")))
    for contract in contracts.values():
        assert contract.key
        assert contract.table == contract.id.replace(".", "__")
        assert all(f.grade in ("L1", "L2", "L3", "L4") for f in contract.columns)
        assert (contract.record_fields != ()) == (contract.feed is not None)


def test_personal_information_is_pseudonymised_in_every_fed_contract():
    for contract in load_contracts().values():
        for f in contract.fields:
            if contract.feed and f.personal_information != "none":
                assert f.mask == "hmac", f"{contract.id}.{f.name} would be stored in clear"


@pytest.mark.parametrize(("right", "wrong"), [("classification", "clasification"), ("required", "requird")])
def test_a_misspelled_key_is_refused_by_the_standards_schema(document, right, wrong):
    entry = field_of(document, "declaration_no")
    entry[wrong] = entry.pop(right)
    refuse(document, wrong, "ODCS v3.1.0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.update(classification="L5"), ("declaration_no", "grade", "L5", "L4")),
        (lambda f: f.update(classification="core"), ("declaration_no", "core", "may not hold", "take the field out")),
        (lambda f: f.update(classification="机密"), ("declaration_no", "state secret", "may not")),
        (lambda f: set_property(f, "important", True), ("declaration_no", "important", "L4")),
        (lambda f: set_property(f, "important", "yes"), ("declaration_no", "important", "yes")),
        (lambda f: set_property(f, "since", "1.0.0"), ("declaration_no", "since 1.0.0", "required")),
        (lambda f: set_property(f, "since", "99.0.0"), ("declaration_no", "since 99.0.0", "no version")),
        (lambda f: f.pop("classification"), ("declaration_no", "grade", "None")),
        (lambda f: f.update(physicalType="TEXT"), ("declaration_no", "physicalType", "TEXT", "VARCHAR")),
        (lambda f: f.update(physicalType="DECIMAL(39,2)"), ("declaration_no", "DECIMAL(39,2)", "38")),
        (
            lambda f: (f.pop("logicalTypeOptions"), f.update(logicalType="integer")),
            ("declaration_no", "logicalType", "VARCHAR"),
        ),
        (lambda f: f.update(logicalType="strng"), ("declaration_no", "logicalType", "strng", "number", "boolean")),
        (lambda f: f.update(required="yes"), ("declaration_no", "required", "yes", "boolean")),
        (lambda f: set_property(f, "category", "clearing"), ("category", "clearing", "entry_clearance")),
        (lambda f: set_property(f, "mask", "hash"), ("mask", "hash", "hmac")),
        (lambda f: set_property(f, "mask", "hmac"), ("mask hmac", "purpose")),
        (lambda f: set_property(f, "sharingType", "public"), ("sharingType", "public", "unconditional")),
        (lambda f: set_property(f, "personalInformation", "yes"), ("personalInformation", "yes", "sensitive")),
        (lambda f: set_property(f, "personalInformation", "general"), ("personal information", "L3")),
        (lambda f: set_property(f, "personalInformation", "sensitive"), ("sensitive", "L4")),
        (lambda f: set_property(f, "sourceFeild", "x"), ("customProperty", "sourceFeild", "sourceField")),
        (lambda f: f["customProperties"].append({"property": "mask", "value": "none"}), ("mask", "twice")),
        (lambda f: drop_property(f, "sharingType"), ("sharingType", "missing")),
        (lambda f: drop_property(f, "sourceField"), ("sourceField or a derivation",)),
        (lambda f: set_property(f, "derivation", "direction"), ("derived or read",)),
        (lambda f: f.update(logicalTypeOptions={"pattern": "[0-9]+"}), ("not anchored",)),
        (lambda f: f.update(logicalTypeOptions={"pattern": r"^\d+$"}), ("backslash",)),
        (lambda f: f.update(logicalTypeOptions={"pattern": "^[0-9$"}), ("regular expression",)),
        (lambda f: f.update(logicalTypeOptions={"minimum": 3}), ("minimum",)),
        (lambda f: f.update(required=False), ("key and partition fields are required",)),
        (lambda f: f.update(primaryKeyPosition=2), ("without a gap",)),
        (lambda f: set_property(f, "codeDay", "declared_on"), ("codeList",)),
    ],
)
def test_a_wrong_field_is_refused(document, change, words):
    change(field_of(document, "declaration_no"))
    refuse(document, *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda q: q["implementation"].update(kind="regex"), ("rule kind", "regex", "expression")),
        (lambda q: q["implementation"].update(sqll="x"), ("implementation key", "sqll")),
        (lambda q: q["implementation"].update(sql="no_such_field > 1"), ("no_such_field", "no field")),
        (lambda q: q["implementation"].update(sql="declared_on >="), ("does not parse",)),
        (lambda q: q.update(severity="fatal"), ("severity", "fatal", "warning")),
        (lambda q: q.update(dimension="beauty"), ("beauty",)),
        (lambda q: q.update(name="direction.pattern"), ("direction.pattern", "twice")),
        (lambda q: q.update(engine="soda"), ("engine customs",)),
    ],
)
def test_a_wrong_rule_is_refused(document, change, words):
    change(document["schema"][0]["quality"][0])
    refuse(document, *words)


def test_a_required_field_may_not_be_derived_from_an_optional_one(document):
    set_property(field_of(document, "declared_month"), "derivation", "CAST(date_trunc('month', arrived_at) AS DATE)")
    refuse(document, "declared_month", "required")


def test_another_version_of_the_standard_is_refused(document):
    document["apiVersion"] = "v3.0.2"
    refuse(document, "v3.1.0")


def test_a_field_name_means_the_same_in_every_contract(document):
    contract = parse_contract(document, "declarations/declaration.odcs.yaml")
    field_of(document, "net_mass_kg")["physicalType"] = "DECIMAL(18,2)"
    other = parse_contract(document, "declarations/other.odcs.yaml")
    with pytest.raises(ContractError, match=r"net_mass_kg: physical_type is DECIMAL\(18,2\) here and DECIMAL\(18,3\)"):
        check_agreement({"a": contract, "b": other})


def test_an_unknown_contract_is_answered_with_near_names():
    with pytest.raises(UnknownContractError, match=r"declarations\.declaration") as caught:
        load_contract("declarations.declaratoin")
    assert caught.value.exit_code == 2


def test_unreadable_yaml_names_the_file(tmp_path: Path):
    path = tmp_path / "broken.odcs.yaml"
    path.write_text("a: [1", encoding="utf-8")
    with pytest.raises(ContractError, match=r"broken\.odcs\.yaml"):
        read_yaml(path)
