"""`customs governance`: the room of `infra.governance` and the report, which also asks Superset as every account."""

import json
import sys
from typing import Annotated

import typer

from infra.governance.assurance import report as reports
from infra.governance.cli import app, governance_app
from infra.runtime.errors import BadArgumentsError, DataContractError
from infra.runtime.settings import Settings, get_settings

__all__ = ["app"]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _measures(settings: Settings, progress: reports.Progress, mutants: int | None) -> reports.Report:
    from dashboards import bypass
    from dashboards.readers import superset_readers
    from infra.governance.assurance import canary, columns, matrix, mutation

    # signed in before anything is measured: what is down is told at once
    with superset_readers(settings) as readers:
        measures: dict[str, reports.Measure] = {
            "columns": columns.measure,
            "matrix": lambda settings, progress: matrix.measure(settings, progress, readers),
            "bypass": bypass.measure,
            "canary_hits": canary.measure,
            "mutation": lambda settings, progress: mutation.measure(settings, progress, mutants),
        }
        return reports.take(settings, measures, progress)


@governance_app.command(
    epilog="Examples:  customs governance report  ·  customs governance report --fresh  ·  … --json"
)
def report(
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure now (minutes); the services have to be up.")] = False,
    mutants: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="With --fresh: weaken contracts in N ways only. Default all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Tell whether data is used lawfully, measured on the data: the last report, or one taken now.

    Columns graded, every role's view against the policy, restricted values outside their zones, weakened contracts
    noticed, ways round the role files blocked, the audit log unchanged. Exit code 3 when anything is not as it must be.
    """
    if mutants and not fresh:
        raise BadArgumentsError("--mutants is about a report taken now: add --fresh.")
    settings = get_settings()
    told = _measures(settings, _say, mutants) if fresh else reports.latest(settings)
    if as_json:
        typer.echo(json.dumps(told.figures, ensure_ascii=False))
    else:
        for line in told.lines():
            typer.echo(line)
    if told.failed:
        raise typer.Exit(DataContractError.exit_code)
