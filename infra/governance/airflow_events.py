"""What people did in Airflow, moved from its own log into the audit log: runs started, cleared, paused; each once.

Airflow writes its log in the same step as the change, in its database, so nothing is lost while this does not run. What
was moved already is read from the audit log itself: an event there names its number here.
"""

import fcntl
from datetime import datetime, timedelta

import sqlalchemy as sa

from infra.governance.accounts import accounts
from infra.runtime import audit
from infra.runtime.settings import Settings

_LOG = sa.table(
    "log",
    sa.column("id", sa.Integer),
    sa.column("dttm", sa.DateTime(timezone=True)),
    *(sa.column(name, sa.String) for name in ("event", "owner", "dag_id", "run_id")),
)
# an entry of an earlier moment may be committed later
_OVERLAP = timedelta(hours=1)
_READING = ("get_", "cli_")


def collect(settings: Settings) -> int | None:
    """Move new entries of people into the audit log; return how many, None when Airflow's database does not answer."""
    engine = sa.create_engine(settings.database_url("airflow"))
    audit.audit_folder(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with engine.connect() as connection, (audit.audit_folder(settings) / ".collect").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = {
                (one.detail["log"], datetime.fromisoformat(one.detail["happened_at"]))
                for one in audit.events(settings)
                if one.event == "airflow.changed"
            }
            entries = _LOG.select().order_by(_LOG.c.dttm, _LOG.c.id)
            if done:
                entries = entries.where(_LOG.c.dttm > max(at for _, at in done) - _OVERLAP)
            people = {account.name for account in accounts(settings)}
            new = [
                row
                for row in connection.execute(entries)
                if (row.id, row.dttm) not in done and row.owner in people and not row.event.startswith(_READING)
            ]
            for row in new:
                detail = {"log": row.id, "what": row.event, "run": row.run_id, "happened_at": row.dttm.isoformat()}
                audit.record("airflow.changed", row.owner, row.dag_id or "airflow", detail, settings=settings)
    except sa.exc.OperationalError:
        return None
    finally:
        engine.dispose()
    return len(new)
