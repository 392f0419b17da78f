"""Feature set ``ore_verification``: one row per wagon of minerals whose composition was read and whose order is known.

A wagon is set beside what was declared for its consignment and beside the other wagons of it, all read on the same day
by the same instrument. The laboratory gives the label once its result was known before ``as_of``.
"""

from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from infra.runtime.settings import Settings
from spark_jobs.silver import read_silver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ELEMENTS = ("tfe", "sio2", "cao", "al2o3", "mgo", "tio2", "mno", "p2o5", "s", "cu", "zn", "pb", "as")


def build(spark: "SparkSession", settings: Settings, as_of: date) -> DataFrame:
    """Return the feature set.

    Args:
        spark: running session.
        settings: where the lake is.
        as_of: readings of later days are left out, laboratory results known on or after it give no label.
    """
    wagon = ["source_system", "train_id", "position"]
    read = read_silver(spark, settings, "rail.composition").where(F.col("read_on") <= F.lit(as_of))
    libs = read.where("method_code = 'libs'").select(
        *wagon, "order_no", "read_on", *[f"{e}_pct" for e in ELEMENTS], "closure_pct"
    )
    image = read.where("method_code = 'hyperspectral'").select(
        *wagon, "feo_pct", F.col("sio2_pct").alias("image_sio2_pct"), "mineral_class", "solid_waste_attribute"
    )
    orders = read_silver(spark, settings, "rail.inspection_order").select(
        "source_system", "order_no", "material_code", "brand_code", "declared_tfe_pct", "declared_cu_pct"
    )
    not_declared = F.col("verdict_code") != "as_declared"
    results = (
        read_silver(spark, settings, "rail.laboratory_result", as_of, "known_on")
        .groupBy(*wagon)
        .agg(
            F.max(not_declared.cast("int")).alias("is_not_as_declared"),
            F.max((F.col("verdict_code") == "solid_waste").cast("int")).alias("is_solid_waste"),
            F.max("known_on").alias("known_on"),
            F.max("selected_by").alias("selected_by"),
            F.max("selection_prob").alias("selection_prob"),
        )
    )
    order = Window.partitionBy("source_system", "order_no")
    gap = F.col("tfe_pct") - F.col("declared_tfe_pct")
    return (
        libs.join(orders, ["source_system", "order_no"])
        .join(image, wagon, "left")
        .join(results, wagon, "left")
        .withColumns(
            {
                "wagon_id": F.concat_ws("/", "train_id", F.col("position").cast("string")),
                "iron_gap": gap,
                "consignment_iron_gap": F.avg(gap).over(order),
                "iron_deviation": F.col("tfe_pct") - F.percentile_approx("tfe_pct", 0.5).over(order),
                "copper_gap": F.col("cu_pct") - F.col("declared_cu_pct"),
                # share of the consignment's wagons that show the same surface as this one
                "surface_share": F.count("*").over(Window.partitionBy("source_system", "order_no", "mineral_class"))
                / F.count("*").over(order),
            }
        )
        .drop("order_no")
    )
