"""Airflow's side of what one DAG tells the next: events of assets are written one after another."""

from typing import Any

from airflow.assets.manager import AssetManager
from sqlalchemy import func, select
from sqlalchemy.orm import Session

# any number will do that is not one of Airflow's own advisory locks (its DBLocks)
EVENTS = 20251122


class OneEventAtATime(AssetManager):
    """Airflow's asset manager, one transaction at a time.

    Two tasks that end together and feed the same DAG each found no pending run of the day and made one; each run then
    waited for the other's event, and the DAG never ran (apache/airflow issue 71070: the lock there is on the asset, and
    theirs are two). This lock is held until the events are committed, so the second finds the run of the first.
    """

    @classmethod
    def register_asset_change(cls, *, session: Session, **event: Any) -> Any:
        """Write an event and the runs that wait for it; arguments and result are Airflow's own."""
        session.execute(select(func.pg_advisory_xact_lock(EVENTS)))
        return super().register_asset_change(session=session, **event)
