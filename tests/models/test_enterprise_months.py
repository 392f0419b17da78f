from datetime import date

import numpy as np
import pandas as pd
import pytest

from models.enterprise_risk.model import enterprise_months
from models.enterprise_risk.train import split
from models.training import TooFewLabelsError


def test_a_snapshot_is_at_risk_until_its_violation_or_the_end_of_observation():
    months = enterprise_months(pd.DataFrame(index=range(3)), np.array([3, 4, 0]), np.array([2, np.nan, np.nan]))
    assert months.to_dict("list") == {
        "row": [0, 0, 1, 1, 1, 1],
        "months_ahead": [1, 2, 1, 2, 3, 4],
        "happened": [0, 1, 0, 0, 0, 0],
    }


def test_a_violation_after_the_observed_months_does_not_count():
    months = enterprise_months(pd.DataFrame(index=range(1)), np.array([2]), np.array([5]))
    assert months["happened"].sum() == 0


def history(as_of=date(2026, 7, 10), snapshots=12, enterprises=60):
    rows = []
    for back in range(snapshots):
        month = (as_of.year * 12 + as_of.month - 1) - back - 1
        for i in range(enterprises):
            observed = back + 1
            event = (i % 4) + 1 if i % 3 == 0 else None
            rows.append(
                {
                    "trader_id": str(i),
                    "snapshot_on": date(month // 12, month % 12 + 1, 1),
                    "months_observed": observed,
                    "months_to_violation": event if event and event <= observed else None,
                }
            )
    return pd.DataFrame(rows)


def test_nothing_that_became_known_after_the_landmark_is_learned():
    parts = split(history(), date(2026, 7, 10))
    landmark, snapshots = parts.trained_until, parts.frames["snapshots"]
    assert (snapshots["snapshot_on"] < landmark).all()
    for months in (parts.train, parts.calibration):
        start = snapshots["snapshot_on"].iloc[months["row"]].to_numpy()
        ahead = months["months_ahead"].to_numpy()
        ended = [(d.year * 12 + d.month) + k for d, k in zip(start, ahead, strict=True)]
        assert max(ended) <= landmark.year * 12 + landmark.month
    assert set(parts.holdout["snapshot_on"]) == {landmark}
    assert len(parts.holdout) == parts.holdout["trader_id"].nunique()


def test_too_little_history_is_skipped_with_the_reason():
    with pytest.raises(TooFewLabelsError, match="3 are needed"):
        split(history(snapshots=2), date(2026, 7, 10))
    with pytest.raises(TooFewLabelsError, match="violations of enterprises"):
        split(history(enterprises=4, snapshots=4), date(2026, 7, 10))
