"""Trains of the rail chain as an analyst may see them: read from the analysts' file, by the door all readers use."""

from datetime import date
from typing import Any

from infra.lake import serving
from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import Settings

ROLE = "analyst"
_LISTED = """
    SELECT train_id, pass_id, train_no, station, goods_kind, arrived_at, departed_inland_at, transmission_lead_hours,
           port_stay_hours, wagon_count, abnormal_wagons, alert_count, is_manifest_late, is_stay_over_target,
           overdue_consignments, count(*) OVER () AS trains_found
    FROM fct_rail_train
    WHERE ($station IS NULL OR station = $station)
      AND business_date >= coalesce($first, DATE '0001-01-01') AND business_date <= coalesce($last, DATE '9999-12-31')
      AND (NOT $abnormal OR alert_count > 0)
    ORDER BY arrived_at DESC, train_id LIMIT $most"""
# everything about one train in one statement: one read, one event in the audit log
_SHOWN = """
    WITH train AS (FROM fct_rail_train WHERE train_id = $train OR pass_id = $train)
    SELECT train,
      (SELECT list(one ORDER BY step_no) FROM (
          SELECT step_no, any_value(step) AS step, min(reached_at) AS first_at, max(reached_at) AS last_at,
                 count(*) AS consignments
          FROM fct_rail_milestone AS m WHERE m.train_id = train.train_id GROUP BY step_no) AS one) AS milestones,
      (SELECT list(one ORDER BY waybill_no) FROM (
          SELECT waybill_no, note_kind, wagon_count, wagons_seen, lane, decision, is_two_step, declaration_no,
                 last_step, port_stay_hours
          FROM fct_rail_consignment AS c WHERE c.train_id = train.train_id) AS one) AS consignments,
      (SELECT list(one ORDER BY position) FROM (
          SELECT position, wagon_no, wagon_kind, is_number_valid, container_no, waybill_no, is_on_manifest,
                 declared_mass_kg, weighed_mass_kg, mass_deviation, is_abnormal, findings
          FROM fct_rail_wagon AS w WHERE w.train_id = train.train_id) AS one) AS wagons,
      (SELECT list(one ORDER BY severity DESC, title, subject_id) FROM (
          SELECT severity, title, subject_kind, subject_id, measured, rule_basis, is_recalled
          FROM (FROM fct_rail_alert UNION ALL BY NAME FROM fct_special_goods_alert) AS a
          WHERE a.train_id = train.train_id) AS one) AS alerts,
      (SELECT list(one ORDER BY deadline_on, subject_id) FROM (
          SELECT limit_kind, subject_id, waybill_no, deadline_on, fulfilled_on, limit_state, days_left, late_days,
                 late_fee_amount
          FROM fct_time_limit AS l WHERE l.train_id = train.train_id) AS one) AS time_limits
    FROM train"""
_NEAREST = "SELECT train_id FROM fct_rail_train ORDER BY levenshtein(train_id, $train), train_id DESC LIMIT 3"
_STATIONS = "SELECT DISTINCT station FROM fct_rail_train ORDER BY station"


def trains(
    station: str | None = None,
    first: date | None = None,
    last: date | None = None,
    abnormal: bool = False,
    limit: int = 20,
    settings: Settings | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """Return the newest trains and how many there are.

    Args:
        station: border station by name; None for all.
        first: first business day of arrival.
        last: last business day of arrival.
        abnormal: only trains with an alert.
        limit: trains returned at most.
        settings: platform settings.

    Returns:
        Trains, newest first, and how many match without the limit.

    Raises:
        BadArgumentsError: no such station, or no file for analysts was published.
    """
    values = {"station": station, "first": first, "last": last, "abnormal": abnormal, "most": limit}
    names, rows = serving.query(ROLE, _LISTED, limit, settings, values)
    if not rows and station is not None:
        known = [name for (name,) in serving.query(ROLE, _STATIONS, 100, settings)[1]]
        if station not in known:
            raise BadArgumentsError(f"There is no station '{station}' in the data: use {', '.join(known) or 'none'}.")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    total = found[0]["trains_found"] if found else 0
    return [{name: value for name, value in train.items() if name != "trains_found"} for train in found], total


def train(name: str, settings: Settings | None = None) -> dict[str, Any]:
    """Return everything about one train.

    Args:
        name: the train as its manifest names it (``20260429-75001``), or its pass through the gate.
        settings: platform settings.

    Returns:
        The columns of ``fct_rail_train``, and ``milestones`` (M0 to M16 with ``hours_since_previous`` between their
        first instants), ``consignments``, ``wagons``, ``alerts`` and ``time_limits``.

    Raises:
        BadArgumentsError: no such train; names the nearest ones.
    """
    names, rows = serving.query(ROLE, _SHOWN, 1, settings, {"train": name})
    if not rows:
        nearest = [train_id for (train_id,) in serving.query(ROLE, _NEAREST, 3, settings, {"train": name})[1]]
        hint = f"did you mean {', '.join(nearest)}?" if nearest else "no train has arrived yet."
        raise BadArgumentsError(f"There is no train '{name}': {hint} `customs chain list` names the newest.")
    found = dict(zip(names, rows[0], strict=True))
    shown = {**found.pop("train"), **{part: rows_of or [] for part, rows_of in found.items()}}
    # grain and special packages raise their alerts apart from the chain's own
    wagons = {f"{shown['train_id']}/{wagon['position']}": wagon for wagon in shown["wagons"]}
    for alert in shown["alerts"]:
        wagon = wagons.get(alert["subject_id"])
        if wagon is not None and alert["title"] not in (wagon["findings"] or ""):
            wagon["findings"] = "; ".join(filter(None, (wagon["findings"], alert["title"])))
            wagon["is_abnormal"] = True
    previous = None
    for milestone in shown["milestones"]:
        at = milestone["first_at"]
        milestone["hours_since_previous"] = None if previous is None else (at - previous).total_seconds() / 3600
        previous = at
    return shown
