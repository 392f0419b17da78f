"""`customs chain`: the trains of the rail chain, and everything about one of them, as an analyst may see it."""

import json
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from infra.runtime.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Trains over the land border: list them, follow one from the manifest to its last release.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Day = datetime | None


@app.command(
    "list",
    epilog="Examples:  customs chain list  ·  customs chain list --station Khorgos --abnormal  ·  "
    "customs chain list --from 2026-11-01 --to 2026-11-20 --json",
)
def list_(
    station: Annotated[str | None, typer.Option(help="Border station by name, for example Khorgos.")] = None,
    first: Annotated[Day, typer.Option("--from", formats=["%Y-%m-%d"], help="First day of arrival.")] = None,
    last: Annotated[Day, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day of arrival.")] = None,
    abnormal: Annotated[bool, typer.Option("--abnormal", help="Only trains a rule raised an alert on.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List trains that arrived, newest first: pass, number, station, times, wagons, what is abnormal or late."""
    from infra.lake.chain import trains

    found, total = trains(
        station, first.date() if first else None, last.date() if last else None, abnormal, limit, get_settings()
    )
    if as_json:
        _print(json.dumps(found, indent=1, default=_plain))
        return
    columns = ("train", "pass", "number", "station", "goods", "arrived (UTC)", "left", "lead h", "stay h", "wagons")
    _table(
        (*columns, "abnormal", "alerts", "late"),
        (
            (
                one["train_id"], one["pass_id"], one["train_no"], one["station"], one["goods_kind"],
                _at(one["arrived_at"]), _at(one["departed_inland_at"]), _hours(one["transmission_lead_hours"]),
                _hours(one["port_stay_hours"]), one["wagon_count"], one["abnormal_wagons"] or "",
                one["alert_count"] or "", _late(one),
            )
            for one in found
        ),
    )  # fmt: skip
    more = f"; --limit {total} shows all" if total > len(found) else ""
    _print(f"{len(found)} of {total} trains{more}. One of them: customs chain show <train>")


@app.command(
    epilog="Examples:  customs chain show 20260429-75001  ·  customs chain show 20260430091500 --wagons  ·  "
    "customs chain show 20260429-75001 --json"
)
def show(
    train: Annotated[str, typer.Argument(help="Train as its manifest names it, or its pass through the gate.")],
    wagons: Annotated[bool, typer.Option("--wagons", help="Every wagon, not only the abnormal ones.")] = False,
    as_json: Json = False,
) -> None:
    """Follow one train: milestones with the hours between, abnormal wagons and why, declarations and time limits."""
    from infra.lake.chain import train as read_train

    one = read_train(train, get_settings())
    if as_json:
        _print(json.dumps(one, indent=1, default=_plain))
        return
    late = _late(one)
    _print(
        f"Train {one['train_id']}, number {one['train_no']}, pass {one['pass_id']}: {one['goods_kind']} from "
        f"{one['dispatch_country']} at {one['station']}, {one['wagon_count']} wagons, "
        f"{one['consignment_count']} consignments" + (f"; late: {late}" if late else "")
    )
    _table(
        ("milestone", "", "first (UTC)", "last (UTC)", "consignments", "hours since previous"),
        (
            (
                f"M{m['step_no']}", m["step"], _at(m["first_at"]),
                _at(m["last_at"]) if m["last_at"] != m["first_at"] else "",
                f"{m['consignments']} of {one['consignment_count']}", _hours(m["hours_since_previous"], ".2f"),
            )
            for m in one["milestones"]
        ),
        "Milestones",
    )  # fmt: skip
    listed = [w for w in one["wagons"] if wagons or w["is_abnormal"]]
    _table(
        ("position", "wagon", "kind", "container", "note", "stated kg", "weighed kg", "what does not fit"),
        (
            (
                w["position"], w["wagon_no"] or "unread", w["wagon_kind"], w["container_no"], w["waybill_no"],
                w["declared_mass_kg"], w["weighed_mass_kg"], w["findings"],
            )
            for w in listed
        ),
        f"Wagons, all {len(listed)}" if wagons else f"Abnormal wagons, {len(listed)} of {len(one['wagons'])}",
    )  # fmt: skip
    _table(
        ("severity", "alert", "about", "measured", "basis"),
        (
            (
                a["severity"], a["title"], a["subject_id"], _hours(a["measured"], ".3g"),
                (a["rule_basis"] or "") + (" (to be confirmed)" if a["is_recalled"] else ""),
            )
            for a in one["alerts"]
        ),
        f"Alerts, {len(one['alerts'])}",
    )  # fmt: skip
    _table(
        ("note", "lane", "decision", "declared", "declaration", "last step", "stay h"),
        (
            (
                c["waybill_no"], c["lane"], c["decision"], "in two steps" if c["is_two_step"] else "in one step",
                c["declaration_no"], c["last_step"], _hours(c["port_stay_hours"]),
            )
            for c in one["consignments"]
        ),
        f"Consignments, {len(one['consignments'])}",
    )  # fmt: skip
    _table(
        ("limit", "about", "ends on", "met on", "state", "days late", "late fee"),
        (
            (
                limit["limit_kind"], limit["subject_id"], limit["deadline_on"], limit["fulfilled_on"],
                limit["limit_state"], limit["late_days"] or "", limit["late_fee_amount"] or "",
            )
            for limit in one["time_limits"]
        ),
        f"Time limits, {len(one['time_limits'])}",
    )  # fmt: skip


def _late(one: dict[str, Any]) -> str:
    marks = {
        "manifest": one["is_manifest_late"],
        "port stay": one["is_stay_over_target"],
        "complete declaration": one["overdue_consignments"],
    }
    return ", ".join(name for name, is_late in marks.items() if is_late)


def _at(value: datetime | None) -> str:
    return "" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _hours(value: float | None, form: str = ".1f") -> str:
    return "" if value is None else format(value, form)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return float(value)  # decimals


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _table(names: tuple[str, ...], rows: Iterable[tuple[Any, ...]], title: str | None = None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if title:
        _print(f"\n{title}")
    table = Table(*names, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    if table.row_count:
        (Console() if sys.stdout.isatty() else Console(width=240)).print(table)
