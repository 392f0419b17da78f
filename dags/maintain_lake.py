"""Looks after the lake once a week: joins small files, writes checkpoints, removes files and features no longer needed.

**Runs** Sundays at 03:00 (Asia/Shanghai), and by hand at any time.

**If it fails** nothing is lost: maintenance only rewrites what is there, in commits of its own. Exit 75 means that a
table was being written; Airflow tries again.

**By hand**: `customs lake maintain`
"""

from airflow.sdk import DAG, CronTriggerTimetable
from doors import DEFAULT_ARGUMENTS, Door

with DAG(
    dag_id="maintain_lake",
    description="Compact, checkpoint and vacuum the Delta tables",
    doc_md=__doc__,
    # no start_date: with one, unpausing would start last Sunday's run at once
    schedule=CronTriggerTimetable("0 3 * * 0", timezone="Asia/Shanghai"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGUMENTS,
    tags=["lake"],
) as dag:
    Door(task_id="maintain_lake", command="lake maintain", pool="duckdb")
