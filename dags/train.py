"""The training DAGs: one per model family, made from the list in chain.py by one factory."""

import pendulum
from airflow.sdk import DAG, AssetAll, PartitionedAssetTimetable
from chain import TRAININGS, Training
from doors import DAY, DEFAULT_ARGUMENTS, FEATURES, MARTS, Door, champion

DOC = """
Trains `{model}`: {question}.

**Runs** when a day's features and marts are ready; a champion younger than seven days is kept and the run ends at once.

The challenger is trained on what was known before the day, measured on later rows it has not seen, and registered in
MLflow. The alias `champion` moves only when it beats the present champion and the simple baseline on the same rows.

**If it fails** the champion stays and scoring goes on with it. Too few labels is not a failure: the run report says
`skipped` and why. Exit 75 means that MLflow or Spark was busy.

**By hand**: `customs models train {model} --as-of 2026-11-20`; its card: `customs models card {model}`
"""


def make_dag(training: Training) -> DAG:
    """Build the training DAG of one model."""
    with DAG(
        dag_id=training.dag_id,
        description=f"Train {training.model}: {training.question}",
        doc_md=DOC.format(model=training.model, question=training.question),
        schedule=PartitionedAssetTimetable(assets=AssetAll(FEATURES, MARTS)),
        start_date=pendulum.datetime(2025, 1, 1, tz="Asia/Shanghai"),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULT_ARGUMENTS,
        tags=["models"],
    ) as dag:
        Door(
            task_id=f"train_{training.model}",
            command=f"models train {training.model}",
            arguments=("--as-of", DAY, "--if-older-than", "7d"),
            pool="spark",
            outlets=[champion(training.model)],
        )
    return dag


for _training in TRAININGS:
    globals()[_training.dag_id] = make_dag(_training)
