"""The governance report: what it counts as graded and as due, that seeded faults are found, how it is kept and told."""

import json
import os
import shutil

import duckdb
import pytest
from deltalake import DeltaTable, Field
from deltalake.schema import PrimitiveType
from typer.testing import CliRunner

from dashboards import bypass, governance_cli
from data_contracts import load_contract
from infra.governance.assurance import columns, matrix, report
from infra.governance.assurance.report import Chain
from infra.lake.commit import create_table
from infra.lake.serving import open_role_file, publish, role_file
from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError, TryAgainError
from infra.runtime.settings import Settings

ROLES = ("manager", "analyst", "steward")


def told(_: str) -> None:
    pass


def column(name: str, kind: str, grade: str, **meta) -> dict:
    meta = {"grade": grade, "category": "statistics", **meta}
    return {"name": name, "data_type": kind, "description": f"About {name}.", "config": {"meta": meta}}


def model(name: str, layer: str, described: list[dict], **meta) -> dict:
    return {
        "name": name,
        "resource_type": "model",
        "fqn": ["customs", layer, "x", name],
        "schema": layer,
        "description": f"Rows of {name}.",
        "config": {"meta": meta},
        "columns": {one["name"]: one for one in described},
    }


MODELS = (
    model(
        "fct_list",
        "marts",
        [
            column("list_no", "VARCHAR", "L2"),
            column("buyer_id", "VARCHAR", "L4", personal_information="sensitive", mask="hmac"),
            column("officer", "VARCHAR", "L3", personal_information="general", mask="hmac"),
            column("phone", "VARCHAR", "L3", personal_information="general", mask="phone_3_4"),
            column("buyer", "VARCHAR", "L3", personal_information="general", mask="first_char"),
            column("address", "VARCHAR", "L3", personal_information="general", mask="redact"),
            column("amount", "DECIMAL(18,2)", "L3", mask="bucket"),
            column("pieces", "INTEGER", "L3"),
            column("score", "DOUBLE", "L3"),
            column("note", "VARCHAR", "L3"),
            column("reason", "VARCHAR", "L3", closed=True),
            column("since", "DATE", "L3"),
        ],
        roles=["analyst", "steward"],
    ),
    model(
        "rpt_list",
        "serving",
        [column("day", "DATE", "L1"), column("lists", "BIGINT", "L2"), column("amount", "DOUBLE", "L3")],
        roles=["manager", "analyst"],
        aggregated=True,
        cells="lists",
    ),
)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Settings:
    """One silver table, a warehouse of two datasets, and the files of three roles."""
    settings = Settings(home=tmp_path_factory.mktemp("measured"))
    create_table(load_contract("governance.batch"), settings.silver("governance.batch"), settings=settings)
    settings.warehouse.parent.mkdir(parents=True)
    with duckdb.connect(str(settings.warehouse)) as warehouse:
        warehouse.execute("CREATE SCHEMA marts")
        warehouse.execute("CREATE SCHEMA serving")
        warehouse.execute(
            "CREATE TABLE marts.fct_list AS SELECT 'l' || i AS list_no, sha256('b' || i) AS buyer_id, "
            "sha256('o' || i) AS officer, '1380000' || (1000 + i) AS phone, 'Wang ' || i AS buyer, "
            "'House ' || i AS address, cast((i - 3) * 1234.56 AS DECIMAL(18,2)) AS amount, "
            "cast((i - 1) * 17 AS INTEGER) AS pieces, i / 7 AS score, 'note ' || i AS note, 'rule' AS reason, "
            "date '2026-05-17' + cast(i AS INTEGER) AS since FROM range(40) t(i) "
            "UNION ALL SELECT 'none', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
        )
        warehouse.execute(
            "CREATE TABLE serving.rpt_list AS SELECT date '2026-05-01' + cast(i AS INTEGER) AS day, "
            "10 + i AS lists, i / 3 AS amount FROM range(5) t(i)"
        )
    settings.dbt_target.mkdir(parents=True)
    (settings.dbt_target / "manifest.json").write_text(json.dumps({"nodes": {one["name"]: one for one in MODELS}}))
    for role in ROLES:
        publish(role, settings)
    return settings


@pytest.fixture
def home(built, tmp_path) -> Settings:
    """A copy to spoil; files keep their times."""
    shutil.copytree(built.home, tmp_path / "home")
    return Settings(home=tmp_path / "home")


def spoil(path, *statements: str) -> None:
    os.chmod(path, 0o640)
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)


# --- completeness -----------------------------------------------------------------------------------------------------


def test_every_column_of_every_table_is_counted(home):
    found = columns.measure(home, told)
    silver = len(DeltaTable(str(home.silver("governance.batch"))).schema().fields)
    with duckdb.connect() as connection:
        held = 0
        for path in (home.warehouse, *home.serving.glob("*.duckdb")):
            connection.execute(f"ATTACH '{path}' AS one (READ_ONLY)")
            held += connection.execute("SELECT count(*) FROM duckdb_columns() WHERE database_name = 'one'").fetchone()[
                0
            ]
            connection.execute("DETACH one")
    assert (found.graded, found.total, found.sentences) == (silver + held, silver + held, ())


def test_an_extra_column_in_a_dataset_is_found(home):
    spoil(home.warehouse, "ALTER TABLE marts.fct_list ADD COLUMN forgotten VARCHAR")
    found = columns.measure(home, told)
    assert found.total - found.graded == 1
    assert found.sentences[0].startswith("dataset marts.fct_list: column forgotten has no grade and category; ")


def test_a_table_nobody_described_is_found_column_by_column(home):
    spoil(home.warehouse, "CREATE TABLE serving.mine AS SELECT 1 AS one, 2 AS two")
    assert columns.measure(home, told).total - columns.measure(home, told).graded == 2


def test_an_extra_column_in_silver_is_found(home):
    DeltaTable(str(home.silver("governance.batch"))).alter.add_columns([Field("extra", PrimitiveType("string"))])
    (sentence,) = columns.measure(home, told).sentences
    assert sentence.startswith("silver table governance__batch: column extra has no grade and category; add it to ")


def test_a_grade_without_a_category_is_not_enough(home):
    manifest = home.dbt_target / "manifest.json"
    document = json.loads(manifest.read_text())
    del document["nodes"]["rpt_list"]["columns"]["day"]["config"]["meta"]["category"]
    manifest.write_text(json.dumps(document))
    found = columns.measure(home, told).sentences
    assert [one.partition(": ")[0] for one in found] == [
        "dataset serving.rpt_list",
        "role file analyst.duckdb, mart.rpt_list",
        "role file manager.duckdb, mart.rpt_list",
    ]
    assert all("column day has no category" in one for one in found)


def test_an_extra_column_in_a_role_file_or_a_share_is_found(home):
    spoil(role_file("steward", home), "ALTER TABLE mart.published ADD COLUMN extra VARCHAR")
    share = home.home / "shares" / "SR-1"
    share.mkdir(parents=True)
    (share / "data.csv").write_text("share_row_id,customs_office_code,sum_total_value,records,smuggled\na,b,1,12,c\n")
    graded = {"customs_office_code": {"grade": "L1"}, "sum_total_value": {"grade": "L3"}}
    (share / "manifest.json").write_text(json.dumps({"contract": {"id": "ecommerce.list"}, "columns": graded}))
    found = columns.measure(home, told)
    assert [one.partition(" has ")[0] for one in found.sentences] == [
        "role file steward.duckdb, mart.published: column extra",
        "share SR-1, data.csv: column smuggled",
    ]


def test_nothing_there_is_an_error_and_not_a_pass(tmp_path):
    with pytest.raises(BadArgumentsError, match="customs lake init"):
        columns.measure(Settings(home=tmp_path), told)


# --- role by role -----------------------------------------------------------------------------------------------------


def test_published_files_are_what_the_policy_gives(home):
    found = matrix.measure(home, told)
    assert (found.checked, found.failed, found.sentences) == (3 * (12 + 3), 0, ())


CLEAR = "ATTACH '{warehouse}' AS w (READ_ONLY); UPDATE mart.fct_list SET {0} = s.{0} FROM w.marts.fct_list s WHERE "
CLEAR += "mart.fct_list.list_no = s.list_no"


def test_clear_values_where_another_form_is_due_are_found(home):
    masked, bucketed = ["address", "buyer", "phone"], ["amount", "pieces", "score", "since"]
    for name in masked + bucketed:
        spoil(role_file("analyst", home), *CLEAR.format(name, warehouse=home.warehouse).split("; "))
    due = [(name, "masked") for name in masked] + [(name, "bucketed") for name in bucketed]
    assert sorted(matrix.measure(home, told).sentences) == sorted(
        f"analyst, role file, fct_list.{name}: {form} is due, the stored values are shown" for name, form in due
    )


FAULTS = {
    "analyst": {
        "UPDATE mart.fct_list SET phone = ''": "fct_list.phone: masked is due, other values are shown",
        "ALTER TABLE mart.fct_list ADD COLUMN note VARCHAR": "fct_list.note: bucketed is due, the column is there",
        "ALTER TABLE mart.fct_list ADD COLUMN extra VARCHAR": "fct_list.extra: the warehouse has no such column",
        "ALTER TABLE mart.fct_list DROP COLUMN reason": "fct_list.reason: bucketed is due, the column is not there",
        "CREATE SCHEMA other": "",
        "CREATE TABLE other.x AS SELECT 1 AS one": "other.x: the table is no dataset and must not be there",
    },
    "steward": {
        "UPDATE mart.fct_list SET note = '' WHERE pieces = 0": "fct_list.note: clear is due, other values are shown",
        "ALTER TABLE mart.fct_list ADD COLUMN buyer_id INT": "fct_list.buyer_id: absent is due, the column is there",
    },
    "manager": {
        "CREATE TABLE mart.fct_list AS SELECT 'l1' AS list_no": "fct_list.list_no: absent is due, the column is there",
        "CREATE TABLE mart.mine AS SELECT 1 AS one": "mine: the table is no dataset and must not be there",
        "DELETE FROM mart.rpt_list WHERE lists = 10": "rpt_list.day: clear is due, other values are shown",
    },
}


def test_every_fault_in_a_role_file_is_found_and_nothing_else(home):
    for role, faults in FAULTS.items():
        spoil(role_file(role, home), *faults)
    expected = {f"{role}, role file, {one}" for role, faults in FAULTS.items() for one in faults.values() if one}
    # a row that is gone shows in all its columns
    expected |= {
        f"manager, role file, rpt_list.{name}: aggregated is due, other values are shown"
        for name in ("lists", "amount")
    }
    assert set(matrix.measure(home, told).sentences) == expected


def test_a_table_that_is_missing_is_found(home):
    spoil(role_file("manager", home), "DROP TABLE mart.rpt_list")
    assert len(matrix.measure(home, told).sentences) == 3


def both(home: Settings, statement: str, *roles: str) -> None:
    """The same fault in the warehouse and in role files, as a model that does it would leave it."""
    schema = "marts" if "fct_" in statement else "serving"
    spoil(home.warehouse, statement.format(schema))
    for role in roles:
        spoil(role_file(role, home), statement.format("mart"))
    for role in ROLES:
        role_file(role, home).touch()


def test_a_number_in_clear_where_the_pseudonym_belongs_is_found(home):
    both(home, "UPDATE {}.fct_list SET buyer_id = '310101199001011234' WHERE list_no = 'l7'", "analyst")
    (sentence,) = matrix.measure(home, told).sentences
    assert sentence == "analyst, role file, fct_list.buyer_id: pseudonym is due, 1 values are none"


def test_a_cell_of_too_few_records_is_found(home):
    both(home, "UPDATE {}.rpt_list SET lists = 9 WHERE lists = 10", "manager", "analyst")
    sentences = matrix.measure(home, told).sentences
    assert (
        "manager, role file, rpt_list.amount: aggregated is due, a row stands for 9 records, fewer than 10" in sentences
    )


def test_files_older_than_the_datasets_are_to_be_published_first(home):
    spoil(home.warehouse, "DELETE FROM marts.fct_list WHERE list_no = 'l7'")
    with pytest.raises(TryAgainError, match="run `customs serving publish`"):
        matrix.measure(home, told)


# --- ways round -------------------------------------------------------------------------------------------------------


def test_every_way_round_works_where_nothing_guards_and_none_in_a_role_file(built, tmp_path):
    with bypass.bait_below(tmp_path) as bait:
        for name, statement in (bypass.READING | bypass.WRITING).items():
            assert bypass.unguarded(statement, bait), name
            with open_role_file("analyst", built) as reader, pytest.raises(duckdb.Error):
                reader.execute(bait.fill(statement)).fetchall()
            assert not bait.clear(), name
    assert not list(tmp_path.iterdir())


# --- the report -------------------------------------------------------------------------------------------------------


class Taken:
    sentences: tuple[str, ...] = ()

    def __init__(self, **figures) -> None:
        self.__dict__.update(figures)


GOOD = {
    "columns": Taken(graded=7, total=7),
    "matrix": Taken(checked=9, failed=0),
    "canary_hits": Taken(hits=0),
    "mutation": Taken(killed=5, total=5, known=5),
    "bypass": Taken(blocked=3, tried=3),
}


def take(settings: Settings, **changed) -> report.Report:
    def giving(one: Taken) -> report.Measure:
        return lambda *_: one

    return report.take(settings, {name: giving(one) for name, one in (GOOD | changed).items()}, told)


@pytest.fixture
def command(tmp_path, monkeypatch):
    settings = Settings(home=tmp_path)
    monkeypatch.setattr(governance_cli, "get_settings", lambda: settings)
    return settings, lambda *words: CliRunner().invoke(governance_cli.app, ["governance", "report", *words])


def test_the_report_is_kept_told_and_recorded(command):
    settings, run = command
    take(settings)
    printed = run("--json")
    assert printed.exit_code == 0
    figures = json.loads(printed.stdout)
    when = figures.pop("measured_at")
    assert figures == {
        "columns": {"graded": 7, "total": 7},
        "matrix": {"checked": 9, "failed": 0},
        "canary_hits": 0,
        "mutation": {"killed": 5, "total": 5},
        "bypass": {"blocked": 3, "tried": 3},
        "audit": "ok",
    }
    (event,) = audit.events(settings)
    assert (event.event, event.detail["measured_at"]) == ("governance.measured", when)
    assert f"Measured at {when}" in run().stdout
    assert "7 of 7 columns have grade and category" in run().stdout


def test_a_report_on_a_sample_of_the_mutants_says_so(command):
    settings, run = command
    take(settings, mutation=Taken(killed=5, total=5, known=90))
    assert json.loads(run("--json").stdout)["mutation"] == {"killed": 5, "total": 5, "of": 90}
    assert "5 of 5 weakened contracts noticed, a sample of 90" in run().stdout
    assert "add --fresh" in str(run("--mutants", "5").exception)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("columns", Taken(graded=6, total=7, sentences=("x has no grade",))),
        ("columns", Taken(graded=0, total=0)),
        ("matrix", Taken(checked=9, failed=1, sentences=("analyst sees x",))),
        ("matrix", Taken(checked=0, failed=0)),
        ("canary_hits", Taken(hits=2, sentences=("a log holds x", "a cache holds y"))),
        ("mutation", Taken(killed=4, total=5, known=5, sentences=("nobody misses x",))),
        ("bypass", Taken(blocked=2, tried=3, sentences=("x came back",))),
        ("bypass", Taken(blocked=0, tried=0)),
    ],
)
def test_what_is_not_as_it_must_be_is_named_and_ends_in_exit_code_3(command, name, taken):
    settings, run = command
    take(settings, **{name: taken})
    shown = run()
    assert shown.exit_code == 3
    assert any(line.startswith("FAIL") and name in line for line in shown.stdout.splitlines())
    assert shown.stdout.count("FAIL") == 1
    assert all(sentence in shown.stdout for sentence in taken.sentences)
    assert run("--json").exit_code == 3


def test_a_changed_audit_log_is_in_the_report(command):
    settings, run = command
    for number in range(3):
        audit.record("share.checked", "wang", f"SR-{number}", settings=settings)
    (path,) = (settings.home / "audit").glob("*.jsonl")
    path.write_text(path.read_text().replace("SR-1", "SR-7"))
    assert "SR" not in report.chain(settings, told).reason
    assert take(settings).failed == ["audit"]
    assert run().exit_code == 3
    assert isinstance(report.chain(settings, told), Chain)


def test_without_a_report_the_remedy_is_told(command):
    _, run = command
    assert isinstance(run().exception, BadArgumentsError)
    assert "customs governance report --fresh" in str(run().exception)


def test_a_measure_that_cannot_run_leaves_no_report_and_the_last_one_stands(command):
    settings, run = command

    def down(*_):
        raise TryAgainError("Superset does not answer: start it with `customs up`.")

    with pytest.raises(TryAgainError, match="does not answer"):
        report.take(settings, {"columns": down}, told)
    assert isinstance(run("--json").exception, BadArgumentsError)
    first = take(settings)
    with pytest.raises(TryAgainError):
        report.take(settings, {"columns": down}, told)
    assert json.loads(run("--json").stdout) == first.figures


def test_fresh_without_services_is_an_error_and_not_a_pass(command, monkeypatch):
    settings, run = command
    from infra.runtime.secrets import create_secrets

    create_secrets(settings)
    monkeypatch.setattr(governance_cli, "get_settings", lambda: settings.model_copy(update={"superset_port": 1}))
    assert isinstance(run("--fresh").exception, TryAgainError)
