"""Trains the pipeline's model class on given files and scores another one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import Settings
from infra.runtime.spark import spark_session
from models.declaration_risk.model import TUPLE, GatedRiskModel, lookup
from models.metrics import ranking_metrics
from models.source_files import labelled_rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# what no honest model reached on unseen goods; more than this means the test rows leaked into training
LEAK_ALARM = 0.70


def evaluate(
    settings: Settings,
    layout: str,
    train: Sequence[Path],
    test: Sequence[Path],
    spark: "SparkSession | None" = None,
) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Return the figures of merit on the test file, and a warning when they are too good to be true.

    ``all`` measures recurrence (most goods were declared before), ``unseen`` only rows whose goods tuple (HS6, origin,
    dispatch, rate, preference, mass, value) is not in the training files, ``lookup`` the memory-only answer.

    Args:
        settings: platform settings.
        layout: id of the files' layout.
        train: files to train on.
        test: files to score.
        spark: session to train in; by default one is started and stopped.

    Raises:
        BadArgumentsError: unknown layout, wrong files, or training files without both outcomes.
    """
    known, asked = labelled_rows(layout, train), labelled_rows(layout, test)
    known = known[known["is_violation"].notna()].sort_values("declared_on", kind="stable")
    asked = asked[asked["is_violation"].notna()]
    label, truth = known["is_violation"].astype(int).to_numpy(), asked["is_violation"].astype(int).to_numpy()
    if len(set(label)) < 2:
        raise BadArgumentsError("The training files need declarations with and without a violation: give more files.")
    columns = list(TUPLE)
    session = spark or spark_session("customs models evaluate", settings)
    try:
        model = GatedRiskModel().fit(session, known[columns], label)
    finally:
        if spark is None:
            session.stop()
    score = model.predict(asked[columns])
    recalled, seen = lookup(known[columns], label, asked[columns])
    unseen = np.flatnonzero(~seen)
    figures = {
        "all": ranking_metrics(truth, score),
        "unseen": ranking_metrics(truth[unseen], score[unseen]),
        "lookup": ranking_metrics(truth, recalled),
    }
    auc = figures["unseen"]["auc"]
    if auc is not None and auc > LEAK_ALARM:
        return figures, f"AUC {auc:.3f} on unseen goods is above {LEAK_ALARM:.2f}: look for a leak."
    return figures, None
