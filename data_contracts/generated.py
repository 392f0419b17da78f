"""The generated files of the repository, and whether they are fresh."""

from pathlib import Path

from data_contracts.emit.dbt import GENERATED, sources_yaml
from data_contracts.emit.dictionary import dictionary_markdown
from data_contracts.loader import ROOT, load_contracts
from data_contracts.policy import load_policy

REPOSITORY = ROOT.parent


def generated_files() -> dict[Path, str]:
    """Return {path relative to the repository: text} of every file made from the contracts."""
    contracts = load_contracts().values()
    return {
        Path("dbt/models/sources") / GENERATED: sources_yaml(contracts),
        Path("docs/data-dictionary.md"): dictionary_markdown(contracts, load_policy()),
    }


def stale_files(repository: Path = REPOSITORY) -> list[Path]:
    """Return the generated files that are missing or differ from what the contracts say."""
    return [
        path
        for path, text in generated_files().items()
        if not (repository / path).is_file() or (repository / path).read_text(encoding="utf-8") != text
    ]


def write_files(repository: Path = REPOSITORY) -> list[Path]:
    """Write the stale generated files and return their paths."""
    texts = generated_files()
    stale = stale_files(repository)
    for path in stale:
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(texts[path], encoding="utf-8")
    return stale
