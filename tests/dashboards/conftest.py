"""A small set of specs, models and facts to break one link at a time."""

from datetime import date
from pathlib import Path

import pytest
import yaml

from dashboards.bundle import Facts, Standing
from dashboards.serving_models import Column, Model
from dashboards.specification import Specification, load_specification

DATABASES = {
    "databases": [
        {"role": "manager", "name": "Managers", "readers": ["manager", "analyst"]},
        {"role": "analyst", "name": "Analysts", "readers": ["analyst"], "expose_in_sqllab": True},
    ]
}
ROLES = {
    "roles": [
        {"name": "manager", "person": "A manager", "description": "Looks", "permissions": {"Dashboard": ["can_read"]}},
        {
            "name": "analyst",
            "person": "An analyst",
            "description": "Asks",
            "based_on": ["Gamma"],
            "databases": ["analyst"],
        },
    ]
}
DATASET = {
    "database": "manager",
    "model": "rpt_clearance",
    "owner": "Clearance data steward",
    "time": "business_date",
    "calculated": {"short_office": {"name": "Office", "sql": "LEFT(customs_office, 3)", "description": "Short name"}},
    "metrics": {
        "declarations": {
            "name": "Declarations",
            "sql": "SUM(declarations)",
            "format": ",d",
            "description": "Declarations lodged",
        },
        "share": {
            "name": "Released within 24 h",
            "sql": "SUM(released_within_24h) * 1.0 / NULLIF(SUM(declarations), 0)",
            "format": ".1%",
            "description": "Share",
        },
        "duty": {"name": "Duty, {currency}", "sql": "SUM(duty)", "format": "SMART_NUMBER", "description": "Duty"},
    },
}
DASHBOARD = {
    "title": "Are goods released on time?",
    "slug": "clearance",
    "subject": "declarations",
    "description": "Release times",
    "owner": "Clearance data steward",
    "roles": ["manager", "analyst"],
    "intro": "### Question",
    "when_empty": "Nothing yet.",
    "filters": [
        {"column": "source_system", "name": "Source", "dataset": "clearance"},
        {"column": "customs_office", "name": "Office", "dataset": "clearance"},
    ],
    "rows": [
        {
            "height": 28,
            "charts": [
                {
                    "id": "count",
                    "kind": "number",
                    "title": "Declarations",
                    "dataset": "clearance",
                    "metric": "declarations",
                    "note": "Lodged",
                    "width": 6,
                },
                {
                    "id": "offices",
                    "kind": "scorecard",
                    "title": "Which offices?",
                    "dataset": "clearance",
                    "rows": ["customs_office"],
                    "metrics": ["declarations", "share", "duty"],
                    "shades": [{"metric": "share", "operator": "<", "target": "within_24h", "color": "red"}],
                    "width": 6,
                },
            ],
        },
        {
            "height": 50,
            "charts": [
                {
                    "id": "promise",
                    "kind": "line_and_bars",
                    "title": "Kept?",
                    "dataset": "clearance",
                    "line": "share",
                    "metrics": ["declarations"],
                    "line_axis": "Share",
                    "axis": "Declarations",
                    "target": {"indicator": "within_24h", "name": "Target"},
                    "last_year": True,
                    "width": 12,
                },
            ],
        },
    ],
}
COLUMNS = {
    "business_date": "DATE",
    "source_system": "VARCHAR",
    "customs_office": "VARCHAR",
    "declarations": "BIGINT",
    "released_within_24h": "BIGINT",
    "duty": "DECIMAL(38,2)",
}
INDICATORS = frozenset({"within_24h"})


def model(name: str, *roles: str, columns: dict[str, str] = COLUMNS) -> Model:
    """Return a serving model whose every column is described."""
    return Model(
        name=name,
        description="Clearance",
        roles=frozenset(roles),
        columns={key: Column(key, kind, f"Meaning of {key}") for key, kind in columns.items()},
        file="dbt/models/serving/clearance.yml",
    )


class Specs:
    """The specs as editable dictionaries, written to a folder when loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.databases = yaml.safe_load(yaml.safe_dump(DATABASES))
        self.roles = yaml.safe_load(yaml.safe_dump(ROLES))
        self.datasets = {"clearance": yaml.safe_load(yaml.safe_dump(DATASET))}
        self.dashboard = yaml.safe_load(yaml.safe_dump(DASHBOARD))

    def chart(self, name: str) -> dict:
        """Return the dictionary of one chart."""
        return next(chart for row in self.dashboard["rows"] for chart in row["charts"] if chart["id"] == name)

    def load(self) -> Specification:
        """Write the files and load them."""
        (self.folder / "datasets").mkdir(exist_ok=True)
        written = {"databases.yaml": self.databases, "roles.yaml": self.roles, "clearance.yaml": self.dashboard}
        written |= {f"datasets/{name}.yaml": dataset for name, dataset in self.datasets.items()}
        for name, content in written.items():
            (self.folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
        return load_specification(self.folder)


@pytest.fixture
def specs(tmp_path: Path) -> Specs:
    folder = tmp_path / "dashboards"
    folder.mkdir()
    return Specs(folder)


@pytest.fixture
def models() -> dict[str, Model]:
    return {
        "rpt_clearance": model("rpt_clearance", "manager", "analyst"),
        "fct_declaration": model("fct_declaration", "analyst"),
    }


@pytest.fixture
def facts(models: dict[str, Model]) -> Facts:
    return Facts(
        serving=Path("/data/serving"),
        models=models,
        standing={"rpt_clearance": Standing("Built 2026-11-21; all 7 checks passed", certified=True)},
        source="single_window",
        currency="CNY",
        days={"declarations": (date(2025, 5, 20), date(2026, 11, 20))},
        targets={"within_24h": 0.9},
        version="1",
        today=date(2026, 11, 21),
    )


@pytest.fixture
def indicators() -> frozenset[str]:
    return INDICATORS
