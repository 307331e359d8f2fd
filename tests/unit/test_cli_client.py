import os
import socket
import subprocess
import sys

import pytest
from cli_daemon import control_server

from eventflow.cli.client import Client
from eventflow.connection import DaemonError


@pytest.fixture
def server(tmp_path):
    with control_server(tmp_path / "state") as running:
        yield running


def failure(call, *arguments, **options):
    with pytest.raises(DaemonError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_a_question_carries_token_and_query(server):
    server.answers["GET events?state=dead&limit=5"] = {"events": []}
    assert Client.of(server.state).get("events", state="dead", function=None, limit=5) == {"events": []}


def test_an_invocation_carries_the_payload(server):
    server.answers["POST functions/a%2Fb/invoke"] = {"payload": 1}
    assert Client.of(server.state).invoke("a/b", {"k": [1, "é"]}) == {"payload": 1}
    assert server.asked == [("POST functions/a%2Fb/invoke", {"payload": {"k": [1, "é"]}, "async": False})]


def test_a_refusal_is_the_daemons_sentence(server):
    server.answers["GET status"] = (409, {"error": "Not now."})
    client = Client.of(server.state)
    assert failure(client.get, "status") == "Not now."
    server.answers["GET status"] = (500, [])
    assert failure(client.get, "status") == "The daemon refused this with status 500."


def test_a_wrong_token_is_told(server):
    server.announce(token="other")
    assert "needs the token" in failure(Client.of(server.state).get, "status")


def test_another_server_is_told(server):
    server.answers["GET status"] = (200, b"<html>")
    assert "is it an eventflow daemon?" in failure(Client.of(server.state).get, "status")
    server.answers["GET status"] = (500, b"Internal Server Error")
    assert "failed on this with status 500; its own log tells why" in failure(Client.of(server.state).get, "status")


def test_no_daemon(tmp_path):
    text = failure(Client.of, tmp_path)
    assert text.startswith(f"No daemon runs on the state directory {tmp_path}. Start one with `eventflow run APP`")


def test_a_daemon_that_died(server):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    server.announce(pid=gone.pid)
    text = failure(Client.of, server.state)
    assert f"(pid {gone.pid}) has ended without cleaning up" in text
    assert "what it had accepted is still there" in text


def test_a_daemon_that_does_not_answer(server):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server.announce(url=f"http://127.0.0.1:{port}")
    assert f"The daemon (pid {os.getpid()}) does not answer at http://127.0.0.1:{port}" in failure(Client.of(server.state).get, "status")


def test_a_daemon_that_takes_too_long(server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server.announce(url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        client = Client.of(server.state)
        assert "did not answer" in failure(client.post, "dlq/redrive", seconds=0.05)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "http://127.0.0.1:1"}', '{"url": "http://x", "pid": "me", "token": "t"}'])
def test_a_broken_announcement(tmp_path, text):
    (tmp_path / "daemon.json").write_text(text)
    assert f"{tmp_path / 'daemon.json'} cannot be read" in failure(Client.of, tmp_path)
