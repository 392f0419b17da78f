"""Live tables follow their contracts: what needs no row rewritten is applied, the rest waits for a migration."""

import os
from dataclasses import replace as changed
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from data_contracts import layout, load_contracts, loader
from data_contracts.emit.delta import arrow_schema
from infra.lake import commit, ingest, migrate
from infra.lake.commit import create_lake, create_table
from infra.lake.evolution import differences
from infra.runtime import audit
from infra.runtime.errors import DataContractError

pytestmark = pytest.mark.slow

ORDER = "ecommerce.order"
SCORES = "scores.enterprise_risk"


@pytest.fixture
def use(monkeypatch):
    """Put a changed contract, and the layouts that follow from it, in the place of the one in use."""

    def put(contract):
        contracts = {**load_contracts(), contract.id: contract}
        for module in (loader, layout, commit, ingest, migrate):
            if hasattr(module, "load_contract"):
                monkeypatch.setattr(module, "load_contract", contracts.__getitem__)
            if hasattr(module, "load_contracts"):
                monkeypatch.setattr(module, "load_contracts", lambda: contracts)
        layouts = layout.load_layouts.__wrapped__()
        for module in (ingest, migrate):
            monkeypatch.setattr(module, "load_layouts", lambda: layouts)
        return contract

    return put


def with_field(contract, name, **attributes):
    fields = tuple(changed(f, **attributes) if f.name == name else f for f in contract.fields)
    rules = {rule.id: rule for rule in (*loader._implicit_rules(fields, fed=bool(contract.feed)), *contract.rules)}
    return changed(contract, fields=fields, rules=tuple(rules.values()), version="2.0.0")


def gaining(contract, **attributes):
    template = contract.field("consignee_district_code")
    added = changed(template, name="coupon_code", source_field="couponCode", code_list=None, pattern=None, **attributes)
    return changed(contract, fields=(*contract.fields, added), version="1.1.0")


def applied(lake):
    return [one for one in audit.events(lake.settings) if one.event == "contract.applied"]


def test_an_additive_change_is_a_metadata_commit_and_an_event(lake, use):
    lake.land_rows("ecommerce_order", lake.valid(ORDER, 2))
    lake.ingest("ecommerce_order")
    files = DeltaTable(str(lake.settings.silver(ORDER))).file_uris()
    old = load_contracts()[ORDER]
    new = use(
        gaining(with_field(old, "discount", required=False, description="Discount, in CNY.", grade="L4"), since="1.1.0")
    )
    outcome = create_lake(lake.settings, [ORDER])
    assert outcome["ecommerce__order"] == "extended"
    table = DeltaTable(str(lake.settings.silver(ORDER)))
    assert table.file_uris() == files
    assert differences(table, new) == []
    stored = {f.name: f for f in table.schema().fields}
    assert stored["discount"].nullable
    assert stored["discount"].metadata["grade"] == "L4"
    assert "ecommerce.order 1.1.0, L4" in table.metadata().description
    (event,) = applied(lake)
    assert (event.actor, event.subject) == ("system:lake-init", "ecommerce__order")
    assert event.detail["from"] == old.version
    assert (event.detail["to"], event.detail["added"]) == ("1.1.0", ["coupon_code"])
    assert set(create_lake(lake.settings, [ORDER]).values()) == {"present"}
    assert len(applied(lake)) == 1


def test_an_old_file_after_an_additive_change_leaves_the_new_column_null(lake, use):
    rows = lake.valid(ORDER, 4)
    old_file = lake.csv_text("ecommerce_order", rows[:2])
    lake.land("ecommerce_order", "before.csv", old_file)
    lake.ingest("ecommerce_order")
    use(gaining(load_contracts()[ORDER], since="1.1.0"))
    header = old_file.splitlines()[0]
    new_file = lake.csv_text("ecommerce_order", rows[2:]).splitlines()
    lake.land(
        "ecommerce_order", "later.csv", "\n".join([f"{header},couponCode", *(f"{one},C1" for one in new_file[1:])])
    )
    lake.land("ecommerce_order", "late.csv", lake.csv_text("ecommerce_order", [rows[0] | {"order_no": "LATE"}]))
    outcome = lake.ingest("ecommerce_order")
    assert outcome.refused == []
    assert [value for _, value in lake.rows(ORDER, "order_no, coupon_code", "order_no <> 'LATE'")].count("C1") == 2
    assert lake.rows(ORDER, "coupon_code", "order_no = 'LATE' OR source_file LIKE '%before.csv'") == [(None,)] * 3


def test_a_column_without_since_is_not_forgiven(lake, use):
    use(gaining(load_contracts()[ORDER]))
    lake.land_rows("ecommerce_order", lake.valid(ORDER, 1))
    (sentence,) = lake.ingest("ecommerce_order").refused
    assert "missing 'couponCode'" in sentence


BREAKING = {
    "a type": lambda c: with_field(c, "goods_value", physical_type="DOUBLE"),
    "a column removed": lambda c: changed(c, fields=tuple(f for f in c.fields if f.name != "freight")),
    "a new required column": lambda c: gaining(c, required=True),
    "a column now required": lambda c: with_field(c, "consignee_district_code", required=True),
    "another key": lambda c: changed(c, key=(*c.key, "buyer_id")),
    "another partition": lambda c: changed(c, partition_by=()),
    "other pseudonyms": lambda c: with_field(c, "buyer_name", purpose="officer"),
}


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING.keys())
def test_a_breaking_change_is_refused_with_the_migration_to_run(lake, use, change):
    lake.land_rows("ecommerce_order", lake.valid(ORDER, 2))
    lake.ingest("ecommerce_order")
    before = DeltaTable(str(lake.settings.silver(ORDER))).version()
    use(change(load_contracts()[ORDER]))
    with pytest.raises(
        DataContractError, match=r"Table ecommerce__order.*`customs lake migrate ecommerce.order`"
    ) as said:
        create_lake(lake.settings, [ORDER])
    assert said.value.exit_code == 3
    assert DeltaTable(str(lake.settings.silver(ORDER))).version() == before
    lake.land_rows("ecommerce_order", lake.valid(ORDER, 3), "b.csv")
    with pytest.raises(DataContractError, match="customs lake migrate"):
        lake.ingest("ecommerce_order")
    assert applied(lake) == []


def test_an_empty_table_follows_any_change(lake, use):
    new = use(with_field(changed(load_contracts()[SCORES], partition_by=()), "score_rank", physical_type="BIGINT"))
    create_lake(lake.settings, [SCORES])
    table = DeltaTable(str(lake.settings.silver(SCORES)))
    assert differences(table, new) == []
    assert table.metadata().partition_columns == []


def filled(lake, count=6):
    good, bad = lake.valid(ORDER, count), lake.valid(ORDER, count + 1)[-1]
    lake.land_rows("ecommerce_order", [*good, bad | {"currency_code": "USD"}])
    lake.ingest("ecommerce_order")
    return good


def test_values_that_survive_are_cast_in_one_commit(lake, use):
    filled(lake)
    before = lake.rows(ORDER, "order_no, goods_value, batch_id, buyer_id")
    contract = with_field(load_contracts()[ORDER], "goods_value", physical_type="DECIMAL(24,4)")
    new = use(changed(contract, partition_by=()))
    (figures,) = migrate.migrate(ORDER, lake.settings, wait=0).values()
    assert (figures["method"], figures["rows_before"], figures["rows_after"]) == ("cast", 6, 6)
    assert figures["version"] > figures["former_version"]
    assert lake.rows(ORDER, "order_no, goods_value, batch_id, buyer_id") == before
    table = DeltaTable(str(lake.settings.silver(ORDER)))
    assert differences(table, new) == []
    former = DeltaTable(str(lake.settings.silver(ORDER)), version=figures["former_version"])
    assert former.to_pyarrow_table().num_rows == 6
    assert applied(lake)[-1].detail["method"] == "cast"
    # and the lake goes on: the same file is read under the new version, another one arrives, nothing comes twice
    lake.land_rows("ecommerce_order", lake.valid(ORDER, 8), "b.csv")
    lake.ingest("ecommerce_order")
    assert len(lake.rows(ORDER)) == 8
    assert (migrate.migrate(ORDER, lake.settings, wait=0)).popitem()[1]["method"] == "none"


def test_a_removed_column_is_gone_and_nothing_else(lake, use):
    filled(lake)
    before = lake.rows(ORDER, "* EXCLUDE (consignee_district_code, record_hash)")
    contract = load_contracts()[ORDER]
    use(changed(contract, fields=tuple(f for f in contract.fields if f.name != "consignee_district_code")))
    (figures,) = migrate.migrate(ORDER, lake.settings, wait=0).values()
    assert figures["method"] == "cast"
    assert lake.rows(ORDER, "* EXCLUDE (record_hash)") == before


def test_rows_that_cannot_follow_are_read_again_and_judged(lake, use):
    good = filled(lake)
    lake.land_rows("ecommerce_order", [good[0] | {"order_no": "BARE", "consignee_district_code": ""}], "bare.csv")
    lake.ingest("ecommerce_order")
    complete = lake.rows(ORDER, "order_no", "consignee_district_code IS NOT NULL")
    assert 0 < len(complete) < 7
    use(with_field(load_contracts()[ORDER], "consignee_district_code", required=True))
    (figures,) = migrate.migrate(ORDER, lake.settings, wait=0).values()
    assert figures["method"] == "originals"
    assert lake.rows(ORDER, "order_no") == complete
    assert figures["rows_after"] + figures["quarantined"] == 8
    assert len(lake.quarantined(ORDER, where="rule_ids LIKE '%consignee_district_code.required%'")) == 7 - len(complete)
    assert not list((lake.settings.home / "tmp").glob("migrate-*"))


def test_a_new_key_and_new_pseudonyms_come_from_the_originals(lake, use):
    filled(lake)
    before = lake.rows(ORDER, "buyer_name")
    use(changed(with_field(load_contracts()[ORDER], "buyer_name", purpose="officer"), key=("order_no",)))
    (figures,) = migrate.migrate(ORDER, lake.settings, wait=0).values()
    assert (figures["method"], figures["rows_after"], figures["quarantined"]) == ("originals", 6, 1)
    assert not set(before) & set(lake.rows(ORDER, "buyer_name"))


def test_purged_originals_stop_a_migration_before_anything_changed(lake, use):
    filled(lake)
    version = DeltaTable(str(lake.settings.silver(ORDER))).version()
    for sealed in lake.settings.raw("ecommerce_order").rglob("*.csv"):
        os.unlink(sealed)
    use(gaining(load_contracts()[ORDER], required=True))
    with pytest.raises(DataContractError, match=r"1 of 1 sealed originals of ecommerce.order are gone"):
        migrate.migrate(ORDER, lake.settings, wait=0)
    assert DeltaTable(str(lake.settings.silver(ORDER))).version() == version


def test_a_table_without_originals_says_so(lake, use):
    contract = load_contracts()[SCORES]
    row = {
        "trader_id": "T1",
        "as_of": date(2026, 4, 30),
        "score": 0.25,
        "score_rank": 1,
        "model_name": "enterprise_risk",
    }
    row |= {"model_version": "1", "scored_at": datetime(2026, 5, 1, tzinfo=UTC)}
    commit.write_table(SCORES, pa.Table.from_pylist([row]), mode="append", settings=lake.settings)
    use(with_field(contract, "score", physical_type="INTEGER"))
    with pytest.raises(DataContractError, match=r"1 values of score do not survive as INTEGER.*no originals"):
        migrate.migrate(SCORES, lake.settings, wait=0)
    use(with_field(contract, "score", physical_type="DECIMAL(9,6)"))
    (figures,) = migrate.migrate(SCORES, lake.settings, wait=0).values()
    assert figures["method"] == "cast"
    assert lake.rows(SCORES, "score") == [(Decimal("0.250000"),)]


def test_what_was_not_written_as_built_is_put_back(lake, use, monkeypatch):
    filled(lake)
    before = lake.rows(ORDER, "order_no, goods_value")
    use(with_field(load_contracts()[ORDER], "goods_value", physical_type="DECIMAL(24,4)"))
    real = migrate.rewrite

    def loses_a_row(path, contract, rows, notes):
        real(path, contract, rows.read_all().slice(1).to_reader(), notes)

    monkeypatch.setattr(migrate, "rewrite", loses_a_row)
    with pytest.raises(Exception, match="was restored"):
        migrate.migrate(ORDER, lake.settings, wait=0)
    assert lake.rows(ORDER, "order_no, goods_value") == before


def test_quarantine_tables_follow_their_contract_too(lake, use):
    filled(lake)
    contract = load_contracts()["governance.quarantine"]
    template = contract.field("reason")
    use(
        changed(contract, fields=(*contract.fields, changed(template, name="case_no", required=False)), version="1.1.0")
    )
    assert create_lake(lake.settings, [ORDER])["quarantine/ecommerce__order"] == "extended"
    assert lake.quarantined(ORDER, "case_no") == [(None,)]
    narrow = tuple(changed(f, physical_type="INTEGER") if f.name == "source_line" else f for f in contract.fields)
    use(changed(contract, fields=(*narrow, changed(template, name="case_no", required=False)), version="2.0.0"))
    with pytest.raises(
        DataContractError, match=r"quarantine__ecommerce__order.*customs lake migrate governance.quarantine"
    ):
        create_lake(lake.settings, [ORDER])
    done = migrate.migrate("governance.quarantine", lake.settings, wait=0)
    assert done["quarantine/ecommerce__order"]["method"] == "cast"
    assert len(lake.quarantined(ORDER)) == 1


def test_a_lake_made_before_keys_were_stored_takes_what_the_contract_says(lake):
    contract = load_contracts()[SCORES]
    path = lake.settings.home / "older"
    DeltaTable.create(
        str(path),
        pa.schema([pa.field(f.name, f.type, f.nullable) for f in arrow_schema(contract)]),
        partition_by=list(contract.partition_by),
    )
    assert create_table(contract, path, settings=lake.settings) == "described"
    assert differences(DeltaTable(str(path)), contract) == []
    assert contract.version in DeltaTable(str(path)).metadata().description
