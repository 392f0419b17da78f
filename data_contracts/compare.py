"""Two versions of the contracts side by side: what changed, and whether a consumer or a source would notice."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from data_contracts.emit.masks import column_expression
from data_contracts.model import Contract, Field, Rule
from data_contracts.policy import load_policy

ADDITIVE, BREAKING, EDITORIAL = "additive", "breaking", "editorial"
# Attribute of a field -> what a change of it means for somebody. Those not named here are words only.
_FIELD_BREAKS = {
    "physical_type": "type",
    "required": "required",
    "unit": "unit",
    "grade": "grade (who may see it)",
    "personal_information": "personal information",
    "sharing_type": "sharing type",
    "purpose": "pseudonym key",
    "source_field": "source field",
    "derivation": "derivation",
    "code_list": "code list",
    "code_day": "day of the code list",
    "code_when": "condition of the code list",
    "important": "important data",
}
_CONTRACT_BREAKS = {
    "key": "key",
    "partition_by": "partition",
    "feed": "feed",
    "record": "record",
    "producer": "producer",
    "event_time": "event time",
    "sequence": "sequence",
}


@dataclass(frozen=True)
class Change:
    """One difference between two versions of a contract."""

    contract: str
    kind: str
    what: str


@dataclass(frozen=True)
class Verdict:
    """All changes of one contract and whether its version says so."""

    contract: str
    old_version: str | None
    new_version: str | None
    changes: tuple[Change, ...]

    @property
    def kind(self) -> str:
        """The gravest kind among the changes."""
        kinds = {c.kind for c in self.changes}
        return next((k for k in (BREAKING, ADDITIVE) if k in kinds), EDITORIAL)

    @property
    def is_honest(self) -> bool:
        """Whether the version rises as the changes ask: breaking a major, additive at least a minor number."""
        if self.old_version is None or self.new_version is None:
            # A new table surprises nobody; one that disappears has no version left to say so.
            return self.new_version is not None
        old, new = (tuple(map(int, v.split("."))) for v in (self.old_version, self.new_version))
        if self.kind == BREAKING:
            return new[0] > old[0]
        return new[:2] > old[:2] if self.kind == ADDITIVE else new >= old


def _field_changes(contract: str, old: Field, new: Field) -> list[Change]:
    changes = []
    for attribute, words in _FIELD_BREAKS.items():
        before, after = getattr(old, attribute), getattr(new, attribute)
        if before != after:
            changes.append(Change(contract, BREAKING, f"field {new.name}: {words} {before} → {after}"))
    if old.mask != new.mask:
        kind = BREAKING if _seen_differently(old, new.mask) else EDITORIAL
        changes.append(Change(contract, kind, f"field {new.name}: mask {old.mask} → {new.mask}"))
    for attribute in ("business_name", "description", "category"):
        if getattr(old, attribute) != getattr(new, attribute):
            changes.append(Change(contract, EDITORIAL, f"field {new.name}: {attribute.replace('_', ' ')} reworded"))
    return changes


def _seen_differently(field: Field, mask: str) -> bool:
    """Return whether silver or some role would hold a column in another form under another mask."""
    if "hmac" in (field.mask, mask):
        return True
    policy, other = load_policy(), replace(field, mask=mask)
    return any(
        column_expression(field, role, policy, aggregated=aggregated)
        != column_expression(other, role, policy, aggregated=aggregated)
        for role in policy.roles
        for aggregated in (False, True)
    )


def _rule_body(rule: Rule, contract: Contract) -> tuple:
    field = contract.field(rule.field) if rule.field else None
    limits = {"pattern": ("pattern",), "range": ("minimum", "maximum"), "length": ("max_length",)}.get(rule.kind, ())
    said = (
        rule.kind,
        rule.sql,
        rule.when,
        rule.algorithm,
        rule.field,
        rule.code_list,
        rule.entries,
        rule.begins,
        rule.day,
    )
    return (*said, [getattr(field, limit) for limit in limits])


def _rule_changes(old: Contract, new: Contract) -> list[Change]:
    before, after = ({r.id: r for r in (*c.rules, *c.history)} for c in (old, new))
    fresh_fields = {f.name for f in new.fields} - {f.name for f in old.fields}
    changes = []
    for rule_id, rule in after.items():
        if rule_id not in before:
            # A rule of a new field sets nothing aside that was accepted before; a required one is judged as a field.
            kind = ADDITIVE if rule.severity == "warning" or rule.field in fresh_fields else BREAKING
            changes.append(Change(new.id, kind, f"rule {rule_id}: new, {rule.severity}"))
        elif _rule_body(rule, new) != _rule_body(before[rule_id], old):
            changes.append(Change(new.id, BREAKING, f"rule {rule_id}: says something else"))
        elif rule.severity != before[rule_id].severity:
            kind = BREAKING if rule.severity == "error" else ADDITIVE
            changes.append(Change(new.id, kind, f"rule {rule_id}: {before[rule_id].severity} → {rule.severity}"))
    for rule_id in before.keys() - after.keys():
        if rule_id.split(".")[0] in {f.name for f in new.columns}:
            changes.append(Change(new.id, ADDITIVE, f"rule {rule_id}: removed, fewer rows are set aside"))
    return changes


def compare_contract(old: Contract, new: Contract) -> tuple[Change, ...]:
    """Return what differs between two versions of one contract."""
    changes = []
    for attribute, words in _CONTRACT_BREAKS.items():
        before, after = getattr(old, attribute), getattr(new, attribute)
        if before != after:
            changes.append(Change(new.id, BREAKING, f"{words} {before} → {after}"))
    for attribute in ("name", "description", "owner", "retention", "frequency", "latency_hours"):
        if getattr(old, attribute) != getattr(new, attribute):
            changes.append(Change(new.id, EDITORIAL, f"{attribute.replace('_', ' ')} changed"))
    before_fields, after_fields = ({f.name: f for f in c.columns} for c in (old, new))
    for name in before_fields.keys() - after_fields.keys():
        changes.append(Change(new.id, BREAKING, f"field {name}: removed"))
    for name, field in after_fields.items():
        if name in before_fields:
            changes += _field_changes(new.id, before_fields[name], field)
        elif field.required and not field.derivation and new.feed:
            changes.append(
                Change(new.id, BREAKING, f"field {name}: new and required; messages without it are set aside")
            )
        elif field.source_field and not field.since:
            what = f"field {name}: new without 'since'; CSV files sent before lack its column and are refused"
            changes.append(Change(new.id, BREAKING, what))
        else:
            changes.append(Change(new.id, ADDITIVE, f"field {name}: new"))
    return tuple(sorted(changes + _rule_changes(old, new), key=lambda c: (c.kind != BREAKING, c.what)))


def compare(old: Mapping[str, Contract], new: Mapping[str, Contract]) -> list[Verdict]:
    """Return one verdict per contract that differs, in the order of the ids."""
    verdicts = []
    for contract_id in sorted(old.keys() | new.keys()):
        before, after = old.get(contract_id), new.get(contract_id)
        if before is None:
            changes: tuple[Change, ...] = (Change(contract_id, ADDITIVE, "table: new"),)
        elif after is None:
            changes = (Change(contract_id, BREAKING, "table: removed"),)
        else:
            changes = compare_contract(before, after)
        if changes:
            verdicts.append(
                Verdict(contract_id, before.version if before else None, after.version if after else None, changes)
            )
    return verdicts
