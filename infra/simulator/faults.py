"""Bad rows as real feeds have them: each line is spoiled in one way, after it was written well."""

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from data_contracts.model import Field
    from infra.simulator.messages import Shape


@dataclass(frozen=True)
class Fault:
    """What was done to one line of one landed file."""

    feed: str
    file: str
    line: int
    kind: str
    field: str


def _candidates(shape: "Shape", kind: str) -> "list[tuple[Field, str]]":
    """Return the fields a kind of fault can hit, with the array they sit in ('' = the message itself)."""
    found = []
    for contract in shape.contracts:
        for f in contract.fields:
            if not f.source_field:
                continue
            array = (contract.record or "$").removesuffix("[]") if "[]" in f.source_field else ""
            fits = {
                "unknown_code": f.code_list is not None,
                "bad_date": f.physical_type in ("DATE", "TIMESTAMPTZ") and f.required,
                "future_date": f.physical_type == "DATE" and f.maximum is not None and f.required,
                "negative_amount": f.decimal is not None and f.minimum in (0, "0") and f.required,
                "non_numeric": f.decimal is not None and f.required,
                "missing_required": f.required,
                "over_long_text": f.max_length is not None,
                "wrong_checksum": any(
                    r.kind == "checksum" and r.field == f.name and r.severity == "error" for r in contract.rules
                ),
            }[kind]
            if fits and not (contract.record not in ("$", None) and not array):
                found.append((f, array))
    return found


_BY_FIELD = (
    "unknown_code", "bad_date", "future_date", "negative_amount", "non_numeric", "missing_required", "over_long_text",
    "wrong_checksum",
)  # fmt: skip


def _spoiled(kind: str, value: Any, f: "Field", rng: np.random.Generator) -> Any:
    if kind == "unknown_code":
        return "ZZ9"
    if kind == "bad_date":
        return str(rng.choice(["2026-02-30", "31/12/2025", "0000-00-00", "yesterday"]))
    if kind == "future_date":
        return f"{2130 + int(rng.integers(0, 60))}-05-17"
    if kind == "negative_amount":
        return -abs(float(value or 0)) - 1
    if kind == "non_numeric":
        return str(rng.choice(["N/A", "1,234.5O", "about 200", "--"]))
    if kind == "missing_required":
        return None
    if kind == "over_long_text":
        return str(value or "X").ljust((f.max_length or 100) + 40, "X")
    text = str(value)  # wrong checksum: another last character
    return text[:-1] + ("2" if text[-1] != "2" else "3")


def spoilable(shape: "Shape") -> "dict[str, list[tuple[Field, str]]]":
    """Return for each kind of fault the fields of a feed it can hit (worked out once a feed)."""
    return {kind: fields for kind in _BY_FIELD if (fields := _candidates(shape, kind))}


def spoil_line(
    by_field: "dict[str, list[tuple[Field, str]]]", is_json: bool, header: bytes, line: bytes, rng: np.random.Generator
) -> tuple[str, str, bytes] | None:
    """Spoil one line.

    Args:
        by_field: the fields each kind of fault can hit, from ``spoilable``.
        is_json: JSON Lines, else CSV.
        header: CSV header line, empty for JSON Lines.
        line: the good line.
        rng: source of randomness.

    Returns:
        (kind of fault, field spoiled or '', the new line), or None when the line has nothing to spoil there.
    """
    kind = str(rng.choice([*by_field, "broken_json" if is_json else "ragged_row", "duplicate"]))
    if kind == "duplicate":
        return kind, "", line
    if kind == "broken_json":
        return kind, "", line[: max(len(line) * int(rng.integers(20, 90)) // 100, 1)]
    if kind == "ragged_row":
        return kind, "", line + b",surplus" if rng.random() < 0.5 else line.rsplit(b",", 3)[0]
    f, array = by_field[kind][int(rng.integers(len(by_field[kind])))]
    source = f.source_field or ""
    if not is_json:
        names = next(csv.reader([header.decode()]))
        cells = next(csv.reader([line.decode()]))
        cells[names.index(source)] = _text(_spoiled(kind, cells[names.index(source)], f, rng))
        out = io.StringIO()
        csv.writer(out, lineterminator="").writerow(cells)
        return kind, f.name, out.getvalue().encode()
    message = json.loads(line)
    holder: Any = message
    if array:
        holder = message[array][int(rng.integers(len(message[array])))] if message.get(array) else None
        source = source.split("[].", 1)[1]
    *path, leaf = source.split(".")
    for step in path:
        holder = holder.get(step) if holder is not None else None
    if holder is None:
        return None
    holder[leaf] = _spoiled(kind, holder.get(leaf), f, rng)
    return kind, f.name, json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def _text(value: Any) -> str:
    return "" if value is None else str(value)
