"""policy.yaml as a value: grade x role -> form, masks, k. What it does not know is absent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from data_contracts.errors import ContractError
from data_contracts.loader import ROOT, read_yaml
from data_contracts.model import GRADES, MASKS

FORMS = ("clear", "masked", "bucketed", "pseudonym", "aggregated", "absent")
KINDS = ("L1", "L2", "L3", "personal", "L4")
DECLASSIFY = ("aggregate", "pseudonymise", "generalise")
_KEYS = {"version", "grades", "roles", "k", "forms", "masks", "purposes", "retention", "declassify", "messages"}
_MESSAGE_KEYS = ({"table", "own"}, {"table", "own", "rows", "through", "by"})


@dataclass(frozen=True)
class Message:
    """Rows of a table that go to a kind of recipient: those whose column ``own`` holds the recipient's code.

    ``own`` lies in the table, or in the table ``through`` joined ``by`` {our column: theirs}; ``rows`` is SQL that
    narrows them.
    """

    recipient: str
    table: str
    own: str
    rows: str = "TRUE"
    through: str | None = None
    by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """The access policy of the platform."""

    version: str
    roles: Mapping[str, str]
    k: int
    forms: Mapping[str, Mapping[str, str]]
    masks: Mapping[str, str]
    purposes: Mapping[str, str]
    grades: Mapping[str, Mapping[str, str]]
    retention: Mapping[str, int]
    declassify: Mapping[str, tuple[str, ...]]
    messages: tuple[Message, ...]

    def form(self, grade: str | None, role: str, personal_information: str = "none") -> str:
        """Return the form in which a role sees a column; ``absent`` for whatever is not known.

        Args:
            grade: L1 to L4.
            role: role name.
            personal_information: none, general or sensitive; anything else is handled as sensitive.
        """
        if personal_information not in ("none", "general") or grade == "L4":
            kind = "L4"
        elif personal_information == "general":
            kind = "personal"
        else:
            kind = grade or ""
        return self.forms.get(kind, {}).get(role, "absent")


@cache
def load_policy(root: Path = ROOT) -> Policy:
    """Read and check ``policy.yaml``.

    Raises:
        ContractError: a key, grade, role, form or mask is unknown or missing; the message names it.
    """
    raw = read_yaml(root / "policy.yaml")
    _exactly(raw, _KEYS, "top level")
    _exactly(raw["grades"], set(GRADES), "grades")
    _exactly(raw["forms"], set(KINDS), "forms")
    _exactly(raw["masks"], set(MASKS), "masks")
    _exactly(raw["declassify"], set(DECLASSIFY), "declassify")
    for kind, row in raw["forms"].items():
        _exactly(row, set(raw["roles"]), f"forms, {kind}")
        for role, form in row.items():
            if form not in FORMS:
                raise ContractError(f"policy.yaml, forms, {kind}, {role}: '{form}' is no form; use {', '.join(FORMS)}.")
    if not isinstance(raw["k"], int) or raw["k"] < 2:
        raise ContractError(f"policy.yaml, k: {raw['k']} protects nobody; use a whole number of at least 2.")
    for mask, sql in raw["masks"].items():
        if unknown := set(re.findall(r"\{(\w+)\}", sql)) - {"value", "type"}:
            raise ContractError(f"policy.yaml, masks, {mask}: {unknown} is not known; use {{value}} and {{type}}.")
    return Policy(
        version=str(raw["version"]),
        roles=raw["roles"],
        k=raw["k"],
        forms=raw["forms"],
        masks=raw["masks"],
        purposes=raw["purposes"],
        grades=raw["grades"],
        retention=raw["retention"],
        declassify={method: tuple(approvers) for method, approvers in raw["declassify"].items()},
        messages=tuple(_message(kind, one) for kind, entries in raw["messages"].items() for one in entries),
    )


def _message(kind: str, raw: Mapping) -> Message:
    needed, allowed = _MESSAGE_KEYS
    if not needed <= set(raw) <= allowed or ("through" in raw) != ("by" in raw):
        raise ContractError(
            f"policy.yaml, messages, {kind}: {dict(raw)} is not understood; give table and own, and where needed rows, "
            "and through together with by."
        )
    return Message(kind, **raw)


def _exactly(raw: Mapping, wanted: set[str], where: str) -> None:
    for key in sorted(set(raw) - wanted):
        raise ContractError(f"policy.yaml, {where}: '{key}' is not known; use {', '.join(sorted(wanted))}.")
    for key in sorted(wanted - set(raw)):
        raise ContractError(f"policy.yaml, {where}: '{key}' is missing; add it.")
