"""Rules, casts and pseudonyms as SQL. Written once in DuckDB's dialect, transpiled by SQLGlot to Spark.

Relation a rule is judged on: typed columns ``<field>`` (derived fields and record fields included) and the raw text
``raw__<field>`` of every field read from the message; raw NULL means absent. Rules are judged on clear values,
before pseudonymisation.
"""

from dataclasses import dataclass
from datetime import date
from functools import cache

import sqlglot
from sqlglot import expressions as exp

from data_contracts.codes import code_list
from data_contracts.errors import ContractError
from data_contracts.loader import BEFORE
from data_contracts.model import Code, Contract, Field, LayoutTable, Rule

DIALECTS = ("duckdb", "spark")
RAW_PREFIX = "raw__"
# What a list of transitions calls the state before the first.
START = "start"

# Text forms accepted per type. TRY_CAST alone differs between engines: DuckDB reads '5.7' as integer 6, '1_000' as
# 1000, 'epoch' as a date, and a timestamp without offset in whatever zone the session has.
_INTEGER = "^[+-]?[0-9]{1,19}$"
_NUMBER = "^[+-]?[0-9]{1,38}([.][0-9]{1,38})?([eE][+-]?[0-9]{1,3})?$"
_DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIMESTAMP = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"

# strptime format -> Spark (Java) pattern: the closed set a layout may use.
FORMATS = {
    "%Y%m%d": "yyyyMMdd",
    "%Y/%m/%d": "yyyy/MM/dd",
    "%d/%m/%Y": "dd/MM/yyyy",
    "%d.%m.%Y": "dd.MM.yyyy",
    "%Y-%m-%d %H:%M:%S": "yyyy-MM-dd HH:mm:ss",
    "%Y-%m-%dT%H:%M:%S": "yyyy-MM-dd'T'HH:mm:ss",
    "%Y%m%d%H%M%S": "yyyyMMddHHmmss",
    "%Y/%m/%d %H:%M:%S": "yyyy/MM/dd HH:mm:ss",
}

# Functions seen to mean the same on both engines. SQLGlot passes others through unchanged (REGEXP_FULL_MATCH,
# TRY_STRPTIME …), and they would fail at run time only, on the other engine.
_FUNCTIONS = (
    exp.Abs,
    exp.And,
    exp.Case,
    exp.Cast,
    exp.Coalesce,
    exp.Count,
    exp.CurrentTimestamp,
    exp.DateDiff,
    exp.DateTrunc,
    exp.Floor,
    exp.Greatest,
    exp.If,
    exp.JSONExtractScalar,
    exp.Least,
    exp.Length,
    exp.Log,
    exp.Lower,
    exp.Max,
    exp.Min,
    exp.Nullif,
    exp.Or,
    exp.Pow,
    exp.RegexpLike,
    exp.Right,
    exp.Round,
    exp.Sign,
    exp.StrPosition,
    exp.Substring,
    exp.TimestampTrunc,
    exp.Trim,
    exp.TryCast,
    exp.Upper,
)

# GB 32100-2015: 31 characters (no I, O, S, V, Z), weights 3^i mod 31, the weighted sum with the check is 0 mod 31.
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS = (*(pow(3, i, 31) for i in range(17)), 1)
_USCC_FORM = "^[0-9]{8}[0-9A-HJ-NPQRTUWXY]{10}$"
# ISO 6346: letters count from 10 and skip multiples of 11 (the blanks), weights 2^i, sum mod 11 mod 10 is the check.
_ISO6346_ALPHABET = "0123456789A BCDEFGHIJK LMNOPQRSTU VWXYZ"
_ISO6346_FORM = "^[A-Z]{3}[UJZR][0-9]{7}$"
# Wagons of the 1520 mm network: eight digits, weights 2 and 1 in turn, the digits of the products and the check add up
# to a multiple of ten (Luhn). A doubled digit above 4 loses 9, which is the sum of the digits of its product.
_LUHN_FORM = "^[0-9]{8}$"


@dataclass(frozen=True)
class CompiledRule:
    """A rule ready to run: ``sql`` is TRUE where the row satisfies it and FALSE where it breaks it, never NULL."""

    id: str
    severity: str
    sql: str
    description: str
    dimension: str
    kind: str
    field: str | None = None
    source: str | None = None


def quote(name: str) -> str:
    """Return a column name quoted for DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a SQL string literal (DuckDB)."""
    return "'" + value.replace("'", "''") + "'"


def raw_column(field: str) -> str:
    """Return the column that holds the raw text of a field."""
    return f"{RAW_PREFIX}{field}"


@cache
def transpile(sql: str, dialect: str) -> str:
    """Return a DuckDB expression in another dialect.

    Raises:
        ContractError: unknown dialect, or a function with no counterpart there.
    """
    if dialect not in DIALECTS:
        raise ContractError(f"There is no SQL dialect '{dialect}'; use one of {', '.join(DIALECTS)}.")
    if dialect == "duckdb":
        return sql
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    for call in tree.find_all(exp.Func):
        if not isinstance(call, _FUNCTIONS):
            name = call.this if isinstance(call, exp.Anonymous) else call.sql_name()
            raise ContractError(f"{name} is not known to mean the same in {dialect}; write it with another function.")
    for match in tree.find_all(exp.RegexpLike):
        pattern = match.expression
        # Java's $ also matches before a final line break, RE2's does not.
        if isinstance(pattern, exp.Literal) and pattern.this.endswith("$"):
            pattern.set("this", pattern.this[:-1] + "\\z")
    return tree.sql(dialect=dialect)


def cast_expression(
    field: Field, raw_sql: str, fmt: str | None = None, *, time_zone: str | None = None, dialect: str = "duckdb"
) -> str:
    """Return SQL for the typed value of a raw text; NULL when it does not read as the type.

    Instants are ISO 8601 with an offset, days ISO dates, booleans true/false/0/1; the session zone must be UTC.

    Args:
        field: the column; its ``physical_type`` decides.
        raw_sql: SQL of the raw text, already in ``dialect``.
        fmt: strptime format of the text where the layout has another one.
        time_zone: zone of a ``fmt`` without offset, for instants.
        dialect: ``duckdb`` or ``spark``.
    """
    kind = field.physical_type
    if kind == "VARCHAR":
        return raw_sql
    if fmt is not None:
        return _formatted(field, raw_sql, fmt, time_zone, dialect)
    if kind == "BOOLEAN":
        sql = (
            "CASE LOWER(__raw) WHEN 'true' THEN TRUE WHEN '1' THEN TRUE WHEN 'false' THEN FALSE WHEN '0' THEN FALSE END"
        )
    elif kind in ("INTEGER", "BIGINT"):
        sql = f"CASE WHEN REGEXP_MATCHES(__raw, {text(_INTEGER)}) THEN TRY_CAST(__raw AS {kind}) END"
    elif kind == "DATE":
        sql = f"CASE WHEN REGEXP_MATCHES(__raw, {text(_DATE)}) THEN TRY_CAST(__raw AS DATE) END"
    elif kind == "TIMESTAMPTZ":
        sql = f"CASE WHEN REGEXP_MATCHES(__raw, {text(_TIMESTAMP)}) THEN TRY_CAST(__raw AS TIMESTAMPTZ) END"
    else:
        sql = f"CASE WHEN REGEXP_MATCHES(__raw, {text(_NUMBER)}) THEN TRY_CAST(__raw AS {kind}) END"
    return transpile(sql, dialect).replace("__raw", raw_sql)


def _formatted(field: Field, raw_sql: str, fmt: str, time_zone: str | None, dialect: str) -> str:
    if fmt not in FORMATS:
        raise ContractError(f"Format {fmt} of {field.name} is not known; use one of {', '.join(FORMATS)}.")
    if field.physical_type == "DATE":
        if dialect == "duckdb":
            return f"CAST(TRY_STRPTIME({raw_sql}, {text(fmt)}) AS DATE)"
        return f"CAST(TRY_TO_TIMESTAMP({raw_sql}, {text(FORMATS[fmt])}) AS DATE)".replace("''T''", "\\'T\\'")
    if field.physical_type == "TIMESTAMPTZ":
        if time_zone is None:
            raise ContractError(f"Format {fmt} of {field.name} has no offset; give the layout a time_zone.")
        if dialect == "duckdb":
            return f"(TRY_STRPTIME({raw_sql}, {text(fmt)}) AT TIME ZONE {text(time_zone)})"
        pattern = text(FORMATS[fmt]).replace("''", "\\'")
        return f"TO_UTC_TIMESTAMP(TRY_TO_TIMESTAMP({raw_sql}, {pattern}), {text(time_zone)})"
    raise ContractError(f"Field {field.name} is {field.physical_type}; a format is for days and instants only.")


def derivation_expression(field: Field, dialect: str = "duckdb") -> str:
    """Return SQL of a derived field over the typed columns."""
    if field.derivation is None:
        raise ContractError(f"Field {field.name} is not derived; read it from the message.")
    return transpile(field.derivation, dialect)


def hmac_sha256(value_sql: str, key: bytes | tuple[bytes, ...], dialect: str = "duckdb") -> str:
    """Return SQL of the HMAC-SHA-256 hex digest of a text (UTF-8); NULL stays NULL.

    Two nested sha256 over padded key bytes (RFC 2104): the same bytes as Python's ``hmac``, at the speed of the engine.
    Several keys are applied one after the other, each to the digest of the one before.
    """
    import hashlib

    if key and isinstance(key, tuple):
        for link in key:
            value_sql = hmac_sha256(value_sql, link, dialect)
        return value_sql
    if not key or isinstance(key, tuple):
        raise ContractError("The pseudonym key is empty; give at least 32 bytes.")
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner, outer = (bytes(b ^ pad for b in block).hex().upper() for pad in (0x36, 0x5C))
    sql = f"SHA256(UNHEX('{outer}') || UNHEX(SHA256(UNHEX('{inner}') || ENCODE(__value))))"
    if dialect == "spark":
        # SHA2 of a binary is the same; the concatenation must be CONCAT, || would ask for strings.
        sql = (
            f"SHA2(CONCAT(UNHEX('{outer}'), UNHEX(SHA2(CONCAT(UNHEX('{inner}'), ENCODE(__value, 'UTF-8')), 256))), 256)"
        )
    return sql.replace("__value", value_sql)


def checksum_sql(field: str, algorithm: str) -> str:
    """Return DuckDB SQL that is TRUE where the check character fits, NULL for NULL.

    Args:
        field: column name.
        algorithm: ``uscc`` (GB 32100-2015), ``iso6346``, or ``luhn`` (eight digits, wagons of the 1520 mm network).
    """
    column = quote(field)
    if algorithm == "uscc":
        form = _USCC_FORM
        terms = " + ".join(
            f"(STRPOS('{_USCC_ALPHABET}', SUBSTRING({column}, {i}, 1)) - 1) * {weight}"
            for i, weight in enumerate(_USCC_WEIGHTS, 1)
        )
        test = f"({terms}) % 31 = 0"
    elif algorithm == "iso6346":
        form = _ISO6346_FORM
        terms = " + ".join(
            f"(STRPOS('{_ISO6346_ALPHABET}', SUBSTRING({column}, {i}, 1)) - 1) * {2 ** (i - 1)}" for i in range(1, 11)
        )
        test = f"({terms}) % 11 % 10 = CAST(SUBSTRING({column}, 11, 1) AS INTEGER)"
    elif algorithm == "luhn":
        form = _LUHN_FORM
        digits = [f"CAST(SUBSTRING({column}, {i}, 1) AS INTEGER)" for i in range(1, 9)]
        doubled = [f"{d} * 2 - CASE WHEN {d} > 4 THEN 9 ELSE 0 END" for d in digits[::2]]
        test = f"({' + '.join(doubled + digits[1::2])}) % 10 = 0"
    else:
        raise ContractError(f"There is no checksum '{algorithm}'; use uscc, iso6346 or luhn.")
    return (
        f"CASE WHEN {column} IS NULL THEN NULL WHEN REGEXP_MATCHES({column}, {text(form)}) THEN {test} ELSE FALSE END"
    )


def _day(value: date) -> str:
    return f"DATE '{value.isoformat()}'"


def code_sql(field: Field, codes: tuple[Code, ...], day_minimum: date | None = None) -> str:
    """Return DuckDB SQL that is TRUE where the value is a code valid on the row's day.

    The list is split by validity interval, so each code appears once per period of its life.

    Args:
        field: the column, with ``code_day`` when the list is judged on a day of the row.
        codes: the dated list.
        day_minimum: earliest day the row can have; a lower bound not after it is left out.
    """
    column = quote(field.name)
    if field.code_day is None:
        values = sorted({c.code for c in codes})
        return f"{column} IN ({', '.join(map(text, values))})"
    day = quote(field.code_day)
    periods: dict[tuple[date | None, date | None], list[str]] = {}
    for code in codes:
        start = None if day_minimum is not None and code.valid_from <= day_minimum else code.valid_from
        periods.setdefault((start, code.valid_to), []).append(code.code)
    tests = []
    for (start, end), values in periods.items():
        parts = [f"{column} IN ({', '.join(map(text, sorted(values)))})"]
        parts += [f"{day} >= {_day(start)}"] if start else []
        parts += [f"{day} < {_day(end)}"] if end else []
        tests.append("(" + " AND ".join(parts) + ")")
    return "(" + " OR ".join(tests) + ")"


def _valid_on(code: Code, day: str) -> str:
    until = f" AND {day} < {_day(code.valid_to)}" if code.valid_to else ""
    return f"{day} >= {_day(code.valid_from)}{until}"


def barred_sql(field: str, codes: tuple[Code, ...], day: str, begins: bool = False) -> str:
    """Return DuckDB SQL that is FALSE where a value is an entry valid on the row's day.

    Args:
        field: column name.
        codes: the dated entries that bar.
        day: column of the day.
        begins: an entry bars whatever begins with it: heading 1001 bars 100199.
    """
    column = quote(field)
    tests: dict[tuple[str, int], list[str]] = {}
    for code in codes:
        tests.setdefault((_valid_on(code, quote(day)), len(code.code) if begins else 0), []).append(code.code)
    found = []
    for (valid, length), values in tests.items():
        start = f"SUBSTRING({column}, 1, {length})" if length else column
        found.append(f"({start} IN ({', '.join(map(text, sorted(values)))}) AND {valid})")
    return f"NOT ({' OR '.join(found)})" if found else "TRUE"


def transition_sql(field: str, codes: tuple[Code, ...], day: str) -> str:
    """Return DuckDB SQL that is TRUE where a state may follow the state before, ``start`` before the first.

    Args:
        field: column of the state entered; that of the state left is ``before__<field>``.
        codes: the dated transitions, ``fromCode`` the state left.
        day: column of the day.
    """
    pair = f"({quote(BEFORE + field)} || '>' || {quote(field)})"
    tests: dict[str, list[str]] = {}
    for code in codes:
        tests.setdefault(_valid_on(code, quote(day)), []).append(f"{code.attribute('fromCode')}>{code.code}")
    found = [f"({pair} IN ({', '.join(map(text, sorted(pairs)))}) AND {valid})" for valid, pairs in tests.items()]
    return " OR ".join(found) if found else "FALSE"


def compared_fields(contract: Contract) -> tuple[str, ...]:
    """Return the fields the history rules of a contract read from the row before."""
    found = {rule.field for rule in contract.history if rule.field}
    for rule in contract.history:
        columns = sqlglot.parse_one(rule.sql, dialect="duckdb").find_all(exp.Column) if rule.sql else ()
        found |= {column.name.removeprefix(BEFORE) for column in columns if column.name.startswith(BEFORE)}
    return tuple(sorted(found))


def with_before(contract: Contract, relation: str, also: tuple[str, ...] = (), *, dialect: str = "duckdb") -> str:
    """Return SQL of a relation with ``before__<field>`` of the row whose state each row leaves.

    The rows of a subject (the key without its last field) are ordered by their position (the last field, from 1). The
    row before is the last one that entered a state: codes the list marks ``keepsState`` are passed over. Where a
    position between is missing nothing is known of the state left, and all are NULL; before the first state the
    state is ``start``.

    Args:
        contract: contract with history rules.
        relation: SQL of the rows, in the dialect: key and compared fields, one row per key.
        also: further columns to bring from the row before, never NULL.
        dialect: ``duckdb`` or ``spark``.
    """
    *subject, position = (quote(name) for name in contract.key)
    state = next((rule.field for rule in contract.history if rule.kind == "transition"), None)
    listed = code_list(contract.field(state).code_list or "") if state else ()
    keeping = sorted({c.code for c in listed if c.attribute("keepsState") == "true"})
    enters = f"{quote(state or '')} NOT IN ({', '.join(map(text, keeping))})" if keeping else "TRUE"
    by = f"PARTITION BY {', '.join(subject)} ORDER BY {position}"
    fields = (*compared_fields(contract), *also)

    def last(column: str) -> str:
        return (
            f"LAST_VALUE(CASE WHEN __enters THEN {column} END IGNORE NULLS) "
            f"OVER ({by} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        )

    passed = ", ".join(f"{last(quote(name))} AS {quote('__' + name)}" for name in fields)
    known = f"{position} - COALESCE(__position, 0) = __place - COALESCE(__place_before, 0)"
    start = {state: text(START)}
    before = ", ".join(
        f"CASE WHEN {known} THEN "
        + (f"COALESCE({quote('__' + name)}, {start[name]})" if name in start else quote("__" + name))
        + f" END AS {quote(BEFORE + name)}"
        for name in fields
    )
    sql = f"""
        SELECT *, {before} FROM (
          SELECT *, {last(position)} AS __position, {last("__place")} AS __place_before, {passed}
          FROM (SELECT *, {enters} AS __enters, ROW_NUMBER() OVER ({by}) AS __place FROM __rows) AS placed
        ) AS passed
    """
    if dialect != "duckdb":
        if dialect not in DIALECTS:
            raise ContractError(f"There is no SQL dialect '{dialect}'; use one of {', '.join(DIALECTS)}.")
        sql = sqlglot.transpile(sql, read="duckdb", write=dialect)[0]
    return sql.replace("__rows", f"({relation}) AS given", 1)


def _literal(field: Field, value: object) -> str:
    return f"DATE '{value}'" if field.physical_type == "DATE" else str(value)


def _condition(rule: Rule, contract: Contract) -> str:
    """Return the rule's DuckDB condition, before ``when``."""
    if rule.kind in ("expression", "previous"):
        return rule.sql or "TRUE"
    if rule.kind == "transition":
        return transition_sql(rule.field or "", code_list(rule.code_list or ""), rule.day or "")
    field = contract.field(rule.field or "")
    column = quote(field.name)
    raw = quote(raw_column(field.name)) if contract.feed and field.source_field else column
    if rule.kind == "required":
        return f"{raw} IS NOT NULL"
    if rule.kind == "type":
        return f"({raw} IS NULL OR {column} IS NOT NULL)"
    if rule.kind == "length":
        return f"LENGTH({column}) <= {field.max_length}"
    if rule.kind == "pattern":
        return f"REGEXP_MATCHES({column}, {text(field.pattern or '')})"
    if rule.kind == "range":
        bounds = ((">=", field.minimum), ("<=", field.maximum))
        return " AND ".join(f"{column} {sign} {_literal(field, bound)}" for sign, bound in bounds if bound is not None)
    if rule.kind == "code":
        day = contract.field(field.code_day) if field.code_day else None
        minimum = date.fromisoformat(str(day.minimum)) if day is not None and day.minimum is not None else None
        return code_sql(field, code_list(field.code_list or ""), minimum)
    if rule.kind == "checksum":
        return checksum_sql(field.name, rule.algorithm or "")
    if rule.kind == "barred":
        entries = tuple(c for c in code_list(rule.code_list or "") if c.attribute("kind") == rule.entries)
        return barred_sql(field.name, entries, rule.day or "", rule.begins)
    raise ContractError(f"{contract.file}, rule {rule.id}: kind {rule.kind} cannot be compiled; use a known kind.")


@cache
def rules(contract: Contract, dialect: str = "duckdb") -> tuple[CompiledRule, ...]:
    """Return every rule on one row as SQL: required, type, length, pattern, range, code, checksum, barred, expression.

    A condition that is NULL (an operand is absent or unreadable) is satisfied: absence and type are rules of their own.
    Judge in a SELECT list, not in a WHERE: DuckDB makes hash joins of long code lists there only (100 times faster).
    """
    return _compiled(contract.rules, contract, dialect)


@cache
def history_rules(contract: Contract, dialect: str = "duckdb") -> tuple[CompiledRule, ...]:
    """Return the rules over the rows of a subject as SQL, to be judged on the relation ``with_before`` makes."""
    return _compiled(contract.history, contract, dialect)


def _compiled(judged: tuple[Rule, ...], contract: Contract, dialect: str) -> tuple[CompiledRule, ...]:
    compiled = []
    for rule in judged:
        sql = _condition(rule, contract)
        if rule.when:
            sql = f"CASE WHEN {rule.when} THEN {sql} END"
        if rule.when or rule.kind not in ("required", "type"):
            sql = f"COALESCE({sql}, TRUE)"
        compiled.append(
            CompiledRule(
                id=rule.id,
                severity=rule.severity,
                sql=transpile(sql, dialect),
                description=rule.description,
                dimension=rule.dimension,
                kind=rule.kind,
                field=rule.field or rule.id.split(".")[0],
                source=rule.source,
            )
        )
    return tuple(compiled)


def raw_expressions(
    table: LayoutTable, *, dialect: str = "duckdb", message: str = "message", record: str = "record"
) -> dict[str, str]:
    """Return {our field: SQL of its raw text} for a layout table; see ``LayoutTable.raw_expressions``."""
    result = {}
    nulls = ", ".join(map(text, table.null_values))
    codes = dict(table.codes)
    for field, source in table.fields:
        if table.file_format == "csv":
            sql = quote(source)
        else:
            inside = source.startswith(table.record + ".") if table.record != "$" else False
            path = source.removeprefix(table.record + ".") if inside else source
            steps = ".".join(f'"{step}"' if not step.isidentifier() else step for step in path.split("."))
            sql = f"json_extract_string({record if inside else message}, {text('$.' + steps)})"
        result[field] = sql
    for field, sql in table.expressions:
        result[field] = sql
    if nulls:
        for field, sql in result.items():
            value = f"NULLIF({sql}, {nulls})" if len(table.null_values) == 1 else None
            result[field] = value or f"CASE WHEN {sql} IN ({nulls}) THEN NULL ELSE {sql} END"
    for field, mapping in codes.items():
        cases = " ".join(f"WHEN {text(theirs)} THEN {text(ours)}" for theirs, ours in mapping)
        # An unmapped code stays as it is and fails the contract's rule: never invented, never dropped.
        result[field] = f"CASE {result[field]} {cases} ELSE {result[field]} END"
    for field, value in table.constants:
        result[field] = text(value)
    for field in table.absent:
        result[field] = "CAST(NULL AS VARCHAR)"
    return {field: transpile(sql, dialect) for field, sql in result.items()}
