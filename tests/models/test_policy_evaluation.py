import numpy as np
import pytest

from models.policy_evaluation import (
    NoSupportError,
    compare,
    doubly_robust,
    graded_probabilities,
    inverse_probability,
    naive,
    self_normalised,
)

N, BUDGET = 20000, 0.05


def world(seed):
    """Declarations with a known chance of a violation, graded inspection, and the truth for another policy."""
    rng = np.random.default_rng(seed)
    risk, other = rng.normal(size=N), rng.normal(size=N)
    chance = 1 / (1 + np.exp(-(-3.2 + risk + 1.5 * other)))
    logged = graded_probabilities(risk, BUDGET)
    target = graded_probabilities(0.4 * risk + other, BUDGET)
    seen = rng.random(N) < logged
    outcome = np.where(seen, rng.random(N) < chance, np.nan)
    truth = (target * chance).sum() / target.sum()
    return outcome, seen, logged, target, chance, truth


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ips", "snips", "dr"])
def test_intervals_cover_the_truth_as_often_as_they_say(method):
    covered = []
    for seed in range(150):
        outcome, seen, logged, target, chance, truth = world(seed)
        if method == "ips":
            found = inverse_probability(outcome, seen, logged, target)
        elif method == "snips":
            found = self_normalised(outcome, seen, logged, target)
        else:
            # a model that is wrong in level and scale is still corrected
            found = doubly_robust(outcome, seen, logged, target, 0.5 * chance + 0.02)
        covered.append(found.low <= truth <= found.high)
    # a few rows carry most of the plain estimate, so its interval comes out too narrow; the other two are to be used
    assert (0.78 if method == "ips" else 0.88) <= np.mean(covered) <= 0.99


def test_the_naive_hit_rate_does_not_cover_it():
    covered = []
    for seed in range(30):
        outcome, seen, _, target, _, truth = world(seed)
        found = naive(outcome, seen, target)
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) < 0.3


def test_a_good_model_narrows_the_interval():
    widths = []
    for seed in range(12):
        outcome, seen, logged, target, chance, _ = world(seed)
        plain = inverse_probability(outcome, seen, logged, target)
        widths.append((plain.standard_error, doubly_robust(outcome, seen, logged, target, chance).standard_error))
    plain, robust = np.mean(widths, axis=0)
    assert robust < 0.8 * plain


def test_the_better_policy_comes_first():
    outcome, seen, logged, target, chance, _ = world(4)
    rows = compare(outcome, seen, logged, {"random": np.full(N, BUDGET), "graded": target}, chance)
    assert [row["policy"] for row in rows] == ["graded", "random"]


def test_what_was_never_looked_at_cannot_be_answered():
    outcome, seen, logged, target, _, _ = world(5)
    with pytest.raises(NoSupportError, match="no chance of being inspected"):
        inverse_probability(outcome, seen, np.where(np.arange(N) < N // 10, 0, logged), target)


def test_graded_probabilities_spend_the_budget_and_keep_the_floor():
    probability = graded_probabilities(np.random.default_rng(1).normal(size=5000), 0.03)
    assert probability.mean() == pytest.approx(0.03, rel=1e-3)
    assert probability.min() >= 0.005
    with pytest.raises(ValueError, match="cannot be spent"):
        graded_probabilities(np.arange(5), 0.001)
