"""`customs features`: model features as of a date."""

import json
from datetime import datetime
from typing import Annotated

import typer

from infra.runtime.errors import BadArgumentsError
from infra.runtime.report import RunReport
from infra.runtime.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Build model features as of a date (Spark).",
    epilog="Example:  customs features build --as-of 2026-11-20",
)


@app.callback()
def _features() -> None:
    """Build model features as of a date (Spark)."""


@app.command(epilog="Example:  customs features build --as-of 2026-11-20 --only declaration_risk --json")
def build(
    as_of: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Day the features look from.")],
    only: Annotated[list[str] | None, typer.Option(help="Build only this set; may be given more than once.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Build also what was made from the same data before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows per set as JSON.")] = False,
) -> None:
    """Build the feature sets from silver, using nothing that became known on or after the day.

    A set that was built for the day is left as it is while neither silver nor the code that computes it changed.
    """
    from infra.lake.provenance import last_note, rows_of
    from infra.runtime.spark import spark_session
    from spark_jobs.features import FEATURE_SETS
    from spark_jobs.features.provenance import provenance

    if unknown := sorted(set(only or ()) - set(FEATURE_SETS)):
        raise BadArgumentsError(f"No feature set {', '.join(unknown)}: there are {', '.join(FEATURE_SETS)}.")
    settings, day, wanted = get_settings(), as_of.date(), only or FEATURE_SETS
    with RunReport("features build", settings, as_of=day.isoformat()) as report:
        note = provenance(settings, day)
        present = [] if again else [name for name in wanted if last_note(settings.features(name), day) == note]
        rows = {name: rows_of(settings.features(name), day) for name in present}
        if missing := [name for name in wanted if name not in rows]:
            from spark_jobs.features.build import build_features

            spark = spark_session("customs features", settings)
            try:
                rows |= build_features(spark, settings, day, missing)
            finally:
                spark.stop()
        report.figures["rows"] = rows
        report.figures["unchanged"] = present
    if as_json:
        typer.echo(json.dumps({"as_of": day.isoformat(), "rows": rows, "unchanged": present}))
        return
    for name, count in rows.items():
        typer.echo(f"{name}: {count} rows as of {day}" + (", unchanged" if name in present else ""))
