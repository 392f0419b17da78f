"""What was known of an enterprise before a day: the shared ground of enterprise risk and AEO candidates."""

from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from infra.runtime.settings import Settings
from spark_jobs.features import facts
from spark_jobs.features.past import day_number, lay_together
from spark_jobs.silver import read_silver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# a price this far (in logarithms) below the median of earlier like goods is unusually low: half of it
LOW_PRICE = -0.7
MONTHS_BACK = 36


def first_day_of_history(declarations: DataFrame) -> date | None:
    """Return the first day with a declaration, None when there is none."""
    first = declarations.agg(F.min("declared_on")).first()
    return first[0] if first else None


def month_starts(start: date, as_of: date) -> list[date]:
    """Return the first days of the months after ``start`` up to ``as_of``, at most 36 of them."""
    months: list[date] = []
    year, month = start.year, start.month
    while True:
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        if (first := date(year, month, 1)) > as_of:
            return months[-MONTHS_BACK:]
        months.append(first)


def describe(
    spark: "SparkSession", settings: Settings, as_of: date, declarations: DataFrame, points: DataFrame
) -> DataFrame:
    """Describe enterprises at points in time by what was known strictly before.

    Args:
        spark: running session.
        settings: where the lake is.
        as_of: laid that became known on or after this day are not used.
        declarations: feature set ``declaration_risk`` (its price comparisons look back only).
        points: ``source_system, trader_id, snapshot_on`` and any columns to carry along.

    Returns:
        ``points`` with the features, and ``next_violation_day``: day number of the first violation known on or after
        the snapshot and before ``as_of`` (a label, not an input).
    """
    history_start = first_day_of_history(declarations) or as_of
    day = day_number(F.col("declared_on")).alias("day")
    # summed per day: a year's window then spans at most a year of rows, however busy the enterprise
    activity = declarations.groupBy("source_system", "trader_id", day).agg(
        F.count("*").alias("declared"),
        F.sum(F.expm1("ln_total_value")).alias("value"),
        F.sum(F.expm1("ln_duty_at_stake")).alias("duty"),
        F.sum("price_deviation_min").alias("price"),
        F.count("price_deviation_min").alias("priced"),
        F.sum((F.col("price_deviation_min") < LOW_PRICE).cast("int")).alias("low_price"),
        F.sum("is_late").alias("late"),
        F.count("is_late").alias("dated"),
        F.sum("origin_mismatch").alias("mismatch"),
        F.sum("claims_preference").alias("preference"),
        F.sum((F.col("trader_goods_before") == 0).cast("int")).alias("new_goods"),
    )
    as_declarant = (
        declarations.where(F.col("declarant_id").isNotNull())
        .groupBy("source_system", F.col("declarant_id").alias("trader_id"), day)
        .agg(F.count("*").alias("lodged_for_others"))
    )
    known = declarations.where(F.col("is_violation").isNotNull()).select(
        "source_system",
        "trader_id",
        day_number(F.col("label_available_on")).alias("day"),
        F.lit(1).alias("inspected"),
        F.col("is_violation").alias("violated"),
        (F.col("severity") >= 2).cast("int").alias("critical"),
        F.col("recovered_duty").alias("recovered"),
    )
    validations = read_silver(spark, settings, "enterprises.aeo_validation", as_of, "decided_on").select(
        "source_system",
        "trader_id",
        day_number(F.col("decided_on")).alias("day"),
        F.lit(1).alias("validated"),
        F.col("is_passed").cast("int").alias("passed"),
        F.col("total_score").alias("validation_score"),
    )
    key = ["source_system", "trader_id"]
    register = facts.register(spark, settings)
    laid = lay_together(
        activity,
        as_declarant,
        known,
        facts.amendments(spark, settings, as_of, declarations),
        facts.credit_events(spark, settings, as_of),
        validations,
        register.select(*key, "day", F.lit(1).alias("registered")),
    ).withColumnRenamed("day", "known_day")
    # Each point meets all facts of its enterprise: a window over a year would be summed anew on every day with a fact,
    # and points are few. Facts come in order of day, so that sums are the same in every run.
    asked = points.withColumn("day", day_number(F.col("snapshot_on"))).withColumn("point", F.struct(*points.columns))
    laid = laid.repartition(*key).sortWithinPartitions(*key, "known_day").localCheckpoint(eager=False)
    met = asked.select(*key, "day", "point").join(laid.hint("merge"), key, "left")

    def within(column: str | Column, days: int | None = None) -> Column:
        """Return the column where its fact was known before the point, at most ``days`` before."""
        since = F.lit(True) if days is None else F.col("known_day") >= F.col("day") - days
        return F.when((F.col("known_day") < F.col("day")) & since, F.col(column) if isinstance(column, str) else column)

    def total(column: str, days: int | None = None) -> Column:
        return F.coalesce(F.sum(within(column, days)), F.lit(0)).cast("double")

    def share(part: str, of: str, days: int) -> Column:
        whole = F.sum(within(of, days))
        return F.when(whole > 0, F.sum(within(part, days)) / whole)

    def latest(column: str) -> Column:
        return F.max_by(column, F.when(F.col(column).isNotNull(), within("known_day")))

    # early snapshots look back on less than a year: counts are given per month of history there was
    months = F.greatest(
        F.least(F.lit(12.0), (F.col("day") - F.lit((history_start - date(1970, 1, 1)).days)) / 30.4), F.lit(1.0)
    )
    violation = F.when(F.expr("violated = 1 or penalised = 1"), F.col("known_day"))
    year, quarter = 365, 90
    described = (
        met.groupBy(*key, "day", "point")
        .agg(
            total("declared", year).alias("declarations"),
            total("declared", quarter).alias("declarations_90d"),
            total("lodged_for_others", year).alias("lodged_for_others"),
            total("value", year).alias("value"),
            total("duty", year).alias("duty"),
            share("price", "priced", year).alias("mean_price_deviation"),
            share("price", "priced", quarter).alias("mean_price_deviation_90d"),
            share("low_price", "priced", year).alias("low_price_share"),
            share("late", "dated", year).alias("late_share"),
            share("mismatch", "declared", year).alias("mismatch_share"),
            share("preference", "declared", year).alias("preference_share"),
            share("new_goods", "declared", year).alias("new_goods_share"),
            total("inspected", year).alias("inspections"),
            total("inspected").alias("inspections_ever"),
            total("violated", year).alias("violations_12m"),
            total("violated").alias("violations_ever"),
            total("critical").alias("critical_ever"),
            F.log1p(total("recovered", year)).alias("ln_recovered_12m"),
            total("amended", year).alias("amendments_12m"),
            total("amended", quarter).alias("amendments_90d"),
            total("penalised", year).alias("penalties_12m"),
            total("penalised").alias("penalties_ever"),
            total("arrears", year).alias("arrears_12m"),
            total("smuggling").alias("smuggling_ever"),
            total("repaired").alias("repairs_ever"),
            total("rank_changed").alias("rank_changes_ever"),
            F.log1p(total("penalty_amount", year)).alias("ln_penalty_amount_12m"),
            F.max(within(violation)).alias("violation_day"),
            F.max(within(F.when(F.col("declared") > 0, F.col("known_day")))).alias("declaration_day"),
            total("validated").alias("validations_before"),
            latest("validation_score").alias("last_validation_score"),
            latest("passed").cast("double").alias("last_validation_passed"),
            F.max(within(F.when(F.col("registered") == 1, F.col("known_day")))).alias("register_day"),
            F.min(F.when(F.col("known_day") >= F.col("day"), violation)).alias("next_violation_day"),
        )
        .withColumns(
            {
                "declarations_per_month": F.col("declarations") / months,
                "lodged_for_others_per_month": F.col("lodged_for_others") / months,
                "ln_value_per_month": F.log1p(F.col("value") / months),
                "ln_duty_per_month": F.log1p(F.col("duty") / months),
                "inspections_per_month": F.col("inspections") / months,
                "days_since_violation": F.col("day") - F.col("violation_day"),
                "days_since_declaration": F.col("day") - F.col("declaration_day"),
            }
        )
        .select("*", *[f"point.{c}" for c in points.columns if c not in key])
        .drop("point", "declarations", "lodged_for_others", "value", "duty", "inspections", "declaration_day")
    )
    return (
        described.withColumns(
            {
                "violation_rate": (F.col("violations_ever") + 1) / (F.col("inspections_ever") + 10),
                "amendment_share": F.col("amendments_12m")
                / F.greatest(F.col("declarations_per_month") * months, F.lit(1.0)),
                "recent_activity": F.when(
                    F.col("declarations_per_month") > 0, F.col("declarations_90d") / 3 / F.col("declarations_per_month")
                ),
                "price_trend": F.col("mean_price_deviation_90d") - F.col("mean_price_deviation"),
            }
        )
        .join(register.withColumnRenamed("day", "register_day"), [*key, "register_day"], "left")
        .withColumn("tenure_days", (F.col("day") - F.col("register.registered_day")).cast("double"))
        .select("*", "register.*")
        .drop("register", "register_day", "registered_day", "day", "violation_day")
        .drop("declarations_90d", "mean_price_deviation_90d")
    )
