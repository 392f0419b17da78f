"""CI's gate: what was released changes only as the version says. The baseline is a file: a shallow clone will do."""

import copy
import json
import shutil

import pytest

from data_contracts import released
from data_contracts.compare import compare
from data_contracts.errors import ContractError
from data_contracts.loader import ROOT, load_contracts, parse_contract, read_yaml
from data_contracts.released import FILE, release, released_contracts, released_text, silent, since_release

HEAD = "declarations.declaration"


def test_no_promise_is_broken_without_a_major_version():
    broken = {one.contract: [c.what for c in one.changes if c.kind == "breaking"] for one in silent(since_release())}
    assert not broken, "raise the major version of these contracts, or take the change back"


def test_the_released_state_reads_back_as_the_contracts_it_was_made_of(tmp_path):
    contracts = load_contracts()
    (tmp_path / FILE).write_text(released_text(contracts.values()), encoding="utf-8")
    again = released_contracts(tmp_path)
    assert compare(again, contracts) == []
    assert {c.id: c.fields for c in again.values()} == {c.id: c.fields for c in contracts.values()}
    assert set(released_contracts()) <= set(contracts) | {one.contract for one in since_release()}


@pytest.fixture
def changed(monkeypatch, tmp_path):
    """A release of the contracts in use, and a declaration that lost a field since."""
    document = copy.deepcopy(read_yaml(ROOT / "declarations" / "declaration.odcs.yaml"))
    fields = document["schema"][0]["properties"]
    fields.remove(next(f for f in fields if f["name"] == "bill_no"))
    (tmp_path / FILE).write_text(released_text(load_contracts().values()), encoding="utf-8")
    base = dict(load_contracts())

    def at(version):
        document["version"] = version
        contracts = base | {HEAD: parse_contract(document, "declarations/declaration.odcs.yaml")}
        monkeypatch.setattr(released, "load_contracts", lambda: contracts)
        monkeypatch.setattr(released, "released_contracts", released_contracts)
        before = released_contracts(tmp_path)
        monkeypatch.setattr(released, "since_release", lambda: compare(before, contracts))
        return tmp_path

    return at


def test_a_removed_field_is_caught_and_cannot_be_released(changed):
    root = changed(load_contracts()[HEAD].version)
    (one,) = silent(released.since_release())
    assert (one.contract, one.changes[0].what) == (HEAD, "field bill_no: removed")
    before = (root / FILE).read_text(encoding="utf-8")
    with pytest.raises(ContractError, match=r"declarations\.declaration \(breaking, .*raise 'version'"):
        release(root)
    assert (root / FILE).read_text(encoding="utf-8") == before


def test_a_major_version_says_it(changed):
    root = changed("9.0.0")
    assert silent(released.since_release()) == []
    release(root)
    assert json.loads((root / FILE).read_text(encoding="utf-8"))[HEAD]["version"] == "9.0.0"


def test_a_baseline_that_was_lost_or_edited_is_named(tmp_path):
    with pytest.raises(ContractError, match="restore it from the last release"):
        released_contracts(tmp_path)
    shutil.copy(ROOT / FILE, tmp_path / FILE)
    text = (tmp_path / FILE).read_text(encoding="utf-8").replace('"grade"', '"garde"', 1)
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match="restore it from the last release"):
        released_contracts(tmp_path)
