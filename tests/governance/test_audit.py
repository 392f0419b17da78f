"""The audit log: whatever is done to it behind its back is found, with file and line."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError


@pytest.fixture
def clock(monkeypatch):
    """Moves the log's clock."""

    class Clock(datetime):
        offset = timedelta(0)

        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 11, 18, 10, tzinfo=UTC) + cls.offset

    monkeypatch.setattr(audit, "datetime", Clock)
    return Clock


@pytest.fixture
def log(settings, clock):
    """Three days of five events each."""
    for day in range(3):
        clock.offset = timedelta(days=day)
        for n in range(5):
            audit.record("share.checked", "wang", f"request-{day}-{n}", {"rows": n}, settings=settings)
    return settings.home / "audit"


DAYS = ("2026-11-18.jsonl", "2026-11-19.jsonl", "2026-11-20.jsonl")


def found(settings) -> list[tuple[str, str, int]]:
    return [(f.kind, f.file, f.line) for f in audit.verify(settings).findings]


def test_an_untouched_log_is_sound(settings, log):
    verdict = audit.verify(settings)
    assert verdict.sound, verdict
    assert (verdict.events, verdict.days) == (15, 3)
    assert verdict.head == audit.heads(settings)[-1]["hash"]
    assert [head["sequence"] for head in audit.heads(settings)] == [5, 10, 15]


def test_no_log_is_sound_and_leaves_no_trace(settings):
    assert audit.verify(settings).sound
    assert not settings.home.exists()


def test_only_the_owner_reads_it(settings, log):
    for path in [*log.iterdir(), *(settings.home / "anchors").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("day", [0, 1, 2])
@pytest.mark.parametrize("line", [1, 3, 5])
def test_every_flipped_byte_is_found_with_its_place(settings, log, day, line):
    path = log / DAYS[day]
    whole = path.read_bytes()
    start = sum(len(one) + 1 for one in whole.split(b"\n")[: line - 1])
    length = len(whole.split(b"\n")[line - 1])
    for at in range(start, start + length, 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        findings = audit.verify(settings).findings
        assert [(f.file, f.line) for f in findings] == [(DAYS[day], line)], (at, findings)
        assert findings[0].kind in ("edited", "unreadable")


@pytest.mark.parametrize("forge", [True, False])
def test_an_edited_detail_is_found_even_with_a_fresh_hash(settings, log, forge):
    path = log / DAYS[1]
    lines = path.read_text().splitlines()
    event = json.loads(lines[2])
    event["actor"] = "li"
    if forge:
        body = {k: v for k, v in event.items() if k not in ("hash", "prev_hash")}
        event["hash"] = audit.event_hash(event["prev_hash"], body)
    lines[2] = json.dumps(event, sort_keys=True, separators=(",", ":"))
    path.write_text("\n".join(lines) + "\n")
    assert found(settings) == [("edited", DAYS[1], 3)]


@pytest.mark.parametrize(("day", "line"), [(0, 1), (0, 3), (1, 1), (1, 5), (2, 1), (2, 4)])
def test_a_dropped_line_is_found(settings, log, day, line):
    path = log / DAYS[day]
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[line - 1]
    path.write_bytes(b"".join(lines))
    # the place is where the gap shows: the line that now stands there, or the first of the next day
    place = (DAYS[day], line) if line <= len(lines) else (DAYS[day + 1], 1)
    kinds = found(settings)
    assert kinds == [("deleted", *place)]
    number = str(day * 5 + line)
    assert f"Event {number} is missing" in audit.verify(settings).findings[0].sentence


def test_a_dropped_day_is_found(settings, log):
    (log / DAYS[1]).unlink()
    verdict = audit.verify(settings)
    assert [(f.kind, f.file, f.line) for f in verdict.findings] == [("deleted", DAYS[2], 1)]
    assert "6 to 10" in verdict.reason


@pytest.mark.parametrize("line", [1, 2, 4])
def test_swapped_lines_are_found(settings, log, line):
    path = log / DAYS[1]
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1], lines[line] = lines[line], lines[line - 1]
    path.write_bytes(b"".join(lines))
    findings = found(settings)
    assert findings[0] == ("reordered", DAYS[1], line)
    assert {kind for kind, _, _ in findings} == {"reordered"}


@pytest.mark.parametrize("keep", [0, 1, 4])
def test_a_log_cut_at_its_end_is_found_against_the_anchor(settings, log, keep):
    path = log / DAYS[2]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:keep]))
    place = (DAYS[2], keep) if keep else (DAYS[1], 5)
    assert found(settings) == [("truncated", *place)]


def test_a_last_day_cut_whole_is_found(settings, log):
    (log / DAYS[2]).unlink()
    assert found(settings) == [("truncated", DAYS[1], 5)]


def test_a_log_gone_whole_is_found(settings, log):
    for path in log.glob("*.jsonl"):
        path.unlink()
    assert {kind for kind, _, _ in found(settings)} == {"truncated"}


def test_writing_on_does_not_hide_a_cut(settings, log, clock):
    path = log / DAYS[2]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    for n in range(6):
        audit.record("share.checked", "wang", f"later-{n}", settings=settings)
    assert ("rewritten", DAYS[2], 0) in found(settings)


def test_a_chain_written_anew_is_found_against_the_anchors(settings, log):
    previous = audit.GENESIS
    for name in DAYS:
        lines = []
        for line in (log / name).read_text().splitlines():
            event = json.loads(line) | {"actor": "nobody", "prev_hash": previous}
            body = {k: v for k, v in event.items() if k not in ("hash", "prev_hash")}
            previous = event["hash"] = audit.event_hash(previous, body)
            lines.append(json.dumps(event, sort_keys=True, separators=(",", ":")) + "\n")
        (log / name).write_text("".join(lines))
    assert found(settings) == [("rewritten", name, 0) for name in DAYS]


def test_a_removed_anchor_is_found(settings, log):
    (settings.home / "anchors" / "heads.jsonl").unlink()
    assert found(settings) == [("unanchored", DAYS[0], 0), ("unanchored", DAYS[1], 0)]


def test_a_missing_line_end_or_an_empty_line_is_found(settings, log):
    path = log / DAYS[2]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert found(settings) == [("edited", DAYS[2], 5)]
    path.write_bytes(whole.replace(b"\n", b"\n\n", 1))
    assert found(settings) == [("unreadable", DAYS[2], 2)]


def test_a_writer_killed_inside_its_line_stops_nobody(settings, log):
    path = log / DAYS[2]
    with path.open("ab") as file:
        file.write(b'{"actor":"wang","at":"2026')
    event = audit.record("share.checked", "wang", "after", settings=settings)
    assert event.sequence == 16
    assert found(settings) == [("unreadable", DAYS[2], 6)]


def test_a_clock_set_back_keeps_the_order(settings, log, clock):
    clock.offset = timedelta(days=-5)
    event = audit.record("share.checked", "wang", "back", settings=settings)
    assert event.at.startswith("2026-11-20")
    assert audit.verify(settings).sound


def test_an_event_needs_a_name_an_actor_and_plain_detail(settings):
    for event, actor, detail in (
        ("Share", "a", {}),
        ("share.approved", "", {}),
        ("share.approved", "a", {"x": object()}),
    ):
        with pytest.raises(BadArgumentsError, match="hare"):
            audit.record(event, actor, "subject", detail, settings=settings)
    assert audit.verify(settings).events == 0


@pytest.mark.slow
def test_four_processes_keep_one_chain(settings):
    code = (
        "import sys\nfrom pathlib import Path\nfrom infra.runtime import audit\n"
        "from infra.runtime.settings import Settings\n"
        "s=Settings(home=Path(sys.argv[1]))\n"
        "for n in range(25): audit.record('query.run', sys.argv[2], f'q-{n}', {'n': n}, settings=s)\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(settings.home), f"p{n}"]) for n in range(4)]
    assert [process.wait(120) for process in started] == [0, 0, 0, 0]
    verdict = audit.verify(settings)
    assert verdict.sound, verdict
    assert verdict.events == 100
    for n in range(4):
        mine = [e.subject for e in audit.events(settings) if e.actor == f"p{n}"]
        assert mine == [f"q-{k}" for k in range(25)]


def test_events_are_listed_by_day(settings, log):
    day = datetime(2026, 11, 19, tzinfo=UTC).date()
    assert [e.sequence for e in audit.events(settings, first=day, last=day)] == [6, 7, 8, 9, 10]


def test_the_commands_answer_by_exit_code(settings, log, monkeypatch):
    from typer.testing import CliRunner

    from infra.governance import audit_cli
    from infra.governance.cli import app
    from infra.runtime.errors import DataContractError

    monkeypatch.setattr(audit_cli, "get_settings", lambda: settings)
    runner = CliRunner()
    sound = runner.invoke(app, ["audit", "verify", "--json"])
    assert sound.exit_code == 0
    assert json.loads(sound.stdout)["audit"] == "ok"
    listed = runner.invoke(app, ["audit", "list", "--subject", "request-1-2", "--json"])
    assert [e["sequence"] for e in json.loads(listed.stdout)] == [8]
    path = log / DAYS[1]
    path.write_bytes(path.read_bytes().replace(b'"rows":2', b'"rows":3'))
    broken = runner.invoke(app, ["audit", "verify", "--json"])
    assert broken.exit_code == 3
    assert json.loads(broken.stdout)["findings"][0]["line"] == 3
    assert isinstance(runner.invoke(app, ["audit", "verify"]).exception, DataContractError)


def test_the_steward_gets_a_row_per_day(settings, log):
    from deltalake import DeltaTable

    from infra.governance.heads import publish_heads

    def rows():
        table = DeltaTable(str(settings.silver("governance.audit_head"))).to_pyarrow_table()
        return {row["audit_day"].isoformat(): row for row in table.to_pylist()}

    assert publish_heads(settings)["audit"] == "ok"
    before = rows()
    assert [(row["event_count"], row["is_sound"]) for row in before.values()] == [(5, True)] * 3
    path = log / DAYS[1]
    path.write_bytes(path.read_bytes().replace(b'"rows":2', b'"rows":3'))
    assert publish_heads(settings)["audit"] != "ok"
    after = rows()
    assert [after[day]["is_sound"] for day in sorted(after)] == [True, False, True]
    assert "line 3" in after["2026-11-19"]["finding"]
    (log / DAYS[2]).unlink()
    publish_heads(settings)
    assert rows()["2026-11-20"]["is_sound"] is False
    assert rows()["2026-11-20"]["head_hash"] == before["2026-11-20"]["head_hash"]
