"""What was known of an enterprise before a day: the shared ground of enterprise risk and AEO candidates."""

from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from infra.runtime.settings import Settings
from spark_jobs.features import facts
from spark_jobs.features.past import before, day_number, lay_together, share, total
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
    asked = points.withColumn("day", day_number(F.col("snapshot_on"))).withColumn("asked", F.lit(1))
    laid = lay_together(
        asked,
        activity,
        as_declarant,
        known,
        facts.amendments(spark, settings, as_of, declarations),
        facts.credit_events(spark, settings, as_of),
        validations,
        facts.register(spark, settings),
    )

    year, quarter, ever = before(("trader_id",), 365), before(("trader_id",), 90), before(("trader_id",))
    # from the latest day back to the snapshot: a frame that only grows is read once
    latest_first = Window.partitionBy("source_system", "trader_id").orderBy(F.col("day").desc())
    after = latest_first.rangeBetween(Window.unboundedPreceding, 0)
    violation_day = F.when(F.expr("violated = 1 or penalised = 1"), F.col("day"))
    # early snapshots look back on less than a year: counts are given per month of history there was
    months = F.greatest(
        F.least(F.lit(12.0), (F.col("day") - F.lit((history_start - date(1970, 1, 1)).days)) / 30.4), F.lit(1.0)
    )
    laid = laid.withColumn("violation_day", violation_day)
    described = laid.withColumns(
        {
            "declarations_per_month": total("declared", year) / months,
            "declarations_90d": total("declared", quarter),
            "lodged_for_others_per_month": total("lodged_for_others", year) / months,
            "ln_value_per_month": F.log1p(total("value", year) / months),
            "ln_duty_per_month": F.log1p(total("duty", year) / months),
            "mean_price_deviation": share("price", "priced", year),
            "mean_price_deviation_90d": share("price", "priced", quarter),
            "low_price_share": share("low_price", "priced", year),
            "late_share": share("late", "dated", year),
            "mismatch_share": share("mismatch", "declared", year),
            "preference_share": share("preference", "declared", year),
            "new_goods_share": share("new_goods", "declared", year),
            "inspections_per_month": total("inspected", year) / months,
            "inspections_ever": total("inspected", ever),
            "violations_12m": total("violated", year),
            "violations_ever": total("violated", ever),
            "critical_ever": total("critical", ever),
            "ln_recovered_12m": F.log1p(total("recovered", year)),
            "amendments_12m": total("amended", year),
            "amendments_90d": total("amended", quarter),
            "penalties_12m": total("penalised", year),
            "penalties_ever": total("penalised", ever),
            "arrears_12m": total("arrears", year),
            "smuggling_ever": total("smuggling", ever),
            "repairs_ever": total("repaired", ever),
            "rank_changes_ever": total("rank_changed", ever),
            "ln_penalty_amount_12m": F.log1p(total("penalty_amount", year)),
            "days_since_violation": F.col("day") - F.max("violation_day").over(ever),
            "days_since_declaration": F.col("day") - F.max(F.when(F.col("declared") > 0, F.col("day"))).over(ever),
            "validations_before": total("validated", ever),
            "last_validation_score": F.last("validation_score", ignorenulls=True).over(ever),
            "last_validation_passed": F.last("passed", ignorenulls=True).over(ever).cast("double"),
            "register": F.last("register", ignorenulls=True).over(ever),
            "next_violation_day": F.min("violation_day").over(after),
        }
    ).where(F.col("asked") == 1)
    return (
        described.withColumns(
            {
                "tenure_days": (F.col("day") - F.col("register.registered_day")).cast("double"),
                "violation_rate": (F.col("violations_ever") + 1) / (F.col("inspections_ever") + 10),
                "amendment_share": F.col("amendments_12m")
                / F.greatest(F.col("declarations_per_month") * months, F.lit(1.0)),
                "recent_activity": F.when(
                    F.col("declarations_per_month") > 0, F.col("declarations_90d") / 3 / F.col("declarations_per_month")
                ),
                "price_trend": F.col("mean_price_deviation_90d") - F.col("mean_price_deviation"),
            }
        )
        .select("*", "register.*")
        .drop(
            "register",
            "registered_day",
            "day",
            "asked",
            "violation_day",
            "declared",
            "value",
            "duty",
            "price",
            "priced",
            "dated",
        )
        .drop("low_price", "late", "mismatch", "preference", "new_goods", "lodged_for_others", "inspected", "violated")
        .drop("critical", "recovered", "amended", "penalised", "arrears", "smuggling", "repaired", "rank_changed")
        .drop(
            "penalty_amount", "validated", "passed", "validation_score", "declarations_90d", "mean_price_deviation_90d"
        )
    )
