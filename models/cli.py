"""`customs models`: train, score, evaluate, compare and list the models."""

import json
import re
import sys
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from infra.runtime.errors import BadArgumentsError
from infra.runtime.report import RunReport
from infra.runtime.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

app = typer.Typer(
    no_args_is_help=True,
    help="Train, score and evaluate the models.",
    epilog="Examples:  customs models train declaration_risk  ·  customs models score  ·  customs models list --json",
)

AsOf = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Day to look from (default: latest built features)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


class SeveralValues(TyperCommand):
    """Lets an option that may be repeated take several values at once: ``--train a.csv b.csv``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write ``--train a b`` as ``--train a --train b``."""
        several = {o for p in self.params if getattr(p, "multiple", False) for o in p.opts}
        named = {o for p in self.params for o in p.opts}
        spread: list[str] = []
        option, taken = None, 0
        for word in args:
            if word in named or word.startswith("-"):
                option, taken = (word if word in several else None), 0
                spread.append(word)
            elif option and taken:
                spread += [option, word]
            else:
                taken += 1
                spread.append(word)
        return super().parse_args(ctx, spread)


def _days(text: str | None) -> timedelta | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)d", text)
    if match is None:
        raise BadArgumentsError(f"--if-older-than {text} is no number of days: write for example 7d.")
    return timedelta(days=int(match.group(1)))


@app.command(epilog="Example:  customs models train declaration_risk --as-of 2026-11-20 --if-older-than 7d")
def train(
    name: Annotated[str, typer.Argument(help="declaration_risk, enterprise_risk, aeo_candidate or ore_verification.")],
    as_of: AsOf = None,
    source_system: Annotated[
        str | None, typer.Option(help="Origin of the rows to learn from (default: the one with most labels).")
    ] = None,
    if_older_than: Annotated[
        str | None, typer.Option(help="Do nothing while the champion is younger than this, for example 7d.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a challenger and make it champion when it beats baseline and champion on the same held-out rows."""
    from infra.runtime.spark import cores_per_worker
    from models import registry, training
    from models.recipes import recipe_of

    settings = get_settings()
    recipe, age = recipe_of(name), _days(if_older_than)
    with RunReport("models train", settings, name=name) as report:
        client = registry.connect(settings)
        day = training.feature_day(settings, name, as_of.date() if as_of else None)
        result: dict[str, Any] = {"outcome": "skipped", "name": name}
        current = registry.champion(client, name)
        if day is None:
            result["reason"] = "the feature set is empty"
        elif age is not None and current is not None and timedelta(0) <= _age(current.tags, day) < age:
            result["reason"] = f"champion {current.version} is younger than {if_older_than}"
        else:
            with ExitStack() as ending:
                start = _starter(ending, f"customs models train {name}", cores_per_worker(settings))
                try:
                    result = training.train(start, settings, client, recipe, day, source_system)
                except training.TooFewLabelsError as reason:
                    result["reason"] = str(reason)
        report.figures |= result
    _show(result, as_json, _told(result))


def _starter(ending: ExitStack, application: str, task_cores: int = 1) -> "Callable[[], SparkSession]":
    """Return what starts Spark when it is first asked for, and lets it end with the stack."""
    from infra.runtime.spark import spark_session

    @cache
    def start() -> "SparkSession":
        spark = spark_session(application, get_settings(), task_cores)
        ending.callback(spark.stop)
        return spark

    return start


def _age(tags: dict[str, str], day: date) -> timedelta:
    return day - date.fromisoformat(tags["as_of"])


def _told(result: dict[str, Any]) -> str:
    if result["outcome"] == "skipped":
        return f"{result['name']}: skipped, {result['reason']}."
    state = "is now champion" if result.get("promoted") else "was registered"
    return f"{result['name']}: version {result['version']} {state}. {result['reason']}"


def _show(result: Any, as_json: bool, text: str) -> None:
    typer.echo(json.dumps(result) if as_json else text)


@app.command(epilog="Example:  customs models score declaration_risk enterprise_risk --as-of 2026-11-20")
def score(
    names: Annotated[list[str] | None, typer.Argument(help="Models to score with (default: all).")] = None,
    as_of: AsOf = None,
    days: Annotated[int, typer.Option(min=1, help="Declarations of how many days back are scored.")] = 31,
    again: Annotated[bool, typer.Option("--again", help="Score also what was scored from the same before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score with the champions and write the day's scores, left as they are while nothing they come from changed.

    They come from the features, the champion and the code.
    """
    from models import registry, scoring, training
    from models.recipes import NAMES, recipe_of

    settings = get_settings()
    recipes = [recipe_of(name) for name in names or NAMES]
    with RunReport("models score", settings) as report:
        client = registry.connect(settings)
        results: dict[str, Any] = {}
        with ExitStack() as ending:
            start = _starter(ending, "customs models score")
            for recipe in recipes:
                name = recipe.features.name
                day = training.feature_day(settings, name, as_of.date() if as_of else None)
                if day is None:
                    results[name] = {"outcome": "skipped", "reason": "the feature set is empty", "rows": 0}
                    continue
                results[name] = {
                    "as_of": day.isoformat(),
                    **scoring.score(start, settings, client, recipe.features, day, days, again),
                }
        report.figures["models"] = results
    lines = [
        f"{n}: {r['outcome']}, {r['rows']} rows{', ' + r['reason'] if 'reason' in r else ''}"
        for n, r in results.items()
    ]
    _show(results, as_json, "\n".join(lines))


@app.command(
    cls=SeveralValues,
    epilog="Example:  customs models evaluate declaration_risk --train train.csv --test valid.csv --layout kcs --json",
)
def evaluate(
    name: Annotated[str, typer.Argument(help="declaration_risk.")],
    train_files: Annotated[list[Path], typer.Option("--train", help="Files to train on; may be given more than once.")],
    test_files: Annotated[list[Path], typer.Option("--test", help="Files to score; may be given more than once.")],
    layout: Annotated[str, typer.Option(help="Source layout of the files, for example kcs.")],
    as_json: AsJson = False,
) -> None:
    """Train the pipeline's model class on given files and score others: all rows, unseen goods, memory-only answer."""
    if name != "declaration_risk":
        raise BadArgumentsError(f"Only declaration_risk can be evaluated from files, not {name}.")
    from models.declaration_risk.evaluate import evaluate as evaluate_files

    with RunReport("models evaluate", name=name, layout=layout) as report:
        figures, warning = evaluate_files(get_settings(), layout, train_files, test_files)
        report.figures["metrics"] = figures
    if warning:
        sys.stderr.write(f"customs: {warning}\n")
    lines = []
    for part, values in figures.items():
        auc, area = values["auc"], values["pr_auc"]
        shown = "AUC –, PR-AUC –" if auc is None else f"AUC {auc:.4f}, PR-AUC {area:.4f}"
        title = {"all": "all rows (recurrence)", "unseen": "unseen goods", "lookup": "memory only"}[part]
        lines.append(f"{title}: n {values['n']}, {shown}")
    _show(figures, as_json, "\n".join(lines))


@app.command(epilog="Examples:  customs models policy  ·  customs models policy --budget 0.03 --json")
def policy(
    as_of: AsOf = None,
    budget: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of declarations to inspect (default: what was spent)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare ways to select declarations for inspection: what each would have found, with its 95 % interval.

    Answered from the stored selection probability of every declaration and the outcomes of the inspected ones, on days
    the champion has not learned from. Intervals that overlap do not tell two policies apart.
    """
    from models import registry, training
    from models.declaration_risk.policy import compare_policies

    settings = get_settings()
    with RunReport("models policy", settings) as report:
        client = registry.connect(settings)
        day = training.feature_day(settings, "declaration_risk", as_of.date() if as_of else None)
        if day is None:
            raise BadArgumentsError("The feature set declaration_risk is empty: there is nothing to compare.")
        found = compare_policies(settings, client, day, budget)
        report.figures |= found
    if as_json:
        typer.echo(json.dumps(found))
        return
    _show_policies(found)


def _show_policies(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("policy")
    table.add_column("selects")
    for heading in ("hits per 100 inspections", "duty recovered per inspection", "rows it rests on"):
        table.add_column(heading, justify="right")
    for row in found["policies"]:
        if "no_answer" in row:
            table.add_row(row["policy"], row["selects"], row["no_answer"], "", "")
            continue
        hits, duty = row["hit_rate"], row["duty"]
        table.add_row(
            row["policy"],
            row["selects"],
            f"{hits['value']:.1%} ({hits['low']:.1%} to {hits['high']:.1%})".replace("%", ""),
            f"{duty['value']:,.0f} ({duty['low']:,.0f} to {duty['high']:,.0f})",
            f"{row['effective_rows']:,.0f}",
        )
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)
    typer.echo(
        f"{found['declarations']:,} declarations from {found['first_day']} to {found['last_day']}, "
        f"{found['inspected']:,} inspected, budget {found['budget']:.1%}, champion version {found['model_version']}. "
        "In brackets: 95 % interval."
    )


@app.command(epilog="Example:  customs models card declaration_risk")
def card(
    name: Annotated[str, typer.Argument(help="declaration_risk, enterprise_risk, aeo_candidate or ore_verification.")],
) -> None:
    """Print the champion's model card."""
    from models.recipes import recipe_of
    from models.training import card_path

    path = card_path(get_settings(), recipe_of(name).features.name)
    if not path.is_file():
        raise BadArgumentsError(f"No card of {name}: it has no champion yet, run `customs models train {name}`.")
    typer.echo(path.read_text(encoding="utf-8"))


@app.command("list", epilog="Example:  customs models list --json")
def list_models(as_json: AsJson = False) -> None:
    """List the models: version, alias, headline figures."""
    from models import registry
    from models.recipes import NAMES

    found = registry.overview(registry.connect(get_settings()), NAMES)
    lines = []
    for name, entry in found.items():
        figures = ", ".join(f"{k} {v}" for k, v in entry["metrics"].items())
        lines.append(f"{name}: version {entry['version'] or '–'} {entry['alias'] or ''} {figures}".rstrip())
    _show(found, as_json, "\n".join(lines))
