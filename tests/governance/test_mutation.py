"""Whoever weakens a contract is noticed: a sample of all ways here, all of them with `customs governance mutate`."""

import json
from contextlib import ExitStack

import pytest
from typer.testing import CliRunner

from data_contracts import load_contracts
from data_contracts.compare import compare
from data_contracts.emit import fixtures
from data_contracts.errors import ContractError
from infra.governance.assurance import mutation
from infra.governance.governance_cli import app

pytestmark = pytest.mark.slow


def silent(_: str) -> None:
    pass


def named(*names: str) -> list[mutation.Mutant]:
    known = {one.name: one for one in mutation.mutants()}
    return [known[name] for name in names]


def test_every_rule_grade_and_mask_has_its_mutant():
    names = [one.name for one in mutation.mutants()]
    assert len(names) == len(set(names))
    contracts = load_contracts().values()
    assert {name for name in names if name.endswith(" removed")} == {
        f"rule {c.id} {r.id} removed" for c in contracts for r in c.rules
    }
    lowered = {name.split(" ")[1] for name in names if name.startswith("grade ")}
    record = next(c for c in contracts if c.feed).record_fields
    assert lowered == {f"{c.id}.{f.name}" for c in contracts for f in c.fields if f.grade > "L1"} | {
        f"record_fields.{f.name}" for f in record if f.grade > "L1"
    }
    dropped = {name.split(" ")[1] for name in names if name.endswith(" dropped")}
    assert dropped == {f"{c.id}.{f.name}" for c in contracts for f in c.fields if f.mask != "none"}


def test_a_sample_of_the_mutants_is_noticed(settings):
    found = mutation.measure(settings, silent, sample=120)
    assert found.survivors == ()
    assert (found.killed, found.total) == (120, 120)
    assert found.known == len(list(mutation.mutants()))
    assert set(found.kinds) == {"rule", "grade", "mask"}
    assert not settings.home.exists()


def test_each_way_is_noticed_for_its_own_reason(settings):
    wanted = {
        "rule declarations.declaration trader_id.checksum removed": "its fault row is no longer set aside",
        "rule ecommerce.order actual_paid.range removed": "its fault row is no longer set aside",
        "rule declarations.declaration declaration_no.required removed": "refused",
        "rule governance.batch rows_in.range removed": "its fault row is no longer set aside",
        "rule inspections.inspection finished_at.after_start a warning": "its fault row is no longer set aside",
        "grade ecommerce.order.goods_value L3 → L2": "has another form for analyst",
        "grade ecommerce.order.order_no L2 → L1": "refused",
        "grade ecommerce.order.order_no L2 → L1 with all that must agree": "has another form for manager, recipient",
        "grade ecommerce.order.buyer_id L4 → L3 with all that must agree": "has another form for steward",
        "grade inspections.selection.is_selected L3 → L2": "has another form for party",
        "grade record_fields.source_file L2 → L1": "refused",
        "grade record_fields.source_file L2 → L1 with all that must agree": "has another form for manager",
        "mask ecommerce.order.buyer_phone hmac dropped": "silver holds buyer_phone in clear",
        "mask ecommerce.order.buyer_id hmac → redact": "silver holds buyer_id in clear",
        "mask ecommerce.order.buyer_id hmac dropped": "refused",
        "mask declarations.declaration_event.note redact dropped": "has another form for analyst",
        "mask ecommerce.order.goods_value bucket dropped": "refused",
    }
    known = {one.name: one for one in mutation.mutants()}
    with ExitStack() as held:
        bench = mutation._Bench(settings, held)
        reasons = {name: bench.noticed(known[name]) if name in known else "no such mutant" for name in wanted}
    assert {name: reason for name, reason in reasons.items() if wanted[name] not in str(reason)} == {}


def test_a_rule_that_never_fires_and_an_emitter_that_ignores_the_contract_are_found(settings, monkeypatch):
    """The measure itself: what is not enforced survives."""
    (removed,) = named("rule ecommerce.order freight.range removed")
    (lowered,) = named("grade ecommerce.payment.paid_at L2 → L1 with all that must agree")
    monkeypatch.setitem(fixtures._FAULTS, ("ecommerce.order", "freight.range"), {"freight": "1"})
    monkeypatch.setattr(mutation, "column_expression", lambda column, *_, **__: f'"{column.name}"')
    monkeypatch.setattr(mutation, "_share", lambda *_: [])
    with ExitStack() as held:
        bench = mutation._Bench(settings, held)
        assert bench.noticed(removed) is None
        assert bench.noticed(lowered) is None
    monkeypatch.undo()
    monkeypatch.setattr(mutation, "mutants", lambda: iter([removed]))
    monkeypatch.setitem(fixtures._FAULTS, ("ecommerce.order", "freight.range"), {"freight": "1"})
    outcome = CliRunner().invoke(app, ["mutate", "--json"])
    assert json.loads(outcome.stdout)["survivors"] == [removed.name]
    assert "1 of 1 weakened contracts go unnoticed" in str(outcome.exception)
    assert "rule ecommerce.order freight.range removed" in mutation.measure(settings, silent).sentences[0]


def test_whatever_the_check_lets_pass_needs_a_new_version(settings):
    """`customs contracts diff` calls every lowered grade, dropped mask and removed error rule by its name."""
    passed = 0
    with ExitStack() as held:
        bench = mutation._Bench(settings, held)
        for mutant in list(mutation.mutants())[::5]:
            if mutant.rule is not None and mutant.rule.severity == "warning":
                continue
            try:
                changed = bench.load(mutant)
            except ContractError:
                continue
            verdicts = compare({one: bench.contracts[one] for one in changed}, changed)
            assert verdicts, mutant.name
            assert not any(one.is_honest for one in verdicts if one.contract == mutant.contract), mutant.name
            if mutant.kind != "rule":
                assert all(one.kind == "breaking" for one in verdicts), mutant.name
            passed += 1
    assert passed > 100
