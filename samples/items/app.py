"""A shopping list that several people keep at once: page, API, function, table, and the table's stream back to every open page.

The handlers run unchanged on AWS: an HTTP API, a WebSocket API, Lambda, DynamoDB and S3.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from typing import Any

import boto3
from boto3.dynamodb.conditions import ConditionBase, Key
from boto3.dynamodb.types import TypeDeserializer
from pages import answer_file

from eventflow import App, Context, DynamoDBEvent
from triggers import Http, Stream, WebSocket

PAGE = os.environ.get("PAGE_BUCKET", "page")  # on AWS the names of buckets are the whole world's
ITEMS = os.environ.get("ITEMS_TABLE", "items")
CONNECTIONS = os.environ.get("CONNECTIONS_TABLE", "connections")

#: All items are of one list: its partition holds them in the order of their ids, which begin with the time.
LIST = "shopping"
ITEM_ID = re.compile(r"[0-9]{13}-[0-9a-f]{8}")
LONGEST_NAME = 80
MOST = 999
PAGE_SIZE = 50

ITEM = {
    "type": "object",
    "required": ["id", "name", "quantity"],
    "properties": {"id": {"type": "string"}, "name": {"type": "string"}, "quantity": {"type": "integer"}},
}
WANTED = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "pattern": r"\S"},
        "quantity": {"type": "integer", "minimum": 1, "maximum": MOST},
    },
}
LISTED = {"type": "object", "required": ["items"], "properties": {"items": {"type": "array", "items": ITEM}, "next": {"type": "string"}}}
MESSAGE = {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}


def answering(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


REFUSED = answering("What is wrong, in words.", MESSAGE)
GONE = answering("There is no such item.", MESSAGE)

app = App("items")
app.bucket(PAGE, path="page")  # a bucket is a folder: what lies beside this file is served
app.table(ITEMS, key="list", sort="id")
app.table(CONNECTIONS, key="connectionId")
app.http_api(openapi_route=True, info={"title": "Items", "version": "1"})
app.websocket_api(base_path="/live")

s3 = boto3.client("s3")
items = boto3.resource("dynamodb").Table(ITEMS)
connections = boto3.resource("dynamodb").Table(CONNECTIONS)


@app.on(Http("GET /", openapi={"summary": "The page"}))
@app.on(Http("GET /{file+}", openapi={"summary": "What the page is made of"}))
def page(event: dict[str, Any], context: Context) -> dict[str, Any]:
    return answer_file(s3, PAGE, event)


@app.on(
    Http(
        "GET /items",
        openapi={
            "summary": "The items, the newest first",
            "parameters": [
                {
                    "name": "after",
                    "in": "query",
                    "schema": {"type": "string", "pattern": f"^{ITEM_ID.pattern}$"},
                    "description": "The `next` of the page before.",
                }
            ],
            "responses": {"200": answering("A page of the list; with `next` there is another one.", LISTED), "400": REFUSED},
        },
    )
)
def list_items(event: dict[str, Any], context: Context) -> dict[str, Any]:
    condition: ConditionBase = Key("list").eq(LIST)
    after = (event.get("queryStringParameters") or {}).get("after")
    if after is not None:
        if not ITEM_ID.fullmatch(after):
            return answer(400, {"message": "'after' takes the 'next' of an earlier answer."})
        condition &= Key("id").lt(after)
    found = items.query(KeyConditionExpression=condition, ScanIndexForward=False, Limit=PAGE_SIZE, ConsistentRead=True)
    listed: dict[str, Any] = {"items": [shown(item) for item in found["Items"]]}
    if "LastEvaluatedKey" in found:
        listed["next"] = found["LastEvaluatedKey"]["id"]
    return answer(200, listed)


@app.on(
    Http(
        "POST /items",
        openapi={
            "summary": "Add an item",
            "requestBody": {"required": True, "content": {"application/json": {"schema": WANTED}}},
            "responses": {"201": answering("The item as it is kept.", ITEM), "400": REFUSED},
        },
    )
)
def create_item(event: dict[str, Any], context: Context) -> dict[str, Any]:
    try:
        name, quantity = wanted(body_of(event))
    except ValueError as error:
        return answer(400, {"message": str(error)})
    item: dict[str, Any] = {"list": LIST, "id": f"{time.time_ns() // 1_000_000:013d}-{secrets.token_hex(4)}", "name": name, "quantity": quantity}
    items.put_item(Item=item)
    return answer(201, shown(item), {"location": f"/items/{item['id']}"})


@app.on(Http("GET /items/{id}", openapi={"summary": "One item", "responses": {"200": answering("The item.", ITEM), "404": GONE}}))
def read_item(event: dict[str, Any], context: Context) -> dict[str, Any]:
    id = event["pathParameters"]["id"]
    item = items.get_item(Key={"list": LIST, "id": id}, ConsistentRead=True).get("Item") if ITEM_ID.fullmatch(id) else None
    return answer(200, shown(item)) if item else answer(404, {"message": "There is no such item."})


@app.on(
    Http(
        "DELETE /items/{id}",
        openapi={"summary": "Take an item off the list", "responses": {"204": {"description": "It is off the list."}, "404": GONE}},
    )
)
def delete_item(event: dict[str, Any], context: Context) -> dict[str, Any]:
    id = event["pathParameters"]["id"]
    if ITEM_ID.fullmatch(id) and "Attributes" in items.delete_item(Key={"list": LIST, "id": id}, ReturnValues="ALL_OLD"):
        return {"statusCode": 204}
    return answer(404, {"message": "There is no such item."})


def body_of(event: dict[str, Any]) -> Any:
    """The JSON of the request; ValueError says why there is none."""
    body = event.get("body") or ""
    try:
        return json.loads(base64.b64decode(body) if event.get("isBase64Encoded") else body)
    except (ValueError, RecursionError):
        raise ValueError("The body is not valid JSON.") from None


def wanted(body: Any) -> tuple[str, int]:
    """Name and quantity of a new item; ValueError says what is wrong with them, for people to read."""
    if not isinstance(body, dict) or not body.keys() <= {"name", "quantity"}:
        raise ValueError("An item takes a name and a quantity, and nothing else.")
    name, quantity = body.get("name"), body.get("quantity", 1)
    if not isinstance(name, str) or not name.strip():
        raise ValueError("Give the item a name.")
    if len(name) > LONGEST_NAME or not storable(name):
        raise ValueError(f"The name takes up to {LONGEST_NAME} characters, in one line.")
    if isinstance(quantity, bool) or not isinstance(quantity, int | float) or quantity != int_of(quantity) or not 1 <= quantity <= MOST:
        raise ValueError(f"The quantity is a whole number from 1 to {MOST}.")
    return name.strip(), int(quantity)


def int_of(number: float) -> int | None:
    """2.0 is a whole number in JSON; infinity and what is no number are none."""
    return int(number) if number in range(MOST + 1) else None


def storable(text: str) -> bool:
    """No control characters, and none of the halves of characters that JSON can write and UTF-8 cannot."""
    return not any(ord(character) < 32 or ord(character) == 127 or 0xD800 <= ord(character) <= 0xDFFF for character in text)


def shown(item: Any) -> dict[str, Any]:
    """An item of the table as clients see it: DynamoDB's numbers are decimals."""
    return {"id": item["id"], "name": item["name"], "quantity": int(item["quantity"])}


def answer(status: int, body: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "cache-control": "no-store", **(headers or {})},
        "body": json.dumps(body),
    }


# Live updates: every open page is a connection, and every change of the table goes to all of them.


@app.on(WebSocket("$connect"))
def connect(event: dict[str, Any], context: Context) -> dict[str, Any]:
    here = event["requestContext"]
    connections.put_item(Item={"connectionId": here["connectionId"], "endpoint": f"https://{here['domainName']}/{here['stage']}"})
    return {"statusCode": 200}


@app.on(WebSocket("$disconnect"))
def disconnect(event: dict[str, Any], context: Context) -> dict[str, Any]:
    connections.delete_item(Key={"connectionId": event["requestContext"]["connectionId"]})
    return {"statusCode": 200}


@app.on(WebSocket("ping", route_response_selection_expression="$default"))
def ping(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """A page asks now and then whether its connection still works: API Gateway ends one that is silent for ten minutes."""
    return {"statusCode": 200, "body": '{"type": "pong"}'}


# A change is worth showing while it is news; a page that missed it reads the whole list when it connects again.
@app.on(Stream(ITEMS, starting_position="LATEST", maximum_retry_attempts=2, maximum_record_age=60))
def publish(event: DynamoDBEvent, context: Context) -> None:
    message = json.dumps({"type": "changes", "changes": [change_of(record) for record in event["Records"]]}).encode()
    apis: dict[str, Any] = {}
    for connection in everybody():
        endpoint = connection["endpoint"]
        if endpoint not in apis:
            apis[endpoint] = boto3.client("apigatewaymanagementapi", endpoint_url=endpoint)
        post(apis[endpoint], connection["connectionId"], message)


def change_of(record: Any) -> dict[str, Any]:
    change = record["dynamodb"]
    if record["eventName"] == "REMOVE":
        return {"deleted": change["Keys"]["id"]["S"]}
    attributes = {name: TypeDeserializer().deserialize(value) for name, value in change["NewImage"].items()}
    return {"item": shown(attributes)}


def everybody() -> Iterator[Any]:
    pages = connections.meta.client.get_paginator("scan").paginate(TableName=CONNECTIONS, ConsistentRead=True)
    for found in pages:
        yield from found["Items"]


def post(api: Any, connection: str, message: bytes) -> None:
    """Send to a page. One that is gone is forgotten; one that cannot follow is dropped, and reads the list when it is back."""
    try:
        api.post_to_connection(ConnectionId=connection, Data=message)
    except api.exceptions.GoneException:
        connections.delete_item(Key={"connectionId": connection})
    except api.exceptions.LimitExceededException:
        print(f"{connection} reads too slowly and is dropped.")
        drop(api, connection)


def drop(api: Any, connection: str) -> None:
    try:
        api.delete_connection(ConnectionId=connection)
    except api.exceptions.GoneException:
        connections.delete_item(Key={"connectionId": connection})
