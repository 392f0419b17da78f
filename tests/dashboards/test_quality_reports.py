"""The quality reports below Superset's address: for stewards who are signed in, and nothing outside their folder."""

import pytest
from flask import Flask
from flask_login import LoginManager, UserMixin

from infra.superset.quality_reports import quality_reports


class Person(UserMixin):
    def __init__(self, role: str) -> None:
        self.id = role
        self.roles = [type("Role", (), {"name": role})()]


@pytest.fixture
def app(tmp_path) -> Flask:
    docs = tmp_path / "quality" / "data_docs"
    (docs / "runs" / "r1").mkdir(parents=True)
    (docs / "runs" / "r1" / "index.html").write_text("<h1>Gate silver</h1>")
    (docs / "silver").symlink_to("runs/r1")
    (tmp_path / "quality" / "secret.txt").write_text("TOP SECRET")
    app = Flask("superset")
    app.secret_key = "k"
    LoginManager(app).request_loader(lambda request: Person(request.headers["X"]) if "X" in request.headers else None)
    app.register_blueprint(quality_reports(docs))
    return app


@pytest.mark.parametrize("page", ["runs/r1/index.html", "silver/index.html"])
def test_a_steward_reads_the_pages_of_a_run(app, page):
    answer = app.test_client().get(f"/quality/{page}", headers={"X": "steward"})
    assert (answer.status_code, answer.text) == (200, "<h1>Gate silver</h1>")


@pytest.mark.parametrize("role", ["manager", "analyst", "Gamma"])
def test_others_do_not(app, role):
    assert app.test_client().get("/quality/silver/index.html", headers={"X": role}).status_code == 403


def test_who_is_not_signed_in_is_asked_to(app):
    answer = app.test_client().get("/quality/silver/index.html")
    assert (answer.status_code, answer.location) == (302, "/login/?next=/quality/silver/index.html")


@pytest.mark.parametrize(
    "page", ["../secret.txt", "%2e%2e/secret.txt", "runs/r1/../../../secret.txt", "//etc/hostname"]
)
def test_nothing_outside_the_folder_is_given(app, page):
    answer = app.test_client().get(f"/quality/{page}", headers={"X": "steward"})
    assert answer.status_code in (308, 404)
    assert "SECRET" not in answer.text


def test_a_report_that_was_removed_says_how_long_they_are_kept(app):
    answer = app.test_client().get("/quality/runs/old/index.html", headers={"X": "steward"})
    assert answer.status_code == 404
    assert "kept for 30 days" in answer.text
