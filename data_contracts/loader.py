"""Reads contracts. Check order: ODCS JSON Schema, typed model, our closed sets. Unknown is an error, never a default.

The JSON Schema comes first because the pydantic model alone silently drops a misspelled key, and a field that loses its
``classification`` that way would lose its protection.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import sqlglot
import yaml
from open_data_contract_standard.model import OpenDataContractStandard
from sqlglot import expressions as exp

from data_contracts.errors import ContractError, UnknownContractError
from data_contracts.model import (
    CATEGORIES,
    CHECKSUMS,
    DIMENSIONS,
    GRADES,
    HISTORY_RULE_KINDS,
    LOGICAL_TYPES,
    MASKS,
    PERSONAL_INFORMATION,
    PHYSICAL_TYPES,
    RULE_KINDS,
    SEVERITIES,
    SHARING_TYPES,
    Contract,
    Field,
    Reference,
    Rule,
)

ROOT = Path(__file__).parent
STANDARD = "v3.1.0"
LOGICAL_OF_PHYSICAL = {
    "VARCHAR": "string",
    "DATE": "date",
    "TIMESTAMPTZ": "timestamp",
    "INTEGER": "integer",
    "BIGINT": "integer",
    "DOUBLE": "number",
    "BOOLEAN": "boolean",
}
FIELD_PROPERTIES = {
    "category",
    "personalInformation",
    "sharingType",
    "mask",
    "purpose",
    "sourceField",
    "codeList",
    "codeDay",
    "codeWhen",
    "derivation",
    "unit",
    "since",
    "important",
}
# GB/T 43697-2024: core data, and what is secret by law, is handled in other systems under other rules
NOT_ON_THE_PLATFORM = {"core", "secret", "confidential", "top secret", "state secret", "核心", "秘密", "机密", "绝密"}
TABLE_PROPERTIES = {"feed", "record", "eventTime", "sequence", "producer"}
CONTRACT_PROPERTIES = {"owner", "sharingType"}
IMPLEMENTATION_KEYS = {
    "expression": {"kind", "sql", "when", "source"},
    "checksum": {"kind", "field", "algorithm", "when", "source"},
    # no entry of the list (of one kind) valid on the day is the value or, where it begins codes, begins the value
    "barred": {"kind", "field", "codeList", "entries", "begins", "day", "when", "source"},
    # the state entered may follow the state left, as the dated list of transitions says
    "transition": {"kind", "field", "codeList", "day", "source"},
    # an expression over the row and, as before__<field>, the row whose state it leaves
    "previous": {"kind", "sql", "source"},
}
BEFORE = "before__"
RECORD_FIELD_KEYS = {"name", "physicalType", "required", "classification", "sourceField", "description"}
_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_VERSION = re.compile(r"^[0-9]+\.[0-9]+\.[0-9]+$")
_DECIMAL = re.compile(r"^DECIMAL\(([0-9]{1,2}),([0-9]{1,2})\)$")


def read_yaml(path: Path) -> Any:
    """Return the document in a YAML file.

    Raises:
        ContractError: the file is not readable as YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ContractError(f"{path.name}: not readable as YAML ({error}); correct the file.") from error


@cache
def _validator() -> jsonschema_rs.Validator:
    schema = (files("open_data_contract_standard") / "schema.json").read_text(encoding="utf-8")
    return jsonschema_rs.validator_for(json.loads(schema))


def _schema_error(document: Any) -> str | None:
    """Return what the standard's JSON Schema says against a document, None when it is valid.

    Every command reads every contract: jsonschema-rs takes a fortieth of the time of jsonschema.
    """
    plain = json.loads(json.dumps(document, default=str))
    found = min(_validator().iter_errors(plain), key=lambda e: list(map(str, e.instance_path)), default=None)
    if found is None:
        return None
    message = found.message
    if isinstance(found.kind, jsonschema_rs.ValidationErrorKind.Enum):
        # its own sentence leaves out most of what would be right
        message = f"{found.instance!r} is not one of {', '.join(map(str, found.kind.options))}"
    return f"{_place(plain, list(found.instance_path))}: {message}"


def _one_of(value: Any, allowed: tuple[Any, ...] | set[str], where: str, what: str) -> Any:
    if value not in allowed:
        raise ContractError(
            f"{where}: {what} '{value}' is not known; use one of {', '.join(sorted(map(str, allowed)))}."
        )
    return value


def _properties(entries: list[Mapping] | None, allowed: set[str], where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for entry in entries or []:
        name = entry["property"]
        _one_of(name, allowed, where, "customProperty")
        if name in values:
            raise ContractError(f"{where}: customProperty '{name}' is given twice; keep one.")
        values[name] = entry.get("value")
    return values


def columns_of(sql: str, where: str) -> set[str]:
    """Return the column names a DuckDB expression reads.

    Raises:
        ContractError: the expression does not parse.
    """
    try:
        return {column.name for column in sqlglot.parse_one(sql, dialect="duckdb").find_all(exp.Column)}
    except sqlglot.errors.SqlglotError as error:
        raise ContractError(f"{where}: SQL does not parse ({str(error).splitlines()[0]}); correct it.") from error


def _physical_type(value: Any, where: str) -> str:
    decimal = _DECIMAL.match(str(value))
    if decimal:
        precision, scale = int(decimal[1]), int(decimal[2])
        if not 1 <= precision <= 38 or scale > precision:
            raise ContractError(f"{where}: {value} is no decimal type; precision 1 to 38, scale not above it.")
        return str(value)
    return _one_of(value, PHYSICAL_TYPES, where, "physicalType")


def _logical_of(physical: str) -> str:
    return "number" if physical.startswith("DECIMAL") else LOGICAL_OF_PHYSICAL[physical]


def _pattern(value: str | None, where: str) -> str | None:
    if value is None:
        return None
    if not (value.startswith("^") and value.endswith("$")):
        raise ContractError(f"{where}: pattern {value} is not anchored; write ^…$ so that it judges the whole value.")
    if "\\" in value:
        raise ContractError(
            f"{where}: pattern {value} has a backslash; write classes ([0-9], [.]), equal in every engine."
        )
    try:
        re.compile(value)
    except re.error as error:
        raise ContractError(f"{where}: pattern {value} is no regular expression ({error}); correct it.") from error
    return value


def _field(raw: Mapping, where: str) -> Field:
    name = raw["name"]
    where = f"{where}, field {name}"
    if not _NAME.match(name):
        raise ContractError(f"{where}: a name is lower_snake_case; rename it.")
    custom = _properties(raw.get("customProperties"), FIELD_PROPERTIES, where)
    for key in ("category", "personalInformation", "sharingType", "mask"):
        if key not in custom:
            raise ContractError(f"{where}: customProperty '{key}' is missing; every field says it.")
    physical = _physical_type(raw.get("physicalType"), where)
    logical = _one_of(raw.get("logicalType"), LOGICAL_TYPES, where, "logicalType")
    if logical != _logical_of(physical):
        raise ContractError(f"{where}: logicalType {logical} does not fit physicalType {physical}; correct one.")
    if str(raw.get("classification")) in NOT_ON_THE_PLATFORM:
        raise ContractError(
            f"{where}: classification {raw['classification']} is core data or a state secret, which this platform "
            "may not hold; take the field out of the contract and stop the feed that brings it."
        )
    grade = _one_of(raw.get("classification"), GRADES, where, "classification (grade)")
    important = _one_of(custom.get("important", False), (True, False), where, "important")
    if important and (grade != "L4" or custom["sharingType"] != "none"):
        raise ContractError(f"{where}: important data (GB/T 43697) is L4 with sharingType none; correct it.")
    personal = _one_of(custom["personalInformation"], PERSONAL_INFORMATION, where, "personalInformation")
    mask = _one_of(custom["mask"], MASKS, where, "mask")
    sharing = _one_of(custom["sharingType"], SHARING_TYPES, where, "sharingType")
    if personal == "sensitive" and (grade != "L4" or sharing != "none" or mask == "none"):
        raise ContractError(f"{where}: sensitive personal information is L4, sharingType none and masked; correct it.")
    if personal == "general" and grade < "L3":
        raise ContractError(f"{where}: personal information is L3 or higher; raise the classification.")
    if (mask == "hmac") != ("purpose" in custom):
        raise ContractError(f"{where}: mask hmac and customProperty 'purpose' (which key) go together; give both.")
    if mask == "hmac" and physical != "VARCHAR":
        raise ContractError(f"{where}: mask hmac needs physicalType VARCHAR; correct one.")
    if grade == "L3" and personal == "none" and logical in ("integer", "number") and mask != "bucket":
        raise ContractError(f"{where}: a restricted number is seen in buckets (L3); set mask bucket, or another grade.")
    if (grade == "L1" and sharing != "unconditional") or (grade == "L4" and sharing != "none"):
        raise ContractError(f"{where}: L1 is shared unconditionally and L4 not at all; correct sharingType {sharing}.")
    options = raw.get("logicalTypeOptions") or {}
    for key in options:
        _one_of(key, {"pattern", "minimum", "maximum", "maxLength"}, where, "logicalTypeOption")
    if {"pattern", "maxLength"} & set(options) and logical != "string":
        raise ContractError(f"{where}: pattern and maxLength are for strings; remove them from this {logical}.")
    if {"minimum", "maximum"} & set(options) and logical not in ("integer", "number", "date"):
        raise ContractError(f"{where}: minimum and maximum are for numbers and dates; remove them from this {logical}.")
    if ("codeDay" in custom or "codeWhen" in custom) and "codeList" not in custom:
        raise ContractError(f"{where}: codeDay and codeWhen need a codeList; add it or remove them.")
    if "derivation" in custom and "sourceField" in custom:
        raise ContractError(f"{where}: a field is either derived or read from a sourceField; keep one.")
    if not raw.get("description"):
        raise ContractError(f"{where}: description is missing; say in one sentence what the value means.")
    return Field(
        name=name,
        business_name=raw.get("businessName") or name,
        logical_type=logical,
        physical_type=physical,
        required=bool(raw.get("required", False)),
        grade=grade,
        category=_one_of(custom["category"], CATEGORIES, where, "category"),
        personal_information=personal,
        sharing_type=sharing,
        mask=mask,
        description=raw["description"],
        purpose=custom.get("purpose"),
        source_field=custom.get("sourceField"),
        code_list=custom.get("codeList"),
        code_day=custom.get("codeDay"),
        code_when=custom.get("codeWhen"),
        pattern=_pattern(options.get("pattern"), where),
        minimum=options.get("minimum"),
        maximum=options.get("maximum"),
        max_length=options.get("maxLength"),
        derivation=custom.get("derivation"),
        unit=custom.get("unit"),
        since=custom.get("since"),
        important=important,
        key_position=raw.get("primaryKeyPosition") if raw.get("primaryKey") else None,
        partition_position=raw.get("partitionKeyPosition") if raw.get("partitioned") else None,
        examples=tuple(str(e) for e in raw.get("examples") or ()),
    )


@cache
def record_fields(root: Path = ROOT) -> tuple[Field, ...]:
    """Return the fields the platform adds to every fed silver table (``record_fields.yaml``)."""
    fields = []
    for raw in read_yaml(root / "record_fields.yaml"):
        where = f"record_fields.yaml, field {raw.get('name')}"
        for key in raw:
            _one_of(key, RECORD_FIELD_KEYS, where, "key")
        physical = _physical_type(raw["physicalType"], where)
        fields.append(
            Field(
                name=raw["name"],
                business_name=raw["name"].replace("_", " ").capitalize(),
                logical_type=_logical_of(physical),
                physical_type=physical,
                required=bool(raw["required"]),
                grade=_one_of(raw["classification"], GRADES, where, "classification (grade)"),
                category="platform_ops",
                personal_information="none",
                sharing_type="unconditional" if raw["classification"] == "L1" else "conditional",
                mask="none",
                description=raw["description"],
                source_field=raw.get("sourceField"),
            )
        )
    return tuple(fields)


def _implicit_rules(fields: tuple[Field, ...], fed: bool) -> Iterator[Rule]:
    for f in fields:
        # A derived field cannot be absent by itself: the check below makes it depend on required fields only.
        if f.required and not f.derivation and (f.source_field or not fed):
            yield Rule(f"{f.name}.required", "required", "error", f"{f.name} is given.", "completeness", f.name)
        if fed and f.source_field and f.physical_type != "VARCHAR":
            yield Rule(f"{f.name}.type", "type", "error", f"{f.name} reads as {f.physical_type}.", "conformity", f.name)
        if f.max_length is not None:
            text = f"{f.name} has at most {f.max_length} characters."
            yield Rule(f"{f.name}.length", "length", "error", text, "conformity", f.name)
        if f.pattern is not None:
            yield Rule(f"{f.name}.pattern", "pattern", "error", f"{f.name} matches {f.pattern}.", "conformity", f.name)
        if f.minimum is not None or f.maximum is not None:
            low = "" if f.minimum is None else f" at least {f.minimum}"
            high = "" if f.maximum is None else f" at most {f.maximum}"
            text = f"{f.name} is{' and'.join(x for x in (low, high) if x)}."
            yield Rule(f"{f.name}.range", "range", "error", text, "accuracy", f.name)
        if f.code_list is not None:
            day = f" on {f.code_day}" if f.code_day else ""
            text = f"{f.name} is a valid code of {f.code_list}{day}."
            yield Rule(f"{f.name}.code", "code", "error", text, "conformity", f.name, when=f.code_when)


def _explicit_rule(raw: Mapping, where: str) -> Rule:
    where = f"{where}, rule {raw.get('name')}"
    if not raw.get("name") or not raw.get("description"):
        raise ContractError(f"{where}: a rule needs name and description; add them.")
    if raw.get("type") != "custom" or raw.get("engine") != "customs":
        raise ContractError(f"{where}: only type custom with engine customs is enforced; use that.")
    body = raw.get("implementation")
    if not isinstance(body, Mapping):
        raise ContractError(f"{where}: implementation is a mapping with kind; write it so.")
    kind = _one_of(body.get("kind"), set(IMPLEMENTATION_KEYS), where, "rule kind")
    for key in body:
        _one_of(key, IMPLEMENTATION_KEYS[kind], where, "implementation key")
    if kind in ("expression", "previous") and not body.get("sql"):
        raise ContractError(f"{where}: an expression needs sql; add it.")
    for key in ("field", "codeList", "day"):
        if kind in ("barred", "transition") and not body.get(key):
            raise ContractError(f"{where}: a rule of kind {kind} needs {key}; add it.")
    if kind in HISTORY_RULE_KINDS and raw.get("severity") != "error":
        raise ContractError(f"{where}: a rule over the rows of a subject sets rows aside; make its severity error.")
    if kind == "checksum":
        _one_of(body.get("algorithm"), CHECKSUMS, where, "checksum algorithm")
    return Rule(
        id=raw["name"],
        kind=kind,
        severity=_one_of(raw.get("severity"), SEVERITIES, where, "severity"),
        description=raw["description"],
        dimension=_one_of(raw.get("dimension"), DIMENSIONS, where, "dimension"),
        field=body.get("field"),
        sql=body.get("sql"),
        when=body.get("when"),
        algorithm=body.get("algorithm"),
        source=body.get("source"),
        code_list=body.get("codeList"),
        entries=body.get("entries"),
        begins=bool(body.get("begins", False)),
        day=body.get("day"),
    )


def _place(document: Any, path: list[str | int]) -> str:
    """Return where a JSON path leads, with the names a reader knows instead of positions."""
    steps = []
    for step in path:
        document = document[step]
        named = isinstance(step, int) and isinstance(document, Mapping)
        steps.append(str(document.get("name", document.get("property", step)) if named else step))
    return " / ".join(steps) or "keys"


def parse_contract(document: Mapping, name: str, root: Path = ROOT) -> Contract:
    """Check one ODCS document and return the contract.

    Args:
        document: the parsed YAML.
        name: file name, for messages.
        root: folder of ``record_fields.yaml``.

    Raises:
        ContractError: names file, field and remedy.
    """
    if fault := _schema_error(document):
        raise ContractError(f"{name}, {fault}; correct it to ODCS {STANDARD}.")
    try:
        OpenDataContractStandard.model_validate(document)
    except ValueError as error:
        raise ContractError(f"{name}: {str(error).splitlines()[0]}; correct it to ODCS {STANDARD}.") from error
    if document["apiVersion"] != STANDARD:
        raise ContractError(f"{name}: apiVersion is {document['apiVersion']}; this platform uses {STANDARD}.")
    domain, _, entity = document["id"].partition(".")
    if not _VERSION.match(str(document["version"])):
        raise ContractError(f"{name}: version {document['version']} is not major.minor.patch; correct it.")
    if len(document.get("schema") or []) != 1:
        raise ContractError(f"{name}: a contract describes one table; give exactly one schema object.")
    table = document["schema"][0]
    if table["name"] != f"{domain}__{entity}" or document.get("domain") != domain:
        raise ContractError(f"{name}: id {document['id']} needs domain {domain} and schema name {domain}__{entity}.")
    about = _properties(document.get("customProperties"), CONTRACT_PROPERTIES, name)
    flow = _properties(table.get("customProperties"), TABLE_PROPERTIES, f"{name}, table")
    feed = flow.get("feed")
    if (feed is None) == (flow.get("producer") is None):
        raise ContractError(f"{name}: a table has either a feed or a producer; give one as customProperty.")
    fields = tuple(_field(p, name) for p in table.get("properties") or [])
    added = record_fields(root) if feed else ()
    columns = {f.name: f for f in fields + added}
    if len(columns) != len(fields) + len(added):
        raise ContractError(f"{name}: a field name is used twice (record fields included); rename one.")
    implicit = list(_implicit_rules(fields + added, fed=feed is not None))
    explicit = [_explicit_rule(q, name) for q in table.get("quality") or []]
    order = {kind: n for n, kind in enumerate(RULE_KINDS)}
    history = tuple(rule for rule in explicit if rule.kind in HISTORY_RULE_KINDS)
    rules = tuple(
        sorted((rule for rule in implicit + explicit if rule not in history), key=lambda rule: order[rule.kind])
    )
    contract = Contract(
        id=document["id"],
        domain=domain,
        entity=entity,
        version=str(document["version"]),
        name=document.get("name") or entity,
        description=document["description"]["purpose"],
        owner=about["owner"],
        sharing_type=_one_of(about.get("sharingType"), SHARING_TYPES, name, "sharingType"),
        fields=fields,
        record_fields=added,
        rules=rules,
        key=_positions(fields, "key_position", name),
        partition_by=_positions(fields, "partition_position", name),
        event_time=flow.get("eventTime", ""),
        sequence=flow.get("sequence"),
        feed=feed,
        record=flow.get("record"),
        producer=flow.get("producer"),
        references=_references(table, name),
        roles=tuple(
            (r["role"], tuple(r[k] for k in ("firstLevelApprovers", "secondLevelApprovers") if r.get(k)))
            for r in document.get("roles") or []
        ),
        file=name,
        history=history,
        **_service_levels(document, name),
    )
    _check_references(contract, columns)
    return contract


def _references(table: Mapping, name: str) -> tuple[Reference, ...]:
    found = []
    for field in table["properties"]:
        for entry in field.get("relationships") or []:
            target, _, column = entry["to"].partition(".")
            found.append(Reference((field["name"],), target, (column,)))
    for entry in table.get("relationships") or []:
        ours, theirs = entry["from"], entry["to"]
        ours, theirs = ([ours], [theirs]) if isinstance(ours, str) else (ours, theirs)
        tables = {x.partition(".")[0] for x in theirs}
        if {x.partition(".")[0] for x in ours} != {table["name"]} or len(tables) != 1 or len(ours) != len(theirs):
            raise ContractError(f"{name}, relationship {ours}: goes from this table to one other; correct it.")
        columns = [tuple(x.partition(".")[2] for x in side) for side in (ours, theirs)]
        found.append(Reference(columns[0], tables.pop(), columns[1]))
    return tuple(found)


def _service_levels(document: Mapping, name: str) -> dict[str, Any]:
    levels = {entry["property"]: entry for entry in document.get("slaProperties") or []}
    if "retention" not in levels:
        raise ContractError(f"{name}: slaProperties has no retention; say how long rows are kept.")
    latency = levels.get("latency")
    frequency = levels.get("frequency")
    return {
        "retention": str(levels["retention"]["value"]),
        "frequency": None if frequency is None else f"{frequency['value']}{frequency.get('unit', '')}",
        "latency_hours": None if latency is None else int(latency["value"]) * (24 if latency.get("unit") == "d" else 1),
    }


def _positions(fields: tuple[Field, ...], attribute: str, name: str) -> tuple[str, ...]:
    placed = sorted((getattr(f, attribute), f.name) for f in fields if getattr(f, attribute) is not None)
    if [position for position, _ in placed] != list(range(1, len(placed) + 1)):
        raise ContractError(f"{name}: {attribute}s are not 1, 2, …; number them without a gap.")
    if attribute == "key_position" and not placed:
        raise ContractError(f"{name}: no primaryKey; name the fields that identify a row.")
    return tuple(field_name for _, field_name in placed)


def _check_references(contract: Contract, columns: dict[str, Field]) -> None:
    """Check that whatever a contract mentions exists in it."""
    name = contract.file
    seen: set[str] = set()
    for rule in (*contract.rules, *contract.history):
        where = f"{name}, rule {rule.id}"
        if rule.id in seen:
            raise ContractError(f"{where}: the id is used twice; rename one.")
        seen.add(rule.id)
        used = set().union(*(columns_of(sql, where) for sql in (rule.sql, rule.when) if sql))
        if rule.kind == "checksum":
            used |= {rule.field or "(field missing)"}
        if rule.kind in ("barred", "transition"):
            used |= {rule.field or "", rule.day or ""}
        if rule.kind in HISTORY_RULE_KINDS:
            used = {column.removeprefix(BEFORE) for column in used}
            _check_history(contract, rule, used & set(columns), where)
        if unknown := used - set(columns):
            raise ContractError(f"{where}: {', '.join(sorted(unknown))} is no field of {contract.id}; correct it.")
    for f in contract.fields:
        where = f"{name}, field {f.name}"
        read = columns_of(f.derivation, where) if f.derivation else set()
        used = read | {f.code_day} if f.code_day else read
        if unknown := used - set(columns):
            raise ContractError(f"{where}: {', '.join(sorted(unknown))} is no field of {contract.id}; correct it.")
        if f.derivation and f.required and not all(columns[u].required for u in read):
            raise ContractError(f"{where}: required, but derived from a field that is not; make that one required.")
        if f.derivation and any(columns[u].derivation for u in read):
            raise ContractError(f"{where}: derived from a derived field; write it over read fields.")
        if contract.feed and not f.source_field and not f.derivation:
            raise ContractError(f"{where}: a fed field has a sourceField or a derivation; add one.")
        if (f.key_position or f.partition_position) and not f.required:
            raise ContractError(f"{where}: key and partition fields are required; set required: true.")
    version = tuple(map(int, contract.version.split(".")))
    for f in contract.fields:
        if f.since is None:
            continue
        where = f"{name}, field {f.name}"
        if not _VERSION.match(f.since) or tuple(map(int, f.since.split("."))) > version:
            raise ContractError(f"{where}: since {f.since} is no version up to {contract.version}; correct it.")
        if f.required:
            raise ContractError(f"{where}: since {f.since}, so earlier messages lack it: it cannot be required.")
    for column in (contract.event_time, contract.sequence):
        if column and column not in columns:
            raise ContractError(f"{name}: {column} (eventTime or sequence) is no field of {contract.id}; correct it.")


def _check_history(contract: Contract, rule: Rule, used: set[str], where: str) -> None:
    """Check that the rows of a subject can be put in order and that what is compared is always there, in the clear."""
    *subject, position = contract.key
    if not subject or contract.field(position).logical_type != "integer":
        raise ContractError(f"{where}: the key is the subject and then a whole number, its position; correct the key.")
    for name in sorted(used):
        if not contract.field(name).required or contract.field(name).mask == "hmac":
            raise ContractError(f"{where}: {name} is compared between rows: make it required and not pseudonymised.")
    if rule.kind == "transition" and contract.field(rule.field or "").code_list is None:
        raise ContractError(f"{where}: {rule.field} needs a codeList, which says what a state is; add it.")


def check_agreement(contracts: Mapping[str, Contract]) -> None:
    """Check that a field name means one thing: same type, unit and grade in every contract.

    Raises:
        ContractError: names the field and the two contracts that differ.
    """
    first: dict[str, tuple[str, Field]] = {}
    for contract in contracts.values():
        for f in contract.columns:
            owner, other = first.setdefault(f.name, (contract.id, f))
            for what in ("physical_type", "unit", "grade"):
                mine, theirs = getattr(f, what), getattr(other, what)
                if mine != theirs:
                    raise ContractError(
                        f"{contract.file}, field {f.name}: {what} is {mine} here and {theirs} in {owner}; "
                        "the same name means the same thing: agree, or rename one."
                    )


def contract_files(root: Path = ROOT) -> list[Path]:
    """Return the contract files in a stable order."""
    return sorted(root.glob("*/*.odcs.yaml"))


@cache
def _load_file(path: Path, root: Path) -> Contract:
    name = f"{path.parent.name}/{path.name}"
    contract = parse_contract(read_yaml(path), name, root)
    if name != f"{contract.domain}/{contract.entity}.odcs.yaml":
        raise ContractError(f"{name}: id is {contract.id}; file and id name the same table, rename one.")
    return contract


@cache
def load_contracts(root: Path = ROOT) -> Mapping[str, Contract]:
    """Read and check every contract; {id: Contract}, in the order of the ids.

    Raises:
        ContractError: names file, field and remedy.
    """
    contracts = {c.id: c for c in (_load_file(path, root) for path in contract_files(root))}
    for contract in contracts.values():
        for rule in (*contract.rules, *contract.history):
            if rule.code_list and rule.code_list not in contracts:
                raise ContractError(
                    f"{contract.file}, rule {rule.id}: code list {rule.code_list} has no contract; add it."
                )
        for f in contract.fields:
            if f.code_list and f.code_list not in contracts:
                raise ContractError(
                    f"{contract.file}, field {f.name}: code list {f.code_list} has no contract; add it."
                )
    tables = {contract.table: contract for contract in contracts.values()}
    for contract in contracts.values():
        for reference in contract.references:
            where = f"{contract.file}, relationship {', '.join(reference.fields)}"
            target = tables.get(reference.table)
            known = {f.name for f in target.fields} if target else set()
            if missing := set(reference.to_fields) - known or set(reference.fields) - {f.name for f in contract.fields}:
                raise ContractError(f"{where}: {sorted(missing)} does not exist in {reference.table}; correct it.")
    check_agreement(contracts)
    return contracts


def load_contract(contract_id: str) -> Contract:
    """Return one contract by its id ``<domain>.<entity>``.

    Raises:
        UnknownContractError: no such contract; the message lists near ones.
    """
    known = {f"{p.parent.name}.{p.name.removesuffix('.odcs.yaml')}": p for p in contract_files()}
    if contract_id not in known:
        near = difflib.get_close_matches(contract_id, known, n=3) or sorted(known)[:3]
        raise UnknownContractError(f"There is no contract '{contract_id}'; did you mean {' or '.join(near)}?")
    return _load_file(known[contract_id], ROOT)
