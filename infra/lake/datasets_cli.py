"""`customs datasets`: build, test, document and list the business datasets (dbt on DuckDB over the lake)."""

import difflib
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
    """Build the datasets from silver and test them, and prove the grades of their columns.

    Repeating it gives the same tables. Exit code 3 where a data test fails, or a column is graded below what it is made
    from (`customs datasets lineage` explains it).
    """
    from infra.lake.datasets import build as build_datasets
    from infra.lake.datasets import known_outcome
    from infra.lake.lineage import prove
    from infra.runtime.report import RunReport

    settings = get_settings()
    with RunReport("datasets build", settings, selection=select or "all") as report:
        outcome = build_datasets(select, settings, _progress)
        report.figures |= known_outcome(settings).counts | {"this_run": outcome.counts, "warnings": outcome.warnings}
        for line in outcome.warnings:
            sys.stderr.write(f"warning: {line}\n")
        outcome.stop_if_failed()
        report.figures["graded_columns"] = len(prove(settings))
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


@app.command(
    epilog="Example:  customs datasets lineage  ·  customs datasets lineage --column fct_declaration.direction --json"
)
def lineage(
    column: Annotated[str | None, typer.Option(help="One column, <dataset>.<column>.")] = None,
    as_json: Json = False,
) -> None:
    """Show where columns come from and why they have their grade: the highest of their sources wins.

    Without a column: how many are proven, and every grade that was lowered with method, approver and reason. Exit
    code 3 names each column graded below what it is made from.
    """
    from infra.lake.lineage import as_document, findings
    from infra.lake.lineage import lineage as read_lineage
    from infra.runtime.errors import BadArgumentsError, DataContractError

    columns = read_lineage(get_settings())
    if column is not None and column not in columns:
        near = difflib.get_close_matches(column, columns, n=3) or list(columns)[:3]
        raise BadArgumentsError(f"There is no column '{column}' in a built dataset; did you mean {' or '.join(near)}?")
    chosen = {column: columns[column]} if column else columns
    wrong = list(findings(chosen))
    if as_json:
        _print(json.dumps({name: as_document(one) for name, one in chosen.items()}))
    elif column:
        one = columns[column]
        _print(f"{column}  {one.grade}  {_personal(one.personal_information)}{one.why}")
        for title, sources in (("made from", one.sources), ("in the end from", one.origins)):
            if title == "made from" or sources != one.sources:
                _print(f"{title}:")
                for source in sources:
                    where = f"{source.dataset}.{source.column}"
                    _print(f"  {where:52} {source.grade}  {_personal(source.personal_information)}{source.how}")
    else:
        lowered = [one for one in columns.values() if one.lowered]
        _print(f"{len(columns)} columns, {len(wrong)} not proven, {len(lowered)} lowered by a declared declassify:")
        for one in lowered:
            _print(f"  {one.dataset}.{one.column:34} {one.grade}  {one.why}")
    if wrong:
        shown = "\n  ".join(wrong)
        raise DataContractError(f"{len(wrong)} columns are graded below what they are made from:\n  {shown}")


def _personal(mark: str) -> str:
    return "" if mark == "none" else f"{mark} personal information, "
