"""Roles based on built-in ones go without what may not be done, and a path no permission governs is closed."""

from pathlib import Path

import pytest
from flask import Flask

from dashboards.access import ensure_roles
from dashboards.specification import Role, Specification, load_specification
from dashboards.superset_api import SupersetError
from infra.superset.closed import close

GAMMA = {("can_csv", "Superset"), ("can_read", "Chart"), ("can_write", "Chart")}


class FakeSuperset:
    """Two roles, and the permissions Gamma gives; what is posted is kept."""

    def __init__(self) -> None:
        self.granted: list[int] = []
        self.ids = {pair: number for number, pair in enumerate(sorted(GAMMA))}

    def rows(self, path: str) -> list[dict]:
        if path == "security/roles/":
            return [{"id": 1, "name": "Gamma"}, {"id": 2, "name": "clerk"}]
        if path == "database/":
            return []
        return [{"id": i, "permission": {"name": a}, "view_menu": {"name": v}} for (a, v), i in self.ids.items()]

    def get(self, path: str) -> dict:
        pairs = GAMMA if path == "security/roles/1/permissions/" else set()
        return {"result": [{"permission_name": action, "view_menu_name": view} for action, view in pairs]}

    def post(self, path: str, body: dict) -> dict:
        assert path == "security/roles/2/permissions"
        self.granted = body["permission_view_menu_ids"]
        return {}


def roles(**without) -> Specification:
    clerk = Role(name="clerk", person="A clerk", description="Looks", based_on=("Gamma",), without=without)
    return Specification(folder=Path("dashboards"), databases={}, roles={"clerk": clerk}, datasets={}, dashboards={})


def test_a_role_has_what_it_is_based_on_without_what_is_withheld():
    superset = FakeSuperset()
    ensure_roles(superset, roles(Superset=("can_csv",)))
    assert {pair for pair, number in superset.ids.items() if number in superset.granted} == GAMMA - {
        ("can_csv", "Superset")
    }


def test_a_withheld_right_that_is_not_there_is_an_error_because_it_may_have_a_new_name():
    superset = FakeSuperset()
    with pytest.raises(SupersetError, match="goes without can_csw on Superset, which Gamma does not give"):
        ensure_roles(superset, roles(Superset=("can_csw",)))
    assert not superset.granted


def test_no_role_carries_data_out_as_a_file():
    for role in load_specification().roles.values():
        exports = {("Superset", "can_csv"), ("SQLLab", "can_export_csv"), ("SQLLab", "can_export_streaming_csv")}
        assert not {(view, one) for view, actions in role.permissions.items() for one in actions} & exports
        withheld = {(view, one) for view, actions in role.without.items() for one in actions}
        assert not role.based_on or exports <= withheld, role.name


def test_the_streamed_export_is_closed_and_the_rest_is_open():
    app = Flask(__name__)
    app.add_url_rule("/api/v1/sqllab/export_streaming/", "stream", lambda: "name,value\n1,2\n", methods=["POST"])
    app.add_url_rule("/api/v1/sqllab/execute/", "execute", lambda: "{}", methods=["POST"])
    close(app)
    client = app.test_client()
    refused = client.post("/api/v1/sqllab/export_streaming/", data={"client_id": "1"})
    assert refused.status_code == 403
    assert "name,value" not in refused.text
    assert client.post("/api/v1/sqllab/execute/").status_code == 200
