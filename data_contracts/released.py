"""The released state of the contracts: what consumers and sources were last promised, kept beside the contracts.

A file and not a git revision: a shallow clone has no history to compare with. `customs contracts release` moves it
forward, and only as the versions say.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

from data_contracts.compare import Verdict, compare
from data_contracts.errors import ContractError
from data_contracts.loader import ROOT, load_contracts
from data_contracts.model import Contract, Field, Reference, Rule

FILE = "released.generated.json"
_LISTS: dict[str, type] = {
    "fields": Field,
    "record_fields": Field,
    "rules": Rule,
    "history": Rule,
    "references": Reference,
}


def released_text(contracts: Iterable[Contract]) -> str:
    """Return the text of the released state: JSON, one line per field and rule, so that a change reads as one."""
    return _lines({contract.id: _plain(contract) for contract in contracts}, 0) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Contract | Field | Rule | Reference):
        return {
            f.name: _plain(getattr(value, f.name))
            for f in fields(value)
            if f.default is MISSING or getattr(value, f.name) != f.default
        }
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _lines(value: Any, depth: int) -> str:
    pad = " " * (depth + 1)
    if isinstance(value, dict) and depth < 2:
        inner = ",\n".join(f"{pad}{json.dumps(key)}: {_lines(one, depth + 1)}" for key, one in value.items())
        return f"{{\n{inner}\n{' ' * depth}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        inner = ",\n".join(pad + json.dumps(one, ensure_ascii=False) for one in value)
        return f"[\n{inner}\n{' ' * depth}]"
    return json.dumps(value, ensure_ascii=False)


@cache
def released_contracts(root: Path = ROOT) -> Mapping[str, Contract]:
    """Return the contracts as last released, {id: Contract}.

    Raises:
        ContractError: the file is missing or was not written by `customs contracts release`.
    """
    try:
        document = json.loads((root / FILE).read_text(encoding="utf-8"))
        return {contract_id: _contract(raw) for contract_id, raw in document.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ContractError(
            f"{FILE} is not readable as the released contracts ({error}); restore it from the last release."
        ) from error


def _contract(raw: Mapping[str, Any]) -> Contract:
    values = {name: _tuples(value) for name, value in raw.items()}
    for name, kind in _LISTS.items():
        values[name] = tuple(kind(**{key: _tuples(one) for key, one in entry.items()}) for entry in raw.get(name, ()))
    return Contract(**values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def silent(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts of contracts that break a promise without a new major version."""
    return [one for one in verdicts if one.kind == "breaking" and not one.is_honest]


def since_release() -> list[Verdict]:
    """Return what changed since the last release."""
    return compare(released_contracts(), load_contracts())


def release(root: Path = ROOT) -> list[Verdict]:
    """Make the contracts in use the released state; return what changed.

    Raises:
        ContractError: a change whose version does not say what it is; nothing is written.
    """
    path = root / FILE
    verdicts = since_release() if path.is_file() else []
    if dishonest := [one for one in verdicts if not one.is_honest and one.new_version is not None]:
        raise ContractError(
            "The version does not say what changed in "
            + ", ".join(f"{one.contract} ({one.kind}, {one.old_version} → {one.new_version})" for one in dishonest)
            + "; raise 'version' there: the major number for a breaking change, the minor one for an addition."
        )
    path.write_text(released_text(load_contracts().values()), encoding="utf-8")
    released_contracts.cache_clear()
    return verdicts
