"""Each folder here is a sentence about the lake: ``when`` these files arrive, ``then`` the tables hold these rows.

``when/<step>.<feed>.<csv|jsonl>``: files of a step land together, then their feeds are ingested, step after step.
``then/<table>.csv``: all rows of a silver table (``quarantine.<table>.csv``: set-aside rows), in the columns of its
header, in any order; empty means null. ``then/mart.<dataset>.csv``: all rows of a dataset, built from that lake.
"""

import csv
import io
import shutil
from itertools import groupby
from pathlib import Path

import pytest

from infra.lake.commit import create_lake, lake_connection
from infra.lake.datasets import run_dbt
from infra.lake.ingest import ingest_feed
from infra.runtime.duck import duck_connection
from infra.runtime.settings import Settings

ROOT = Path(__file__).parent
SCENARIOS = sorted(folder.name for folder in ROOT.iterdir() if (folder / "when").is_dir())
DAY = "2026-04-30"


@pytest.fixture(scope="session")
def empty_lake(tmp_path_factory):
    home = tmp_path_factory.mktemp("lake")
    create_lake(Settings(home=home))
    return home


def marked(name):
    builds = any((ROOT / name / "then").glob("mart.*"))
    return pytest.param(name, marks=pytest.mark.datasets) if builds else name


@pytest.mark.parametrize("name", map(marked, SCENARIOS))
def test_scenario(name, empty_lake, tmp_path):
    settings = Settings(home=tmp_path / "home", duckdb_threads=1, duckdb_memory_limit="1GB")
    shutil.copytree(empty_lake, settings.home)

    def step_of(path):
        return path.name.split(".")[0]

    for step, files in groupby(sorted((ROOT / name / "when").iterdir()), key=step_of):
        feeds = []
        for path in files:
            _, feed, kind = path.name.split(".")
            target = settings.landing / feed / DAY / f"{step}.{kind}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            feeds.append(feed)
        for feed in feeds:
            ingest_feed(feed, settings=settings, wait=0)
    checked = 0
    for path in sorted((ROOT / name / "then").glob("*.csv")):
        header, *expected = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
        assert found(settings, path.stem, header) == sorted(expected), path.name
        checked += 1
    assert checked


def found(settings, table, columns):
    shown = ", ".join(f"coalesce(CAST({column} AS VARCHAR), '')" for column in columns)
    if table.startswith("mart."):
        name = table.removeprefix("mart.")
        run_dbt(["build", "--exclude-resource-type", "test", "unit_test", "--select", f"+{name}"], settings)
        with duck_connection(settings.warehouse, settings=settings, read_only=True) as connection:
            rows = connection.execute(f"SELECT {shown} FROM marts.{name}").fetchall()
        return sorted(map(list, rows))
    aside = table.startswith("quarantine.")
    path = settings.quarantine(table.removeprefix("quarantine.")) if aside else settings.silver(table)
    with lake_connection(settings) as connection:
        rows = connection.execute(f"SELECT {shown} FROM delta_scan('{path}')").fetchall()
    return sorted(map(list, rows))


def test_there_are_scenarios():
    assert len(SCENARIOS) >= 12
