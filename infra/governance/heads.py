"""The audit heads as rows of the lake, where the steward's page shows them beside the verdict."""

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

from infra.runtime import audit
from infra.runtime.settings import Settings, get_settings

AUDIT_HEAD = "governance.audit_head"


def publish_heads(settings: Settings | None = None) -> dict[str, Any]:
    """Verify the log and write one row per day to ``governance.audit_head``; return the verdict and the days written.

    What people did in Airflow is moved into the log first.

    Rows of earlier runs are replaced day by day; a day whose events are gone keeps the row it had, marked not sound.
    """
    import pyarrow as pa

    from data_contracts import load_contract
    from data_contracts.emit.delta import arrow_schema
    from infra.governance.airflow_events import collect
    from infra.lake.commit import write_table

    settings = settings or get_settings()
    collect(settings)
    verdict = audit.verify(settings)
    by_file: dict[str, str] = {}
    for found in verdict.findings:
        by_file.setdefault(found.file, found.sentence)
    counts: Counter[str] = Counter()
    last: dict[str, audit.Event] = {}
    for event in audit.events(settings):
        day = event.at[:10]
        counts[day] += 1
        last[day] = event
    now = datetime.now(UTC)
    rows = []
    for day, event in last.items():
        finding = by_file.get(f"{day}.jsonl")
        rows.append(_row(day, counts[day], event.sequence, event.hash, finding, now))
    for head in audit.heads(settings):
        if head["day"] and head["day"] not in last:
            finding = f"The events of {head['day']} are gone; its anchored head is {head['hash']}."
            last[head["day"]] = audit.Event(head["sequence"], "", "", "", "", {}, "", head["hash"])
            rows.append(_row(head["day"], 0, head["sequence"], head["hash"], finding, now))
    if rows:
        schema = arrow_schema(load_contract(AUDIT_HEAD)).remove_metadata()
        write_table(AUDIT_HEAD, pa.Table.from_pylist(rows, schema=schema), mode="merge", settings=settings)
    return {
        "audit": verdict.reason,
        "events": verdict.events,
        "days": len(rows),
        "head": verdict.head,
        "findings": [vars(found) for found in verdict.findings],
    }


def _row(day: str, count: int, sequence: int, head: str, finding: str | None, now: datetime) -> dict[str, Any]:
    return {
        "audit_day": date.fromisoformat(day),
        "event_count": count,
        "last_sequence": sequence,
        "head_hash": head,
        "is_sound": finding is None,
        "finding": finding,
        "verified_at": now,
    }
