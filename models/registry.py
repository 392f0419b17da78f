"""MLflow: runs, registered versions, and which version is champion."""

import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema, TensorSpec

from infra.runtime import audit
from infra.runtime.errors import TryAgainError
from infra.runtime.settings import Settings

CHAMPION = "champion"
_REQUIREMENTS = ("mlflow", "pandas", "scikit-learn", "scipy", "xgboost-cpu")


class RegisteredScorer(PythonModel):
    """Scores pandas rows: score, reasons, and evidence where the model gives it."""

    def load_context(self, context: Any) -> None:
        """Load the scorer that was logged with the version."""
        self.scorer = joblib.load(context.artifacts["scorer"])
        self.artifacts = dict(context.artifacts)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return one row of score and reasons per input row; missing columns count as unknown."""
        return self.scorer.explain(model_input)

    def judged(self) -> Any:
        """Return the scorer whose metrics the version shows: trained only on rows before its hold-out."""
        return joblib.load(self.artifacts["judged"]) if "judged" in self.artifacts else self.scorer


@dataclass(frozen=True)
class Champion:
    """The version in use."""

    name: str
    version: str
    tags: dict[str, str]
    metrics: dict[str, float]
    run_id: str


def connect(settings: Settings) -> MlflowClient:
    """Return a client of the tracking and registry server.

    Raises:
        TryAgainError: the server does not answer.
    """
    uri = settings.tracking_uri
    if uri.startswith("http"):
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=10):  # noqa: S310 - our own server
                pass
        except (urllib.error.URLError, OSError) as error:
            raise TryAgainError(
                f"MLflow does not answer at {uri}: start it with `customs up` and try again."
            ) from error
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return MlflowClient()


def champion(client: MlflowClient, name: str) -> Champion | None:
    """Return the champion of a model, None when there is none yet."""
    try:
        found = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    run_id = str(found.run_id)
    metrics = client.get_run(run_id).data.metrics
    return Champion(name, str(found.version), dict(found.tags), dict(metrics), run_id)


def load_scorer(name: str) -> Any:
    """Load the scorer of the champion through ``models:/<name>@champion``."""
    with _loaded(name) as model:
        return model.scorer


def load_judged(name: str) -> Any:
    """Load the scorer the champion's metrics belong to."""
    with _loaded(name) as model:
        return model.judged()


@contextmanager
def _loaded(name: str) -> Iterator[RegisteredScorer]:
    # where MLflow may choose the folder it downloads to, the model stays in /tmp for ever
    with tempfile.TemporaryDirectory(prefix=f"customs-{name}-") as folder:
        yield mlflow.pyfunc.load_model(f"models:/{name}@{CHAMPION}", dst_path=folder).unwrap_python_model()


def register(
    client: MlflowClient,
    settings: Settings,
    name: str,
    scorer: Any,
    judged: Any | None,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    texts: Mapping[str, str],
) -> str:
    """Log a run with its model and register the model as a new version; aliases are not touched.

    Args:
        client: connected client.
        settings: where artifacts go when there is no server to take them.
        name: registered model and experiment.
        scorer: object with ``columns()`` and ``explain(frame)``.
        judged: the scorer the metrics belong to, when another one than ``scorer``.
        params: parameters of the run.
        metrics: flat figures.
        tags: tags of the version (as_of, source_system, rows …).
        texts: further artifacts, file name → content.

    Returns:
        The new version.
    """
    _experiment(client, settings, name)
    columns: list[ColSpec | TensorSpec] = [ColSpec(k, c, required=False) for c, k in scorer.columns().items()]
    outputs: list[ColSpec | TensorSpec] = [ColSpec("double", "score"), ColSpec("string", "reasons")]
    with mlflow.start_run(tags=dict(tags)) as run, tempfile.TemporaryDirectory() as folder:
        mlflow.log_params({k: str(v)[:500] for k, v in params.items()})
        mlflow.log_metrics(dict(metrics))
        for file, content in texts.items():
            mlflow.log_text(content, file)
        artifacts = {"scorer": str(Path(folder) / "scorer.joblib")}
        joblib.dump(scorer, artifacts["scorer"], compress=3)
        if judged is not None:
            artifacts["judged"] = str(Path(folder) / "judged.joblib")
            joblib.dump(judged, artifacts["judged"], compress=3)
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=RegisteredScorer(),
            artifacts=artifacts,
            signature=ModelSignature(inputs=Schema(columns), outputs=Schema(outputs)),
            pip_requirements=[f"{package}=={version(package)}" for package in _REQUIREMENTS],
            registered_model_name=name,
        )
        new = str(logged.registered_model_version)
        for key, value in {**tags, "run_id": run.info.run_id}.items():
            client.set_model_version_tag(name, new, key, str(value))
        detail = {"version": new, "run": run.info.run_id}
    audit.record("model.registered", "system:models", name, detail, settings=settings)
    return new


def promote(client: MlflowClient, settings: Settings, name: str, model_version: str) -> None:
    """Make a version the champion."""
    before = champion(client, name)
    client.set_registered_model_alias(name, CHAMPION, model_version)
    detail = {"version": model_version, "before": before.version if before else None}
    audit.record("model.champion", "system:models", name, detail, settings=settings)


def overview(client: MlflowClient, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return ``{name: {version, alias, metrics}}``; version None where nothing is registered."""
    result: dict[str, dict[str, Any]] = {}
    for name in names:
        found = champion(client, name)
        if found is not None:
            headline = json.loads(found.tags.get("headline", "{}"))
            result[name] = {"version": found.version, "alias": CHAMPION, "metrics": headline}
            continue
        versions = client.search_model_versions(f"name = '{name}'")
        newest = max((int(v.version) for v in versions), default=None)
        result[name] = {"version": None if newest is None else str(newest), "alias": None, "metrics": {}}
    return result


def _experiment(client: MlflowClient, settings: Settings, name: str) -> None:
    if client.get_experiment_by_name(name) is None:
        # without a server that takes them, artifacts would land in the current folder
        own = None if settings.tracking_uri.startswith("http") else (settings.home / "mlflow" / "artifacts" / name)
        client.create_experiment(name, artifact_location=None if own is None else own.resolve().as_uri())
    mlflow.set_experiment(name)
