"""The client against real daemons, which are killed and started again under it."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventflow.bulk import Bulk
from eventflow.client import Client, FunctionError, NotAccepted
from eventflow.connection import Address, Connection, Refused
from tests.patience import DAEMON, PATIENCE
from tests.process.daemon_process import DaemonProcess, daemon

CODE = """
import os
log = os.open("handled", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@app.function()
def note(event, context):
    os.write(log, b"%s %s\\n" % (context.aws_request_id.encode(), ascii(event).encode()))

@app.function()
def double(event, context):
    return None if event is None else 2 * event

@app.function()
def fails(event, context):
    raise RuntimeError("no luck")

@app.function(timeout=30)
def endless(event, context):
    from eventflow.client import Client
    with Client(state="state") as client:
        client.emit("endless", event + 1)
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with daemon(tmp_path_factory.mktemp("client"), CODE) as process:
        yield process.start()


@pytest.fixture
def client(process: DaemonProcess) -> Iterator[Client]:
    with Client(state=process.state) as client:
        yield client


def handled(process: DaemonProcess) -> dict[str, str]:
    """What was handled, by request id."""
    return dict(line.split(" ", 1) for line in process.rows("handled"))


def test_events_are_handled_each_by_itself(client: Client, process: DaemonProcess) -> None:
    ids = client.emit_many("note", ["é", b' {"a" :\n[1, null]}\n', None, *range(1500)])
    ids.append(client.emit("note", "alone"))
    assert len(set(ids)) == 1504
    process.until(lambda: len(handled(process)) == 1504, "all are handled")
    assert [handled(process)[id] for id in (*ids[:4], ids[-1])] == ["'\\xe9'", "{'a': [1, None]}", "None", "0", "'alone'"]
    assert process.control(f"events/{ids[7]}")["source"] == "eventflow.client"


def test_an_event_with_a_known_key_is_ignored(client: Client, process: DaemonProcess) -> None:
    first = client.emit("note", 1, key="order 7")
    assert client.emit("note", 2, key="order 7") == first
    ids = client.emit_many("note", [3, 4, 5], keys=["order 7", "order 8", "order 8"])
    assert ids[0] == first
    assert ids[1] == ids[2] != first
    assert client.emit("double", 6, key="order 7") != first  # keys are a function's own


def test_invocations_return_or_raise_what_the_function_does(client: Client) -> None:
    assert client.invoke("double", 21) == 42
    assert client.invoke("double") is None
    with pytest.raises(FunctionError, match="RuntimeError: no luck"):
        client.invoke("fails", {})


def test_what_cannot_be_accepted_is_told(client: Client, process: DaemonProcess) -> None:
    with pytest.raises(NotAccepted, match="0 of 1 events for 'nobody' were acknowledged: There is no function named 'nobody'; there are: double"):
        client.emit("nobody", 1)
    with pytest.raises(NotAccepted, match="the payload of event 2 of 2 is not JSON"):
        client.emit_many("note", [b"1", b"{"])
    with pytest.raises(NotAccepted, match="an asynchronous event may have 1048576"):
        client.emit("note", "x" * 1_048_576)
    with pytest.raises(NotAccepted, match="larger than 8388608 bytes"):
        client.emit("note", "x" * 9_000_000)
    connection = Connection(Address.of(process.state))
    with pytest.raises(Refused, match="These are no events: sizes say 3 bytes, and 2 came") as caught:
        connection.ask("POST", "functions/note/events", Bulk([b"1", b"2"]).encode().replace(b"[1,1]", b"[1,2]"))
    connection.close()
    assert caught.value.status == 400
    assert client.invoke("double", 1) == 2  # the connection goes on


def test_a_loop_through_the_client_is_recognised(client: Client, process: DaemonProcess) -> None:
    client.emit("endless", 0)
    dead = process.until(lambda: process.events(function="endless", state="dead"), "the loop is stopped")
    assert dead[0]["reason"].startswith("RecursiveLoop: endless stands 16 times")


class Emitter(threading.Thread):
    """Emits numbers, many at a time and one by one, until told to stop; ``ids`` are in their order."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.failure: BaseException | None = None
        self.stopping = threading.Event()
        self._state = state

    def run(self) -> None:
        try:
            with Client(state=self._state, patience=DAEMON) as client:
                while not self.stopping.is_set():
                    begin = len(self.ids)
                    self.ids += client.emit_many("note", range(begin, begin + 1_200))
                    for number in range(begin + 1_200, begin + 1_210):
                        self.ids.append(client.emit("note", number))
        except BaseException as failure:
            self.failure = failure


#: The daemon is killed when it has committed so many transactions, and told nobody of the last one; the first ones are those of its start.
KILLS = (25, 40, 16, 52, 31)


@pytest.mark.slow
def test_a_daemon_that_is_killed_before_it_could_answer_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with daemon(tmp_path, CODE) as process:
        emitter = Emitter(process.state)
        for number, transactions in enumerate(KILLS):
            monkeypatch.setenv("EVENTFLOW_TEST_KILL_AT", f"transaction.committed {transactions} {tmp_path / f'mark-{number}'}")
            process.start(ready=number == 0)
            assert process.process is not None
            if number == 0:
                emitter.start()
            assert process.process.wait(DAEMON) == -signal.SIGKILL
        monkeypatch.delenv("EVENTFLOW_TEST_KILL_AT")
        process.start()
        emitter.stopping.set()
        emitter.join(PATIENCE)
        assert emitter.failure is None
        expected = {id: str(number) for number, id in enumerate(emitter.ids)}
        assert len(expected) == len(emitter.ids)
        process.until(lambda: len(handled(process)) >= len(expected), "all are handled")
        process.until(lambda: process.control("status")["events"]["note"].keys() == {"done"}, "all are done")
        assert handled(process) == expected  # and no event but these: nothing was accepted twice, under another id
        assert process.control("status")["events"]["note"] == {"done": len(expected)}


def test_a_client_waits_for_a_daemon_that_is_started_again(tmp_path: Path) -> None:
    with daemon(tmp_path, CODE) as process:
        process.start()
        with Client(state=process.state, patience=DAEMON) as client:
            id = client.emit("note", 1, key="k")
            old = json.loads(process.facts_path.read_text())
            process.kill()
            starting = threading.Timer(0.3, process.start)
            starting.start()
            assert client.emit("note", 2, key="k") == id
            starting.join()
            assert process.facts["token"] != old["token"]
        with Client(state=process.state, patience=0.0) as client:
            assert process.stop() == 0
            with pytest.raises(NotAccepted, match="0 of 1 events"):
                client.emit("note", 3)
