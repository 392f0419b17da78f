"""Sign-in of Superset and Airflow at the platform's accounts, for the security managers of both (Flask-AppBuilder).

The services keep a shell of a person, to which their roles and what they made belong; who may enter, with which
password and role, is asked of the account store. It is asked again at every request, so a disabled account, a new role
or a new password ends what is open at once. A password in a service's own database opens nothing.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar

from flask import abort, g, has_request_context, session

from infra.governance.accounts import NotAllowedError, authenticate, valid_since
from infra.runtime.audit import Home

_STAMP = "account_valid_since"


def still_good(home: Home, name: str, opened_at: float) -> bool:
    """Return whether what an account opened at a POSIX instant is still good; tokens count whole seconds."""
    since = valid_since(home, name)
    return since is not None and opened_at >= int(since.timestamp())


class AccountsSignIn:
    """Mixed in before a security manager; ``door`` and ``roles`` (account role to roles there) say which service."""

    home: ClassVar[Home]
    door: ClassVar[str]
    roles: ClassVar[Mapping[str, tuple[str, ...]]]

    def auth_user_db(self: Any, username: str, password: str, rotate_session_id: bool = True) -> Any:
        """Return the service's user for an account's right password, with the roles the account has now, or None."""
        try:
            account = authenticate(self.home, username or "", password or "", door=self.door, admits=tuple(self.roles))
        except NotAllowedError:
            return None
        roles = [self.find_role(name) for name in self.roles[account.role]]
        if None in roles:
            # Superset's own roles come with the first publication
            return None
        user = self.find_user(username=account.name)
        if user is None:
            mail = f"{account.name}@customs.invalid"
            user = self.add_user(account.name, account.name.title(), "", mail, roles)
            if not user:
                return None
        user.roles = roles
        user.active = True
        if rotate_session_id and has_request_context():
            with suppress(AttributeError):
                # only Airflow keeps sessions that have an id
                self._rotate_session_id()
            session[_STAMP] = _stamp(valid_since(self.home, account.name))
        self.update_user_auth_stat(user, True)
        return user

    def load_user(self: Any, pk: int) -> Any:
        """Return the user of a session, None once the account changed after it was opened."""
        user = super().load_user(pk)  # type: ignore[misc]  # of the manager this is mixed in before
        since = valid_since(self.home, user.username) if user else None
        return user if since and session.get(_STAMP) == _stamp(since) else None

    def load_user_jwt(self: Any, _jwt_header: Mapping[str, Any], jwt_data: Mapping[str, Any]) -> Any:
        """Return the user of a token, None once the account changed after it was issued."""
        user = super().load_user(jwt_data["sub"])  # type: ignore[misc]  # likewise
        if user is None or not still_good(self.home, user.username, jwt_data["iat"]):
            return None
        g.user = user
        return user

    def reset_password(self, *_: Any) -> None:
        """Refuse: the service's own password opens nothing."""
        abort(403, "Passwords are changed with `customs governance password NAME`.")


def _stamp(since: datetime | None) -> str:
    return since.isoformat() if since else ""
