"""PartiQL statements through their protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.builders import dynamodb


@pytest.fixture
def client(serve: Callable[..., Any]) -> Any:
    client = serve(dynamodb).client("dynamodb", parameter_validation=False)
    client.create_table(
        TableName="Music",
        KeySchema=[{"AttributeName": "Artist", "KeyType": "HASH"}, {"AttributeName": "Song", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "Artist", "AttributeType": "S"},
            {"AttributeName": "Song", "AttributeType": "S"},
            {"AttributeName": "Year", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-year",
                "KeySchema": [{"AttributeName": "Year", "KeyType": "HASH"}, {"AttributeName": "Song", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return client


def run(client: Any, statement: str, *parameters: Any, **more: Any) -> Any:
    return client.execute_statement(Statement=statement, **({"Parameters": list(parameters)} if parameters else {}), **more)


def items(client: Any, statement: str, *parameters: Any, **more: Any) -> Any:
    return run(client, statement, *parameters, **more)["Items"]


def songs(client: Any, statement: str, *parameters: Any, **more: Any) -> list[str]:
    return [item["Song"]["S"] for item in items(client, statement, *parameters, **more)]


def message(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**params)
    error = refused.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def refusal(client: Any, statement: str, *parameters: Any, **more: Any) -> str:
    return message(client.execute_statement, Statement=statement, **({"Parameters": list(parameters)} if parameters else {}), **more)


def fill(client: Any) -> None:
    for artist in ("Acme", "Bolt"):
        for number in range(4):
            run(
                client,
                "INSERT INTO \"Music\" VALUE {'Artist': ?, 'Song': ?, 'Year': ?, 'Tags': ['a', 1], 'More': {'rank': ?}}",
                {"S": artist},
                {"S": f"song {number}"},
                {"N": str(2000 + number)},
                {"N": str(number)},
            )


ONE = "\"Artist\" = 'Acme' AND Song = 'song 1'"


def test_an_item_is_inserted_read_changed_and_deleted(client: Any) -> None:
    inserted = run(
        client,
        """INSERT INTO Music VALUE {'Artist': 'O''Brien', 'Song': ?, 'n': -1.50, 'yes': true, 'no': false, 'nothing': null,
           'list': [1, 'x', ?], 'map': {'a': {'b': []}}, 'texts': <<'x', 'y'>>, 'numbers': <<1, 2.0>>}""",
        {"S": "one"},
        {"B": b"\x00"},
        ReturnConsumedCapacity="TOTAL",
    )
    assert inserted["Items"] == []
    assert inserted["ConsumedCapacity"]["CapacityUnits"] == 1.0
    where = "WHERE Artist = 'O''Brien' AND Song = 'one'"
    assert items(client, f"SELECT * FROM Music {where}") == [
        {
            "Artist": {"S": "O'Brien"},
            "Song": {"S": "one"},
            "n": {"N": "-1.5"},
            "yes": {"BOOL": True},
            "no": {"BOOL": False},
            "nothing": {"NULL": True},
            "list": {"L": [{"N": "1"}, {"S": "x"}, {"B": b"\x00"}]},
            "map": {"M": {"a": {"M": {"b": {"L": []}}}}},
            "texts": {"SS": ["x", "y"]},
            "numbers": {"NS": ["1", "2"]},
        }
    ]
    changed = items(
        client,
        f"""UPDATE Music SET n = n + 2 SET list = list_append(list, [?]), map.a.c = 'new', texts = set_add(texts, <<'z'>>)
            SET numbers = set_delete(numbers, <<1>>) REMOVE yes, map.a.b {where} RETURNING MODIFIED NEW *""",
        {"S": "end"},
    )
    assert changed[0]["n"] == {"N": "0.5"}
    assert changed[0]["texts"] == {"SS": ["x", "y", "z"]}
    assert changed[0]["numbers"] == {"NS": ["2"]}
    (item,) = items(client, f"SELECT list, map.a, yes FROM Music {where}")
    assert item == {"list": {"L": [{"N": "1"}, {"S": "x"}, {"B": b"\x00"}, {"S": "end"}]}, "map": {"M": {"a": {"M": {"c": {"S": "new"}}}}}}
    (old,) = items(client, f"DELETE FROM Music {where} RETURNING ALL OLD *")
    assert old["n"] == {"N": "0.5"}
    assert items(client, f"DELETE FROM Music {where} AND n = 3 RETURNING ALL OLD *") == []
    assert items(client, f"SELECT * FROM Music {where}") == []


def test_selects_find_what_their_conditions_say(client: Any) -> None:
    fill(client)
    acme = "SELECT * FROM Music WHERE Artist = 'Acme'"
    assert songs(client, acme) == ["song 0", "song 1", "song 2", "song 3"]
    assert songs(client, f"{acme} AND Song > 'song 1'") == ["song 2", "song 3"]
    assert songs(client, f"{acme} AND 'song 1' > Song") == ["song 0"]
    assert songs(client, f"{acme} AND Song BETWEEN 'song 1' AND 'song 2'") == ["song 1", "song 2"]
    assert songs(client, f"{acme} AND begins_with(Song, 'song 3')") == ["song 3"]
    assert songs(client, f"{acme} AND Song > 'song 0' AND Song < 'song 3' ORDER BY Song DESC") == ["song 2", "song 1"]
    assert songs(client, f"{acme} AND (Song = 'song 1' OR More.rank >= 3)") == ["song 1", "song 3"]
    assert songs(client, f"{acme} AND NOT (Year IN [2001, ?] OR Year = 2000)", {"N": "2002"}) == ["song 3"]
    assert songs(client, f"{acme} AND Year NOT IN (2001, 2002, 2003)") == ["song 0"]
    assert songs(client, f"{acme} AND Year <> 2000 AND Year != 2001") == ["song 2", "song 3"]
    assert songs(client, f"{acme} AND Absent IS MISSING AND More.rank IS NOT MISSING AND Year IS NOT NULL") == [f"song {n}" for n in range(4)]
    assert songs(client, f"{acme} AND size(Tags) = 2 AND contains(Tags, 'a') AND attribute_type(Year, 'N') AND Tags[1] = 1 AND Year = 2003") == [
        "song 3"
    ]
    assert songs(client, "SELECT Song FROM Music WHERE Year = 2001") == ["song 1", "song 1"]
    assert songs(client, 'SELECT * FROM "Music"."by-year" WHERE Year = 2003 ORDER BY Song') == ["song 3", "song 3"]
    assert songs(client, "SELECT * FROM Music WHERE Artist IN ['Bolt', 'Acme', 'Nobody'] AND Song = 'song 1'") == ["song 1", "song 1"]
    found = items(client, "SELECT Artist FROM Music WHERE Artist IN ('Acme', 'Bolt') ORDER BY Artist DESC, Song ASC")
    assert [item["Artist"]["S"] for item in found] == ["Bolt"] * 4 + ["Acme"] * 4
    assert len(items(client, "SELECT * FROM Music;")) == 8


@pytest.mark.parametrize("statement", ["SELECT * FROM Music", "SELECT * FROM Music WHERE Artist IN ['Bolt', 'Acme'] ORDER BY Artist DESC, Song DESC"])
def test_pages_go_on_where_the_last_one_ended(client: Any, statement: str) -> None:
    fill(client)
    whole = items(client, statement)
    found, token = [], None
    for _page in range(9):
        page = run(client, statement, Limit=3, **({"NextToken": token} if token else {}))
        found += page["Items"]
        token = page.get("NextToken")
        if token is None:
            break
        assert set(page["LastEvaluatedKey"]) == {"Artist", "Song"}
    assert found == whole
    assert len(found) == 8


def test_a_query_reads_what_its_key_names_and_no_more(client: Any) -> None:
    fill(client)
    run(client, "INSERT INTO Music VALUE {'Artist': 'Large', 'Song': 'x', 'text': ?}", {"S": "x" * 390_000})
    units = {
        where: run(client, f"SELECT * FROM Music {where}", ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]["CapacityUnits"]
        for where in ("WHERE Artist = 'Acme' AND Year > 0", "WHERE Artist IN ['Acme', 'Bolt']", "WHERE Year > 0")
    }
    assert units["WHERE Artist = 'Acme' AND Year > 0"] == 0.5
    assert units["WHERE Artist IN ['Acme', 'Bolt']"] == 0.5
    assert units["WHERE Year > 0"] > 40


def test_writes_that_are_refused(client: Any) -> None:
    fill(client)
    duplicate = "INSERT INTO Music VALUE {'Artist': 'Acme', 'Song': 'song 1'}"
    assert refusal(client, duplicate) == "DuplicateItemException: Duplicate primary key exists in table"
    missing = "UPDATE Music SET x = 1 WHERE Artist = 'Acme' AND Song = 'none'"
    assert refusal(client, missing) == "ConditionalCheckFailedException: The conditional request failed"
    assert refusal(client, f"UPDATE Music SET x = 1 WHERE {ONE} AND Year = 1").startswith("ConditionalCheckFailedException")
    assert refusal(client, f"DELETE FROM Music WHERE {ONE} AND Year = 1").startswith("ConditionalCheckFailedException")
    key = "ValidationException: Where clause does not contain a mandatory equality on all key attributes"
    for where in (
        "",
        "WHERE Artist = 'Acme'",
        "WHERE Artist = 'Acme' AND Song > 'a'",
        f"WHERE {ONE} OR x = 1",
        "WHERE Artist IN ['a', 'b'] AND Song = 'x'",
    ):
        assert refusal(client, f"DELETE FROM Music {where}") == key
    assert "part of the key" in refusal(client, f"UPDATE Music SET Song = 'x' WHERE {ONE}")
    assert "does not exist in the item" in refusal(client, f"UPDATE Music SET x = y WHERE {ONE}")
    assert "overlap" in refusal(client, f"UPDATE Music SET More = 1, More.rank = 2 WHERE {ONE}")
    assert refusal(client, "INSERT INTO Music VALUE {'Artist': 1, 'Song': 'x'}").startswith(
        "ValidationException: One or more parameter values were invalid: Type mismatch"
    )
    assert refusal(client, "DELETE FROM nowhere WHERE a = 1").startswith("ResourceNotFoundException")


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("", "Expected data manipulation"),
        ("DROP TABLE Music", "Expected data manipulation"),
        ("SELECT FROM Music", "Unexpected keyword"),
        ("INSERT INTO Music (a) VALUES (1)", "Unexpected token"),
        ("SELECT * FROM Music WHERE", "Unexpected end"),
        ("SELECT * FROM Music WHERE a", "Expected a condition"),
        ("SELECT * FROM Music WHERE a = 'open", "Unexpected token"),
        ("SELECT COUNT(*) FROM Music", "Unexpected token"),
        ("SELECT * FROM Music LIMIT 3", "Unexpected token"),
        ("SELECT * FROM Music WHERE sum(a) = 1", "Function sum"),
        ("SELECT * FROM Music WHERE (a = 1) = 2", "Unexpected token"),
        ("UPDATE Music SET a = upper(b) WHERE a = 1", "Function upper"),
        ("UPDATE Music SET a = set_add(b, <<1>>) WHERE a = 1", "left"),
        ("DELETE FROM Music WHERE a = 1 RETURNING ALL NEW *", "ALL OLD"),
        ("INSERT INTO Music VALUE {'a': 1, 'a': 2}", "twice"),
        ("INSERT INTO Music VALUE {'a': <<1, 'x'>>}", "set"),
        ("SELECT * FROM Music WHERE " + "(" * 101 + "a = 1" + ")" * 101, "Nested"),
    ],
)
def test_statements_that_are_malformed(client: Any, statement: str, what: str) -> None:
    text = message(client.execute_statement, Statement=statement)
    assert text.startswith("ValidationException: Statement wasn't well formed, can't be processed: ")
    assert what in text


def test_requests_that_are_refused(client: Any) -> None:
    count = "ValidationException: Number of parameters in request and statement don't match."
    assert refusal(client, "SELECT * FROM Music WHERE a = ?") == count
    assert refusal(client, "SELECT * FROM Music WHERE a = 1", {"S": "x"}) == count
    for clause in ("Artist = 'a' ORDER BY Year", "Year = 1 ORDER BY Song", "Artist IN ['a', 'b'] ORDER BY Song"):
        assert "ORDER BY clause" in refusal(client, f"SELECT * FROM Music WHERE {clause}")
    assert "does not have the specified index" in refusal(client, 'SELECT * FROM Music."by-none"')
    assert "Consistent reads" in refusal(client, 'SELECT * FROM Music."by-year"', ConsistentRead=True)
    fill(client)
    token = run(client, "SELECT * FROM Music", Limit=1)["NextToken"]
    for wrong in (token[:-8], "x", "W10=", "\u00e4"):
        assert refusal(client, "SELECT * FROM Music", NextToken=wrong) == "ValidationException: NextToken does not match request"
    assert "NextToken" in refusal(client, "SELECT * FROM Music WHERE Year = 1", NextToken=token)
    assert "Limit" in refusal(client, f"DELETE FROM Music WHERE {ONE}", Limit=1)
    assert "8192" in refusal(client, "SELECT * FROM Music" + " " * 8192)


def test_a_batch_answers_each_statement_in_its_place(client: Any) -> None:
    fill(client)
    done = client.batch_execute_statement(
        Statements=[
            {"Statement": "INSERT INTO Music VALUE {'Artist': 'New', 'Song': 'x'}"},
            {"Statement": "INSERT INTO Music VALUE {'Artist': 'Acme', 'Song': 'song 1'}"},
            {"Statement": f"UPDATE Music SET Year = ? WHERE {ONE} RETURNING ALL OLD *", "Parameters": [{"N": "1999"}]},
            {"Statement": f"DELETE FROM Music WHERE {ONE} AND Year = 5", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"},
            {"Statement": "nonsense"},
            {"Statement": "DELETE FROM nowhere WHERE a = 1"},
        ],
        ReturnConsumedCapacity="TOTAL",
    )
    responses = done["Responses"]
    assert responses[0] == {"TableName": "Music"}
    assert responses[1] == {"TableName": "Music", "Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}}
    assert responses[2]["Item"]["Year"] == {"N": "2001"}
    assert responses[3]["Error"]["Code"] == "ConditionalCheckFailed"
    assert responses[3]["Error"]["Item"]["Year"] == {"N": "1999"}
    assert responses[4]["Error"]["Code"] == "ValidationError"
    assert responses[5]["Error"]["Code"] == "ResourceNotFound"
    assert len(done["ConsumedCapacity"]) == 2
    read = client.batch_execute_statement(
        Statements=[
            {"Statement": f"SELECT Year FROM Music WHERE {ONE}"},
            {"Statement": "SELECT * FROM Music WHERE Artist = 'Acme' AND Song = 'none'"},
            {"Statement": "SELECT * FROM Music WHERE Artist = 'Acme'"},
        ]
    )["Responses"]
    assert read[0] == {"TableName": "Music", "Item": {"Year": {"N": "1999"}}}
    assert read[1] == {"TableName": "Music"}
    assert read[2]["Error"] == {
        "Code": "ValidationError",
        "Message": "Select statements within BatchExecuteStatement must specify the primary key in the where clause.",
    }
    mixed = [{"Statement": f"SELECT * FROM Music WHERE {ONE}"}, {"Statement": f"DELETE FROM Music WHERE {ONE}"}]
    assert "all reads or all writes" in message(client.batch_execute_statement, Statements=mixed)
    assert "25" in message(client.batch_execute_statement, Statements=mixed[:1] * 26)


def test_a_transaction_of_statements_happens_whole_or_not(client: Any) -> None:
    fill(client)
    insert = {"Statement": "INSERT INTO Music VALUE {'Artist': 'New', 'Song': ?}", "Parameters": [{"S": "x"}]}
    update = {"Statement": f"UPDATE Music SET Year = 1 WHERE {ONE}"}
    exists = {"Statement": "EXISTS(SELECT * FROM Music WHERE Artist = 'Bolt' AND Song = 'song 1' AND Year = 2001)"}
    absent = {"Statement": "EXISTS(SELECT * FROM Music WHERE Artist = 'Bolt' AND Song = 'song 2' AND Year = 1)"}
    with pytest.raises(ClientError) as refused:
        client.execute_transaction(TransactStatements=[insert, update, absent])
    assert [reason["Code"] for reason in refused.value.response["CancellationReasons"]] == ["None", "None", "ConditionalCheckFailed"]
    assert items(client, f"SELECT Year FROM Music WHERE {ONE}") == [{"Year": {"N": "2001"}}]
    for _attempt in range(2):
        done = client.execute_transaction(TransactStatements=[insert, update, exists], ClientRequestToken="one", ReturnConsumedCapacity="TOTAL")
    assert done["ConsumedCapacity"][0]["ReadCapacityUnits"] == 6.0
    with pytest.raises(ClientError) as refused:
        client.execute_transaction(TransactStatements=[insert])
    assert refused.value.response["CancellationReasons"] == [{"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}]
    read = client.execute_transaction(
        TransactStatements=[{"Statement": f"SELECT Year FROM Music WHERE {ONE}"}, {"Statement": f"SELECT * FROM Music WHERE {ONE} AND Year = 7"}][:1]
    )
    assert read["Responses"] == [{"Item": {"Year": {"N": "1"}}}]
    assert "all reads or all writes" in message(
        client.execute_transaction, TransactStatements=[update, {"Statement": "SELECT * FROM Music WHERE Artist = 'a' AND Song = 'b'"}]
    )
    assert "EXISTS" in refusal(client, exists["Statement"])
