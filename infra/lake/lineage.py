"""Where each column of a dataset comes from, and the proof that its grade is no lower than what it is made from.

GB/T 43697-2024 asks that of several grades the highest wins (就高从严), for joins and for derived data alike. dbt's
compiled SQL is read with SQLGlot, column by column, down to the contracts: a column is graded at least as high as every
column its value is computed from, and so are its marks of personal information. What counts as computed from:

- whatever stands in the select list, conditions of CASE and the order of window functions included;
- not COUNT, whether of rows, of a column or of its distinct values, nor COUNT's FILTER: how many rows there are
  carries no value of any of them;
- not WHERE, JOIN, GROUP BY, QUALIFY, PARTITION BY and what ARG_MAX is ordered by: they choose rows and put nothing of
  the column into the result.

A lower grade is allowed only where the dataset's YAML declares it, for a column or for a dataset as a whole::

    declassify: {method: aggregate, approver: data-steward, reason: ...}

``aggregate`` asks for a dataset whose rows each stand for k records (``aggregated`` and ``cells``, counted again when
it is published) and never covers L4 or personal information that is copied as it is; ``pseudonymise`` for values that
are pseudonyms since ingestion; ``generalise`` for a column that is computed, not copied. Who may approve which method
is in policy.yaml.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from data_contracts.model import GRADES, PERSONAL_INFORMATION
from data_contracts.policy import load_policy
from infra.runtime.errors import BadArgumentsError, CustomsError, DataContractError
from infra.runtime.settings import Settings, get_settings

GRADED_LAYERS = ("marts", "serving")
COPIED, DERIVED, AGGREGATED = "copied", "derived", "aggregated"
_HOW = (COPIED, DERIVED, AGGREGATED)
_TRANSPARENT = (exp.Alias, exp.Cast, exp.TryCast, exp.Paren)
_COUNTS = (exp.Count, exp.CountIf, exp.ApproxDistinct)


@dataclass(frozen=True)
class Origin:
    """A column another one is made from, and how: copied, derived or aggregated."""

    dataset: str
    column: str
    how: str
    grade: str
    personal_information: str
    pseudonym: bool = False


@dataclass(frozen=True)
class GradedColumn:
    """A column of a mart or serving dataset: what it is declared as, what it is made from, and what is wrong."""

    dataset: str
    column: str
    grade: str | None
    personal_information: str
    sources: tuple[Origin, ...]
    origins: tuple[Origin, ...]
    declassify: Mapping[str, str] | None = None
    finding: str | None = None

    @property
    def inherited(self) -> tuple[str, str]:
        """Highest grade and personal information of its sources; L1 and none where it has none."""
        return _highest(self.sources)

    @property
    def lowered(self) -> bool:
        """Whether it is declared below what it is made from."""
        return self.finding is None and _below(self.grade, self.personal_information, *self.inherited)

    @property
    def why(self) -> str:
        """One sentence: why its grade is what it is."""
        grade, personal = self.inherited
        top = [f"{one.dataset}.{one.column}" for one in self.sources if one.grade == grade and grade != "L1"]
        if self.finding:
            return self.finding
        if self.lowered and self.declassify:
            said = self.declassify
            words = f"{said['method']}, {said['approver']}: {said['reason']}"
            return f"{grade} of {', '.join(top[:3]) or personal} lowered by {words}"
        if not self.sources:
            return "made from no column: a constant or a count of rows"
        if self.grade == grade:
            return f"highest of its sources{': ' + ', '.join(top[:3]) if top else ''}"
        return f"declared above its sources ({grade})"


def _highest(sources: tuple[Origin, ...]) -> tuple[str, str]:
    return (
        max((one.grade for one in sources), default=GRADES[0]),
        max((one.personal_information for one in sources), default="none", key=PERSONAL_INFORMATION.index),
    )


def _below(grade: str | None, personal: str, needed: str, needed_personal: str) -> bool:
    lower_personal = PERSONAL_INFORMATION.index(personal) < PERSONAL_INFORMATION.index(needed_personal)
    return (grade or "") < needed or lower_personal


# --- dbt's manifest ---------------------------------------------------------------------------------------------------


def _meta(node: Mapping[str, Any]) -> dict[str, Any]:
    return (node.get("config") or {}).get("meta") or node.get("meta") or {}


@dataclass(frozen=True)
class _Manifest:
    """What dbt knows: SQL of the models in order of building, columns of everything by relation name."""

    models: dict[str, Mapping[str, Any]]
    code: dict[str, str]
    columns: dict[str, dict[str, dict[str, Any]]]

    def layer(self, name: str) -> str | None:
        return self.models[name]["fqn"][1] if name in self.models else None


def _read(target: Path) -> _Manifest:
    path = target / "manifest.json"
    if not path.is_file():
        raise BadArgumentsError("No datasets were built yet: run `customs datasets build` first.")
    document = json.loads(path.read_text(encoding="utf-8"))
    columns: dict[str, dict[str, dict[str, Any]]] = {}
    for source in document["sources"].values():
        columns[source["name"]] = {c["name"]: _meta(c) for c in source["columns"].values()}
    models: dict[str, Mapping[str, Any]] = {}
    nodes = document["nodes"]

    def visit(key: str) -> None:
        node = nodes.get(key)
        if node is None or node["name"] in columns or node["resource_type"] not in ("model", "seed"):
            return
        for upstream in node["depends_on"].get("nodes", ()):
            visit(upstream)
        columns[node["name"]] = {c["name"]: _meta(c) for c in node["columns"].values()}
        if node["resource_type"] == "model":
            models[node["name"]] = node

    for key in nodes:
        visit(key)
    code = {}
    for name, node in models.items():
        # a run compiles what it selects; what an earlier run compiled is what the warehouse holds
        kept = target / "compiled" / node["package_name"] / node["original_file_path"]
        if text := node.get("compiled_code") or (kept.read_text(encoding="utf-8") if kept.is_file() else ""):
            code[name] = text
    return _Manifest(models, code, columns)


# --- one select list --------------------------------------------------------------------------------------------------


def _prepared(sql: str, columns: Mapping[str, Mapping[str, Any]]) -> exp.Expr:
    """Parse a model and resolve every name and star in it."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    if hidden := tree.find(exp.Columns):
        raise CustomsError(f"{hidden.sql('duckdb')} hides what each column is made from: name the columns.")
    for table in list(tree.find_all(exp.Table)):
        if isinstance(table.this, exp.Func):
            if table.this.name.lower() == "delta_scan":
                zone, name = table.find(exp.Literal).this.split("/")[-2:]  # type: ignore[union-attr]  # it names its table
                known = exp.to_table(name if zone == "silver" else f"{name}__quarantine")
                table.replace(exp.alias_(known, table.alias, table=True) if table.alias else known)
        elif table.db:
            table.set("db", None)
            table.set("catalog", None)
    for call in list(tree.find_all(exp.Unnest, exp.Explode)):
        _unfold(call)
    schema: dict[str, object] = {name: dict.fromkeys(known, "VARCHAR") for name, known in columns.items() if known}
    return qualify(tree, schema=schema, dialect="duckdb", validate_qualify_columns=False)


def _unfold(call: exp.Expr) -> None:
    """Replace unnest([{'a': x, 'b': y}, ...]) in a select list by its columns, each made from all its alternatives."""
    array, select = call.find(exp.Array), call.parent_select
    if array is None or select is None or not all(isinstance(one, exp.Struct) for one in array.expressions):
        return
    if not array.expressions:
        return
    given: dict[str, list[exp.Expr]] = {}
    for struct in array.expressions:
        for pair in struct.expressions:
            given.setdefault(pair.name, []).append(pair.expression)
    made = [
        exp.alias_(exp.Coalesce(this=values[0], expressions=values[1:]), name, quoted=True)
        for name, values in given.items()
    ]
    projections: list[exp.Expr] = []
    for one in select.expressions:
        projections += made if any(part is call for part in one.walk()) else [one]
    select.set("expressions", projections)


def _selects(query: exp.Expr) -> list[exp.Expr]:
    return list(query.selects) if isinstance(query, exp.Query) else []


_Found = dict[tuple[str, str], str]  # (relation, column) -> the mildest way its value arrives


def _take(found: _Found, more: _Found) -> None:
    for key, how in more.items():
        found[key] = min(found.get(key, how), how, key=_HOW.index)


def _sources(expression: exp.Expr, scope: Scope, how: str) -> _Found:
    """Return the columns of relations an expression's value is computed from."""
    found: _Found = {}
    if isinstance(expression, exp.Column):
        _take(found, _of_column(expression, scope, how))
    elif isinstance(expression, _COUNTS):
        pass
    elif isinstance(expression, exp.Filter | exp.ArgMax | exp.ArgMin | exp.Order):
        # what chooses or orders the rows is not what the result is made of
        aggregated = AGGREGATED if isinstance(expression, exp.AggFunc) else how
        _take(found, _sources(expression.this, scope, aggregated))
    elif isinstance(expression, exp.Window):
        _take(found, _sources(expression.this, scope, how))
        if order := expression.args.get("order"):
            for one in order.expressions:  # a rank tells the order of the values
                _take(found, _sources(one, scope, _at_least(how, DERIVED)))
    elif isinstance(expression, exp.Query):
        inner = next((one for one in scope.subquery_scopes if one.expression is expression.unnest()), None)
        if inner is None:
            raise CustomsError(
                f"Lineage cannot follow the subquery {expression.sql('duckdb')[:120]}: write it as a CTE."
            )
        for projection in _selects(inner.expression):
            _take(found, _sources(projection, inner, _at_least(how, DERIVED)))
    else:
        if isinstance(expression, exp.AggFunc):
            how = AGGREGATED
        elif not isinstance(expression, _TRANSPARENT):
            how = _at_least(how, DERIVED)
        for child in expression.iter_expressions():
            _take(found, _sources(child, scope, how))
    return found


def _at_least(how: str, other: str) -> str:
    return max(how, other, key=_HOW.index)


def _of_column(column: exp.Column, scope: Scope, how: str) -> _Found:
    place: Scope | None = scope
    while place is not None and column.table not in place.sources:
        place = place.parent
    if place is None:
        raise CustomsError(f"Lineage cannot tell which relation {column.sql('duckdb')} is of: name its table.")
    source = place.sources[column.table]
    if isinstance(source, exp.Table):
        return {(source.name, column.name): how}
    return _of_scope(source, column.name, how)


def _of_scope(scope: Scope, name: str, how: str) -> _Found:
    found: _Found = {}
    if isinstance(scope.expression, exp.SetOperation):
        position = [one.alias_or_name for one in _selects(scope.expression)].index(name)
        for branch in scope.set_operation_scopes:
            branch_name = _selects(branch.expression)[position].alias_or_name
            _take(found, _of_scope(branch, branch_name, how))
        return found
    if not isinstance(scope.expression, exp.Query):  # a table function: made from its arguments
        return _sources_of_all(scope.expression, scope.parent or scope, how)
    for projection in _selects(scope.expression):
        if projection.alias_or_name == name:
            return _sources(projection, scope, how)
    raise CustomsError(
        f"Lineage finds no column {name} in {scope.expression.sql('duckdb')[:120]}: name it in the select."
    )


def _sources_of_all(expression: exp.Expr, scope: Scope, how: str) -> _Found:
    found: _Found = {}
    for child in expression.iter_expressions():
        if not isinstance(child, exp.TableAlias):
            _take(found, _sources(child, scope, _at_least(how, DERIVED)))
    return found


# --- read once --------------------------------------------------------------------------------------------------------


class _Readings:
    """What was read out of the SQL of models, kept beside dbt's target: reading all of it takes SQLGlot seconds.

    Grades are no part of it. A reading holds while the SQL, the columns of the relations it names, this file and
    SQLGlot are the same.
    """

    def __init__(self, target: Path) -> None:
        self._path = target.parent / "lineage.json"
        self._known = json.loads(self._path.read_text(encoding="utf-8")) if self._path.is_file() else {}
        self._used: dict[str, dict[str, list[list[str]]]] = {}
        self._by = hashlib.sha256(Path(__file__).read_bytes() + sqlglot.__version__.encode())

    def of(self, sql: str, columns: Mapping[str, Mapping[str, Any]]) -> dict[str, _Found]:
        """Return what each column of a model is computed from, read now or before."""
        named = {name: list(known) for name, known in columns.items() if name in sql}
        digest = self._by.copy()
        digest.update(json.dumps([sql, named]).encode())
        key = digest.hexdigest()
        if key not in self._known:
            made = _made(sql, columns)
            self._known[key] = {name: [[*at, how] for at, how in found.items()] for name, found in made.items()}
        self._used[key] = self._known[key]
        return {
            name: {(relation, column): how for relation, column, how in found}
            for name, found in self._used[key].items()
        }

    def keep(self) -> None:
        """Write what was asked for; what nobody asks for any more goes."""
        draft = self._path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(self._used), encoding="utf-8")
        os.replace(draft, self._path)


def _made(sql: str, columns: Mapping[str, Mapping[str, Any]]) -> dict[str, _Found]:
    tree = _prepared(sql, columns)
    scope = build_scope(tree)
    if scope is None:
        raise CustomsError("it is no select")
    return {one.alias_or_name: _of_scope(scope, one.alias_or_name, COPIED) for one in _selects(tree)}


# --- the whole graph --------------------------------------------------------------------------------------------------


def lineage(settings: Settings | None = None) -> dict[str, GradedColumn]:
    """Return every column of every compiled mart and serving dataset, ``<dataset>.<column>``, with its sources.

    Raises:
        BadArgumentsError: nothing was built yet.
        CustomsError: a model's SQL cannot be followed; the message names the model.
    """
    settings = settings or get_settings()
    manifest = _read(settings.dbt_target)
    readings = _Readings(settings.dbt_target)
    # columns of ungraded models (staging, intermediate) are followed through, graded ones are where a grade is declared
    through: dict[tuple[str, str], tuple[Origin, ...]] = {}
    origins: dict[tuple[str, str], tuple[Origin, ...]] = {}
    graded: dict[str, GradedColumn] = {}
    for name, node in manifest.models.items():
        if name not in manifest.code:
            continue
        try:
            made = readings.of(manifest.code[name], manifest.columns)
        except (CustomsError, sqlglot.errors.SqlglotError, StopIteration, ValueError) as error:
            raise CustomsError(f"Model {name}: {str(error).splitlines()[0]}") from error
        if not manifest.columns[name]:
            manifest.columns[name].update({column: {} for column in made})
        for column, found in made.items():
            direct = _resolved(found, manifest, through)
            origins[name, column] = _merged(
                replace(deep, how=_at_least(one.how, deep.how))
                for one in direct
                for deep in origins.get((one.dataset, one.column), (one,))
            )
            if manifest.layer(name) not in GRADED_LAYERS:
                through[name, column] = direct
                continue
            graded[f"{name}.{column}"] = _judged(name, column, node, manifest, direct, origins[name, column])
    readings.keep()
    return graded


def _resolved(
    found: _Found, manifest: _Manifest, through: Mapping[tuple[str, str], tuple[Origin, ...]]
) -> tuple[Origin, ...]:
    flat: list[Origin] = []
    for (relation, column), how in found.items():
        if (relation, column) in through:
            flat += [replace(one, how=_at_least(how, one.how)) for one in through[relation, column]]
            continue
        about = manifest.columns.get(relation, {}).get(column, {})
        if relation in manifest.models and manifest.layer(relation) not in GRADED_LAYERS:
            raise CustomsError(f"{relation} is not compiled; run `customs datasets build` for all datasets once.")
        flat.append(
            Origin(
                relation,
                column,
                how,
                about.get("grade") or GRADES[0],
                about.get("personal_information") or "none",
                about.get("mask") == "hmac",
            )
        )
    return _merged(flat)


def _merged(sources: Any) -> tuple[Origin, ...]:
    best: dict[tuple[str, str], Origin] = {}
    for one in sources:
        key = (one.dataset, one.column)
        if key not in best or _HOW.index(one.how) < _HOW.index(best[key].how):
            best[key] = one
    return tuple(sorted(best.values(), key=lambda one: (one.grade, one.dataset, one.column), reverse=True))


def _judged(
    name: str,
    column: str,
    node: Mapping[str, Any],
    manifest: _Manifest,
    sources: tuple[Origin, ...],
    origins: tuple[Origin, ...],
) -> GradedColumn:
    about, dataset = manifest.columns[name].get(column, {}), _meta(node)
    own, common = about.get("declassify"), dataset.get("declassify")
    judged = GradedColumn(
        dataset=name,
        column=column,
        grade=about.get("grade"),
        personal_information=about.get("personal_information") or "none",
        sources=sources,
        origins=origins,
        declassify=own or common,
    )
    return replace(judged, finding=_finding(judged, dataset, own))


def _finding(column: GradedColumn, dataset: Mapping[str, Any], own: Any) -> str | None:
    where = f"{column.dataset}.{column.column}"
    if column.grade not in GRADES:
        return f"{where} has grade {column.grade}: declare one of {', '.join(GRADES)} in its YAML."
    needed, personal = column.inherited
    if not _below(column.grade, column.personal_information, needed, personal):
        if own:
            return f"{where} declares declassify, but its sources are {needed} at most: remove it."
        return None
    higher = [
        one
        for one in column.sources
        if _below(column.grade, column.personal_information, one.grade, one.personal_information)
    ]
    said = ", ".join(f"{one.dataset}.{one.column} ({one.grade}{_flag(one)}, {one.how})" for one in higher[:4])
    declared = f"{column.grade}{'' if column.personal_information == 'none' else ', ' + column.personal_information}"
    remedy = f"raise it to {needed}, or declare declassify with method, approver and reason in its YAML."
    if not column.declassify:
        return f"{where} is declared {declared} and made from {said}: {remedy}"
    return _bad_declassify(where, column.declassify, dataset, higher)


def _flag(one: Origin) -> str:
    return "" if one.personal_information == "none" else f", {one.personal_information} personal information"


def _bad_declassify(
    where: str, said: Mapping[str, Any], dataset: Mapping[str, Any], higher: list[Origin]
) -> str | None:
    """Return why a declared lowering does not hold, None when it does."""
    allowed = load_policy().declassify
    method = str(said.get("method"))
    if method not in allowed:
        return f"{where}: declassify method '{method}' is not known; use {', '.join(allowed)}."
    if said.get("approver") not in allowed[method]:
        return (
            f"{where}: {said.get('approver')} may not approve {method}; policy.yaml says {', '.join(allowed[method])}."
        )
    if len(str(said.get("reason") or "")) < 10:
        return f"{where}: declassify needs a reason; say why what is left can do no harm of its former grade."
    if method == "aggregate" and not (dataset.get("aggregated") and dataset.get("cells")):
        return (
            f"{where}: method aggregate needs a dataset with aggregated and cells, whose cells are counted against k."
        )
    copied = [f"{one.dataset}.{one.column}" for one in higher if one.how == COPIED]
    persons = [
        f"{one.dataset}.{one.column}"
        for one in higher
        if one.how == COPIED and (one.grade == "L4" or one.personal_information != "none")
    ]
    if method == "aggregate" and persons:
        return f"{where}: method aggregate, but {', '.join(persons)} is copied as it is; leave it out or count it."
    if method == "generalise" and copied:
        return f"{where}: method generalise, but {', '.join(copied)} is copied as it is; compute a coarser value."
    clear = [f"{one.dataset}.{one.column}" for one in higher if not one.pseudonym]
    if method == "pseudonymise" and clear:
        return f"{where}: method pseudonymise, but {', '.join(clear)} holds no pseudonyms."
    return None


def findings(columns: Mapping[str, GradedColumn]) -> Iterator[str]:
    """Yield one sentence per column whose grade is not proven."""
    for one in columns.values():
        if one.finding:
            yield one.finding


def prove(settings: Settings | None = None) -> dict[str, GradedColumn]:
    """Return the lineage of all datasets, or stop at grades that are not proven.

    Raises:
        DataContractError: names each column, what it is made from, and what to do.
    """
    columns = lineage(settings)
    if wrong := list(findings(columns)):
        shown = "\n  ".join(wrong[:20])
        raise DataContractError(f"{len(wrong)} columns are graded below what they are made from:\n  {shown}")
    return columns


def as_document(column: GradedColumn) -> dict[str, Any]:
    """Return a column as plain values, for JSON."""
    grade, personal = column.inherited
    return asdict(column) | {"inherited_grade": grade, "inherited_personal_information": personal, "why": column.why}
