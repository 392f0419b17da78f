"""The tables that `customs up` ends with and `customs status` repeats."""

from typing import Any

from rich.console import Console
from rich.table import Table

from infra.runtime.secrets import ACCOUNTS, Secrets
from infra.runtime.settings import Settings
from infra.services.status import collect


def headline(metrics: dict[str, float]) -> str:
    """Return what a model is judged by, beside the baseline it has to beat."""
    if metrics.get("auc") is None:
        return "–"
    baseline = metrics.get("baseline_auc")
    return f"AUC {metrics['auc']:.3f}" + (f" (baseline {baseline:.3f})" if baseline is not None else "")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def print_status(settings: Settings, told: dict[str, Any], console: Console) -> None:
    """Print services, feeds, datasets, models, dashboards and addresses."""
    states = ", ".join(f"{name} {state}" for name, state in told["services"].items())
    console.print(f"[bold]Services[/bold]  {states}", soft_wrap=True)
    console.print()
    table = _table("Feed", "rows in", "good", "quarantined")
    for feed, figures in told["feeds"].items():
        table.add_row(feed, *(f"{figures[name]:,}" for name in ("rows_in", "good", "quarantined")))
    console.print(table)
    figures = told["datasets"]
    console.print(
        f"\n[bold]Datasets[/bold]  {figures['built']} built; tests: {figures['tests_passed']} passed, "
        f"{figures['tests_failed']} failed\n"
    )
    table = _table("Model", "version", "alias", "measure")
    for name, model in told["models"].items():
        table.add_row(name, str(model["version"]), model["alias"] or "–", headline(model["metrics"]))
    console.print(table)
    console.print("\n[bold]Dashboards[/bold]")
    for title in told["dashboards"] or ["none published yet"]:
        console.print(f"  {title}", markup=False)
    console.print("\n[bold]Addresses[/bold]")
    width = max(len(name) for name in told["urls"])
    for name, url in told["urls"].items():
        console.print(f"  {name.replace('_', ' '):<{width}}  {url}", soft_wrap=True)
    console.print(f"  {'logins':<{width}}  {settings.secrets_file} (readable by you only)", soft_wrap=True)


def print_end(settings: Settings, secrets: Secrets, fresh: bool, elapsed: str) -> None:
    """Print the end of `customs up`: what there is now, where, and what to look at first."""
    console = Console()
    console.print(f"\n[bold]Smart Customs is ready ({elapsed})[/bold]\n")
    print_status(settings, collect(settings), console)
    if fresh:
        console.print("\n[bold]Logins[/bold] (shown this once)")
        for account, use in ACCOUNTS.items():
            console.print(f"  {account:<8} {secrets.passwords[account]:<18} {use}", markup=False, soft_wrap=True)
    console.print(
        "\nNext:  dashboards as manager  ·  customs lake query \"select …\"  ·  customs status  ·  customs down",
        markup=False, soft_wrap=True,
    )  # fmt: skip
