"""Batch scoring: champion loaded once, broadcast to the Spark tasks, scores written back to the lake."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from mlflow import MlflowClient

from infra.lake.commit import write_table
from infra.lake.provenance import last_note, note_of, rows_of
from infra.runtime.settings import Settings
from models import registry
from models.declared import DeclaredFeatures

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SCORED_DAYS = 31
# what a model tells beside score and reasons
_MORE = {
    "declaration_risk": ", evidence string",
    "ore_verification": ", waste_score double, outlier_distance double, expected_material string",
}


def score(
    start: Callable[[], "SparkSession"],
    settings: Settings,
    client: MlflowClient,
    features: DeclaredFeatures,
    as_of: date,
    days: int = SCORED_DAYS,
    again: bool = False,
) -> dict[str, Any]:
    """Score one feature set with its champion and replace the scores of the day.

    Scores of the same features, champion and code are left as they are.

    Args:
        start: gives the Spark session; called only when there is something to score.
        settings: where features and scores are.
        client: connected MLflow client.
        features: the model's declared features.
        as_of: built day of the feature set; key of the scores.
        days: declarations of how many days back are scored.
        again: score also what was scored from the same before.

    Returns:
        Report: outcome (``scored``, ``unchanged``, or ``skipped`` with reason), rows, version.
    """
    found = registry.champion(client, features.name)
    if found is None:
        return {"outcome": "skipped", "reason": "no champion yet", "rows": 0}
    path, note = settings.silver(f"scores.{features.name}"), _made_from(settings, features, as_of, found, days)
    if not again and note is not None and note == last_note(path, as_of):
        return {"outcome": "unchanged", "rows": rows_of(path, as_of), "version": found.version}
    spark = start()
    scorer = registry.load_scorer(features.name)
    rows = _asked(spark, settings, features, as_of, found, days)
    columns = list(scorer.columns())
    key = features.key[0]
    schema = f"{key} string, score double, reasons string{_MORE.get(features.name, '')}"
    shared = spark.sparkContext.broadcast(scorer)
    scored: pd.DataFrame = (
        rows.select(key, *[c for c in columns if c != key]).mapInPandas(_explained(shared, key), schema).toPandas()
    )
    shared.unpersist()
    scored = scored.sort_values(["score", key], ascending=[False, True], ignore_index=True)
    scored["score"] = scored["score"].clip(0.0, 1.0)
    scored["score_rank"] = range(1, len(scored) + 1)
    scored["as_of"] = as_of
    scored["model_name"], scored["model_version"] = features.name, found.version
    scored["scored_at"] = datetime.now(UTC)
    table = pa.Table.from_pandas(scored, preserve_index=False) if len(scored) else None
    if table is None:
        return {"outcome": "skipped", "reason": "nothing to score", "rows": 0}
    write_table(f"scores.{features.name}", table, mode="replace", where={"as_of": as_of}, note=note, settings=settings)
    return {"outcome": "scored", "rows": len(scored), "version": found.version}


def _made_from(
    settings: Settings, features: DeclaredFeatures, as_of: date, champion: registry.Champion, days: int
) -> str | None:
    """Return what scores of the day would be made from now; None where the features do not say what they are from."""
    built = last_note(settings.features(features.name), as_of)
    if built is None:
        return None
    return note_of(as_of, Path(__file__).parent, built, champion.version, champion.run_id, str(days))


def _asked(
    spark: "SparkSession",
    settings: Settings,
    features: DeclaredFeatures,
    as_of: date,
    champion: registry.Champion,
    days: int,
) -> "DataFrame":
    """Return the rows a score is wanted for: recent declarations, later wagons, or every enterprise at the day."""
    from pyspark.sql import functions as F

    rows = spark.read.format("delta").load(str(settings.features(features.name)))
    rows = rows.where(F.col("as_of") == F.lit(as_of))
    if source := champion.tags.get("source_system"):
        rows = rows.where(F.col("source_system") == source)
    if features.name == "declaration_risk":
        # never a declaration whose outcome the champion may have learned from
        first = max(as_of - timedelta(days=days - 1), date.fromisoformat(champion.tags["trained_until"]))
        return rows.where(F.col("declared_on") >= F.lit(first))
    if features.name == "ore_verification":
        # every wagon later than what the champion learned from: few enough, and judged by the laboratory afterwards
        return rows.where(F.col("read_on") >= F.lit(date.fromisoformat(champion.tags["trained_until"])))
    rows = rows.where(F.col("snapshot_on") == F.lit(as_of))
    return rows.where(F.col("validation_id").isNull()) if features.name == "aeo_candidate" else rows


def _explained(shared: Any, key: str) -> Callable[[Iterable[pd.DataFrame]], Iterator[pd.DataFrame]]:
    def explain(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            yield pd.concat([batch[[key]], shared.value.explain(batch)], axis=1)

    return explain
