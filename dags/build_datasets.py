"""Turns a day's silver tables into business datasets and model features, behind two quality gates.

**Runs** when all five ingestion DAGs have finished a business day (the partition key is that day).

**Tasks** `gate_silver` measures volume, freshness, keys and references of the silver tables and publishes the quality
report; `build_marts` runs dbt up to the marts with their tests; `build_features` computes model features with Spark as
of the day; `gate_marts` checks the finished marts.

**If it fails**
- `gate_silver` or `gate_marts` with exit 3: open the quality report (`customs status` has the address); the expectation
  that failed names table, measure and bound. Nothing downstream runs, dashboards keep yesterday's figures.
- `build_marts` with exit 3: a dbt test failed; the log names it. `customs datasets build --select marts` repeats it.
- `build_features` with exit 75: the Spark slot or the lake was busy; Airflow tries again.

**By hand**: `customs quality gate silver --as-of 2026-11-20`, `customs datasets build --select marts`,
`customs features build --as-of 2026-11-20`
"""

import pendulum
from airflow.sdk import DAG, AssetAll, PartitionedAssetTimetable
from chain import INGESTIONS
from doors import DAY, DEFAULT_ARGUMENTS, FEATURES, MARTS, Door, table

with DAG(
    dag_id="build_datasets",
    description="Silver to marts and features, behind quality gates",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(
        assets=AssetAll(*(table(contract) for ingestion in INGESTIONS for contract in ingestion.contracts))
    ),
    start_date=pendulum.datetime(2025, 1, 1, tz="Asia/Shanghai"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGUMENTS,
    tags=["datasets"],
) as dag:
    gate_silver = Door(task_id="gate_silver", command="quality gate silver", arguments=("--as-of", DAY), pool="duckdb")
    build_marts = Door(task_id="build_marts", command="datasets build", arguments=("--select", "marts"), pool="duckdb")
    build_features = Door(
        task_id="build_features",
        command="features build",
        arguments=("--as-of", DAY),
        pool="spark",
        pool_slots=2,
        outlets=[FEATURES],
    )
    gate_marts = Door(
        task_id="gate_marts",
        command="quality gate marts",
        arguments=("--as-of", DAY),
        pool="duckdb",
        outlets=[MARTS],
    )
    gate_silver >> build_marts >> gate_marts
    gate_silver >> build_features
