"""Feature set ``declaration_risk``: one row per declaration, described by what was known before the day it was lodged.

Labels enter profiles only from the day after ``label_available_on``; prices are compared with earlier months only. The
declaration's own label and selection probability stand apart as meta columns, never among the inputs of a model.
"""

from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from infra.runtime.settings import Settings
from spark_jobs.features import facts
from spark_jobs.features.past import before, day_number, lay_together, share, smoothed_rate, total
from spark_jobs.silver import read_silver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# months of earlier prices a price is compared with, and the fewest earlier items that make a comparison
REFERENCE_MONTHS = 12
REFERENCE_ITEMS = 5
# days after arrival from which an import declaration is late (Customs Law: 14 days)
LATE_AFTER_DAYS = 14

# who and what has a past of its own, besides the trader
_PROFILES = {
    "declarant": ("declarant_id",),
    "overseas": ("overseas_party_id",),
    "goods": ("hs6_code", "origin_country_code"),
    "heading": ("hs4",),
    "office": ("customs_office_code",),
}
_NUMBER = ("source_system", "declaration_no")
_TRADER_DAY = ("source_system", "trader_id", "day")
_HEADER = (
    "direction",
    "declaration_mode",
    "customs_office_code",
    "supervision_mode_code",
    "levy_nature_code",
    "process_type_code",
    "import_type_code",
    "import_use_code",
    "payment_method_code",
    "transport_mode_code",
    "incoterms_code",
    "declarant_id",
    "trader_id",
    "overseas_party_id",
    "dispatch_country_code",
)


def _month(day: Column) -> Column:
    return F.year(day) * 12 + F.month(day)


def _ln_ratio(above: str, below: str) -> Column:
    return F.when((F.col(above) > 0) & (F.col(below) > 0), F.log(F.col(above) / F.col(below)))


def _earlier_months(items: DataFrame, keys: tuple[str, ...], name: str) -> DataFrame:
    """Return per key and month what items of the 12 months before that month say about price and rate.

    Items are summed per month first, so that a window reads twelve rows and not twelve months of items; the reference
    price is the mean of the monthly medians, weighted by their items.
    """
    monthly = (
        items.groupBy("source_system", *keys, "month")
        .agg(
            F.median("ln_unit_price").alias("median"),
            F.count("ln_unit_price").alias("n"),
            F.sum("ln_unit_price").alias("s"),
            F.sum(F.col("ln_unit_price") * F.col("ln_unit_price")).alias("ss"),
            F.max("duty_rate_pct").alias("rate"),
        )
        .withColumn("weighted", F.coalesce(F.col("median") * F.col("n"), F.lit(0.0)))
    )
    earlier = Window.partitionBy("source_system", *keys).orderBy("month").rangeBetween(-REFERENCE_MONTHS, -1)
    n, s, ss = (F.sum(c).over(earlier) for c in ("n", "s", "ss"))
    return (
        monthly.withColumns(
            {
                "earlier": n,
                f"median_{name}": F.try_divide(F.sum("weighted").over(earlier), n),
                f"spread_{name}": F.sqrt(F.greatest(F.try_divide(ss - F.try_divide(s * s, n), n - 1), F.lit(0.0))),
                f"highest_rate_{name}": F.max("rate").over(earlier),
            }
        )
        .where(F.col("earlier") >= REFERENCE_ITEMS)
        .drop("median", "n", "s", "ss", "rate", "weighted", "earlier")
    )


def _goods(items: DataFrame) -> DataFrame:
    """Return one row per declaration: its principal item (highest value), sums, and price deviations."""
    numbers = {c: F.col(c).cast("double") for c in ("net_mass_kg", "customs_value", "duty_rate_pct")}
    items = items.select(
        "source_system",
        "declaration_no",
        "item_no",
        F.coalesce("hs6_code", F.substring("hs_code", 1, 6)).alias("hs6_code"),
        F.substring("hs_code", 1, 4).alias("hs4"),
        "origin_country_code",
        "preference_code",
        "origin_mark_code",
        _month(F.col("declared_on")).alias("month"),
        *[c.alias(n) for n, c in numbers.items()],
    ).withColumn(
        "ln_unit_price",
        F.when((F.col("customs_value") > 0) & (F.col("net_mass_kg") > 0), F.log(F.expr("customs_value / net_mass_kg"))),
    )
    # read four times below
    items = items.localCheckpoint(eager=False)
    for keys, name in ((("hs6_code", "origin_country_code"), "origin"), (("hs6_code",), "hs6"), (("hs4",), "hs4")):
        earlier = _earlier_months(items, keys, name)
        items = items.join(earlier, ["source_system", *keys, "month"], "left")
    deviation = F.col("ln_unit_price") - F.coalesce("median_origin", "median_hs6")
    items = (
        items.withColumn("price_deviation", deviation)
        .withColumn("price_z", deviation / F.greatest(F.coalesce("spread_origin", "spread_hs6"), F.lit(0.1)))
        .withColumn("rate_gap", F.greatest(F.col("highest_rate_hs4") - F.col("duty_rate_pct"), F.lit(0.0)))
        .withColumn("duty", F.col("customs_value") * F.coalesce("duty_rate_pct", F.lit(0.0)) / 100)
    )
    principal = (
        "hs6_code",
        "hs4",
        "origin_country_code",
        "preference_code",
        "origin_mark_code",
        "net_mass_kg",
        "customs_value",
        "duty_rate_pct",
        "price_deviation",
    )
    order = F.struct(F.coalesce("customs_value", F.lit(0.0)), -F.col("item_no"))
    return (
        items.groupBy("source_system", "declaration_no")
        .agg(
            F.max_by(F.struct(*principal), order).alias("principal"),
            F.count("*").cast("double").alias("items"),
            # the size of a set: two distinct counts would triple the rows
            F.size(F.collect_set("hs6_code")).cast("double").alias("distinct_hs6"),
            F.size(F.collect_set("origin_country_code")).cast("double").alias("distinct_origins"),
            F.collect_set("origin_country_code").alias("origins"),
            F.log1p(F.sum("customs_value")).alias("ln_total_value"),
            F.log1p(F.sum("net_mass_kg")).alias("ln_total_mass"),
            F.log1p(F.sum("duty")).alias("ln_duty_at_stake"),
            F.max("duty_rate_pct").alias("highest_duty_rate"),
            F.min("price_deviation").alias("price_deviation_min"),
            F.max("price_deviation").alias("price_deviation_max"),
            F.min("price_z").alias("price_z_min"),
            F.max("rate_gap").alias("rate_gap_max"),
            F.max(F.col("preference_code").isNotNull().cast("double")).alias("claims_preference"),
        )
        .select("*", "principal.*")
        .drop("principal")
    )


def labels(spark: "SparkSession", settings: Settings, as_of: date) -> DataFrame:
    """Return one row per declaration whose inspection outcome was known before ``as_of``."""
    inspections = read_silver(spark, settings, "inspections.inspection", as_of, "label_available_on")
    return inspections.groupBy("source_system", "declaration_no").agg(
        F.max(F.col("is_violation").cast("int")).alias("is_violation"),
        F.max("severity").alias("severity"),
        F.sum(F.col("recovered_duty").cast("double")).alias("recovered_duty"),
        F.max("label_available_on").alias("label_available_on"),
        F.min("selected_by").alias("inspected_by"),
        F.min("selection_prob").alias("inspection_prob"),
    )


def build(spark: "SparkSession", settings: Settings, as_of: date) -> DataFrame:
    """Return the feature set: every declaration lodged on or before ``as_of``.

    Args:
        spark: running session.
        settings: where the lake is, and the offices' time zone.
        as_of: nothing that became known on or after this day is used, except the declarations of the day themselves.

    Returns:
        Key ``declaration_no``; meta ``source_system, declared_on, trader_id, declarant_id, selection_prob, selected_by,
        is_violation, severity, recovered_duty, label_available_on``; the rest are inputs of models.
    """
    declarations = read_silver(spark, settings, "declarations.declaration", as_of, "declared_on")
    items = read_silver(spark, settings, "declarations.declaration_item", as_of, "declared_on")
    local = F.from_utc_timestamp("declared_at", settings.office_time_zone)
    lag = F.datediff("declared_on", F.to_date(F.from_utc_timestamp("arrived_at", settings.office_time_zone)))
    header = declarations.select(
        "source_system",
        "declaration_no",
        "declared_on",
        *_HEADER,
        F.hour(local).cast("double").alias("hour"),
        F.weekday("declared_on").cast("double").alias("weekday"),
        F.when(F.col("direction") == "I", lag).cast("double").alias("arrival_lag_days"),
        F.col("gross_mass_kg").cast("double").alias("gross_mass"),
        F.col("net_mass_kg").cast("double").alias("net_mass"),
        F.col("package_count").cast("double").alias("packages"),
        F.col("container_no").isNotNull().cast("double").alias("has_container"),
    )
    found = labels(spark, settings, as_of)
    chosen = read_silver(spark, settings, "inspections.selection", as_of, "decided_on").select(
        "source_system", "declaration_no", "selection_prob", "selected_by"
    )
    goods = _goods(items)
    rows = (
        header.join(goods, ["source_system", "declaration_no"], "left")
        .join(found, ["source_system", "declaration_no"], "left")
        .join(chosen, ["source_system", "declaration_no"], "left")
        .withColumns(
            {
                "selection_prob": F.coalesce("inspection_prob", "selection_prob"),
                "selected_by": F.coalesce("inspected_by", "selected_by"),
                "origin_mismatch": F.exists("origins", lambda o: o != F.col("dispatch_country_code")).cast("double"),
                "gross_to_net": _ln_ratio("gross_mass", "net_mass"),
                "ln_packages": F.log1p("packages"),
                "ln_mass_per_package": _ln_ratio("gross_mass", "packages"),
                "is_late": (F.col("arrival_lag_days") > LATE_AFTER_DAYS).cast("double"),
                "day": day_number(F.col("declared_on")),
                "asked": F.lit(1),
            }
        )
        .drop("origins", "inspection_prob", "inspected_by", "gross_mass", "net_mass", "packages")
    )
    # the windows below read the rows three times; one materialisation is cheaper than three joins of everything
    rows = rows.localCheckpoint(eager=False)
    return _profiles(
        rows,
        facts.amendments(spark, settings, as_of, declarations),
        facts.credit_events(spark, settings, as_of).select("source_system", "trader_id", "day", "penalised"),
        facts.register(spark, settings),
    )


def _profiles(rows: DataFrame, amendments: DataFrame, credit: DataFrame, register: DataFrame) -> DataFrame:
    """Add what was known of trader, declarant, overseas party, goods and office before each declaration."""
    keys = ("trader_id", "declarant_id", "overseas_party_id", "customs_office_code", "hs6_code", "hs4")
    outcome = rows.where(F.col("is_violation").isNotNull()).select(
        "source_system",
        *keys,
        "origin_country_code",
        day_number(F.col("label_available_on")).alias("day"),
        F.lit(1).alias("inspected"),
        F.col("is_violation").alias("violated"),
    )
    overall = (
        outcome.groupBy("source_system", "day")
        .agg(F.sum("inspected").alias("n"), F.sum("violated").alias("v"))
        .select("source_system", "day", F.col("n").alias("day_n"), F.col("v").alias("day_v"))
    )
    days = rows.select("source_system", "day").distinct().unionByName(overall, allowMissingColumns=True)
    prior = (
        days.groupBy("source_system", "day")
        .agg(F.sum("day_n").alias("day_n"), F.sum("day_v").alias("day_v"))
        .withColumn("all_n", total("day_n", before(())))
        .withColumn("all_v", total("day_v", before(())))
        # nothing known yet: one in ten, the order of magnitude of inspected goods
        .select("source_system", "day", ((F.col("all_v") + 1) / (F.col("all_n") + 10)).alias("prior"))
    )
    # the windows shuffle and sort once per key: that is done to keys and counts, and the other columns join them after
    narrow = rows.select(*_NUMBER, *keys, "origin_country_code", "day", "asked")
    known = lay_together(narrow, outcome)
    known = known.withColumn("trader_goods_before", total("asked", before(("trader_id", "hs4"))))
    known = known.withColumn("trader_origin_before", total("asked", before(("trader_id", "origin_country_code"))))
    for name, by in _PROFILES.items():
        ever, quarter = before(by), before(by, 90)
        known = known.withColumns(
            {
                f"{name}_declarations": total("asked", ever),
                f"{name}_inspections": total("inspected", ever),
                f"{name}_violations": total("violated", ever),
                f"{name}_inspections_90d": total("inspected", quarter),
                f"{name}_violations_90d": total("violated", quarter),
            }
        )
    counted = known.where(F.col("asked") == 1).drop(
        *keys, "origin_country_code", "day", "asked", "inspected", "violated"
    )
    asked = (
        rows.join(counted, [*_NUMBER])
        .join(_traders(rows, outcome, amendments, credit, register), [*_TRADER_DAY], "left")
        .join(F.broadcast(prior), ["source_system", "day"], "left")
    )
    rates = {
        f"{name}_violation_rate{span}": smoothed_rate(
            F.col(f"{name}_violations{span}"), F.col(f"{name}_inspections{span}"), F.col("prior")
        )
        for name in _PROFILES
        for span in ("", "_90d")
    }
    rates["trader_violation_rate"] = smoothed_rate(
        F.col("trader_violations"), F.col("trader_inspections"), F.col("prior")
    )
    asked = asked.withColumns(
        {
            **rates,
            "trader_days_known": F.col("day") - F.col("trader_first_day"),
            "trader_days_since_violation": F.col("day") - F.col("trader_violation_day"),
            "trader_value_deviation": F.col("ln_total_value") - F.col("trader_ln_value"),
            "tenure_days": (F.col("day") - F.col("register.registered_day")).cast("double"),
        }
    ).drop(*(f"{n}_{what}" for n in _PROFILES for what in ("violations", "violations_90d", "inspections_90d")))
    # without an overseas party there is no profile of one
    overseas = [c for c in asked.columns if c.startswith("overseas_") and c != "overseas_party_id"]
    return (
        asked.withColumns({c: F.when(F.col("overseas_party_id").isNotNull(), F.col(c)) for c in overseas})
        .select("*", "register.*")
        .drop("register", "registered_day", "asked", "day", "prior", "hs4")
        .drop("trader_first_day", "trader_violation_day", "trader_ln_value", "overseas_party_id")
    )


def _traders(
    rows: DataFrame, outcome: DataFrame, amendments: DataFrame, credit: DataFrame, register: DataFrame
) -> DataFrame:
    """Return what was known of each trader before each day it declared something on.

    Facts are summed per day first: a year's window then spans at most a year of rows, however busy the trader.
    """
    lodged = rows.select(*_TRADER_DAY, "asked", "ln_total_value", "price_deviation_min", "origin_mismatch")
    summed = ("asked", "inspected", "violated", "amended", "penalised", "ln_total_value", "price_deviation_min")
    daily = (
        lay_together(lodged, outcome.select(*_TRADER_DAY, "inspected", "violated"), amendments, credit)
        .groupBy(*_TRADER_DAY)
        .agg(
            *[F.sum(c).alias(c) for c in (*summed, "origin_mismatch")],
            F.count("price_deviation_min").alias("prices"),
        )
    )
    ever, year, month = before(("trader_id",)), before(("trader_id",), 365), before(("trader_id",), 30)
    # all columns of one key in one call: Spark then sorts once per key
    return (
        lay_together(daily, register)
        .withColumns(
            {
                "trader_declarations": total("asked", ever),
                "trader_declarations_30d": total("asked", month),
                "trader_first_day": F.min(F.when(F.col("asked") > 0, F.col("day"))).over(ever),
                "trader_inspections": total("inspected", ever),
                "trader_violations": total("violated", ever),
                "trader_violations_365d": total("violated", year),
                "trader_inspections_365d": total("inspected", year),
                "trader_violation_day": F.max(F.when(F.col("violated") > 0, F.col("day"))).over(ever),
                "trader_amendments_365d": total("amended", year),
                "trader_penalties_365d": total("penalised", year),
                "trader_ln_value": share("ln_total_value", "asked", ever),
                "trader_price_deviation": share("price_deviation_min", "prices", year),
                "trader_mismatch_share": share("origin_mismatch", "asked", year),
                "register": F.last("register", ignorenulls=True).over(ever),
            }
        )
        .where(F.col("asked") > 0)
        .drop(*summed, "origin_mismatch", "prices")
    )
