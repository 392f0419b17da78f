"""Contracts as values: frozen, typed, closed sets. Everything else in the platform asks these objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import date
from functools import cached_property

LOGICAL_TYPES = ("string", "integer", "number", "boolean", "date", "timestamp")
PHYSICAL_TYPES = ("VARCHAR", "DATE", "TIMESTAMPTZ", "INTEGER", "BIGINT", "DOUBLE", "BOOLEAN")  # and DECIMAL(p,s)
GRADES = ("L1", "L2", "L3", "L4")
CATEGORIES = (
    "entry_clearance",
    "tariff_tax",
    "inspection_quarantine",
    "cross_border_ecommerce",
    "enterprise_credit_aeo",
    "traveller_articles",
    "anti_smuggling",
    "statistics",
    "reference",
    "platform_ops",
    "external",
)
PERSONAL_INFORMATION = ("none", "general", "sensitive")
SHARING_TYPES = ("unconditional", "conditional", "none")
MASKS = ("none", "hmac", "redact", "bucket", "first_char", "phone_3_4")
RULE_KINDS = ("required", "type", "length", "pattern", "range", "code", "checksum", "barred", "expression")
# Judged over the rows of one subject: against the row whose state the row leaves.
HISTORY_RULE_KINDS = ("transition", "previous")
CHECKSUMS = ("uscc", "iso6346", "luhn")
SEVERITIES = ("error", "warning")
DIMENSIONS = ("accuracy", "completeness", "conformity", "consistency", "coverage", "timeliness", "uniqueness")
LAYOUT_FORMATS = ("jsonl", "csv")


@dataclass(frozen=True)
class Field:
    """One column of a silver table."""

    name: str
    business_name: str
    logical_type: str
    physical_type: str
    required: bool
    grade: str
    category: str
    personal_information: str
    sharing_type: str
    mask: str
    description: str
    purpose: str | None = None
    source_field: str | None = None
    code_list: str | None = None
    code_day: str | None = None
    code_when: str | None = None
    pattern: str | None = None
    minimum: str | int | float | None = None
    maximum: str | int | float | None = None
    max_length: int | None = None
    derivation: str | None = None
    unit: str | None = None
    since: str | None = None
    important: bool = False
    key_position: int | None = None
    partition_position: int | None = None
    examples: tuple[str, ...] = ()

    @property
    def decimal(self) -> tuple[int, int] | None:
        """Return (precision, scale) of a decimal column, else None."""
        if not self.physical_type.startswith("DECIMAL("):
            return None
        precision, scale = self.physical_type[8:-1].split(",")
        return int(precision), int(scale)


@dataclass(frozen=True)
class Rule:
    """One thing a row must satisfy. ``sql`` is DuckDB, TRUE or NULL = satisfied; only FALSE breaks the rule."""

    id: str
    kind: str
    severity: str
    description: str
    dimension: str
    field: str | None = None
    sql: str | None = None
    when: str | None = None
    algorithm: str | None = None
    source: str | None = None
    code_list: str | None = None
    entries: str | None = None
    begins: bool = False
    day: str | None = None


@dataclass(frozen=True)
class Reference:
    """Rows of this table point at rows of another one: ``fields`` here are ``to_fields`` there."""

    fields: tuple[str, ...]
    table: str
    to_fields: tuple[str, ...]


@dataclass(frozen=True)
class Contract:
    """One silver table: columns, rules, key, partition, where it comes from and who owns it."""

    id: str
    domain: str
    entity: str
    version: str
    name: str
    description: str
    owner: str
    sharing_type: str
    retention: str
    frequency: str | None
    latency_hours: int | None
    fields: tuple[Field, ...]
    record_fields: tuple[Field, ...]
    rules: tuple[Rule, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...]
    event_time: str
    sequence: str | None
    feed: str | None
    record: str | None
    producer: str | None
    references: tuple[Reference, ...]
    roles: tuple[tuple[str, tuple[str, ...]], ...]
    file: str = dataclass_field(compare=False)
    history: tuple[Rule, ...] = ()

    @property
    def table(self) -> str:
        """Name of the silver table, ``<domain>__<entity>``."""
        return f"{self.domain}__{self.entity}"

    @property
    def columns(self) -> tuple[Field, ...]:
        """Fields of the contract, then (for fed tables) the record fields: the columns of the silver table."""
        return self.fields + self.record_fields

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {f.name: f for f in self.columns}

    def field(self, name: str) -> Field:
        """Return the column of that name; KeyError names contract and column."""
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(f"contract {self.id} has no field {name}") from None

    @property
    def grade(self) -> str:
        """Grade of the table: the highest of its columns (GB/T 43697: highest wins)."""
        return max(f.grade for f in self.columns)

    @property
    def sourced(self) -> tuple[Field, ...]:
        """Columns read from the feed message (record fields with a source included), not derived ones."""
        return tuple(f for f in self.columns if f.source_field)

    @property
    def derived(self) -> tuple[Field, ...]:
        """Columns computed from other columns by ``derivation``."""
        return tuple(f for f in self.fields if f.derivation)


@dataclass(frozen=True)
class Code:
    """One entry of a dated code list; valid on days ``valid_from <= day < valid_to``."""

    code: str
    name: str
    valid_from: date
    valid_to: date | None = None
    attributes: tuple[tuple[str, str], ...] = ()

    def valid_on(self, day: date) -> bool:
        """Return whether the code is valid on the day."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)

    def attribute(self, name: str) -> str | None:
        """Return a further column of the list, as text."""
        return dict(self.attributes).get(name)


@dataclass(frozen=True)
class LayoutTable:
    """How one contract's rows are read from a file of a layout.

    ``fields`` maps our field to their column (CSV header) or path (JSON, relative to the message; ``items[].x`` inside
    the record). A field in none of fields, constants, expressions is absent: always null, never invented.
    """

    contract: str
    record: str
    fields: tuple[tuple[str, str], ...]
    codes: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    constants: tuple[tuple[str, str], ...] = ()
    expressions: tuple[tuple[str, str], ...] = ()
    formats: tuple[tuple[str, str], ...] = ()
    null_values: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    file_format: str = "csv"

    def raw_expressions(self, *, dialect: str = "duckdb", message: str = "message", record: str = "record") -> dict:
        """Return {our field: SQL giving its raw text or NULL}, for every field of the contract read from messages.

        Record fields of the platform (source_system, batch_id, source_file …) are not among them: ingest sets those.

        CSV: the relation has one VARCHAR column per header name. JSON Lines: it has a JSON column ``message`` (the
        whole line) and, where ``record`` is an array, a JSON column ``record`` (one element).

        Args:
            dialect: ``duckdb`` or ``spark``.
            message: SQL of the JSON message.
            record: SQL of the JSON array element.
        """
        from data_contracts.emit.sql import raw_expressions

        return raw_expressions(self, dialect=dialect, message=message, record=record)

    def format_of(self, field: str) -> str | None:
        """Return the strptime format their text has for our field, None when ISO 8601."""
        return dict(self.formats).get(field)


@dataclass(frozen=True)
class Layout:
    """A source's file layout: how to recognise a file and what it brings."""

    id: str
    source_system: str
    feed: str
    format: str
    match: str
    header: tuple[str, ...]
    encoding: str
    delimiter: str
    null_values: tuple[str, ...]
    time_zone: str | None
    tables: tuple[LayoutTable, ...]
    file: str = dataclass_field(compare=False)
    description: str = ""
    later: frozenset[str] = frozenset()

    def fits(self, header: Sequence[str]) -> bool:
        """Return whether a CSV header has the layout's columns, in any order; only ``later`` ones may be missing.

        A column is ``later`` when every field read from it came with a later contract version (``since``): files from
        before lack it, and the field is null.
        """
        return len(set(header)) == len(header) and set(self.header) - self.later <= set(header) <= set(self.header)

    def table(self, contract_id: str) -> LayoutTable:
        """Return how the layout brings rows of the contract."""
        for table in self.tables:
            if table.contract == contract_id:
                return table
        raise KeyError(f"layout {self.id} brings no {contract_id}")

    @property
    def contracts(self) -> tuple[str, ...]:
        """Ids of the contracts the layout brings rows for."""
        return tuple(t.contract for t in self.tables)
