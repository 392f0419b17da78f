"""Files are taken as they arrive: only whole ones, each once, whatever happens to the process on the way."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from deltalake import DeltaTable

from infra.lake.commit import table_locks
from infra.lake.follow import follow
from infra.lake.maintain import maintain
from infra.runtime.errors import BadArgumentsError

FEED, TABLE = "rail_instructions", "rail.instruction"


def message(number, **changes):
    return {
        "instructionId": f"IN-{number}",
        "trainId": "20260429-75001",
        "waybillNo": "RWB1",
        "stationCode": "CN01",
        "position": 1,
        "recipientKind": "railway",
        "instructionKind": "grain_quarantine",
        "selectedBy": "rule",
        "instructionTime": "2026-04-30T10:00:00+08:00",
        "knownTime": "2026-04-30T10:00:05+08:00",
        "answerDue": "2026-05-01T10:00:00+08:00",
        "messageNo": f"IN-{number}#1",
        "messageTime": "2026-04-30T10:00:06+08:00",
        "messageSeq": 1,
    } | changes


def land(lake, *numbers, name="a.jsonl"):
    bad = message("bad", recipientKind="nobody")
    return lake.land_messages(FEED, [*(message(n) for n in numbers), bad], name)


def followed(lake, *, stop=None, settle=0.0, until_idle=0.2, said=None, **options):
    return follow(
        [FEED],
        settings=lake.settings,
        stop=stop or threading.Event(),
        settle=settle,
        until_idle=until_idle,
        progress=(said if said is not None else []).append,
        **options,
    )


def content(lake):
    return {
        "good": lake.rows(TABLE, "instruction_id, source_file, source_line"),
        "bad": lake.quarantined(TABLE, "source_file, source_line, rule_ids"),
        "ledger": lake.rows("governance.batch", "source_file, rows_in, rows_good, rows_quarantined"),
        "batches": len(list(lake.settings.lake.glob("batches/*.json"))),
    }


def test_a_file_is_told_with_its_rows_and_the_time_it_took(lake):
    land(lake, 1, 2)
    (file,) = followed(lake)
    assert (file.feed, file.file, file.rows, file.good, file.quarantined) == (
        FEED, "rail_instructions/2026-04-30/a.jsonl", 3, 2, 1,
    )  # fmt: skip
    assert 0 < file.seconds < 60
    assert "3 rows, 2 good, 1 quarantined, queryable after" in file.line
    assert list(followed(lake)) == []


def test_files_that_come_while_following_are_taken_and_a_refused_one_stops_nothing(lake):
    land(lake, 1)
    stop, found, said = threading.Event(), [], []
    for file in followed(lake, until_idle=20, stop=stop, said=said):
        found.append(file)
        if len(found) == 1:
            lake.land(FEED, "empty.jsonl", b"")
        elif len(found) == 2:
            land(lake, 3, name="c.jsonl")
        else:
            stop.set()
    assert said == [f"following {FEED} in {lake.settings.landing}"]
    assert [file.refusal is None for file in found] == [True, False, True]
    assert "empty.jsonl is empty" in found[1].line
    assert [row[0] for row in lake.rows(TABLE, "instruction_id")] == ["IN-1", "IN-3"]


def test_only_whole_files_are_taken(lake):
    """Names of files under way never; one written in place after it rested; one renamed into place at once."""
    land(lake, 1, name=".a.jsonl")
    land(lake, 2, name="b.jsonl.part")
    written = land(lake, 3, name="c.jsonl")
    done = land(lake, 4, name="d.part")
    time.sleep(0.02)  # a rename within the clock tick of the write cannot be told from a write
    done.rename(done.with_name("d.jsonl"))
    began = time.monotonic()
    taken = {}
    for file in followed(lake, settle=1.0, until_idle=1.5):
        taken[file.file.rsplit("/", 1)[-1]] = time.monotonic() - began
    assert list(taken) == ["d.jsonl", "c.jsonl"]
    assert time.time() - written.stat().st_ctime > 1.0
    assert [row[0] for row in lake.rows(TABLE, "instruction_id")] == ["IN-3", "IN-4"]


def test_a_file_taken_too_early_is_read_again_when_it_is_whole(lake):
    path = land(lake, 1, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    (half,) = followed(lake)
    path.write_bytes(whole)
    (again,) = followed(lake)
    assert (half.rows, half.good, half.quarantined) == (2, 1, 1)
    assert (again.rows, again.good, again.quarantined) == (3, 2, 1)
    assert [row[0] for row in lake.rows(TABLE, "instruction_id")] == ["IN-1", "IN-2"]


POINTS = ["sealed", "manifest", f"quarantine:{TABLE}", f"written:{TABLE}", f"silver:{TABLE}", "before_ledger",
          "after_ledger"]  # fmt: skip


class Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_interrupted_anywhere_and_started_again_gives_the_same_tables(lake, new_lake, point):
    def die(here):
        if here == point:
            raise Killed

    undisturbed = new_lake()
    for one in (undisturbed, lake):
        land(one, 1, 2)
    list(followed(undisturbed))
    with pytest.raises(Killed):
        list(followed(lake, reached=die))
    list(followed(lake))
    assert content(lake) == content(undisturbed)
    assert list(followed(lake)) == []
    assert content(lake) == content(undisturbed)


def test_a_busy_table_is_waited_for_and_the_file_taken_afterwards(lake):
    land(lake, 1)
    held, leave = threading.Event(), threading.Event()

    def writer():
        with table_locks(lake.settings, [TABLE], wait=0):
            held.set()
            leave.wait(20)

    other = threading.Thread(target=writer)
    other.start()
    held.wait(20)
    threading.Timer(1.5, leave.set).start()
    (file,) = followed(lake, said=(said := []))
    other.join()
    assert file.good == 1
    assert any("being written by another command" in line for line in said)


def test_what_a_scheduled_ingestion_took_is_not_taken_again(lake):
    land(lake, 1)
    files = followed(lake, until_idle=0.5)
    first = next(files)
    land(lake, 2, name="b.jsonl")
    lake.ingest(FEED)
    assert list(files) == []
    assert first.file.endswith("a.jsonl")
    assert content(lake)["batches"] == 2
    assert len(lake.rows(TABLE)) == 2


def test_following_ends_after_its_time_and_says_what_feeds_there_are(lake):
    began = time.monotonic()
    assert list(followed(lake, until_idle=None, longest=0.3)) == []
    assert time.monotonic() - began < 5
    with pytest.raises(BadArgumentsError, match="There is no feed 'train'; feeds are"):
        list(follow(["train"], settings=lake.settings, stop=threading.Event(), progress=print))


def test_maintenance_joins_what_many_small_files_left(lake):
    for number in range(6):
        land(lake, number, name=f"{number}.jsonl")
        list(followed(lake, until_idle=0))
    table = lake.settings.silver(TABLE)
    assert len(DeltaTable(str(table)).file_uris()) >= 5
    before = content(lake)
    maintain(lake.settings, wait=0, progress=lambda _: None)
    for path in (table, lake.settings.quarantine(TABLE), lake.settings.silver("governance.batch")):
        assert len(DeltaTable(str(path)).file_uris()) == 1
    assert content(lake) == before
    land(lake, 9, name="9.jsonl")
    assert [file.good for file in followed(lake)] == [1]


_KILLED = """
import os, signal, sys
from pathlib import Path
from threading import Event
from infra.lake.follow import follow
from infra.runtime.settings import Settings

def reached(point):
    if point == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

settings = Settings(home=Path(sys.argv[1]), duckdb_threads=1)
for file in follow(["rail_instructions"], settings=settings, stop=Event(), progress=print, reached=reached):
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", [f"written:{TABLE}", f"silver:{TABLE}"])
def test_killed_follower_loses_and_doubles_nothing(lake, new_lake, point):
    undisturbed = new_lake()
    for one in (undisturbed, lake):
        land(one, 1, 2)
    list(followed(undisturbed))
    done = subprocess.run([sys.executable, "-c", _KILLED, str(lake.settings.home), point], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    list(followed(lake))
    assert content(lake) == content(undisturbed)


@pytest.mark.slow
def test_the_command_ends_cleanly_when_told_to(lake):
    command = [sys.executable, "-m", "infra.cli", "lake", "follow", FEED]
    environment = {**os.environ, "CUSTOMS_HOME": str(lake.settings.home)}
    land(lake, 1)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        line = running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=60)
    assert "2 rows, 1 good, 1 quarantined" in line
    assert running.returncode == 0
    assert "1 files, 2 rows, 1 good, 1 quarantined, 0 refused" in said
    assert len(lake.rows(TABLE)) == 1
