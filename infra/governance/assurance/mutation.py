"""Contract mutation: every rule removed, every grade lowered, every mask dropped, one at a time; who notices?

A mutant is the YAML of a contract with one thing weakened, read by the loader and compiled by the emitters the platform
uses. It is killed when the contract check refuses it, or when behaviour is no longer what the committed contracts ask:

* a rule: the row that breaks it (made from the committed contract) is no longer set aside under its name;
* a grade: some role or recipient of a share gets a column in another form, with other approvers or smaller cohorts;
* a mask: an identifier stands in clear in silver after an ingest, or a role sees another form.

A mutant that survives is a promise nobody keeps: a rule without a fault row, an emitter that ignores it, a dead word.
"""

import copy
import csv
import hashlib
import io
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import yaml

from data_contracts import load_contracts, load_layouts
from data_contracts.emit.fixtures import RawRow, brought, one_fault_rows, to_message, valid_rows
from data_contracts.emit.masks import column_expression
from data_contracts.emit.sql import cast_expression, derivation_expression, quote, raw_column, rules
from data_contracts.errors import ContractError
from data_contracts.loader import ROOT, check_agreement, parse_contract, read_yaml
from data_contracts.model import GRADES, Contract, Field, Rule
from data_contracts.policy import load_policy
from infra.governance import sharing
from infra.lake import ledger
from infra.lake.commit import (
    create_lake,
    create_table,
    lake_connection,
    quarantine_contract,
    satisfied,
    table_view,
)
from infra.lake.ingest import ingest_feed, read_again
from infra.runtime.settings import Settings

_DAY = "2026-11-22"
_ROWS = 4
# what the platform itself writes into every row of a fed table
_RECORD = {
    "ingested_at": f"TIMESTAMPTZ '{_DAY} 00:00:00+00'",
    "batch_id": "'batch'",
    "source_file": "'file'",
    "source_line": "CAST(n AS BIGINT)",
    "record_hash": "md5(CAST(n AS VARCHAR))",
}

# kinds of rules that are entries of the table's quality; the others follow from what a field says of itself
_WRITTEN_OUT = ("checksum", "barred", "expression")

Documents = dict[str, Any]


@dataclass(frozen=True)
class Mutant:
    """A contract with one thing weakened: ``change`` does it to the parsed YAML files, by contract id."""

    name: str
    kind: str
    contract: str
    change: Callable[[Documents], None]
    rule: Rule | None = None
    field: str | None = None


@dataclass(frozen=True)
class Mutation:
    """Outcome: how many mutants somebody noticed, of how many, by kind, and the names of the others.

    ``known`` is how many there are: more than ``total`` where a sample was taken.
    """

    killed: int
    total: int
    known: int
    survivors: tuple[str, ...]
    kinds: Mapping[str, tuple[int, int]]

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return one sentence per survivor."""
        return tuple(
            f"Nobody notices when this is weakened: {one}; give it a fault row or an effect." for one in self.survivors
        )


def measure(settings: Settings, progress: Callable[[str], None], sample: int | None = None) -> Mutation:
    """Weaken the contracts in every way, one at a time, and count who is noticed.

    Args:
        settings: platform settings; its data is neither read nor changed.
        progress: called with one line every now and then.
        sample: only so many mutants, the same ones every time.
    """
    chosen = every = list(mutants())
    if sample is not None:
        chosen = sorted(every, key=lambda one: hashlib.sha256(one.name.encode()).digest())[:sample]
    survivors = []
    counted: Counter[tuple[str, bool]] = Counter()
    with ExitStack() as held:
        bench = _Bench(settings, held)
        for number, mutant in enumerate(chosen, 1):
            reason = bench.noticed(mutant)
            counted[mutant.kind, reason is not None] += 1
            if reason is None:
                survivors.append(mutant.name)
            if number % 200 == 0:
                progress(f"mutation: {number} of {len(chosen)} mutants, {len(survivors)} survived")
    kinds = {
        kind: (counted[kind, True], counted[kind, True] + counted[kind, False])
        for kind in dict.fromkeys(one.kind for one in chosen)
    }
    return Mutation(len(chosen) - len(survivors), len(chosen), len(every), tuple(survivors), kinds)


# --- the mutants --------------------------------------------------------------------------------------------------

RECORD_FIELDS = "record_fields"


def mutants() -> Iterator[Mutant]:
    """Yield every mutant of the committed contracts."""
    contracts = load_contracts()
    for contract in contracts.values():
        own = {f.name for f in contract.fields}
        for rule in contract.rules:
            where = contract.id if rule.field is None or rule.field in own else RECORD_FIELDS
            yield Mutant(f"rule {contract.id} {rule.id} removed", "rule", contract.id, _without(rule, where), rule)
            if rule.kind in _WRITTEN_OUT and rule.severity == "error":
                yield Mutant(
                    f"rule {contract.id} {rule.id} a warning", "rule", contract.id, _warning(rule, where), rule
                )
    for contract in contracts.values():
        for f in contract.fields:
            if f.grade > GRADES[0]:
                yield from _lowered(contracts, contract, f)
            if f.mask != "none":
                name = f"mask {contract.id}.{f.name}"
                yield Mutant(
                    f"{name} {f.mask} dropped", "mask", contract.id, _masked(contract, f, "none"), field=f.name
                )
                if f.mask == "hmac":
                    change = _masked(contract, f, "redact")
                    yield Mutant(f"{name} hmac → redact", "mask", contract.id, change, field=f.name)
    fed = next(contract for contract in contracts.values() if contract.feed)
    for f in fed.record_fields:
        if f.grade > GRADES[0]:
            yield from _lowered_everywhere(contracts, fed, f)


def _lowered_everywhere(contracts: Mapping[str, Contract], fed: Contract, f: Field) -> Iterator[Mutant]:
    """Yield a record field with its grade lowered, by itself and with the fields of that name in other tables."""
    grade = _below(f.grade)

    def alone(documents: Documents) -> None:
        _record_field(documents, f.name)["classification"] = grade

    def together(documents: Documents) -> None:
        alone(documents)
        for other in contracts.values():
            if f.name in {one.name for one in other.fields}:
                raw = _property(documents[other.id], f.name)
                raw["classification"] = grade
                _set(raw, "sharingType", "unconditional" if grade == "L1" else "conditional")

    name = f"grade record_fields.{f.name} {f.grade} → {grade}"
    yield Mutant(name, "grade", fed.id, alone, field=f.name)
    yield Mutant(f"{name} with all that must agree", "grade", fed.id, together, field=f.name)


def _below(grade: str) -> str:
    return GRADES[GRADES.index(grade) - 1]


def _record_field(documents: Documents, name: str) -> dict:
    return next(raw for raw in documents[RECORD_FIELDS] if raw["name"] == name)


def _property(document: dict, name: str) -> dict:
    return next(raw for raw in document["schema"][0]["properties"] if raw["name"] == name)


def _set(raw: dict, name: str, value: str | None) -> None:
    """Set a customProperty of a field, or take it away."""
    raw["customProperties"] = [one for one in raw["customProperties"] if one["property"] != name]
    if value is not None:
        raw["customProperties"].append({"property": name, "value": value})


def _without(rule: Rule, where: str) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        document = documents[where]
        if rule.kind in _WRITTEN_OUT:
            table = document["schema"][0]
            table["quality"] = [one for one in table["quality"] if one["name"] != rule.id]
            return
        name = rule.field or ""
        raw = _record_field(documents, name) if where == RECORD_FIELDS else _property(document, name)
        options = raw.get("logicalTypeOptions") or {}
        if rule.kind == "required":
            raw["required"] = False
        elif rule.kind == "type":
            raw["physicalType"] = "VARCHAR"
            if where != RECORD_FIELDS:
                raw["logicalType"] = "string"
        elif rule.kind == "code":
            for one in ("codeList", "codeDay", "codeWhen"):
                _set(raw, one, None)
        for one in {"length": ("maxLength",), "pattern": ("pattern",), "range": ("minimum", "maximum")}.get(
            rule.kind, ()
        ):
            options.pop(one, None)
        if not options:
            raw.pop("logicalTypeOptions", None)

    return change


def _warning(rule: Rule, where: str) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        quality = documents[where]["schema"][0]["quality"]
        next(one for one in quality if one["name"] == rule.id)["severity"] = "warning"

    return change


def _lowered(contracts: Mapping[str, Contract], contract: Contract, f: Field) -> Iterator[Mutant]:
    """Yield the grade lowered by itself and, where the check refuses that, with all that must agree lowered too."""
    grade = _below(f.grade)

    def alone(documents: Documents) -> None:
        _property(documents[contract.id], f.name)["classification"] = grade

    def together(documents: Documents) -> None:
        for other in contracts.values():
            if f.name not in {one.name for one in other.fields}:
                continue
            raw, theirs = _property(documents[other.id], f.name), other.field(f.name)
            raw["classification"] = grade
            personal = "general" if theirs.personal_information != "none" and grade >= "L3" else "none"
            _set(raw, "personalInformation", personal)
            _set(raw, "sharingType", "unconditional" if grade == "L1" else "conditional")

    name = f"grade {contract.id}.{f.name} {f.grade} → {grade}"
    yield Mutant(name, "grade", contract.id, alone, field=f.name)
    shared = sum(f.name in {one.name for one in other.fields} for other in contracts.values()) > 1
    if shared or grade == "L1" or f.personal_information != "none":
        yield Mutant(f"{name} with all that must agree", "grade", contract.id, together, field=f.name)


def _masked(contract: Contract, f: Field, mask: str) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        raw = _property(documents[contract.id], f.name)
        _set(raw, "mask", mask)
        _set(raw, "purpose", None)

    return change


# --- who notices --------------------------------------------------------------------------------------------------


class _Changed(dict):
    """The committed documents; one that is asked for is copied first, so that only the mutant's own are changed."""

    def __init__(self, committed: Documents) -> None:
        super().__init__()
        self._committed = committed

    def __missing__(self, key: str) -> Any:
        self[key] = copy.deepcopy(self._committed[key])
        return self[key]


class _Bench:
    """The committed contracts, rows made from them, and what becomes of these under a mutant."""

    def __init__(self, settings: Settings, held: ExitStack) -> None:
        self.contracts = load_contracts()
        self.documents: Documents = {one.id: read_yaml(ROOT / one.file) for one in self.contracts.values()}
        self.documents[RECORD_FIELDS] = read_yaml(ROOT / "record_fields.yaml")
        self.folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="mutants-")))
        self.connection = duckdb.connect(config={"threads": 1})
        held.callback(self.connection.close)
        self.connection.execute("SET TimeZone = 'UTC'")
        # a lake of its own, on a DuckDB instance of its own
        self.lake = settings.model_copy(
            update={
                "home": self.folder / "home",
                "lake_root": None,
                "landing_root": None,
                "duckdb_threads": 1,
                "duckdb_memory_limit": "1GB",
            }
        )
        self._verdicts: dict[str, dict[str, list[bool]]] = {}
        self._faults: dict[str, dict[str, int]] = {}
        self._ingested: dict[str, list[ledger.Manifest]] = {}
        self._by_record_fields: dict[str, dict[str, Contract]] = {}
        self._seen: dict[tuple[str, str], Any] = {}
        self._tables: set[str] = set()
        self._count = 0

    def noticed(self, mutant: Mutant) -> str | None:
        """Return who notices a mutant, None when nobody does."""
        try:
            changed = self.load(mutant)
        except ContractError as error:
            return f"refused: {error}"
        if mutant.rule is not None:
            return self._rule_noticed(mutant.rule, changed[mutant.contract])
        if mutant.kind == "mask" and (reason := self._clear_in_silver(mutant, changed[mutant.contract])):
            return reason
        return next(
            (reason for one in changed.values() if (reason := self._form_noticed(one, mutant.field or ""))), None
        )

    def load(self, mutant: Mutant) -> dict[str, Contract]:
        """Read a mutant as the contract check does; return the contracts it changed, by id.

        Raises:
            ContractError: it is refused.
        """
        documents = _Changed(self.documents)
        mutant.change(documents)
        fields = documents.pop(RECORD_FIELDS, None)
        shown = {one: parse_contract(document, self.contracts[one].file) for one, document in documents.items()}
        changed = shown
        if fields is not None:
            changed = {**self._with_record_fields(fields), **shown}
            shown = {mutant.contract: changed[mutant.contract], **shown}
        check_agreement({**self.contracts, **changed})
        for contract in shown.values():
            for dialect in ("duckdb", "spark"):
                rules(contract, dialect)
        return shown

    def _with_record_fields(self, fields: list[dict]) -> dict[str, Contract]:
        content = yaml.safe_dump(fields)
        if content not in self._by_record_fields:
            root = self.folder / hashlib.sha256(content.encode()).hexdigest()
            root.mkdir()
            (root / "record_fields.yaml").write_text(content, encoding="utf-8")
            self._by_record_fields[content] = {
                one.id: parse_contract(self.documents[one.id], one.file, root)
                for one in self.contracts.values()
                if one.feed
            }
        return self._by_record_fields[content]

    # --- rules

    def _rule_noticed(self, rule: Rule, mutant: Contract) -> str | None:
        committed = self.contracts[mutant.id]
        row = self._prepare(committed).get(rule.id)
        asked = (rule.id, rule.severity)
        if row is None or asked not in self._broken(committed, committed, row):
            return None
        try:
            if asked in self._broken(mutant, committed, row):
                return None
        except duckdb.Error as error:
            return f"does not run: {str(error).splitlines()[0]}"
        return "its fault row is no longer set aside for it"

    def _prepare(self, contract: Contract) -> dict[str, int]:
        """Make the fault rows of a contract a typed table; return {rule id: row}."""
        if contract.id not in self._faults:
            faults = one_fault_rows(contract)
            self._type(contract, [row for _, row in faults], f"raw_{contract.table}", f"typed_{contract.table}")
            self._faults[contract.id] = {rule_id: n for n, (rule_id, _) in enumerate(faults)}
            self._verdicts[f"typed_{contract.table}"] = {}
            self._judge(f"typed_{contract.table}", [satisfied(rule) for rule in rules(contract)])
        return self._faults[contract.id]

    def _type(self, contract: Contract, rows: Sequence[RawRow], raw: str, typed: str) -> None:
        given = [f.name for f in brought(contract)]
        columns = {raw_column(name): [row[name] for row in rows] for name in given}
        if contract.feed:
            columns["source_system"] = [row["source_system"] for row in rows]
        names = ", ".join(f"{quote(name)} VARCHAR" for name in columns)
        self.connection.execute(f"CREATE TEMP TABLE {raw} ({names}, n INTEGER)")
        unnested = ", ".join("unnest(?::VARCHAR[])" for _ in columns)
        self.connection.execute(
            f"INSERT INTO {raw} SELECT {unnested}, unnest(range({len(rows)}))", list(columns.values())
        )
        self.connection.execute(f"CREATE TEMP TABLE {typed} AS {_typed(contract, raw)}")

    def _judge(self, table: str, tests: Sequence[str]) -> None:
        known = self._verdicts[table]
        fresh = list(dict.fromkeys(test for test in tests if test not in known))
        if fresh:
            rows = self.connection.execute(f"SELECT {', '.join(fresh)} FROM {table} ORDER BY n").fetchall()
            known.update(zip(fresh, map(list, zip(*rows, strict=True)), strict=True))

    def _broken(self, contract: Contract, committed: Contract, row: int) -> set[tuple[str, str]]:
        """Return (rule, severity) of the rules a fault row of the committed contract breaks under a contract."""
        table = f"typed_{committed.table}"
        if _shape(contract) != _shape(committed):
            self._count += 1
            table = f"typed_{self._count}"
            source = f"(SELECT * FROM raw_{committed.table} WHERE n = {row})"
            self.connection.execute(f"CREATE TEMP TABLE {table} AS {_typed(contract, source)}")
            self._verdicts[table] = {}
            row = 0
        compiled = rules(contract)
        self._judge(table, [satisfied(rule) for rule in compiled])
        verdicts = self._verdicts[table]
        return {(rule.id, rule.severity) for rule in compiled if not verdicts[satisfied(rule)][row]}

    # --- forms

    def _form_noticed(self, mutant: Contract, name: str) -> str | None:
        committed = self.contracts[mutant.id]
        key = (mutant.id, name)
        if key not in self._seen:
            self._seen[key] = (self._forms(committed, name), _share(committed, name))
        forms, share = self._seen[key]
        seen = self._forms(mutant, name)
        if differing := [role for role in forms if forms[role] != seen[role]]:
            return f"{mutant.id}.{name} has another form for {', '.join(differing)}"
        if share != _share(mutant, name):
            return f"a share of {mutant.id}.{name} asks for other approvers, forms or cohorts"
        return None

    def _forms(self, contract: Contract, name: str) -> dict[str, list[Any] | None]:
        """Return what each role sees of a column of a few rows, None where it is absent."""
        table = f"valid_{contract.table}"
        if table not in self._tables:
            self._tables.add(table)
            committed = self.contracts[contract.id]
            self._type(committed, valid_rows(committed, _ROWS), f"raw_{table}", table)
        policy, field = load_policy(), contract.field(name)
        shown = {
            f"{role}{' (cohorts)' if aggregated else ''}": column_expression(field, role, policy, aggregated=aggregated)
            for role in policy.roles
            for aggregated in (False, True)
        }
        distinct = list(dict.fromkeys(sql for sql in shown.values() if sql is not None))
        select = ", ".join(f"list({sql} ORDER BY n)" for sql in distinct) or "NULL"
        source = table
        if field.logical_type in ("integer", "number"):
            # a round number is the same in a bucket
            number = "137 + n" if field.logical_type == "integer" else "1.2537 + n"
            source = f"(SELECT * REPLACE (CAST({number} AS {field.physical_type}) AS {quote(name)}) FROM {table})"
        row = self.connection.execute(f"SELECT {select} FROM {source}").fetchone() or ()
        values = dict(zip(distinct, row, strict=False))
        return {role: None if sql is None else values[sql] for role, sql in shown.items()}

    # --- ingest

    def _clear_in_silver(self, mutant: Mutant, contract: Contract) -> str | None:
        """Ingest rows, read them again under the mutant, and match what silver then holds with what was sent."""
        committed, name = self.contracts[contract.id], mutant.field or ""
        if committed.field(name).mask != "hmac":
            return None
        sent = {row[name] for row in valid_rows(committed, _ROWS)}
        self._count += 1
        silver, aside = (self.folder / f"{zone}_{self._count}" for zone in ("silver", "quarantine"))
        create_table(contract, silver)
        create_table(quarantine_contract(), aside, of=contract)
        for manifest in self._manifests(committed):
            read_again(self.lake, manifest, contract, silver, aside)
        with lake_connection(self.lake) as connection:
            held = connection.execute(f"SELECT {quote(name)} FROM {table_view(connection, silver)}").fetchall()
        found = {row[0] for row in held}
        return f"silver holds {name} in clear" if found & sent else None

    def _manifests(self, contract: Contract) -> list[ledger.Manifest]:
        feed = contract.feed or ""
        if feed not in self._ingested:
            create_lake(
                self.lake, only=[one.id for one in self.contracts.values() if one.feed == feed] + [ledger.LEDGER]
            )
            _land(self.lake, contract, valid_rows(contract, _ROWS))
            ingest_feed(feed, settings=self.lake)
            self._ingested[feed] = [one for one in ledger.manifests(self.lake) if one.feed == feed]
        return self._ingested[feed]


def _shape(contract: Contract) -> list[tuple[str, str, str | None]]:
    return [(f.name, f.physical_type, f.derivation) for f in contract.columns]


def _typed(contract: Contract, raw: str) -> str:
    """Return SQL of the relation rules are judged on, from raw texts, as ingest builds it."""
    typed = {
        f.name: cast_expression(f, quote(raw_column(f.name)))
        for f in brought(contract)
        if not (contract.feed and f.name == "source_system")
    }
    if contract.feed:
        typed |= _RECORD
    columns = ", ".join(f"{sql} AS {quote(name)}" for name, sql in typed.items())
    derived = ", ".join(f"TRY({derivation_expression(f)}) AS {quote(f.name)}" for f in contract.derived)
    inner = f"SELECT *, {columns} FROM {raw}"
    return f"SELECT *, {derived} FROM ({inner})" if derived else inner


def _share(contract: Contract, name: str) -> list[tuple[Any, ...]]:
    """Return what a share of one column would ask for, as rows and as an aggregate."""
    if contract.id == quarantine_contract().id:
        return []
    asked = []
    for kind in sharing.KINDS:
        wish = sharing.Wish(contract.id, "authority", "purpose", "law", kind, (name,))
        found = sharing.assess(wish, contract=contract)
        columns = [(one.name, one.form, one.sql) for one in found.columns]
        asked.append((found.sharing_type, found.approvers, found.cohort, columns, bool(found.problems)))
    return asked


def _land(settings: Settings, contract: Contract, rows: Sequence[RawRow]) -> None:
    """Write rows as their source system sends them."""
    layout = next(
        one for one in load_layouts().values() if one.source_system == "single_window" and contract.id in one.contracts
    )
    folder = settings.landing / layout.feed / _DAY
    folder.mkdir(parents=True)
    if layout.format == "csv":
        theirs = dict(layout.table(contract.id).fields)
        out = io.StringIO()
        writer = csv.DictWriter(out, layout.header, lineterminator="\n")
        writer.writeheader()
        writer.writerows({theirs[name]: value for name, value in row.items() if name in theirs} for row in rows)
        (folder / "rows.csv").write_text(out.getvalue(), encoding="utf-8")
    else:
        lines = [json.dumps(to_message(contract, row), ensure_ascii=False) for row in rows]
        (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
