"""Putting files into landing: a user's own folder by matching layouts, and the platform's own code lists."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from data_contracts import load_contracts, load_layouts
from data_contracts.emit.reference import reference_csv
from data_contracts.model import Layout
from infra.lake.files import RefusedFileError, choose_layout, plain_chunks
from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import Settings

_HEAD = 1 << 16
_IGNORED = {".md", ".txt", ".pdf", ""}


@dataclass(frozen=True)
class Landing:
    """A file put into landing."""

    source: Path
    feed: str
    layout: str
    target: Path


def first_line(path: Path) -> str:
    """Return the first line with content, as far as 64 KiB show it."""
    head = b""
    try:
        for piece in plain_chunks(path, chunk=_HEAD):
            head += piece
            if b"\n" in head.lstrip() or len(head) >= _HEAD:
                break
    except RefusedFileError:
        return ""
    return head.decode("utf-8", errors="replace").removeprefix("\ufeff").lstrip().split("\n", 1)[0]


def layout_of(path: Path) -> Layout | None:
    """Return the layout a user's file has, None when none fits.

    The header decides for CSV. JSON Lines carry no header: the file lies in a folder named like its feed, or its name
    starts with the feed.
    """
    layouts = list(load_layouts().values())
    line = first_line(path)
    for layout in layouts:
        if layout.format == "csv":
            try:
                return choose_layout([layout], path.name, line)[0]
            except RefusedFileError:
                continue
        named = {path.parent.name, path.parent.parent.name}
        begins = path.name.startswith((f"{layout.feed}.", f"{layout.feed}_", f"{layout.feed}-"))
        if line.startswith("{") and (layout.feed in named or begins):
            try:
                return choose_layout([layout], path.name, line)[0]
            except RefusedFileError:
                continue
    return None


def land_folder(folder: Path, day: date, settings: Settings, progress: Callable[[str], None]) -> list[Landing]:
    """Copy the files of a folder into landing, each under the feed of the layout it has.

    A file that lies in a folder named as a day (``2026-11-20``) keeps that day, others get ``day``. Files that fit no
    layout are named and left out; so are notes and licences.

    Raises:
        BadArgumentsError: no such folder, or no file of it fits a layout; the message lists the layouts.
    """
    if not folder.is_dir():
        raise BadArgumentsError(f"{folder} is not a folder: give the folder that holds your files.")
    landed, unknown = [], []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        layout = layout_of(path)
        if layout is None:
            if path.suffix.lower() not in _IGNORED:
                unknown.append(path)
            continue
        target = settings.landing / layout.feed / _day_of(path, day) / path.name
        _copy(path, target)
        landed.append(Landing(path, layout.feed, layout.id, target))
        progress(f"{path.name}: layout {layout.id}, feed {layout.feed}")
    if not landed:
        raise BadArgumentsError(
            f"No file in {folder} fits a layout: headers are compared with "
            f"{', '.join(sorted(layout.id for layout in load_layouts().values() if layout.format == 'csv'))}; "
            "JSON Lines files lie in a folder named like their feed "
            f"({', '.join(sorted({layout.feed for layout in load_layouts().values() if layout.format == 'jsonl'}))}). "
            "For another format add a layout file beside the contract."
        )
    for path in unknown:
        progress(f"{path.name}: fits no layout, left out")
    return landed


def _day_of(path: Path, default: date) -> str:
    try:
        return date.fromisoformat(path.parent.name).isoformat()
    except ValueError:
        return default.isoformat()


def _copy(source: Path, target: Path) -> None:
    """Copy a file, its time included, so that landing the same folder again changes nothing."""
    stat = source.stat()
    if target.is_file() and (target.stat().st_size, target.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # ingest ignores .part files: it never sees half a file
    part = target.with_name(target.name + ".part")
    shutil.copy2(source, part)
    os.replace(part, target)


def land_code_lists(day: date, settings: Settings) -> list[Path]:
    """Write the platform's code lists into landing, each unless its newest file there already says the same."""
    written = []
    for contract in load_contracts().values():
        if contract.domain != "reference" or not contract.feed:
            continue
        folder = settings.landing / contract.feed
        name = f"{contract.feed}.csv"
        newest = max(folder.glob(f"*/{name}"), default=None) if folder.is_dir() else None
        if newest and newest.read_text(encoding="utf-8") == reference_csv(
            contract, date.fromisoformat(newest.parent.name)
        ):
            continue
        target = folder / day.isoformat() / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{name}.part")
        part.write_text(reference_csv(contract, day), encoding="utf-8")
        os.replace(part, target)
        written.append(target)
    return written
