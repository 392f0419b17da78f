"""Windows over what was known strictly before a row's day.

All kinds of facts are laid into one long frame with a day each: the day the fact became *known*. A row to be described
carries ``asked = 1``. A window ordered by day that ends one day before the row then counts only what was known, with
one shuffle per key.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

# strength of the overall rate in a smoothed rate, in inspections
PRIOR_WEIGHT = 10


def day_number(day: Column) -> Column:
    """Return a date as a count of days, so that range frames can be written in days."""
    return F.datediff(day, F.lit("1970-01-01").cast("date"))


def before(keys: Sequence[str], days: int | None = None) -> WindowSpec:
    """Return the frame over the same keys from ``days`` ago (default: ever) until yesterday."""
    start = Window.unboundedPreceding if days is None else -days
    return Window.partitionBy("source_system", *keys).orderBy("day").rangeBetween(start, -1)


def lay_together(*facts: DataFrame) -> DataFrame:
    """Return the facts in one frame; columns a kind of fact lacks are null."""
    together = facts[0]
    for fact in facts[1:]:
        together = together.unionByName(fact, allowMissingColumns=True)
    return together


def total(column: str, window: WindowSpec) -> Column:
    """Return the sum of a column in the window, 0 when nothing was there."""
    return F.coalesce(F.sum(column).over(window), F.lit(0)).cast("double")


def share(part: str, of: str, window: WindowSpec) -> Column:
    """Return the quotient of two sums in the window, null when there is nothing to divide by."""
    whole = F.sum(of).over(window)
    return F.when(whole > 0, F.sum(part).over(window) / whole)


def smoothed_rate(hits: Column, trials: Column, prior: Column) -> Column:
    """Return (hits + 10·prior) / (trials + 10): few trials stay near the overall rate."""
    return (hits + PRIOR_WEIGHT * prior) / (trials + PRIOR_WEIGHT)
