"""PartiQL statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.conformance import moto_differs

Refused = Callable[..., tuple[str, int]]


@pytest.fixture
def table(dynamodb: Any, name: str) -> str:
    """Songs 1 to 3 of Acme and of Bolt: hash key ``artist``, range key ``song``."""
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "artist", "KeyType": "HASH"}, {"AttributeName": "song", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": "artist", "AttributeType": "S"}, {"AttributeName": "song", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for artist in ("Acme", "Bolt"):
        for song in "123":
            dynamodb.put_item(TableName=name, Item={"artist": {"S": artist}, "song": {"N": song}, "plays": {"N": "5"}})
    return name


def songs(dynamodb: Any, statement: str, *parameters: Any) -> list[int]:
    more = {"Parameters": list(parameters)} if parameters else {}
    return [int(item["song"]["N"]) for item in dynamodb.execute_statement(Statement=statement, **more)["Items"]]


@moto_differs("it fails with 500")
def test_an_insert_with_parameters(dynamodb: Any, table: str) -> None:
    parameters = [{"S": "New"}, {"L": [{"B": b"x"}]}]
    dynamodb.execute_statement(Statement=f"INSERT INTO \"{table}\" VALUE {{'artist': ?, 'song': 1, 'tags': ?}}", Parameters=parameters)
    found = dynamodb.get_item(TableName=table, Key={"artist": {"S": "New"}, "song": {"N": "1"}})["Item"]
    assert found["tags"] == {"L": [{"B": b"x"}]}


@moto_differs("it fails with 500")
def test_a_select_by_the_key(dynamodb: Any, table: str) -> None:
    assert songs(dynamodb, f"SELECT * FROM \"{table}\" WHERE artist = 'Acme'") == [1, 2, 3]
    assert songs(dynamodb, f'SELECT * FROM "{table}" WHERE artist = ? AND song > ?', {"S": "Bolt"}, {"N": "1"}) == [2, 3]


@moto_differs("it knows no ORDER BY")
def test_a_select_in_descending_order(dynamodb: Any, table: str) -> None:
    assert songs(dynamodb, f"SELECT * FROM \"{table}\" WHERE artist = 'Acme' ORDER BY song DESC") == [3, 2, 1]


@moto_differs("it does not find an item by a number")
def test_a_select_of_some_attributes(dynamodb: Any, table: str) -> None:
    found = dynamodb.execute_statement(Statement=f"SELECT plays FROM \"{table}\" WHERE artist = 'Acme' AND song = 2")
    assert found["Items"] == [{"plays": {"N": "5"}}]


@moto_differs("it fails with 500")
def test_an_update_and_a_delete(dynamodb: Any, table: str) -> None:
    where = "WHERE artist = 'Acme' AND song = 2"
    dynamodb.execute_statement(Statement=f'UPDATE "{table}" SET plays = ? {where}', Parameters=[{"N": "6"}])
    assert dynamodb.execute_statement(Statement=f'SELECT plays FROM "{table}" {where}')["Items"] == [{"plays": {"N": "6"}}]
    dynamodb.execute_statement(Statement=f'DELETE FROM "{table}" {where}')
    assert songs(dynamodb, f"SELECT * FROM \"{table}\" WHERE artist = 'Acme'") == [1, 3]


@moto_differs("it refuses less")
def test_what_is_refused(dynamodb: Any, table: str, refused: Refused) -> None:
    run = dynamodb.execute_statement
    assert refused(run, Statement=f"INSERT INTO \"{table}\" VALUE {{'artist': 'Acme', 'song': 1}}") == ("DuplicateItemException", 400)
    assert refused(run, Statement="nonsense") == ("ValidationException", 400)
    assert refused(run, Statement=f"UPDATE \"{table}\" SET plays = 1 WHERE artist = 'Nobody' AND song = 1") == (
        "ConditionalCheckFailedException",
        400,
    )
    assert refused(run, Statement=f"DELETE FROM \"{table}\" WHERE artist = 'Acme'") == ("ValidationException", 400)


@moto_differs("it does not find an item by a number")
def test_a_batch_answers_each_statement(dynamodb: Any, table: str) -> None:
    statements = [f"SELECT song FROM \"{table}\" WHERE artist = 'Acme' AND song = {song}" for song in (1, 9)]
    found = dynamodb.batch_execute_statement(Statements=[{"Statement": statement} for statement in statements])["Responses"]
    assert [answer.get("Item") for answer in found] == [{"song": {"N": "1"}}, None]
