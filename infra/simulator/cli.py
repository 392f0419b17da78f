"""`customs simulate`: stands in for the source systems."""

import dataclasses
import json
import sys
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.simulator.scale import SCALES

MONTHS = 18
EPILOG = (
    "Examples:  customs simulate --size small  ·  customs simulate --to 2026-11-20 --days 30 --seed 7  ·  "
    "customs simulate --from 2026-01-01 --days 90 --out /data/landing --truth /data/truth --json"
)
app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


class Size(StrEnum):
    """Sizes of the simulated year."""

    small = "small"
    full = "full"


def _today() -> date:
    return (datetime.now(UTC) + timedelta(hours=8)).date()  # the business day in China


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is no day; write it as 2026-11-22.", param_hint=option) from error


def span(first: date | None, last: date | None, days: int | None) -> tuple[date, date]:
    """Return the first and last simulated day; what is not given follows from the rest (default: 18 months to today).

    Raises:
        typer.BadParameter: the options contradict one another, or the days lie outside what the code lists cover.
    """
    if days is not None and days < 1:
        raise typer.BadParameter("give at least 1 day.", param_hint="--days")
    if first and last and days and (last - first).days + 1 != days:
        raise typer.BadParameter(
            f"{first} to {last} is not {days} days; leave one of the three out.", param_hint="--days"
        )
    if first and days:
        last = first + timedelta(days=days - 1)
    last = last or _today()
    if first is None:
        month = last.month - MONTHS
        back = date(last.year + (month - 1) // 12, (month - 1) % 12 + 1, min(last.day, 28)) + timedelta(days=1)
        first = last - timedelta(days=days - 1) if days else back
    if first > last:
        raise typer.BadParameter(f"the first day {first} is after the last day {last}.", param_hint="--from")
    if first < date(2022, 1, 1):
        raise typer.BadParameter(
            f"{first} is before 2022-01-01, where the HS edition and the ranks begin.", param_hint="--from"
        )
    return first, last


@app.command(epilog=EPILOG)
def simulate(
    size: Annotated[
        Size, typer.Option(help="small: 1:1,000 of the declarations of a year; full: all of them.")
    ] = Size.small,
    first: Annotated[str | None, typer.Option("--from", help="First business day.", metavar="DAY")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last business day. Default: today.", metavar="DAY")] = None,
    days: Annotated[int | None, typer.Option(help="Number of days. Default: 18 months.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, size and days: the same bytes.", min=0)] = 20260401,
    out: Annotated[
        Path | None, typer.Option(help="Landing folder: <out>/<feed>/<day>/<file>. Default: the platform's landing.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="Hidden truth; never inside the landing folder. Default: truth in the data folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Write a customs history as the source systems would send it: one file per feed and month, the last 5 days daily.

    What an earlier run with the same folders wrote is replaced. What is really true (frauds, compliance, planted cases,
    spoiled lines) goes to the truth folder as Parquet; no job, mart or model may read it.
    """
    from infra.simulator.simulation import Request
    from infra.simulator.simulation import simulate as run

    begin, end = span(_day(first, "--from"), _day(last, "--to"), days)
    if out is None or truth is None:
        raise typer.BadParameter("without the platform's settings the folders have to be named: --out and --truth.")
    if truth.resolve() == out.resolve() or out.resolve() in truth.resolve().parents:
        raise typer.BadParameter(
            f"{truth} lies in the landing folder {out}; keep the truth elsewhere.", param_hint="--truth"
        )
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:36}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("enterprises", total=None)

        def progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)
            if not console.is_terminal and (done % max(total // 8, 1) == 0 or done == total):
                console.print(f"simulate: {what} ({done}/{total})", highlight=False)

        summary = run(Request(SCALES[size.value], begin, end, seed, out, truth), progress)
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(summary)) + "\n")
        return
    table = Table(title=f"{summary.first} to {summary.last} ({summary.size}, seed {summary.seed}), {summary.seconds} s")
    for heading, justify in (
        ("feed", "left"),
        ("rows", "right"),
        ("inside", "right"),
        ("files", "right"),
        ("MB", "right"),
        ("bad rows", "right"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for feed, f in summary.feeds.items():
        table.add_row(
            feed,
            f"{f['rows']:,}",
            f"{f['elements']:,}" if f["elements"] else "",
            str(f["files"]),
            f"{f['bytes'] / 1e6:.1f}",
            str(f["faults"]),
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    app()
