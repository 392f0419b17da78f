"""Dated code lists as the files their source system would send: one CSV per reference feed."""

import csv
import io
from datetime import date

from data_contracts.codes import code_list
from data_contracts.model import Code, Contract, Field


def _value(field: Field, code: Code, day: date, number: int) -> str:
    source = field.source_field or ""
    fixed = {
        "code": code.code,
        "name": code.name,
        "validFrom": code.valid_from.isoformat(),
        "validTo": code.valid_to.isoformat() if code.valid_to else "",
        "messageTime": f"{day.isoformat()}T00:00:00+08:00",
        "messageSeq": str(number),
    }
    return fixed[source] if source in fixed else code.attribute(source) or ""


def reference_csv(contract: Contract, day: date) -> str:
    """Return the CSV text of a reference contract's feed: header = sourceField names, one line per code and period.

    Args:
        contract: a contract of the domain ``reference``.
        day: day the list is sent.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([f.source_field for f in contract.sourced])
    for number, code in enumerate(code_list(contract.id), 1):
        writer.writerow([_value(f, code, day, number) for f in contract.sourced])
    return out.getvalue()
