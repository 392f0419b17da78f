"""Code lists are dated, complete and free of overlaps."""

import csv
import io
from datetime import date

import pytest

from data_contracts import code_list, load_contracts
from data_contracts.codes import SEEDS, _seed
from data_contracts.emit.reference import reference_csv
from data_contracts.errors import ContractError, UnknownContractError

REFERENCE = [c for c in load_contracts().values() if c.domain == "reference"]


def codes_on(contract_id: str, day: str) -> set[str]:
    return {c.code for c in code_list(contract_id) if c.valid_on(date.fromisoformat(day))}


def test_the_credit_ranks_change_on_the_first_of_april_2026():
    before = {"advanced_certified", "other", "dishonest"}
    after = {"advanced_certified", "certified", "regular", "dishonest", "seriously_dishonest"}
    assert codes_on("reference.credit_rank", "2026-03-31") == before
    assert codes_on("reference.credit_rank", "2026-04-01") == after
    operators = {
        c.code for c in code_list("reference.credit_rank") if c.attribute("isAeo") == "true" and not c.valid_to
    }
    assert operators == {"advanced_certified", "certified"}


def test_an_e_commerce_mode_is_unknown_before_it_was_introduced():
    assert "9810" not in codes_on("reference.supervision_mode", "2020-06-30")
    assert "9810" in codes_on("reference.supervision_mode", "2020-07-01")


@pytest.mark.parametrize("contract", REFERENCE, ids=lambda c: c.id)
def test_every_list_has_the_columns_of_its_contract(contract):
    codes = code_list(contract.id)
    assert codes
    wanted = {f.source_field for f in contract.fields} - {"code", "name", "validFrom", "validTo"}
    assert {name for name, _ in codes[0].attributes} == wanted
    for code in codes:
        for name in wanted:
            if next(f for f in contract.fields if f.source_field == name).required:
                assert code.attribute(name), f"{contract.id} {code.code}: {name}"


@pytest.mark.parametrize("contract", REFERENCE, ids=lambda c: c.id)
def test_every_list_obeys_its_own_contract(contract, judge):
    ours = {f.source_field: f.name for f in contract.sourced}
    rows = [
        {"source_system": "single_window"} | {ours[theirs]: value or None for theirs, value in row.items()}
        for row in csv.DictReader(io.StringIO(reference_csv(contract, date(2026, 11, 20))))
    ]
    assert {
        (r["code"], tuple(broken)) for r, broken in zip(rows, judge(contract, rows), strict=True) if broken
    } == set()


def test_lists_have_substance():
    assert len(codes_on("reference.hs_code", "2026-01-01")) > 5500
    assert len({c[:2] for c in codes_on("reference.hs_code", "2026-01-01")}) == 96
    assert len(codes_on("reference.country", "2026-01-01")) == 249
    assert all(c.attribute("region") for c in code_list("reference.country"))
    assert len({c[:2] for c in codes_on("reference.customs_office", "2026-01-01")}) == 42
    assert len(codes_on("reference.supervision_mode", "2026-01-01")) >= 20
    assert {"800", "500", "100"} <= codes_on("reference.receipt_status", "2026-01-01")


def test_the_office_of_a_code_is_in_its_district():
    for code in code_list("reference.customs_office"):
        assert code.attribute("district") == code.code[:2]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("x,2020-13-01,,Name", "entry 1"),
        ("x,2020-01-01,soon,Name", "entry 1"),
    ],
)
def test_a_wrong_entry_is_refused(tmp_path, lines, words):
    (tmp_path / "finding_type.csv").write_text(f"code,validFrom,validTo,name\n{lines}\n", encoding="utf-8")
    with pytest.raises(ContractError, match=words):
        _seed("finding_type", tmp_path)


def test_two_entries_of_a_code_may_not_overlap(tmp_path, monkeypatch):
    from data_contracts import codes

    assert "finding_type" in SEEDS
    text = "code,validFrom,validTo,name\nx,2020-01-01,,One\nx,2021-01-01,,Two\n"
    (tmp_path / "finding_type.csv").write_text(text, encoding="utf-8")
    monkeypatch.setattr(codes, "ROOT", tmp_path)
    with pytest.raises(ContractError, match="code x has two entries valid at once"):
        codes.code_list.__wrapped__("reference.finding_type")


def test_an_unknown_list_is_answered_with_the_known_ones():
    with pytest.raises(UnknownContractError, match=r"reference\.hs_code"):
        code_list("reference.colour")
