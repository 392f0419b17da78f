"""`customs contracts …`: check, build, compare and read the data contracts."""

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from data_contracts.compare import Verdict
from data_contracts.errors import ContractError, UnknownContractError
from data_contracts.loader import ROOT, contract_files, load_contract, load_contracts, parse_contract, read_yaml
from data_contracts.model import Contract

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Check, build and compare the data contracts.",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example:  customs contracts check",
)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


@app.command(epilog="Example:  customs contracts check")
def check() -> None:
    """Check every contract, layout, code list and the policy, and compile every rule for both engines.

    Exit code 3 names the file, the field and the remedy.
    """
    from data_contracts.codes import code_list
    from data_contracts.emit.fixtures import one_fault_rows
    from data_contracts.emit.sql import DIALECTS, history_rules, rules
    from data_contracts.layout import load_layouts
    from data_contracts.policy import load_policy

    contracts = load_contracts()
    layouts = load_layouts()
    policy = load_policy()
    codes = sum(len(code_list(c.id)) for c in contracts.values() if c.domain == "reference")
    compiled = 0
    for contract in contracts.values():
        for dialect in DIALECTS:
            compiled += len(rules(contract, dialect)) + len(history_rules(contract, dialect))
        for field in contract.fields:
            if field.purpose is not None and field.purpose not in policy.purposes:
                raise ContractError(
                    f"{contract.file}, field {field.name}: purpose {field.purpose} is not in policy.yaml; add it there."
                )
        one_fault_rows(contract)
    brought = {contract for layout in layouts.values() for contract in layout.contracts}
    for contract in contracts.values():
        if contract.feed and contract.id not in brought:
            raise ContractError(f"{contract.file}: no layout brings {contract.id}; add one beside it (*.layout.yaml).")
    _console().print(
        f"{len(contracts)} contracts, {len(layouts)} layouts, {codes} codes, {compiled} compiled rules "
        f"({', '.join(DIALECTS)}), policy {policy.version}: all good."
    )


@app.command(epilog="Example:  customs contracts build          customs contracts build --check")
def build(
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 3 when a generated file is not fresh.")
    ] = False,
) -> None:
    """Write the generated files: dbt sources and the data dictionary."""
    from data_contracts.generated import stale_files, write_files

    if check_only:
        if stale := stale_files():
            names = ", ".join(str(p) for p in stale)
            raise ContractError(f"Not fresh: {names}; run 'customs contracts build' and commit the result.")
        _console().print("Generated files are fresh.")
        return
    for path in write_files():
        _console().print(f"wrote {path}")
    _console().print("Generated files are fresh.")


@app.command(epilog="Example:  customs contracts diff  ·  customs contracts diff --ref origin/main  ·  … diff OLD NEW")
def diff(
    old: Annotated[
        Path | None, typer.Argument(help="Folder with the older contracts; default the last release.")
    ] = None,
    new: Annotated[Path | None, typer.Argument(help="Folder with the newer contracts; default those in use.")] = None,
    ref: Annotated[str | None, typer.Option(help="Git revision to compare the contracts in use with.")] = None,
) -> None:
    """Say what changed between two versions of the contracts: additive, breaking or words only.

    Exit code 3 when a breaking change comes without a major version.
    """
    from data_contracts.compare import compare
    from data_contracts.released import released_contracts, silent

    if old is not None and ref is not None:
        raise UnknownContractError("Say one thing to compare with: a folder, or --ref REVISION.")
    released = released_contracts() if old is None and ref is None else {}
    before = _in_folder(old) if old is not None else _at_revision(ref) if ref is not None else released
    after = _in_folder(new) if new is not None else load_contracts()
    verdicts = compare(before, after)
    _print_verdicts(verdicts)
    timid = [v.contract for v in verdicts if v.kind == "additive" and not v.is_honest]
    if timid:
        _console().print(f"Additive change without a new minor version: {', '.join(timid)}.")
    if broken := [v.contract for v in silent(verdicts)]:
        raise ContractError(f"Breaking change without a new major version: {', '.join(broken)}; raise 'version' there.")


def _print_verdicts(verdicts: Sequence[Verdict]) -> None:
    table = Table("contract", "version", "kind", "what", box=None)
    for verdict in verdicts:
        version = f"{verdict.old_version or '-'} → {verdict.new_version or '-'}"
        for change in verdict.changes:
            table.add_row(verdict.contract, version, change.kind, change.what)
    _console().print(table if verdicts else "No difference.")


@app.command(epilog="Example:  customs contracts release")
def release() -> None:
    """Promise the contracts in use: what later changes are compared with, here and in CI.

    Run it when a version of the platform is given to others, and commit the file it writes. Exit code 3 when a version
    does not say what changed.
    """
    from data_contracts.released import FILE
    from data_contracts.released import release as make_release

    _print_verdicts(make_release())
    _console().print(f"Released: {ROOT.name}/{FILE}; commit it.")


@app.command(epilog="Example:  customs contracts dictionary > dictionary.md")
def dictionary() -> None:
    """Print the data dictionary as Markdown (`build` writes it to docs/data-dictionary.md)."""
    from data_contracts.emit.dictionary import dictionary_markdown
    from data_contracts.policy import load_policy

    typer.echo(dictionary_markdown(load_contracts().values(), load_policy()), nl=False)


@app.command(epilog="Example:  customs contracts reference --out var/landing --day 2026-11-20")
def reference(
    out: Annotated[Path, typer.Option(help="Landing folder; one folder per reference feed is made below it.")],
    day: Annotated[str | None, typer.Option(help="Business day, YYYY-MM-DD; default today.")] = None,
) -> None:
    """Write the dated code lists as landing files of the reference feeds: <out>/<feed>/<day>/<feed>.csv."""
    from data_contracts.emit.reference import reference_csv

    try:
        sent = date.fromisoformat(day) if day else date.today()  # noqa: DTZ011 - a business day, not an instant
    except ValueError as error:
        raise UnknownContractError(f"Day '{day}' is not a date; write it as YYYY-MM-DD.") from error
    for contract in load_contracts().values():
        if contract.domain != "reference":
            continue
        folder = out / (contract.feed or "") / sent.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{contract.feed}.csv"
        text = reference_csv(contract, sent)
        path.write_text(text, encoding="utf-8")
        _console().print(f"{path}  {text.count(chr(10)) - 1} rows")


@app.command(epilog="Example:  customs contracts show declarations.declaration")
def show(
    contract_id: Annotated[str, typer.Argument(metavar="CONTRACT", help="<domain>.<entity>")],
    role: Annotated[str | None, typer.Option(help="Show what this role gets of each column.")] = None,
) -> None:
    """Print one contract: its columns, where each comes from, and its rules."""
    from data_contracts.emit.masks import role_projection
    from data_contracts.emit.sql import rules
    from data_contracts.policy import load_policy

    contract = load_contract(contract_id)
    policy = load_policy()
    if role is not None and role not in policy.roles:
        raise UnknownContractError(f"There is no role '{role}'; use one of {', '.join(policy.roles)}.")
    console = _console()
    console.print(f"[bold]{contract.id}[/] {contract.version}: {contract.description}")
    flow = f"feed {contract.feed}, record {contract.record}" if contract.feed else f"written by {contract.producer}"
    console.print(f"table {contract.table} · {flow} · key {', '.join(contract.key)} · {contract.owner}")
    seen = role_projection(contract, role, policy) if role else {}
    shown = {f.name: policy.form(f.grade, role or "", f.personal_information) for f in contract.columns}
    table = Table("column", "type", "", "grade", "source", *([f"as {role} sees it"] if role else []), box=None)
    for f in contract.columns:
        marks = " ".join(m for m, on in (("key", f.key_position), ("part", f.partition_position)) if on)
        marks = marks or ("required" if f.required else "")
        source = f"= {f.derivation}" if f.derivation else f.source_field or "(platform)"
        extra = [shown[f.name] if seen[f.name] else "absent"] if role else []
        table.add_row(f.name, f.physical_type, marks, f.grade, source, *extra)
    console.print(table)
    listing = Table("rule", "severity", "what", box=None)
    for rule in (*rules(contract), *contract.history):
        listing.add_row(rule.id, rule.severity, rule.description)
    console.print(listing)


def _in_folder(folder: Path) -> Mapping[str, Contract]:
    if not contract_files(folder):
        raise UnknownContractError(f"{folder} holds no contracts (<domain>/<entity>.odcs.yaml); name another folder.")
    parsed = (
        parse_contract(read_yaml(path), f"{path.parent.name}/{path.name}", folder) for path in contract_files(folder)
    )
    return {contract.id: contract for contract in parsed}


def _at_revision(ref: str) -> Mapping[str, Contract]:
    command = ["git", "-C", str(ROOT.parent), "archive", "--format=tar", ref, "--", ROOT.name]
    archive = subprocess.run(command, capture_output=True, check=False)
    if archive.returncode:
        reason = archive.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UnknownContractError(f"Revision '{ref}' cannot be read ({' '.join(reason)}); name one git knows.")
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
        return _in_folder(Path(folder) / ROOT.name)


def main() -> None:
    """Run this room's command line by itself; errors end in one sentence and their exit code."""
    import sys

    try:
        app()
    except ContractError as error:
        sys.stderr.write(f"customs: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
