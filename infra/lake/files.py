"""Landed files: found by day, checked and sealed in one pass, read back as numbered lines in flat memory.

Nothing here looks at fields: a file is refused only for what makes it unreadable as a whole. Rows are judged in
``infra.lake.ingest``.
"""

import codecs
import csv
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from data_contracts.model import Layout
from infra.runtime.errors import BadArgumentsError

CHUNK = 1 << 20
BATCH = 8 << 20
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_BOMS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}

LINES = pa.schema([("file", pa.int32()), ("line", pa.int64()), ("text", pa.large_string())])


class RefusedFileError(Exception):
    """A landed file cannot be read at all; the message says why and what to do (without the file's name)."""


@dataclass(frozen=True)
class LandedFile:
    """A file in landing: ``path`` on disk, ``name`` relative to landing, business day of its folder."""

    path: Path
    name: str
    feed: str
    day: date


@dataclass(frozen=True)
class SealedFile:
    """What one pass over a file found; ``header`` holds a CSV's column names in the file's order."""

    sha256: str
    size: int
    lines: int
    layout: str
    header: tuple[str, ...]
    header_line: int


def landed_files(landing: Path, feed: str, first: date | None = None, last: date | None = None) -> list[LandedFile]:
    """Return the files of a feed, by day and name.

    Args:
        landing: root of landing, ``<landing>/<feed>/<YYYY-MM-DD>/<file>``.
        feed: feed folder; one that does not exist is an empty feed.
        first: first day, inclusive.
        last: last day, inclusive.

    Raises:
        BadArgumentsError: a folder of the feed is not named as a day.
    """
    folder = landing / feed
    found = []
    for day_folder in sorted(folder.iterdir()) if folder.is_dir() else []:
        if day_folder.name.startswith("."):
            continue
        if not day_folder.is_dir() or not _DAY.match(day_folder.name):
            raise BadArgumentsError(
                f"{day_folder} is not a day folder: put files of feed {feed} into {folder}/<YYYY-MM-DD>/."
            )
        day = date.fromisoformat(day_folder.name)
        if (first and day < first) or (last and day > last):
            continue
        found += [
            LandedFile(path, str(path.relative_to(landing)), feed, day)
            for path in sorted(day_folder.iterdir())
            # a dot or .part marks a file still being copied by its sender
            if path.is_file() and not path.name.startswith(".") and path.suffix != ".part"
        ]
    return found


def plain_chunks(path: Path, tee: Callable[[bytes], object] | None = None, chunk: int = CHUNK) -> Iterator[bytes]:
    """Yield the file's content, decompressed when its name ends in ``.gz``, in pieces of at most ``chunk`` bytes.

    Args:
        path: the file.
        tee: called with every piece as stored (compressed), for hashing and copying in the same pass.
        chunk: upper limit of a piece.

    Raises:
        RefusedFileError: truncated or damaged gzip.
    """
    packed = path.name.endswith(".gz")
    unpacker = zlib.decompressobj(wbits=31)
    began = False
    with path.open("rb") as source:
        while piece := source.read(chunk):
            if tee:
                tee(piece)
            if not packed:
                yield piece
                continue
            try:
                while piece:
                    if unpacker.eof:  # several gzip members in one file are legal
                        unpacker = zlib.decompressobj(wbits=31)
                    began = True
                    plain = unpacker.decompress(piece, chunk)
                    piece = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
                    if plain:
                        yield plain
            except zlib.error as error:
                raise RefusedFileError(
                    "is not a sound gzip file (damaged content); ask the sender to send it again"
                ) from error
    if packed and began:
        while not unpacker.eof:
            # a small file may unpack to more than one piece after its last byte was read
            plain = unpacker.decompress(unpacker.unconsumed_tail, chunk)
            if not plain:
                raise RefusedFileError("is a truncated gzip file; ask the sender to send it again")
            yield plain


def _header(text: str, delimiter: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in next(csv.reader([text.rstrip("\r\n")], delimiter=delimiter), []))


def choose_layout(layouts: Sequence[Layout], name: str, first_line: str) -> tuple[Layout, tuple[str, ...]]:
    """Return the layout a file has, and its CSV header in the file's order (empty for JSON Lines).

    Columns may come in any order; a missing, extra or unknown column refuses the file, except that a column a later
    contract version brought (``since``) may be missing.

    Raises:
        RefusedFileError: no layout of the feed fits; the message names the columns that differ.
    """
    bare = name.removesuffix(".gz").rsplit("/", 1)[-1]
    matching = [one for one in layouts if fnmatch(bare, one.match) or fnmatch(name.rsplit("/", 1)[-1], one.match)]
    if not matching:
        patterns = ", ".join(sorted({one.match for one in layouts}))
        raise RefusedFileError(f"fits no layout of its feed (names: {patterns}); rename it or add a layout file")
    nearest: tuple[int, str] | None = None
    for layout in matching:
        if layout.format == "jsonl":
            if first_line.lstrip("\ufeff \t").startswith("{") or len(matching) == 1:
                return layout, ()
            continue
        header = _header(first_line, layout.delimiter)
        if layout.fits(header):
            return layout, header
        missing = [column for column in layout.header if column not in header and column not in layout.later]
        extra = [column for column in header if column not in layout.header]
        twice = sorted({column for column in header if header.count(column) > 1})
        parts = [
            f"{what} {', '.join(map(repr, columns[:6]))}{' …' if len(columns) > 6 else ''}"
            for what, columns in (("missing", missing), ("unknown", extra), ("repeated", twice))
            if columns
        ]
        distance = len(missing) + len(extra) + len(twice)
        if nearest is None or distance < nearest[0]:
            if len(extra) == len(header):
                message = (
                    f"has no header line of layout {layout.id} (first columns expected: "
                    f"{', '.join(layout.header[:4])}); send it with the header line"
                )
            else:
                message = f"has other columns than layout {layout.id}: {'; '.join(parts)}; correct the header line"
            nearest = (distance, message)
    raise RefusedFileError(nearest[1] if nearest else "fits no layout of its feed; add a layout file")


def seal(path: Path, layouts: Sequence[Layout], destination: Path | None, max_line_bytes: int) -> SealedFile:
    """Check a file and copy it, in one pass and flat memory.

    Args:
        path: the landed file.
        layouts: layouts of its feed.
        destination: sealed copy (mode 0400), removed again when the file is refused; None checks only.
        max_line_bytes: a longer line means a broken file.

    Raises:
        RefusedFileError: empty, truncated or damaged gzip, not in its encoding, NUL bytes, over-long line,
            unknown columns. The message is the rest of a sentence that starts with the file's name.
    """
    digest = hashlib.sha256()
    copy: IO[bytes] | None = None
    if destination is not None:
        destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        destination.unlink(missing_ok=True)
        copy = os.fdopen(os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def tee(piece: bytes) -> None:
        digest.update(piece)
        if copy:
            copy.write(piece)

    try:
        # a piece never longer than the limit: then a longer line spans pieces, and only line ends must be looked for
        checker = _Checker(layouts, path.name, max_line_bytes)
        for piece in plain_chunks(path, tee, min(CHUNK, max_line_bytes)):
            checker.feed(piece)
        layout, header = checker.finish()
    except RefusedFileError:
        if copy and destination:
            copy.close()
            destination.unlink(missing_ok=True)
        raise
    if copy and destination:
        copy.flush()
        os.fsync(copy.fileno())
        copy.close()
        destination.chmod(0o400)
    return SealedFile(digest.hexdigest(), path.stat().st_size, checker.lines, layout.id, header, checker.header_line)


class _Checker:
    """State of the one pass: encoding, NUL bytes, line lengths, line count, first line with content."""

    def __init__(self, layouts: Sequence[Layout], name: str, limit: int) -> None:
        self.layouts, self.name, self.limit = layouts, name, limit
        encodings = {one.encoding for one in layouts} or {"utf-8"}
        # several encodings in one feed: the first that a layout names and that fits the name decides
        fitting = [one.encoding for one in layouts if fnmatch(name.removesuffix(".gz"), one.match)]
        self.encoding = (fitting or sorted(encodings))[0]
        self.decoder = codecs.getincrementaldecoder(self.encoding)()
        self.utf8 = codecs.lookup(self.encoding).name == "utf-8"
        self.lines = self.length = self.seen = self.header_line = 0
        self.head = b""
        self.chosen: tuple[Layout, tuple[str, ...]] | None = None

    def feed(self, piece: bytes) -> None:
        if self.seen == 0:
            for bom, encoding in _BOMS.items():
                if piece.startswith(bom):
                    raise RefusedFileError(f"is {encoding}, not {self.encoding.upper()}; convert it and land it again")
        if b"\0" in piece:
            line = self.lines + piece[: piece.index(b"\0")].count(b"\n") + 1
            raise RefusedFileError(
                f"holds a NUL byte in line {line}: it is binary or damaged; ask the sender to send it again"
            )
        self._decode(piece, final=False)
        ends = piece.count(b"\n")
        first_end = piece.find(b"\n")
        if self.length + (len(piece) if first_end < 0 else first_end) > self.limit:
            raise RefusedFileError(
                f"has a line longer than {self.limit:,} bytes (line {self.lines + 1}): its line ends are missing or it "
                "is damaged; send one record per line"
            )
        self.length = self.length + len(piece) if first_end < 0 else len(piece) - piece.rfind(b"\n") - 1
        if self.chosen is None:
            self._look_for_head(piece)
        self.lines += ends
        self.seen += len(piece)

    def _decode(self, piece: bytes, *, final: bool) -> None:
        # pure ASCII with nothing pending needs no decoding
        if self.utf8 and not final and piece.isascii() and not self.decoder.getstate()[0]:
            return
        try:
            self.decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            at = max(error.start - len(self.decoder.getstate()[0]), 0)
            line = self.lines + piece[:at].count(b"\n") + 1
            raise RefusedFileError(
                f"is not {self.encoding.upper()} (line {line}); convert it to {self.encoding.upper()} and land it again"
            ) from None

    def _look_for_head(self, piece: bytes) -> None:
        self.head += piece
        while b"\n" in self.head:
            line, self.head = self.head.split(b"\n", 1)
            self.header_line += 1
            if line.removeprefix(codecs.BOM_UTF8).strip():
                self._choose(line)
                return

    def _choose(self, line: bytes) -> None:
        text = line.decode(self.encoding, errors="replace").removeprefix("\ufeff")
        self.chosen = choose_layout(self.layouts, self.name, text)
        self.head = b""

    def finish(self) -> tuple[Layout, tuple[str, ...]]:
        if self.seen == 0:
            raise RefusedFileError("is empty; ask the sender for the file, or remove it if there was nothing to send")
        self._decode(b"", final=True)
        if self.length:
            self.lines += 1
        if self.chosen is None and self.head.removeprefix(codecs.BOM_UTF8).strip():
            self.header_line += 1
            self._choose(self.head)
        if self.chosen is None:
            raise RefusedFileError("holds only blank lines; ask the sender for the file, or remove it")
        return self.chosen


def _decoded(path: Path, encoding: str) -> Iterator[bytes]:
    if codecs.lookup(encoding).name == "utf-8":
        yield from plain_chunks(path, chunk=BATCH)
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    for piece in plain_chunks(path, chunk=BATCH):
        yield decoder.decode(piece).encode()
    yield decoder.decode(b"", True).encode()


def _batch(number: int, first_line: int, text: bytes) -> tuple[pa.RecordBatch, int]:
    ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == 10).astype(np.int64) + 1
    offsets = np.concatenate(([0], ends)).astype(np.int64)
    count = len(ends)
    # the array points into the bytes read: no line is copied
    lines = pa.Array.from_buffers(pa.large_string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(text)])
    columns = [
        pa.array(np.full(count, number, dtype=np.int32)),
        pa.array(np.arange(first_line, first_line + count, dtype=np.int64)),
        lines,
    ]
    return pa.RecordBatch.from_arrays(columns, schema=LINES), count


def line_batches(files: Sequence[tuple[int, Path, str]]) -> pa.RecordBatchReader:
    """Return the lines of checked files as a stream of (file, line, text), memory bounded by one piece and one line.

    Args:
        files: (number, path, encoding) of each sealed file.

    Lines keep their line end; the byte order mark of the first line is dropped.
    """

    def stream() -> Iterator[pa.RecordBatch]:
        for number, path, encoding in files:
            carry: list[bytes] = []
            line, begun = 1, False
            for read in _decoded(path, encoding):
                piece = read
                if not begun:
                    piece, begun = piece.removeprefix(codecs.BOM_UTF8), True
                cut = piece.rfind(b"\n") + 1
                if cut == 0:
                    carry.append(piece)
                    continue
                batch, count = _batch(number, line, b"".join([*carry, piece[:cut]]))
                carry = [piece[cut:]]
                line += count
                yield batch
            if rest := b"".join(carry):
                yield _batch(number, line, rest + b"\n")[0]

    return pa.RecordBatchReader.from_batches(LINES, stream())
