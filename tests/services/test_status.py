"""`customs status --json` has the promised shape, with the services up or down."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from infra.runtime.secrets import create_secrets
from infra.runtime.settings import Settings
from infra.services import status, supervisor


@pytest.fixture
def settings(tmp_path):
    made = Settings(home=tmp_path)
    create_secrets(made)
    made.run.mkdir()
    return made


def test_a_model_is_told_by_its_champion_and_the_figures_training_left(settings, httpserver_like):
    answers = {
        "/registered-models/search": {
            "registered_models": [
                {
                    "name": "aeo",
                    "aliases": [{"alias": "champion", "version": "2"}],
                    "latest_versions": [{"version": "3"}],
                },
                {"name": "new", "latest_versions": [{"version": "1"}]},
            ]
        },
        "/model-versions/get": {"model_version": {"tags": [{"key": "headline", "value": '{"auc": 0.8}'}]}},
    }
    httpserver_like(answers)
    assert status.models(settings) == {
        "aeo": {"version": "2", "alias": "champion", "metrics": {"auc": 0.8}},
        "new": {"version": "1", "alias": None, "metrics": {"auc": 0.8}},
    }


@pytest.fixture
def httpserver_like(monkeypatch):
    """MLflow's REST answers by path, without a server."""
    real = httpx.Client

    def serve(answers):
        def answer(request):
            path = request.url.path.removeprefix("/api/2.0/mlflow")
            return httpx.Response(200, json=answers[path])

        monkeypatch.setattr(
            status.httpx, "Client", lambda **options: real(transport=httpx.MockTransport(answer), **options)
        )

    return serve


def test_with_everything_down_the_shape_holds_and_last_seen_models_are_told(settings, monkeypatch):
    monkeypatch.setattr(status, "feeds", lambda _: {"declarations": {"rows_in": 3, "good": 2, "quarantined": 1}})
    seen = {"models": {"declaration_risk": {"version": "4", "alias": "champion", "metrics": {"auc": 0.91}}}}
    (settings.run / "status.json").write_text(json.dumps(seen | {"dashboards": ["Clearance"]}))
    told = status.collect(settings)
    assert list(told) == ["services", "feeds", "datasets", "models", "dashboards", "urls"]
    assert set(told["services"].values()) == {"down"}
    assert told["feeds"]["declarations"] == {"rows_in": 3, "good": 2, "quarantined": 1}
    assert told["datasets"] == {"built": 0, "tests_passed": 0, "tests_failed": 0}
    assert told["models"]["declaration_risk"]["version"] == "4"
    assert told["dashboards"] == ["Clearance"]
    assert told["urls"]["superset"] == "http://127.0.0.1:18088"


def test_a_server_that_does_not_answer_does_not_break_the_rest(settings, monkeypatch):
    monkeypatch.setattr(status, "feeds", lambda _: {})
    monkeypatch.setattr(supervisor, "states", lambda s: {service.name: "up" for service in supervisor.services(s)})
    unused = settings.model_copy(update={"mlflow_port": 9, "superset_port": 9})
    told = status.collect(unused)
    assert told["models"] == {}
    assert told["dashboards"] == []


def test_the_command_answers_for_an_empty_folder(tmp_path):
    done = subprocess.run(
        [Path(sys.executable).with_name("customs"), "status", "--json"],
        capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "CUSTOMS_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told) == {"services", "feeds", "datasets", "models", "dashboards", "urls"}
