"""Each kind of bad input: a clear refusal naming file and remedy, or quarantine with rule, file and line."""

import gzip
import json
import resource
import subprocess
import sys

import pytest

ORDER = "ecommerce.order"
FEED = "ecommerce_order"


def refused(lake, name, content, day=None):
    """Land a bad file beside a good one; the good one lands, the bad one is named. Returns the sentence."""
    lake.land_rows(FEED, lake.valid(ORDER, 3), "good.csv")
    lake.land(FEED, name, content) if isinstance(content, str | bytes) else None
    outcome = lake.ingest(FEED)
    assert outcome.tables[ORDER].good == 3
    assert len(outcome.refused) == 1
    sentence = outcome.refused[0]
    assert f"{FEED}/{lake.day}/{name}" in sentence
    entries = lake.rows("governance.batch", "file_status, refusal, rows_in", f"source_file LIKE '%/{name}'")
    assert entries == [("refused", sentence, 0)]
    return sentence


def test_empty_file_is_refused(lake):
    assert "is empty; ask the sender" in refused(lake, "bad.csv", b"")


def test_file_of_blank_lines_is_refused(lake):
    assert "blank lines" in refused(lake, "bad.csv", "\n \r\n\n")


def test_truncated_gzip_is_refused(lake):
    whole = gzip.compress(lake.csv_text(FEED, lake.valid(ORDER, 200)).encode())
    path = lake.settings.landing / FEED / str(lake.day) / "bad.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated gzip" in refused(lake, "bad.csv.gz", None)


def test_gzip_cut_within_its_last_bytes_is_refused(lake):
    path = lake.settings.landing / FEED / str(lake.day) / "bad.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(lake.csv_text(FEED, lake.valid(ORDER, 5)).encode())[:-3])
    assert "truncated gzip" in refused(lake, "bad.csv.gz", None)


def test_damaged_gzip_is_refused(lake):
    path = lake.settings.landing / FEED / str(lake.day) / "bad.csv.gz"
    path.parent.mkdir(parents=True)
    whole = bytearray(gzip.compress(lake.csv_text(FEED, lake.valid(ORDER, 200)).encode()))
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(whole))
    assert "damaged content" in refused(lake, "bad.csv.gz", None)


def test_file_that_is_no_gzip_at_all_is_refused(lake):
    path = lake.settings.landing / FEED / str(lake.day) / "bad.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_text(lake.csv_text(FEED, lake.valid(ORDER, 2)))
    assert "not a sound gzip" in refused(lake, "bad.csv.gz", None)


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "latin-1"])
def test_other_encoding_is_refused(lake, encoding):
    rows = [
        row | {"consignee_address": "北京路1号" if encoding != "latin-1" else "Straße 1"}
        for row in lake.valid(ORDER, 3)
    ]
    sentence = refused(lake, "bad.csv", lake.csv_text(FEED, rows).encode(encoding))
    assert "not UTF-8" in sentence
    assert "convert it" in sentence


def test_nul_byte_is_refused_with_its_line(lake):
    text = lake.csv_text(FEED, lake.valid(ORDER, 3)).encode()
    cut = text.rindex(b",")
    assert "NUL byte in line 4" in refused(lake, "bad.csv", text[:cut] + b"\0" + text[cut:])


def test_character_split_across_pieces_is_accepted(lake):
    # a three-byte character on the border of two pieces of one MiB
    rows = lake.valid(ORDER, 1)
    text = lake.csv_text(FEED, rows)
    start = len(text[: text.rindex("\n")].encode())
    filler = "一" * ((1 << 20) // 3)
    shifted = [text + "x" * shift + filler + "\n" for shift in range(3)]
    for number, content in enumerate(shifted):
        assert start < 1 << 20
        lake.land(FEED, f"{number}.csv", content)
    outcome = lake.ingest(FEED)
    assert outcome.refused == []
    assert outcome.tables[ORDER].reasons == {"record.fields": 3}


@pytest.mark.parametrize("column", ["orderNo", "acturalPaid"])
def test_missing_column_is_refused_by_name(lake, column):
    header = [name for name in lake.header(FEED) if name != column]
    sentence = refused(lake, "bad.csv", lake.csv_text(FEED, lake.valid(ORDER, 2), header))
    assert f"missing '{column}'" in sentence


def test_extra_column_is_refused_by_name(lake):
    lines = lake.csv_text(FEED, lake.valid(ORDER, 2)).splitlines()
    content = "\n".join([lines[0] + ",couponNo", *(line + ",7" for line in lines[1:])])
    assert "unknown 'couponNo'" in refused(lake, "bad.csv", content)


def test_renamed_and_repeated_columns_are_refused(lake):
    lines = lake.csv_text(FEED, lake.valid(ORDER, 2)).splitlines()
    content = "\n".join([lines[0].replace("freight", "orderNo"), *lines[1:]])
    sentence = refused(lake, "bad.csv", content)
    assert "missing 'freight'" in sentence
    assert "repeated 'orderNo'" in sentence


def test_file_without_header_is_refused(lake):
    content = lake.csv_text(FEED, lake.valid(ORDER, 2)).split("\n", 1)[1]
    assert "no header line" in refused(lake, "bad.csv", content)


def test_file_name_of_no_layout_is_refused(lake):
    assert "fits no layout" in refused(lake, "bad.xml", "<a/>")


def test_reordered_columns_land_alike(lake):
    rows = lake.valid(ORDER, 4)
    lake.land_rows(FEED, rows[:2], "a.csv")
    lake.land(FEED, "b.csv", lake.csv_text(FEED, rows[2:], list(reversed(lake.header(FEED)))))
    assert lake.ingest(FEED).tables[ORDER].good == 4
    found = lake.rows(ORDER, "order_no, goods_value, currency_code")
    assert [row[0] for row in found] == sorted(row["order_no"] for row in rows)
    assert {row[2] for row in found} == {"142"}


def test_byte_order_mark_crlf_and_missing_last_line_end_are_accepted(lake):
    text = lake.csv_text(FEED, lake.valid(ORDER, 3)).replace("\n", "\r\n").rstrip()
    lake.land(FEED, "a.csv", b"\xef\xbb\xbf" + text.encode())
    outcome = lake.ingest(FEED)
    assert (outcome.refused, outcome.tables[ORDER].good) == ([], 3)
    assert [row[0] for row in lake.rows(ORDER, "source_line")] == [1, 2, 3]


def test_header_only_file_brings_no_rows(lake):
    lake.land(FEED, "a.csv", lake.csv_text(FEED, []))
    outcome = lake.ingest(FEED)
    assert outcome.refused == []
    assert lake.rows("governance.batch", "file_status, rows_in, rows_good, rows_quarantined") == [("ingested", 0, 0, 0)]


def test_ragged_rows_are_quarantined_with_their_text(lake):
    lines = lake.csv_text(FEED, lake.valid(ORDER, 5)).splitlines()
    lines[2] = lines[2].rsplit(",", 1)[0]
    lines[4] += ",surplus"
    lake.land(FEED, "a.csv", "\n".join(lines) + "\n")
    counts = lake.ingest(FEED).tables[ORDER]
    assert (counts.rows_in, counts.good, counts.quarantined) == (5, 3, 2)
    assert lake.quarantined(ORDER, "source_line, rule_ids, original") == [
        (2, "record.fields", lines[2]),
        (4, "record.fields", lines[4]),
    ]


def test_quotes_are_read_and_a_stray_quote_breaks_its_own_line_only(lake):
    rows = lake.valid(ORDER, 4)
    rows[0]["order_no"] = 'a "quoted", order'
    lines = lake.csv_text(FEED, rows).splitlines()
    lines[3] = lines[3].replace(rows[2]["order_no"], '"' + rows[2]["order_no"])
    lake.land(FEED, "a.csv", "\n".join(lines) + "\n")
    counts = lake.ingest(FEED).tables[ORDER]
    assert (counts.good, counts.quarantined) == (3, 1)
    assert lake.quarantined(ORDER) == [(3, "record.fields")]
    assert lake.rows(ORDER, "order_no", "source_line = 1") == [('a "quoted", order',)]


def test_broken_json_lines_are_quarantined_once(lake):
    broken = ['{"entryId": "1', "not json", "[1, 2]", "17", "null", '{"a": 1} {"b": 2}']
    lines = [json.dumps(lake.declaration(0)), *broken, "", json.dumps(lake.declaration(1))]
    lake.land("declarations", "a.jsonl", "\n".join(lines) + "\n")
    outcome = lake.ingest("declarations")
    head = outcome.tables["declarations.declaration"]
    assert (head.rows_in, head.good, head.quarantined) == (8, 2, 6)
    assert lake.quarantined("declarations.declaration", "source_line, rule_ids, original") == [
        (line, "record.json", text) for line, text in enumerate(broken, 2)
    ]
    items = outcome.tables["declarations.declaration_item"]
    assert (items.rows_in, items.good) == (4, 4)


def test_nested_records_that_are_no_list_are_quarantined(lake):
    lake.land_messages(
        "declarations", [lake.declaration(0, items={"gNo": 1}), lake.declaration(1, items=None), lake.declaration(2)]
    )
    items = lake.ingest("declarations").tables["declarations.declaration_item"]
    assert (items.rows_in, items.good, items.quarantined) == (3, 2, 1)
    assert lake.quarantined("declarations.declaration_item") == [(1, "record.list")]


def test_every_broken_rule_is_named_in_contract_order(lake):
    bad = lake.declaration(0, declPort="9999", ieFlag="X", declareDate="2026-02-30", grossWet="heavy")
    lake.land_messages("declarations", [bad])
    lake.ingest("declarations")
    ((line, rules, reason, original, key),) = lake.quarantined(
        "declarations.declaration", "source_line, rule_ids, reason, original, row_key"
    )
    assert rules.split(",") == [
        "declared_on.type",
        "gross_mass_kg.type",
        "direction.pattern",
        "customs_office_code.code",
        "declaration_no.office",
    ]
    assert (line, reason, key) == (1, "declared_on reads as DATE.", bad["entryId"])
    assert json.loads(original) == bad


def test_bad_values_are_quarantined_by_rule(lake):
    changes = [
        ({"declPort": "9999", "entryId": "999920261000000001"}, "customs_office_code.code"),
        ({"tradeCountry": "XX"}, "dispatch_country_code.code"),
        ({"declareDate": "1999-12-31", "declareTime": None}, "declared_on.range"),
        ({"declareDate": "2099-12-31", "declareTime": None}, "declared_on.not_in_future"),
        ({"packNo": "999999999"}, "package_count.range"),
        ({"grossWet": "10", "netWt": "11"}, "net_mass_kg.not_above_gross"),
        ({"tradeCo": "91110000MA0000000X"}, "trader_id.checksum"),
        ({"ieFlag": None}, "direction.required"),
        ({"declareTime": "2026-04-01 09:00"}, "declared_at.type"),
    ]
    lake.land_messages("declarations", [lake.declaration(n, **change) for n, (change, _) in enumerate(changes, 1)])
    lake.land_messages("declarations", [lake.declaration(0)], "good.jsonl")
    counts = lake.ingest("declarations").tables["declarations.declaration"]
    assert (counts.good, counts.quarantined) == (1, len(changes))
    named = dict(lake.quarantined("declarations.declaration"))
    for line, (_, rule) in enumerate(changes, 1):
        assert rule in named[line].split(","), (rule, named[line])


def test_a_value_that_overflows_arithmetic_stops_its_row_only(lake):
    absurd = lake.declaration(0)
    absurd["items"][0] |= {"customsValue": "99999999999999.99", "dutyRate": "999.9999", "duty": "9999999999.00"}
    lake.land_messages("declarations", [absurd, lake.declaration(1)])
    counts = lake.ingest("declarations").tables["declarations.declaration_item"]
    assert (counts.good, counts.quarantined) == (3, 1)
    assert lake.quarantined("declarations.declaration_item") == [(1, "customs_value.range")]


def test_warnings_let_the_row_pass_and_are_counted(lake):
    rows = lake.valid(ORDER, 3)
    rows[1]["actual_paid"] = "999.00"
    lake.land_rows(FEED, rows)
    counts = lake.ingest(FEED).tables[ORDER]
    assert (counts.good, counts.quarantined, counts.warnings) == (3, 0, {"actual_paid.adds_up": 1})


def test_over_long_line_is_refused_and_its_copy_removed(lake):
    lake.settings = lake.settings.model_copy(update={"max_line_bytes": 1000})
    sentence = refused(lake, "bad.csv", lake.csv_text(FEED, lake.valid(ORDER, 1)) + "x" * 1001 + "\n")
    assert "line longer than 1,000 bytes (line 3)" in sentence
    sealed = [path.name for path in lake.settings.raw(FEED).rglob("*") if path.is_file()]
    assert sealed == ["good.csv"]


_HUGE = """
import resource, sys
from pathlib import Path
from infra.lake.files import RefusedFileError, seal
from data_contracts import load_layouts
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
layouts = [one for one in load_layouts().values() if one.feed == "receipts"]
try:
    seal(Path(sys.argv[1]), layouts, Path(sys.argv[2]), 16 << 20)
except RefusedFileError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["huge.jsonl", "huge.jsonl.gz"])
def test_a_line_of_one_gibibyte_is_refused_in_flat_memory(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".gz"):
        with gzip.open(path, "wb", compresslevel=1) as file:
            for _ in range(64):
                file.write(b"x" * (1 << 20))  # 64 MiB unpacked is four times the limit already
    else:
        with path.open("wb") as file:
            file.write(b'{"a": "')
            file.seek(1 << 30)  # a hole reads as NUL bytes
            file.write(b'"}\n')
        data = b"y" * (1 << 20)
        with path.open("r+b") as file:
            for _ in range(20):
                file.write(data)
    done = subprocess.run(
        [sys.executable, "-c", _HUGE, str(path), str(tmp_path / "copy" / name)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    sentence, growth = done.stdout.strip().rsplit("\n", 1)
    assert "line longer than 16,777,216 bytes (line 1)" in sentence
    assert int(growth) < 120
    assert not (tmp_path / "copy" / name).exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def test_day_folder_with_another_name_is_an_argument_error(lake):
    from infra.runtime.errors import BadArgumentsError

    lake.land(FEED, "a.csv", "x")
    (lake.settings.landing / FEED / "20260430").mkdir()
    with pytest.raises(BadArgumentsError, match="not a day folder"):
        lake.ingest(FEED)


def test_half_copied_and_hidden_files_are_left_alone(lake):
    lake.land(FEED, "a.csv.part", "x")
    lake.land(FEED, ".a.csv", "x")
    outcome = lake.ingest(FEED)
    assert (outcome.files, outcome.refused) == (0, [])
