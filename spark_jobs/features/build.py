"""Builds feature sets in one Spark session and replaces their ``as_of`` partition."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from infra.lake.commit import table_locks
from infra.lake.provenance import COMMIT_NOTE, rows_of
from infra.runtime.settings import Settings
from spark_jobs.features import FEATURE_SETS, aeo_candidate, declaration_risk, enterprise_risk, ore_verification
from spark_jobs.features.enterprise_state import describe
from spark_jobs.features.past import lay_together
from spark_jobs.features.provenance import provenance

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WAIT_SECONDS = 600


def build_features(
    spark: "SparkSession", settings: Settings, as_of: date, only: Sequence[str] = FEATURE_SETS
) -> dict[str, int]:
    """Build feature sets as of a day and write them to ``settings.features(name)``.

    The same day built twice replaces its own partition: a retry changes nothing.

    Args:
        spark: running session, shared by all sets.
        settings: where the lake is.
        as_of: day the features look from.
        only: names of the sets to write.

    Returns:
        Rows written per set.
    """
    # what is read, said before it is read: what lands meanwhile is then news for the next build
    note = provenance(settings, as_of)
    made: dict[str, DataFrame] = {}
    if "ore_verification" in only:
        made["ore_verification"] = ore_verification.build(spark, settings, as_of)
    if set(only) <= set(made):
        return {name: _replace(settings, name, as_of, rows, note) for name, rows in made.items()}
    declarations = declaration_risk.build(spark, settings, as_of).localCheckpoint()
    if "declaration_risk" in only:
        made["declaration_risk"] = declarations
    points = {}
    if "enterprise_risk" in only:
        points["enterprise_risk"] = enterprise_risk.points(spark, settings, as_of, declarations)
    if "aeo_candidate" in only:
        points["aeo_candidate"] = aeo_candidate.points(spark, settings, as_of)
    if points:
        # both sets ask the same questions about enterprises, at different days: answered in one pass
        asked = lay_together(
            *[p.withColumn("feature_set", F.lit(name)) for name, p in points.items()]
        ).localCheckpoint()
        if asked.isEmpty():
            # a source that tells of no enterprises: Spark then sees that there is nothing to sum up and does not begin
            asked = spark.createDataFrame([], asked.schema)
        described = describe(spark, settings, as_of, declarations, asked).localCheckpoint()
        for name, columns in points.items():
            own = described.where(F.col("feature_set") == name)
            foreign = [c for p in points.values() for c in p.columns if c not in columns.columns]
            own = own.drop("feature_set", *foreign)
            made[name] = enterprise_risk.build(own, as_of) if name == "enterprise_risk" else aeo_candidate.build(own)
    return {name: _replace(settings, name, as_of, made[name], note) for name in FEATURE_SETS if name in made}


def _replace(settings: Settings, name: str, as_of: date, rows: DataFrame, note: str) -> int:
    path = settings.features(name)
    dated = (
        rows.withColumn("as_of", F.lit(as_of))
        .write.format("delta")
        .mode("overwrite")
        .option("replaceWhere", f"as_of = '{as_of.isoformat()}'")
        .option("mergeSchema", "true")
        .option(COMMIT_NOTE, note)
        .option("delta.enableDeletionVectors", "false")
        .partitionBy("as_of")
    )
    # Spark excludes no other process from a table on a local disk: maintenance drops old days of it
    with table_locks(settings, [f"features.{name}"], WAIT_SECONDS):
        dated.save(str(path))
    return rows_of(path, as_of)
