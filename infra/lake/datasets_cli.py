"""`customs datasets`: build, test, document and list the business datasets (dbt on DuckDB over the lake)."""

import json
import re
import sys
from typing import Annotated

import typer

from infra.runtime.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Build and test the business datasets (dbt).",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_STEP = re.compile(r"(\d+) of (\d+) (\w+)")


def _progress(line: str) -> None:
    """Show every tenth step and whatever is not well: a build has some 250 steps."""
    text = line.split("  ", 1)[-1]
    if step := _STEP.search(text):
        number, total, word = step.groups()
        if word == "START" or (word in ("OK", "PASS") and int(number) % 10 and number != total):
            return
    elif not re.search(r"error|warn|fail", text, re.IGNORECASE):
        return
    sys.stderr.write(f"{text}\n")


def _print(value: object) -> None:
    sys.stdout.write(f"{value}\n")


@app.command(
    epilog="Examples:  customs datasets build  ·  customs datasets build --select marts  ·  "
    "customs datasets build --select serving --json"
)
def build(
    select: Annotated[
        str | None, typer.Option(help="marts: everything up to the datasets; serving: what roles and dashboards read.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Build the datasets from silver and test them. Repeating it gives the same tables."""
    from infra.lake.datasets import build as build_datasets
    from infra.lake.datasets import known_outcome
    from infra.runtime.report import RunReport

    settings = get_settings()
    with RunReport("datasets build", settings, selection=select or "all") as report:
        outcome = build_datasets(select, settings, _progress)
        report.figures |= known_outcome(settings).counts | {"this_run": outcome.counts, "warnings": outcome.warnings}
        for line in outcome.warnings:
            sys.stderr.write(f"warning: {line}\n")
        outcome.stop_if_failed()
    counts = outcome.counts
    _print(
        json.dumps(report.figures)
        if as_json
        else f"{counts['built']} datasets built, {counts['tests_passed']} tests passed, {counts['tests_failed']} failed"
    )


@app.command("test", epilog="Example:  customs datasets test")
def run_tests(as_json: Json = False) -> None:
    """Run all data tests and unit tests on what is built."""
    from infra.lake.datasets import run_tests as test_datasets

    outcome = test_datasets(get_settings(), _progress)
    outcome.stop_if_failed()
    counts = outcome.counts
    _print(json.dumps(counts) if as_json else f"{counts['tests_passed']} tests passed")


@app.command(epilog="Example:  customs datasets docs")
def docs() -> None:
    """Write the documentation of the datasets (columns, tests, lineage) as one page to open in a browser."""
    from infra.lake.datasets import write_docs

    _print(write_docs(get_settings(), _progress))


@app.command("list", epilog="Examples:  customs datasets list  ·  customs datasets list --role analyst --json")
def list_datasets(
    role: Annotated[str | None, typer.Option(help="Only what this role gets.")] = None, as_json: Json = False
) -> None:
    """List the datasets: layer, roles, columns, what one row is."""
    from infra.lake.datasets import datasets

    found = [d for d in datasets(get_settings()).values() if role is None or role in d.roles]
    if as_json:
        _print(
            json.dumps(
                [
                    {"name": d.name, "layer": d.layer, "roles": d.roles, "columns": d.columns, "about": d.description}
                    for d in found
                ]
            )
        )
        return
    for d in found:
        _print(f"{d.name:34} {d.layer:8} {','.join(d.roles) or '-':16} {len(d.columns):3} columns  {d.description}")
