"""`customs serving`: publish one read-only file per role, and query it as the role would."""

import json
import sys
from typing import Annotated

import typer

from infra.runtime.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Publish one read-only file per role.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _print(value: object) -> None:
    sys.stdout.write(f"{value}\n")


@app.command(epilog="Examples:  customs serving publish  ·  customs serving publish --role manager --json")
def publish(
    role: Annotated[str | None, typer.Option(help="One role; default all roles the datasets name.")] = None,
    as_json: Json = False,
) -> None:
    """Build serving/<role>.duckdb through the policy, verify it, and put it in place of the old one."""
    from infra.lake.datasets import datasets
    from infra.lake.serving import publish as publish_role
    from infra.lake.serving import role_file, roles_served
    from infra.runtime.report import RunReport

    settings = get_settings()
    with RunReport("serving publish", settings) as report:
        report.figures["roles"] = {}
        for name in [role] if role else roles_served(datasets(settings).values()):
            tables = publish_role(name, settings, _say)
            report.figures["roles"][name] = {
                "tables": len(tables),
                "rows": sum(t.rows for t in tables),
                "megabytes": round(role_file(name, settings).stat().st_size / 1e6, 1),
                "columns_absent": {t.dataset: list(t.absent) for t in tables if t.absent},
            }
    if as_json:
        _print(json.dumps(report.figures))
        return
    for name, figures in report.figures["roles"].items():
        _print(
            f"{role_file(name, settings)}: {figures['tables']} tables, {figures['rows']:,} rows, "
            f"{figures['megabytes']} MB"
        )


@app.command(
    epilog='Examples:  customs serving query --role analyst "FROM fct_declaration LIMIT 5"  ·'
    '  customs serving query --role manager "SHOW TABLES"'
)
def query(
    sql: Annotated[str, typer.Argument(help="One SQL statement; tables are those of schema mart.")],
    role: Annotated[str, typer.Option(help="Whose file: manager, analyst or steward.")],
    limit: Annotated[int, typer.Option(help="Rows printed at most.")] = 100,
    as_json: Json = False,
) -> None:
    """Run SQL on a role's file, opened as the role's own connection opens it."""
    from infra.lake.serving import query as query_role

    names, rows = query_role(role, sql, limit, get_settings())
    if as_json:
        _print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=str))
        return
    cells = [[("" if value is None else str(value)) for value in row] for row in rows]
    widths = [
        max(len(name), *(len(row[i]) for row in cells), 0) if cells else len(name) for i, name in enumerate(names)
    ]
    for line in [names, ["-" * width for width in widths], *cells]:
        _print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
