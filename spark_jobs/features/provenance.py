"""What a built day of a feature set was made from, so that the same day is not computed twice from the same data."""

import hashlib
import json
from datetime import date
from pathlib import Path

from deltalake import DeltaTable

from data_contracts import load_contracts
from infra.lake.commit import last_note
from infra.runtime.settings import Settings

_CODE = Path(__file__).parents[1]


def provenance(settings: Settings, as_of: date) -> str:
    """Return what a build as of a day would be made from now: the day, and a digest of silver versions and code.

    Every fed table counts, read by the features or not: a list of those that are read would be a second definition.
    """
    digest = hashlib.sha256(settings.office_time_zone.encode())
    for file in sorted(_CODE.rglob("*.py")):
        digest.update(file.read_bytes())
    for contract in load_contracts().values():
        path = str(settings.silver(contract.id))
        if contract.feed and DeltaTable.is_deltatable(path):
            digest.update(f"{contract.id}={DeltaTable(path).version()};".encode())
    return json.dumps({"as_of": as_of.isoformat(), "made_from": digest.hexdigest()})


def rows_of(settings: Settings, name: str, as_of: date) -> int:
    """Return how many rows a feature set has for a day."""
    table = DeltaTable(str(settings.features(name)))
    return int(table.to_pyarrow_dataset([("as_of", "=", as_of.isoformat())]).count_rows())


def is_built_from(settings: Settings, name: str, note: str) -> bool:
    """Return whether the day of a note is in a feature set and its last build was made from the same."""
    return last_note(settings.features(name), date.fromisoformat(json.loads(note)["as_of"])) == note
