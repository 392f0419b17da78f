"""`customs dashboards …`: check, build, publish and draw the dashboards."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Check and publish the Superset dashboards.",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Examples:  customs dashboards check  ·  customs dashboards publish --json",
)
_progress = Console(stderr=True, highlight=False, soft_wrap=True)


def _say(line: str) -> None:
    _progress.print(line, markup=False)


@app.command(epilog="Example:  customs dashboards check")
def check() -> None:
    """Follow every chart to its dataset, dbt serving model and columns, without a server.

    Also the SQL of metrics, targets, filters, and that no role sees a dashboard on a file it may not read. Exit code 3
    names file and remedy.
    """
    from dashboards.publish import checked_specification

    specification = checked_specification()
    charts = sum(1 for dashboard in specification.dashboards.values() for _ in dashboard.charts())
    typer.echo(
        f"{len(specification.dashboards)} dashboards with {charts} charts on {len(specification.datasets)} datasets: "
        "every link holds."
    )


@app.command(epilog="Example:  customs dashboards build --out /tmp/bundle")
def build(out: Annotated[Path, typer.Option(help="Folder to write the bundle to.")]) -> None:
    """Write Superset's import bundle to a folder, to look at it; `publish` needs no such step."""
    from dashboards import bundle
    from dashboards.facts import read_facts
    from dashboards.publish import checked_specification
    from dashboards.serving_models import load_serving_models
    from infra.runtime.settings import get_settings

    specification = checked_specification()
    files = bundle.build(specification, read_facts(get_settings(), specification, load_serving_models()))
    for path, text in files.items():
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    typer.echo(f"{len(files)} files in {out}")


@app.command(epilog="Examples:  customs dashboards publish  ·  customs dashboards publish --json")
def publish(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Bring dashboards, roles, accounts and rights into Superset, then ask it for every chart.

    Run again, it updates in place. Superset has to be up (`customs up`) and the serving files published.
    """
    from dashboards.publish import publish as publish_all
    from infra.runtime.report import RunReport
    from infra.runtime.settings import get_settings

    settings = get_settings()
    with RunReport("dashboards publish", settings) as report:
        published = publish_all(settings, _say)
        report.figures |= asdict(published)
    if as_json:
        typer.echo(json.dumps(asdict(published), ensure_ascii=False))
        return
    typer.echo(
        f"{len(published.dashboards)} dashboards with {published.charts} charts, data up to {published.newest_day}:"
    )
    for title in published.dashboards:
        typer.echo(f"  {title}")
    if published.empty_charts:
        typer.echo(f"No rows to show yet: {', '.join(published.empty_charts)}")
    for name in published.removed:
        typer.echo(f"Removed: {name}")
    typer.echo(f"{settings.superset_url}/dashboard/list/")


@app.command(
    epilog="Examples:  customs dashboards screenshots  ·  customs dashboards screenshots --only clearance --theme dark"
)
def screenshots(
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("docs/images"),
    only: Annotated[list[str] | None, typer.Option(help="Slug of a dashboard; repeatable. Default all.")] = None,
    theme: Annotated[list[str] | None, typer.Option(help="light or dark; repeatable. Default both.")] = None,
) -> None:
    """Draw every dashboard as its readers see it, 1600 pixels wide, light and dark, at most 300 kB each.

    Fails when a chart shows an error. Needs Chromium.
    """
    from dashboards.screenshots import THEMES, draw
    from dashboards.specification import load_specification
    from infra.runtime.errors import BadArgumentsError
    from infra.runtime.secrets import load_secrets
    from infra.runtime.settings import get_settings

    settings = get_settings()
    dashboards = load_specification().dashboards
    if unknown := set(only or ()) - dashboards.keys():
        raise BadArgumentsError(f"No dashboard {', '.join(sorted(unknown))}: choose from {', '.join(dashboards)}.")
    if unknown := set(theme or ()) - set(THEMES):
        raise BadArgumentsError(f"No theme {', '.join(sorted(unknown))}: choose light or dark.")
    pictures = draw(
        settings.superset_url,
        load_secrets(settings).passwords,
        [dashboards[slug] for slug in only or dashboards],
        out,
        themes=tuple(name for name in THEMES if name in (theme or THEMES)),
        say=_say,
    )
    for picture in pictures:
        typer.echo(str(picture))
