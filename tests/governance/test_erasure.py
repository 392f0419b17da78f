"""Erasure: a canary person seeded everywhere is nowhere afterwards, and nobody else lost a row."""

import gzip
import hashlib
import hmac

import duckdb
import pytest
from deltalake import DeltaTable

from infra.governance import accounts, delivery, erasure, search, sharing, vault
from infra.governance.accounts import NotAllowedError
from infra.governance.search import Needles
from infra.lake.ingest import ingest_feed
from infra.lake.pseudonym import load_keys
from infra.runtime import audit
from infra.runtime.duck import duck_connection
from infra.runtime.errors import BadArgumentsError, DataContractError

from .conftest import CANARY, PASSWORD, PERSONS

pytestmark = pytest.mark.slow

IDENTIFIERS = [CANARY["id"], CANARY["phone"], CANARY["address"]]
TABLES = ("ecommerce.list", "ecommerce.order")


def pseudonym(settings, value: str) -> str:
    return hmac.new(load_keys(settings)["ecommerce_person"], value.encode(), hashlib.sha256).hexdigest()


def count(settings, contract_id: str, where: str = "TRUE") -> int:
    path = settings.silver(contract_id)
    connection = duck_connection(settings=settings)
    return connection.execute(f"SELECT count(*) FROM delta_scan('{path}') WHERE {where}").fetchone()[0]


@pytest.fixture
def everywhere(lake, people):
    """The canary in silver, quarantine, raw, landing, vault, a role file, logs, a share, plain Parquet."""
    vault.seal(lake, people["li"])
    lake.serving.mkdir(parents=True)
    known = pseudonym(lake, CANARY["id"])
    other = pseudonym(lake, PERSONS[1]["id"])
    with duckdb.connect(str(lake.serving / "analyst.duckdb")) as made:
        made.execute("CREATE SCHEMA mart")
        made.execute("CREATE TABLE mart.buyers AS SELECT unnest([?, ?]) AS buyer_id, 1 AS n", [known, other])
    lake.logs.mkdir(parents=True)
    (lake.logs / "some.log").write_text(f"first\nrow of {CANARY['phone']} failed\nlast\n")
    lake.truth.mkdir(parents=True)
    duckdb.sql(f"SELECT unnest(['{CANARY['id']}', '{PERSONS[1]['id']}']) AS id").write_parquet(
        str(lake.truth / "t.parquet")
    )
    with gzip.open(lake.logs / "old.log.gz", "wt") as file:
        file.write(f"{CANARY['address']}\nkept\n")
    wish = sharing.Wish(
        "ecommerce.list", "Tax bureau", "Risk", "Decree", "rows", ("business_date", "customs_office_code", "buyer_id"),
        formats=("parquet", "delta"),
    )  # fmt: skip
    made = sharing.ask(lake, wish, people["rao"])
    sharing.check(lake, made.id, people["wang"])
    sharing.approve(lake, made.id, people["wang"])
    sharing.approve(lake, made.id, people["li"])
    delivery.deliver(lake, made.id, people["wang"])
    return lake, made.id


def test_a_person_is_nowhere_afterwards_and_nobody_else_lost_anything(everywhere, people):
    lake, share = everywhere
    mine = {one: count(lake, one, f"buyer_id = '{pseudonym(lake, CANARY['id'])}'") for one in TABLES}
    before = {one: count(lake, one) for one in TABLES}
    batches = {one: DeltaTable(str(lake.silver(one))).transaction_version(one) for one in TABLES}
    assert all(mine.values())
    needles = Needles(IDENTIFIERS, [pseudonym(lake, one) for one in IDENTIFIERS])
    zones = {hit.file.relative_to(lake.home).parts[0] for hit in search.search(lake, needles).hits}
    assert zones == {"lake", "landing", "serving", "logs", "truth"}
    figures = erasure.erase(lake, IDENTIFIERS, people["li"])
    assert figures["left"] == 0
    assert figures["rows"]["silver/ecommerce__list"] == mine["ecommerce.list"]
    assert figures["rows"]["quarantine/ecommerce__order"] == 1
    assert figures["rows"]["vault"] == 1
    assert figures["shares_revoked"] == [share]
    # the proof of the command, made again by hand
    assert search.search(lake, needles).hits == ()
    assert {one: count(lake, one) for one in TABLES} == {one: before[one] - mine[one] for one in TABLES}
    with duckdb.connect(str(lake.serving / "analyst.duckdb"), read_only=True) as file:
        assert file.execute("SELECT buyer_id FROM mart.buyers").fetchall() == [(pseudonym(lake, PERSONS[1]["id"]),)]
    assert (lake.logs / "some.log").read_text() == "first\n\nlast\n"
    assert gzip.decompress((lake.logs / "old.log.gz").read_bytes()) == b"\nkept\n"
    assert not delivery.folder_of(lake, share).exists()
    state = f"SELECT share_state FROM delta_scan('{lake.silver(sharing.SHARE_REQUEST)}')"
    assert duck_connection(settings=lake).execute(state).fetchall() == [("revoked",)]
    # the next ingest brings nothing back and takes nothing twice
    for feed in ("ecommerce_list", "ecommerce_order"):
        outcome = ingest_feed(feed, settings=lake)
        assert (outcome.files, outcome.known) == (0, 1)
    assert {one: DeltaTable(str(lake.silver(one))).transaction_version(one) for one in TABLES} == batches
    said = [e.event for e in audit.events(lake) if e.event.startswith("person.")]
    assert said == ["person.erasure_begun", "person.erased"]
    assert audit.verify(lake).sound


def test_what_it_cannot_clean_it_names(lake, people):
    lake.reports.mkdir(parents=True)
    (lake.reports / "run.json").write_text(f'{{"bad": "{CANARY["id"]}"}}')
    with pytest.raises(DataContractError, match=r"reports/run\.json"):
        erasure.erase(lake, IDENTIFIERS, people["li"])
    assert [e.event for e in audit.events(lake)][-1] == "person.erasure_open"


def test_who_may_and_for_what(lake, people):
    with pytest.raises(NotAllowedError, match="security-officer"):
        erasure.erase(lake, IDENTIFIERS, people["wang"])
    for wrong in ([], [" "], ["李伟"]):
        with pytest.raises(BadArgumentsError, match="identifier"):
            erasure.erase(lake, wrong, people["li"])


def test_a_number_inside_a_longer_one_is_somebody_elses(tmp_path):
    from infra.runtime.settings import Settings

    settings = Settings(home=tmp_path)
    (tmp_path / "a.csv").write_text(f"9{CANARY['phone']}\n{CANARY['phone']}8\nx{CANARY['phone']}\n")
    duckdb.sql(f"SELECT '9{CANARY['phone']}' AS x").write_parquet(str(tmp_path / "a.parquet"))
    needles = Needles([CANARY["phone"]])
    assert search.search(settings, needles).hits == ()
    (tmp_path / "a.csv").write_text(f"9\n,{CANARY['phone']},\n")
    duckdb.sql(f"SELECT 'tel:{CANARY['phone']}' AS x").write_parquet(str(tmp_path / "a.parquet"))
    assert len(search.search(settings, needles).hits) == 2


@pytest.mark.parametrize("at", [0, 5, 1023, 1024, 1025, 4096 - 5, 4096, 3 * 4096 - 1, 3 * 4096 + 7])
def test_a_value_is_found_once_wherever_the_pieces_of_a_file_are_cut(tmp_path, monkeypatch, at):
    from infra.runtime.settings import Settings

    monkeypatch.setattr(search, "_CHUNK", 4096)
    phone = CANARY["phone"].encode()
    (tmp_path / "a.bin").write_bytes(b"." * at + phone + b"." * 9000)
    (tmp_path / "b.bin").write_bytes(b"7" * (at + 1) + phone + b"7" * 9000)
    hits = search.search(Settings(home=tmp_path), Needles([CANARY["phone"]])).hits
    assert [(hit.file.name, hit.count) for hit in hits] == [("a.bin", 1)]


def test_the_command_reads_identifiers_from_standard_input(lake, people, monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from infra.governance import governance_cli
    from infra.governance.cli import app

    monkeypatch.setattr(governance_cli, "get_settings", lambda: lake)
    seen = []
    monkeypatch.setattr(
        "infra.governance.erasure.erase",
        lambda settings, identifiers, account, **_: seen.append((list(identifiers), account.name)) or {"case": "ER-1"},
    )
    session = str(tmp_path / "li.token")
    accounts.open_session(lake, accounts.authenticate(lake, "li", PASSWORD), 5, tmp_path / "li.token")
    done = CliRunner().invoke(app, ["governance", "erase", "--yes", "--json", "--session", session], input="a\nb\n\n")
    assert done.exit_code == 0, done.output
    assert seen == [(["a", "b"], "li")]
