"""Keeps promises about shared data and the audit log: what has expired is removed, the log is verified.

**Runs** daily at 05:30 (Asia/Shanghai), and by hand at any time.

**Tasks** `expire_shares` removes the files of shares whose time is over; `anchor_audit` verifies the audit log and
writes its daily heads to the lake for the *Data stewardship* page.

**If it fails**
- `anchor_audit` with exit 3: the audit log is not what was written. Keep its folder as it is; `customs audit verify`
  names every place, and the copy of the anchors kept elsewhere decides.
- exit 75: a table was being written; Airflow tries again.

**By hand**: `customs share expire`, `customs audit anchor`
"""

from airflow.sdk import DAG, CronTriggerTimetable
from doors import DEFAULT_ARGUMENTS, Door

with DAG(
    dag_id="keep_governance",
    description="Remove expired shares, verify the audit log",
    doc_md=__doc__,
    # no start_date: with one, unpausing would start today's run at once
    schedule=CronTriggerTimetable("30 5 * * *", timezone="Asia/Shanghai"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGUMENTS,
    tags=["governance"],
) as dag:
    Door(task_id="expire_shares", command="share expire", pool="lake_governance")
    Door(task_id="anchor_audit", command="audit anchor", pool="lake_governance")
