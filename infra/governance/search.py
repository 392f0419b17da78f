"""Proof that something is nowhere: every file of the data folder read for it, compressed and columnar ones decoded.

A byte search alone proves little where values are compressed, so Parquet is read column by column (files no table
version refers to included), DuckDB files table by table, gzip, zlib and zip unpacked, and everything else byte by byte.
"""

import gzip
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.emit.sql import quote, text
from infra.lake.commit import lake_connection
from infra.runtime.errors import CustomsError
from infra.runtime.settings import Settings

_CHUNK = 1 << 22
_TOKEN = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_LONGEST = 1024
# Parquet files that are read by one statement
_TOGETHER = 200


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
    """What is searched for: a few texts anywhere inside values, pseudonyms as whole tokens, and numbers.

    A text counts only where it does not lie inside a longer run of ASCII letters or digits: a telephone number inside
    an order number is somebody else's order. A number is looked for as a value of decimal and double columns, as the
    text it is written with, and as the eight bytes of a double, which is how pickled frames hold it.
    """

    def __init__(
        self, texts: Iterable[str] = (), pseudonyms: Iterable[str] = (), numbers: Iterable[float] = ()
    ) -> None:
        self.texts = sorted({one for one in texts if one})
        self.pseudonyms = set(pseudonyms)
        self.numbers = sorted(set(numbers))
        if any(len(one.encode()) > _LONGEST for one in self.texts):
            raise CustomsError(f"A value is longer than {_LONGEST} bytes: give an identifier, not a document.")
        self._tokens = {one.encode() for one in self.pseudonyms}
        # JSON writers may escape what is not ASCII
        spellings = {spelling for one in self.texts for spelling in (one, _escaped(one))} | set(map(str, self.numbers))
        bounded = "|".join(re.escape(one) for one in sorted(spellings) if _is_bounded(one))
        patterns = [rf"(?<![0-9A-Za-z])(?:{bounded})(?![0-9A-Za-z])".encode()] if bounded else []
        patterns += [re.escape(one).encode() for one in sorted(spellings) if not _is_bounded(one)]
        patterns += [re.escape(struct.pack(order, one)) for one in self.numbers for order in ("<d", ">d")]
        self._bytes = re.compile(b"|".join(patterns), re.DOTALL) if patterns else None
        # RE2 reads ten times as fast as Python's engine, which is asked only where something is
        binary = [struct.pack(order, one) for one in self.numbers for order in ("<d", ">d")]
        self._anywhere = "|".join(
            [re.escape(one) for one in sorted(spellings)]
            + ["".join(f"\\x{byte:02x}" for byte in one) for one in binary]
        )

    def starting_in(self, data: bytes, first: int, last: int) -> int:
        """Return how many of them start at positions ``first <= p < last`` of bytes."""
        found = 0
        if self._bytes and pc.match_substring_regex(pa.scalar(data, pa.large_binary()), self._anywhere).as_py():
            found = sum(first <= match.start() < last for match in self._bytes.finditer(data))
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
        spellings = {*self.texts, *map(_escaped, self.texts), *map(str, self.numbers)}
        bounded = [re.escape(one) for one in sorted(spellings) if _is_bounded(one)]
        # RE2 has no look-around: the neighbour is matched instead
        patterns = [f"(^|[^0-9A-Za-z])({'|'.join(bounded)})([^0-9A-Za-z]|$)"] if bounded else []
        patterns += [re.escape(one) for one in sorted(spellings) if not _is_bounded(one)]
        return f"regexp_matches({value}, {text('|'.join(patterns))})" if patterns else "FALSE"

    def is_one(self, value: str) -> str:
        """Return SQL that is TRUE where a number is one of the numbers."""
        return f"CAST({value} AS DOUBLE) IN ({', '.join(map(str, self.numbers))})" if self.numbers else "FALSE"


def _is_bounded(spelling: str) -> bool:
    return spelling.isascii() and "\\" not in spelling


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
    connection = lake_connection(settings)
    needles.prepare(connection)
    files = size = 0
    hits: list[Hit] = []
    try:
        for group in together(files_of(settings, besides)):
            size += size_of(group)
            hits += hits_together(connection, group, needles)
            if (files + len(group)) // 1000 > files // 1000:
                progress(f"searched {files + len(group):,} files, {size / 1e6:,.0f} MB")
            files += len(group)
    finally:
        connection.close()
    return Searched(files, size, tuple(hits))


def together(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Yield the Parquet files of one table together, its partitions included, and every other file by itself."""
    parquet: dict[Path, list[Path]] = {}
    for path in paths:
        if path.suffix == ".parquet":
            table = next(folder for folder in path.parents if "=" not in folder.name)
            parquet.setdefault(table, []).append(path)
        else:
            yield [path]
    for group in parquet.values():
        for start in range(0, len(group), _TOGETHER):
            yield group[start : start + _TOGETHER]


def size_of(paths: Iterable[Path]) -> int:
    """Return the bytes of those files that are still there."""
    size = 0
    for path in paths:
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def hits_in(connection: duckdb.DuckDBPyConnection, path: Path, needles: Needles) -> list[Hit]:
    """Return where a file holds one of the values."""
    if path.suffix == ".parquet":
        return _in_relation(connection, f"read_parquet({text(str(path))}, hive_partitioning = false)", path, needles)
    found = _in_bytes(path, needles)
    if path.suffix == ".duckdb":
        found += _in_database(connection, path, needles)
    return found


def hits_together(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], needles: Needles) -> list[Hit]:
    """Return where files hold one of the values: several Parquet files are read together first.

    A table has hundreds of small files, and a statement for each costs more than the reading; they are read one by one
    when something is there. A file that is gone meanwhile holds nothing, and the others are read all the same.
    """
    if len(paths) > 1:
        listed = ", ".join(text(str(one)) for one in paths)
        # broken ones among them, or columns that do not agree, are looked at one by one
        with suppress(duckdb.Error):
            together = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
            if not _in_relation(connection, together, None, needles):
                return []
    found: list[Hit] = []
    for path in paths:
        with suppress(FileNotFoundError):
            found += hits_in(connection, path, needles)
    return found


def _in_relation(
    connection: duckdb.DuckDBPyConnection, relation: str, path: Path | None, needles: Needles, table: str = ""
) -> list[Hit]:
    try:
        columns = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except duckdb.Error:
        if path is None:
            raise
        # a file cut short by a kill is no Parquet file: its bytes are all there is
        return _in_bytes(path, needles)
    texts = [name for name, kind, *_ in columns if "VARCHAR" in kind or "JSON" in kind or "BLOB" in kind]
    shown = {name: f"CAST({quote(name)} AS VARCHAR)" for name in texts}
    exact = [name for name, kind, *_ in columns if kind == "DOUBLE" or kind.startswith("DECIMAL(")]
    tests = {name: needles.is_one(quote(name)) for name in exact} if needles.numbers else {}
    counts = dict.fromkeys([*texts, *tests], 0)
    if counts and (needles.texts or needles.numbers):
        # mostly nothing is there: one look at a row's texts, side by side, takes half the time of one at each
        anywhere = [*tests.values()]
        anywhere += [needles.condition(f"concat_ws(chr(10), {', '.join(shown.values())})")] if texts else []
        if connection.execute(f"SELECT 1 FROM {relation} WHERE {' OR '.join(anywhere)} LIMIT 1").fetchone():
            tests |= {name: needles.condition(value) for name, value in shown.items()}
            filters = ", ".join(f"count(*) FILTER (WHERE {test})" for test in tests.values())
            row = connection.execute(f"SELECT {filters} FROM {relation}").fetchone() or ()
            counts |= dict(zip(tests, map(int, row), strict=True))
    if texts and needles.pseudonyms:
        found = ", ".join(
            f"{{'place': {text(name)}, 'tokens': regexp_extract_all(CAST({quote(name)} AS VARCHAR), '[0-9a-f]{{64}}')}}"
            for name in texts
        )
        cells = f"SELECT unnest([{found}], max_depth := 2) FROM {relation}"
        tokens = f"SELECT place, unnest(tokens) AS token FROM ({cells})"
        matched = f"SELECT place, count(*) FROM ({tokens}) SEMI JOIN needles USING (token) GROUP BY place"
        for name, count in connection.execute(matched).fetchall():
            counts[name] += int(count)
    where = path or Path()
    return [Hit(where, f"{table}.{name}" if table else name, count) for name, count in counts.items() if count]


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
    count = occurrences(_pieces(path), needles)
    return [Hit(path, "", count)] if count else []


def occurrences(pieces: Iterable[bytes], needles: Needles) -> int:
    """Return how often the values occur in bytes that come piece by piece."""
    count = first = 0
    held = b""
    for piece in pieces:
        held += piece
        # a value that starts near the end is judged with the next piece, and with the byte before it
        safe = len(held) - _LONGEST
        if safe > first:
            count += needles.starting_in(held, first, safe)
            held, first = held[safe - 1 :], 1
    return count + needles.starting_in(held, first, len(held))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        head = file.read(4)
    unpack = next((how for starts, how in _PACKED if head.startswith(starts)), None)
    if unpack is not None:
        try:
            yield from unpack(path)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError):
            # cut short by a kill, or something else that begins like a packed file: its bytes are all there is
            unpack = None
    if unpack is None:
        yield from _read(path)


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _gzip(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _zlib(path: Path) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    for piece in _read(path):
        yield unpacker.decompress(piece)
    yield unpacker.flush() + unpacker.unused_data


def _zip(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            yield name.encode() + b"\n"
            with archive.open(name) as member:
                while piece := member.read(_CHUNK):
                    yield piece


_PACKED: tuple[tuple[tuple[bytes, ...], Callable[[Path], Iterator[bytes]]], ...] = (
    ((b"\x1f\x8b",), _gzip),
    ((b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"), _zlib),
    ((b"PK\x03\x04",), _zip),
)
