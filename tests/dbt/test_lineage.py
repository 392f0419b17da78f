"""Grades follow the data: through stars, joins and unions, into what is computed, and not into what is only counted."""

import json

import pytest

from infra.lake import datasets_cli
from infra.lake import lineage as module
from infra.lake.datasets import datasets
from infra.lake.lineage import findings, lineage, prove
from infra.runtime.errors import BadArgumentsError, CustomsError, DataContractError
from infra.runtime.settings import Settings

SILVER = {
    "t__sale": {"id": ("L2",), "price": ("L3",), "buyer": ("L4", "sensitive", "hmac"), "day": ("L1",)},
    "t__shop": {"id": ("L2",), "name": ("L2",), "phone": ("L3", "general")},
}
AGGREGATE = {"method": "aggregate", "approver": "data-steward", "reason": "Cells of k sales or more."}
CELLS = {"aggregated": True, "cells": "sales"}


def about(grade, personal="none", mask="none", **more):
    return {"grade": grade, "personal_information": personal, "mask": mask, **more}


@pytest.fixture
def home(tmp_path):
    """What dbt leaves behind, written by hand: a staging model per silver table and the datasets of a test."""

    def write(sql, columns, layer="marts", meta=None, **others):
        def columns_of(known):
            return {name: {"name": name, "config": {"meta": one}} for name, one in known.items()}

        def node(name, layer, sql, known, upstream, meta):
            return {
                "name": name, "resource_type": "model", "fqn": ["customs", layer, name], "package_name": "customs",
                "original_file_path": f"models/{name}.sql", "compiled_code": sql, "columns": columns_of(known),
                "config": {"meta": meta or {}}, "depends_on": {"nodes": upstream},
            }  # fmt: skip

        silver = {t: {c: about(*marks) for c, marks in known.items()} for t, known in SILVER.items()}
        nodes = {
            f"stg_{t}": node(f"stg_{t}", "staging", f"select * from delta_scan('/lake/silver/{t}')", {}, [], None)
            for t in SILVER
        }
        for name, (more_sql, more_columns) in others.items():
            nodes[name] = node(name, "marts", more_sql, more_columns, [f"stg_{t}" for t in SILVER], None)
        nodes["made"] = node("made", layer, sql, columns, list(nodes), meta)
        settings = Settings(home=tmp_path)
        settings.dbt_target.mkdir(parents=True, exist_ok=True)
        document = {
            "sources": {t: {"name": t, "columns": columns_of(known)} for t, known in silver.items()},
            "nodes": nodes,
        }
        (settings.dbt_target / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
        return settings

    return write


def sources(settings, column):
    return {(one.dataset, one.column, one.how) for one in lineage(settings)[f"made.{column}"].sources}


PRICE, BUYER, DAY = ("t__sale", "price"), ("t__sale", "buyer"), ("t__sale", "day")
CASES = {
    "a copy through a star": ("select * from stg_t__sale", "price", {(*PRICE, "copied")}),
    "a cast is a copy": ("select cast(price as varchar) as x from stg_t__sale", "x", {(*PRICE, "copied")}),
    "arithmetic": ("select price * 2 as x from stg_t__sale", "x", {(*PRICE, "derived")}),
    "a condition of case": (
        "select case when price > 5 then 'dear' end as x from stg_t__sale",
        "x",
        {(*PRICE, "derived")},
    ),
    "a sum": ("select sum(price) as x from stg_t__sale", "x", {(*PRICE, "aggregated")}),
    "a sum chosen by a filter": (
        "select sum(price) filter (where buyer = 'x') as x from stg_t__sale",
        "x",
        {(*PRICE, "aggregated")},
    ),
    "rows counted": ("select count(*) as x from stg_t__sale where price > 5", "x", set()),
    "values counted": ("select count(distinct buyer) as x from stg_t__sale", "x", set()),
    "rows counted by a filter": ("select count(*) filter (where price > 5) as x from stg_t__sale", "x", set()),
    "rows chosen": (
        "select day from stg_t__sale where price > 5 qualify row_number() over (partition by buyer order by price) = 1",
        "day",
        {(*DAY, "copied")},
    ),
    "a rank": (
        "select row_number() over (partition by buyer order by price) as x from stg_t__sale",
        "x",
        {(*PRICE, "derived")},
    ),
    "the value of the largest": ("select arg_max(day, price) as x from stg_t__sale", "x", {(*DAY, "aggregated")}),
    "a union": (
        "select price as x from stg_t__sale union all select buyer from stg_t__sale",
        "x",
        {(*PRICE, "copied"), (*BUYER, "copied")},
    ),
    "replaced in a star": (
        "with a as (select * replace (coalesce(day, price) as day) from stg_t__sale) select * from a",
        "day",
        {(*DAY, "derived"), (*PRICE, "derived")},
    ),
    "a scalar subquery": ("select (select max(price) from stg_t__sale) as x", "x", {(*PRICE, "aggregated")}),
    "unfolded structs": (
        "with u as (select unnest([{'v': price}, {'v': buyer}], recursive := true) from stg_t__sale) select v from u",
        "v",
        {(*PRICE, "derived"), (*BUYER, "derived")},
    ),
    "the mildest of two ways": (
        "select max(price) over () + price as x from stg_t__sale",
        "x",
        {(*PRICE, "derived")},
    ),
}


@pytest.mark.parametrize(("sql", "column", "expected"), CASES.values(), ids=CASES.keys())
def test_a_value_comes_from(home, sql, column, expected):
    settings = home(sql, {column: about("L4", "sensitive")})
    assert sources(settings, column) == expected


def test_the_highest_grade_of_a_join_wins(home):
    sql = "select sale.id || shop.phone as x from stg_t__sale as sale join stg_t__shop as shop using (id)"
    column = lineage(home(sql, {"x": about("L3", "general")}))["made.x"]
    assert column.inherited == ("L3", "general")
    assert column.finding is None
    (sentence,) = findings(lineage(home(sql, {"x": about("L3")})))
    assert "made.x is declared L3" in sentence
    assert "t__shop.phone (L3, general personal information, derived)" in sentence
    with pytest.raises(DataContractError, match=r"1 columns are graded below.*\n  made.x is declared L2"):
        prove(home(sql, {"x": about("L2", "general")}))


def test_a_graded_dataset_passes_on_what_it_declares_and_where_it_comes_from(home):
    mart = ("select price, buyer from stg_t__sale", {"price": about("L3"), "buyer": about("L4", "sensitive")})
    settings = home(
        "select buyer, price + 1 as more from sale", {"buyer": about("L4", "sensitive"), "more": about("L3")}, sale=mart
    )
    made = lineage(settings)["made.more"]
    assert [(one.dataset, one.column) for one in made.sources] == [("sale", "price")]
    assert [(one.dataset, one.column, one.how) for one in made.origins] == [(*PRICE, "derived")]
    assert made.why == "highest of its sources: sale.price"


SUM = "select day, count(*) as sales, sum(price) as price from stg_t__sale group by day"


def summed(declassify=None, meta=CELLS, grade="L2"):
    more = {"declassify": declassify} if declassify else {}
    return {"day": about("L1"), "sales": about("L1"), "price": about(grade, **more)}, meta


def test_a_lower_grade_needs_a_declared_and_approved_reason(home):
    (sentence,) = findings(lineage(home(SUM, *[summed()[0]], meta=CELLS)))
    assert "raise it to L3, or declare declassify" in sentence
    columns = lineage(home(SUM, summed(AGGREGATE)[0], meta=CELLS))
    assert list(findings(columns)) == []
    assert columns["made.price"].lowered
    assert "aggregate, data-steward: Cells of k sales or more." in columns["made.price"].why
    whole = lineage(home(SUM, summed()[0], meta=CELLS | {"declassify": AGGREGATE}))
    assert list(findings(whole)) == []


WRONG = {
    "an unknown method": ({"method": "rounding"}, CELLS, "method 'rounding' is not known"),
    "nobody who may": ({"approver": "analyst"}, CELLS, "analyst may not approve aggregate"),
    "no reason": ({"reason": ""}, CELLS, "needs a reason"),
    "no cells to count": ({}, {"aggregated": True}, "needs a dataset with aggregated and cells"),
    "no pseudonyms": (
        {"method": "pseudonymise", "approver": "security-officer"},
        CELLS,
        "t__sale.price holds no pseudonyms",
    ),
}


@pytest.mark.parametrize(("change", "meta", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_lowering_that_does_not_hold_is_refused(home, change, meta, words):
    (sentence,) = findings(lineage(home(SUM, summed(AGGREGATE | change)[0], meta=meta)))
    assert words in sentence


def test_what_is_copied_is_not_generalised_and_a_person_is_not_an_aggregate(home):
    said = AGGREGATE | {"method": "generalise"}
    copy = home("select price from stg_t__sale", {"price": about("L2", declassify=said)})
    assert "t__sale.price is copied as it is" in next(findings(lineage(copy)))
    coarser = home("select price > 100 as price from stg_t__sale", {"price": about("L2", declassify=said)})
    assert list(findings(lineage(coarser))) == []
    persons = "select buyer, count(*) as sales from stg_t__sale group by buyer"
    settings = home(persons, {"buyer": about("L2"), "sales": about("L1")}, meta=CELLS | {"declassify": AGGREGATE})
    assert "t__sale.buyer is copied as it is; leave it out" in next(findings(lineage(settings)))


def test_a_lowering_nobody_needs_is_removed(home):
    (sentence,) = findings(lineage(home(SUM, summed(AGGREGATE, grade="L3")[0], meta=CELLS)))
    assert "remove it" in sentence


def test_an_ungraded_column_and_unreadable_sql_are_named(home):
    assert "made.day has grade None" in next(findings(lineage(home("select day from stg_t__sale", {"day": {}}))))
    with pytest.raises(CustomsError, match="Model made:"):
        lineage(home("select from where", {}))
    with pytest.raises(CustomsError, match=r"Model made: COLUMNS.* name the columns"):
        lineage(home("select sum(columns(* exclude (id, day))) from stg_t__sale", {}))
    with pytest.raises(BadArgumentsError, match="customs datasets build"):
        lineage(Settings(home=home("select 1 as x", {}).home / "elsewhere"))


def test_the_command_explains_a_column_and_names_what_is_not_proven(home, monkeypatch, capsys):
    settings = home(SUM, summed(AGGREGATE)[0], meta=CELLS)
    monkeypatch.setattr(datasets_cli, "get_settings", lambda: settings)
    datasets_cli.lineage()
    assert "3 columns, 0 not proven, 1 lowered by a declared declassify" in capsys.readouterr().out
    datasets_cli.lineage("made.price")
    said = capsys.readouterr().out
    assert "made.price  L2  L3 of t__sale.price lowered by aggregate, data-steward" in said
    assert "t__sale.price" in said.split("made from:")[1]
    datasets_cli.lineage("made.price", as_json=True)
    (told,) = json.loads(capsys.readouterr().out).values()
    assert (told["inherited_grade"], told["grade"], told["sources"][0]["how"]) == ("L3", "L2", "aggregated")
    with pytest.raises(BadArgumentsError, match=r"'made\.prise'.*made\.price"):
        datasets_cli.lineage("made.prise")
    home(SUM, summed()[0], meta=CELLS)
    with pytest.raises(DataContractError, match="1 columns are graded below"):
        datasets_cli.lineage()


def test_sql_is_read_once_and_again_when_it_or_a_relation_it_names_changed(home, monkeypatch):
    read = []
    monkeypatch.setattr(module, "_made", lambda sql, columns, made=module._made: read.append(sql) or made(sql, columns))
    # a grade that changes is judged anew, from what was read
    star = "select * from stg_t__sale"
    for marks in (about("L3"), about("L2")):
        graded = lineage(home(star, {"price": marks}))["made.price"]
        assert (graded.grade, graded.finding is None) == (marks["grade"], marks["grade"] == "L3")
    assert [sql for sql in read if sql == star] == [star]
    assert len(read) == 3
    summed_up = "select sum(price) as price from stg_t__sale"
    (how,) = {one[2] for one in sources(home(summed_up, {"price": about("L3")}), "price")}
    assert (how, read[3:]) == ("aggregated", [summed_up])
    # the same SQL over a table that has become another one
    monkeypatch.setitem(SILVER, "t__sale", SILVER["t__sale"] | {"late": ("L4",)})
    assert "made.late" in lineage(home(star, {"late": about("L4")}))
    assert len(read) == 6


@pytest.mark.datasets
def test_every_column_of_every_dataset_is_proven(built):
    columns = prove(built.settings)
    declared = {f"{d.name}.{c}" for d in datasets(built.settings).values() for c in d.columns}
    assert set(columns) == declared
    assert len(columns) > 800
    # the quarantine is looked up when a dataset is built: it has sources there too
    assert columns["fct_quarantine_daily.rule_id"].origins
    for one in columns.values():
        if one.lowered:
            assert one.declassify["approver"] in module.load_policy().declassify[one.declassify["method"]]


LOWERED = {
    "fct_declaration.customs_value": "L2",
    "fct_ecommerce_list.buyer_id": "L3",
    "fct_inspection.is_violation": "L1",
}


@pytest.mark.datasets
def test_lowered_grades_in_the_real_datasets_are_found(built, monkeypatch):
    read = module._read

    def lower(target):
        manifest = read(target)
        for column, grade in LOWERED.items():
            dataset, name = column.split(".")
            manifest.columns[dataset][name] = manifest.columns[dataset][name] | {"grade": grade}
        return manifest

    monkeypatch.setattr(module, "_read", lower)
    found = list(findings(lineage(built.settings)))
    for column, grade in LOWERED.items():
        assert any(sentence.startswith(f"{column} is declared {grade}") for sentence in found), column
