"""A warehouse of two tables and the manifest that describes them, made by hand: no dbt needed."""

import json

import duckdb
import pytest

from infra.runtime.settings import Settings


def column(name: str, kind: str, **meta) -> dict:
    return {"name": name, "data_type": kind, "description": f"About {name}.", "config": {"meta": meta}}


def model(name: str, layer: str, columns: list[dict], **meta) -> dict:
    return {
        "name": name,
        "resource_type": "model",
        "fqn": ["customs", layer, "x", name],
        "schema": layer,
        "description": f"Rows of {name}; it's one each.",
        "config": {"meta": meta},
        "columns": {c["name"]: c for c in columns},
    }


@pytest.fixture
def home(tmp_path) -> Settings:
    settings = Settings(home=tmp_path)
    settings.warehouse.parent.mkdir(parents=True)
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute("CREATE SCHEMA marts")
        connection.execute("CREATE SCHEMA serving")
        connection.execute(
            "CREATE TABLE marts.fct_list AS SELECT 'l' || i AS list_no, 'pseudonym' || i AS buyer_id, 'n' AS officer, "
            "cast(1234.56 AS DECIMAL(18,2)) AS amount, 'secret' AS note, 'rule' AS reason, true AS is_hit, "
            "date '2026-05-17' AS since, 'x' AS forgotten FROM range(25) t(i)"
        )
        connection.execute(
            "CREATE TABLE serving.rpt_list AS SELECT date '2026-05-01' AS day, 25 AS lists, 5.0 AS amount"
        )
    write_manifest(settings)
    return settings


def write_manifest(settings: Settings, **report_meta) -> None:
    row = model(
        "fct_list",
        "marts",
        [
            column("list_no", "VARCHAR", grade="L2", category="x"),
            column("buyer_id", "VARCHAR", grade="L4", category="x", personal_information="sensitive", mask="hmac"),
            column("officer", "VARCHAR", grade="L3", category="x", personal_information="general", mask="hmac"),
            column("amount", "DECIMAL(18,2)", grade="L3", category="x", mask="bucket"),
            column("note", "VARCHAR", grade="L3", category="x"),
            column("reason", "VARCHAR", grade="L3", category="x", closed=True),
            column("is_hit", "BOOLEAN", grade="L3", category="x"),
            column("since", "DATE", grade="L3", category="x"),
            column("forgotten", "VARCHAR"),
        ],
        roles=["analyst", "steward", "manager"],
    )
    report = model(
        "rpt_list",
        "serving",
        [
            column("day", "DATE", grade="L1", category="x"),
            column("lists", "INTEGER", grade="L2", category="x"),
            column("amount", "DOUBLE", grade="L3", category="x"),
        ],
        **{"roles": ["manager"], "aggregated": True, "cells": "lists", **report_meta},
    )
    settings.dbt_target.mkdir(parents=True, exist_ok=True)
    nodes = {m["name"]: m for m in (row, report)}
    (settings.dbt_target / "manifest.json").write_text(json.dumps({"nodes": nodes}))
