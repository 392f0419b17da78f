"""Silver tables as Spark frames, cut off at a day."""

from datetime import date
from typing import TYPE_CHECKING

from deltalake import DeltaTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from data_contracts.emit.delta import arrow_schema
from data_contracts.loader import load_contract
from infra.runtime.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def read_silver(
    spark: "SparkSession", settings: Settings, contract_id: str, as_of: date | None = None, known: str | None = None
) -> DataFrame:
    """Return a silver table; one that was never written is an empty frame of its contract's columns.

    Args:
        spark: running session.
        settings: where the lake is.
        contract_id: ``<domain>.<entity>``.
        as_of: day the caller looks from.
        known: day column that says when the row became known; only rows with ``known < as_of`` are returned. The
            declarations of the day itself (column ``declared_on``) are there to be judged, so they are kept.
    """
    path = settings.silver(contract_id)
    if DeltaTable.is_deltatable(str(path)):
        frame = spark.read.format("delta").load(str(path))
    else:
        frame = spark.createDataFrame([], from_arrow_schema(arrow_schema(load_contract(contract_id))))
    if as_of is None or known is None:
        return frame
    return frame.where(F.col(known) <= F.lit(as_of) if known == "declared_on" else F.col(known) < F.lit(as_of))
