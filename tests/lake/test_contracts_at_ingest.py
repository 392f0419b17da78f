"""Every contract through the real ingest: valid rows land, each one-fault row is set aside for exactly its rule."""

import pytest

from data_contracts import load_contracts, load_layouts
from data_contracts.emit.fixtures import one_fault_rows, to_message

FED = [contract.id for contract in load_contracts().values() if contract.feed]


def write(lake, contract, rows, name):
    layout = next(
        one for one in load_layouts().values() if one.source_system == "single_window" and contract.id in one.contracts
    )
    if layout.format == "csv":
        lake.land_rows(contract.feed, rows, f"{name}.csv")
    else:
        lake.land_messages(contract.feed, [to_message(contract, row) for row in rows], f"{name}.jsonl")


@pytest.mark.parametrize("contract_id", FED)
def test_valid_rows_land_and_each_fault_is_set_aside_for_its_rule(lake, contract_id):
    contract = load_contracts()[contract_id]
    valid = lake.valid(contract_id, 12)
    faults = one_fault_rows(contract)
    severity = {rule.id: rule.severity for rule in contract.rules}
    write(lake, contract, valid, "good")
    write(lake, contract, [row for _, row in faults], "bad")
    counts = lake.ingest(contract.feed).tables[contract_id]
    expected = [rule for rule, _ in faults if severity[rule] == "error"]
    assert counts.rows_in == 12 + len(faults)
    assert counts.rows_in == counts.good + counts.quarantined
    found = lake.quarantined(contract_id, "source_line, rule_ids", "source_file LIKE '%bad%'")
    named = {line: rules.split(",") for line, rules in found}
    for line, (rule, row) in enumerate(faults, 1):
        if severity[rule] == "error":
            # a row made for another source can break Single Window rules besides its own
            assert rule in named[line], (rule, named.get(line))
            if row["source_system"] == "single_window":
                assert len(named[line]) == 1, named[line]
        else:
            assert rule in counts.warnings
    assert counts.quarantined >= len(expected)
    assert len(lake.rows(contract_id, "source_line", "source_file LIKE '%good%'")) == len({
        tuple(row[name] for name in contract.key if name in row) for row in valid
    })  # fmt: skip
