"""Proof that something is nowhere: every file of the data folder read for it, compressed and columnar ones decoded.

A byte search alone proves little where values are compressed, so Parquet is read column by column (files no table
version refers to included), DuckDB files table by table, gzip unpacked, and everything else byte by byte.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from data_contracts.emit.sql import quote, text
from infra.runtime.duck import duck_connection
from infra.runtime.errors import CustomsError
from infra.runtime.settings import Settings

_CHUNK = 1 << 22
_TOKEN = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_LONGEST = 1024


@dataclass(frozen=True)
class Hit:
    """A file that holds one of the values: ``place`` is a column or empty, ``count`` rows or occurrences."""

    file: Path
    place: str
    count: int


@dataclass(frozen=True)
class Searched:
    """Outcome of a search."""

    files: int
    bytes: int
    hits: tuple[Hit, ...] = field(default=())


class Needles:
    """What is searched for: a few texts anywhere inside values, and pseudonyms, however many, as whole tokens.

    A text counts only where it does not lie inside a longer run of ASCII letters or digits: a telephone number inside
    an order number is somebody else's order.
    """

    def __init__(self, texts: Iterable[str] = (), pseudonyms: Iterable[str] = ()) -> None:
        self.texts = sorted({one for one in texts if one})
        self.pseudonyms = set(pseudonyms)
        if any(len(one.encode()) > _LONGEST for one in self.texts):
            raise CustomsError(f"A value is longer than {_LONGEST} bytes: give an identifier, not a document.")
        self._tokens = {one.encode() for one in self.pseudonyms}
        # JSON writers may escape what is not ASCII
        spellings = {spelling for one in self.texts for spelling in (one, _escaped(one))}
        self._patterns = [_bounded(spelling) for spelling in sorted(spellings)]
        self._bytes = re.compile("|".join(self._patterns).encode()) if self._patterns else None

    def starting_in(self, data: bytes, first: int, last: int) -> int:
        """Return how many of them start at positions ``first <= p < last`` of bytes."""
        found = sum(first <= match.start() < last for match in self._bytes.finditer(data)) if self._bytes else 0
        if self._tokens:
            tokens = (match for match in _TOKEN.finditer(data) if match.group() in self._tokens)
            found += sum(first <= match.start() < last for match in tokens)
        return found

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the pseudonyms known to a connection, as table ``needles``."""
        connection.execute("CREATE OR REPLACE TEMP TABLE needles (token VARCHAR)")
        for start in range(0, len(self.pseudonyms), 100_000):
            part = sorted(self.pseudonyms)[start : start + 100_000]
            connection.execute("INSERT INTO needles SELECT unnest(?::VARCHAR[])", [part])

    def condition(self, value: str) -> str:
        """Return SQL that is TRUE where a text holds one of the texts (pseudonyms are joined, there may be many)."""
        # RE2 has no look-around: the neighbour is matched instead
        tests = [
            f"regexp_matches({value}, {text(f'(^|[^0-9A-Za-z])({re.escape(one)})([^0-9A-Za-z]|$)')})"
            if one.isascii() and "\\" not in one
            else f"contains({value}, {text(one)})"
            for one in sorted({*self.texts, *map(_escaped, self.texts)})
        ]
        return "(" + (" OR ".join(tests) or "FALSE") + ")"


def _bounded(spelling: str) -> str:
    plain = re.escape(spelling)
    return rf"(?<![0-9A-Za-z]){plain}(?![0-9A-Za-z])" if spelling.isascii() and "\\" not in spelling else plain


def _escaped(value: str) -> str:
    return json.dumps(value)[1:-1]


def files_of(settings: Settings, besides: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield every regular file below the data folder and below a lake or landing that lies elsewhere."""
    left_out = {path.resolve() for path in besides}
    seen: set[Path] = set()
    for root in (settings.home, settings.lake, settings.landing):
        for path in sorted(root.rglob("*")) if root.is_dir() else ():
            # a link leads to a file that is found by itself, or outside
            if path.is_symlink() or not path.is_file() or path in seen or path.resolve() in left_out:
                continue
            seen.add(path)
            yield path


def search(
    settings: Settings,
    needles: Needles,
    *,
    besides: Iterable[Path] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Searched:
    """Read every file of the platform for values.

    Args:
        settings: platform settings.
        needles: what to look for.
        besides: files not to read.
        progress: called with one line every thousand files.
    """
    connection = duck_connection(settings=settings)
    needles.prepare(connection)
    files = size = 0
    hits: list[Hit] = []
    try:
        for path in files_of(settings, besides):
            try:
                size += path.stat().st_size
                hits += hits_in(connection, path, needles)
            except FileNotFoundError:
                continue
            files += 1
            if files % 1000 == 0:
                progress(f"searched {files:,} files, {size / 1e6:,.0f} MB")
    finally:
        connection.close()
    return Searched(files, size, tuple(hits))


def hits_in(connection: duckdb.DuckDBPyConnection, path: Path, needles: Needles) -> list[Hit]:
    """Return where a file holds one of the values."""
    if path.suffix == ".parquet":
        return _in_relation(connection, f"read_parquet({text(str(path))}, hive_partitioning = false)", path, needles)
    found = _in_bytes(path, needles)
    if path.suffix == ".duckdb":
        found += _in_database(connection, path, needles)
    return found


def _in_relation(
    connection: duckdb.DuckDBPyConnection, relation: str, path: Path, needles: Needles, table: str = ""
) -> list[Hit]:
    try:
        columns = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except duckdb.Error:
        # a file cut short by a kill is no Parquet file: its bytes are all there is
        return _in_bytes(path, needles)
    texts = [name for name, kind, *_ in columns if "VARCHAR" in kind or "JSON" in kind or "BLOB" in kind]
    if not texts:
        return []
    counts = dict.fromkeys(texts, 0)
    values = {name: f"CAST({quote(name)} AS VARCHAR)" for name in texts}
    if needles.texts:
        filters = ", ".join(f"count(*) FILTER (WHERE {needles.condition(value)})" for value in values.values())
        row = connection.execute(f"SELECT {filters} FROM {relation}").fetchone() or ()
        counts = dict(zip(texts, map(int, row), strict=True))
    for name in texts if needles.pseudonyms else ():
        tokens = f"SELECT unnest(regexp_extract_all({values[name]}, '[0-9a-f]{{64}}')) AS token FROM {relation}"
        matched = connection.execute(f"SELECT count(*) FROM ({tokens}) SEMI JOIN needles USING (token)").fetchall()
        counts[name] += int(matched[0][0])
    return [Hit(path, f"{table}.{name}" if table else name, count) for name, count in counts.items() if count]


def _in_database(connection: duckdb.DuckDBPyConnection, path: Path, needles: Needles) -> list[Hit]:
    found: list[Hit] = []
    connection.execute(f"ATTACH {text(str(path))} AS searched (READ_ONLY)")
    try:
        tables = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'searched' ORDER BY ALL"
        ).fetchall()
        for schema, table in tables:
            relation = f"searched.{quote(schema)}.{quote(table)}"
            found += _in_relation(connection, relation, path, needles, f"{schema}.{table}")
    finally:
        connection.execute("DETACH searched")
    return found


def _in_bytes(path: Path, needles: Needles) -> list[Hit]:
    count = first = 0
    held = b""
    for piece in _pieces(path):
        held += piece
        # a value that starts near the end is judged with the next piece, and with the byte before it
        safe = len(held) - _LONGEST
        if safe > first:
            count += needles.starting_in(held, first, safe)
            held, first = held[safe - 1 :], 1
    count += needles.starting_in(held, first, len(held))
    return [Hit(path, "", count)] if count else []


def _pieces(path: Path) -> Iterator[bytes]:
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            while piece := file.read(_CHUNK):
                yield piece
    except (OSError, EOFError, zlib.error):
        if not packed:
            raise
        yield path.read_bytes()
