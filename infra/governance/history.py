"""Making a Delta table forget: after this its files hold the current rows only, log and checkpoint included."""

from pathlib import Path

from deltalake import DeltaTable

_KEPT = "interval 30 days"


def forget_history(path: Path) -> int:
    """Delete the files of earlier versions and the log entries that describe them; return how many files went.

    The log's statistics hold smallest and largest values of columns, so a checkpoint of the present replaces them. The
    sequence of batches the table has seen lives on in that checkpoint. The caller holds the table's lock: a reader of
    an earlier version loses it.
    """
    removed = DeltaTable(str(path)).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    before = set((path / "_delta_log").iterdir())
    table = DeltaTable(str(path))
    kept = table.metadata().configuration.get("delta.logRetentionDuration", _KEPT)
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    table = DeltaTable(str(path))
    table.create_checkpoint()
    table.cleanup_metadata()
    table = DeltaTable(str(path))
    table.alter.set_table_properties({"delta.logRetentionDuration": kept})
    DeltaTable(str(path)).create_checkpoint()
    return len(removed) + len(before - set((path / "_delta_log").iterdir()))
