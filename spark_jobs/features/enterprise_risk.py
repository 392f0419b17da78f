"""Feature set ``enterprise_risk``: one row per enterprise and month start, and one at ``as_of`` to be scored.

The label is kept in a form that never needs twelve complete months: ``months_to_violation`` (month after the snapshot
in which customs learned of the first violation; null = none yet) and ``months_observed`` (complete months between the
snapshot and ``as_of``). A month counts as observed only when it ended before ``as_of``. The model learns the chance per
month from these and never takes an unfinished window for a clean one.
"""

from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from infra.runtime.settings import Settings
from spark_jobs.features.enterprise_state import first_day_of_history, month_starts
from spark_jobs.silver import read_silver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def points(spark: "SparkSession", settings: Settings, as_of: date, declarations: DataFrame) -> DataFrame:
    """Return enterprise × month start since the first declaration, plus ``as_of`` itself."""
    start = first_day_of_history(declarations)
    days = sorted({*(month_starts(start, as_of) if start else []), as_of})
    enterprises = (
        read_silver(spark, settings, "enterprises.enterprise")
        .groupBy("source_system", "trader_id")
        .agg(F.min("registered_on").alias("registered_on"), F.min("valid_from").alias("first_known"))
    )
    snapshots = spark.createDataFrame([(d,) for d in days], "snapshot_on date")
    return (
        enterprises.crossJoin(F.broadcast(snapshots))
        .where((F.col("registered_on") < F.col("snapshot_on")) & (F.col("first_known") <= F.col("snapshot_on")))
        .select("source_system", "trader_id", "snapshot_on")
    )


def build(described: DataFrame, as_of: date) -> DataFrame:
    """Return the feature set: described points with the label columns of the module's text."""
    violated_on = F.date_add(F.lit("1970-01-01").cast("date"), F.col("next_violation_day").cast("int"))
    start = F.col("snapshot_on")
    # snapshots lie on the first of a month, so the month of the violation counts the months passed
    month_of = (F.year(violated_on) - F.year(start)) * 12 + F.month(violated_on) - F.month(start) + 1
    observed = (as_of.year - F.year(start)) * 12 + as_of.month - F.month(start)
    regular = F.dayofmonth(start) == 1
    return (
        described.withColumn("months_observed", F.when(regular, F.greatest(observed, F.lit(0))).otherwise(0))
        .withColumn("months_to_violation", F.when(regular & (month_of <= F.col("months_observed")), month_of))
        .drop("next_violation_day")
    )
