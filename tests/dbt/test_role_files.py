"""Role files of the real datasets: what each role's file holds is what the policy says, and nothing else."""

import duckdb
import pytest

from data_contracts.policy import load_policy
from infra.lake.datasets import datasets
from infra.lake.serving import open_role_file, projection, publish, role_file, roles_served

pytestmark = pytest.mark.datasets
REFUSED = (
    "SELECT * FROM read_parquet('/tmp/x.parquet')",
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM read_csv('/etc/hostname')",
    "WITH a AS (SELECT * FROM glob('/etc/*')) SELECT * FROM a",
    "SELECT * FROM delta_scan('/tmp/lake')",
    "ATTACH '/tmp/other.duckdb' AS other",
    "COPY mart.published TO '/tmp/leak.csv'",
    "INSTALL httpfs",
    "LOAD delta",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "CREATE TABLE mart.mine AS SELECT 1",
    "UPDATE mart.published SET records = 0",
)


@pytest.fixture(scope="module")
def published(built):
    return {role: publish(role, built.settings) for role in roles_served(datasets(built.settings).values())}


def test_three_roles_are_served(published):
    assert set(published) == {"manager", "analyst", "steward"}


@pytest.mark.parametrize("role", ["manager", "analyst", "steward"])
def test_a_file_holds_exactly_the_columns_the_policy_gives(built, published, role):
    policy = load_policy()
    with open_role_file(role, built.settings) as connection:
        found = set(
            connection.execute(
                "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'mart'"
            ).fetchall()
        )
    meant = {
        (d.name, column)
        for d in datasets(built.settings).values()
        if role in d.roles
        for column, sql in projection(d, role, policy).items()
        if sql is not None
    }
    assert {(t, c) for t, c in found if t != "published"} == meant
    assert role_file(role, built.settings).stat().st_mode & 0o777 == 0o640


def test_managers_get_aggregated_datasets_only(built, published):
    named = {p.dataset for p in published["manager"]}
    assert named
    assert all(name.startswith("rpt_") for name in named)
    for name in named:
        dataset = datasets(built.settings)[name]
        if dataset.cells:
            smallest = built.rows(f"SELECT min({dataset.cells}) FROM {dataset.schema}.{name}")[0][0]
            assert smallest is None or smallest >= load_policy().k
        else:  # nothing but public columns may go without a count
            assert {about["grade"] for about in dataset.columns.values()} == {"L1"}


@pytest.mark.parametrize("role", ["manager", "analyst", "steward"])
@pytest.mark.parametrize("statement", REFUSED)
def test_a_reader_cannot_leave_the_file(built, published, role, statement):
    with open_role_file(role, built.settings) as connection, pytest.raises(duckdb.Error):
        connection.execute(statement).fetchall()


def test_analysts_see_amounts_in_buckets_pseudonyms_and_no_free_restricted_text(built, published):
    with open_role_file("analyst", built.settings) as connection:
        assert connection.execute("SELECT DISTINCT buyer_id FROM mart.fct_ecommerce_list").fetchall() == [
            ("buyer-pseudonym",)
        ]
        assert connection.execute("SELECT employee_count FROM mart.dim_enterprise_360 ORDER BY 1").fetchall() == [
            (50,),
            (1000,),
        ]
        assert connection.execute("SELECT max(recovered_duty) FROM mart.fct_inspection").fetchall()[0][0] == 2000
        assert connection.execute("SELECT DISTINCT selected_by FROM mart.fct_inspection ORDER BY 1").fetchall() == [
            ("Random",),
            ("Rule",),
        ]
        for table, column in (("fct_declaration_score", "reasons"), ("dim_enterprise_360", "risk_reasons")):
            with pytest.raises(duckdb.BinderException):
                connection.execute(f"SELECT {column} FROM mart.{table}")


def test_no_file_holds_the_text_of_rows_set_aside(built, published):
    for role in published:
        assert b"SECRET" not in role_file(role, built.settings).read_bytes()


def test_descriptions_travel_with_the_tables(built, published):
    with open_role_file("manager", built.settings) as connection:
        comments = connection.execute(
            "SELECT count(*), count(comment) FROM duckdb_columns() "
            "WHERE schema_name = 'mart' AND table_name <> 'published'"
        ).fetchone()
    assert comments[0] == comments[1] > 100
