"""DuckDB connections of the platform: UTC, bounded memory, Delta reader loaded from its wheel."""

from pathlib import Path

import duckdb
import duckdb_extension_delta

from infra.runtime.settings import Settings, get_settings


def delta_extension() -> Path:
    """Return the file of DuckDB's Delta extension inside its wheel.

    ``INSTALL`` would download it; loading by path is the only way that works on a closed network.
    """
    folder = Path(duckdb_extension_delta.__file__).parent / "extensions" / f"v{duckdb.__version__}"
    return folder / "delta.duckdb_extension"


def duck_connection(
    database: str | Path = ":memory:", *, settings: Settings | None = None, read_only: bool = False
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB connection that reads Delta tables and keeps instants in UTC.

    Args:
        database: file to open, or ``:memory:``.
        settings: platform settings; default those of the process.
        read_only: open the file without a writer lock.
    """
    settings = settings or get_settings()
    connection = duckdb.connect(
        str(database),
        read_only=read_only,
        config={
            "threads": settings.duckdb_threads,
            "memory_limit": settings.duckdb_memory_limit,
            "autoinstall_known_extensions": False,
        },
    )
    connection.execute(f"LOAD '{delta_extension()}'")
    connection.execute("SET TimeZone = 'UTC'")
    return connection
