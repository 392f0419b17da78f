import pytest

from models.training import decide


def figures(own=0.8, baseline=0.7, champion=None, permuted=0.5):
    def part(auc):
        return {"n": 1000, "base_rate": 0.2, "auc": auc}

    found = {"holdout": part(own), "baseline": part(baseline), "permuted_auc": permuted}
    return found if champion is None else found | {"champion": part(champion)}


@pytest.mark.parametrize(
    ("given", "wins", "why"),
    [
        (figures(), True, "no champion to beat"),
        (figures(own=0.69), False, "baseline"),
        (figures(own=0.70), False, "baseline"),
        (figures(champion=0.79), True, "Beats champion"),
        (figures(champion=0.80), False, "champion"),
        (figures(own=0.75, baseline=0.76, champion=0.6), False, "baseline"),
        (figures(permuted=0.7), False, "leak"),
        (figures(own=None), False, "one outcome"),
    ],
)
def test_a_challenger_must_beat_baseline_and_champion_and_be_free_of_leaks(given, wins, why):
    promoted, reason = decide("auc", given)
    assert promoted is wins
    assert why in reason
