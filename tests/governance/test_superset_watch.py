"""What Superset shows, exports and turns away is in the audit log before it leaves the server, without its values."""

import csv
import io

import pytest
from flask import Flask, Response, abort, g, jsonify, request

from infra.runtime import audit
from infra.superset.watch import digest, query_logger, tables, watch

CANARY = "310101199003070017"
SQL = f"SELECT name FROM mart.fct_inspection WHERE person = '{CANARY}'"
FILE = "duckdb:////data/serving/analyst.duckdb?access_mode=read_only"


@pytest.fixture
def superset(settings):
    """An application with Superset's paths that asks the query logger as Superset does."""
    app = Flask("superset")
    log = query_logger(settings)

    @app.before_request
    def sign_in():
        if name := request.headers.get("X-Account"):
            g.user = type("User", (), {"username": name})()

    watch(app, settings, lambda client_id: ("analyst.duckdb", SQL) if client_id == "known" else None)

    @app.post("/api/v1/sqllab/execute/")
    def execute():
        sql = request.get_json()["sql"]
        if sql.startswith("ATTACH"):
            abort(403)
        # Superset runs the statement inside a request of its own making
        user = g.user
        with app.test_request_context():
            g.user = user
            log(FILE, sql, "mart", "superset.sql_lab", None, {})
        return jsonify({"data": [{"name": CANARY}] * 3, "query": {"rows": 3}})

    @app.post("/api/v1/chart/data")
    def chart():
        body = request.get_json()
        if body.get("format") == "csv":
            text = io.StringIO()
            csv.writer(text).writerows([["name"], ["a\nb"], [CANARY]])
            return Response(text.getvalue(), mimetype="text/csv", headers={"Content-Disposition": "attachment"})
        if body.get("force"):
            log(FILE, SQL)
        return jsonify({"result": [{"rowcount": 2, "query": SQL, "data": [1, 2]}, {"rowcount": 5, "query": SQL}]})

    @app.post("/api/v1/sqllab/export_streaming/")
    def stream():
        return Response((line for line in ("name\n", f"{CANARY}\n")), mimetype="text/csv")

    @app.route("/api/v1/database/", methods=["GET", "POST"])
    def database():
        return jsonify({"result": []})

    @app.post("/api/v1/security/login")
    @app.get("/api/v1/dashboard/")
    def harmless():
        return jsonify({"result": []})

    return app.test_client()


def told(settings):
    assert CANARY not in "".join(path.read_text() for path in audit.audit_folder(settings).glob("*.jsonl"))
    assert audit.verify(settings).sound
    return list(audit.events(settings))


def ask(superset, path, account="analyst", **body):
    return superset.post(path, json=body, headers={"X-Account": account} if account else {})


def test_a_statement_is_recorded_before_it_runs_and_its_answer_before_it_leaves(superset, settings):
    assert ask(superset, "/api/v1/sqllab/execute/", sql=SQL, database_id=1).status_code == 200
    run, shown = told(settings)
    assert (run.event, run.actor, run.subject) == ("query.run", "analyst", "analyst.duckdb")
    assert (run.detail["statement_sha256"], run.detail["tables"]) == (digest(SQL), ["fct_inspection"])
    assert (shown.event, shown.actor, shown.subject) == ("data.shown", "analyst", "analyst.duckdb")
    assert shown.detail["rows"] == 3
    assert shown.detail["statement_sha256"] == [digest(SQL)]
    assert shown.detail["request"] == run.detail["request"]
    ask(superset, "/api/v1/sqllab/execute/", sql=SQL)
    assert told(settings)[-1].detail["request"] != shown.detail["request"]


def test_a_statement_turned_away_is_recorded_with_its_hash(superset, settings):
    statement = f"ATTACH '/home/steward.duckdb' AS x{CANARY}"
    assert ask(superset, "/api/v1/sqllab/execute/", sql=statement).status_code == 403
    (event,) = told(settings)
    assert (event.event, event.actor, event.detail["status"]) == ("query.refused", "analyst", 403)
    assert event.detail["statement_sha256"] == [digest(statement)]


@pytest.mark.parametrize("force", [True, False])
def test_a_chart_tells_dashboard_dataset_and_rows_from_the_cache_too(superset, settings, force):
    form = {"dashboardId": 4, "slice_id": 7, "adhoc": CANARY}
    ask(superset, "/api/v1/chart/data", "manager", force=force, form_data=form, datasource={"id": 6, "type": "table"})
    shown = told(settings)[-1]
    about = {key: shown.detail[key] for key in ("dashboard", "chart", "dataset", "rows", "tables")}
    assert about == {"dashboard": "4", "chart": "7", "dataset": "6", "rows": 7, "tables": ["fct_inspection"]}
    assert [e.event for e in told(settings)] == (["query.run"] if force else []) + ["data.shown"]


def test_ids_are_not_taken_on_trust(superset, settings):
    ask(superset, "/api/v1/chart/data", form_data={"dashboardId": f"{CANARY} of Wang Li"}, datasource={"id": [CANARY]})
    assert "dashboard" not in told(settings)[-1].detail


def test_exports_are_told_with_their_rows(superset, settings):
    ask(superset, "/api/v1/chart/data", format="csv")
    exported = told(settings)[-1]
    assert (exported.event, exported.detail["rows"]) == ("data.exported", 2)
    form = {"client_id": "known"}
    streamed = superset.post("/api/v1/sqllab/export_streaming/", data=form, headers={"X-Account": "analyst"})
    assert CANARY in streamed.text
    begun, ended = told(settings)[-2:]
    assert (begun.event, begun.subject, begun.detail["statement_sha256"]) == (
        "data.exported",
        "analyst.duckdb",
        [digest(SQL)],
    )
    assert (ended.event, ended.detail["lines"], ended.detail["request"]) == (
        "data.streamed",
        2,
        begun.detail["request"],
    )


def test_changes_of_rights_and_connections_are_told_and_reading_lists_is_not(superset, settings):
    headers = {"X-Account": "admin"}
    superset.get("/api/v1/database/", headers=headers)
    superset.get("/api/v1/dashboard/", headers=headers)
    superset.post("/api/v1/security/login", json={"password": CANARY}, headers=headers)
    superset.post("/api/v1/database/", json={"sqlalchemy_uri": f"duckdb:///{CANARY}"}, headers=headers)
    assert [(e.event, e.actor, e.detail["call"]) for e in told(settings)] == [
        ("superset.changed", "admin", "POST /api/v1/database/")
    ]


def test_what_cannot_be_recorded_is_neither_run_nor_shown(superset, settings, monkeypatch):
    def broken(*_, **__):
        raise OSError(28, "No space left on device")

    superset.application.testing = False
    monkeypatch.setattr(audit, "record", broken)
    assert ask(superset, "/api/v1/sqllab/execute/", sql=SQL).status_code == 503
    answer = ask(superset, "/api/v1/chart/data", force=False)
    assert answer.status_code == 503
    assert CANARY not in answer.text
    assert "result" not in answer.get_json()


def test_a_stranger_cannot_fill_the_log(superset, settings):
    for _ in range(3):
        ask(superset, "/api/v1/sqllab/execute/", account=None, sql="ATTACH 'x' AS x")
    assert list(audit.events(settings)) == []


def test_tables_are_named_like_ours_or_not_at_all():
    assert tables("WITH a AS (FROM mart.fct_inspection) SELECT * FROM a JOIN dim_port USING (x)") == (
        "dim_port",
        "fct_inspection",
    )
    assert tables(f"FROM '/lake/{CANARY}.parquet'") == ()
    assert tables(f'SELECT * FROM "{CANARY}"') == ()
    assert tables("SELECT 'not closed") == ()
