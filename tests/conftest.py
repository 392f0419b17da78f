"""What every test needs."""

import sys

# A worker of pytest-xdist has a main module without a file; PySpark takes that for a doctest run of its own and ends
# the process when gRPC is not installed.
main = sys.modules["__main__"]
if not hasattr(main, "__file__"):
    main.__file__ = __file__
