"""New keys: joins hold, nobody's history is cut, no old pseudonym is left, a kill at any step is survived."""

import hashlib
import hmac
import json
import shutil

import duckdb
import pytest
from deltalake import DeltaTable

from infra.governance import rotation, search, vault
from infra.governance.accounts import NotAllowedError
from infra.governance.search import Needles
from infra.lake import pseudonym as pseudonyms
from infra.lake.commit import lake_connection
from infra.lake.ingest import ingest_feed
from infra.lake.pseudonym import key_file, load_keys
from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError, DataContractError
from infra.runtime.settings import Settings

from .conftest import CANARY, PERSONS, land, lists, person

pytestmark = pytest.mark.slow

PURPOSE = "ecommerce_person"
TABLES = ("ecommerce.list", "ecommerce.order")


def rows(settings: Settings, contract_id: str, columns: str = "* EXCLUDE (ingested_at, batch_id)") -> list[tuple]:
    path = settings.silver(contract_id)
    return lake_connection(settings).execute(f"SELECT {columns} FROM delta_scan('{path}') ORDER BY ALL").fetchall()


def pseudonym(settings: Settings, value: str) -> str:
    return pseudonyms.pseudonym(value, load_keys(settings)[PURPOSE])


def test_every_person_gets_a_new_pseudonym_and_keeps_their_history(lake, people):
    before = {one: rows(lake, one) for one in TABLES}
    old_key = load_keys(lake)[PURPOSE]
    others = {k: v for k, v in load_keys(lake).items() if k != PURPOSE}
    query = (
        "SELECT count(*), count(DISTINCT l.buyer_id) FROM delta_scan('{}') l JOIN delta_scan('{}') o USING (buyer_id)"
    )
    joined = query.format(*(lake.silver(one) for one in TABLES))
    connection = lake_connection(lake)
    counted = connection.execute(joined).fetchone()
    figures = rotation.rotate(lake, PURPOSE, people["li"])
    assert figures["former_pseudonyms_found"] == figures["unmatched"] == 0
    assert figures["rows"] == sum(len(one) for one in before.values())
    assert lake_connection(lake).execute(joined).fetchone() == counted
    assert load_keys(lake)[PURPOSE] != old_key
    assert {k: v for k, v in load_keys(lake).items() if k != PURPOSE} == others
    assert key_file(lake).stat().st_mode & 0o077 == 0
    buyers = {row[0] for row in rows(lake, "ecommerce.list", "DISTINCT buyer_id")}
    assert buyers == {pseudonym(lake, p["id"]) for p in [*PERSONS, CANARY]}
    former = [hmac.new(old_key, v.encode(), hashlib.sha256).hexdigest() for p in [*PERSONS, CANARY] for v in p.values()]
    assert search.search(lake, Needles(pseudonyms=former)).hits == ()
    assert old_key.hex() not in "".join(p.read_text() for p in lake.keys.glob("*.json"))
    assert [e.event for e in audit.events(lake) if e.event.startswith("key.rotat")] == [
        "key.rotation_begun",
        "key.rotated",
    ]


def test_a_rotated_lake_equals_one_ingested_with_the_new_key(lake, people, tmp_path):
    rotation.rotate(lake, PURPOSE, people["li"])
    fresh = Settings(home=tmp_path / "fresh")
    shutil.copytree(lake.landing, fresh.landing)
    shutil.copytree(lake.keys, fresh.keys)
    for feed in ("ecommerce_list", "ecommerce_order"):
        ingest_feed(feed, settings=fresh)
    for one in TABLES:
        assert rows(lake, one) == rows(fresh, one)


def test_later_batches_join_earlier_ones_and_nothing_comes_twice(lake, people):
    count = len(rows(lake, "ecommerce.list"))
    rotation.rotate(lake, PURPOSE, people["li"])
    more = [row | {"list_no": f"53012026I9{n:08d}"} for n, row in enumerate(lists(20, seed=9))]
    land(lake, "ecommerce.list", more, "b.csv")
    ingest_feed("ecommerce_list", settings=lake)
    assert len(rows(lake, "ecommerce.list")) == count + 20
    buyers = {row[0] for row in rows(lake, "ecommerce.list", "DISTINCT buyer_id")}
    assert len(buyers) == 61
    # what the tables know of the batches they have seen outlives the forgotten log
    assert DeltaTable(str(lake.silver("ecommerce.list"))).transaction_version("ecommerce.list")


class Killed(Exception):
    """The command died here."""


def killed_at(point):
    def reached(name: str) -> None:
        if name == point:
            raise Killed

    return reached


@pytest.mark.parametrize("point", ["rewritten:ecommerce.list", "before_key", "between", "after_key"])
def test_a_rotation_killed_anywhere_is_finished_by_the_same_command(lake, people, point):
    old_key = load_keys(lake)[PURPOSE]
    with pytest.raises(Killed):
        rotation.rotate(lake, PURPOSE, people["li"], reached=killed_at(point))
    with pytest.raises(BadArgumentsError, match="unfinished"):
        rotation.rotate(lake, "officer", people["li"])
    assert rotation.rotate(lake, PURPOSE, people["li"])["unmatched"] == 0
    assert load_keys(lake)[PURPOSE] != old_key
    assert not rotation.rotation_file(lake).exists()


# --- originals that reached the end of their retention ----------------------------------------------------------------


def age(settings: Settings) -> None:
    """Let the raw zone lose the originals of the orders, as retention does."""
    shutil.rmtree(settings.raw("ecommerce_order"))


def later_batch(settings: Settings, letter: str) -> None:
    """Ingest lists of known buyers and of one who was never seen before."""
    more = [row | {"list_no": f"53012026I{ord(letter):03d}{n:06d}"} for n, row in enumerate(lists(20, seed=9))]
    more[-1]["buyer_id"] = newcomer(letter)
    land(settings, "ecommerce.list", more, f"{letter}.csv")
    before = len(rows(settings, "ecommerce.list"))
    ingest_feed("ecommerce_list", settings=settings)
    assert len(rows(settings, "ecommerce.list")) == before + 20


def newcomer(letter: str) -> str:
    return person(800 + ord(letter))["id"]


def assert_one_pseudonym_a_person(settings: Settings, newcomers: str = "") -> None:
    ids = [p["id"] for p in [*PERSONS, CANARY]] + [newcomer(letter) for letter in newcomers]
    expected = {pseudonym(settings, one) for one in ids}
    assert {row[0] for row in rows(settings, "ecommerce.list", "DISTINCT buyer_id")} == expected
    assert {row[0] for row in rows(settings, "ecommerce.order", "DISTINCT buyer_id")} <= expected


def test_without_originals_the_new_key_is_laid_over_the_old_one_and_persons_stay_whole(lake, people):
    former = {pseudonym(lake, p["id"]) for p in [*PERSONS, CANARY]}
    age(lake)
    figures = rotation.rotate(lake, PURPOSE, people["li"])
    assert figures["layered"]
    assert figures["unmatched"] == figures["former_pseudonyms_found"] == 0
    assert len(load_keys(lake)[PURPOSE]) == 2
    assert key_file(lake).stat().st_mode & 0o077 == 0
    assert not rotation.mapping_file(lake).exists()
    # what arrives later joins what was there, and nothing of before is left
    later_batch(lake, "I")
    assert_one_pseudonym_a_person(lake, "I")
    assert search.search(lake, Needles(pseudonyms=former)).hits == ()
    # and once more
    assert rotation.rotate(lake, PURPOSE, people["li"])["layered"]
    assert len(load_keys(lake)[PURPOSE]) == 3
    later_batch(lake, "J")
    assert_one_pseudonym_a_person(lake, "IJ")


def test_a_chain_of_keys_becomes_one_key_when_all_originals_are_there(lake, people):
    kept = lake.home / "archive"
    shutil.copytree(lake.raw("ecommerce_order"), kept)
    age(lake)
    rotation.rotate(lake, PURPOSE, people["li"])
    chain = load_keys(lake)[PURPOSE]
    shutil.move(kept, lake.raw("ecommerce_order"))
    assert not rotation.rotate(lake, PURPOSE, people["li"])["layered"]
    assert isinstance(load_keys(lake)[PURPOSE], bytes)
    written = "".join(path.read_text() for path in lake.keys.glob("*.json"))
    assert not [link for link in chain if link.hex() in written]
    assert_one_pseudonym_a_person(lake)


@pytest.mark.parametrize("point", ["rewritten:ecommerce.list", "between"])
def test_laying_a_key_over_survives_a_kill_and_what_ingest_adds_meanwhile(lake, people, point):
    age(lake)
    with pytest.raises(Killed):
        rotation.rotate(lake, PURPOSE, people["li"], reached=killed_at(point))
    later_batch(lake, "K")
    assert rotation.rotate(lake, PURPOSE, people["li"])["unmatched"] == 0
    later_batch(lake, "L")
    assert_one_pseudonym_a_person(lake, "KL")
    assert not [*lake.keys.glob("rotation*")]


def test_the_vault_is_found_by_the_new_pseudonyms_without_its_originals(lake, people):
    vault.seal(lake, people["li"])
    former = pseudonym(lake, CANARY["id"])
    age(lake)
    rotation.rotate(lake, PURPOSE, people["li"])
    with pytest.raises(BadArgumentsError, match="no value for that pseudonym"):
        vault.ask(lake, PURPOSE, former, "1", "inquiry", people["rao"])
    made = vault.ask(lake, PURPOSE, pseudonym(lake, CANARY["id"]), "1", "inquiry", people["rao"])
    for approver in ("wang", "sun"):
        vault.approve(lake, made.id, people[approver])
    assert vault.reveal(lake, made.id, people["rao"]) == CANARY["id"]


def test_former_pseudonyms_in_derived_files_keep_it_open(lake, people):
    lake.serving.mkdir(parents=True)
    derived = lake.serving / "analyst.duckdb"
    with duckdb.connect(str(derived)) as made:
        made.execute("CREATE TABLE buyers AS SELECT ? AS buyer_id", [pseudonym(lake, CANARY["id"])])
    with pytest.raises(DataContractError, match=r"serving/analyst\.duckdb"):
        rotation.rotate(lake, PURPOSE, people["li"])
    assert json.loads(rotation.rotation_file(lake).read_text())["phase"] == "prove"
    derived.unlink()
    assert rotation.rotate(lake, PURPOSE, people["li"])["former_pseudonyms_found"] == 0


def test_only_a_security_officer_rotates_a_known_purpose(lake, people):
    with pytest.raises(NotAllowedError, match="security-officer"):
        rotation.rotate(lake, PURPOSE, people["wang"])
    with pytest.raises(BadArgumentsError, match="no key"):
        rotation.rotate(lake, "hobby", people["li"])
