"""What a day of a table was made from, so that the same day is not computed twice from the same data."""

import hashlib
import json
from datetime import date
from pathlib import Path

from deltalake import DeltaTable

# the key Delta keeps a writer's own words under, in the commit
COMMIT_NOTE = "userMetadata"


def note_of(as_of: date, code: Path, *made_from: str) -> str:
    """Return the note of a day: JSON of the day and a digest of what it is made from and of the code that makes it.

    Args:
        as_of: the day.
        code: folder of the Python files that compute it.
        made_from: whatever else, when it changes, changes the rows.
    """
    digest = hashlib.sha256(json.dumps(made_from).encode())
    for file in sorted(code.rglob("*.py")):
        digest.update(file.read_bytes())
    return json.dumps({"as_of": as_of.isoformat(), "made_from": digest.hexdigest()})


def last_note(path: Path, as_of: date) -> str | None:
    """Return the note of the last commit of a table that wrote a day; None where the day is not there or has none."""
    if not DeltaTable.is_deltatable(str(path)):
        return None
    table, day = DeltaTable(str(path)), as_of.isoformat()
    if day not in {str(partition["as_of"]) for partition in table.partitions()}:
        return None
    notes = (entry.get(COMMIT_NOTE) for entry in table.history())
    return next((note for note in notes if note and json.loads(note)["as_of"] == day), None)


def rows_of(path: Path, as_of: date) -> int:
    """Return how many rows a table has for a day."""
    return int(DeltaTable(str(path)).to_pyarrow_dataset([("as_of", "=", as_of.isoformat())]).count_rows())
