"""The way every model is trained: split by time, fit, judge, compare with baseline and champion, register, promote."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
from deltalake import DeltaTable
from mlflow import MlflowClient

from infra.runtime.errors import BadArgumentsError
from infra.runtime.settings import Settings
from models import registry
from models.card import render_card
from models.declared import DeclaredFeatures
from models.metrics import auc_standard_error, calibration_metrics, flatten, ranking_metrics

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHUFFLE_SEED = 7


class TooFewLabelsError(Exception):
    """There is nothing to learn from yet; not an error of the platform: the model is skipped."""


class Scorer(Protocol):
    """What a trained model can do."""

    def columns(self) -> dict[str, str]:
        """Return input columns and their MLflow types."""

    def explain(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return score and reasons per row."""


@dataclass
class Split:
    """Rows before the hold-out, rows to calibrate on (the latest before it), and the hold-out; labels beside them.

    Attributes:
        trained_until: first day of the hold-out; nothing known on or after it is learned from.
        notes: what the card says about the split.
        frames: further rows a recipe needs beside the split.
    """

    train: pd.DataFrame
    calibration: pd.DataFrame
    holdout: pd.DataFrame
    train_label: np.ndarray
    calibration_label: np.ndarray
    holdout_label: np.ndarray
    trained_until: date
    notes: dict[str, Any] = field(default_factory=dict)
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)


def split_at(
    rows: pd.DataFrame,
    label: np.ndarray,
    parts: tuple[pd.Index, pd.Index, pd.Index],
    trained_until: date,
    known: str,
    notes: dict[str, Any] | None = None,
) -> Split:
    """Return the split of rows into train, calibration and hold-out, given by their index.

    Raises:
        TooFewLabelsError: train or hold-out has one outcome only; ``known`` names the labels in the message.
    """
    train, _, holdout = parts
    for part in (train, holdout):
        if not 0 < label[part].sum() < len(part):
            raise TooFewLabelsError(f"the {known} known so far lie too close together in time to hold a part out")
    frames = [rows.loc[part] for part in parts]
    labels = [label[part] for part in parts]
    return Split(*frames, *labels, trained_until, notes or {})


@dataclass(frozen=True)
class Recipe:
    """What differs from model to model.

    Attributes:
        features: declared inputs.
        primary: figure the gate compares (``auc`` or ``pr_auc``).
        baseline_name: what the baseline is, in words.
        split: rows → split by time; raises TooFewLabelsError.
        fit: train on a split.
        predict: scores of the hold-out, by any scorer of this recipe.
        baseline: the baseline's scores of the hold-out.
        further: more figures for card and MLflow (strata, back-tests).
        refit: trained scorer, all rows → scorer trained on every label known; None keeps the judged one.
        limits: sentences for the card.
        on_spark: whether ``fit`` needs a Spark session; without one it is given None.
    """

    features: DeclaredFeatures
    primary: str
    baseline_name: str
    split: Callable[[pd.DataFrame, date], Split]
    fit: Callable[["SparkSession", Split], Scorer]
    predict: Callable[[Any, Split], np.ndarray]
    baseline: Callable[[Split], np.ndarray]
    further: Callable[["SparkSession", Any, Split, pd.DataFrame, date], dict[str, Any]] | None
    refit: Callable[["SparkSession", Any, pd.DataFrame, date], Scorer] | None
    limits: tuple[str, ...]
    on_spark: bool = True


def built_days(settings: Settings, name: str) -> list[date]:
    """Return the days a feature set was built for, oldest first."""
    path = str(settings.features(name))
    if not DeltaTable.is_deltatable(path):
        return []
    partitions = DeltaTable(path).partitions()
    return sorted({date.fromisoformat(str(p["as_of"])) for p in partitions})


def feature_day(settings: Settings, name: str, as_of: date | None) -> date | None:
    """Return the day to work on: the one given, by default the latest built; None while the set has no rows at all.

    Raises:
        BadArgumentsError: the feature set was never built, or not for the day asked for.
    """
    if not DeltaTable.is_deltatable(str(settings.features(name))):
        raise BadArgumentsError(f"Feature set {name} was never built: run `customs features build --as-of DAY` first.")
    days = built_days(settings, name)
    if not days:
        return None
    if as_of is None:
        return days[-1]
    if as_of not in days:
        raise BadArgumentsError(
            f"Feature set {name} was last built for {days[-1]}: run `customs features build --as-of {as_of}` first."
        )
    return as_of


def read_features(settings: Settings, features: DeclaredFeatures, as_of: date) -> pd.DataFrame:
    """Return the rows of a feature set that carry a label, in order of time."""
    labelled = (
        ds.field("months_observed") > 0 if "months_observed" in features.meta else ds.field(features.label).is_valid()
    )
    table = DeltaTable(str(settings.features(features.name))).to_pyarrow_dataset()
    rows = table.to_table(list(features.columns), filter=(ds.field("as_of") == as_of) & labelled).to_pandas()
    rows[features.time] = pd.to_datetime(rows[features.time]).dt.date
    return rows.sort_values([features.time, *features.key], kind="stable", ignore_index=True)


def choose_source(rows: pd.DataFrame, source_system: str | None) -> str:
    """Return the source system to train on: the one asked for, else the one with most labelled rows.

    Raises:
        TooFewLabelsError: no labelled rows at all, or none of the source asked for.
    """
    counts = rows["source_system"].value_counts()
    if counts.empty:
        raise TooFewLabelsError("no labels are known yet")
    if source_system is None:
        return str(counts.index[0])
    if source_system not in counts.index:
        raise TooFewLabelsError(f"no labels of source system {source_system} are known yet")
    return source_system


def train(
    start: Callable[[], "SparkSession"],
    settings: Settings,
    client: MlflowClient,
    recipe: Recipe,
    as_of: date,
    source_system: str | None = None,
) -> dict[str, Any]:
    """Train a challenger, register it, and make it champion when it wins.

    Args:
        start: gives the Spark session, once there is something to learn from.
        settings: where features and cards are.
        client: connected MLflow client.
        recipe: the model.
        as_of: built day of the feature set; labels known on or after it are not there.
        source_system: origin of the rows; origins are never mixed in one model.

    Returns:
        Report: outcome (``trained``), version, promoted, reason, metrics.

    Raises:
        TooFewLabelsError: the model cannot be trained yet.
    """
    name = recipe.features.name
    rows = read_features(settings, recipe.features, as_of)
    source = choose_source(rows, source_system)
    rows = rows[rows["source_system"] == source].reset_index(drop=True)
    split = recipe.split(rows, as_of)
    spark: Any = start() if recipe.on_spark else None
    scorer = recipe.fit(spark, split)
    score = recipe.predict(scorer, split)
    figures: dict[str, Any] = {
        "holdout": ranking_metrics(split.holdout_label, score),
        "baseline": ranking_metrics(split.holdout_label, recipe.baseline(split)),
        "calibration": calibration_metrics(split.holdout_label, score),
        "permuted_auc": _permuted_auc(spark, recipe, split),
        **(recipe.further(spark, scorer, split, rows, as_of) if recipe.further else {}),
    }
    current = registry.champion(client, name)
    if current is not None and current.tags.get("source_system") == source:
        judged = registry.load_judged(name)
        figures["champion"] = ranking_metrics(split.holdout_label, recipe.predict(judged, split))
    promoted, reason = decide(recipe.primary, figures)
    final = recipe.refit(spark, scorer, rows, as_of) if recipe.refit else scorer
    headline = headline_of(figures)
    tags = {
        "as_of": as_of.isoformat(),
        "source_system": source,
        "rows": str(len(rows)),
        "trained_until": split.trained_until.isoformat(),
        "gate": reason,
        "headline": json.dumps(headline),
    }
    facts = {
        "as of": as_of.isoformat(),
        "source system": source,
        "labelled rows": len(rows),
        "trained until": split.trained_until.isoformat(),
        "rows to train / calibrate / judge": f"{len(split.train)} / {len(split.calibration)} / {len(split.holdout)}",
        "trained at": datetime.now(UTC).isoformat(timespec="seconds"),
        **split.notes,
    }
    card = render_card(recipe, facts, figures, reason, _importance(scorer, split))
    version = registry.register(
        client,
        settings,
        name,
        final,
        scorer if recipe.refit else None,
        params=facts,
        metrics=flatten(figures),
        tags=tags,
        texts={"card.md": card, "figures.json": json.dumps(figures, indent=1, default=str)},
    )
    client.update_model_version(name, version, description=card[:20000])
    if promoted:
        registry.promote(client, settings, name, version)
        path = card_path(settings, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(card.replace("VERSION", version), encoding="utf-8")
    return {
        "outcome": "trained",
        "name": name,
        "version": version,
        "promoted": promoted,
        "reason": reason,
        "source_system": source,
        "metrics": headline,
    }


def decide(primary: str, figures: dict[str, Any]) -> tuple[bool, str]:
    """Decide whether a challenger becomes champion.

    Args:
        primary: figure to compare.
        figures: ``holdout``, ``baseline`` and, where there is one, ``champion`` on the same rows; ``permuted_auc``.

    Returns:
        Whether it wins, and why in one sentence.
    """
    own, base = figures["holdout"][primary], figures["baseline"][primary]
    if own is None or base is None:
        return False, "The hold-out has one outcome only, so nothing can be compared."
    n, rate = figures["holdout"]["n"], figures["holdout"]["base_rate"]
    noise = auc_standard_error(round(n * rate), round(n * (1 - rate)))
    permuted = figures.get("permuted_auc")
    if permuted is not None and abs(permuted - 0.5) > max(0.08, 4 * noise):
        return False, f"Trained on shuffled labels it still ranks (AUC {permuted:.3f}): a leak, look for it."
    if own <= base:
        return False, f"Not better than the baseline ({primary} {own:.3f} against {base:.3f})."
    rival = figures.get("champion", {}).get(primary)
    if rival is None:
        return True, f"Beats the baseline ({primary} {own:.3f} against {base:.3f}); there was no champion to beat."
    if own <= rival:
        return False, f"Not better than the champion on the same rows ({primary} {own:.3f} against {rival:.3f})."
    return True, f"Beats champion and baseline on the same rows ({primary} {own:.3f}, {rival:.3f}, {base:.3f})."


def headline_of(figures: dict[str, Any]) -> dict[str, float | None]:
    """Return the figures shown in status and lists."""
    own, base = figures["holdout"], figures["baseline"]

    def short(value: float | None) -> float | None:
        return None if value is None else round(value, 4)

    return {
        "n": own["n"],
        "base_rate": short(own["base_rate"]),
        "auc": short(own["auc"]),
        "pr_auc": short(own["pr_auc"]),
        "recall_at_1_false_alarm": short(own["recall_at_1_false_alarm"]),
        **{f"p_at_{budget}": short(value) for budget, value in own["p_at"].items()},
        "baseline_auc": short(base["auc"]),
        "baseline_pr_auc": short(base["pr_auc"]),
        "brier": short(figures["calibration"]["brier"]),
    }


def card_path(settings: Settings, name: str) -> Any:
    """Return where the champion's card lies."""
    return settings.home / "models" / "cards" / f"{name}.md"


def _permuted_auc(spark: "SparkSession", recipe: Recipe, split: Split) -> float | None:
    """Return the AUC of the same recipe trained and judged on shuffled labels; about one half without a leak.

    The hold-out's labels are shuffled too: against the true ones a model of noise is off one half either way, because
    whatever it learned is a direction among features that all lean on compliance.
    """
    rng = np.random.default_rng(SHUFFLE_SEED)
    shuffled = Split(
        split.train,
        split.calibration,
        split.holdout,
        rng.permutation(split.train_label),
        rng.permutation(split.calibration_label),
        rng.permutation(split.holdout_label),
        split.trained_until,
        {**split.notes},
        split.frames,
    )
    return ranking_metrics(shuffled.holdout_label, recipe.predict(recipe.fit(spark, shuffled), shuffled))["auc"]


def _importance(scorer: Any, split: Split) -> list[tuple[str, float]]:
    reasons = scorer.explain(split.holdout.head(500), top=50)["reasons"]
    sums: dict[str, float] = {}
    for text in reasons:
        for reason in json.loads(text):
            sums[reason["feature"]] = sums.get(reason["feature"], 0.0) + abs(reason["contribution"])
    ranked = sorted(sums.items(), key=lambda item: -item[1])
    return [(name, total / max(len(reasons), 1)) for name, total in ranked[:12]]
