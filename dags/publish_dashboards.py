"""Publishes the day: serving datasets, one read-only file per role, and the Superset dashboards.

**Runs** when the day's scores are written.

**Tasks** `refresh_governance` writes what the steward's page shows to the lake: audit heads, share requests, live
tables against their contracts, samples of rows set aside; `build_serving` builds the serving datasets with dbt;
`publish_roles` writes one file per role with only what the policy lets that role see, verifies it and swaps it in;
`publish_dashboards` imports the dashboards, asks Superset for each of them and runs every chart once.

**If it fails** the role files and dashboards of the day before stay in place; a half-built file is never shown.
`customs dashboards check` finds a chart whose column is gone, without a server.

**By hand**: `customs governance refresh`, `customs datasets build --select serving`, `customs serving publish`,
`customs dashboards publish`
"""

import pendulum
from airflow.sdk import DAG, AssetAll, PartitionedAssetTimetable
from chain import TRAININGS
from doors import DEFAULT_ARGUMENTS, Door, table

with DAG(
    dag_id="publish_dashboards",
    description="Serving datasets, role files and dashboards",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=AssetAll(*(table(f"scores.{t.model}") for t in TRAININGS))),
    start_date=pendulum.datetime(2025, 1, 1, tz="Asia/Shanghai"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGUMENTS,
    tags=["dashboards"],
) as dag:
    refresh_governance = Door(task_id="refresh_governance", command="governance refresh", pool="lake_governance")
    build_serving = Door(
        task_id="build_serving", command="datasets build", arguments=("--select", "serving"), pool="duckdb"
    )
    publish_roles = Door(task_id="publish_roles", command="serving publish", pool="duckdb")
    publish = Door(task_id="publish_dashboards", command="dashboards publish", pool="superset")
    refresh_governance >> build_serving >> publish_roles >> publish
