"""Feature set ``aeo_candidate``: past AEO validations as of the day of application, and today's non-AEO enterprises.

A validation's own marks are never used for it; its decision is the label once ``decided_on`` lies before ``as_of``.
"""

from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from infra.runtime.settings import Settings
from spark_jobs.features.facts import is_aeo
from spark_jobs.silver import read_silver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def points(spark: "SparkSession", settings: Settings, as_of: date) -> DataFrame:
    """Return decided validations at their day of application, and candidates at ``as_of``."""
    decided = read_silver(spark, settings, "enterprises.aeo_validation", as_of, "decided_on").select(
        "source_system",
        "trader_id",
        F.col("applied_on").alias("snapshot_on"),
        "validation_id",
        "validation_kind",
        F.col("is_passed").cast("int").alias("is_passed"),
        "decided_on",
    )
    latest = (
        read_silver(spark, settings, "enterprises.enterprise")
        .where(F.col("valid_from") <= F.lit(as_of))
        .groupBy("source_system", "trader_id")
        .agg(F.max_by("credit_rank_code", "valid_from").alias("rank"))
    )
    candidates = latest.where(~is_aeo(F.col("rank"))).select(
        "source_system",
        "trader_id",
        F.lit(as_of).alias("snapshot_on"),
        F.lit(None).cast("string").alias("validation_id"),
        # a candidate is judged as for its first validation
        F.lit("first").alias("validation_kind"),
        F.lit(None).cast("int").alias("is_passed"),
        F.lit(None).cast("date").alias("decided_on"),
    )
    return decided.unionByName(candidates)


def build(described: DataFrame) -> DataFrame:
    """Return the feature set: described points."""
    return described.drop("next_violation_day")
