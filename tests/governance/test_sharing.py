"""Sharing: the order of steps, who may take them, what leaves, and what stops at the door."""

import csv
import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest
from typer.testing import CliRunner

from data_contracts import load_contract
from data_contracts.emit.sql import hmac_sha256
from infra.governance import accounts, delivery, leaks, sharing
from infra.governance.accounts import NotAllowedError
from infra.governance.sharing import Wish
from infra.governance.workdays import add_working_days, is_working_day
from infra.lake.commit import add_actions, append
from infra.lake.pseudonym import load_keys
from infra.runtime import audit
from infra.runtime.duck import duck_connection
from infra.runtime.errors import BadArgumentsError, DataContractError

from .conftest import CANARY, PASSWORD, PERSONS, person

PUBLISH = sharing.publish_requests


@pytest.fixture(autouse=True)
def unpublished(monkeypatch):
    """The steward's table is written in the one test that reads it: a merge per step takes its time."""
    monkeypatch.setattr(sharing, "publish_requests", lambda settings: None)


def wish(**changes) -> Wish:
    plain = {
        "contract": "ecommerce.list",
        "recipient": "Tax bureau",
        "purpose": "Joint risk study",
        "legal_basis": "Decree 809",
        "kind": "rows",
        "columns": ("business_date", "customs_office_code", "total_value", "buyer_id"),
    }
    return Wish(**plain | changes)


def granted(lake, people, **changes) -> sharing.Request:
    """Take a request to its approval."""
    made = sharing.ask(lake, wish(**changes), people["rao"])
    done, found = sharing.check(lake, made.id, people["wang"])
    for role in found.approvers:
        name = {"data-steward": "wang", "security-officer": "li"}[role]
        done = sharing.approve(lake, made.id, people[name])
    assert done.state == "approved", found
    return done


def delivered(lake, people, **changes):
    return delivery.deliver(lake, granted(lake, people, **changes).id, people["wang"])


def rows_of(lake, request_id: str) -> list[dict]:
    path = delivery.folder_of(lake, request_id) / "data.parquet"
    return duckdb.sql(f"SELECT * FROM '{path}'").to_arrow_table().to_pylist()


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_accounts_keep_hashes_only_and_only_the_owner_reads_them(lake, people):
    path = accounts.accounts_file(lake)
    assert path.stat().st_mode & 0o077 == 0
    assert PASSWORD not in path.read_text()
    assert json.loads(path.read_text())["accounts"]["li"]["password_hash"].startswith("scrypt:")
    path.chmod(0o644)
    with pytest.raises(NotAllowedError, match="chmod 600"):
        accounts.authenticate(lake, "li", PASSWORD)


def test_only_a_security_officer_adds_accounts_once_there_is_one(lake, people):
    for by in (None, people["wang"]):
        with pytest.raises(NotAllowedError, match="security officer"):
            accounts.add_account(lake, "eve", "security", PASSWORD, by)
    with pytest.raises(NotAllowedError, match="own role"):
        accounts.add_account(lake, "li", "steward", PASSWORD, people["li"])
    with pytest.raises(BadArgumentsError, match="too weak"):
        accounts.add_account(lake, "eve", "steward", "short", people["li"])


def test_wrong_passwords_lock_an_account_and_are_audited(lake, people):
    for _ in range(accounts.ATTEMPTS):
        with pytest.raises(NotAllowedError, match="wrong"):
            accounts.authenticate(lake, "wang", "guess guess guess")
    with pytest.raises(NotAllowedError, match="locked"):
        accounts.authenticate(lake, "wang", PASSWORD)
    with pytest.raises(NotAllowedError, match="wrong"):
        accounts.authenticate(lake, "my-secret-typed-here", PASSWORD)
    assert accounts.authenticate(lake, "zhao", PASSWORD).role == "data-steward"
    failed = [e.actor for e in audit.events(lake) if e.event == "login.failed"]
    assert failed == ["wang"] * 6 + ["system:unknown"]


def test_a_session_acts_until_it_ends_or_the_password_changes(lake, people, tmp_path):
    file = tmp_path / "zhao.token"
    accounts.open_session(lake, people["zhao"], 5, file)
    assert file.stat().st_mode & 0o077 == 0
    assert file.read_text().strip() not in accounts.accounts_file(lake).read_text()
    assert accounts.session_account(lake, file) == people["zhao"]
    file.chmod(0o644)
    with pytest.raises(NotAllowedError, match="read by others"):
        accounts.session_account(lake, file)
    file.chmod(0o600)
    accounts.add_account(lake, "zhao", "steward", PASSWORD + "!", people["li"])
    with pytest.raises(NotAllowedError, match="ended"):
        accounts.session_account(lake, file)
    with pytest.raises(NotAllowedError, match="Nobody"):
        accounts.session_account(lake, tmp_path / "none")


def test_a_session_ends_by_the_clock(lake, people, tmp_path, monkeypatch):
    file = tmp_path / "t"
    accounts.open_session(lake, people["zhao"], 5, file)

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=6)

    monkeypatch.setattr(accounts, "datetime", Later)
    with pytest.raises(NotAllowedError, match="ended"):
        accounts.session_account(lake, file)


# --- working days -----------------------------------------------------------------------------------------------------


def test_deadlines_skip_weekends_and_holidays_and_know_makeup_days():
    assert not is_working_day(date(2026, 10, 1))
    assert is_working_day(date(2026, 10, 10))  # a Saturday worked for the holiday
    assert add_working_days(date(2026, 9, 30), 1) == date(2026, 10, 8)
    assert add_working_days(date(2026, 11, 20), 2) == date(2026, 11, 24)
    assert add_working_days(date(2030, 1, 4), 1) == date(2030, 1, 7)  # a year not announced yet


def test_each_state_has_its_deadline(lake, people):
    made = sharing.ask(lake, wish(), people["rao"])
    zone = lake.office_time_zone

    def office_day(share, step):
        return share.when(step).astimezone(ZoneInfo(zone)).date()

    start = office_day(made, "submitted")
    assert made.due(zone) == ("check", add_working_days(start, 2))
    done, _ = sharing.check(lake, made.id, people["wang"])
    assert done.due(zone) == ("decision", add_working_days(start, 10))
    sharing.approve(lake, made.id, people["wang"])
    done = sharing.approve(lake, made.id, people["li"])
    assert done.due(zone) == ("delivery", add_working_days(office_day(done, "approved"), 20))


# --- what contract and policy say -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sharing_type", "approvers", "cohort"),
    [
        ({}, "none", 2, 10),
        (
            {"columns": ("business_date", "hs_code")},
            "conditional",
            2,
            10,
        ),  # rows of a table that is not shared as a whole
        ({"contract": "reference.country", "columns": ("code",)}, "unconditional", 0, 0),
        ({"contract": "declarations.declaration", "columns": ("declaration_no",)}, "conditional", 1, 0),
        ({"contract": "declarations.declaration_item", "columns": ("customs_value",)}, "conditional", 1, 10),
        ({"contract": "ecommerce.waybill", "columns": ("consignee_phone",)}, "conditional", 2, 10),
        ({"kind": "aggregate", "columns": ("hs_code",), "measures": ("sum:total_value",)}, "conditional", 1, 10),
        ({"kind": "aggregate", "columns": ("hs_code",), "measures": ("distinct:buyer_id",)}, "none", 2, 10),
    ],
)
def test_the_contract_decides_type_persons_and_cohort(changes, sharing_type, approvers, cohort):
    if "contract" in changes:
        names = {f.name for f in load_contract(changes["contract"]).columns}
        assert set(changes["columns"]) <= names, names
    found = sharing.assess(wish(**changes))
    assert not found.problems
    assert (found.sharing_type, len(found.approvers), found.cohort) == (sharing_type, approvers, cohort)


def test_no_column_of_type_none_ever_leaves_as_it_is():
    from data_contracts import load_contracts

    seen = 0
    for contract in load_contracts().values():
        for field in contract.columns:
            if contract.id == "governance.quarantine":
                continue
            rows = sharing.assess(wish(contract=contract.id, columns=(field.name,)))
            if field.sharing_type == "none":
                seen += 1
                assert rows.problems or [one.form for one in rows.columns] == ["pseudonym"]
                assert len(rows.approvers) == 2
                cells = sharing.assess(wish(contract=contract.id, columns=(field.name,), kind="aggregate"))
                assert cells.problems
            if field.personal_information != "none":
                assert rows.problems or [one.form for one in rows.columns] == ["pseudonym"]
                assert len(rows.approvers) == 2
            elif field.grade == "L3":
                assert rows.problems or [one.form for one in rows.columns] == ["bucketed"]
    assert seen >= 4


def test_what_has_no_form_cannot_be_approved(lake, people):
    made = sharing.ask(lake, wish(kind="aggregate", columns=("buyer_id",)), people["rao"])
    _, found = sharing.check(lake, made.id, people["wang"])
    assert "cannot group" in found.problems[0]
    with pytest.raises(BadArgumentsError, match="cannot be approved"):
        sharing.approve(lake, made.id, people["zhao"])
    assert sharing.refuse(lake, made.id, people["zhao"], "Ask for distinct buyers").state == "refused"


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": ()},
        {"columns": ("nonsense",)},
        {"columns": ("hs_code", "hs_code")},
        {"kind": "everything"},
        {"formats": ("xls",)},
        {"measures": ("sum:total_value",)},
        {"kind": "aggregate", "measures": ("max:total_value",)},
        {"purpose": " "},
        {"valid_days": 5000},
        {"contract": "governance.quarantine", "columns": ("row_key",)},
    ],
    ids=str,
)
def test_a_wish_that_cannot_be_understood_is_turned_away(settings, changes):
    with pytest.raises(BadArgumentsError):
        sharing.ask(settings, wish(**changes), accounts.Account("rao", "requester"))
    assert not sharing.requests(settings)


# --- who may take which step ------------------------------------------------------------------------------------------


def test_steps_come_in_order_and_from_the_right_person(lake, people):
    own = sharing.ask(lake, wish(), people["wang"])
    with pytest.raises(NotAllowedError, match="another account"):
        sharing.check(lake, own.id, people["wang"])
    made = sharing.ask(lake, wish(), people["rao"], submit=False)
    assert made.state == "draft"
    with pytest.raises(NotAllowedError, match="only they"):
        sharing.submit(lake, made.id, people["wang"])
    sharing.submit(lake, made.id, people["rao"])
    for early in (sharing.approve, delivery.deliver):
        with pytest.raises(BadArgumentsError, match="is submitted"):
            early(lake, made.id, people["wang"])
    with pytest.raises(NotAllowedError, match="only data-steward"):
        sharing.check(lake, made.id, people["li"])
    sharing.check(lake, made.id, people["wang"])
    with pytest.raises(NotAllowedError, match="still needs"):
        sharing.approve(lake, made.id, people["rao"] and accounts.Account("kim", "requester"))
    assert sharing.approve(lake, made.id, people["wang"]).state == "checked"
    with pytest.raises(NotAllowedError, match="second person"):
        sharing.approve(lake, made.id, people["wang"])
    with pytest.raises(NotAllowedError, match="still needs security-officer"):
        sharing.approve(lake, made.id, people["zhao"])  # two stewards are not two levels
    assert sharing.approve(lake, made.id, people["li"]).state == "approved"
    with pytest.raises(NotAllowedError, match="only data-steward"):
        delivery.deliver(lake, made.id, people["li"])


def test_a_requester_in_an_approver_role_cannot_approve_their_own(lake, people):
    own = sharing.ask(lake, wish(), people["li"])
    sharing.check(lake, own.id, people["wang"])
    sharing.approve(lake, own.id, people["wang"])
    with pytest.raises(NotAllowedError, match="another account"):
        sharing.approve(lake, own.id, people["li"])
    assert sharing.approve(lake, own.id, people["sun"]).state == "approved"


def test_purely_public_data_is_granted_by_the_check(lake, people):
    made = sharing.ask(lake, wish(contract="reference.country", columns=("code",)), people["rao"])
    assert sharing.check(lake, made.id, people["wang"])[0].state == "approved"


def test_every_step_is_an_event_and_a_row_for_the_steward(lake, people, monkeypatch):
    monkeypatch.setattr(sharing, "publish_requests", PUBLISH)
    done, _ = delivered(lake, people)
    delivery.revoke(lake, done.id, people["zhao"], "Study over")
    mine = [(e.event, e.actor) for e in audit.events(lake) if e.subject == done.id]
    assert mine == [
        ("share.draft", "rao"), ("share.submitted", "rao"), ("share.checked", "wang"), ("share.approval", "wang"),
        ("share.approval", "li"), ("share.approved", "li"), ("share.publishing", "wang"), ("share.delivered", "wang"),
        ("share.revoked", "zhao"),
    ]  # fmt: skip
    lines = (sharing.shares_folder(lake) / "requests.jsonl").read_text().splitlines(keepends=True)
    hashes = [
        e.detail["record_sha256"] for e in audit.events(lake) if e.subject == done.id and "record_sha256" in e.detail
    ]
    assert hashes == [hashlib.sha256(line.encode()).hexdigest() for line in lines]
    assert audit.verify(lake).sound
    row = duck_connection(settings=lake).execute(
        f"SELECT share_state, highest_grade, approvals_given FROM delta_scan('{lake.silver(sharing.SHARE_REQUEST)}')"
    )
    assert row.fetchall() == [("revoked", "L4", 2)]


# --- what leaves ------------------------------------------------------------------------------------------------------


def test_a_share_holds_what_the_policy_lets_out_and_nothing_else(lake, people):
    done, manifest = delivered(lake, people, formats=("parquet", "csv", "delta"))
    rows = rows_of(lake, done.id)
    assert set(rows[0]) == {"share_row_id", "business_date", "customs_office_code", "total_value", "buyer_id"}
    # the office with five rows is withheld
    assert {row["customs_office_code"] for row in rows} == {"0100", "5300"}
    assert (manifest["rows"], manifest["suppressed"], manifest["k"]) == (len(rows), 5, 10)
    # restricted values are bucketed to one digit
    assert all(float(row["total_value"]) % 100 == 0 for row in rows)
    folder = delivery.folder_of(lake, done.id)
    with (folder / "data.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    count = (
        duck_connection(settings=lake).execute(f"SELECT count(*) FROM delta_scan('{folder / 'delta'}')").fetchone()[0]
    )
    assert count == len(rows)
    written = json.loads((folder / "manifest.json").read_text())
    assert written["contract"]["version"] == load_contract("ecommerce.list").version
    assert written["approved_by"] == ["wang", "li"]
    assert written["columns"]["buyer_id"] == {"grade": "L4", "form": "pseudonym"}
    assert {"data.csv", "data.parquet"} < set(written["files"])
    for name, about in written["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == about["sha256"]
    assert folder.stat().st_mode & 0o077 == 0
    assert delivery.key_file(lake, done.id).stat().st_mode & 0o077 == 0
    assert not delivery.key_file(lake, done.id).is_relative_to(lake.lake)


def test_the_same_person_has_unrelated_pseudonyms_in_two_shares_and_joins_within_one(lake, people):
    first, _ = delivered(lake, people)
    second, _ = delivered(lake, people)
    one = {row["buyer_id"] for row in rows_of(lake, first.id)}
    two = {row["buyer_id"] for row in rows_of(lake, second.id)}
    held = {
        row[0]
        for row in duck_connection(settings=lake)
        .execute(f"SELECT DISTINCT buyer_id FROM delta_scan('{lake.silver('ecommerce.list')}')")
        .fetchall()
    }
    assert len(one) == len(two) == 61
    assert not one & two
    assert not (one | two) & held


def test_enumerating_every_identifier_finds_nobody(lake, people):
    done, _ = delivered(lake, people)
    out = {row["buyer_id"] for row in rows_of(lake, done.id)}
    for person_ in [*PERSONS, CANARY]:
        for text in person_.values():
            for algorithm in ("md5", "sha1", "sha256", "sha3_256"):
                assert hashlib.new(algorithm, text.encode()).hexdigest() not in out


def test_a_cohort_counts_persons_not_rows(lake, people):
    """Thirty rows of one person in a cohort of their own are one person."""
    _add_rows(lake, 30, customs_office_code="2300")
    done, manifest = delivered(lake, people)
    assert "2300" not in {row["customs_office_code"] for row in rows_of(lake, done.id)}
    assert manifest["suppressed"] == 35


def test_a_share_whose_cohorts_are_all_too_small_is_not_published(lake, people):
    made = granted(lake, people, columns=("list_no", "total_value", "buyer_id"))
    with pytest.raises(DataContractError, match="gives no row"):
        delivery.deliver(lake, made.id, people["wang"])
    assert not delivery.folder_of(lake, made.id).exists()
    assert not delivery.key_file(lake, made.id).exists()
    assert sharing.request_named(lake, made.id).state == "approved"


def test_small_cells_are_withheld_and_cells_count_persons(lake, people):
    _add_rows(lake, 30, customs_office_code="2300")
    done, manifest = delivered(
        lake,
        people,
        kind="aggregate",
        columns=("customs_office_code",),
        measures=("sum:total_value", "distinct:buyer_id"),
    )
    rows = rows_of(lake, done.id)
    assert {row["customs_office_code"] for row in rows} == {"0100", "5300"}
    assert manifest["suppressed"] == 2
    assert all(row["records"] >= 10 and row["distinct_buyer_id"] >= 10 for row in rows)


def test_the_period_cuts_by_day(lake, people):
    made = granted(lake, people, first_day=date(2026, 11, 19))
    with pytest.raises(DataContractError, match="gives no row"):
        delivery.deliver(lake, made.id, people["wang"])


def test_a_row_that_surfaces_is_traced_to_its_share_even_after_revocation(lake, people):
    first, _ = delivered(lake, people)
    second, _ = delivered(lake, people)
    ids = [rows_of(lake, one.id)[3]["share_row_id"] for one in (first, second)]
    delivery.revoke(lake, second.id, people["wang"], "Study over")
    assert [delivery.trace(lake, row_id) for row_id in ids] == [first.id, second.id]
    assert delivery.trace(lake, "0" * 32) is None


# --- the leak scan ----------------------------------------------------------------------------------------------------


def _add_rows(lake, number: int, **values) -> None:
    """Copy silver rows of one person with other values, as a faulty feed or a bug would leave them."""
    contract = load_contract("ecommerce.list")
    path = lake.silver(contract.id)
    connection = duck_connection(settings=lake)
    changed = ", ".join(f"'{value}' AS {name}" for name, value in values.items())
    connection.execute(
        f"CREATE TABLE extra AS SELECT * REPLACE ({changed}, list_no || 'x' || n AS list_no) FROM "
        f"(SELECT * FROM delta_scan('{path}') WHERE customs_office_code = '0100' ORDER BY list_no LIMIT 1), "
        f"range({number}) AS r(n)"
    )
    append(contract, path, add_actions(connection, "SELECT * EXCLUDE (n) FROM extra", contract, path, "extra"))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (f"gift for {CANARY['id']}", "identity number"),
        (f"call {CANARY['phone']}", "mobile number"),
        (f"+86 {CANARY['phone']}", "mobile number"),
        ("paid with 6222020200112233446", "bank card"),
        (CANARY["name"], "clear value of a person"),
        (CANARY["id"], "clear value of a person"),
    ],
)
def test_a_leak_stops_the_share_before_it_is_published(lake, people, value, kind):
    if kind == "bank card":
        value = "paid with " + next(c for n in range(10) if leaks.is_card_number(c := f"622202020011223344{n}"))
    # every copy at a known office, so that only the scan can stop it
    _add_rows(lake, 12, goods_name=value)
    made = granted(lake, people, columns=("goods_name",), contract="ecommerce.list")
    with pytest.raises(DataContractError, match=kind) as stopped:
        delivery.deliver(lake, made.id, people["wang"])
    assert value not in str(stopped.value)
    assert not delivery.folder_of(lake, made.id).exists()
    assert not list(sharing.shares_folder(lake).glob(".building*"))
    assert sharing.request_named(lake, made.id).state == "approved"
    blocked = [e for e in audit.events(lake) if e.event == "share.blocked"]
    assert blocked
    assert value not in json.dumps(blocked[0].detail, ensure_ascii=False)


def test_a_pseudonym_of_the_platform_does_not_leave(lake, people):
    key = load_keys(lake)["ecommerce_person"]
    pseudonym = duckdb.execute(f"SELECT {hmac_sha256('?', key)}", [CANARY["id"]]).fetchone()[0]
    _add_rows(lake, 12, goods_name=pseudonym)
    made = granted(lake, people, columns=("goods_name",))
    with pytest.raises(DataContractError, match="pseudonym of the platform"):
        delivery.deliver(lake, made.id, people["wang"])


def test_identifiers_are_recognised_by_form_and_check_digit():
    for n in range(200):
        one = person(n)
        assert leaks.forms_in(f"x {one['id']},") == {"identity number"}
        wrong = one["id"][:17] + ("0" if one["id"][17] != "0" else "1")
        assert "identity number" not in leaks.forms_in(wrong)
        assert leaks.forms_in(one["phone"]) == {"mobile number"}
    assert leaks.forms_in(hashlib.sha256(b"1").hexdigest()) == set()
    assert leaks.forms_in("53012026I000000001 53162026100000001") == set()


def test_harmless_exports_raise_no_alarm(ingested):
    connection = duck_connection(settings=ingested)
    columns = [f.name for f in load_contract("ecommerce.list").columns if f.mask != "hmac"]
    found = leaks.scan(
        connection, f"(SELECT {', '.join(columns)} FROM delta_scan('{ingested.silver('ecommerce.list')}'))", ingested
    )
    assert found == []


# --- the end of a share -----------------------------------------------------------------------------------------------


def test_revocation_leaves_no_file_and_no_key(lake, people):
    done, _ = delivered(lake, people)
    folder = delivery.folder_of(lake, done.id)
    assert folder.is_dir()
    with pytest.raises(NotAllowedError, match="did not make"):
        delivery.revoke(lake, done.id, accounts.Account("kim", "requester"), "No")
    delivery.revoke(lake, done.id, people["rao"], "No longer needed")
    assert not folder.exists()
    assert "pseudonym" not in json.loads(delivery.key_file(lake, done.id).read_text())
    with pytest.raises(BadArgumentsError, match="is revoked"):
        delivery.deliver(lake, done.id, people["wang"])


def test_shares_end_by_themselves(lake, people):
    done, _ = delivered(lake, people, valid_days=30)
    assert delivery.expire(lake) == []
    assert delivery.expire(lake, datetime.now(UTC) + timedelta(days=31)) == [done.id]
    assert not delivery.folder_of(lake, done.id).exists()
    assert sharing.request_named(lake, done.id).state == "expired"
    assert delivery.expire(lake, datetime.now(UTC) + timedelta(days=31)) == []


# --- the commands -----------------------------------------------------------------------------------------------------


def test_the_whole_way_by_command(lake, people, monkeypatch, tmp_path):
    from infra.governance import governance_cli, share_cli
    from infra.governance.cli import app

    for module in (governance_cli, share_cli):
        monkeypatch.setattr(module, "get_settings", lambda: lake)
    runner = CliRunner()

    def run(name: str, *words: str, text: str | None = None) -> str:
        done = runner.invoke(app, [*words, "--session", str(tmp_path / name)], input=text)
        assert done.exit_code == 0, (words, done.output, done.exception)
        return done.stdout

    for name in ("rao", "wang", "li"):
        assert "signed in" in run(name, "governance", "login", name, text=PASSWORD + "\n")
    asked = run(
        "rao", "share", "request", "ecommerce.list", "--columns", "business_date,customs_office_code,buyer_id",
        "--recipient", "Tax bureau", "--purpose", "Risk", "--legal-basis", "Decree", "--format", "parquet,csv",
        "--json",
    )  # fmt: skip
    number = json.loads(asked)["request"]
    assert "security-officer" in run("wang", "share", "check", number)
    assert "still to approve: security-officer" in run("wang", "share", "approve", number)
    run("li", "share", "approve", number)
    assert json.loads(run("wang", "share", "deliver", number, "--json"))["k"] == 10
    listed = runner.invoke(app, ["share", "list", "--json"])
    assert [(one["request"], one["state"]) for one in json.loads(listed.stdout)] == [(number, "delivered")]
    traced = runner.invoke(app, ["share", "trace", rows_of(lake, number)[0]["share_row_id"]])
    assert "Tax bureau" in traced.stdout
    run("wang", "share", "revoke", number, "--reason", "Over")
    assert runner.invoke(app, ["share", "list"]).stdout == ""
    nobody = runner.invoke(app, ["share", "check", number, "--session", str(tmp_path / "none")])
    assert isinstance(nobody.exception, NotAllowedError)
