"""Retry, kill, re-sent file, correction order: whatever happens on the way, every row ends up in the lake once."""

import os
import signal
import subprocess
import sys
import threading
from datetime import date

import pytest
from deltalake import DeltaTable

from infra.lake import commit as commit_module
from infra.lake import ingest as ingest_module
from infra.lake.commit import table_locks
from infra.runtime.errors import CustomsError, TryAgainError

pytestmark = pytest.mark.slow

HEAD, ITEM = "declarations.declaration", "declarations.declaration_item"
POINTS = [
    "sealed",
    "manifest",
    f"judged:{HEAD}",
    f"quarantine:{HEAD}",
    f"written:{HEAD}",
    f"silver:{HEAD}",
    f"judged:{ITEM}",
    f"quarantine:{ITEM}",
    f"written:{ITEM}",
    f"silver:{ITEM}",
    "before_ledger",
    "after_ledger",
]


class Killed(Exception):
    pass


def die_at(point):
    def reached(here):
        if here == point:
            raise Killed(point)

    return reached


def land_day(lake):
    bad = lake.declaration(3, ieFlag="X")
    bad["items"][1]["netWt"] = "-1"
    lake.land_messages("declarations", [lake.declaration(n) for n in range(3)] + [bad])


def content(lake):
    """All that a batch leaves, without what names the moment."""
    return {
        "head": lake.rows(HEAD, "declaration_no, source_line, record_hash, batch_id"),
        "items": lake.rows(ITEM, "declaration_no, item_no, source_line, record_hash, batch_id"),
        "bad head": lake.quarantined(HEAD, "source_line, rule_ids, original"),
        "bad items": lake.quarantined(ITEM, "source_line, rule_ids, original"),
        "ledger": lake.rows(
            "governance.batch", "contract_id, source_file, rows_in, rows_good, rows_quarantined, table_version"
        ),
    }


@pytest.fixture(scope="module")
def expected(new_lake):
    """What an undisturbed ingest of the day gives."""
    lake = new_lake()
    land_day(lake)
    lake.ingest("declarations")
    found = content(lake)
    assert (len(found["head"]), len(found["items"]), len(found["bad head"]), len(found["bad items"])) == (3, 7, 1, 1)
    return found


@pytest.mark.parametrize("point", POINTS)
def test_interrupted_anywhere_and_retried_gives_the_same_tables(expected, lake, point):
    land_day(lake)
    with pytest.raises(Killed):
        lake.ingest("declarations", reached=die_at(point))
    # the retry finds the interrupted batch even if landing was cleaned meanwhile
    if point != "sealed":
        for file in lake.settings.landing.rglob("*.jsonl"):
            file.unlink()
    lake.ingest("declarations")
    assert content(lake) == expected
    again = lake.ingest("declarations")
    assert (again.files, again.batches) == (0, [])
    assert content(lake) == expected
    assert not list(lake.settings.lake.glob("raw/*/.incoming/*"))


def test_interrupted_twice_at_different_points(expected, lake):
    land_day(lake)
    for point in (f"silver:{HEAD}", f"quarantine:{ITEM}", "before_ledger"):
        with pytest.raises(Killed):
            lake.ingest("declarations", reached=die_at(point))
    lake.ingest("declarations")
    assert content(lake) == expected


def test_interrupted_merge_is_not_applied_twice(lake):
    land_day(lake)
    lake.ingest("declarations")
    changed = [lake.declaration(0, messageTime="2026-04-20T00:00:00Z", packNo="77"), lake.declaration(9)]
    lake.land_messages("declarations", changed, "b.jsonl")
    with pytest.raises(Killed):
        lake.ingest("declarations", reached=die_at(f"merged:{HEAD}"))
    version = DeltaTable(str(lake.settings.silver(HEAD))).version()
    lake.ingest("declarations")
    assert DeltaTable(str(lake.settings.silver(HEAD))).version() == version
    assert len(lake.rows(HEAD)) == 4
    assert lake.rows(HEAD, "package_count", f"declaration_no = '{changed[0]['entryId']}'") == [(77,)]
    ledger = lake.rows("governance.batch", "table_version", f"contract_id = '{HEAD}' AND source_file LIKE '%b.jsonl'")
    assert ledger == [(version,)]


@pytest.mark.parametrize("fails", [1, 2])  # the quarantine's commit, the silver table's
def test_failed_commit_leaves_files_that_the_retry_removes(expected, lake, monkeypatch, fails):
    land_day(lake)
    real, calls = ingest_module.append, []

    def broken(*arguments):
        calls.append(arguments)
        if len(calls) == fails:
            raise OSError("disk full")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ingest_module, "append", broken)
        with pytest.raises(OSError, match="disk full"):
            lake.ingest("declarations")
    lake.ingest("declarations")
    assert content(lake) == expected
    for contract in (HEAD, ITEM):
        for folder in (lake.settings.silver(contract), lake.settings.quarantine(contract)):
            on_disk = {path.name for path in folder.rglob("*.parquet")}
            assert on_disk == {os.path.basename(uri) for uri in DeltaTable(str(folder)).file_uris()}


_KILLED = """
import os, signal, sys
from pathlib import Path
from infra.lake.ingest import ingest_feed
from infra.runtime.settings import Settings

def reached(point):
    if point == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

ingest_feed("declarations", settings=Settings(home=Path(sys.argv[1]), duckdb_threads=1), wait=0, reached=reached)
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", [f"written:{HEAD}", f"silver:{ITEM}"])
def test_killed_process_frees_its_locks_and_its_batch_is_finished_by_the_next(expected, lake, point):
    land_day(lake)
    done = subprocess.run([sys.executable, "-c", _KILLED, str(lake.settings.home), point], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    outcome = lake.ingest("declarations")
    assert len(outcome.batches) == 1
    assert content(lake) == expected


def test_batch_of_one_feed_is_finished_by_another_feed_of_the_same_table(lake):
    """KCS declarations bring inspections too: the inspections feed finds the half-committed batch first."""
    lake.land("declarations", "kcs.csv", KCS_TEXT)
    with pytest.raises(Killed):
        lake.ingest("declarations", reached=die_at(f"silver:{HEAD}"))
    outcome = lake.ingest("inspections")
    assert outcome.tables == {}
    assert len(lake.rows("inspections.inspection")) == 1
    assert lake.ingest("declarations").batches == []


KCS_TEXT = (
    "Declaration ID,Date,Office ID,Process Type,Import Type,Import Use,Payment Type,Mode of Transport,Declarant ID,"
    "Importer ID,Seller ID,Courier ID,HS6 Code,Country of Departure,Country of Origin,Tax Rate,Tax Type,"
    "Country of Origin Indicator,Net Mass,Item Price,Fraud,Critical Fraud\n"
    "1,2021-01-01,40,B,11,11,11,40,D,I,,,010121,NA,CN,7.2,FCN1,E,901.2,415092.72,0,0\n"
)


def test_resent_file_changes_nothing(expected, lake):
    land_day(lake)
    lake.ingest("declarations")
    versions = {c: DeltaTable(str(lake.settings.silver(c))).version() for c in (HEAD, ITEM)}
    source = next(lake.settings.landing.rglob("a.jsonl"))
    lake.land("declarations", "resent.jsonl", source.read_bytes(), date(2026, 5, 2))
    source.touch()
    outcome = lake.ingest("declarations")
    assert (outcome.files, outcome.known) == (0, 2)
    assert content(lake) == expected
    assert versions == {c: DeltaTable(str(lake.settings.silver(c))).version() for c in (HEAD, ITEM)}


def test_same_content_twice_in_one_call_is_read_once(lake):
    text = "".join(f"{line}\n" for line in ("{}", "{}"))
    lake.land("receipts", "a.jsonl", text)
    lake.land("receipts", "b.jsonl", text)
    outcome = lake.ingest("receipts")
    assert (outcome.files, outcome.known) == (1, 1)
    assert outcome.tables["declarations.declaration_event"].rows_in == 2


def test_refused_file_is_reported_once_and_again_when_it_changes(lake):
    lake.land("receipts", "a.jsonl", b"")
    assert len(lake.ingest("receipts").refused) == 1
    assert lake.ingest("receipts").refused == []
    lake.land("receipts", "b.jsonl", b"")
    assert len(lake.ingest("receipts").refused) == 1
    lake.land("receipts", "a.jsonl", '{"entryId": "1"}\n')
    assert lake.ingest("receipts").tables["declarations.declaration_event"].quarantined == 1


def test_new_contract_version_reads_the_history_again(lake, monkeypatch):
    import dataclasses

    land_day(lake)
    lake.ingest("declarations")
    before = lake.rows(HEAD, "declaration_no, record_hash")
    real = ingest_module.load_contract

    def newer(name):
        return dataclasses.replace(real(name), version="99.0.0") if name == HEAD else real(name)

    monkeypatch.setattr(ingest_module, "load_contract", newer)
    outcome = lake.ingest("declarations")
    assert (outcome.files, outcome.tables[HEAD].good) == (1, 3)
    assert lake.rows(HEAD, "declaration_no, record_hash") == before
    assert len(set(lake.rows(HEAD, "batch_id"))) == 1
    assert lake.rows(HEAD, "DISTINCT batch_id") == [(outcome.batches[0],)]


# --- corrections ------------------------------------------------------------------------------------------------------


def packages(lake):
    return dict(lake.rows(HEAD, "declaration_no, package_count"))


def corrected(lake, at, seq, count, number=0):
    return lake.declaration(number, messageTime=at, messageSeq=seq, packNo=count)


LATER, EARLIER = "2026-04-02T08:00:00+08:00", "2026-04-01T08:00:00+08:00"


@pytest.mark.parametrize("together", [True, False])
def test_latest_message_wins(lake, together):
    cases = [
        ((EARLIER, 1, 1), (LATER, 1, 2), 2),
        ((LATER, 1, 1), (EARLIER, 9, 2), 1),
        ((LATER, 1, 1), (LATER, 2, 2), 2),
        ((LATER, 2, 1), (LATER, 1, 2), 1),
        ((LATER, 1, 1), (LATER, 1, 2), 2),  # tie: the later file
        ((None, None, 1), (EARLIER, 1, 2), 2),
        ((EARLIER, 1, 1), (None, None, 2), 1),
        ((None, None, 1), (None, None, 2), 2),
    ]
    lake.land_messages("declarations", [corrected(lake, *first, n) for n, (first, _, _) in enumerate(cases)], "a.jsonl")
    if not together:
        lake.ingest("declarations")
    lake.land_messages("declarations", [corrected(lake, *last, n) for n, (_, last, _) in enumerate(cases)], "b.jsonl")
    outcome = lake.ingest("declarations")
    expected = {lake.declaration(n)["entryId"]: winner for n, (_, _, winner) in enumerate(cases)}
    assert packages(lake) == expected
    assert outcome.tables[HEAD].superseded == (8 if together else 3)


def test_tie_within_a_file_goes_to_the_later_line(lake):
    lake.land_messages("declarations", [corrected(lake, LATER, 1, n) for n in (5, 7, 6)])
    outcome = lake.ingest("declarations")
    assert list(packages(lake).values()) == [6]
    counts = outcome.tables[HEAD]
    assert (counts.rows_in, counts.good, counts.superseded) == (3, 3, 2)


def test_correction_that_moves_the_partition_leaves_one_row(lake):
    lake.land_messages("declarations", [lake.declaration(n) for n in range(40)])
    lake.ingest("declarations")
    moved = lake.declaration(0, messageTime="2026-06-01T00:00:00Z", declareDate="2026-05-31", declareTime=None)
    lake.land_messages("declarations", [moved, lake.declaration(41)], "b.jsonl")
    lake.ingest("declarations")
    found = lake.rows(HEAD, "declaration_no, declared_month", f"declaration_no = '{moved['entryId']}'")
    assert found == [(moved["entryId"], date(2026, 5, 1))]
    assert len(lake.rows(HEAD)) == 41


def test_new_keys_only_take_the_append_path(lake, monkeypatch):
    lake.land_messages("declarations", [lake.declaration(0)])
    lake.ingest("declarations")
    monkeypatch.setattr(ingest_module, "merge", lambda *_: pytest.fail("merged although every key is new"))
    lake.land_messages("declarations", [lake.declaration(1)], "b.jsonl")
    lake.ingest("declarations")
    assert len(lake.rows(HEAD)) == 2


def test_merge_names_the_partitions_it_reads(lake, monkeypatch):
    seen = []
    real = ingest_module.merge
    monkeypatch.setattr(ingest_module, "merge", lambda *a: seen.append(a[4]) or real(*a))
    lake.land_messages("declarations", [lake.declaration(n) for n in range(60)])
    lake.ingest("declarations")
    lake.land_messages("declarations", [corrected(lake, "2026-07-01T00:00:00Z", 1, 3)], "b.jsonl")
    lake.ingest("declarations")
    assert seen[0] == [{"declared_month": date(2026, 4, 1)}]


# --- one writer -------------------------------------------------------------------------------------------------------


def test_second_ingest_of_a_busy_feed_is_told_to_try_again(lake):
    land_day(lake)
    inside, leave = threading.Event(), threading.Event()

    def hold(point):
        if point == "manifest":
            inside.set()
            leave.wait(20)

    first = threading.Thread(target=lake.ingest, args=("declarations",), kwargs={"reached": hold})
    first.start()
    try:
        assert inside.wait(20)
        with pytest.raises(TryAgainError, match="being written by another command") as refusal:
            lake.ingest("declarations")
        assert refusal.value.exit_code == 75
    finally:
        leave.set()
        first.join(30)
    assert len(lake.rows(HEAD)) == 3


@pytest.mark.slow
def test_parallel_ingests_of_one_feed_are_serialised(lake):
    land_day(lake)
    command = [sys.executable, "-m", "infra.cli", "lake", "ingest", "declarations", "--wait", "60"]
    environment = {**os.environ, "CUSTOMS_HOME": str(lake.settings.home)}
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert len(lake.rows(HEAD)) == 3
    assert len(lake.rows("governance.batch")) == 2
    assert len(list(lake.settings.lake.glob("batches/*.json"))) == 1


def test_locks_are_taken_in_one_order_and_released(lake):
    with table_locks(lake.settings, ["b", "a"], wait=0):
        pass
    with (
        table_locks(lake.settings, ["a", "b"], wait=0),
        pytest.raises(TryAgainError),
        table_locks(lake.settings, ["b"], wait=0),
    ):
        pass


def test_rows_that_do_not_add_up_stop_before_any_commit(lake, monkeypatch):
    land_day(lake)
    real = ingest_module._Table._stage

    def lossy(self):
        real(self)
        self.connection.execute("UPDATE staged SET __errors = [] WHERE __errors IS NOT NULL")

    monkeypatch.setattr(ingest_module._Table, "_stage", lossy)
    with pytest.raises(CustomsError, match="4 rows in are not 3 good and 0 quarantined"):
        lake.ingest("declarations")
    assert lake.rows(HEAD) == []
    assert commit_module.DeltaTable(str(lake.settings.silver(HEAD))).version() == 0
