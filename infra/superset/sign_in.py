"""Superset's side of the one sign-in, in Superset's own environment."""

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import yaml
from superset.security import SupersetSecurityManager

from infra.governance.accounts import SUPERSET
from infra.governance.sign_in import AccountsSignIn

_ROLES_FILE = Path(__file__).parents[2] / "dashboards" / "roles.yaml"


def superset_roles() -> dict[str, tuple[str, ...]]:
    """Return account role to Superset's roles: the one of its name in roles.yaml."""
    listed = yaml.safe_load(_ROLES_FILE.read_text(encoding="utf-8"))["roles"]
    known = {"Admin": ("Admin",)} | {one["name"]: (one["name"],) for one in listed}
    return {role: known[name] for role, name in SUPERSET.items() if name in known}


def sign_in_of(home: Path) -> type[SupersetSecurityManager]:
    """Return Superset's security manager with the accounts of a data folder."""

    class SupersetSignIn(AccountsSignIn, SupersetSecurityManager):
        roles: ClassVar = superset_roles()
        door = "superset"

    SupersetSignIn.home = SimpleNamespace(home=home)
    return SupersetSignIn
