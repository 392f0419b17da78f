"""`customs quality`: gates on figures of every table, with the published quality report (Great Expectations)."""

import json
import sys
from datetime import date
from typing import Annotated

import typer

from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Quality gates and the published quality report (Great Expectations).",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _quality() -> None:
    """Quality gates and the published quality report (Great Expectations)."""


@app.command(
    epilog="Examples:  customs quality gate silver  ·  customs quality gate marts --json  ·  "
    "customs quality gate silver --as-of 2026-11-20"
)
def gate(
    name: Annotated[str, typer.Argument(metavar="GATE", help="silver or marts.")],
    as_of: Annotated[str | None, typer.Option(help="Business date freshness is measured from; default now.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Judge the figures of every table; exit code 3 when an expectation of severity error is not met."""
    from infra.lake.quality import run_gate, stop_if_failed
    from infra.runtime.report import RunReport

    day = None
    if as_of is not None:
        try:
            day = date.fromisoformat(as_of)
        except ValueError:
            raise BadArgumentsError(f"--as-of {as_of} is not a day: write it as 2026-11-20.") from None
    settings = get_settings()
    with RunReport(f"quality {name}", settings) as report:
        results = run_gate(name, settings, day)
        failed = [r for r in results if not r.passed]
        page = settings.home / "quality" / "data_docs" / "index.html"
        report.figures |= {
            "tables": len({r.dataset for r in results}),
            "expectations": len(results),
            "failed": sum(r.expectation.severity == "error" for r in failed),
            "warnings": sum(r.expectation.severity != "error" for r in failed),
            "report": str(page),
        }
        for r in failed:
            sys.stderr.write(
                f"{r.expectation.severity}: {r.dataset}: expected {r.words}, observed {r.observed_words}\n"
            )
        stop_if_failed(results)
    figures = report.figures
    sys.stdout.write(
        json.dumps(figures) + "\n"
        if as_json
        else f"Gate {name}: {figures['expectations']} expectations on {figures['tables']} tables met, "
        f"{figures['warnings']} warnings. {page}\n"
    )
