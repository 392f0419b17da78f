"""What every test needs, and the Spark session and small lake that the rooms share."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

# A worker of pytest-xdist has a main module without a file; PySpark takes that for a doctest run of its own and ends
# the process when gRPC is not installed.
main = sys.modules["__main__"]
if not hasattr(main, "__file__"):
    main.__file__ = __file__


# What takes minutes begins first: no test process is left with it at the end while the others have nothing to do. Two
# days brought up at once take longer than one after the other, so the second follows what is built without services.
BEGINS_WITH = ("small_day", "spark", "datasets", "kcs_files", "slow")


def pytest_collection_modifyitems(items):
    def place(item):
        names = {*item.fixturenames, *(mark.name for mark in item.iter_markers())}
        return next((n for n, name in enumerate(BEGINS_WITH) if name in names), len(BEGINS_WITH))

    items.sort(key=place)


@pytest.fixture(scope="session")
def lake():
    """Return the module that makes small lakes."""
    # by path, because tests are no package
    spec = importlib.util.spec_from_file_location("small_lake", Path(__file__).with_name("small_lake.py"))
    sys.modules["small_lake"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def spark(lake):
    """Return the one Spark session of a test process."""
    session = lake.session()
    yield session
    session.stop()


@pytest.fixture(scope="session")
def built(spark, lake, tmp_path_factory):
    """Return settings of a home whose features are built, a copy of what the first test process built."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    return lake.copy_of_built(spark, shared / "small_lake")
