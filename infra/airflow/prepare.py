"""Prepares Airflow's database in one process (each `airflow` call costs 5 CPU seconds): tables, roles, pools.

Reads ``{"pools": {name: {slots, description}}}`` from standard input; run again, it changes pools that differ and
leaves the rest. People come with their first sign-in.
"""

import json
import sys


def main() -> None:
    """Migrate the tables, then write roles and pools."""
    wanted = json.load(sys.stdin)
    from airflow.providers_manager import ProvidersManager

    ProvidersManager().initialize_providers_configuration()
    from airflow.utils import db

    db.upgradedb()

    from airflow.models.pool import Pool

    for name, pool in wanted["pools"].items():
        Pool.create_or_update_pool(name, pool["slots"], pool["description"], pool["include_deferred"])

    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        builder.sm.sync_roles()


if __name__ == "__main__":
    main()
