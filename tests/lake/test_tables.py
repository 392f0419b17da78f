"""What tables look like: made from contracts, typed, pseudonymised, restricted, kept small."""

import hashlib
import hmac
import json
import logging
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from data_contracts import load_contracts
from infra.lake.commit import create_lake, table_locks, write_table
from infra.lake.maintain import maintain
from infra.lake.pseudonym import create_keys, key_file, load_keys
from infra.runtime.errors import BadArgumentsError, DataContractError, TryAgainError

ORDER = "ecommerce.order"


def test_every_contract_has_an_empty_table_and_fed_ones_a_quarantine(lake):
    assert set(create_lake(lake.settings).values()) == {"present"}
    for contract in load_contracts().values():
        if contract.id == "governance.quarantine":
            continue
        table = DeltaTable(str(lake.settings.silver(contract.id)))
        assert [f.name for f in table.schema().fields] == [f.name for f in contract.columns]
        assert table.metadata().configuration["delta.enableDeletionVectors"] == "false"
        assert table.metadata().partition_columns == list(contract.partition_by)
        assert lake.rows(contract.id) == []
        assert DeltaTable.is_deltatable(str(lake.settings.quarantine(contract.id))) == bool(contract.feed)
    described = DeltaTable(str(lake.settings.silver(ORDER))).schema().fields
    buyer = next(f for f in described if f.name == "buyer_id")
    assert buyer.metadata["grade"] == "L4"
    assert buyer.metadata["comment"]


def test_restricted_zones_are_the_owners_only(lake):
    lake.land_rows("ecommerce_order", lake.valid(ORDER, 2))
    lake.ingest("ecommerce_order")
    for zone in ("raw", "quarantine", "batches"):
        assert (lake.settings.lake / zone).stat().st_mode & 0o777 == 0o700
    (sealed,) = [path for path in lake.settings.raw("ecommerce_order").rglob("*") if path.is_file()]
    assert sealed.stat().st_mode & 0o777 == 0o400
    assert sealed.read_bytes() == next(lake.settings.landing.rglob("a.csv")).read_bytes()
    assert key_file(lake.settings).stat().st_mode & 0o777 == 0o600


def test_types_and_instants_in_utc(lake):
    rows = lake.valid(ORDER, 1)
    rows[0] |= {"business_date": "2026-04-01", "ordered_at": "2026-04-01T00:30:00+08:00", "goods_value": "300"}
    lake.land_rows("ecommerce_order", rows)
    lake.ingest("ecommerce_order")
    assert lake.rows(ORDER, "business_date, ordered_at, goods_value") == [
        (date(2026, 4, 1), datetime(2026, 3, 31, 16, 30, tzinfo=UTC), Decimal("300.00"))
    ]
    types = {f.name: str(f.type) for f in DeltaTable(str(lake.settings.silver(ORDER))).schema().fields}
    assert "timestamp" in types["ordered_at"]
    assert "ntz" not in types["ordered_at"]


def test_statistics_tell_the_truth(lake):
    rows = lake.valid(ORDER, 50)
    lake.land_rows("ecommerce_order", rows)
    lake.ingest("ecommerce_order")
    table = DeltaTable(str(lake.settings.silver(ORDER)))
    for action in pa.table(table.get_add_actions(flatten=False)).to_pylist():
        day = action["partition"]["business_date"]
        held = lake.rows(
            ORDER,
            "count(*), min(goods_value), max(goods_value), min(ordered_at), max(ordered_at), "
            "min(order_no), max(order_no)",
            f"business_date = DATE '{day}'",
        )[0]
        low, high = action["min"], action["max"]
        assert action["num_records"] == held[0]
        assert (low["goods_value"], high["goods_value"]) == held[1:3]
        assert low["ordered_at"] <= held[3]
        assert held[4] <= high["ordered_at"]
        assert (low["order_no"], high["order_no"]) == held[5:7]


# --- personal information ---------------------------------------------------------------------------------------------

PERSON = {
    "buyer_id": "110101199003071234",
    "buyer_name": "王小明Canary",
    "buyer_phone": "13912345678",
    "consignee_name": "李四Canary",
    "consignee_phone": "13987654321",
    "consignee_address": "Canary Road 99, Harbin",
}


def test_personal_information_is_a_keyed_pseudonym_in_silver(lake):
    lake.land_rows("ecommerce_order", [row | PERSON for row in lake.valid(ORDER, 1)])
    lake.ingest("ecommerce_order")
    key = load_keys(lake.settings)["ecommerce_person"]
    expected = tuple(hmac.new(key, value.encode(), hashlib.sha256).hexdigest() for value in PERSON.values())
    assert lake.rows(ORDER, ", ".join(PERSON)) == [expected]


def test_personal_information_appears_in_no_table_log_or_report(lake, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    good, bad = lake.valid(ORDER, 2)
    lake.land_rows("ecommerce_order", [good | PERSON, bad | PERSON | {"currency_code": "USD"}])
    said = []
    outcome = lake.ingest("ecommerce_order", progress=said.append)
    assert outcome.tables[ORDER].quarantined == 1
    from infra.lake.look import lake_status, quarantine_reasons

    spoken = "\n".join(
        [
            *said,
            caplog.text,
            *capfd.readouterr(),
            json.dumps(outcome.as_dict()),
            json.dumps(lake_status(lake.settings), default=str),
            json.dumps(quarantine_reasons(ORDER, 5, False, lake.settings), default=str),
        ]
    )
    allowed = [lake.settings.lake / "raw", lake.settings.lake / "quarantine", lake.settings.landing]
    for value in PERSON.values():
        assert value not in spoken
        for path in lake.settings.home.rglob("*"):
            if path.is_file() and not any(path.is_relative_to(zone) for zone in allowed):
                assert value.encode() not in path.read_bytes(), path
    assert PERSON["buyer_id"] in lake.quarantined(ORDER, "original")[0][0]


def test_one_person_is_one_pseudonym_within_a_purpose_only(lake):
    keys = load_keys(lake.settings)
    assert len(set(keys.values())) == len(keys) >= 3
    assert all(len(key) == 32 for key in keys.values())
    assert create_keys(keys, lake.settings) is False
    assert load_keys(lake.settings) == keys


def test_lost_keys_are_never_replaced_silently(lake):
    lake.land_rows("ecommerce_order", lake.valid(ORDER, 1))
    lake.ingest("ecommerce_order")
    key_file(lake.settings).unlink()
    with pytest.raises(BadArgumentsError, match="restore the file"):
        create_lake(lake.settings)


def test_keys_others_can_read_are_refused(lake):
    key_file(lake.settings).chmod(0o644)
    with pytest.raises(BadArgumentsError, match="chmod 600"):
        load_keys(lake.settings)
    key_file(lake.settings).unlink()
    with pytest.raises(TryAgainError, match="customs lake init"):
        load_keys(lake.settings)


def test_new_keys_read_the_history_again(lake):
    lake.land_rows("ecommerce_order", lake.valid(ORDER, 2))
    lake.ingest("ecommerce_order")
    before = set(lake.rows(ORDER, "buyer_id"))
    keys = json.loads(key_file(lake.settings).read_text())
    key_file(lake.settings).write_text(json.dumps(keys | {"ecommerce_person": "ab" * 32}))
    lake.ingest("ecommerce_order")
    after = set(lake.rows(ORDER, "buyer_id"))
    assert len(after) == 2
    assert not before & after


# --- tables the platform writes itself --------------------------------------------------------------------------------

SCORES = "scores.enterprise_risk"
AS_OF = date(2026, 4, 30)


def scores(*values, as_of=AS_OF):
    return pa.table(
        {
            "trader_id": [f"T{n}" for n in range(len(values))],
            "as_of": [as_of] * len(values),
            "score": [float(value) for value in values],
            "score_rank": list(range(1, len(values) + 1)),
            "model_name": ["enterprise_risk"] * len(values),
            "model_version": ["1"] * len(values),
            "scored_at": [datetime(2026, 5, 1, tzinfo=UTC)] * len(values),
        }
    )


def test_replacing_a_partition_twice_leaves_it_once(lake):
    def write(rows, day):
        return write_table(SCORES, rows, mode="replace", where={"as_of": day}, settings=lake.settings)

    write(scores(0.9, 0.5, 0.1), AS_OF)
    write(scores(0.8, as_of=date(2026, 5, 31)), date(2026, 5, 31))
    assert write(scores(0.7, 0.6), AS_OF)["rows"] == 2
    write(scores(0.7, 0.6), AS_OF)
    assert [row[0] for row in lake.rows(SCORES, "score", f"as_of = DATE '{AS_OF}'")] == [0.6, 0.7]
    assert len(lake.rows(SCORES)) == 3
    write(scores(), AS_OF)
    assert len(lake.rows(SCORES)) == 1


def test_rows_of_the_platform_obey_their_contract_too(lake):
    def write(rows, **options):
        return write_table(SCORES, rows, settings=lake.settings, **options)

    with pytest.raises(DataContractError, match=r"1 rows for scores.enterprise_risk break score.range"):
        write(scores(0.5, 1.5), mode="append")
    with pytest.raises(DataContractError, match="come twice"):
        write(pa.concat_tables([scores(0.5), scores(0.6)]), mode="append")
    with pytest.raises(BadArgumentsError, match="no field colour"):
        write(scores(0.5).append_column("colour", pa.array(["red"])), mode="append")
    with pytest.raises(BadArgumentsError, match="partition columns"):
        write(scores(0.5), mode="replace", where={"trader_id": "T0"})
    assert lake.rows(SCORES) == []


def test_merge_replaces_rows_of_the_same_key(lake):
    for values in ((0.1, 0.2), (0.3, 0.4, 0.5)):
        write_table(SCORES, scores(*values), mode="merge", settings=lake.settings)
    assert [row[0] for row in lake.rows(SCORES, "score")] == [0.3, 0.4, 0.5]


def test_relations_and_readers_are_taken_too(lake):
    import duckdb

    rows = scores(0.1, 0.2)  # noqa: F841 - read by name
    write_table(SCORES, duckdb.sql("SELECT * FROM rows"), mode="append", settings=lake.settings)
    write_table(SCORES, scores(0.3, as_of=date(2026, 5, 1)).to_reader(), mode="append", settings=lake.settings)
    assert len(lake.rows(SCORES)) == 3


# --- maintenance ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_maintenance_joins_small_files_and_keeps_every_row(lake):
    for number in range(5):
        lake.land_messages("declarations", [lake.declaration(number)], f"{number}.jsonl")
        lake.ingest("declarations")
    head = "declarations.declaration"
    before = lake.rows(head)
    maintain(lake.settings, progress=lambda _: None, wait=0)
    table = DeltaTable(str(lake.settings.silver(head)))
    assert len(table.file_uris()) == 1
    assert lake.rows(head) == before
    assert list((lake.settings.silver(head) / "_delta_log").glob("*.checkpoint*.parquet"))
    # corrections and replays still work on a maintained table
    lake.land_messages("declarations", [lake.declaration(0, messageTime="2026-09-01T00:00:00Z", packNo="5")], "z.jsonl")
    lake.ingest("declarations")
    assert len(lake.rows(head)) == 5
    again = maintain(lake.settings, progress=lambda _: None, wait=0)
    assert all(one.files_after <= one.files_before for one in again)


@pytest.mark.slow
def test_vacuum_with_a_short_retention_removes_replaced_files(lake):
    head = "declarations.declaration"
    for number in range(3):
        lake.land_messages("declarations", [lake.declaration(number)], f"{number}.jsonl")
        lake.ingest("declarations")
    maintain(lake.settings, progress=lambda _: None, retention_hours=0, wait=0)
    on_disk = {path.name for path in lake.settings.silver(head).rglob("part-*.parquet")}
    assert len(on_disk) == 1
    assert len(lake.rows(head)) == 3


def test_features_of_days_long_past_are_dropped_and_their_files_removed(lake):
    path = lake.settings.features("enterprise_risk")
    for day in (date(2026, 9, 1), date(2026, 10, 1), date(2026, 10, 31)):
        rows = pa.table({"trader_id": ["a", "b"], "as_of": [day, day]})
        write_deltalake(str(path), rows, mode="append", partition_by=["as_of"])
    settings = lake.settings.model_copy(update={"features_kept_days": 30})
    maintain(settings, progress=lambda _: None, retention_hours=0, wait=0)
    table = DeltaTable(str(path))
    assert sorted(p["as_of"] for p in table.partitions()) == ["2026-10-01", "2026-10-31"]
    assert table.to_pyarrow_table().num_rows == 4
    assert not list(path.glob("as_of=2026-09-01/*.parquet"))
    # a day built while maintenance runs waits for it, and the other way round
    with table_locks(settings, ["features.enterprise_risk"], 0), pytest.raises(TryAgainError, match="enterprise_risk"):
        maintain(settings, progress=lambda _: None, wait=0)
