"""Facts about enterprises that more than one feature set uses, each dated by the day it was known."""

from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from data_contracts.codes import code_list
from infra.runtime.settings import Settings
from spark_jobs.features.past import day_number
from spark_jobs.silver import read_silver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# credit rank from most to least trusted; both rank lists (Decree 251, Order 282) fit on it
RANK_LEVELS = {
    "advanced_certified": 2,
    "certified": 1,
    "regular": 0,
    "other": 0,
    "dishonest": -1,
    "seriously_dishonest": -2,
}
# what counts as a violation of an enterprise; repairs and rank changes follow from these and are not violations
VIOLATION_EVENTS = ("penalty", "arrears", "smuggling")


def rank_level(rank: Column) -> Column:
    """Return the credit rank as a number, 2 most trusted, -2 least; null for a rank we do not know."""
    return F.create_map(*[F.lit(v) for pair in RANK_LEVELS.items() for v in pair])[rank].cast("double")


def is_aeo(rank: Column) -> Column:
    """Return whether the rank is an Authorised Economic Operator (code list reference.credit_rank)."""
    operators = sorted({c.code for c in code_list("reference.credit_rank") if c.attribute("isAeo") == "true"})
    return rank.isin(operators)


def amendments(spark: "SparkSession", settings: Settings, as_of: date, declarations: DataFrame) -> DataFrame:
    """Return rejected, returned and declarant-changed declarations by trader: ``amended = 1``."""
    return (
        read_silver(spark, settings, "declarations.declaration_event", as_of, "occurred_on")
        # the declarant's own first event is the lodging, not a change
        .where(F.expr("status_code in ('100', '700') or (actor_code = 'declarant' and event_seq > 1)"))
        .join(declarations.select("source_system", "declaration_no", "trader_id"), ["source_system", "declaration_no"])
        .select("source_system", "trader_id", day_number(F.col("occurred_on")).alias("day"), F.lit(1).alias("amended"))
    )


def credit_events(spark: "SparkSession", settings: Settings, as_of: date) -> DataFrame:
    """Return events on the credit record, with one 0/1 column per kind."""
    kind = F.col("event_kind")
    return read_silver(spark, settings, "enterprises.credit_event", as_of, "known_on").select(
        "source_system",
        "trader_id",
        day_number(F.col("known_on")).alias("day"),
        kind.isin(*VIOLATION_EVENTS).cast("int").alias("penalised"),
        (kind == "arrears").cast("int").alias("arrears"),
        (kind == "smuggling").cast("int").alias("smuggling"),
        (kind == "repair").cast("int").alias("repaired"),
        (kind == "rank_change").cast("int").alias("rank_changed"),
        F.when(kind.isin(*VIOLATION_EVENTS), F.col("amount").cast("double")).alias("penalty_amount"),
    )


def register(spark: "SparkSession", settings: Settings) -> DataFrame:
    """Return the register's dated states as one struct column ``register``."""
    return read_silver(spark, settings, "enterprises.enterprise").select(
        "source_system",
        "trader_id",
        # a state holds from its first day on, and the windows end the day before
        (day_number(F.col("valid_from")) - 1).alias("day"),
        F.struct(
            rank_level(F.col("credit_rank_code")).alias("rank_level"),
            is_aeo(F.col("credit_rank_code")).cast("double").alias("is_aeo"),
            day_number(F.col("registered_on")).alias("registered_day"),
            F.log1p(F.col("registered_capital").cast("double")).alias("ln_capital"),
            F.log1p(F.col("employee_count").cast("double")).alias("ln_employees"),
            "debt_ratio",
            "enterprise_kind",
            "region_code",
            "industry_code",
        ).alias("register"),
    )
