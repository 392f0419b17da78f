"""Every rule of every contract where it is enforced: a row with one fault is set aside for just that, all others land.

A fault of a field often breaks a rule of the Single Window besides (a declaration number that is too long has not its
form either). Such rows are from another source, for which that rule does not hold, and come in a file of their own.
"""

from dataclasses import replace

import pyarrow as pa
import pytest

from data_contracts import layout as layouts_of_contracts
from data_contracts import load_contracts, load_layouts
from data_contracts.emit.fixtures import brought, one_fault_rows, to_message, valid_rows
from infra.lake import ingest
from infra.lake.commit import QUARANTINE, write_table
from infra.runtime.errors import DataContractError

pytestmark = pytest.mark.slow

FED = [contract.id for contract in load_contracts().values() if contract.feed]
# the quarantine itself is written by ingest only, by no rule but its types
OWN = [contract.id for contract in load_contracts().values() if not contract.feed and contract.id != QUARANTINE]
# source → name of its file; what is equally new is decided by the file name, and good rows are to stay
FILES = {"single_window": "bad", "elsewhere": "elsewhere"}


@pytest.fixture
def elsewhere(monkeypatch):
    """The layouts of the Single Window once more, for files of another source."""
    native = [one for one in load_layouts().values() if one.source_system == "single_window"]
    copies = [replace(one, id=f"elsewhere_{one.id}", source_system="elsewhere", match="elsewhere*") for one in native]
    both = {one.id: one for one in (*copies, *load_layouts().values())}
    monkeypatch.setattr(layouts_of_contracts, "load_layouts", lambda: both)
    monkeypatch.setattr(ingest, "load_layouts", lambda: both)


def write(lake, contract, rows, name):
    layout = next(
        one for one in load_layouts().values() if one.source_system == "single_window" and contract.id in one.contracts
    )
    if layout.format == "csv":
        lake.land_rows(contract.feed, rows, f"{name}.csv")
    else:
        lake.land_messages(contract.feed, [to_message(contract, row) for row in rows], f"{name}.jsonl")


@pytest.mark.parametrize("contract_id", FED)
def test_each_fault_is_set_aside_for_exactly_its_rule_and_all_other_rows_land(lake, elsewhere, contract_id):
    contract = load_contracts()[contract_id]
    valid = lake.valid(contract_id, 12)
    faults = one_fault_rows(contract)
    assert [rule for rule, _ in faults] == [rule.id for rule in contract.rules]
    severity = {rule.id: rule.severity for rule in contract.rules}
    write(lake, contract, valid, "good")
    sent = {source: [(rule, row) for rule, row in faults if row["source_system"] == source] for source in FILES}
    for source, rows in sent.items():
        if rows:
            write(lake, contract, [row for _, row in rows], FILES[source])
    counts = lake.ingest(contract.feed).tables[contract_id]
    errors = [rule for rule, _ in faults if severity[rule] == "error"]
    warnings = [rule for rule, _ in faults if severity[rule] == "warning"]
    assert (counts.rows_in, counts.quarantined) == (12 + len(faults), len(errors))
    assert counts.rows_in == counts.good + counts.quarantined
    assert counts.reasons == dict.fromkeys(errors, 1)
    assert counts.warnings == dict.fromkeys(warnings, 1)
    for source, rows in sent.items():
        found = dict(lake.quarantined(contract_id, "source_line, rule_ids", f"source_file LIKE '%/{FILES[source]}.%'"))
        wanted = {line: rule for line, (rule, _) in enumerate(rows, 1) if severity[rule] == "error"}
        assert found == wanted
    assert not lake.quarantined(contract_id, "source_line", "source_file LIKE '%good%'")
    assert len(lake.rows(contract_id, "source_line", "source_file LIKE '%good%'")) == len({
        tuple(row[name] for name in contract.key if name in row) for row in valid
    })  # fmt: skip


@pytest.mark.parametrize("contract_id", OWN)
def test_what_the_platform_writes_itself_is_refused_for_each_of_its_rules(lake, contract_id):
    contract = load_contracts()[contract_id]
    names = [f.name for f in brought(contract)]

    def written(rows):
        columns = {name: pa.array([row[name] for row in rows], pa.string()) for name in names}
        return write_table(contract_id, pa.table(columns), mode="append", settings=lake.settings)["rows"]

    refused = {}
    for rule, row in one_fault_rows(contract):
        with pytest.raises(DataContractError) as error:
            written([*valid_rows(contract, 2, seed=9), row])
        refused[rule] = str(error.value)
    assert list(refused) == [rule.id for rule in contract.rules]
    assert {
        rule: words
        for rule, words in refused.items()
        if not words.startswith(f"1 rows for {contract_id} break {rule} (")
    } == {}
    assert not lake.rows(contract_id)
    assert written(valid_rows(contract, 5)) == 5
