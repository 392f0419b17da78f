"""The ingestion DAGs: one per domain, made from the list in chain.py by one factory."""

from datetime import timedelta

from airflow.sdk import DAG, CronPartitionTimetable, Param
from chain import INGESTIONS, Ingestion
from doors import DAY, DEFAULT_ARGUMENTS, Door, table

DOC = """
Takes {what} from landing into Delta silver tables.

**Runs** daily at 06:10 (Asia/Shanghai) for the day before; the partition key is that business day.
A run with `from_day` takes a range of days (history, or files that came late).

**Reads** `landing/<feed>/<day>/` for {feeds}. **Writes** {contracts}, the quarantine beside each, and the
sealed raw zone.{messages}

**If it fails**
- exit 3: a file was refused (empty, truncated, wrong encoding, unknown columns). `customs lake status` names it and the
  remedy; put the corrected file into the same folder and run the day again: what has landed is not taken twice.
- exit 75: another ingestion of the feed is running; Airflow tries again.
- many rows in quarantine: `customs lake quarantine {first}` groups them by rule.

**By hand**: `customs lake ingest {feed_words} --from 2026-11-01 --to 2026-11-20`

**Backfill** of the days up to and including the 20th, which is safe to repeat:
`AIRFLOW_HOME=var/airflow .venv/bin/airflow backfill create --dag-id ingest_{domain} --from-date 2026-11-01
--to-date 2026-11-20T23:59 --reprocess-behavior completed`. A bare `--to-date` means the midnight the day begins with
and leaves that day out; without `--reprocess-behavior`, days that have a run are left out; `--dry-run` lists the days.
"""


MESSAGES = """
Then `customs share send` writes what is new to the outboxes of railways, ports and enterprises, each its own rows."""


def make_dag(ingestion: Ingestion) -> DAG:
    """Build the ingestion DAG of one domain."""
    with DAG(
        dag_id=f"ingest_{ingestion.domain}",
        description=f"Landing to silver: {ingestion.what}",
        doc_md=DOC.format(
            what=ingestion.what,
            feeds=", ".join(f"`{f}`" for f in ingestion.feeds),
            contracts=", ".join(f"`{c}`" for c in ingestion.contracts),
            first=ingestion.feeds[0],
            feed_words=" ".join(ingestion.feeds),
            domain=ingestion.domain,
            messages=MESSAGES if ingestion.messages else "",
        ),
        # unpausing must start nothing: the latest day would run before the history that `customs up` brings. So there
        # is no start_date, and no first run however short ago 06:10 was (False would mean: within 10 % of a day)
        schedule=CronPartitionTimetable(
            "10 6 * * *", timezone="Asia/Shanghai", run_offset=-1, key_format="%Y-%m-%d", run_immediately=timedelta(0)
        ),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULT_ARGUMENTS,
        params={
            "from_day": Param(
                None, type=["null", "string"], format="date", description="First landing day; default the run's own"
            )
        },
        tags=["ingest", ingestion.domain],
    ) as dag:
        land = Door(
            task_id=f"ingest_{ingestion.domain}",
            command="lake ingest",
            arguments=(*ingestion.feeds, "--from", "{{ params.from_day or dag_run.partition_key }}", "--to", DAY),
            pool=f"lake_{ingestion.domain}",
            outlets=[table(contract) for contract in ingestion.contracts],
        )
        if ingestion.messages:
            land >> Door(task_id="send_messages", command="share send", pool="lake_governance")
        if ingestion.reference:
            Door(task_id="load_reference", command="lake reference", pool="lake_reference") >> land
    return dag


for _ingestion in INGESTIONS:
    globals()[f"ingest_{_ingestion.domain}"] = make_dag(_ingestion)
