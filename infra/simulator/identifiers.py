"""Identifiers with valid check characters, made in arrays: USCC (GB 32100), identity card (GB 11643), ISO 6346.

The arithmetic is that of python-stdnum; tests compare every kind with it.
"""

import numpy as np
import pyarrow as pa

_USCC_ALPHABET = np.frombuffer(b"0123456789ABCDEFGHJKLMNPQRTUWXY", dtype=np.uint8)
_USCC_WEIGHTS = np.array([1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28])
_ORGANISATION_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2])
_CARD_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
_CARD_CHECK = np.frombuffer(b"10X98765432", dtype=np.uint8)
_CONTAINER_VALUES = np.zeros(128, dtype=np.int64)
for _digit in range(10):
    _CONTAINER_VALUES[ord("0") + _digit] = _digit
for _position, _letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
    _CONTAINER_VALUES[ord(_letter)] = 10 + _position + (_position + 9) // 10  # 11, 22, 33 are left out
_CONTAINER_OWNERS = np.array([list(b"COSU"), list(b"MSKU"), list(b"OOLU"), list(b"TCNU"), list(b"CSNU"), list(b"EITU")])


def digits(numbers: np.ndarray, width: int) -> np.ndarray:
    """Return the decimal digits of whole numbers as an (n, width) array of values 0-9."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (numbers.astype(np.int64)[:, None] // powers) % 10


def text(characters: np.ndarray) -> pa.Array:
    """Turn an (n, width) array of ASCII codes into an Arrow string array without a Python loop."""
    n, width = characters.shape
    data = pa.py_buffer(np.ascontiguousarray(characters, dtype=np.uint8))
    offsets = pa.py_buffer(np.arange(0, (n + 1) * width, width, dtype=np.int32))
    return pa.StringArray.from_buffers(n, offsets, data)


def padded(numbers: np.ndarray, width: int) -> pa.Array:
    """Return whole numbers as zero-padded text of one width."""
    return text(digits(numbers, width) + 48)


def social_credit_codes(numbers: np.ndarray, regions: np.ndarray) -> pa.Array:
    """Make unified social credit codes, 18 characters.

    Args:
        numbers: (n,) different whole numbers below 10**7: they become the organisation code.
        regions: (n,) six-digit codes of the registering region.
    """
    n = len(numbers)
    values = np.zeros((n, 17), dtype=np.int64)
    values[:, 0], values[:, 1] = 9, 1  # registered by the market administration, an enterprise
    values[:, 2:8] = digits(regions, 6)
    rest = numbers.astype(np.int64)
    body = np.zeros((n, 8), dtype=np.int64)
    body[:, 0] = 10 + rest % 16  # a letter first, as in codes given since 2015 ("MA…"), so no two ranges meet
    for position in range(7, 0, -1):
        body[:, position] = rest % 10
        rest = rest // 10
    values[:, 8:16] = body
    # Organisation code (GB 11714): letters count A=10 … Z=35 there, check 11 - sum mod 11 with X for 10.
    letters = _USCC_ALPHABET[body]
    plain = np.where(letters >= 65, letters - 55, letters - 48).astype(np.int64)
    check = (11 - (plain * _ORGANISATION_WEIGHTS).sum(axis=1) % 11) % 11
    values[:, 16] = np.where(check == 10, np.searchsorted(_USCC_ALPHABET, ord("X")), check)
    last = (31 - (values * _USCC_WEIGHTS).sum(axis=1) % 31) % 31
    return text(_USCC_ALPHABET[np.column_stack([values, last])])


def identity_cards(district: np.ndarray, birth: np.ndarray, order: np.ndarray) -> pa.Array:
    """Make 18-character identity card numbers from district (6 digits), birth (YYYYMMDD) and order (3 digits)."""
    values = np.column_stack([digits(district, 6), digits(birth, 8), digits(order, 3)])
    check = _CARD_CHECK[(values * _CARD_WEIGHTS).sum(axis=1) % 11]
    return text(np.column_stack([values + 48, check]))


def containers(owner: np.ndarray, serial: np.ndarray) -> pa.Array:
    """Make ISO 6346 container numbers from an owner position and a six-digit serial."""
    characters = np.column_stack([_CONTAINER_OWNERS[owner % len(_CONTAINER_OWNERS)], digits(serial, 6) + 48])
    total = (_CONTAINER_VALUES[characters] * (1 << np.arange(10))).sum(axis=1)
    return text(np.column_stack([characters, total % 11 % 10 + 48]))
