"""WebSocket APIs in a real daemon: handlers as they run on AWS, kills, reloads and stops."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from eventflow.settings import TEST_KILL_AT
from tests.patience import DAEMON, PATIENCE
from tests.process.daemon_process import DaemonProcess, daemon

#: Notes what it is told, and needs no library.
NOTES = """
    import json
    from triggers import WebSocket

    @app.on(WebSocket("$connect"))
    @app.on(WebSocket("$disconnect"))
    @app.on(WebSocket("version", route_response_selection_expression="$default"))
    def note(event, context):
        context = event["requestContext"]
        with open(context["eventType"].lower(), "a") as file:
            file.write(json.dumps(context) + "\\n")
        return {"statusCode": 200, "body": "VERSION"}
"""

#: A chat as AWS's own samples have it: connections in a table, messages to all of them, the endpoint made from the event.
CHAT = """
    import boto3, json, os
    from triggers import WebSocket
    app.table("connections", key="connectionId")
    table = boto3.resource("dynamodb").Table("connections")

    @app.on(WebSocket("$connect"), timeout=25)
    def opened(event, context):
        table.put_item(Item={"connectionId": event["requestContext"]["connectionId"]})
        return {"statusCode": 200}

    @app.on(WebSocket("$disconnect"), timeout=25)
    def closed(event, context):
        table.delete_item(Key={"connectionId": event["requestContext"]["connectionId"]})
        return {"statusCode": 200}

    @app.on(WebSocket("send"), timeout=25)
    def send(event, context):
        domain, stage = event["requestContext"]["domainName"], event["requestContext"]["stage"]
        api = boto3.client("apigatewaymanagementapi", endpoint_url=f"https://{domain}/{stage}")
        text = json.loads(event["body"])["text"]
        for item in table.scan()["Items"]:
            try:
                api.post_to_connection(ConnectionId=item["connectionId"], Data=text.encode())
            except api.exceptions.GoneException:
                table.delete_item(Key={"connectionId": item["connectionId"]})
        return {"statusCode": 200}
"""


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[DaemonProcess]:
    with daemon(tmp_path, NOTES) as process:
        process.start()
        yield process


def joined(process: DaemonProcess) -> Any:
    port = process.facts["gateway"].rpartition(":")[2]
    return connect(f"ws://127.0.0.1:{port}/prod", open_timeout=PATIENCE)


def contexts(process: DaemonProcess, name: str) -> list[dict[str, Any]]:
    return [json.loads(row) for row in process.rows(name)]


def test_a_handler_reaches_its_connections_as_on_aws(tmp_path: Path) -> None:
    with daemon(tmp_path, CHAT) as process:
        process.start()
        with joined(process) as one, joined(process) as other:
            one.send(json.dumps({"action": "send", "text": "hello"}))
            assert [client.recv(PATIENCE) for client in (one, other)] == ["hello", "hello"]
            process.client("dynamodb").put_item(TableName="connections", Item={"connectionId": {"S": "nobody"}})
            one.send(json.dumps({"action": "send", "text": "again"}))
            assert [client.recv(PATIENCE) for client in (one, other)] == ["again", "again"]
        process.until(lambda: not process.client("dynamodb").scan(TableName="connections")["Items"], "nobody is connected, by the table")


def test_connections_of_a_killed_daemon_are_told_of_once_at_its_next_start(notes: DaemonProcess) -> None:
    with joined(notes) as one, joined(notes) as other:
        with joined(notes):
            pass
        notes.until(lambda: len(ends(notes)) == 1, "the one that left is told of")
        notes.kill()
        for client in (one, other):
            with pytest.raises(ConnectionClosed):
                client.recv(PATIENCE)
    notes.start()
    notes.until(lambda: len(ends(notes)) == 3, "those that were open are told of")
    notes.kill()
    notes.start()
    with joined(notes):
        pass
    notes.until(lambda: len(ends(notes)) == 4, "the last is told of")
    assert list(ends(notes).values()) == [1000, 1006, 1006, 1000]
    assert set(ends(notes)) == {context["connectionId"] for context in contexts(notes, "connect")}
    assert len(notes.events(function="note")) == 4


def ends(process: DaemonProcess) -> dict[str, int]:
    """How connections ended, in the order in which that was told first. A handler that had just run when its daemon was killed runs again."""
    return {context["connectionId"]: context["disconnectStatusCode"] for context in contexts(process, "disconnect")}


def test_a_stop_ends_connections_and_runs_disconnect(notes: DaemonProcess) -> None:
    with joined(notes) as client:
        assert notes.stop() == 0
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert [context["disconnectStatusCode"] for context in contexts(notes, "disconnect")] == [1001]


@pytest.mark.slow
def test_connections_outlive_a_reload_and_get_the_new_code(tmp_path: Path) -> None:
    with daemon(tmp_path, NOTES) as process:
        process.start(verb="dev")
        with joined(process) as client:
            client.send('{"action": "version"}')
            assert client.recv(PATIENCE) == "VERSION"
            process.app.write_text(process.app.read_text().replace("VERSION", "SECOND"))
            process.until(lambda: "loaded the changed application" in process.log.read_text(), "it is loaded again")
            client.send('{"action": "version"}')
            assert client.recv(PATIENCE) == "SECOND"
        process.until(lambda: process.rows("disconnect"), "its end is told of")


def test_the_aws_endpoint_takes_what_is_signed_for_a_connection(notes: DaemonProcess) -> None:
    with joined(notes) as client:
        connection = contexts(notes, "connect")[0]["connectionId"]
        credentials = json.loads((notes.state / "credentials.json").read_text())
        api = boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=f"{notes.facts['url']}/prod",
            region_name="us-east-1",
            aws_access_key_id=credentials["access_key_id"],
            aws_secret_access_key=credentials["secret_access_key"],
        )
        api.post_to_connection(ConnectionId=connection, Data=b"from outside")
        assert client.recv(PATIENCE) == "from outside"


@pytest.mark.slow
@pytest.mark.parametrize("point", ["events.arrived", "events.accepted", "events.offered"])
def test_a_daemon_that_dies_while_it_tells_of_an_end_has_told_of_it_once(tmp_path: Path, point: str) -> None:
    with daemon(tmp_path, NOTES) as process:
        process.variables[TEST_KILL_AT] = f"{point} 1 {tmp_path / 'mark'}"
        process.start()
        with joined(process):
            pass
        assert process.process is not None
        assert process.process.wait(DAEMON) == -signal.SIGKILL
        del process.variables[TEST_KILL_AT]
        process.start()
        process.until(lambda: process.rows("disconnect"), "the end is told of")
        assert process.stop() == 0
        ends = contexts(process, "disconnect")
        assert len({end["connectionId"] for end in ends}) == 1
        process.start()
        assert len(process.events(function="note")) == 1
