"""What one chunk of declarations hands on: to selection, inspection and receipts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Lot:
    """Parallel arrays over the declarations of one chunk.

    The first block is what customs sees; ``kind`` (position in the kinds of fraud, -1 = honest), ``evaded`` (CNY),
    ``real_net`` (kg) and ``compliance`` are true and only outcomes of inspections may rest on them.
    """

    numbers: pa.Array
    at: np.ndarray
    day: np.ndarray
    trader: np.ndarray
    rank: np.ndarray
    aeo: np.ndarray
    is_import: np.ndarray
    office: np.ndarray
    transport: np.ndarray
    main_hs: np.ndarray
    main_chapter: np.ndarray
    main_item_no: np.ndarray
    lowest_price: np.ndarray
    rerouted_preference: np.ndarray
    packing: np.ndarray
    log_value: np.ndarray

    kind: np.ndarray
    evaded: np.ndarray
    real_net: np.ndarray
    compliance: np.ndarray

    def __len__(self) -> int:
        return len(self.at)


def seconds(values: np.ndarray) -> np.ndarray:
    """Return numbers of seconds as time spans."""
    return values.astype("timedelta64[s]")


def take_messages(
    header: dict[str, Any], nested: dict[str, Any], offsets: np.ndarray, rows: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
    """Take some messages with their array elements."""
    counts = np.diff(offsets)[rows]
    elements = (
        np.repeat(offsets[rows], counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    )

    def pick(values: dict[str, Any], where: np.ndarray) -> dict[str, Any]:
        return {k: v[where] if isinstance(v, np.ndarray) else v.take(pa.array(where)) for k, v in values.items()}

    return pick(header, rows), pick(nested, elements), np.concatenate([[0], np.cumsum(counts)])
