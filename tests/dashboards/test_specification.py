import pytest

from dashboards.specification import load_specification
from infra.runtime.errors import DataContractError


def test_our_own_specs_load():
    specification = load_specification()
    assert list(specification.dashboards) == [
        "clearance", "ecommerce", "enterprises", "inspections", "rail-train", "railway",
        "smart-inspection", "special-goods", "stewardship",
    ]  # fmt: skip
    for dashboard in specification.dashboards.values():
        assert dashboard.intro.splitlines()[0].endswith("?"), "a page opens with the question it answers"


@pytest.mark.parametrize("place", ["dashboard", "chart", "dataset", "metric", "database", "role"])
def test_an_unknown_key_is_refused_and_named(specs, place):
    target = {
        "dashboard": specs.dashboard,
        "chart": specs.chart("count"),
        "dataset": specs.datasets["clearance"],
        "metric": specs.datasets["clearance"]["metrics"]["share"],
        "database": specs.databases["databases"][0],
        "role": specs.roles["roles"][0],
    }[place]
    target["colour"] = "red"
    with pytest.raises(DataContractError, match=r"dashboards|datasets") as refusal:
        specs.load()
    assert "colour" in str(refusal.value)
    assert refusal.value.exit_code == 3


def test_a_row_has_to_fill_the_grid(specs):
    specs.chart("count")["width"] = 5
    with pytest.raises(DataContractError, match="11 columns wide"):
        specs.load()


@pytest.mark.parametrize("change", [{"period_days": 30}, {"subject": None}])
def test_a_page_opens_with_months_of_a_subject_or_with_days(specs, change):
    specs.dashboard |= change
    with pytest.raises(DataContractError, match="give subject or period_days"):
        specs.load()


def test_two_charts_cannot_share_an_id(specs):
    specs.chart("offices")["id"] = "count"
    with pytest.raises(DataContractError, match="used twice: count"):
        specs.load()


def test_a_dashboard_lies_in_the_file_of_its_slug(specs):
    specs.dashboard["slug"] = "release"
    with pytest.raises(DataContractError, match="name the file after its slug"):
        specs.load()


def test_broken_yaml_names_the_file(specs):
    specs.load()
    (specs.folder / "roles.yaml").write_text("roles: [", encoding="utf-8")
    with pytest.raises(DataContractError, match=r"roles\.yaml is not readable YAML"):
        load_specification(specs.folder)
