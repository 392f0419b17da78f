"""The leak scan of what is about to be handed out: identifiers by form and check digit, persons by their pseudonym.

A clear value of a person is recognised without any list of persons: its pseudonym under each purpose's key is looked up
among the pseudonyms the lake holds. Findings name column and count, never the value.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import duckdb

from data_contracts import load_contracts
from data_contracts.emit.sql import hmac_sha256, quote
from infra.lake.commit import table_view
from infra.lake.pseudonym import load_keys
from infra.runtime.settings import Settings

# not inside a longer run of letters or digits: pseudonyms and codes are full of digits
_ID_NUMBER = re.compile(r"(?<![0-9A-Za-z])[1-8][0-9]{16}[0-9Xx](?![0-9A-Za-z])")
_MOBILE = re.compile(r"(?<![0-9A-Za-z])(?:\+?86[- ]?)?(1[3-9][0-9]{9})(?![0-9A-Za-z])")
_CARD = re.compile(r"(?<![0-9A-Za-z])[0-9]{15,19}(?![0-9A-Za-z])")
_ID_WEIGHTS = tuple(pow(2, 17 - i, 11) for i in range(17))
_ISSUERS = (("62", (16, 17, 18, 19)), ("4", (16,)), ("5", (16,)), ("34", (15,)), ("37", (15,)), ("35", (16,)))


@dataclass(frozen=True)
class Leak:
    """What was found in a column: ``kind`` and how many different values."""

    column: str
    kind: str
    values: int


def is_id_number(text: str) -> bool:
    """Return whether 18 characters are a resident identity number: birth date, check character (GB 11643, mod 11-2)."""
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    if not 1900 <= born.year <= 2100:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text, _ID_WEIGHTS, strict=False))
    return "10X98765432"[total % 11] == text[17].upper()


def is_card_number(text: str) -> bool:
    """Return whether digits are a bank card number: issuer prefix, its lengths, Luhn check digit (ISO/IEC 7812)."""
    if not any(text.startswith(prefix) and len(text) in lengths for prefix, lengths in _ISSUERS):
        return False
    digits = [int(digit) for digit in reversed(text)]
    return sum(digits[::2] + [d * 2 - 9 * (d > 4) for d in digits[1::2]]) % 10 == 0


def forms_in(text: str) -> set[str]:
    """Return which kinds of personal identifier a text holds: ``identity number``, ``mobile number``, ``bank card``."""
    found = set()
    if any(is_id_number(match) for match in _ID_NUMBER.findall(text)):
        found.add("identity number")
    if _MOBILE.search(text):
        found.add("mobile number")
    if any(is_card_number(match) for match in _CARD.findall(text)):
        found.add("bank card")
    return found


def scan(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    settings: Settings,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Leak]:
    """Return what a relation would give away.

    Args:
        connection: DuckDB connection with the Delta reader.
        relation: SQL of the files as the recipient will read them.
        settings: platform settings, for the keys and pseudonyms to match against.
        progress: called with one line per pass.
    """
    described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    columns = [name for name, kind, *_ in described if kind == "VARCHAR" or "INT" in kind]
    leaks: list[Leak] = []
    if not columns:
        return leaks
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE outgoing AS "
        + " UNION ALL ".join(
            f"SELECT DISTINCT '{name}' AS col, CAST({quote(name)} AS VARCHAR) AS value FROM {relation} "
            f"WHERE {quote(name)} IS NOT NULL"
            for name in columns
        )
    )
    progress("leak scan: identifiers by form and check digit")
    counts: dict[tuple[str, str], int] = {}
    cursor = connection.execute("SELECT col, value FROM outgoing WHERE regexp_matches(value, '[0-9]{11}')")
    while rows := cursor.fetchmany(50_000):
        for column, value in rows:
            for kind in forms_in(value):
                counts[column, kind] = counts.get((column, kind), 0) + 1
    leaks += [Leak(column, kind, number) for (column, kind), number in sorted(counts.items())]
    progress("leak scan: persons by their pseudonym")
    return leaks + _persons(connection, settings)


def _persons(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[Leak]:
    found: list[Leak] = []
    keys = load_keys(settings)
    for purpose, key in sorted(keys.items()):
        held = [
            f"SELECT DISTINCT {quote(f.name)} AS pseudonym FROM {table_view(connection, settings.silver(contract.id))}"
            for contract in load_contracts().values()
            for f in contract.columns
            if f.purpose == purpose and (settings.silver(contract.id) / "_delta_log").is_dir()
        ]
        if not held:
            continue
        # read once per delivery, whatever the number of formats
        table = quote(f"held_{purpose}")
        connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} AS {' UNION '.join(held)}")
        for kind, expression in (
            ("clear value of a person", hmac_sha256("value", key)),
            ("pseudonym of the platform", "value"),
        ):
            rows = connection.execute(
                f"SELECT col, count(*) FROM outgoing WHERE {expression} IN (SELECT pseudonym FROM {table}) "
                "GROUP BY col ORDER BY col"
            ).fetchall()
            found += [Leak(column, kind, int(number)) for column, number in rows]
    return found
