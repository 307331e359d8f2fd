"""The web samples by their APIs: files, items, live updates and rooms, without a browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.patience import PATIENCE
from tests.process.web_sample import SAMPLES, WebSample, web_sample

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance"
PNG = bytes.fromhex("89504e470d0a1a0a") + bytes(range(256))


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSample]:
    with web_sample(WebSample, "items", tmp_path_factory.mktemp("items")) as running:
        yield running


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSample]:
    with web_sample(WebSample, "chat", tmp_path_factory.mktemp("chat")) as running:
        yield running


def live(sample: WebSample) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{sample.port}/live", open_timeout=PATIENCE)


def heard(connection: ClientConnection, kind: str) -> Any:
    """The next message of that type."""
    while (message := json.loads(connection.recv(PATIENCE)))["type"] != kind:
        pass
    return message


@pytest.mark.parametrize("name", ["pages.py", "page/live.js"])
def test_what_both_samples_have_is_the_same(name: str) -> None:
    assert (SAMPLES / "items" / name).read_bytes() == (SAMPLES / "chat" / name).read_bytes()


@pytest.mark.parametrize("name", ["items", "chat"])
def test_a_page_asks_for_nothing_from_elsewhere(name: str) -> None:
    named = [address for file in (SAMPLES / name / "page").iterdir() for address in re.findall(r"https?://[^\s\"'<]+", file.read_text())]
    assert set(named) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/live.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_the_page_comes_from_the_bucket(items: WebSample, path: str, kind: str) -> None:
    answer = items.request("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.body == (items.folder / "page" / (path[1:] or "index.html")).read_bytes()
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    again = items.request("GET", path, if_none_match=answer.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", answer.headers["etag"])


def test_a_file_that_is_edited_is_another_one_and_binary_ones_are_whole(items: WebSample) -> None:
    picture = items.folder / "page" / "deep" / "picture ü.png"
    picture.parent.mkdir()
    picture.write_bytes(PNG)
    first = items.request("GET", "/deep/picture%20%C3%BC.png")
    assert (first.status, first.headers["content-type"], first.body) == (200, "image/png", PNG)
    picture.write_bytes(PNG * 2)
    second = items.request("GET", "/deep/picture%20%C3%BC.png", if_none_match=first.headers["etag"])
    assert (second.status, second.body) == (200, PNG * 2)


@pytest.mark.parametrize("path", ["/nothing.html", "/../app.py", "/..%2fapp.py", "/%2e%2e/app.py", "/deep%00", "/" + "x" * 1100, "/%ff"])
def test_what_is_not_in_the_bucket_is_not_found(items: WebSample, path: str) -> None:
    answer = items.request("GET", path)
    assert answer.status in (400, 404)
    assert b"def " not in answer.body


def test_an_item_is_made_read_listed_and_deleted(items: WebSample) -> None:
    made = items.request("POST", "/items", json.dumps({"name": "  Crème fraîche 🥛 ", "quantity": 2}).encode())
    assert made.status == 201
    id = made.json["id"]
    assert made.json == {"id": id, "name": "Crème fraîche 🥛", "quantity": 2}
    assert items.request("GET", made.headers["location"]).json == made.json
    assert made.json in items.request("GET", "/items").json["items"]
    assert items.request("DELETE", f"/items/{id}").status == 204
    assert items.request("DELETE", f"/items/{id}").status == 404
    assert items.request("GET", f"/items/{id}").status == 404


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"name": "x", "quantity": 1, "more": 1}', b'{"name": 5}', b'{"name": " \\t "}'),
        *(
            b'{"name": "\\ud800"}',
            b'{"name": "a\\nb"}',
            b'{"name": "\\u0000"}',
            json.dumps({"name": "x" * 81}).encode(),
            b'{"name": "x", "quantity": true}',
        ),
        *(b'{"name": "x", "quantity": %s}' % each for each in (b"0", b"1000", b"1.5", b'"1"', b"null", b"NaN", b"Infinity", b"1e400", b"1" * 5000)),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream"])
def test_what_is_no_item_is_refused_with_a_sentence(items: WebSample, body: bytes, kind: str) -> None:
    answer = items.request("POST", "/items", body, content_type=kind)
    assert answer.status == 400
    assert answer.json["message"].endswith(".")


def test_a_list_comes_in_pages(items: WebSample) -> None:
    client = items.process.client("dynamodb")
    for number in range(70):
        item = {"list": {"S": "shopping"}, "id": {"S": f"{number:013d}-0000000a"}, "name": {"S": f"{number}"}, "quantity": {"N": "1"}}
        client.put_item(TableName="items", Item=item)
    found, after = [], ""
    while True:
        answer = items.request("GET", "/items" + after).json
        found += [item["name"] for item in answer["items"]]
        if "next" not in answer:
            break
        after = f"?after={answer['next']}"
    assert [name for name in found if name.isdigit()] == [str(number) for number in reversed(range(70))]
    assert items.request("GET", "/items?after=yesterday").status == 400


def test_everybody_hears_of_changes_in_their_order(items: WebSample) -> None:
    with live(items) as ann, live(items) as bob:
        ann.send('{"action": "ping"}')
        assert json.loads(ann.recv(PATIENCE)) == {"type": "pong"}
        made = [items.request("POST", "/items", json.dumps({"name": name}).encode()).json for name in ("Tea", "Milk")]
        items.request("DELETE", f"/items/{made[0]['id']}")
        for one in (ann, bob):
            changes: list[Any] = []
            while len(changes) < 3:
                changes += [
                    change for change in heard(one, "changes")["changes"] if change.get("item") in made or change.get("deleted") == made[0]["id"]
                ]
            assert changes == [{"item": made[0]}, {"item": made[1]}, {"deleted": made[0]["id"]}]
    items.process.until(lambda: items.table("connections") == [], "closed connections are forgotten")


def test_a_connection_that_is_gone_is_forgotten_by_the_next_change(items: WebSample) -> None:
    with live(items) as ann:
        (real,) = items.process.until(lambda: items.table("connections"), "the connection is kept")
        gone = {**real, "connectionId": {"S": "AAAAAAAAAAAAAAA="}}
        items.process.client("dynamodb").put_item(TableName="connections", Item=gone)
        items.request("POST", "/items", b'{"name": "News"}')
        assert heard(ann, "changes")["changes"][-1]["item"]["name"] == "News"
        items.process.until(lambda: items.table("connections") == [real], "the connection that answers 410 is out of the table")


def join(connection: ClientConnection, room: str, name: str) -> Any:
    connection.send(json.dumps({"action": "join", "room": room, "name": name, "secret": name.lower().ljust(16, "0")}))
    return heard(connection, "joined")


def test_a_room_hears_its_people_and_no_others(chat: WebSample) -> None:
    with live(chat) as ann, live(chat) as cid:
        assert [one["name"] for one in join(ann, "kitchen", "Ann")["people"]] == ["Ann"]
        join(cid, "garden", "Cid")
        with live(chat) as bob:
            join(bob, "kitchen", "Bob")
            assert heard(ann, "arrived")["name"] in ("Ann", "Bob")
            ann.send(json.dumps({"action": "say", "text": " Hello \n there ", "ref": "a" * 16}))
            said = heard(bob, "said")["message"]
            assert (said["name"], said["text"], said["ref"]) == ("Ann", "Hello \n there", "a" * 16)
            assert heard(ann, "said")["message"] == said
        assert "connection" in heard(ann, "left")
        cid.send(json.dumps({"action": "say", "text": "Alone", "ref": "c" * 16}))
        assert heard(cid, "said")["message"]["text"] == "Alone"
        assert join(cid, "kitchen", "Cid")["messages"] == [said]  # another room, over the same connection
        assert [row["room"]["S"] for row in chat.table("people")].count("garden") == 0
    chat.process.until(lambda: chat.table("people") == chat.table("connections") == [], "the rooms are empty")


def test_connections_that_are_gone_leave_the_room_at_the_next_message(chat: WebSample) -> None:
    with live(chat) as ann:
        client = chat.process.client("dynamodb")
        for number in range(4):
            row = {"room": "cellar", "connectionId": f"AAAAAAAAAAAAAA{number}=", "name": "Ghost", "by": "0" * 12}
            item = {name: {"S": value} for name, value in row.items()}
            client.put_item(TableName="people", Item=item)
            client.put_item(TableName="connections", Item=item)
        assert len(join(ann, "cellar", "Ann")["people"]) == 5
        assert sorted(heard(ann, "left")["connection"] for _ghost in range(4)) == [f"AAAAAAAAAAAAAA{number}=" for number in range(4)]
        assert [row["name"]["S"] for row in chat.table("people")] == ["Ann"]
        assert len(chat.table("connections")) == 1


def test_a_history_of_long_messages_fits_into_one(chat: WebSample) -> None:
    client = chat.process.client("dynamodb")
    for number in range(50):
        row = {"room": "long", "id": f"{number:013d}-x", "name": "Ann", "by": "0" * 12, "ref": f"{number:016d}", "text": "🥛" * 2000}
        client.put_item(TableName="messages", Item={"at": {"N": str(number)}, **{name: {"S": value} for name, value in row.items()}})
    with live(chat) as ann:
        messages = join(ann, "long", "Ann")["messages"]
        assert [message["at"] for message in messages] == list(range(50 - len(messages), 50))
        assert 1 < len(messages) < 50


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seconds"), [("items", 30), ("chat", 10)])
def test_no_request_is_answered_with_a_server_error(name: str, seconds: int, tmp_path: Path) -> None:
    """What schemathesis comes up with, from the samples' own documents."""
    with web_sample(WebSample, name, tmp_path) as sample:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{sample.url}/openapi.json", "--checks", CHECKS, "--max-time", str(seconds)]
        command += ["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "40", "--seed", "1", "--suppress-health-check", "all"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
