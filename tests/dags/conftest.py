"""Airflow reads its configuration when first imported: give it a folder of its own before that."""

import os
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# removed when the test process ends
_FOLDER = tempfile.TemporaryDirectory(prefix="airflow-", ignore_cleanup_errors=True)
HOME = Path(_FOLDER.name)
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(REPOSITORY / "dags"),
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{HOME}/airflow.db",
)
