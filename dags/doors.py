"""How every DAG here calls the platform: one operator, one default, the names of assets and pools.

A task is a `customs` command with arguments, so whatever runs in Airflow can be run by hand with the same words.
Its exit code decides what a failure means: 75 is worth a retry, 2 (arguments) and 3 (data failed its contract) are not.
"""

import os
import shlex
import sys
from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException

TRY_AGAIN = 75
MEANING = {
    1: "the platform failed (a bug or a broken installation): read the log above",
    2: "the command was called with wrong arguments or settings",
    3: "data failed its contract: see the quarantine and the quality report; a retry gives the same answer",
    TRY_AGAIN: "a resource was busy or not up yet: trying again",
}
DAY = "{{ dag_run.partition_key }}"
DEFAULT_ARGUMENTS = {
    "owner": "data platform",
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "execution_timeout": timedelta(hours=6),
}


class Door(BashOperator):
    """Runs one `customs` command; the exit code decides between done, try again, and stop."""

    def __init__(self, *, command: str, arguments: tuple[str, ...] = (), **settings) -> None:
        super().__init__(
            bash_command="customs " + " ".join([command, *(_quoted(a) for a in arguments)]), append_env=True, **settings
        )

    def _run_inline_command(self, bash_path: str, env: dict):
        # the platform lives in Airflow's own environment; its folder need not be on the worker's PATH
        env = {**env, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"}
        result = super()._run_inline_command(bash_path, env)
        if result.exit_code == 0:
            return result
        said = f"`{self.bash_command}` ended with {result.exit_code}: {MEANING.get(result.exit_code, MEANING[1])}."
        raise (AirflowException if result.exit_code == TRY_AGAIN else AirflowFailException)(said)


def _quoted(argument: str) -> str:
    # a template is quoted whole: shlex would wrap its braces, Jinja fills it before the shell reads the line
    return f"'{argument}'" if "{{" in argument else shlex.quote(argument)


def table(contract_id: str) -> Asset:
    """Return the asset of a silver table; its name is the contract id."""
    return Asset(name=contract_id, uri=f"x-customs://silver/{contract_id}")


MARTS = Asset(name="datasets.marts", uri="x-customs://datasets/marts")
FEATURES = Asset(name="datasets.features", uri="x-customs://datasets/features")


def champion(model: str) -> Asset:
    """Return the asset of a registered model's champion."""
    return Asset(name=f"models.{model}", uri=f"x-customs://models/{model}")
