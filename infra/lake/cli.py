"""`customs lake`: landed files to Delta tables, exactly once; look at them; keep them fast."""

import json
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn
from zoneinfo import ZoneInfo

import typer

from infra.runtime.errors import BadArgumentsError, CustomsError, DataContractError
from infra.runtime.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Ingest landed files into Delta tables; query and maintain them.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for another command that writes the same tables.")]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _day(value: str | None, option: str) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise BadArgumentsError(f"{option} {value} is not a day: write it as 2026-11-20.") from None


def _today() -> date:
    return datetime.now(ZoneInfo(get_settings().office_time_zone)).date()


def _stop(error: CustomsError) -> NoReturn:
    raise error


@app.command(epilog="Example:  customs lake init")
def init(as_json: Json = False) -> None:
    """Create the lake: every table empty from its contract, folders, pseudonym keys. Harmless to repeat.

    A live table follows its contract as far as no row must change (new optional columns, wording, grades). Otherwise
    exit code 3 and the sentence names table, column and `customs lake migrate`.
    """
    from infra.lake.commit import create_lake

    outcome = create_lake(get_settings())
    if as_json:
        _print(outcome)
        return
    counts = {
        what: sum(1 for value in outcome.values() if value == what)
        for what in ("created", "extended", "described", "present")
    }
    _print(
        f"{get_settings().lake}: " + ", ".join(f"{number} tables {what}" for what, number in counts.items() if number)
    )


@app.command(
    epilog="Examples:  customs lake migrate declarations.declaration  ·  customs lake migrate governance.quarantine"
)
def migrate(
    contract_id: Annotated[str, typer.Argument(metavar="CONTRACT", help="<domain>.<entity>")],
    wait: Wait = 600,
    as_json: Json = False,
) -> None:
    """Rewrite a live table after a breaking change of its contract, one commit, read back and compared.

    Rows are cast where every stored value survives, else read again from the sealed originals and judged anew. What
    was made from the table (features, datasets, role files) is rebuilt by their own commands.
    """
    from infra.lake.migrate import migrate as migrate_table
    from infra.runtime.report import RunReport

    with RunReport("lake migrate", contract=contract_id) as report:
        report.figures["tables"] = migrate_table(contract_id, get_settings(), wait=wait, progress=_say)
    if as_json:
        _print(report.figures["tables"])
        return
    _table(
        ("table", "method", "rows before", "rows after", "quarantined", "version"),
        [
            (name, t["method"], t["rows_before"], t["rows_after"], t["quarantined"], t["version"])
            for name, t in report.figures["tables"].items()
        ],
    )


@app.command(
    epilog="Examples:  customs lake ingest declarations receipts  ·  "
    "customs lake ingest ecommerce_list --from 2026-11-01 --to 2026-11-20 --json"
)
def ingest(
    feeds: Annotated[list[str], typer.Argument(metavar="FEED...", help="Feed folders in landing, one or more.")],
    first: Annotated[str | None, typer.Option("--from", help="First day folder (2026-11-01), inclusive.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day folder, inclusive.")] = None,
    wait: Wait = 600,
    as_json: Json = False,
) -> None:
    """Ingest the files of feeds that were not ingested yet: good rows to silver, bad rows to quarantine.

    A file that cannot be read at all is refused and named, the others go on; the exit code is then 3.
    """
    from infra.lake.ingest import FeedOutcome, ingest_feed
    from infra.lake.ingest import feeds as known_feeds
    from infra.runtime.report import RunReport

    days = _day(first, "--from"), _day(last, "--to")
    if unknown := [feed for feed in feeds if feed not in known_feeds()]:
        raise BadArgumentsError(f"There is no feed '{unknown[0]}'; feeds are {', '.join(known_feeds())}.")
    outcomes: dict[str, FeedOutcome] = {}
    with RunReport("lake ingest", from_day=first, to_day=last) as report:
        for feed in dict.fromkeys(feeds):
            outcomes[feed] = ingest_feed(feed, *days, wait=wait, progress=_say)
            report.figures["feeds"] = {name: outcome.as_dict() for name, outcome in outcomes.items()}
        refused = [sentence for outcome in outcomes.values() for sentence in outcome.refused]
        if as_json:
            _print(report.figures["feeds"])
        else:
            _table(
                ("feed", "files", "rows in", "good", "quarantined", "seconds"),
                [
                    (feed, f["files"], f["rows_in"], f["good"], f["quarantined"], f["seconds"])
                    for feed, f in report.figures["feeds"].items()
                ],
            )
        if refused:
            names = "\n  ".join(refused)
            raise DataContractError(
                f"{len(refused)} files were refused, all others were ingested; land corrected files:\n  {names}"
            )


@app.command(
    epilog="Examples:  customs lake follow rail_instructions rail_instruction_results  ·  "
    "customs lake follow receipts --until-idle 10 --json"
)
def follow(
    feeds: Annotated[list[str], typer.Argument(metavar="FEED...", help="Feed folders in landing, one or more.")],
    settle: Annotated[
        float, typer.Option(help="A file written in place is taken when it has not changed for so many seconds.", min=0)
    ] = 0.5,
    until_idle: Annotated[
        float | None, typer.Option(help="End when no file came for so many seconds; default never.", min=0)
    ] = None,
    longest: Annotated[float | None, typer.Option("--for", help="End after so many seconds; default never.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Ingest files as they arrive, a second or two after landing; otherwise exactly what `customs lake ingest` does.

    Only complete files are taken: those renamed into place, and those that have not changed for --settle seconds.
    Write under a name that starts with a dot or ends in .part, then rename. A file taken too early is read again when
    it changes.

    A line per file says what became of its rows; refused files are named and the others go on. Ctrl-C or SIGTERM ends
    after the file in hand. The scheduled ingestion of the same feeds may run beside it: each takes what the other has
    not, one at a time.
    """
    import signal
    from dataclasses import asdict
    from threading import Event

    from infra.lake.follow import follow as follow_feeds
    from infra.runtime.report import RunReport

    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with RunReport("lake follow", feeds=feeds) as report:
        counted = {"files": 0, "rows": 0, "good": 0, "quarantined": 0, "refused": 0}
        for file in follow_feeds(
            feeds,
            settings=get_settings(),
            stop=stop,
            settle=settle,
            until_idle=until_idle,
            longest=longest,
            progress=_say,
        ):
            counted = {
                "files": counted["files"] + 1,
                **{name: counted[name] + getattr(file, name) for name in ("rows", "good", "quarantined")},
                "refused": counted["refused"] + bool(file.refusal),
            }
            report.figures.update(counted)
            sys.stdout.write((json.dumps(asdict(file)) if as_json else file.line) + "\n")
            sys.stdout.flush()
    _say(", ".join(f"{number:,} {name}" for name, number in counted.items()))


@app.command(epilog="Example:  customs lake reference")
def reference(
    day: Annotated[str | None, typer.Option("--date", help="Day folder; default today.")] = None,
    wait: Wait = 600,
    as_json: Json = False,
) -> None:
    """Land the platform's code lists (offices, modes, countries, HS codes …) and ingest them."""
    from infra.lake.ingest import feeds, ingest_feed
    from infra.lake.land import land_code_lists
    from infra.runtime.report import RunReport

    settings = get_settings()
    land_code_lists(_day(day, "--date") or _today(), settings)
    with RunReport("lake reference") as report:
        figures = report.figures["feeds"] = {}
        for feed in feeds():
            if feed.startswith("reference_"):
                figures[feed] = ingest_feed(feed, wait=wait, progress=_say).as_dict()
        bad = {feed: f["quarantined"] for feed, f in figures.items() if f["quarantined"] or f["refused"]}
        if as_json:
            _print(figures)
        else:
            rows = [(feed, f["files"], f["rows_in"], f["good"], f["quarantined"]) for feed, f in figures.items()]
            _table(("feed", "files", "rows in", "good", "quarantined"), rows)
        if bad:
            raise DataContractError(f"Code lists break their own contract ({bad}): run `customs contracts check`.")


@app.command(epilog="Example:  customs lake land ~/my-declarations --date 2026-11-20")
def land(
    folder: Annotated[Path, typer.Argument(help="Folder with your own files.")],
    day: Annotated[str | None, typer.Option("--date", help="Business day of the files; default today.")] = None,
    as_json: Json = False,
) -> None:
    """Copy your own files into landing, each under the feed whose layout it has (headers decide)."""
    from infra.lake.land import land_folder

    landed = land_folder(folder, _day(day, "--date") or _today(), get_settings(), _say)
    feeds: dict[str, set[str]] = {}
    for file in landed:
        feeds.setdefault(file.feed, set()).add(file.target.parent.name)
    if as_json:
        _print(
            {
                "feeds": {feed: sorted(days) for feed, days in sorted(feeds.items())},
                "files": [{"source": str(f.source), "layout": f.layout, "landed": str(f.target)} for f in landed],
            }
        )
        return
    _table(("file", "layout", "feed", "day"), [(f.source.name, f.layout, f.feed, f.target.parent.name) for f in landed])


@app.command(epilog="Example:  customs lake status --json")
def status(as_json: Json = False) -> None:
    """Show rows per feed (in = good + quarantined), refused files, and the tables with rows and version."""
    from infra.lake.look import lake_status

    found = lake_status(get_settings())
    if as_json:
        _print(found)
        return
    _table(
        ("feed", "files", "refused", "rows in", "good", "quarantined"),
        [(n, f["files"], f["refused"], f["rows_in"], f["good"], f["quarantined"]) for n, f in found["feeds"].items()],
    )
    _table(
        ("table", "rows", "version", "files"),
        [(name, t["rows"], t["version"], t["files"]) for name, t in found["tables"].items() if t["rows"]],
    )
    for sentence in found["refused"]:
        _say(f"refused: {sentence}")


@app.command(
    epilog="Example:  customs lake query "
    '"SELECT customs_office_code, count(*) FROM declarations.declaration GROUP BY ALL ORDER BY 2 DESC LIMIT 5"'
)
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT; tables are <domain>.<entity>.")],
    limit: Annotated[int, typer.Option(help="Rows shown at most.")] = 50,
    as_json: Json = False,
) -> None:
    """Run SQL on the silver tables, read-only. For the service's own people: nothing is masked beyond the pseudonyms.

    Analysts use the published role files (`customs serving publish`), which hold only what a role may see.
    """
    from infra.lake.look import run_query

    names, rows = run_query(sql, limit, get_settings())
    if as_json:
        _print([dict(zip(names, row, strict=True)) for row in rows])
        return
    _table(tuple(names), rows)


@app.command(
    epilog="Examples:  customs lake quarantine declarations  ·  customs lake quarantine ecommerce.order --limit 3"
)
def quarantine(
    name: Annotated[
        str, typer.Argument(metavar="FEED|TABLE", help="A feed, or a table such as declarations.declaration.")
    ],
    limit: Annotated[int, typer.Option(help="Sample rows per table.")] = 5,
    original: Annotated[
        bool, typer.Option("--original", help="Show the original text too. It can hold personal data.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show why rows were set aside: counts by rule, and where to look (file and line); no content unless asked."""
    from infra.lake.look import quarantine_reasons

    found = quarantine_reasons(name, limit, original, get_settings())
    if as_json:
        _print(found)
        return
    for table, content in found.items():
        _table((table, "rows", "meaning"), [(r["rules"], r["rows"], r["reason"]) for r in content["reasons"]])
        if content["samples"]:
            _table(tuple(content["samples"][0]), [tuple(sample.values()) for sample in content["samples"]])


@app.command(epilog="Example:  customs lake maintain")
def maintain(
    retention_hours: Annotated[int, typer.Option(help="Files that left a table longer ago are deleted.", min=24)] = 168,
    wait: Wait = 600,
    as_json: Json = False,
) -> None:
    """Join small files, delete files no version needs, write checkpoints, age out features and originals.

    Features are kept for CUSTOMS_FEATURES_KEPT_DAYS (30) before the newest day; `customs features build` makes any day
    again. Originals are kept for the retention of the tables they fed.
    """
    from infra.lake.maintain import maintain as maintain_lake
    from infra.runtime.report import RunReport

    with RunReport("lake maintain") as report:
        done = maintain_lake(get_settings(), retention_hours=retention_hours, wait=wait, progress=_say)
        report.figures["tables"] = [vars(one) for one in done]
    if as_json:
        _print(report.figures["tables"])
        return
    changed = [one for one in done if one.files_before != one.files_after or one.removed]
    _print(f"{len(done)} tables looked after, {len(changed)} changed.")


def _print(value: Any) -> None:
    sys.stdout.write((value if isinstance(value, str) else json.dumps(value, indent=1, default=str)) + "\n")


def _table(names: tuple[str, ...], rows: list[tuple]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*names, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(
            *(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _cell(value) for value in row)
        )
    console = Console(soft_wrap=False) if sys.stdout.isatty() else Console(width=200)
    console.print(table)


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("[", "\\[")
