"""Prepares Airflow's database in one process (each `airflow` call costs 5 CPU seconds): tables, accounts, pools.

Reads ``{"pools": {name: {slots, description}}, "users": {name: {role, password}}}`` from standard input; run again, it
changes pools and passwords that differ and leaves the rest.
"""

import json
import sys


def main() -> None:
    """Migrate the tables, then write pools and accounts."""
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
        manager = builder.sm
        manager.sync_roles()
        for name, user in wanted["users"].items():
            role = manager.find_role(user["role"])
            if found := manager.find_user(username=name):
                manager.reset_password(found.id, user["password"])
            elif not manager.add_user(name, name.title(), "", f"{name}@customs.invalid", role, user["password"]):
                sys.exit(f"Airflow account {name} could not be made")


if __name__ == "__main__":
    main()
