"""The vault: two others approve, the asker reads once, within a day; the file tells nothing."""

import hashlib
import hmac
import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from infra.governance import accounts, vault
from infra.governance.accounts import Account, NotAllowedError
from infra.lake.pseudonym import load_keys
from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError, DataContractError

from .conftest import CANARY, PERSONS

pytestmark = pytest.mark.slow

PURPOSE = "ecommerce_person"


def pseudonym(settings, value: str) -> str:
    return hmac.new(load_keys(settings)[PURPOSE], value.encode(), hashlib.sha256).hexdigest()


@pytest.fixture
def sealed(lake, people):
    assert vault.seal(lake, people["li"])[PURPOSE] == 61
    return lake


def test_sealing_again_keeps_values_whose_originals_have_left_the_raw_zone(sealed, people):
    shutil.rmtree(sealed.lake / "raw")
    assert vault.seal(sealed, people["li"])[PURPOSE] == 61
    inquiry = asked(sealed, people)
    vault.approve(sealed, inquiry.id, people["wang"])
    vault.approve(sealed, inquiry.id, people["li"])
    assert vault.reveal(sealed, inquiry.id, people["rao"]) == CANARY["id"]


def asked(lake, people, value: str = CANARY["id"]) -> vault.Inquiry:
    return vault.ask(lake, PURPOSE, pseudonym(lake, value), "2026-117", "Smuggling inquiry", people["rao"])


def test_two_persons_open_one_value_for_the_asker_once(sealed, people):
    inquiry = asked(sealed, people)
    with pytest.raises(BadArgumentsError, match="is asked"):
        vault.reveal(sealed, inquiry.id, people["rao"])
    assert vault.approve(sealed, inquiry.id, people["wang"]).state == "asked"
    with pytest.raises(BadArgumentsError, match="is asked"):
        vault.reveal(sealed, inquiry.id, people["rao"])
    with pytest.raises(NotAllowedError, match="still needs security-officer"):
        vault.approve(sealed, inquiry.id, people["zhao"])
    assert vault.approve(sealed, inquiry.id, people["li"]).state == "approved"
    with pytest.raises(NotAllowedError, match="only rao"):
        vault.reveal(sealed, inquiry.id, people["li"])
    assert vault.reveal(sealed, inquiry.id, people["rao"]) == CANARY["id"]
    with pytest.raises(BadArgumentsError, match="is opened"):
        vault.reveal(sealed, inquiry.id, people["rao"])
    said = [(e.event, e.actor) for e in audit.events(sealed) if e.subject == inquiry.id]
    assert said == [
        ("vault.asked", "rao"), ("vault.approved", "wang"), ("vault.approved", "li"), ("vault.opened", "rao"),
    ]  # fmt: skip
    log = "".join(path.read_text() for path in (sealed.home / "audit").glob("*.jsonl"))
    assert CANARY["id"] not in log
    assert pseudonym(sealed, CANARY["id"]) not in log


def test_an_approver_cannot_approve_their_own_inquiry(sealed, people):
    own = vault.ask(sealed, PURPOSE, pseudonym(sealed, CANARY["id"]), "1", "Why", people["wang"])
    with pytest.raises(NotAllowedError, match="two others"):
        vault.approve(sealed, own.id, people["wang"])
    assert vault.refuse(sealed, own.id, people["li"], "No case").state == "refused"
    with pytest.raises(BadArgumentsError, match="is refused"):
        vault.approve(sealed, own.id, people["zhao"])


def test_an_approval_lapses_after_a_day(sealed, people, monkeypatch):
    inquiry = asked(sealed, people)
    for name in ("wang", "li"):
        vault.approve(sealed, inquiry.id, people[name])

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=25)

    monkeypatch.setattr(vault, "datetime", Later)
    with pytest.raises(BadArgumentsError, match="is lapsed"):
        vault.reveal(sealed, inquiry.id, people["rao"])


def test_the_file_holds_neither_values_nor_pseudonyms_and_no_names(sealed):
    path = vault.vault_file(sealed, PURPOSE)
    assert path.stat().st_mode & 0o077 == 0
    text = path.read_text()
    for one in [*PERSONS, CANARY]:
        assert one["id"] not in text
        assert pseudonym(sealed, one["id"]) not in text
    # identity numbers only: a name, telephone or address cannot be recovered
    for value in (CANARY["name"], CANARY["phone"], CANARY["address"]):
        with pytest.raises(BadArgumentsError, match="no value"):
            vault.ask(sealed, PURPOSE, pseudonym(sealed, value), "1", "Why", Account("rao", "requester"))


def test_an_entry_put_in_another_place_does_not_open(sealed, people):
    path = vault.vault_file(sealed, PURPOSE)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    for one, other in zip(entries, entries[1:] + entries[:1], strict=True):
        one["moved"] = other["index"]
    moved = [{"index": e["moved"], "nonce": e["nonce"], "sealed": e["sealed"]} for e in entries]
    path.write_text("".join(json.dumps(e) + "\n" for e in moved))
    inquiry = asked(sealed, people)
    for name in ("wang", "li"):
        vault.approve(sealed, inquiry.id, people[name])
    with pytest.raises(DataContractError, match="does not open"):
        vault.reveal(sealed, inquiry.id, people["rao"])


def test_who_may_seal_and_what_may_be_asked(lake, people):
    with pytest.raises(NotAllowedError, match="security-officer"):
        vault.seal(lake, people["wang"])
    for purpose, name, case in (("officer", "0" * 64, "1"), (PURPOSE, "x", "1"), (PURPOSE, "0" * 64, " ")):
        with pytest.raises(BadArgumentsError):
            vault.ask(lake, purpose, name, case, "Why", people["rao"])
    assert vault.inquiries(lake) == []


def test_an_erased_person_is_forgotten(sealed, people):
    known = pseudonym(sealed, CANARY["id"])
    assert vault.forget(sealed, {PURPOSE: [known], "officer": [known]}) == 1
    with pytest.raises(BadArgumentsError, match="no value"):
        asked(sealed, people)
    asked(sealed, people, PERSONS[0]["id"])


def test_by_command(sealed, people, monkeypatch, tmp_path):
    from infra.governance import governance_cli
    from infra.governance.cli import app

    monkeypatch.setattr(governance_cli, "get_settings", lambda: sealed)

    def run(name: str, *words: str) -> str:
        file = tmp_path / name
        accounts.open_session(sealed, people[name], 5, file)
        done = CliRunner().invoke(app, ["governance", "vault", *words, "--session", str(file)])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    run("rao", "ask", PURPOSE, pseudonym(sealed, CANARY["id"]), "--case", "1", "--reason", "Why")
    number = f"VI-{datetime.now(UTC):%Y%m%d}-001"
    run("wang", "approve", number)
    assert "approved" in run("li", "approve", number)
    assert run("rao", "reveal", number).strip() == CANARY["id"]
    listed = CliRunner().invoke(app, ["governance", "vault", "list", "--json"])
    assert json.loads(listed.stdout)[0]["state"] == "opened"
    assert "61" in run("li", "seal")
    assert PURPOSE in CliRunner().invoke(app, ["governance", "keys", "list"]).stdout
