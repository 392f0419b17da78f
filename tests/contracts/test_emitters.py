"""What is made from contracts (tables, dbt sources, dictionary, expectations) is fresh, complete and true to them."""

import duckdb
import great_expectations as gx
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from deltalake import DeltaTable

from data_contracts import load_contract, load_contracts
from data_contracts.emit import gx as expectations
from data_contracts.emit.dbt import sources_yaml
from data_contracts.emit.delta import arrow_schema, arrow_type, delta_schema, table_description, table_properties
from data_contracts.emit.dictionary import dictionary_markdown
from data_contracts.errors import ContractError
from data_contracts.generated import stale_files
from data_contracts.model import Field
from data_contracts.policy import load_policy


def test_generated_files_are_fresh():
    assert stale_files() == [], "run: customs contracts build"


@pytest.mark.parametrize(
    "contract_id", ["declarations.declaration", "inspections.inspection", "scores.enterprise_risk"]
)
def test_a_delta_table_of_the_schema_reads_back_as_the_contract(tmp_path, contract_id):
    contract = load_contract(contract_id)
    properties = table_properties(contract)
    DeltaTable.create(
        str(tmp_path),
        delta_schema(contract),
        partition_by=list(contract.partition_by),
        configuration=properties,
        description=table_description(contract),
    )
    table = DeltaTable(str(tmp_path))
    assert [f.name for f in table.schema().fields] == [f.name for f in contract.columns]
    for f, stored in zip(contract.columns, table.schema().fields, strict=True):
        assert stored.nullable is not f.required
        assert stored.metadata["comment"] == f.description
        assert (stored.metadata["grade"], stored.metadata["category"]) == (f.grade, f.category)
        assert stored.metadata.get("key") == (str(f.key_position) if f.key_position else None)
    assert pa.schema(table.schema().to_arrow()).field("message_at" if contract.feed else "scored_at").type.tz == "UTC"
    assert table.metadata().configuration == {"delta.enableDeletionVectors": "false"}
    assert f"{contract.id} {contract.version}" in table.metadata().description
    assert table.metadata().partition_columns == list(contract.partition_by)


@pytest.mark.parametrize("contract", load_contracts().values(), ids=lambda c: c.id)
def test_duckdb_types_and_arrow_types_are_the_same(contract):
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        columns = ", ".join(f'"{f.name}" {f.physical_type}' for f in contract.columns)
        connection.execute(f"CREATE TABLE t ({columns})")
        found = connection.execute("FROM t").to_arrow_table().schema
    assert found.types == arrow_schema(contract).types
    assert [f.nullable for f in arrow_schema(contract)] == [not f.required for f in contract.columns]


def test_an_unknown_type_raises():
    odd = Field("x", "X", "string", "TIME", False, "L1", "reference", "none", "unconditional", "none", "x")
    with pytest.raises(ContractError, match="no Arrow type for TIME"):
        arrow_type(odd)


def test_dbt_sources_have_every_table_and_never_the_original_text():
    contracts = load_contracts()
    document = yaml.load(sources_yaml(contracts.values()), yaml.CSafeLoader)
    silver, quarantine = document["sources"]
    assert {t["name"] for t in silver["tables"]} == {c.table for c in contracts.values()} - {"governance__quarantine"}
    assert len(quarantine["tables"]) == sum(c.feed is not None for c in contracts.values())
    names = {t["name"] for t in quarantine["tables"]}
    assert not names & {t["name"] for t in silver["tables"]}
    for table in quarantine["tables"]:
        assert "original" not in {c["name"] for c in table["columns"]}
        assert "/quarantine/" in table["config"]["external_location"]
    order = next(t for t in silver["tables"] if t["name"] == "ecommerce__order")
    buyer = next(c for c in order["columns"] if c["name"] == "buyer_id")
    assert buyer["config"]["meta"]["grade"] == "L4"
    assert buyer["data_type"] == "VARCHAR"
    assert order["columns"][-1]["name"] == "record_hash"


def test_the_dictionary_names_every_field_once_per_table():
    text = dictionary_markdown(load_contracts().values(), load_policy())
    for contract in load_contracts().values():
        part = text.split(f"\n### {contract.id}\n")[1].split("\n### ")[0]
        for f in contract.fields:
            assert part.count(f"\n| `{f.name}` |") == 1, f"{contract.id}.{f.name}"


@pytest.fixture
def payments(duck):
    contract = load_contract("ecommerce.payment")
    columns = ", ".join(f'"{f.name}" {f.physical_type}' for f in contract.columns)
    duck.execute(f"CREATE OR REPLACE TEMP TABLE payments ({columns})")
    duck.execute(
        "INSERT INTO payments BY NAME SELECT 'P' || (i % 9) AS payment_transaction_no, 'C' AS payment_company_code, "
        "'EBP' AS platform_code, 'O' || i AS order_no, CASE i WHEN 3 THEN -5 ELSE 10 END AS amount_paid, "
        "TIMESTAMPTZ '2026-11-20 00:00:00Z' AS ingested_at FROM range(10) t(i)"
    )
    return contract


def test_expectations_judge_the_aggregate_row(duck, payments):
    sql = expectations.aggregates_sql(payments, "payments", now="2026-11-22T00:00:00Z")
    row = duck.execute(sql).df()
    assert len(row) == 1
    observed = row.iloc[0].to_dict()
    assert observed["row_count"] == 10
    assert observed["duplicate_keys"] == 1
    assert observed["hours_since_ingest"] == 48
    assert observed["nulls__currency_code"] == 10
    assert observed["lowest__amount_paid"] == -5
    context = gx.get_context(mode="ephemeral")
    frame = (
        context.data_sources.add_pandas("frame").add_dataframe_asset("row").add_batch_definition_whole_dataframe("all")
    )
    wanted = [e for e in expectations.expectations(payments) if e.metric in observed]
    suite = gx.ExpectationSuite(name=payments.table)
    for expectation in wanted:
        kind = "".join(part.title() for part in expectation.configuration()["type"].split("_"))
        suite.add_expectation(getattr(gx.expectations, kind)(**expectation.configuration()["kwargs"]))
    suite = context.suites.add(suite)
    result = frame.get_batch({"dataframe": pd.DataFrame([observed])}).validate(suite)
    assert not any(r.exception_info.get("raised_exception") for r in result.results)
    failed = {r.expectation_config.kwargs["column"] for r in result.results if not r.success}
    assert {"duplicate_keys", "nulls__currency_code", "lowest__amount_paid", "hours_since_ingest"} <= failed
    assert "row_count" not in failed
    assert "highest__amount_paid" not in failed


def test_orphans_are_a_share_of_the_rows_that_point_somewhere(duck, payments):
    duck.execute(
        "CREATE OR REPLACE TEMP TABLE orders AS SELECT 'EBP' AS platform_code, 'O' || i AS order_no FROM range(8) t(i)"
    )
    (reference,) = payments.references
    sql = expectations.orphans_sql(payments, reference, "payments", "orders")
    assert duck.execute(sql).fetchone() == (0.2,)
    assert expectations.orphan_expectation(reference).maximum == 0.05
    assert expectations.suite(payments)["expectations"][-1]["kwargs"]["column"] == expectations.orphan_metric(reference)
