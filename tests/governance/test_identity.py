"""One account store lets people into the commands, Superset and Airflow, and keeps them out of all three at once."""

import json
import subprocess
import time
from types import SimpleNamespace

import pytest
from flask import Flask, session
from typer.testing import CliRunner

from infra.governance import accounts
from infra.governance.accounts import Account, NotAllowedError
from infra.governance.sign_in import AccountsSignIn, still_good
from infra.runtime import audit
from infra.runtime.secrets import create_secrets
from infra.runtime.settings import REPOSITORY

PASSWORD = "correct horse battery"
LI = Account("li", "security-officer")


@pytest.fixture
def store(settings, monkeypatch):
    """An officer li and a steward wang."""
    monkeypatch.setattr(accounts, "HASH", "scrypt:1024:8:1")
    accounts.add_account(settings, "li", "security", PASSWORD, None)
    accounts.add_account(settings, "wang", "steward", PASSWORD, LI)
    return settings


class Users:
    """A security manager of Flask-AppBuilder as far as sign-in touches it, with passwords of its own."""

    def __init__(self, *roles):
        self.known_roles = roles
        self.users = {}

    def find_role(self, name):
        return name if name in self.known_roles else None

    def find_user(self, username):
        return self.users.get(username)

    def add_user(self, username, first, last, email, roles):
        self.users[username] = SimpleNamespace(id=len(self.users), username=username, roles=roles, active=True)
        return self.users[username]

    def update_user_auth_stat(self, user, success):
        user.signed_in = success

    def load_user(self, pk):
        return next((user for user in self.users.values() if user.id == int(pk)), None)

    def auth_user_db(self, username, password):
        pytest.fail("the service's own password was asked for")


def door_of(settings, roles, *known):
    class Door(AccountsSignIn, Users):
        pass

    Door.home, Door.door, Door.roles = settings, "superset", roles
    return Door(*known)


@pytest.fixture
def door(store):
    roles = {"data-steward": ("steward", "Gamma"), "security-officer": ("security",), "analyst": ("analyst",)}
    return door_of(store, roles, "steward", "Gamma", "analyst")


@pytest.fixture
def browser():
    """A request with a session, as a browser sends it."""
    app = Flask("browser")
    app.secret_key = "x"
    with app.test_request_context():
        yield session


def test_the_right_password_opens_with_the_roles_of_the_account(door, browser):
    user = door.auth_user_db("wang", PASSWORD)
    assert user.roles == ["steward", "Gamma"]
    assert door.load_user(user.id) is user
    assert door.auth_user_db("wang", "guess guess guess") is None
    assert door.auth_user_db("nobody", PASSWORD) is None
    assert door.auth_user_db("wang", None) is None


def test_a_role_without_a_place_there_is_not_let_in_and_that_is_an_event(store, door, browser):
    accounts.add_account(store, "rao", "requester", PASSWORD, LI)
    assert door.auth_user_db("rao", PASSWORD) is None
    assert door.users == {}
    events = [(e.event, e.actor, e.subject) for e in audit.events(store)]
    assert events[-1] == ("login.refused", "rao", "superset")
    # known to the platform, not yet made by a publication
    assert door.auth_user_db("li", PASSWORD) is None
    assert door.users == {}


def test_a_disabled_account_is_out_of_everything_at_once(store, door, browser, tmp_path):
    user = door.auth_user_db("wang", PASSWORD)
    accounts.open_session(store, Account("wang", "data-steward"), 5, tmp_path / "token")
    issued = time.time()
    accounts.disable_account(store, "wang", LI)
    assert door.load_user(user.id) is None
    assert not still_good(store, "wang", issued + 60)
    assert door.auth_user_db("wang", PASSWORD) is None
    with pytest.raises(NotAllowedError, match="has ended"):
        accounts.session_account(store, tmp_path / "token")
    with pytest.raises(NotAllowedError, match="wrong"):
        accounts.authenticate(store, "wang", PASSWORD)


@pytest.mark.parametrize("change", ["password", "role"])
def test_what_was_open_ends_when_the_account_changes(store, door, browser, change):
    user = door.auth_user_db("wang", PASSWORD)
    token = {"sub": str(user.id), "iat": int(time.time())}
    with Flask("api").test_request_context():
        assert door.load_user_jwt({}, token) is user
        assert door.load_user_jwt({}, token | {"iat": token["iat"] - 5}) is None, "issued before the account was"
    if change == "password":
        accounts.change_password(store, Account("wang", "data-steward"), "another horse battery")
    else:
        accounts.add_account(store, "wang", "analyst", PASSWORD, LI)
    assert door.load_user(user.id) is None
    again = door.auth_user_db("wang", "another horse battery" if change == "password" else PASSWORD)
    assert door.load_user(again.id) is again
    assert again.roles == (["steward", "Gamma"] if change == "password" else ["analyst"])


def test_five_wrong_passwords_at_one_door_lock_all(store, door, browser):
    for _ in range(accounts.ATTEMPTS):
        assert door.auth_user_db("wang", "guess guess guess") is None
    assert door.auth_user_db("wang", PASSWORD) is None
    with pytest.raises(NotAllowedError, match="locked"):
        accounts.authenticate(store, "wang", PASSWORD)


def test_the_first_accounts_are_those_of_the_secrets_and_are_made_once(store):
    secrets, _ = create_secrets(store)
    assert sorted(accounts.add_first_accounts(store, secrets.passwords)) == ["admin", "analyst", "manager", "steward"]
    assert accounts.add_first_accounts(store, secrets.passwords) == []
    assert accounts.authenticate(store, "analyst", secrets.passwords["analyst"]).role == "analyst"
    text = accounts.accounts_file(store).read_text()
    assert not [one for one in secrets.passwords.values() if one in text]
    # a person may take over an account; new secrets take it back
    accounts.change_password(store, Account("analyst", "analyst"), "another horse battery")
    accounts.add_first_accounts(store, secrets.passwords)
    with pytest.raises(NotAllowedError):
        accounts.authenticate(store, "analyst", secrets.passwords["analyst"])
    accounts.add_first_accounts(store, secrets.passwords, renew=True)
    assert accounts.authenticate(store, "analyst", secrets.passwords["analyst"]).role == "analyst"


def test_the_accounts_the_platform_signs_in_as_are_not_changed_by_hand(store):
    secrets, _ = create_secrets(store)
    accounts.add_first_accounts(store, secrets.passwords)
    with pytest.raises(NotAllowedError, match=r"delete secrets\.json"):
        accounts.disable_account(store, "manager", LI)
    with pytest.raises(NotAllowedError, match=r"delete secrets\.json"):
        accounts.add_account(store, "admin", "analyst", PASSWORD, LI)
    with pytest.raises(NotAllowedError, match=r"delete secrets\.json"):
        accounts.change_password(store, Account("admin", "administrator"), PASSWORD)


def test_only_an_officer_disables_and_not_themselves(store):
    for by in (None, Account("wang", "data-steward")):
        with pytest.raises(NotAllowedError, match="security officer"):
            accounts.disable_account(store, "wang", by)
    with pytest.raises(NotAllowedError, match="own account"):
        accounts.disable_account(store, "li", LI)
    assert accounts.valid_since(store, "wang")
    assert accounts.valid_since(store, "nobody") is None


def test_by_command_a_password_is_changed_and_an_account_disabled(store, monkeypatch):
    from infra.governance import governance_cli

    monkeypatch.setattr(governance_cli, "get_settings", lambda: store)

    def run(*words, given=None):
        return CliRunner().invoke(governance_cli.app, list(words), input=given, catch_exceptions=False)

    done = run("password", "wang", "--password-stdin", given=f"{PASSWORD}\nanother horse battery\n")
    assert done.exit_code == 0, done.output
    assert accounts.authenticate(store, "wang", "another horse battery")
    with pytest.raises(NotAllowedError, match="wrong"):
        run("password", "wang", "--password-stdin", given=f"{PASSWORD}\nthird horse battery\n")
    run("login", "li", "--password-stdin", given=f"{PASSWORD}\n")
    assert "disabled" in run("account", "disable", "wang").output
    listed = {one["name"]: one["disabled"] for one in json.loads(run("account", "list", "--json").output)}
    assert listed == {"li": False, "wang": True}


def test_accounts_and_audit_log_work_in_superset_s_environment(tmp_path):
    """They are imported there without the platform's libraries: pydantic-settings is not among Superset's."""
    code = (
        "import sys; sys.path.append('.')\n"
        "from pathlib import Path\nfrom types import SimpleNamespace\n"
        "from infra.governance import accounts, sign_in\nimport infra.superset.watch\n"
        f"home = SimpleNamespace(home=Path({str(tmp_path)!r}))\n"
        "accounts.add_account(home, 'li', 'security', 'correct horse battery', None)\n"
        "print(accounts.authenticate(home, 'li', 'correct horse battery', door='superset').role)\n"
    )
    done = subprocess.run(
        [REPOSITORY / ".venv-superset/bin/python", "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stdout.strip() == "security-officer", done.stderr
    assert audit.verify(SimpleNamespace(home=tmp_path)).reason == "ok"
