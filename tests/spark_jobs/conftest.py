"""One Spark session and one small lake for all tests that need a JVM, whatever room they are in."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

# short jobs: the second compiler costs more than it saves
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


def _small_lake():
    # by path, because tests are no package; kept under one name, so that every room shares the cached session
    if "small_lake" not in sys.modules:
        path = Path(__file__).parents[1] / "spark_jobs" / "small_lake.py"
        spec = importlib.util.spec_from_file_location("small_lake", path)
        sys.modules["small_lake"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["small_lake"]


@pytest.fixture(scope="session")
def lake():
    """Return the module that makes small lakes."""
    return _small_lake()


@pytest.fixture(scope="session")
def spark(lake):
    """Return the Spark session."""
    return lake.session()


@pytest.fixture(scope="session")
def built(spark, lake):
    """Return settings of a home with built features."""
    return lake.built()
