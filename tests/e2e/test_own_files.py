"""`customs up --input` on a published foreign format: the Korea Customs Service's import declarations."""

import pytest

pytestmark = [pytest.mark.services, pytest.mark.timeout(1800)]


def test_own_files_reach_a_champion_and_dashboards(kcs_files):
    told = kcs_files.status()
    assert told["feeds"]["declarations"]["rows_in"] > 2 * 45_519
    assert told["feeds"]["declarations"]["quarantined"] < 2_500
    assert told["datasets"]["tests_failed"] == 0
    assert told["models"]["declaration_risk"]["alias"] == "champion"
    assert "Clearance" in told["dashboards"]
    assert "Inspections" in told["dashboards"]
