"""Scores declarations, enterprises and wagons of minerals with the champions and writes the scores back to Delta.

**Runs** when the training DAGs have finished a business day (trained, kept, or skipped for want of labels).

**Writes** `scores.declaration_risk`, `scores.enterprise_risk`, `scores.aeo_candidate`, `scores.ore_verification`, one
partition per as-of day, replaced as a whole, with the model version that gave each score; left as it is while neither
features nor champion nor code changed. A model without a champion is left out and reported.

**If it fails** dashboards keep the last scores. Exit 75: MLflow or Spark was busy.

**By hand**: `customs models score --as-of 2026-11-20`
"""

import pendulum
from airflow.sdk import DAG, AssetAll, PartitionedAssetTimetable
from chain import TRAININGS
from doors import DAY, DEFAULT_ARGUMENTS, Door, champion, table

with DAG(
    dag_id="score",
    description="Score declarations, enterprises and wagons with the champions",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=AssetAll(*(champion(t.model) for t in TRAININGS))),
    start_date=pendulum.datetime(2025, 1, 1, tz="Asia/Shanghai"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGUMENTS,
    tags=["models"],
) as dag:
    Door(
        task_id="score",
        command="models score",
        arguments=("--as-of", DAY),
        pool="spark",
        pool_slots=2,
        outlets=[table(f"scores.{t.model}") for t in TRAININGS],
    )
