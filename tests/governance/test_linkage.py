"""Nobody is found by trying every telephone number: pseudonyms are keyed, and unrelated from purpose to purpose."""

import pytest

from data_contracts.emit.sql import hmac_sha256
from infra.lake.commit import table_view
from infra.lake.pseudonym import load_keys
from infra.runtime.duck import duck_connection

# the block 138 0000 0000 to 138 0999 9999, in which all telephones of this lake lie
BLOCK = "CAST(13800000000 + n AS VARCHAR)"
PLAIN = ("md5({})", "sha256({})")


@pytest.fixture
def silver(ingested):
    with duck_connection(settings=ingested) as connection:
        table = table_view(connection, ingested.silver("ecommerce.order"))
        connection.execute(
            f"CREATE TABLE held AS SELECT buyer_phone AS token FROM {table} UNION SELECT consignee_phone FROM {table}"
        )
        yield connection, load_keys(ingested)


def found(connection, expression: str, numbers: int) -> int:
    return connection.execute(
        f"SELECT count(*) FROM held SEMI JOIN (SELECT {expression} AS token FROM range({numbers}) t(n)) USING (token)"
    ).fetchone()[0]


def test_only_the_key_of_the_purpose_finds_a_person(silver):
    connection, keys = silver
    everybody = connection.execute("SELECT count(*) FROM held").fetchone()[0]
    assert everybody >= 60
    assert found(connection, hmac_sha256(BLOCK, keys["ecommerce_person"]), 1000) == everybody
    for purpose, key in keys.items():
        if purpose != "ecommerce_person":
            assert found(connection, hmac_sha256(BLOCK, key), 1000) == 0, purpose
    assert found(connection, hmac_sha256(BLOCK, b"\0" * 32), 1000) == 0


@pytest.mark.slow
@pytest.mark.parametrize("plain", PLAIN)
def test_trying_every_number_of_a_block_finds_nobody(silver, plain):
    connection, _ = silver
    assert found(connection, plain.format(BLOCK), 10_000_000) == 0
