"""A chat with rooms: who is there, what was said last, and what is being said. The handlers run unchanged on AWS.

Three tables: ``people`` has the connections of a room, ``connections`` the room of a connection, ``messages`` what was said in a room.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import boto3
from boto3.dynamodb.conditions import Key
from pages import answer_file

from eventflow import App, Context
from triggers import Http, WebSocket

PAGE = os.environ.get("PAGE_BUCKET", "page")  # on AWS the names of buckets are the whole world's
PEOPLE = os.environ.get("PEOPLE_TABLE", "people")
CONNECTIONS = os.environ.get("CONNECTIONS_TABLE", "connections")
MESSAGES = os.environ.get("MESSAGES_TABLE", "messages")

ROOM = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
SECRET = re.compile(r"[A-Za-z0-9-]{16,64}")
LONGEST_NAME = 30
LONGEST_TEXT = 2000
HISTORY = 50

app = App("chat")
app.bucket(PAGE, path="page")  # a bucket is a folder: what lies beside this file is served
app.table(PEOPLE, key="room", sort="connectionId")
app.table(CONNECTIONS, key="connectionId")
app.table(MESSAGES, key="room", sort="id")
app.http_api(openapi_route=True, info={"title": "Chat", "version": "1"})
app.websocket_api(base_path="/live")

s3 = boto3.client("s3")
dynamodb = boto3.resource("dynamodb")
people, connections, messages = dynamodb.Table(PEOPLE), dynamodb.Table(CONNECTIONS), dynamodb.Table(MESSAGES)


class Refused(ValueError):
    """What a person sent cannot be taken; the text is for them."""


@app.on(Http("GET /", openapi={"summary": "The page"}))
@app.on(Http("GET /{file+}", openapi={"summary": "What the page is made of"}))
def page(event: dict[str, Any], context: Context) -> dict[str, Any]:
    return answer_file(s3, PAGE, event)


@app.on(WebSocket("$connect"))
def connect(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Everybody may come in; who they are and where they want to be, they say when they join."""
    return {"statusCode": 200}


@app.on(WebSocket("join"))
def join(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """``{"action": "join", "room", "name", "secret"}``: ``secret`` is what the page made up for itself, so that a person stays the same one when
    their connection is another; others only see what is derived from it."""
    here, api = event["requestContext"], api_of(event)
    try:
        sent = sent_in(event)
        room, name, by = matching(sent, "room", ROOM), one_line(sent, "name", LONGEST_NAME), public(matching(sent, "secret", SECRET))
    except Refused as error:
        return refuse(api, here["connectionId"], error)
    me = {"room": room, "connectionId": here["connectionId"], "name": name, "by": by}
    if (before := room_of(here["connectionId"])) and before["room"] != room:
        leave(api, before)
    connections.put_item(Item=me)
    people.put_item(Item=me)
    # Who is in the table before the history is read misses nothing: what is said from now on comes by itself.
    joined = {"type": "joined", "room": room, "you": by, "people": [shown(one) for one in people_of(room)], "messages": history(room)}
    if post(api, me, joined):
        announce(api, room, {"type": "arrived", **shown(me)})
    return {"statusCode": 200}


@app.on(WebSocket("say"))
def say(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """``{"action": "say", "text", "ref"}``: ``ref`` is the page's own name of the message, by which it is known again when it was sent twice."""
    here, api = event["requestContext"], api_of(event)
    try:
        me = room_of(here["connectionId"])
        if me is None:
            raise Refused("Join a room first.")
        sent = sent_in(event)
        text, ref = several_lines(sent, "text", LONGEST_TEXT), matching(sent, "ref", SECRET)
    except Refused as error:
        return refuse(api, here["connectionId"], error)
    now = time.time_ns() // 1_000_000
    message = {"id": f"{now:013d}-{context.aws_request_id}", "at": now, "name": me["name"], "by": me["by"], "ref": ref, "text": text}
    messages.put_item(Item={"room": me["room"], **message})
    announce(api, me["room"], {"type": "said", "message": message})
    return {"statusCode": 200}


@app.on(WebSocket("ping", route_response_selection_expression="$default"))
def ping(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """A page asks now and then whether its connection still works: API Gateway ends one that is silent for ten minutes."""
    return {"statusCode": 200, "body": '{"type": "pong"}'}


@app.on(WebSocket("$default"))
def unknown(event: dict[str, Any], context: Context) -> dict[str, Any]:
    return refuse(api_of(event), event["requestContext"]["connectionId"], Refused("A message is a JSON object whose action is join, say or ping."))


@app.on(WebSocket("$disconnect"))
def disconnect(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Runs once for most connections and twice for some, as every event may."""
    me = room_of(event["requestContext"]["connectionId"])
    if me is not None:
        leave(api_of(event), me)
    return {"statusCode": 200}


def leave(api: Any, one: Any) -> None:
    """Take a connection out of its room, and tell the others."""
    forget(one)
    announce(api, one["room"], {"type": "left", "connection": one["connectionId"]})


def forget(one: Any) -> None:
    connections.delete_item(Key={"connectionId": one["connectionId"]})
    people.delete_item(Key={"room": one["room"], "connectionId": one["connectionId"]})


def announce(api: Any, room: str, message: dict[str, Any]) -> None:
    """Send to everybody in a room. Connections that turn out to be gone have left it, which the others are told too."""
    news = [message]
    while news:
        message = news.pop(0)
        for one in list(people_of(room)):
            if not post(api, one, message):
                forget(one)
                news.append({"type": "left", "connection": one["connectionId"]})


def post(api: Any, one: Any, message: dict[str, Any]) -> bool:
    """Send to a connection: whether it is still there. One that cannot follow is dropped; its page comes back and gets the history."""
    try:
        api.post_to_connection(ConnectionId=one["connectionId"], Data=json.dumps(message).encode())
    except api.exceptions.GoneException:
        return False
    except api.exceptions.LimitExceededException:
        print(f"{one['connectionId']} reads too slowly and is dropped.")
        return drop(api, one["connectionId"])
    return True


def drop(api: Any, connection: str) -> bool:
    """End a connection; $disconnect does the rest. Whether it was still there."""
    try:
        api.delete_connection(ConnectionId=connection)
    except api.exceptions.GoneException:
        return False
    return True


def refuse(api: Any, connection: str, error: Refused) -> dict[str, Any]:
    post(api, {"connectionId": connection}, {"type": "refused", "text": str(error)})
    return {"statusCode": 200}


def api_of(event: dict[str, Any]) -> Any:
    here = event["requestContext"]
    return boto3.client("apigatewaymanagementapi", endpoint_url=f"https://{here['domainName']}/{here['stage']}")


def room_of(connection: str) -> Any:
    return connections.get_item(Key={"connectionId": connection}, ConsistentRead=True).get("Item")


def people_of(room: str) -> Iterator[Any]:
    start: dict[str, Any] = {}
    while True:
        found = people.query(KeyConditionExpression=Key("room").eq(room), ConsistentRead=True, **start)
        yield from found["Items"]
        if "LastEvaluatedKey" not in found:
            return
        start = {"ExclusiveStartKey": found["LastEvaluatedKey"]}


def history(room: str) -> list[dict[str, Any]]:
    """The last messages of a room, the oldest first; as many as fit into one message of API Gateway, which has 128 KB."""
    found = messages.query(KeyConditionExpression=Key("room").eq(room), ScanIndexForward=False, Limit=HISTORY, ConsistentRead=True)
    kept: list[dict[str, Any]] = []
    size = 0
    for item in found["Items"]:
        message = {"id": item["id"], "at": int(str(item["at"])), **{name: item[name] for name in ("name", "by", "ref", "text")}}
        size += len(json.dumps(message))
        if size > 96 * 1024:
            break
        kept.insert(0, message)
    return kept


def shown(one: Any) -> dict[str, Any]:
    return {"connection": one["connectionId"], "name": one["name"], "by": one["by"]}


def public(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def sent_in(event: dict[str, Any]) -> dict[str, Any]:
    """The message, which is a JSON object: its action has chosen the route."""
    sent: dict[str, Any] = json.loads(event["body"])
    return sent


def matching(sent: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = sent.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Refused(f"{name} takes a text such as {pattern.pattern}.")
    return value


def one_line(sent: dict[str, Any], name: str, most: int) -> str:
    text = several_lines(sent, name, most)
    if "\n" in text:
        raise Refused(f"The {name} has one line.")
    return text


def several_lines(sent: dict[str, Any], name: str, most: int) -> str:
    """Text without control characters, or halves of characters, which JSON can write and UTF-8 cannot."""
    value = sent.get(name)
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= most:
        raise Refused(f"The {name} takes 1 to {most} characters.")
    if any((ord(character) < 32 and character not in "\n\t") or ord(character) == 127 or 0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise Refused(f"The {name} has characters that nobody can read.")
    return text
