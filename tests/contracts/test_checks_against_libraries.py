"""Check digits and pseudonyms written in SQL say the same as python-stdnum and Python's hmac."""

import hashlib
import hmac
import random
import string

import pytest
from stdnum import iso6346, luhn
from stdnum.cn import uscc

from data_contracts.emit.fixtures import valid_container, valid_uscc, valid_wagon
from data_contracts.emit.sql import checksum_sql, hmac_sha256
from data_contracts.errors import ContractError


def verdicts(duck, values: list[str | None], algorithm: str) -> list[bool | None]:
    sql = f"SELECT {checksum_sql('v', algorithm)} FROM (SELECT unnest(?::VARCHAR[]) AS v)"
    return [row[0] for row in duck.execute(sql, [values]).fetchall()]


def corrupted(value: str, rng: random.Random) -> str:
    place = rng.randrange(len(value))
    return value[:place] + rng.choice(string.ascii_uppercase + string.digits) + value[place + 1 :]


def test_unified_social_credit_codes(duck):
    rng = random.Random(1)
    values = [valid_uscc(rng) for _ in range(1000)]
    values += [corrupted(v, rng) for v in values]
    values += ["", "91110000600037341", "91110000600037341LX", "9111000060003734iL", "911100006000373 1L"]
    found = verdicts(duck, values, "uscc")
    assert found == [uscc.is_valid(v) and v == v.upper() and " " not in v for v in values]
    assert sum(map(bool, found)) >= 1000


def test_container_numbers(duck):
    rng = random.Random(2)
    values = [valid_container(rng) for _ in range(1000)]
    values += [corrupted(v, rng) for v in values]
    values += ["", "CSQU305438", "CSQU3054383", "CSQU3054384", "csqu3054383"]
    found = verdicts(duck, values, "iso6346")
    # python-stdnum accepts digits in the owner code, ISO 6346 has letters there
    assert found == [iso6346.is_valid(v) and v == v.upper() and v[:3].isalpha() for v in values]
    assert sum(map(bool, found)) >= 1000


def test_wagon_numbers(duck):
    rng = random.Random(4)
    values = [valid_wagon(rng) for _ in range(1000)]
    values += [corrupted(v, rng) for v in values]
    values += ["", "5665076", "566507650", "5665O765"]
    found = verdicts(duck, values, "luhn")
    assert found == [len(v) == 8 and v.isascii() and v.isdigit() and luhn.is_valid(v) for v in values]
    assert sum(map(bool, found)) >= 1000
    # five numbers of one sample reading: the last was misread, the others were not
    sample = ["56650765", "60559028", "60290228", "55155170", "55655554"]
    assert verdicts(duck, sample, "luhn") == [True, True, True, True, False]


@pytest.mark.parametrize("algorithm", ["uscc", "iso6346", "luhn"])
def test_an_absent_number_has_no_verdict(duck, algorithm):
    assert verdicts(duck, [None], algorithm) == [None]


@pytest.mark.parametrize("key", [b"k" * 32, b"short", b"long " * 40, bytes(range(64))], ids=["32", "5", "200", "64"])
def test_pseudonyms_are_hmac_sha256(duck, key):
    rng = random.Random(3)
    values = ["".join(rng.choices("0123456789X张三é ", k=rng.randint(0, 40))) for _ in range(1000)]
    sql = f"SELECT {hmac_sha256('v', key)} FROM (SELECT unnest(?::VARCHAR[]) AS v)"
    found = [row[0] for row in duck.execute(sql, [values]).fetchall()]
    assert found == [hmac.new(key, v.encode(), hashlib.sha256).hexdigest() for v in values]
    assert duck.execute(f"SELECT {hmac_sha256('CAST(NULL AS VARCHAR)', key)}").fetchone() == (None,)


def test_an_empty_key_is_refused():
    with pytest.raises(ContractError, match="empty"):
        hmac_sha256("v", b"")
