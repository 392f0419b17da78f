"""Ways round the role files, tried through Superset as each account; what comes back decides, not a status code.

Bait lies in a folder of its own: files of every kind that hold a secret no role file holds. A try that reads is blocked
when the secret is not in any answer; a try that changes something is blocked when Superset's objects, the bait and the
role files are afterwards what they were. Every SQL try first runs on an unguarded DuckDB, where it must succeed: a try
that could not work anywhere would prove nothing. What a try leaves behind is removed.
"""

import io
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow as pa
import sqlalchemy
import yaml
from deltalake import write_deltalake

from dashboards import bundle
from dashboards.facts import read_facts
from dashboards.readers import Chart, chart_request, charts_of, metric
from dashboards.serving_models import load_serving_models
from dashboards.specification import load_specification
from dashboards.superset_api import Superset
from data_contracts.emit.sql import quote, text
from data_contracts.policy import load_policy
from infra.governance.assurance.matrix import due
from infra.lake import serving
from infra.lake.datasets import Dataset, datasets
from infra.runtime.duck import delta_extension
from infra.runtime.errors import CustomsError
from infra.runtime.secrets import load_secrets
from infra.runtime.settings import Settings

# {bait} is the folder of the bait; each gives the secret, or leaves {bait}/left, where nothing guards DuckDB
READING = {
    "read_text": "SELECT content FROM read_text('{bait}/bait.txt')",
    "read_blob": "SELECT CAST(content AS VARCHAR) AS c FROM read_blob('{bait}/bait.txt')",
    "read_csv": "SELECT * FROM read_csv('{bait}/bait.csv')",
    "read_json": "SELECT * FROM read_json('{bait}/bait.json')",
    "read_parquet": "SELECT * FROM read_parquet('{bait}/bait.parquet')",
    "a file named as a table": "SELECT * FROM '{bait}/bait.parquet'",
    "a file inside a subquery": "SELECT (SELECT max(secret) FROM read_parquet('{bait}/bait.parquet')) AS c",
    "a file inside WITH": "WITH a AS (SELECT * FROM read_csv('{bait}/bait.csv')) SELECT * FROM a",
    "a file through query()": "SELECT * FROM query('SELECT secret FROM read_csv(''{bait}/bait.csv'')')",
    "glob": "SELECT * FROM glob('{bait}/*')",
    "delta_scan": "SELECT * FROM delta_scan('{bait}/delta')",
    "ATTACH": "ATTACH '{bait}/bait.duckdb' AS other; SELECT secret FROM other.bait",
    "COPY into a table": "CREATE TEMP TABLE t (secret VARCHAR); COPY t FROM '{bait}/bait.csv'; SELECT * FROM t",
    "LOAD": "LOAD '{delta}'; SELECT * FROM delta_scan('{bait}/delta')",
    "SET enable_external_access": "SET enable_external_access = true; SELECT content FROM read_text('{bait}/bait.txt')",
    "SET lock_configuration": "SET lock_configuration = false; SELECT content FROM read_text('{bait}/bait.txt')",
    "SET allowed_directories": "SET allowed_directories = ['{bait}']; SELECT content FROM read_text('{bait}/bait.txt')",
    "RESET": "RESET enable_external_access; SELECT content FROM read_text('{bait}/bait.txt')",
    "PRAGMA": "PRAGMA enable_external_access = true; SELECT content FROM read_text('{bait}/bait.txt')",
}
WRITING = {
    "COPY to a file": "COPY (SELECT 1 AS one) TO '{bait}/left'",
    "EXPORT DATABASE": "EXPORT DATABASE '{bait}/left'",
    "ATTACH a new file": "ATTACH '{bait}/left' AS other",
    "INSTALL": "SET extension_directory = '{bait}/left'; INSTALL '{delta}'",
}
# these change the role file, or would if anything let them
CHANGING = {
    "CREATE TABLE": "CREATE TABLE mart.left_behind AS SELECT 1 AS one",
    "UPDATE": "UPDATE mart.published SET records = 0",
    "DROP TABLE": "DROP TABLE mart.published",
}
# read where Superset keeps them: five queries after a try, where its API takes a page or more of requests per kind
_KINDS = {
    "database": "SELECT id, uuid, database_name FROM dbs",
    "dataset": "SELECT id, uuid, table_name, changed_on FROM tables",
    "chart": "SELECT id, uuid, slice_name, changed_on FROM slices",
    "dashboard": "SELECT id, uuid, dashboard_title, changed_on FROM dashboards",
}
_ADDRESSES = "SELECT id, sqlalchemy_uri FROM dbs"
_IMPORTS = {
    "assets": "assets",
    "dashboard": "Dashboard",
    "chart": "Slice",
    "dataset": "SqlaTable",
    "database": "Database",
}
_NAME = "assurance-try"
# what a try does: it returns what is wrong, or None
_Attempt = Callable[[], str | None]


@dataclass(frozen=True)
class Bypass:
    """How many ways round the role files were tried, and how many of them led nowhere."""

    blocked: int
    tried: int
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bait:
    """Files no role may read; ``secret`` is what they hold."""

    folder: Path
    secret: str

    def fill(self, statement: str) -> str:
        """Return a try with the places it aims at."""
        return statement.replace("{bait}", str(self.folder)).replace("{delta}", str(delta_extension()))

    @property
    def left(self) -> Path:
        """Where a try would leave what it writes."""
        return self.folder / "left"

    def clear(self) -> bool:
        """Remove what a try wrote; return whether there was anything."""
        there = self.left.exists()
        if self.left.is_dir():
            shutil.rmtree(self.left)
        self.left.unlink(missing_ok=True)
        return there


@contextmanager
def bait_below(folder: Path) -> Iterator[Bait]:
    """Lay out the bait below a folder and take it away again."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bait-", dir=folder) as name:
        # not part of any path or statement, so that an answer that repeats the question does not hold it
        bait = Bait(Path(name), f"bait{secrets.token_hex(12)}")
        table = pa.table({"secret": [bait.secret]})
        (bait.folder / "bait.txt").write_text(bait.secret, encoding="ascii")
        (bait.folder / bait.secret).touch()
        write_deltalake(str(bait.folder / "delta"), table)
        with duckdb.connect(str(bait.folder / "bait.duckdb")) as connection:
            connection.execute("CREATE TABLE bait AS SELECT ? AS secret", [bait.secret])
            for form in ("csv", "json", "parquet"):
                connection.execute(f"COPY bait TO '{bait.folder}/bait.{form}' (FORMAT {form})")
        yield bait


def unguarded(statement: str, bait: Bait) -> bool:
    """Return whether a try gives the secret, or writes, on a DuckDB nothing guards."""
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        if "delta_scan" in statement:
            connection.execute(f"LOAD {text(str(delta_extension()))}")
        rows: list[Any] = []
        for one in connection.extract_statements(bait.fill(statement)):
            # a setting that opens what is open already is refused; what follows it decides
            with suppress(duckdb.InvalidInputException):
                rows += connection.execute(one).fetchall()
    return any(bait.secret in str(row) for row in rows) or bait.clear()


@dataclass
class _Superset:
    """All sessions of the tries, and Superset's objects before the first one."""

    settings: Settings
    bait: Bait
    admin: Superset
    known: Mapping[str, Dataset]
    store: sqlalchemy.Engine
    databases: dict[str, int] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    bundle: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take stock before the first try."""
        self.before = self.objects()
        specification = load_specification()
        facts = read_facts(self.settings, specification, load_serving_models())
        # the dashboards as they are published, on databases that lead to the bait
        self.bundle = bundle.build(specification, replace(facts, serving=self.bait.folder))
        ids = {row["database_name"]: row["id"] for row in self.admin.rows("database/", ("id", "database_name"))}
        self.databases = {role: ids[one.name] for role, one in specification.databases.items() if one.name in ids}

    def computed(self, template: str) -> str:
        """Return SQL whose value is the secret while its text does not hold it."""
        return template.replace("{}", f"REVERSE('{self.bait.secret[::-1]}')")

    def objects(self) -> dict[str, Any]:
        """Return what Superset holds: {kind: {id: (uuid, name, changed)}}, and where every database leads."""
        with self.store.connect() as connection:
            found: dict[str, Any] = {
                kind: {number: tuple(about) for number, *about in connection.execute(sqlalchemy.text(sql))}
                for kind, sql in _KINDS.items()
            }
            found["address"] = dict(connection.execute(sqlalchemy.text(_ADDRESSES)).tuples().all())
        found["role file"] = {
            path.name: (path.stat().st_size, path.stat().st_mtime_ns)
            for path in sorted(self.settings.serving.glob("*.duckdb"))
        }
        return found

    def restored(self) -> str | None:
        """Remove what a try left in Superset; return what that was."""
        now = self.objects()
        if now == self.before:
            return None
        changed = []
        for kind in ("dashboard", "chart", "dataset", "database"):
            for number, about in now[kind].items():
                if number not in self.before[kind]:
                    self.admin.delete(f"{kind}/{number}")
                    changed.append(f"{kind} {about[1]} was made")
                elif about != self.before[kind][number]:
                    changed.append(f"{kind} {about[1]} was changed")
            changed += [f"{kind} {one[1]} is gone" for n, one in self.before[kind].items() if n not in now[kind]]
        for number, address in self.before["address"].items():
            if now["address"].get(number) not in (address, None):
                self.admin.put(f"database/{number}", {"sqlalchemy_uri": address})
                changed.append(f"database {self.before['database'][number][1]} led elsewhere")
        if now["role file"] != self.before["role file"]:
            changed.append("a role file was changed (publish it again)")
        self.before = self.objects()
        return "; ".join(changed)

    def told(self, *answers: httpx.Response) -> str | None:
        """Return what is wrong when the secret is in an answer."""
        for answer in answers:
            body = answer.content
            with suppress(zipfile.BadZipFile):
                packed = zipfile.ZipFile(io.BytesIO(body))
                body += b"".join(packed.read(name) for name in packed.namelist())
            if self.bait.secret.encode() in body:
                return "the answer holds the secret of the bait"
        return None


def measure(settings: Settings, progress: Callable[[str], None]) -> Bypass:
    """Try every way round the role files as manager, analyst and steward.

    Raises:
        TryAgainError: Superset does not answer.
        BadArgumentsError: nothing was built, or an account cannot sign in.
        CustomsError: a try does not work even where nothing guards, so it proves nothing.
    """
    known = datasets(settings)
    passwords = load_secrets(settings).passwords
    blocked = tried = 0
    sentences: list[str] = []
    with (
        Superset(settings.superset_url, "admin", passwords["admin"]) as admin,
        bait_below(settings.run) as bait,
    ):
        for name, statement in (READING | WRITING).items():
            if not unguarded(statement, bait):
                raise CustomsError(
                    f"Bypass try '{name}' gives nothing on an unguarded DuckDB: correct it in {__name__}."
                )
        place = _Superset(settings, bait, admin, known, sqlalchemy.create_engine(settings.database_url("superset")))
        for role in serving.roles_served(known.values()):
            with Superset(settings.superset_url, role, passwords[role]) as superset:
                count, failed = 0, len(sentences)
                for name, attempt in _tries(place, superset, role):
                    count += 1
                    if wrong := attempt():
                        sentences.append(f"{role}, {name}: {wrong}.")
                failed = len(sentences) - failed
                progress(f"bypass: {role}: {count - failed} of {count} tries blocked")
                tried += count
                blocked += count - failed
    return Bypass(blocked, tried, tuple(sentences))


def _tries(place: _Superset, superset: Superset, role: str) -> Iterator[tuple[str, _Attempt]]:
    charts = charts_of(superset)
    own = load_specification().roles[role].databases
    yield from _sql_lab(place, superset, role, own)
    yield from _chart_data(place, superset, charts)
    yield from _other_files(place, superset, role, own, charts)
    yield from _making(place, superset, own)


def _sql_lab(place: _Superset, superset: Superset, role: str, own: tuple[str, ...]) -> Iterator[tuple[str, _Attempt]]:
    def execute(sql: str, database: int, client: str = "") -> httpx.Response:
        body = {"database_id": database, "sql": sql, "schema": serving.SCHEMA, "runAsync": False}
        return superset.status("sqllab/execute/", body | ({"client_id": client} if client else {}))

    def read(statement: str, database: int) -> str | None:
        return place.told(execute(place.bait.fill(statement), database))

    def write(statement: str, database: int) -> str | None:
        answer = execute(place.bait.fill(statement), database)
        return "a file was written" if place.bait.clear() else place.told(answer) or place.restored()

    def rows(statement: str, database: int) -> str | None:
        return _rows(execute(statement, database))

    def exported(streamed: bool, database: int) -> str | None:
        client = secrets.token_hex(5)
        execute(place.computed("SELECT {} AS secret"), database, client)
        if streamed:
            form = {"client_id": client, "filename": "export.csv", "expected_rows": "1"}
            return place.told(superset.bare("POST", "/api/v1/sqllab/export_streaming/", data=form))
        return place.told(superset.bare("GET", f"/api/v1/sqllab/export/{client}/"))

    def as_chart(database: int) -> str | None:
        execute(place.bait.fill(READING["read_csv"]), database)
        answers = []
        stored = superset.rows("query/", ("id", "sql"))
        for query in [row for row in stored if str(place.bait.folder) in row["sql"] and "read_csv" in row["sql"]][:3]:
            chart = Chart(0, 0, query["id"])
            body = chart_request(chart, columns=["secret"]) | {"datasource": {"id": query["id"], "type": "query"}}
            answers.append(superset.status("chart/data", body))
        return place.told(*answers)

    for name in own:
        database = place.databases[name]
        for what, statement in READING.items():
            yield f"SQL Lab, {what}", partial(read, statement, database)
        for what, statement in (WRITING | CHANGING).items():
            yield f"SQL Lab, {what}", partial(write, statement, database)
        for what, statement in _not_given(place.known, role):
            yield f"SQL Lab, {what}", partial(rows, statement, database)
        yield "SQL Lab, CSV export", partial(exported, False, database)
        yield "SQL Lab, streamed CSV export", partial(exported, True, database)
        yield "SQL Lab, a query as a chart", partial(as_chart, database)
    contents = f"SELECT * FROM {serving.SCHEMA}.{serving.CONTENTS_TABLE}"
    for name, database in place.databases.items():
        if name not in own:
            yield f"SQL Lab on the file of role {name}", partial(rows, contents, database)


def _not_given(known: Mapping[str, Dataset], role: str) -> Iterator[tuple[str, str]]:
    """Yield queries of a dataset that is not for the role, and of a column it may not have."""
    policy = load_policy()
    for dataset in known.values():
        if role not in dataset.roles:
            yield "a table of another role", f"SELECT * FROM {serving.SCHEMA}.{quote(dataset.name)} LIMIT 5"
            yield "a table of the warehouse", f"SELECT * FROM {dataset.schema}.{quote(dataset.name)} LIMIT 5"
            break
    for dataset in known.values():
        hidden = [name for name in dataset.columns if due(dataset, name, role, policy).sql is None]
        if role in dataset.roles and hidden:
            sql = f"SELECT {quote(hidden[0])} FROM {serving.SCHEMA}.{quote(dataset.name)} LIMIT 5"
            yield "a column the role may not have", sql
            break


def _rows(answer: httpx.Response) -> str | None:
    """Return what is wrong when an answer of SQL Lab or of chart data holds rows."""
    try:
        body = answer.json()
    except ValueError:
        return None
    parts = [body, *(part for part in _results(body) if isinstance(part, dict))]
    rows = sum(len(part["data"]) for part in parts if isinstance(part.get("data"), list))
    return f"{rows} rows came back" if rows else None


def _results(body: Any) -> list[Any]:
    found = body.get("result") if isinstance(body, dict) else None
    return found if isinstance(found, list) else [found]


def _chart_data(place: _Superset, superset: Superset, charts: list[Chart]) -> Iterator[tuple[str, _Attempt]]:
    def ask(**query: Any) -> str | None:
        return place.told(superset.status("chart/data", chart_request(charts[0], **query)))

    file = place.bait.fill("(SELECT max(secret) FROM read_csv('{bait}/bait.csv'))")
    column = {"expressionType": "SQL", "sqlExpression": file, "label": "c"}
    yield "chart data, a file in a metric", partial(ask, metrics=[metric(f"MAX({file})", "c")])
    yield "chart data, a file in a column", partial(ask, columns=[column])
    count = metric("COUNT(*)", "n")
    for clause in ("where", "having"):
        extras = {clause: f"1 = length({file})"}
        yield f"chart data, a file in {clause}", partial(ask, metrics=[count], extras=extras)
    secret = metric(place.computed("MAX({})"), "c")
    for form in ("csv", "xlsx"):
        yield f"chart data as {form}", partial(ask, metrics=[secret], result_format=form)
    files = {one.name: name for name, one in load_specification().databases.items()}
    seen = {(files[chart.database], chart.table): chart for chart in charts}
    for (file_role, table), chart in sorted(seen.items(), key=lambda one: one[0]):
        if dataset := place.known.get(table):
            # the policy for the role whose file is behind the dashboard: its readers see what that role sees
            yield f"chart data, rows of {table}", partial(_row_level, superset, chart, dataset, file_role)


def _row_level(superset: Superset, chart: Chart, dataset: Dataset, role: str) -> str | None:
    """Ask for every column of a table row by row, smallest cells first; return what is too much for the role."""
    policy = load_policy()
    given = {name: due(dataset, name, role, policy) for name in dataset.columns}
    columns = [{"expressionType": "SQL", "sqlExpression": quote(name), "label": name} for name in given]
    order = [[column, True] for column in columns if column["label"] == dataset.cells]
    asked = [[one for one in columns if given[one["label"]].sql]]
    asked += [[one] for one in columns if not given[one["label"]].sql]
    for part in asked:
        known = order if order and order[0][0] in part else []
        answer = superset.status("chart/data", chart_request(chart, columns=part, orderby=known, row_limit=1000))
        if answer.status_code != httpx.codes.OK:
            continue
        for row in answer.json()["result"][0]["data"]:
            if hidden := [name for name in row if not given[name].sql]:
                return f"{', '.join(hidden)} came back"
            cells = row.get(dataset.cells, policy.k)
            if any(given[name].form == "aggregated" for name in row) and (cells or 0) < policy.k:
                return f"a row that stands for {cells} records came back"
    return None


def _other_files(
    place: _Superset, superset: Superset, role: str, own: tuple[str, ...], charts: list[Chart]
) -> Iterator[tuple[str, _Attempt]]:
    """Yield tries to read a dataset that lies on the file of a role whose dashboards the account is not shown."""

    def read(database: int) -> str | None:
        wish = {"database": database, "schema": serving.SCHEMA, "table_name": serving.CONTENTS_TABLE}
        made = place.admin.post("dataset/", wish)["id"]
        try:
            context = chart_request(replace(charts[0], dataset=made), columns=["dataset", "records"])
            samples = f"/datasource/samples?force=false&datasource_type=table&datasource_id={made}"
            answers = [
                superset.status("chart/data", context),
                superset.status("chart/data", context | {"form_data": {}}),
                superset.bare("POST", samples, json={}),
                superset.bare("GET", f"/api/v1/dataset/{made}"),
            ]
            if wrong := next(filter(None, map(_rows, answers[:3])), None):
                return wrong
            return "the dataset is described" if serving.CONTENTS["published_at"]["type"] in answers[3].text else None
        finally:
            place.admin.delete(f"dataset/{made}")

    readers = {name: one.readers for name, one in load_specification().databases.items()}
    for name, database in place.databases.items():
        if name not in own and role not in readers[name]:
            yield f"a dataset on the file of role {name}", partial(read, database)


def _making(place: _Superset, superset: Superset, own: tuple[str, ...]) -> Iterator[tuple[str, _Attempt]]:
    """Yield tries to make, change or import what leads to other data; a viewer makes nothing at all."""
    address = f"duckdb:///{place.bait.folder}/bait.duckdb"
    database = place.databases[own[0]] if own else next(iter(place.databases.values()))
    dataset = next(iter(place.before["dataset"]))
    file = place.bait.fill(READING["read_csv"])

    def send(method: str, path: str, body: Mapping[str, Any]) -> str | None:
        answer = superset.bare(method, f"/api/v1/{path}", json=body)
        answers = [answer]
        if path == "dataset/" and answer.is_success:
            made = Chart(0, 0, answer.json()["id"])
            answers.append(superset.status("chart/data", chart_request(made, columns=["secret"])))
        return place.told(*answers) or place.restored()

    def connect() -> str | None:
        body = {"sqlalchemy_uri": address, "database_name": _NAME, "impersonate_user": False}
        answer = superset.status("database/test_connection/", body)
        return "the connection was opened" if answer.is_success else place.restored()

    def bring(path: str, kind: str, part: str) -> str | None:
        files = place.bundle | {"metadata.yaml": yaml.safe_dump({"version": "1.0.0", "type": kind})}
        upload = {part: ("bundle.zip", bundle.archive(files), "application/zip")}
        superset.bare("POST", f"/api/v1/{path}/import/", files=upload, data={"overwrite": "true"})
        return place.restored()

    named = {"database_name": _NAME, "sqlalchemy_uri": address, "expose_in_sqllab": True}
    virtual = {"database": database, "schema": serving.SCHEMA, "table_name": _NAME, "sql": file}
    yield "a database of one's own", partial(send, "POST", "database/", named)
    yield "a test connection", connect
    yield "the address of a database", partial(send, "PUT", f"database/{database}", {"sqlalchemy_uri": address})
    yield "a virtual dataset", partial(send, "POST", "dataset/", virtual)
    yield "SQL into a dataset", partial(send, "PUT", f"dataset/{dataset}", {"sql": file})
    for path, kind in _IMPORTS.items():
        part = "bundle" if path == "assets" else "formData"
        yield f"import of {path} on other databases", partial(bring, path, kind, part)
    if not own:
        chart = {"slice_name": _NAME, "datasource_id": dataset, "datasource_type": "table", "viz_type": "table"}
        table = {"database": database, "schema": serving.SCHEMA, "table_name": serving.CONTENTS_TABLE}
        yield "a dashboard of one's own", partial(send, "POST", "dashboard/", {"dashboard_title": _NAME})
        yield "a chart of one's own", partial(send, "POST", "chart/", chart | {"params": "{}"})
        yield "a dataset of one's own", partial(send, "POST", "dataset/", table)
