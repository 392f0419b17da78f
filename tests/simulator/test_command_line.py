"""The command: options that fit together, errors that say what to do, figures as JSON."""

import json
import sys
from datetime import date

import pytest
import typer
from typer.testing import CliRunner

from infra.cli import app as platform
from infra.runtime.settings import get_settings
from infra.simulator import cli
from infra.simulator.days import declaration_weight, order_weight, periods

from .conftest import TINY


@pytest.mark.parametrize(
    ("first", "last", "days", "expected"),
    [
        (None, date(2026, 11, 22), None, (date(2025, 5, 23), date(2026, 11, 22))),
        (None, date(2026, 1, 31), None, (date(2024, 7, 29), date(2026, 1, 31))),
        (None, date(2026, 11, 22), 10, (date(2026, 11, 13), date(2026, 11, 22))),
        (date(2026, 1, 1), None, 31, (date(2026, 1, 1), date(2026, 1, 31))),
        (date(2026, 1, 1), date(2026, 1, 2), 2, (date(2026, 1, 1), date(2026, 1, 2))),
    ],
)
def test_days_left_out_follow_from_the_others(first, last, days, expected):
    assert cli.span(first, last, days) == expected


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        (date(2026, 1, 2), date(2026, 1, 1), None),
        (date(2026, 1, 1), date(2026, 1, 9), 3),
        (None, None, 0),
        (date(2019, 1, 1), None, 5),
    ],
)
def test_days_that_contradict_one_another_are_refused(first, last, days):
    with pytest.raises(typer.BadParameter):
        cli.span(first, last, days)


def test_command_prints_figures_as_json(tmp_path, monkeypatch):
    monkeypatch.setitem(cli.SCALES, "small", TINY)
    folders = ["--out", str(tmp_path / "landing"), "--truth", str(tmp_path / "truth")]
    result = CliRunner().invoke(cli.app, ["--to", "2026-04-05", "--days", "4", "--seed", "5", "--json", *folders])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["first"] == "2026-04-02"
    assert figures["feeds"]["enterprises"]["rows"] >= TINY.enterprises
    landed = {p.parent.name for p in (tmp_path / "landing" / "ecommerce_order").rglob("*.gz")}
    assert landed == {"2026-04-02", "2026-04-03", "2026-04-04", "2026-04-05"}


def test_the_platform_says_where_source_systems_deliver(tmp_path, monkeypatch):
    monkeypatch.setitem(cli.SCALES, "small", TINY)
    monkeypatch.setenv("CUSTOMS_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["customs", "simulate"])
    get_settings.cache_clear()
    try:
        result = CliRunner().invoke(platform, ["simulate", "--to", "2026-04-05", "--days", "1"])
    finally:
        get_settings.cache_clear()
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "landing" / "declarations" / "2026-04-05").iterdir())
    assert list((tmp_path / "truth").rglob("*.parquet"))


def test_without_the_platform_the_folders_have_to_be_named():
    result = CliRunner().invoke(cli.app, ["--to", "2026-04-05", "--days", "1"])
    assert result.exit_code == 2
    assert "--out and --truth" in result.output


def test_truth_inside_the_landing_folder_is_refused(tmp_path):
    result = CliRunner().invoke(cli.app, ["--out", str(tmp_path), "--truth", str(tmp_path / "truth")])
    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_bad_day_is_explained():
    result = CliRunner().invoke(cli.app, ["--to", "22.11.2026"])
    assert result.exit_code == 2
    assert "2026-11-22" in result.output


def test_months_are_cut_at_their_ends_and_daily_days_stand_alone():
    cut = periods(date(2026, 1, 20), date(2026, 3, 2), 5)
    assert [(p.first, p.last, p.stamp) for p in cut[:2]] == [
        (date(2026, 1, 20), date(2026, 1, 31), "202601"),
        (date(2026, 2, 1), date(2026, 2, 25), "202602"),
    ]
    assert [p.stamp for p in cut[2:]] == ["20260226", "20260227", "20260228", "20260301", "20260302"]


def test_holidays_are_quiet_make_up_days_are_not_and_festivals_are_loud():
    assert declaration_weight(date(2025, 10, 1)) < 0.3 < declaration_weight(date(2025, 9, 28))  # Sunday, worked
    assert order_weight(date(2025, 11, 11)) > 5 * order_weight(date(2025, 11, 20))
