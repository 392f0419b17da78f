"""Airflow's side of the one sign-in: whose token it is is looked up in the account store at every request."""

from typing import Any

from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride

from infra.governance.accounts import AIRFLOW
from infra.governance.sign_in import AccountsSignIn, still_good
from infra.runtime.settings import get_settings


class AirflowSignIn(AccountsSignIn, FabAirflowSecurityManagerOverride):  # type: ignore[misc]  # both define its members
    """Airflow's security manager with the platform's accounts."""

    home = get_settings()
    door = "airflow"
    roles = {role: (name,) for role, name in AIRFLOW.items()}


class AccountsAuthManager(FabAuthManager):
    """Airflow's auth manager; a token is good as long as its account has not changed since."""

    def deserialize_user(self, token: dict[str, Any]) -> Any:  # type: ignore[override]  # its user is FAB's
        """Return the user of a token.

        Raises:
            ValueError: the account is gone, disabled or changed; Airflow turns the request away.
        """
        user = super().deserialize_user(token)
        if not still_good(AirflowSignIn.home, user.username, token["iat"]):
            raise ValueError(f"The session of {user.username} is over: sign in again")
        return user
