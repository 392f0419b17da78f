"""What a role's file holds, and what happens when it cannot be made."""

import hashlib
import json
from datetime import date
from decimal import Decimal

import duckdb
import pytest
from typer.testing import CliRunner

from infra.lake.serving import open_role_file, publish, query, role_file
from infra.lake.serving_cli import app
from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError, CustomsError, TryAgainError

from .conftest import write_manifest

COLUMNS = {
    # no row-level column but public ones; here there is none but the file's other table
    "analyst": ["list_no", "buyer_id", "officer", "amount", "reason", "is_hit", "since"],
    "steward": ["list_no", "officer", "amount", "note", "reason", "is_hit", "since"],
}


@pytest.mark.parametrize("role", COLUMNS)
def test_the_policy_decides_which_columns_are_there(home, role):
    publish(role, home)
    with open_role_file(role, home) as connection:
        assert [c[0] for c in connection.execute("DESCRIBE mart.fct_list").fetchall()] == COLUMNS[role]


def test_a_publication_is_told_in_the_audit_log_with_the_hash_of_the_file(home):
    tables = publish("analyst", home)
    (event,) = audit.events(home)
    assert (event.event, event.subject) == ("serving.published", "analyst.duckdb")
    assert event.detail["tables"] == {one.dataset: one.rows for one in tables}
    assert event.detail["sha256"] == hashlib.sha256(role_file("analyst", home).read_bytes()).hexdigest()


def test_a_restricted_amount_is_a_bucket_for_analysts_and_clear_for_stewards(home):
    for role, amount, since in (
        ("analyst", 1000, date(2026, 5, 1)),
        ("steward", Decimal("1234.56"), date(2026, 5, 17)),
    ):
        publish(role, home)
        assert query(role, "SELECT DISTINCT amount, since FROM fct_list", 10, home)[1] == [(amount, since)]


def test_a_role_level_table_is_refused_for_managers(home):
    with pytest.raises(CustomsError, match="no column is for role manager"):
        publish("manager", home)
    assert not role_file("manager", home).exists()


def managers_report(home, **meta):
    write_manifest(home, **meta)
    manifest = home.dbt_target / "manifest.json"
    document = json.loads(manifest.read_text())
    document["nodes"]["fct_list"]["config"]["meta"]["roles"] = ["analyst"]
    manifest.write_text(json.dumps(document))


def test_aggregates_of_enough_records_are_clear_for_managers(home):
    managers_report(home)
    publish("manager", home)
    assert query("manager", "SELECT * FROM rpt_list", 10, home)[1] == [(date(2026, 5, 1), 25, Decimal("5.0"))]


def test_without_a_count_nothing_but_public_columns_is_published(home):
    managers_report(home, cells=None)
    (table,) = publish("manager", home)
    assert table.columns == ("day",)
    assert table.absent == ("lists", "amount")


def test_a_cell_too_small_stops_publishing_and_the_old_file_stays(home):
    managers_report(home)
    publish("manager", home)
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute("INSERT INTO serving.rpt_list VALUES (date '2026-06-01', 9, 1)")
    with pytest.raises(CustomsError, match="rpt_list: 1 rows stand for fewer than 10"):
        publish("manager", home)
    assert query("manager", "SELECT count(*) FROM rpt_list", 10, home)[1] == [(1,)]


@pytest.mark.parametrize(("role", "table"), [("manager", "serving.rpt_list"), ("analyst", "marts.fct_list")])
def test_a_dataset_not_built_yet_is_named_with_its_command(home, role, table):
    managers_report(home)
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute(f"DROP TABLE {table}")
    layer, _, name = table.partition(".")
    with pytest.raises(BadArgumentsError, match=f"{name} is not built: run `customs datasets build --select {layer}`"):
        publish(role, home)


def test_a_reader_keeps_its_file_while_a_new_one_takes_the_place(home):
    publish("analyst", home)
    with open_role_file("analyst", home) as reader:
        with duckdb.connect(str(home.warehouse)) as connection:
            connection.execute("DELETE FROM marts.fct_list WHERE list_no <> 'l1'")
        publish("analyst", home)
        assert reader.execute("SELECT count(*) FROM mart.fct_list").fetchone() == (25,)
    assert query("analyst", "SELECT count(*) FROM fct_list", 1, home)[1] == [(1,)]
    assert not list(home.serving.glob("*.next*"))


def test_a_warehouse_being_built_is_a_reason_to_try_again(home):
    import subprocess
    import sys

    hold = (
        f"import duckdb, sys; c = duckdb.connect({str(home.warehouse)!r}); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TryAgainError) as stopped:
            publish("analyst", home)
        other.stdin.close()
    assert stopped.value.exit_code == 75


def test_comments_say_what_tables_and_columns_mean(home):
    publish("analyst", home)
    with open_role_file("analyst", home) as connection:
        assert connection.execute("SELECT comment FROM duckdb_tables() WHERE table_name = 'fct_list'").fetchone() == (
            "Rows of fct_list; it's one each.",
        )
        assert connection.execute(
            "SELECT comment FROM duckdb_columns() WHERE table_name = 'fct_list' AND column_name = 'amount'"
        ).fetchone() == ("About amount.",)


@pytest.mark.parametrize("sql", ["SELECT * FROM read_text('/etc/hostname')", "SELEC 1", "SELECT note FROM fct_list"])
def test_a_wrong_or_refused_query_is_one_sentence(home, sql):
    publish("analyst", home)
    with pytest.raises(BadArgumentsError, match="Role analyst: "):
        query("analyst", sql, 10, home)


def test_unknown_roles_and_missing_files_name_the_remedy(home):
    with pytest.raises(BadArgumentsError, match="roles served are"):
        publish("intern", home)
    with pytest.raises(BadArgumentsError, match="customs serving publish --role analyst"):
        query("analyst", "SELECT 1", 10, home)


def test_the_command_prints_what_a_role_would_get(home, monkeypatch):
    monkeypatch.setattr("infra.lake.serving_cli.get_settings", lambda: home)
    done = CliRunner().invoke(app, ["publish", "--role", "analyst", "--json"])
    assert json.loads(done.stdout.splitlines()[-1])["roles"]["analyst"]["tables"] == 1
    shown = CliRunner().invoke(
        app, ["query", "--role", "analyst", "SELECT list_no, amount FROM fct_list ORDER BY 1 LIMIT 1"]
    )
    assert shown.stdout.splitlines() == ["list_no  amount", "-------  -------", "l0       1000.00"]
