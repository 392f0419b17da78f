"""The house keeps its rooms: import direction, one reader of the environment, no stray files, no leaked addresses."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = ("data_contracts", "infra", "spark_jobs", "models", "dashboards")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [path for line in listed.splitlines() if (path := REPOSITORY / line).is_file()]


def sources() -> list[Path]:
    found = [path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py")]
    assert len(found) > 20
    return found


def test_imports_go_one_way():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "3 kept" in done.stdout, done.stdout


def test_only_the_settings_read_the_environment():
    # bootstrap runs before the platform is installed; the others hand an environment on to a program they start
    allowed = {
        "infra/runtime/settings.py", "infra/runtime/spark.py", "infra/services/bootstrap.py",
        "infra/superset/superset_config.py", "infra/airflow/webserver_config.py",
    }  # fmt: skip
    for path in sources():
        name = str(path.relative_to(REPOSITORY))
        if name in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            read = (
                isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.getenv", "os.environ.get", "environ.get")
            ) or (
                isinstance(node, ast.Subscript)
                and ast.unparse(node.value) in ("os.environ", "environ")
                and isinstance(node.ctx, ast.Load)
            )
            assert not read, f"{name}:{node.lineno} reads the environment: add a field to infra.runtime.settings"


def test_one_builder_of_spark_sessions():
    for path in sources():
        if path != REPOSITORY / "infra/runtime/spark.py":
            assert "SparkSession.builder" not in path.read_text(), path


def test_dbt_is_not_a_package():
    assert (REPOSITORY / "dbt/dbt_project.yml").is_file()
    assert not list((REPOSITORY / "dbt").rglob("__init__.py")), "an __init__.py there breaks `import dbt.version`"


def test_top_level_holds_the_rooms_and_tool_configuration_only():
    rooms = {"dags", "dbt", "spark_jobs", "models", "data_contracts", "dashboards", "infra", "tests", "docs"}
    files = {"README.md", "Makefile", "pyproject.toml", "CONTRIBUTING.md", "LICENSE"}
    names = {path.relative_to(REPOSITORY).parts[0] for path in tracked()}
    assert rooms <= names
    stray = {name for name in names if not name.startswith(".")} - rooms - files
    assert not stray


def test_no_status_documents_and_no_twins():
    for path in tracked():
        assert not re.search(r"(TODO|COMPLETE|NOTES|STATUS)\.md$|_v2\.|/utils\.py$", str(path)), path


def test_no_registry_address_and_no_path_of_a_build_machine():
    hosts = "|".join(["python" + "hosted", "py" + r"pi\.org", "repo1?" + r"\.maven", "registry" + r"\.npmjs"])
    for path in tracked():
        if path.suffix in (".png", ".svg"):
            continue
        found = re.search(hosts + r"|/wor" + "k/(main|shared)", path.read_text(encoding="utf-8"))
        assert not found, f"{path}: {found.group(0) if found else ''}"


def test_generated_files_are_fresh():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("customs")), "contracts", "build", "--check"],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def commands() -> list[list[str]]:
    from infra.cli import ROOMS as NAMED

    return [[room] for room in NAMED]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_room_answers_help_and_teaches_by_example(words, monkeypatch):
    from infra.cli import app

    monkeypatch.setattr(sys, "argv", ["customs", *words])

    def help_of(*parts: str) -> str:
        done = CliRunner().invoke(app, [*parts, "--help"], prog_name="customs", env={"COLUMNS": "160"})
        assert done.exit_code == 0, done.output
        return done.stdout

    text = help_of(*words)
    listing = text.split("Commands", 1)[1] if "─ Commands" in text else ""
    verbs = re.findall(r"^│ ([a-z][a-z-]+) ", listing, flags=re.M)
    for verb in verbs or [None]:
        page = help_of(*words, verb) if verb else text
        assert re.search(rf"customs {words[0]}", page.split("Usage:", 1)[1].split("\n", 1)[1]), (
            f"`customs {' '.join([*words, verb or ''])} --help` shows no example"
        )


def test_help_of_the_whole_is_instant():
    """The rooms are imported lazily: `customs --help` must not load Spark, DuckDB, pandas or Airflow."""
    code = (
        "import sys; sys.argv=['customs','--help']\n"
        "import infra.cli\n"
        "try: infra.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy={'pyspark','duckdb','pandas','airflow','mlflow','deltalake','pydantic_settings'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
