"""The canary search finds a known value wherever it leaks, names its column, and never takes blindness for proof."""

import gzip
import json
import logging
import pickle
import shutil
import subprocess
import time
import zipfile
import zlib

import duckdb
import joblib
import pandas as pd
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.policy import load_policy
from infra.governance.assurance import canary
from infra.lake.commit import lake_connection, table_view
from infra.runtime.errors import BadArgumentsError, CustomsError, TryAgainError
from infra.services import postgres

from .conftest import CANARY

pytestmark = pytest.mark.slow

PLANTED = [
    ("ecommerce.list", "buyer_id", CANARY["id"]),
    ("ecommerce.list", "buyer_name", CANARY["name"]),
    ("ecommerce.order", "consignee_phone", CANARY["phone"]),
    ("ecommerce.order", "consignee_address", CANARY["address"]),
]


def silent(_: str) -> None:
    pass


@pytest.fixture
def planted(lake):
    """The lake with a hidden truth that lists its canary person and one restricted amount."""
    with lake_connection(lake) as connection:
        row = connection.execute(
            f"SELECT goods_value + 0.37 FROM {table_view(connection, lake.silver('ecommerce.order'))} LIMIT 1"
        ).fetchone()
        amount = str(row[0])
    rows = [*PLANTED, ("ecommerce.order", "goods_value", amount)]
    lake.truth.mkdir()
    columns = map(list, zip(*rows, strict=True))
    pq.write_table(
        pa.table(dict(zip(("contract", "field", "value"), columns, strict=True))), lake.truth / "canaries.parquet"
    )
    return lake


def test_a_lake_alone_holds_its_canaries_where_it_may(planted):
    found = canary.measure(planted, silent)
    assert found.hits == 0, found.sentences
    # the amount listed is in no row: it never arrived, so it is not searched for
    assert found.values == len(PLANTED)
    assert found.searched.files > 20
    assert found.searched.databases == ()
    assert found.sentences == ()


def leak(home, value: str) -> set[str]:
    """Write a value in every form the platform writes; return the files."""
    folder = home / "logs" / "task"
    folder.mkdir(parents=True)
    handler = logging.FileHandler(folder / "airflow.log", encoding="utf-8")
    handler.emit(logging.LogRecord("x", 20, "", 0, f"task failed for {{'payer': '{value}'}}", None, None))
    handler.close()
    (folder / "rendered.json").write_text(json.dumps({"rows": [[value]]}))
    (folder / "index.html").write_text(f"<td>{value}</td>", encoding="utf-8")
    (folder / "old.log.1").write_bytes(gzip.compress(f"payer={value}\n".encode()))
    # over the edge of the pieces a file is read in
    (folder / "edge.log").write_bytes(b"x " * ((1 << 21) - 5) + value.encode())
    (folder / "cache").write_bytes(pickle.dumps(pd.DataFrame({"who": [value, "b"]})))
    joblib.dump({"sample": [value] * 20}, folder / "model.joblib", compress=3)
    with zipfile.ZipFile(folder / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.txt", f"payer={value}\n" * 50)
    pq.write_table(pa.table({"n": [1, 2], "note": ["", f"see {value}."]}), folder / "x.parquet")
    (home / "serving").mkdir()
    with duckdb.connect(str(home / "serving" / "analyst.duckdb")) as connection:
        connection.execute("CREATE SCHEMA mart")
        connection.execute("CREATE TABLE mart.t AS SELECT repeat('x', 5000) AS filler, ? AS who FROM range(3)", [value])
    return {f"logs/task/{path.name}" for path in folder.iterdir()} | {"serving/analyst.duckdb"}


@pytest.mark.parametrize("what", ["id", "name"])
def test_a_canary_is_found_in_every_form(planted, what):
    places = leak(planted.home, CANARY[what])
    found = canary.measure(planted, silent)
    assert {one.split(" holds ")[0] for one in found.sentences} == places
    assert found.hits == len(places) == 10
    assert all(f"ecommerce.list.buyer_{what} (L{4 if what == 'id' else 3})" in one for one in found.sentences)
    assert CANARY[what] not in " ".join(found.sentences)


def test_a_file_that_vanishes_meanwhile_does_not_hide_the_others_of_its_folder(planted, monkeypatch):
    folder = planted.home / "logs" / "task" / "run"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"note": [f"see {CANARY['id']}."]}), folder / "x.parquet")
    there = canary.files_of
    monkeypatch.setattr(canary, "files_of", lambda settings: [*there(settings), folder / "gone.parquet"])
    found = canary.measure(planted, silent)
    assert [one.split(" holds ")[0] for one in found.sentences] == ["logs/task/run/x.parquet"]


def test_a_restricted_amount_may_be_in_the_file_of_a_role_that_sees_it_and_in_no_other(planted):
    with lake_connection(planted) as connection:
        source = table_view(connection, planted.silver("ecommerce.list"))
        amount = connection.execute(f"SELECT max(total_value) FROM {source}").fetchone()[0]
    table = pa.table({"contract": ["ecommerce.list"], "field": ["total_value"], "value": [str(amount)]})
    pq.write_table(table, planted.truth / "canaries.parquet")
    planted.serving.mkdir()
    for role in load_policy().roles:
        for kind in ("DECIMAL(18,2)", "DOUBLE", "VARCHAR"):
            with duckdb.connect(str(planted.serving / f"{role}.{kind[:3]}.duckdb")) as connection:
                connection.execute(f"CREATE TABLE t AS SELECT CAST({amount} AS {kind}) AS v")
    (planted.home / "superset").mkdir()
    (planted.home / "superset" / "cached").write_bytes(pickle.dumps(pd.DataFrame({"v": [1.5, float(amount)]})))
    found = canary.measure(planted, silent)
    blind = {role for role in load_policy().roles if load_policy().form("L3", role) != "clear"}
    wanted = {f"serving/{role}.{kind}.duckdb" for role in blind for kind in ("DEC", "DOU", "VAR")}
    assert blind == {"manager", "analyst", "recipient", "party"}
    assert {one.split(" holds ")[0] for one in found.sentences} == wanted | {"superset/cached"}


def test_a_clear_identifier_in_silver_is_a_leak(planted):
    stray = planted.silver("ecommerce.list") / "part-stray.parquet"
    pq.write_table(pa.table({"goods_name": [CANARY["id"]]}), stray)
    found = canary.measure(planted, silent)
    assert found.hits == 1
    assert "silver/ecommerce__list/part-stray.parquet" in found.sentences[0]


def test_without_a_list_of_canaries_a_sample_of_the_originals_is_searched_for(lake):
    clean = canary.measure(lake, silent)
    assert (clean.hits, clean.values > 30) == (0, True)
    (lake.home / "logs").mkdir(exist_ok=True)
    persons = [path.read_text(encoding="utf-8") for path in sorted(lake.landing.rglob("*.csv"))]
    (lake.home / "logs" / "debug.log").write_text("".join(persons), encoding="utf-8")
    assert canary.measure(lake, silent).hits == 1


def test_a_search_that_cannot_see_is_no_proof(planted, settings):
    with pytest.raises(BadArgumentsError, match="ingest"):
        canary.measure(settings.model_copy(update={"home": settings.home.with_name("empty")}), silent)
    shutil.rmtree(planted.lake / "raw")
    with pytest.raises(CustomsError, match="finds none of its"):
        canary.measure(planted, silent)


def test_a_database_that_cannot_be_read_is_no_proof(planted):
    (planted.home / "postgres").mkdir()
    (planted.home / "postgres" / "PG_VERSION").write_text("18\n")
    with pytest.raises(TryAgainError, match="database of airflow could not be read"):
        canary.measure(planted, silent)
    (planted.home / "x.log").write_text(CANARY["id"])
    found = canary.measure(planted, silent)
    assert found.hits == 1
    assert any("Not searched: the database of superset" in one for one in found.sentences)


@pytest.mark.services
def test_a_canary_is_found_in_the_databases_of_the_services(planted, running_postgres):
    settings = planted.model_copy(update=running_postgres)
    clean = canary.measure(settings, silent)
    assert clean.searched.databases == ("airflow", "mlflow", "superset")
    assert clean.hits == 0, clean.sentences
    tables = {
        # long texts are compressed in the server's files
        "CREATE TABLE query (id int, sql text)": f"SELECT '{CANARY['id']}' -- " + "x" * 20_000,
        "CREATE TABLE xcom (id int, value jsonb)": json.dumps({"rows": [CANARY["id"]] * 500}),
        "CREATE TABLE cache (id int, value bytea)": psycopg2.Binary(zlib.compress(f"{CANARY['id']} ".encode() * 50)),
    }
    for create, value in tables.items():
        with psycopg2.connect(settings.database_url("superset").replace("+psycopg2", "")) as database:
            database.cursor().execute(create)
            name = create.split()[2]
            database.cursor().execute(f"INSERT INTO {name} VALUES (1, %s)", [value])
        database.close()
        found = canary.measure(settings, silent)
        assert found.hits == 1
        assert [one for one in found.sentences if f"public.{name} in the database of superset" in one], name
        with psycopg2.connect(settings.database_url("superset").replace("+psycopg2", "")) as database:
            database.cursor().execute(f"DROP TABLE {name}")
        database.close()


@pytest.fixture
def running_postgres(settings, tmp_path_factory):
    """URLs of a PostgreSQL of its own, so that its files are not those searched."""
    own = settings.model_copy(update={"home": tmp_path_factory.mktemp("pg")})
    postgres.initialise(own)
    name = postgres.account()
    with subprocess.Popen(
        postgres.command(own), user=name, group=name, extra_groups=[] if name else None, cwd="/",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        try:
            for _ in range(600):
                if postgres.is_ready(own):
                    break
                time.sleep(0.1)
            postgres.create_databases(own)
            yield {f"{one}_database": own.database_url(one) for one in postgres.DATABASES}
        finally:
            server.terminate()
            server.wait(30)
