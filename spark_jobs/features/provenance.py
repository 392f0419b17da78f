"""What a day of a feature set is made from."""

from datetime import date
from pathlib import Path

from deltalake import DeltaTable

from data_contracts import load_contracts
from infra.lake.provenance import note_of
from infra.runtime.settings import Settings

_CODE = Path(__file__).parents[1]


def provenance(settings: Settings, as_of: date) -> str:
    """Return the note of a build as of a day: what it would be made from now.

    Every fed table counts, read by the features or not: a list of those that are read would be a second definition.
    """
    versions = [
        f"{contract.id}={DeltaTable(path).version()}"
        for contract in load_contracts().values()
        if contract.feed and DeltaTable.is_deltatable(path := str(settings.silver(contract.id)))
    ]
    return note_of(as_of, _CODE, settings.office_time_zone, *versions)
