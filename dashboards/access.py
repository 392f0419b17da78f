"""Roles and persons of Superset as code, over its REST API; who may enter is decided in `infra.governance.accounts`."""

import secrets
from typing import Any

from dashboards.specification import Role, Specification
from dashboards.superset_api import Superset, SupersetError


def ensure_roles(superset: Superset, specification: Specification) -> dict[str, int]:
    """Make the roles of the spec exist with exactly their permissions.

    Returns:
        Every role's id by name, the built-in ones included.

    Raises:
        SupersetError: a permission of the spec is unknown to this Superset.
    """
    ids = {row["name"]: row["id"] for row in superset.rows("security/roles/")}
    permissions = {
        (row["permission"]["name"], row["view_menu"]["name"]): row["id"]
        for row in superset.rows("security/permissions-resources/")
    }
    databases = {row["database_name"]: row["id"] for row in superset.rows("database/")}
    for role in specification.roles.values():
        if role.name not in ids:
            ids[role.name] = superset.post("security/roles/", {"name": role.name})["id"]
        wanted = _wanted(role, specification, databases) | _inherited(superset, role, ids)
        unknown = sorted(f"{action} on {view}" for action, view in wanted if (action, view) not in permissions)
        if unknown:
            raise SupersetError(
                f"dashboards/roles.yaml: role {role.name} names permissions this Superset does not have: "
                f"{', '.join(unknown)}; compare with List Roles in Superset's settings."
            )
        granted = {
            (row["permission_name"], row["view_menu_name"])
            for row in superset.get(f"security/roles/{ids[role.name]}/permissions/")["result"]
        }
        if granted != wanted:
            # this call replaces the whole list
            superset.post(
                f"security/roles/{ids[role.name]}/permissions",
                {"permission_view_menu_ids": sorted(permissions[pair] for pair in wanted)},
            )
    return ids


def _wanted(role: Role, specification: Specification, databases: dict[str, int]) -> set[tuple[str, str]]:
    pairs = {(action, view) for view, actions in role.permissions.items() for action in actions}
    for name in role.databases:
        database = specification.databases[name].name
        pairs.add(("database_access", f"[{database}].(id:{databases[database]})"))
    return pairs


def _inherited(superset: Superset, role: Role, ids: dict[str, int]) -> set[tuple[str, str]]:
    """Return the permissions of the built-in roles a role is based on, but for those it goes without."""
    pairs = {
        (row["permission_name"], row["view_menu_name"])
        for name in role.based_on
        for row in superset.get(f"security/roles/{ids[name]}/permissions/")["result"]
    }
    withheld = {(action, view) for view, actions in role.without.items() for action in actions}
    if unknown := sorted(f"{action} on {view}" for action, view in withheld - pairs):
        # after an update of Superset the same right may have another name: then it would be there again
        raise SupersetError(
            f"dashboards/roles.yaml: role {role.name} goes without {', '.join(unknown)}, which "
            f"{' and '.join(role.based_on) or 'no built-in role'} does not give; correct the names."
        )
    return pairs - withheld


def ensure_users(superset: Superset, specification: Specification, role_ids: dict[str, int]) -> dict[str, int]:
    """Make the person each role of the spec names; who may sign in as it is the account store's matter.

    Returns:
        Every person's id by user name.
    """
    users = {row["username"]: row for row in superset.rows("security/users/")}
    ids = {name: row["id"] for name, row in users.items()}
    for role in specification.roles.values():
        first, _, last = role.person.partition(" ")
        roles = [role_ids[role.name]]
        person: dict[str, Any] = {
            "first_name": first,
            "last_name": last,
            "email": f"{role.name}@customs.invalid",
            "active": True,
            "roles": roles,
        }
        if role.name not in users:
            # a password is asked for, and opens nothing: infra/governance/sign_in.py
            body = {**person, "username": role.name, "password": secrets.token_urlsafe(32)}
            ids[role.name] = superset.post("security/users/", body)["id"]
            continue
        known = users[role.name]
        if {entry["id"] for entry in known["roles"]} != set(roles) or any(
            known[key] != person[key] for key in ("first_name", "last_name", "active")
        ):
            superset.put(f"security/users/{known['id']}", person)
    return ids
