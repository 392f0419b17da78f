"""Columns named as in the contracts become messages as the source systems send them.

The contract's ``sourceField`` is the one definition: it says under which key, and inside which object or array, a value
sits. Rename it in the contract and the feed follows; add a field and the feed brings a value for it.
"""

import gzip
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from pyarrow import feather

from data_contracts.codes import code_list
from data_contracts.loader import load_contracts
from data_contracts.model import Contract, Field
from infra.simulator.days import SHANGHAI, Period
from infra.simulator.faults import Fault, spoil_line, spoilable
from infra.simulator.randomness import hashed_below, stream

FAULT_SHARE = 0.002


def local_text(at: np.ndarray) -> pa.Array:
    """Return UTC instants as ISO 8601 text in China time, e.g. ``2026-11-22T10:15:30+08:00``; NaT becomes null."""
    local = pa.array((at + SHANGHAI).astype("datetime64[s]"))
    day = pc.cast(pc.cast(local, pa.date32()), pa.string())
    clock = pc.cast(pc.cast(local, pa.time32("s")), pa.string())
    return pc.binary_join_element_wise(pc.binary_join_element_wise(day, clock, "T"), "+08:00", "")


def _as_sent(column: pa.Array | pa.ChunkedArray | np.ndarray, contract_field: Field) -> pa.Array:
    """Return a column in the form the messages carry: ISO text for days and instants, plain numbers, true or false."""
    if isinstance(column, np.ndarray) and column.dtype.kind == "M" and contract_field.physical_type == "TIMESTAMPTZ":
        return local_text(column)
    array = column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column, from_pandas=True)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if contract_field.physical_type == "DATE":
        return pc.cast(pc.cast(array, pa.date32()), pa.string())
    if contract_field.decimal and not pa.types.is_null(array.type):
        return pc.round(pc.cast(array, pa.float64()), ndigits=contract_field.decimal[1])
    return array


def _invented(contract_field: Field, n: int, day: pa.Array | None, seed: int) -> pa.Array | None:
    """Return values for a field the world knows nothing of: a code of its list, a number in range, a day, yes or no."""
    where = np.arange(n)
    name = contract_field.name
    if contract_field.code_list:
        codes = sorted({c.code for c in code_list(contract_field.code_list) if c.valid_to is None})
        return pa.array(np.array(codes)[hashed_below(where, len(codes), seed, name)])
    if contract_field.logical_type in ("integer", "number"):
        low = float(contract_field.minimum or 0)
        high = min(float(contract_field.maximum if contract_field.maximum is not None else 100), low + 100)
        return pa.array((low + hashed_below(where, max(int(high - low), 1), seed, name)).astype(np.int64))
    if contract_field.logical_type == "boolean":
        return pa.array(hashed_below(where, 2, seed, name) == 1)
    if contract_field.logical_type == "date":
        return day
    return None


@dataclass(frozen=True)
class Shape:
    """How one feed's messages look: the contract of the message and, for nested feeds, that of the array inside."""

    feed: str
    contracts: tuple[Contract, ...]
    is_json: bool

    @property
    def header(self) -> Contract:
        """Contract whose rows are the messages themselves."""
        return next(c for c in self.contracts if c.record in ("$", None))

    @property
    def nested(self) -> Contract | None:
        """Contract whose rows are elements of an array in the message."""
        return next((c for c in self.contracts if c.record not in ("$", None)), None)


def shape_of(feed: str, is_json: bool) -> Shape:
    """Return the shape of a feed from the contracts it feeds."""
    contracts = tuple(c for c in load_contracts().values() if c.feed == feed)
    return Shape(feed, contracts, is_json)


def _columns(
    contract: Contract, values: dict[str, Any], prefix: str, n: int, seed: int, skip: Sequence[str] = ()
) -> dict[str, pa.Array]:
    """Return {key in the message: column} for the sourced fields of a contract, in contract order."""
    columns: dict[str, pa.Array] = {}
    day = None
    for f in contract.sourced:
        if not f.source_field or not f.source_field.startswith(prefix):
            continue
        key = f.source_field.removeprefix(prefix)
        if key in skip or (not prefix and "[]" in key):
            continue
        if f.name in values:
            column = _as_sent(values[f.name], f)
            day = column if f.physical_type == "DATE" and day is None else day
        else:
            column = None if f.name in _LEFT_OUT.get(contract.id, ()) else _invented(f, n, day, seed)
        columns[key] = pa.nulls(n, pa.string()) if column is None else column
    return columns


# Fields other administrations fill and China does not: left out of the messages on purpose, not forgotten.
_LEFT_OUT = {
    "declarations.declaration": ("import_type_code", "import_use_code"),
    "declarations.declaration_item": (),
}


def _nest(columns: dict[str, pa.Array]) -> pa.StructArray:
    """Fold dotted keys (``scores.total``) into objects."""
    flat: dict[str, Any] = {}
    for key, column in columns.items():
        outer, _, inner = key.partition(".")
        if inner:
            flat.setdefault(outer, {})[inner] = column
        elif not pa.types.is_null(column.type) and (column.null_count < len(column) or not len(column)):
            flat[outer] = column
    arrays = [_nest(c) if isinstance(c, dict) else c for c in flat.values()]
    return pa.StructArray.from_arrays(arrays, names=list(flat))


def build_messages(
    shape: Shape,
    values: dict[str, Any],
    seed: int,
    nested: dict[str, Any] | None = None,
    offsets: np.ndarray | None = None,
) -> pa.Table:
    """Build messages of a feed.

    Args:
        shape: the feed.
        values: contract field name -> column of n values (NumPy or Arrow); instants are UTC datetime64[s].
        seed: seed for fields the world has no values for.
        nested: contract field name -> column of the array elements, in message order.
        offsets: (n + 1,) where each message's elements begin.

    Returns:
        One column per top-level key; JSON feeds carry objects and arrays as Arrow structs and lists.
    """
    n = len(next(iter(values.values())))
    columns = _columns(shape.header, values, "", n, seed)
    if not shape.is_json:
        return pa.table(columns)
    message = _nest(columns)
    table = pa.table(list(message.flatten()), names=[f.name for f in message.type])
    if shape.nested is not None and nested is not None and offsets is not None:
        array = shape.nested.record.removesuffix("[]") if shape.nested.record else "items"
        elements = _nest(_columns(shape.nested, nested, f"{array}[].", int(offsets[-1]), seed))
        table = table.append_column(array, pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), elements))
    return table


@dataclass
class Counters:
    """What a feed has written so far."""

    rows: int = 0
    nested_rows: int = 0
    faults: int = 0
    files: int = 0
    bytes: int = 0
    fault_kinds: dict[str, int] = field(default_factory=dict)


class Waiting:
    """Messages not sent yet, by the hour they are due. Above a number of rows the later hours wait on disk."""

    def __init__(self, rows_in_memory: int) -> None:
        self.rows_in_memory = rows_in_memory
        self._hours: dict[int, list[tuple[pa.Table, np.ndarray]]] = {}
        self._spilled: dict[int, list[Path]] = {}
        self._rows = 0
        self._folder: tempfile.TemporaryDirectory | None = None

    def add(self, messages: pa.Table, sent: np.ndarray) -> None:
        """Take messages with the instants (UTC, seconds) they are due."""
        order = np.argsort(sent, kind="stable")
        messages, sent = messages.take(pa.array(order)), sent[order]
        hours, starts = np.unique(sent.astype(np.int64) // 3600, return_index=True)
        ends = [*starts[1:], len(sent)]
        for hour, start, end in zip(hours.tolist(), starts.tolist(), ends, strict=True):
            self._hours.setdefault(hour, []).append((messages.slice(start, end - start), sent[start:end]))
        self._rows += len(sent)
        if self._rows > self.rows_in_memory:
            self._spill()

    def _spill(self) -> None:
        """Move all but the next hour to disk."""
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="simulate-")
        for hour in sorted(self._hours)[1:]:
            parts = self._hours.pop(hour)
            table = pa.concat_tables([t for t, _ in parts], promote_options="permissive")
            table = table.append_column("__sent", pa.array(np.concatenate([at for _, at in parts])))
            files = self._spilled.setdefault(hour, [])
            files.append(Path(self._folder.name) / f"{hour}_{len(files)}.arrow")
            feather.write_feather(table, files[-1], compression="lz4")
            self._rows -= len(table)

    def due(self, until: np.datetime64) -> pa.Table:
        """Take out every message due before an instant, in the order of their instants."""
        last = int(until.astype("datetime64[s]").astype(np.int64) - 1) // 3600
        parts: list[tuple[pa.Table, np.ndarray]] = []
        for hour in sorted({h for h in (*self._hours, *self._spilled) if h <= last}):
            # What was spilled came first: equal instants keep the order in which they were handed in.
            for file in self._spilled.pop(hour, []):
                table = feather.read_table(file, memory_map=False)
                parts.append((table.drop_columns("__sent"), table.column("__sent").to_numpy()))
                file.unlink()
            here = self._hours.pop(hour, [])
            self._rows -= sum(len(t) for t, _ in here)
            parts += here
        if not parts:
            return pa.table({})
        messages = pa.concat_tables([t for t, _ in parts], promote_options="permissive").combine_chunks()
        sent = np.concatenate([at.astype("datetime64[s]") for _, at in parts])
        order = np.argsort(sent, kind="stable")
        cut = int(np.searchsorted(sent[order], until))
        if cut < len(order):
            self.add(messages.take(pa.array(order[cut:])), sent[order[cut:]])
        return messages.take(pa.array(order[:cut]))


class FeedWriter:
    """Writes one feed: holds messages until their time has come, spoils a few, and puts them into the period's files.

    Waiting are receipts, inspections, corrections and goods lists of days to come; many of them wait on disk.
    """

    def __init__(
        self,
        shape: Shape,
        landing: Path,
        seed: int,
        file_rows: int,
        waiting_rows: int,
        fault_share: float = FAULT_SHARE,
    ) -> None:
        self.shape, self.landing, self.seed, self.file_rows, self.fault_share = (
            shape,
            landing,
            seed,
            file_rows,
            fault_share,
        )
        self.counters = Counters()
        self._spoilable = spoilable(shape)
        self.faults: list[Fault] = []
        self.files: list[str] = []
        self._waiting = Waiting(waiting_rows)
        self._period: Period | None = None
        self._part, self._rows_in_part, self._flushes = 0, 0, 0
        self._connection = duckdb.connect(config={"threads": 1}) if shape.is_json else None

    @property
    def suffix(self) -> str:
        """File name ending of the feed."""
        if self.shape.is_json:
            return ".jsonl"
        return ".csv.gz" if self.shape.feed.startswith("ecommerce_") else ".csv"

    def add(self, messages: pa.Table, sent_at: np.ndarray) -> None:
        """Take messages that are sent at the given instants (UTC); they may lie in the future."""
        self._waiting.add(messages, sent_at.astype("datetime64[s]"))

    def flush(self, period: Period, until: np.datetime64) -> None:
        """Write every waiting message sent before ``until`` into the file of the period, in the order sent."""
        messages = self._waiting.due(until)
        for start in range(0, len(messages), self.file_rows):
            self._write(period, messages.slice(start, self.file_rows))

    def _write(self, period: Period, messages: pa.Table) -> None:
        if self._period != period or self._rows_in_part + len(messages) > self.file_rows:
            self._part = 1 if self._period != period else self._part + 1
            self._period, self._rows_in_part = period, 0
        folder = self.landing / self.shape.feed / period.landed_on.isoformat()
        path = folder / f"{self.shape.feed}_{period.stamp}_{self._part:04d}{self.suffix}"
        header, lines = self._lines(messages)
        fresh = self._rows_in_part == 0
        first_line = self._rows_in_part + 1 + (0 if self.shape.is_json else 1)
        lines = self._spoil(path, header, lines, first_line)
        content = b"\n".join(([header] if fresh and not self.shape.is_json else []) + lines) + b"\n"
        folder.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".gz":
            packed = io.BytesIO()
            with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=1, mtime=0) as handle:
                handle.write(content)
            content = packed.getvalue()
        with path.open("wb" if fresh else "ab") as handle:  # gzip members may follow one another
            handle.write(content)
        if fresh:
            self.files.append(str(path.relative_to(self.landing)))
        self._rows_in_part += len(lines)
        self.counters.rows += len(lines)
        self.counters.files += fresh
        self.counters.bytes += len(content)

    def _lines(self, messages: pa.Table) -> tuple[bytes, list[bytes]]:
        if self._connection is not None:
            nested = self.shape.nested
            if nested is not None and nested.record:
                counts = pc.sum(pc.list_value_length(messages.column(nested.record.removesuffix("[]")))).as_py()
                self.counters.nested_rows += counts or 0
            self._connection.register("messages", messages)
            texts = self._connection.sql(
                "SELECT encode(CAST(to_json(messages) AS VARCHAR)) FROM messages"
            ).to_arrow_table()
            self._connection.unregister("messages")
            return b"", texts.column(0).to_pylist()
        buffer = io.BytesIO()
        pacsv.write_csv(messages, buffer, pacsv.WriteOptions(quoting_style="needed"))
        header, *lines = buffer.getvalue().removesuffix(b"\n").split(b"\n")
        return header, lines

    def _spoil(self, path: Path, header: bytes, lines: list[bytes], first_line: int) -> list[bytes]:
        """Spoil a small share of the lines, each in one way, and note in the truth what was done to which line."""
        self._flushes += 1
        rng = stream(self.seed, "faults", self.shape.feed, self._flushes)
        chosen = np.flatnonzero(rng.random(len(lines)) < self.fault_share)
        duplicates = []
        for position in chosen:
            fault = spoil_line(self._spoilable, self.shape.is_json, header, lines[position], rng)
            if fault is None:
                continue
            kind, field_name, line = fault
            if kind == "duplicate":
                duplicates.append(lines[position])
                number = first_line + len(lines) + len(duplicates) - 1
            else:
                lines[position], number = line, first_line + int(position)
            self.faults.append(Fault(self.shape.feed, str(path.relative_to(self.landing)), number, kind, field_name))
            self.counters.faults += 1
            self.counters.fault_kinds[kind] = self.counters.fault_kinds.get(kind, 0) + 1
        return lines + duplicates
