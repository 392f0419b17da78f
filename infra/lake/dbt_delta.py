"""dbt-duckdb plugin: makes Delta tables readable in dbt's DuckDB."""

from typing import TYPE_CHECKING

from dbt.adapters.duckdb.plugins import BasePlugin

from infra.runtime.duck import delta_extension

if TYPE_CHECKING:
    import duckdb


class Plugin(BasePlugin):
    """Loads DuckDB's Delta extension by the file path inside its wheel.

    dbt-duckdb's own ``extensions`` setting runs ``INSTALL``, which downloads and so fails on a closed network.
    """

    def configure_connection(self, conn: "duckdb.DuckDBPyConnection") -> None:
        """Load the extension into a new connection of dbt."""
        conn.execute(f"LOAD '{delta_extension()}'")
