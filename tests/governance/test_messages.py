"""Messages: each railway, port and enterprise is told of its own rows only, in columns it may have, once."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from data_contracts import load_contract
from data_contracts.emit.fixtures import to_message, valid_rows, valid_uscc
from data_contracts.errors import ContractError
from data_contracts.loader import ROOT
from data_contracts.policy import _message, load_policy
from infra.governance import messages
from infra.lake.ingest import ingest_feed
from infra.runtime import audit
from infra.runtime.settings import Settings

OWN, OTHER = (valid_uscc(random.Random(n)) for n in (1, 2))
# values no message may hold: what chose the wagon and the lane are of grade L3
SECRET_LANE, SECRET_CHOICE = "random", "rule"


@pytest.fixture
def lake(tmp_path):
    """Two consignments of two enterprises at two stations, each inspected, one of them through the port."""
    settings = Settings(home=tmp_path / "home", duckdb_threads=1, duckdb_memory_limit="1GB")
    for number, (owner, station, kind) in enumerate(((OWN, "CN01", "railway"), (OTHER, "CN02", "port"))):
        land(settings, "rail.manifest", number, waybill_no=f"RWB{number}", consignee_id=owner, station_code=station)
        land(settings, "rail.instruction", number, instruction_id=f"IN-{number}", waybill_no=f"RWB{number}",
             consignee_id=owner, station_code=station, recipient_kind=kind, selected_by=SECRET_CHOICE)  # fmt: skip
        land(settings, "rail.instruction_result", number, event_id=f"IN-{number}/result", instruction_id=f"IN-{number}",
             station_code=station, outcome_code="abnormal")  # fmt: skip
        for step, status, previous in (("M4", "assessed", "accepted"), ("M11", "pickup_allowed", "inspected")):
            lane = SECRET_LANE if step == "M4" else None
            land(settings, "rail.milestone", number, event_id=f"RWB{number}/{step}", subject_kind="consignment",
                 subject_id=f"RWB{number}", step_code=step, step_status=status, previous_status=previous,
                 station_code=station, lane_code=lane, decision_code="inspect" if lane else None,
                 deadline_at=None)  # fmt: skip
    ingest(settings)
    return settings


def land(settings, contract_id, number, name="a", **changes):
    contract = load_contract(contract_id)
    row = valid_rows(contract, number + 1)[number] | changes
    path = settings.landing / contract.feed / "2026-04-30" / f"{name}{number}{changes.get('step_code', '')}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(to_message(contract, row)) + "\n")


def ingest(settings):
    for feed in ("rail_manifests", "rail_instructions", "rail_instruction_results", "rail_milestones"):
        outcome = ingest_feed(feed, settings=settings, wait=0)
        assert not sum(table.quarantined for table in outcome.tables.values()), outcome.tables


def told(settings):
    """Return {recipient: [(number, table, key)]} of the outboxes as they lie on disk."""
    found = {}
    for path in sorted(settings.outbox.glob("[!.]*/*/*.jsonl")):
        for line in path.read_text().splitlines():
            one = json.loads(line)
            key = load_contract(one["table"]).key[0]
            found.setdefault("/".join(path.parts[-3:-1]), []).append((int(path.stem), one["table"], one["row"][key]))
    return {who: sorted(lines) for who, lines in found.items()}


EXPECTED = {
    "railway/CN01": [(1, "rail.instruction", "IN-0"), (1, "rail.milestone", "RWB0/M11")],
    "railway/CN02": [(1, "rail.milestone", "RWB1/M11")],
    "port/CN01": [(1, "rail.milestone", "RWB0/M11")],
    "port/CN02": [(1, "rail.instruction", "IN-1"), (1, "rail.milestone", "RWB1/M11")],
    **{
        f"enterprise/{owner}": [
            (1, "rail.instruction", f"IN-{n}"),
            (1, "rail.instruction_result", f"IN-{n}/result"),
            (1, "rail.milestone", f"RWB{n}/M11"),
        ]
        for n, owner in enumerate((OWN, OTHER))
    },
}


def test_each_recipient_gets_what_concerns_it_and_nothing_else(lake):
    done = messages.send(lake)
    assert told(lake) == EXPECTED
    assert (done.files, done.rows, done.recipients) == (6, 12, {"railway": 2, "port": 2, "enterprise": 2})
    assert not list(lake.outbox.glob(".drafts"))


def test_no_outbox_holds_a_column_above_its_grade_or_the_row_of_another(lake):
    """Every line is looked at for columns, and every byte for the values of other owners and of the risk assessment."""
    messages.send(lake)
    policy = load_policy()
    for path in lake.outbox.rglob("*.jsonl"):
        content = path.read_text()
        for line in map(json.loads, content.splitlines()):
            contract = load_contract(line["table"])
            for name in line["row"]:
                column = contract.field(name)
                assert policy.form(column.grade, "party", column.personal_information) == "clear", (
                    f"{contract.id}.{name}"
                )
                assert column.grade <= "L2"
                assert column.sharing_type != "none"
        number = 0 if {"CN01", OWN} & set(path.parts) else 1
        assert f"RWB{1 - number}" not in content
        assert f"IN-{1 - number}" not in content
        for secret in ("selected_by", "lane_code", f'"{SECRET_LANE}"', f'"{SECRET_CHOICE}"', (OTHER, OWN)[number]):
            assert secret not in content


def test_what_the_policy_takes_away_leaves_the_messages_and_masks_are_applied():
    """The policy decides, not the code: a column graded higher is gone, one the policy masks is masked."""
    policy, contract = load_policy(), load_contract("rail.instruction")
    shown = messages.party_columns(contract, policy)
    assert "wagon_no" in shown
    assert "selected_by" not in shown
    higher = replace(
        contract, fields=tuple(replace(f, grade="L3") if f.name == "wagon_no" else f for f in contract.fields)
    )
    assert "wagon_no" not in messages.party_columns(higher, policy)
    kept = replace(
        contract, fields=tuple(replace(f, sharing_type="none") if f.name == "wagon_no" else f for f in contract.fields)
    )
    assert "wagon_no" not in messages.party_columns(kept, policy)
    personal = replace(
        contract,
        fields=tuple(
            replace(f, personal_information="general", mask="first_char") if f.name == "wagon_no" else f
            for f in contract.fields
        ),
    )
    assert "wagon_no" not in messages.party_columns(personal, policy)
    masking = replace(policy, forms=policy.forms | {"personal": policy.forms["personal"] | {"party": "masked"}})
    assert messages.party_columns(personal, masking)["wagon_no"] == "SUBSTRING(\"wagon_no\", 1, 1) || '**'"


def test_nothing_is_told_twice_and_a_correction_is_told_again(lake):
    messages.send(lake)
    assert messages.send(lake).rows == 0
    # what the recipient cannot see changes: nothing to tell
    land(lake, "rail.instruction", 0, name="b", instruction_id="IN-0", waybill_no="RWB0", consignee_id=OWN,
         station_code="CN01", recipient_kind="railway", selected_by="random", message_seq="2")  # fmt: skip
    ingest(lake)
    assert messages.send(lake).rows == 0
    for place, seq in ((3, "3"), (4, "4"), (3, "5")):  # there and back again: each is news
        land(lake, "rail.instruction", 0, name=f"c{seq}", instruction_id="IN-0", waybill_no="RWB0", consignee_id=OWN,
             station_code="CN01", recipient_kind="railway", position=str(place), message_seq=seq)  # fmt: skip
        ingest(lake)
        assert messages.send(lake).recipients == {"railway": 1, "enterprise": 1}
    assert [line[0] for line in told(lake)["railway/CN01"] if line[2] == "IN-0"] == [1, 2, 3, 4]


def test_one_call_tells_everybody_of_the_same_rows(lake, monkeypatch):
    """An ingestion that commits while messages are made is told wholly by the next call."""
    messages.send(lake)
    before = messages.versions(lake)
    land(lake, "rail.instruction", 0, name="b", instruction_id="IN-0", waybill_no="RWB0", consignee_id=OWN,
         station_code="CN01", recipient_kind="railway", position="3", message_seq="3")  # fmt: skip
    ingest(lake)
    assert messages.versions(lake) != before
    with monkeypatch.context() as patch:
        patch.setattr(messages, "versions", lambda _: before)
        assert messages.send(lake).rows == 0
    assert messages.send(lake).recipients == {"railway": 1, "enterprise": 1}


def test_a_file_the_recipient_took_away_is_not_written_again(lake):
    messages.send(lake)
    for path in lake.outbox.rglob("*.jsonl"):
        path.unlink()
    assert messages.send(lake).rows == 0
    assert told(lake) == {}


@pytest.mark.parametrize("point", ["drafted", "recorded", "published"])
def test_killed_anywhere_every_row_is_told_once(lake, point):
    class Killed(Exception):
        pass

    def die(here):
        if here == point:
            raise Killed

    with pytest.raises(Killed):
        messages.send(lake, reached=die)
    messages.send(lake)
    assert told(lake) == EXPECTED
    assert messages.send(lake).rows == 0


def test_every_file_is_in_the_audit_log_with_its_hash(lake):
    import hashlib

    messages.send(lake)
    events = {event.subject: event.detail for event in audit.events(lake) if event.event == "message.sent"}
    files = {"/".join(p.with_suffix("").parts[-3:]): p.read_bytes() for p in lake.outbox.rglob("*.jsonl")}
    assert set(events) == set(files)
    for name, content in files.items():
        assert events[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert sum(events[name]["rows"].values()) == len(content.splitlines())


def test_a_row_that_names_nobody_is_counted_and_a_path_is_no_name(lake):
    messages.send(lake)
    land(lake, "rail.instruction", 2, instruction_id="IN-2", waybill_no="RWB0", consignee_id=None, station_code="CN01",
         recipient_kind="railway")  # fmt: skip
    ingest(lake)
    done = messages.send(lake)
    assert done.recipients == {"railway": 1}
    assert done.unaddressed == {"enterprise": 1}
    assert not re.fullmatch(messages._CODE, "../../railway/CN01")
    assert not re.fullmatch(messages._CODE, ".drafts")


def test_the_messages_of_the_policy_name_tables_and_columns_that_exist():
    for one in load_policy().messages:
        contract = load_contract(one.table)
        owner = load_contract(one.through) if one.through else contract
        assert owner.field(one.own)
        for ours, theirs in one.by.items():
            assert contract.field(ours)
            assert owner.field(theirs)
    with pytest.raises(ContractError, match="messages, railway"):
        _message("railway", {"table": "rail.train"})
    with pytest.raises(ContractError, match="through together with by"):
        _message("railway", {"table": "rail.train", "own": "x", "through": "rail.wagon"})


def test_the_command_says_what_was_sent(lake, monkeypatch):
    from infra.governance import share_cli

    monkeypatch.setattr(share_cli, "get_settings", lambda: lake)
    shown = CliRunner().invoke(share_cli.app, ["send", "--json"])
    assert json.loads(shown.output)["recipients"] == {"railway": 2, "port": 2, "enterprise": 2}
    assert "0 rows in 0 files" in CliRunner().invoke(share_cli.app, ["send"]).output


@pytest.mark.slow
def test_the_command_goes_on_sending_until_told_to_end(lake):
    command = [sys.executable, "-m", "infra.cli", "share", "send", "--every", "0.2"]
    environment = {**os.environ, "CUSTOMS_HOME": str(lake.home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT.parent) as running:
        assert "12 rows in 6 files" in running.stdout.readline()
        land(lake, "rail.instruction", 0, name="b", instruction_id="IN-0", waybill_no="RWB0", consignee_id=OWN,
             station_code="CN01", recipient_kind="railway", position="3", message_seq="3")  # fmt: skip
        ingest(lake)
        assert "2 rows in 2 files" in running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) == 0
