"""Events that kill their environment, and a stop under load: what each costs, and whom."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.process.daemon_process import DaemonProcess

ROOT = Path(__file__).parents[2]
NOTE = """
import json, os, signal, time
def note(name, text):
    file = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (text + "\\n").encode())
    os.close(file)
"""


class QuickDaemon(DaemonProcess):
    """Retries come after a moment."""

    module = "tests.chaos.quick_retries"


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[QuickDaemon]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    found = QuickDaemon(tmp_path, NOTE + f"HERE = {str(tmp_path)!r}\n" + request.param)
    yield found
    found.end()


POISON = """
failures = app.queue("failures")
@app.function(timeout=60, retries=2, on_failure=failures)
def work(event, context):
    note(HERE + "/begun", event["name"])
    if event["name"] == "poison":
        %s
    note(HERE + "/handled", event["name"])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "reason"),
    [
        (POISON % "os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        (POISON % "os._exit(7)", "Runtime exited with error: exit status 7"),
    ],
    indirect=["process"],
)
def test_a_poison_event_ends_in_the_dead_letters_and_costs_its_neighbours_nothing(process: QuickDaemon, reason: str) -> None:
    process.start()
    client = process.client("lambda")
    names = [f"n{number}" for number in range(60)]
    names.insert(30, "poison")
    for name in names:
        client.invoke(FunctionName="work", InvocationType="Event", Payload=json.dumps({"name": name}).encode())
    process.until(lambda: len(process.events(state="done")) == 60 and process.events(state="dead"), "one is dead and all others are done")
    [dead] = process.events(state="dead")
    assert dead["reason"].startswith("RetriesExhausted: ")
    assert reason in dead["reason"]
    assert Counter(process.rows("handled")) == Counter(name for name in names if name != "poison")
    assert Counter(process.rows("begun")) == Counter({**dict.fromkeys(names, 1), "poison": 3})
    for event in process.events(state="done"):
        shown = process.control(f"events/{event['id']}")
        assert [attempt["status"] for attempt in shown["attempts"]] == ["success"]
    sqs = process.client("sqs")
    [message] = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="failures")["QueueUrl"], MaxNumberOfMessages=10)["Messages"]
    record = json.loads(message["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert reason in record["responsePayload"]["errorMessage"]


STOP = """
@app.function(timeout=60)
def work(event, context):
    note(HERE + "/begun", event["name"])
    time.sleep(event["seconds"])
    note(HERE + "/handled", event["name"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("process", [STOP], indirect=True)
def test_a_stop_under_load_finishes_what_it_can_and_charges_nobody_for_the_rest(process: QuickDaemon, tmp_path: Path) -> None:
    (tmp_path / "eventflow.toml").write_text("grace_seconds = 1.5\n")
    process.start()
    client = process.client("lambda")
    accepted: list[str] = []
    stopping = threading.Event()

    def send() -> None:
        while not stopping.is_set():
            # Two are longer than the grace time, most end within it, many are quick enough to be sent several at once.
            name, seconds = f"e{len(accepted)}", 20 if len(accepted) in (5, 6) else (0, 0, 0, 0.3)[len(accepted) % 4]
            try:
                client.invoke(FunctionName="work", InvocationType="Event", Payload=json.dumps({"name": name, "seconds": seconds}).encode())
            except (BotoCoreError, ClientError):
                return
            accepted.append(name)

    sender = threading.Thread(target=send)
    sender.start()
    process.until(lambda: len(process.rows("handled")) > 20 and {"e5", "e6"} <= set(process.rows("begun")), "it is under load")
    assert process.stop() == 0
    stopping.set()
    sender.join()
    begun, handled = set(process.rows("begun")), set(process.rows("handled"))
    assert begun - handled == {"e5", "e6"}, "whatever had begun and could end within the grace time has ended"
    process.app.write_text(process.app.read_text().replace("time.sleep(event", "time.sleep(0 * event"))
    process.start()
    process.until(lambda: set(accepted) <= set(process.rows("handled")), "all that was accepted is handled")
    process.until(lambda: all(event["state"] == "done" for event in process.events()), "all are done")
    assert max(Counter(process.rows("handled")).values()) == 1
    for name in ("e5", "e6"):
        assert Counter(process.rows("begun"))[name] == 2
    for event in process.events():
        assert [attempt["status"] for attempt in process.control(f"events/{event['id']}")["attempts"]] == ["success"]
