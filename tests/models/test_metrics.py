import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score

from models.metrics import auc_standard_error, calibration_metrics, flatten, ranking_metrics


@pytest.fixture
def ranked():
    rng = np.random.default_rng(3)
    score = rng.random(2000)
    return (rng.random(2000) < 0.05 + 0.4 * score**2).astype(int), score


def test_figures_are_those_of_sklearn(ranked):
    label, score = ranked
    figures = ranking_metrics(label, score)
    assert figures["n"] == 2000
    assert figures["base_rate"] == pytest.approx(label.mean())
    assert figures["auc"] == pytest.approx(roc_auc_score(label, score))
    assert figures["pr_auc"] == pytest.approx(average_precision_score(label, score))
    for budget in (1, 2, 5, 10):
        chosen = score >= np.sort(score)[::-1][2000 * budget // 100 - 1]
        assert figures["p_at"][str(budget)] == pytest.approx(precision_score(label, chosen))
        assert figures["r_at"][str(budget)] == pytest.approx(recall_score(label, chosen))


def test_weights_count_a_row_as_often_as_it_stands_for():
    label, score = np.array([1, 0, 1, 0, 0]), np.array([0.9, 0.8, 0.6, 0.4, 0.1])
    repeat = np.array([1, 3, 2, 4, 2])
    weighted = ranking_metrics(label, score, repeat)
    plain = ranking_metrics(np.repeat(label, repeat), np.repeat(score, repeat))
    assert weighted["auc"] == pytest.approx(plain["auc"])
    assert weighted["pr_auc"] == pytest.approx(plain["pr_auc"])
    assert weighted["base_rate"] == pytest.approx(plain["base_rate"])


def test_one_outcome_only_gives_no_auc_and_no_error():
    figures = ranking_metrics(np.zeros(10), np.arange(10))
    assert figures["auc"] is None
    assert figures["r_at"]["10"] is None
    assert ranking_metrics([], [])["n"] == 0


def test_calibrated_scores_have_a_small_calibration_error_and_overstated_ones_a_large_one():
    rng = np.random.default_rng(5)
    chance = rng.random(20000)
    label = rng.random(20000) < chance
    assert calibration_metrics(label, chance)["calibration_error"] < 0.02
    assert calibration_metrics(label, np.sqrt(chance))["calibration_error"] > 0.1
    assert calibration_metrics(label, chance)["brier_skill"] > 0


def test_standard_error_of_auc_agrees_with_its_spread_over_draws():
    rng = np.random.default_rng(9)
    draws = [roc_auc_score([1] * 40 + [0] * 160, rng.random(200)) for _ in range(300)]
    assert auc_standard_error(40, 160) == pytest.approx(np.std(draws), rel=0.2)


def test_flat_figures_keep_numbers_and_drop_the_rest():
    assert flatten({"a": {"b": 1, "c": None}, "d": [1], "e": True, "f": 0.5}) == {"a.b": 1.0, "f": 0.5}
