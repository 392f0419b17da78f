"""What people do with data in Superset, as events of the audit log.

``query.run`` is on disk before a statement is sent to a role file, whoever asked and wherever from: SQL Lab, charts,
samples, exports. ``data.shown`` and ``data.exported`` follow before the answer leaves the server, with rows, dashboard,
dataset and chart; ``query.refused`` tells what was turned away, ``superset.changed`` who changed rights, connections or
imported something. Events of one request share its number. An event that cannot be written stops the statement or the
answer: nothing is shown unrecorded.

Statements are told by SHA-256 only, because their literals may be values of grade L3 or L4: who wants to know whether
a certain statement was run hashes it. Tables are told when their name looks like one of ours.

Superset's process belongs to the account that runs the platform, so whoever takes that account over can add false
events or stop adding any, as with every command of the platform. What was written before cannot be changed without the
anchors' copy disagreeing.
"""

import csv
import hashlib
import io
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlglot
from flask import Flask, Response, g, has_request_context, jsonify, request
from sqlglot import exp

from infra.runtime import audit

_NOBODY = "system:anonymous"
# what is known of the request so far: its number, the file asked. SQL Lab runs statements inside a made-up request with
# another g, which sees this one all the same
_known: ContextVar[dict[str, str]] = ContextVar("customs_request")
_TABLE = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
_ID = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
# where answers hold data; other paths count when a statement was run for them
_SHOWN = re.compile(
    r"^/api/v1/(chart/data|chart/\d+/data|sqllab/(execute|results)|datasource/[^/]+/\d+/column/)|^/datasource/samples"
    r"|^/superset/explore_json"
)
_EXPORTED = re.compile(r"^/api/v1/(sqllab/export|[a-z_]+/export)")
# everything that changes who may see what, or brings something in
_CHANGED = re.compile(r"^/api/v1/((security/(?!login|csrf|guest)|database|dataset|rowlevelsecurity)|[a-z_]+/import)")


@dataclass(frozen=True)
class Answer:
    """What an answer holds: rows where they can be counted, and the statements it names."""

    rows: int | None = None
    statements: tuple[str, ...] = ()


def digest(statement: str) -> str:
    """Return SHA-256 of a statement as it was written."""
    return hashlib.sha256(statement.encode()).hexdigest()


@lru_cache(maxsize=500)
def tables(statement: str) -> tuple[str, ...]:
    """Return the tables a statement reads, as far as it can be read and their names look like ours."""
    try:
        parsed = [one for one in sqlglot.parse(statement, dialect="duckdb") if one]
    except sqlglot.errors.SqlglotError:
        return ()
    own = {cte.alias for one in parsed for cte in one.find_all(exp.CTE)}
    found = {table.name for one in parsed for table in one.find_all(exp.Table)}
    return tuple(sorted(name for name in found - own if _TABLE.match(name)))


def query_logger(home: audit.Home) -> Callable[..., None]:
    """Return Superset's QUERY_LOGGER, which it calls before every statement."""

    def log(database: Any, query: str, schema: str | None = None, *_: Any, **__: Any) -> None:
        file = _file(str(getattr(database, "sqlalchemy_uri", database)))
        detail = {"request": _request(), "statement_sha256": digest(query), "tables": tables(query)}
        _known.get({})["file"] = file
        audit.record("query.run", _actor(), file, detail, settings=home)

    return log


def _file(address: str) -> str:
    return Path(urlsplit(address).path).name or "unknown"


def _kept_query(client_id: str) -> tuple[str, str] | None:
    """Return role file and statement of a query of SQL Lab's history, which exports name by its id."""
    from superset import db
    from superset.models.sql_lab import Query

    query = db.session.query(Query).filter_by(client_id=client_id).one_or_none()
    return (_file(query.database.sqlalchemy_uri), query.executed_sql or query.sql) if query else None


def watch(app: Flask, home: audit.Home, kept_query: Callable[[str], tuple[str, str] | None] = _kept_query) -> None:
    """Record what leaves the application; `FLASK_APP_MUTATOR` calls this when its extensions are in place.

    Args:
        app: Superset, or anything with its paths.
        home: the data folder whose audit log is written.
        kept_query: finds role file and statement of an earlier query.
    """

    @app.before_request
    def begin() -> None:
        _known.set({})

    @app.after_request
    def tell(response: Response) -> Response:
        event = _event(response)
        if event is None:
            return response
        try:
            # a stream's rows are known when it has ended
            answer = Answer() if response.is_streamed else _read(response)
            subject, detail = _told(answer, kept_query)
            detail |= {"status": response.status_code}
            audit.record(event, _actor(), subject, detail, settings=home)
            if response.is_streamed and event == "data.exported":
                response.response = _counted(response.iter_encoded(), home, _actor(), subject, _request())
        except Exception:
            app.logger.exception("The audit log could not be written")
            refusal = jsonify({"message": "The audit log cannot be written, so nothing is shown: tell the operator."})
            refusal.status_code = 503
            return refusal
        return response


def _event(response: Response) -> str | None:
    path, refused = request.path, response.status_code >= 400
    if refused and _actor() == _NOBODY:
        # a stranger at the door: wrong passwords are events of their own
        return None
    if _EXPORTED.match(path):
        return "query.refused" if refused else "data.exported"
    if _CHANGED.match(path) and request.method not in ("GET", "HEAD", "OPTIONS"):
        return "superset.change_refused" if refused else "superset.changed"
    if _SHOWN.match(path) or "number" in _known.get({}):
        if refused:
            return "query.refused"
        return "data.exported" if "attachment" in response.headers.get("Content-Disposition", "") else "data.shown"
    return None


def _actor() -> str:
    user = g.get("user") if has_request_context() else None
    return getattr(user, "username", None) or _NOBODY


def _request() -> str:
    return _known.get({}).setdefault("number", secrets.token_hex(6))


def _told(answer: Answer, kept_query: Callable[[str], tuple[str, str] | None]) -> tuple[str, dict[str, Any]]:
    """Return what the request was about, and the event's detail."""
    client_id = (request.view_args or {}).get("client_id") or request.form.get("client_id")
    if client_id and (kept := kept_query(client_id)):
        _known.get({})["file"] = kept[0]
        answer = Answer(answer.rows, (kept[1],))
    body = request.get_json(silent=True)
    body = body if isinstance(body, dict) else {}
    form, source = (part if isinstance(part := body.get(name), dict) else {} for name in ("form_data", "datasource"))
    about = {
        "dashboard": form.get("dashboardId") or request.args.get("dashboard_id"),
        "chart": form.get("slice_id") or (request.view_args or {}).get("pk"),
        "dataset": source.get("id") or request.args.get("datasource_id"),
        "database": body.get("database_id"),
    }
    # numbers and short names only: a request may carry anything in any field
    named = {key: str(value) for key, value in about.items() if value is not None and _ID.match(str(value))}
    statements = [body["sql"]] if isinstance(body.get("sql"), str) else list(answer.statements)
    rule = str(request.url_rule or "unknown")
    detail: dict[str, Any] = {"request": _request(), "call": f"{request.method} {rule}", "rows": answer.rows, **named}
    if statements:
        detail["statement_sha256"] = [digest(one) for one in statements]
        detail["tables"] = sorted({name for one in statements for name in tables(one)})
    # an answer from the cache comes from no file; the request's number and the hash lead to the run it was kept from
    return _known.get({}).get("file", "superset"), detail


def _read(response: Response) -> Answer:
    """Return what can be learnt from an answer: rows of JSON and CSV, statements of charts."""
    if response.status_code >= 400:
        return Answer()
    if response.mimetype == "text/csv":
        text = io.StringIO(response.get_data(as_text=True), newline="")
        return Answer(rows=max(sum(1 for _ in csv.reader(text)) - 1, 0))
    if response.mimetype != "application/json" or response.headers.get("Content-Encoding"):
        return Answer()
    body = json.loads(response.get_data())
    if not isinstance(body, dict):
        return Answer()
    if isinstance(body.get("data"), list):
        return Answer(rows=len(body["data"]))
    parts = [part for part in _list(body.get("result")) if isinstance(part, dict)]
    counts = [_rows(part) for part in parts]
    known = [count for count in counts if count is not None]
    return Answer(
        rows=sum(known) if known else None,
        statements=tuple(part["query"] for part in parts if isinstance(part.get("query"), str)),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _rows(part: Mapping[str, Any]) -> int | None:
    if isinstance(part.get("rowcount"), int):
        return part["rowcount"]
    return len(part["data"]) if isinstance(part.get("data"), list) else None


def _counted(chunks: Iterator[bytes], home: audit.Home, actor: str, subject: str, number: str) -> Iterator[bytes]:
    lines = 0
    try:
        for chunk in chunks:
            lines += chunk.count(b"\n")
            yield chunk
    finally:
        # lines, not rows: a value may hold a line break
        audit.record("data.streamed", actor, subject, {"request": number, "lines": lines}, settings=home)
