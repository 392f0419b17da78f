"""`customs contracts …` as a person uses it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data_contracts import ContractError, UnknownContractError, load_contracts
from data_contracts.cli import app
from data_contracts.loader import ROOT

COMMANDS = ["check", "build", "diff", "dictionary", "reference", "show"]
runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})


def call(*words: str) -> str:
    return runner.invoke(app, list(words), catch_exceptions=False).output


@pytest.mark.parametrize("command", [[], *([c] for c in COMMANDS)])
def test_every_help_teaches_by_example(command):
    assert "customs contracts" in call(*command, "--help").split("Example:")[1]


def test_check_counts_what_it_checked():
    output = call("check")
    assert f"{len(load_contracts())} contracts" in output
    assert "all good" in output


def test_build_check_exits_3_when_a_file_is_stale(monkeypatch):
    assert "fresh" in call("build", "--check")
    monkeypatch.setattr("data_contracts.generated.generated_files", lambda: {Path("docs/data-dictionary.md"): "other"})
    with pytest.raises(ContractError, match=r"docs/data-dictionary\.md") as caught:
        call("build", "--check")
    assert caught.value.exit_code == 3


def test_show_explains_a_contract_and_a_role():
    output = call("show", "ecommerce.order", "--role", "manager")
    assert "buyer_id" in output
    assert "absent" in output
    assert "actual_paid.adds_up" in output
    with pytest.raises(UnknownContractError, match="manager"):
        call("show", "ecommerce.order", "--role", "boss")
    with pytest.raises(UnknownContractError, match=r"ecommerce\.order"):
        call("show", "ecommerce.ordre")


def test_reference_writes_a_landing_file_per_list(tmp_path):
    call("reference", "--out", str(tmp_path), "--day", "2026-11-20")
    files = sorted(tmp_path.glob("reference_*/2026-11-20/*.csv"))
    assert len(files) == sum(c.domain == "reference" for c in load_contracts().values())
    ranks = (tmp_path / "reference_credit_rank" / "2026-11-20" / "reference_credit_rank.csv").read_text(
        encoding="utf-8"
    )
    assert ranks.startswith("code,validFrom,validTo,name,isAeo,law,messageTime,messageSeq\n")
    assert "\nregular,2026-04-01,,Regular enterprise,false,GACC Order 282,2026-11-20T00:00:00+08:00," in ranks
    with pytest.raises(UnknownContractError, match="YYYY-MM-DD"):
        call("reference", "--out", str(tmp_path), "--day", "yesterday")


@pytest.fixture
def older(tmp_path) -> Path:
    folder = tmp_path / "data_contracts"
    shutil.copytree(ROOT / "declarations", folder / "declarations")
    shutil.copy(ROOT / "record_fields.yaml", folder)
    return folder


def test_diff_of_folders_refuses_a_silent_breaking_change(older, tmp_path):
    newer = tmp_path / "newer"
    shutil.copytree(older, newer)
    assert "No difference" in call("diff", str(older), str(newer))
    path = newer / "declarations" / "declaration.odcs.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("physicalType: INTEGER", "physicalType: BIGINT", 1), encoding="utf-8")
    with pytest.raises(ContractError, match=r"declarations\.declaration; raise 'version'") as caught:
        call("diff", str(older), str(newer))
    assert caught.value.exit_code == 3
    path.write_text(path.read_text(encoding="utf-8").replace("version: 1.1.0", "version: 2.0.0", 1), encoding="utf-8")
    assert "breaking" in call("diff", str(older), str(newer))


def test_diff_with_a_git_revision(older, monkeypatch):
    git = ["git", "-C", str(older.parent), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr("data_contracts.cli.ROOT", older)
    output = call("diff", "--ref", "HEAD")
    assert "ecommerce.order" in output
    assert "table: new" in output
    with pytest.raises(UnknownContractError, match="no-such-revision"):
        call("diff", "--ref", "no-such-revision")
    with pytest.raises(UnknownContractError, match="--ref"):
        call("diff", str(older), "--ref", "HEAD")
