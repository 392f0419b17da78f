"""What lands: the same bytes for the same seed, rows that keep their contracts, bad rows that are only a few."""

import dataclasses
import hashlib
import re
from datetime import date, timedelta

import pyarrow.parquet as pq
from stdnum import iso6346
from stdnum.cn import ric, uscc

from data_contracts.emit.sql import history_rules, with_before
from data_contracts.loader import load_contracts
from infra.simulator import messages
from infra.simulator.simulation import FEEDS

from .conftest import FIRST, LAST, TINY, landed_lines, run

SMALLER = dataclasses.replace(TINY, declarations_per_year=1_500, lists_per_year=1_500, enterprises=200)


def digests(folder):
    return {str(p.relative_to(folder)): hashlib.md5(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*.*"))}


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    span = {"scale": SMALLER, "first": date(2026, 3, 20), "last": date(2026, 4, 12)}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run(tmp_path / name, seed=seed, **span)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a" / "landing") != digests(tmp_path / "c" / "landing")


def test_a_second_run_replaces_the_first_and_touches_nothing_else(tmp_path):
    run(tmp_path, scale=SMALLER, first=date(2026, 3, 20), last=date(2026, 4, 8))
    other = tmp_path / "landing" / "declarations" / "2026-03-31" / "sent_by_hand.jsonl"
    other.write_text("{}\n")
    run(tmp_path, scale=SMALLER, first=date(2026, 4, 1), last=date(2026, 4, 7))
    landed = {p.name for p in (tmp_path / "landing" / "declarations").rglob("*.jsonl")}
    assert "sent_by_hand.jsonl" in landed
    assert "declarations_202603_0001.jsonl" not in landed
    assert "declarations_20260408_0001.jsonl" not in landed
    assert "declarations_20260407_0001.jsonl" in landed


def test_every_good_row_keeps_every_contract_rule(world):
    warnings = world.broken["ecommerce.order"].pop("actual_paid.adds_up (warning)")
    read, sent = world.broken.pop("rail.wagon"), world.broken.pop("rail.milestone")
    samples, packages = world.broken.pop("inspections.grain_sample"), world.broken.pop("inspections.special_package")
    # A laboratory result without sample or seal is planted; a seal that changed on the way is kept and flagged.
    assert world.broken["inspections.grain_step"].pop("sample_id.of_laboratory (error)", 0) < 10
    assert set(samples) <= {"received_seal_no.as_sealed (warning)"}
    assert 0 < sum(samples.values()) < 0.1 * world.one("SELECT count(*) FROM inspections__grain_sample")
    # Marks that cannot be read and certificates that had expired are what a check of packages is to find.
    assert set(packages) <= {
        "mark_text.ispm15 (warning)",
        "mark_text.un (warning)",
        "packing_group.covered (warning)",
        "certificate_valid_until.at_use (warning)",
        "border_treatment_code.not_exempt_when_expired (error)",
        "is_opened_at_port.with_order (warning)",
    }
    assert 0 < sum(packages.values()) < 0.05 * world.one("SELECT count(*) FROM inspections__special_package")
    answered = world.broken.pop("rail.instruction_result")
    # Numbers misread at the gate are kept and flagged; events of an illegal transition or of a wrong zone are planted.
    assert set(read) <= {"wagon_no.checksum (warning)", "wagon_no.read (warning)"}
    assert set(sent) <= {"step_status.legal_transition (error)", "occurred_at.not_after_known (error)"}
    assert {rule.split()[0] for rule in answered} <= {
        "answer_code.legal_transition",
        "occurred_at.not_after_known",
        "occurred_at.not_before_instruction",
    }
    assert sum(answered.values()) < 0.05 * world.one("SELECT count(*) FROM rail__instruction_result")
    assert 0 < read["wagon_no.checksum (warning)"] < 0.01 * world.one("SELECT count(*) FROM rail__wagon")
    assert 0 < sum(sent.values()) < 0.005 * world.one("SELECT count(*) FROM rail__milestone")
    # Readings keep every rule but the graded ones; a clock that runs ahead is planted on few of them.
    readings = {c: world.broken.pop(f"rail.{c}") for c in ("radiation", "composition", "inclusion")}
    severe = {rule for rules in readings.values() for rule in rules if rule.endswith("(error)")}
    assert severe <= {"read_at.not_after_known (error)"}
    assert (
        0
        < readings["composition"]["closure_pct.usual (warning)"]
        < 0.08 * world.one("SELECT count(*) FROM rail__composition")
    )
    # Goods of the negative list tried in two steps are planted.
    barred = world.broken.pop("declarations.summary_item")
    assert set(barred) == {"hs6_code.negative_list (error)"}
    assert not {contract: rules for contract, rules in world.broken.items() if rules}
    # Orders that do not add up are planted, a few in a thousand: a warning, no reason for quarantine.
    assert 0 < warnings < 0.01 * world.one("SELECT count(*) FROM ecommerce__order")


def test_receipts_follow_the_legal_transitions(world):
    contract = load_contracts()["declarations.declaration_event"]
    latest = f"SELECT * FROM {contract.table} QUALIFY row_number() OVER (PARTITION BY declaration_no, event_seq) = 1"
    for rule in history_rules(contract):
        assert world.one(f"SELECT count(*) FROM ({with_before(contract, latest)}) WHERE NOT ({rule.sql})") == 0
    states = "'awaiting_arrival', 'pickup_allowed', 'complete_due', 'complete_returned', 'complete_accepted', 'amended'"
    assert world.one(f"SELECT count(DISTINCT status_code) FROM {contract.table} WHERE status_code IN ({states})") == 6


def test_two_steps_lie_in_order_and_a_complete_declaration_may_wait(world):
    order, late, waits, other = world.sql.sql("""
        WITH e AS (SELECT declaration_no, min(occurred_at) FILTER (status_code = '120') AS accepted,
                          min(occurred_at) FILTER (status_code = 'pickup_allowed') AS pickup,
                          max(occurred_at) FILTER (status_code = 'complete_accepted') AS complete
                   FROM declarations__declaration_event GROUP BY 1)
        SELECT avg((s.summary_submitted_at < accepted AND accepted <= pickup AND pickup < c.complete_submitted_at
                    AND c.complete_submitted_at < complete)::INT) FILTER (complete IS NOT NULL AND pickup IS NOT NULL),
               avg((c.complete_submitted_at > d.arrived_at + INTERVAL 14 DAY)::INT),
               count(*) FILTER (c.declaration_no IS NULL),
               count(DISTINCT c.declaration_no) FILTER (left(i.hs_code, 6) <> p.hs6_code)
        FROM declarations__summary_declaration AS s
        LEFT JOIN declarations__complete_declaration AS c USING (declaration_no)
        LEFT JOIN declarations__complete_item AS i ON c.declaration_no = i.declaration_no
        LEFT JOIN declarations__summary_item AS p ON p.declaration_no = i.declaration_no AND p.item_no = i.item_no
        LEFT JOIN declarations__declaration AS d ON d.declaration_no = s.declaration_no
        LEFT JOIN e ON e.declaration_no = s.declaration_no""").fetchone()
    assert order == 1
    assert 0 < late < 0.08
    assert waits > 0
    assert other > 0
    planted = f"read_parquet('{world.truth}/two_step/*.parquet')"
    kinds = dict(world.sql.sql(f"SELECT kind, count(*) FROM {planted} GROUP BY kind").fetchall())
    assert set(kinds) >= {"negative_list_attempt", "complete_waiting", "other_code_in_summary"}
    assert (
        world.one(f"""SELECT count(*) FROM {planted} AS p JOIN declarations__complete_declaration USING (declaration_no)
        WHERE kind = 'complete_waiting'""")
        == 0
    )


def test_exports_are_declared_from_the_bonded_area_a_day_before_loading(world):
    late, early, unknown = world.sql.sql("""
        SELECT avg((declared_at > arrived_at - INTERVAL 24 HOUR)::INT), avg((declared_at < bonded_arrived_at)::INT),
               count(*) FILTER (bonded_arrived_at IS NULL)
        FROM declarations__declaration WHERE direction = 'E'""").fetchone()
    assert 0.01 < late < 0.045
    assert 0.005 < early < 0.03
    assert unknown == 0
    assert world.one("SELECT count(bonded_arrived_at) FROM declarations__declaration WHERE direction = 'I'") == 0


def test_every_fed_contract_gets_rows(world):
    fed = {c.id for c in load_contracts().values() if c.feed in FEEDS}
    popped = {
        f"rail.{c}" for c in ("wagon", "milestone", "radiation", "composition", "inclusion", "instruction_result")
    }
    popped |= {"inspections.grain_sample", "inspections.special_package", "declarations.summary_item"}
    assert fed == set(world.broken) | popped
    assert all(world.one(f"SELECT count(*) FROM {c.replace('.', '__')}") > 0 for c in fed)


def test_identifiers_are_those_python_stdnum_accepts(world):
    sql = world.sql.sql
    traders = [r[0] for r in sql("SELECT DISTINCT trader_id FROM enterprises__enterprise").fetchall()]
    assert len(traders) == TINY.enterprises
    assert all(map(uscc.is_valid, traders))
    boxes = [
        r[0]
        for r in sql("SELECT container_no FROM declarations__declaration WHERE container_no IS NOT NULL").fetchall()
    ]
    assert boxes
    assert all(map(iso6346.is_valid, boxes))
    buyers = [r[0] for r in sql("SELECT DISTINCT buyer_id FROM ecommerce__order LIMIT 500").fetchall()]
    assert all(ric.calc_check_digit(b) == b[-1] and ric.get_birth_date(b).year >= 1960 for b in buyers)


def test_history_is_monthly_and_the_last_five_days_are_daily(world):
    days = sorted(p.name for p in (world.landing / "ecommerce_order").iterdir())
    last = [(LAST - timedelta(days=n)).isoformat() for n in range(5)]
    months = [
        "2025-11-30",
        "2025-12-31",
        "2026-01-31",
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
        "2026-05-31",
        "2026-06-16",
    ]
    assert days == months + sorted(last)


def test_messages_lie_in_the_file_of_the_day_they_were_sent(world):
    for feed in ("receipts", "selections", "inspections"):
        before = (FIRST - timedelta(days=1)).isoformat()
        for path in sorted((world.landing / feed).rglob("*.jsonl")):
            days = set(re.findall(r'"messageTime":"([0-9]{4}-[0-9]{2}-[0-9]{2})T', path.read_text(encoding="utf-8")))
            assert before < min(days) <= max(days) <= path.parent.name
            before = path.parent.name


def test_nothing_is_sent_after_the_last_day(world):
    late = "SELECT count(*) FROM {} WHERE CAST(message_at AT TIME ZONE 'Asia/Shanghai' AS DATE) > DATE '{}'"
    for contract in world.broken:
        assert world.one(late.format(contract.replace(".", "__"), LAST)) == 0


def test_bad_rows_are_few_and_of_every_kind(world):
    kinds = dict(world.sql.sql("SELECT kind, count(*) FROM faults GROUP BY kind").fetchall())
    expected = {
        "unknown_code", "bad_date", "future_date", "negative_amount", "non_numeric", "missing_required",
        "over_long_text", "wrong_checksum", "broken_json", "ragged_row", "duplicate",
    }  # fmt: skip
    assert set(kinds) == expected
    rows = sum(f["rows"] for f in world.summary.feeds.values())
    assert 0.005 < sum(kinds.values()) / rows < 0.015
    assert 0.001 <= messages.FAULT_SHARE <= 0.003


def test_spoiled_lines_break_their_rule(world):
    """The faults are real: judged with them, the feeds break rules that they keep without them."""
    faults = [f for f in pq.read_table(world.truth / "faults.parquet").to_pylist() if f["kind"] == "negative_amount"]
    for fault in faults[:20]:
        if fault["file"].endswith(".jsonl"):
            line = (world.landing / fault["file"]).read_text(encoding="utf-8").splitlines()[fault["line"] - 1]
            source = next(f.source_field for c in load_contracts().values() if c.feed == fault["feed"]
                          for f in c.fields if f.name == fault["field"])  # fmt: skip
            assert f'"{source.split(".")[-1]}":-' in line


def test_the_truth_never_lands(world):
    hidden = {"compliance", "fraud", "probability", "true_", "latent", "is_cheating"}
    for feed in FEEDS:
        header, lines = landed_lines(world.landing, world.truth, feed)
        text = " ".join([*(header or []), *lines[:50]]).lower().replace("scores", "")
        # "compliance" is also a pillar of the AEO validation: its marks are public to customs.
        assert not [word for word in hidden - ({"compliance"} if feed == "aeo_validations" else set()) if word in text]
    assert {p.name for p in world.landing.iterdir()} == set(FEEDS)
    assert {p.name for p in world.truth.iterdir()} >= {"declarations", "cbec_cases", "enterprise_month.parquet"}


def test_messages_that_wait_on_disk_come_back_unchanged_and_in_order(tmp_path):
    span = {"first": date(2026, 4, 7), "last": date(2026, 4, 9)}
    for name, waiting in (("memory", 60_000), ("disk", 25)):
        scale = dataclasses.replace(SMALLER, lists_per_year=30_000, chunk_rows=waiting)
        run(tmp_path / name, scale=scale, fault_share=0, **span)
    for feed in ("ecommerce_list", "receipts"):
        header, lines = landed_lines(tmp_path / "disk" / "landing", tmp_path / "disk" / "truth", feed)
        sent = [
            re.search(r'messageTime":"([^"]*)', line)[1] if not header else line.rsplit(",", 2)[1] for line in lines
        ]
        assert sent == sorted(sent)
        assert len(lines) == len(set(lines)) > 20


def test_a_renamed_source_field_reaches_the_feed(tmp_path, monkeypatch):
    """Messages are built by the contract: rename or add a field there and the feed follows."""
    contracts = dict(load_contracts())
    order = contracts["ecommerce.order"]
    extra = dataclasses.replace(order.field("discount"), name="coupon", source_field="couponValue", required=False)
    renamed = tuple(
        dataclasses.replace(f, source_field="actuallyPaid") if f.name == "actual_paid" else f for f in order.fields
    )
    contracts["ecommerce.order"] = dataclasses.replace(order, fields=(*renamed, extra))
    monkeypatch.setattr(messages, "load_contracts", lambda: contracts)
    run(tmp_path, scale=SMALLER, first=date(2026, 4, 1), last=date(2026, 4, 8), fault_share=0)
    header, lines = landed_lines(tmp_path / "landing", tmp_path / "truth", "ecommerce_order")
    assert "actuallyPaid" in header
    assert "acturalPaid" not in header
    value = lines[0].split(",")[header.index("couponValue")]
    assert float(value) >= 0


def test_slices_of_a_day_are_written_in_order_and_in_parts(tmp_path):
    """At full size a day is cut into slices and a file into parts; nothing is lost and the clock never runs back."""
    sliced = dataclasses.replace(
        SMALLER, lists_per_year=30_000, declarations_per_year=30_000, chunk_rows=20, file_rows=60
    )
    run(tmp_path, scale=sliced, first=date(2026, 4, 7), last=date(2026, 4, 9), fault_share=0)
    parts = sorted((tmp_path / "landing" / "ecommerce_order" / "2026-04-08").iterdir())
    assert len(parts) > 1
    header, lines = landed_lines(tmp_path / "landing", tmp_path / "truth", "ecommerce_order")
    numbers = [line.split(",")[header.index("orderNo")] for line in lines]
    sent = [line.split(",")[header.index("messageTime")] for line in lines]
    assert len(set(numbers)) == len(numbers)
    assert sent == sorted(sent)


def test_canaries_land_in_every_run_where_the_truth_lists_them(world, tmp_path):
    span = {"scale": SMALLER, "first": date(2026, 4, 1), "last": date(2026, 4, 7)}
    other = run(tmp_path, seed=5, **span)
    listed = pq.read_table(world.truth / "canaries.parquet").to_pylist()
    assert listed == pq.read_table(tmp_path / "truth" / "canaries.parquet").to_pylist()
    assert other.feeds["ecommerce_order"]["rows"] > 0
    for one in listed:
        table = one["contract"].replace(".", "__")
        found = world.one(f"SELECT count(*) FROM {table} WHERE CAST({one['field']} AS VARCHAR) = '{one['value']}'")
        # a handful of rows: one a period at most, or every version of one enterprise
        assert 0 < found <= 40, one


def test_canary_buyers_are_in_all_documents_of_their_orders(world):
    buyers = "SELECT order_no FROM ecommerce__order WHERE buyer_name LIKE '金丝雀%'"
    for table, column in (("payment", "payer_name"), ("waybill", "consignee_name"), ("list", "buyer_name")):
        strangers = world.one(
            f"SELECT count(*) FROM ecommerce__{table} WHERE order_no IN ({buyers}) AND {column} NOT LIKE '金丝雀%'"
        )
        assert strangers == 0, table
    assert world.one(f"SELECT count(*) FROM planted WHERE order_no IN ({buyers})") == 0
