import asyncio
import json
import os
import shlex

import pytest
from cli_daemon import control_server
from click.testing import CliRunner

from eventflow.cli.client import Client
from eventflow.cli.display import print_table
from eventflow.cli.functions import follow_lines
from eventflow.cli.main import cli
from eventflow.clock import SystemClock

FUNCTION = {
    "name": "thumbnail",
    "memory": 512,
    "timeout": 30,
    "retries": 2,
    "reserved_concurrency": None,
    "ready": 3,
    "running": 1,
    "triggers": ["Bucket(name='uploads')"],
}
EVENT = {
    "sequence": 7,
    "id": "0190-abc",
    "function": "thumbnail",
    "source": "bucket uploads",
    "accepted_at": 1_769_850_300.0,
    "state": "dead",
    "retry_at": None,
    "settled_at": 1_769_850_480.0,
    "failed_attempts": 3,
    "reason": "RetriesExhausted: ValueError:\nnot an image",
    "bytes": 20,
}
ATTEMPT = {
    "status": "function_error",
    "error_type": "ValueError",
    "error_message": "not an image",
    "started_at": 1_769_850_300.5,
    "duration_ms": 12.345,
    "billed_ms": 13,
    "init_ms": None,
    "memory_mb": 512,
    "max_memory_mb": 61,
}
STATUS = {
    "app": "app.py",
    "pid": 77,
    "url": "http://127.0.0.1:4566",
    "version": "0.1.0",
    "started_at": "2026-01-31T09:05:00.000Z",
    "state": "/srv/state",
    "buckets": "/srv/state/buckets",
    "memory_limits": "cgroup v2",
    "settings": {"port": {"value": 4566, "origin": "default"}, "region": {"value": "eu-west-1", "origin": "AWS_REGION"}},
    "functions": [FUNCTION],
    "triggers": [
        {
            "function": "thumbnail",
            "trigger": "Bucket(name='uploads')",
            "kind": "bucket",
            "ready": True,
            "failure": None,
            "reports": ["skipped a FIFO"],
        },
        {"function": "tidy", "trigger": "Schedule('rate(1 day)')", "kind": "schedule", "ready": False, "failure": "OSError: gone", "reports": []},
    ],
    "events": {"thumbnail": {"ready": 3, "dead": 1}},
}


@pytest.fixture(autouse=True)
def server(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with control_server(tmp_path / ".eventflow") as running:
        yield running


def run(*arguments, status=0, **options):
    shown = CliRunner().invoke(cli, arguments, **options)
    assert shown.exit_code == status, shown.output
    return shown


def test_functions(server):
    server.answers["GET functions"] = {"functions": [FUNCTION]}
    heading, row = run("functions").stdout.splitlines()
    assert heading.split("  ")[0] == "FUNCTION"
    assert row.split() == ["thumbnail", "512", "30", "-", "2", "3", "1", "Bucket(name='uploads')"]
    assert json.loads(run("functions", "--json").stdout) == [FUNCTION]


def test_another_state_directory_is_asked_for_by_option_and_by_variable(server, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    assert "No daemon runs" in run("functions", "--state", "elsewhere", status=1).stderr
    monkeypatch.setenv("EVENTFLOW_STATE", str(tmp_path / "elsewhere"))
    assert "No daemon runs" in run("functions", status=1).stderr
    server.answers["GET functions"] = {"functions": []}
    run("functions", "--state", ".eventflow")


def test_invoke_prints_what_the_function_returns(server):
    server.answers["POST functions/thumbnail/invoke"] = {"payload": {"größe": 3}, "function_error": None, "log_tail": "START\n"}
    shown = run("invoke", "thumbnail")
    assert json.loads(shown.stdout) == {"größe": 3}
    assert "größe" in shown.stdout
    assert shown.stderr == ""
    assert server.asked == [("POST functions/thumbnail/invoke", {"payload": {}, "async": False})]


def test_invoke_shows_the_logs_tail(server):
    server.answers["POST functions/thumbnail/invoke"] = {"payload": None, "function_error": None, "log_tail": "START\nEND\n"}
    shown = run("invoke", "thumbnail", "--tail")
    assert (shown.stdout, shown.stderr) == ("null\n", "START\nEND\n")


def test_invoke_fails_as_the_function_does(server):
    error = {"errorType": "KeyError", "errorMessage": "'Records'"}
    server.answers["POST functions/thumbnail/invoke"] = {"payload": error, "function_error": "Unhandled"}
    shown = run("invoke", "thumbnail", status=1)
    assert json.loads(shown.stdout) == error
    assert shown.stderr == "Error: Function 'thumbnail' failed: KeyError: 'Records'\n"
    assert json.loads(run("invoke", "thumbnail", "--json", status=1).stdout)["function_error"] == "Unhandled"


def test_invoke_asynchronously_prints_the_id(server):
    server.answers["POST functions/thumbnail/invoke"] = {"status_code": 202, "request_id": "0190"}
    assert run("invoke", "thumbnail", "--async").stdout == "0190\n"
    assert server.asked[0][1]["async"] is True
    assert "--tail" in run("invoke", "thumbnail", "--async", "--tail", status=2).stderr


def test_invoke_takes_json_a_file_or_standard_input(server, tmp_path):
    server.answers["POST functions/f/invoke"] = {"payload": None}
    (tmp_path / "event.json").write_text('{"a": "é"}', encoding="utf-8")
    run("invoke", "f", "--payload", "[1]")
    run("invoke", "f", "--payload", "@event.json")
    run("invoke", "f", "--payload", "-", input='"text"')
    assert [body["payload"] for _request, body in server.asked] == [[1], {"a": "é"}, "text"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("{a: 1}", "The payload (--payload) is not JSON"),
        ("NaN", "NaN is no JSON value"),
        ("@missing.json", "missing.json cannot be read"),
        ("-", "(standard input) is not JSON"),
    ],
)
def test_a_payload_that_cannot_be_read_is_a_usage_error(server, payload, expected):
    assert expected in run("invoke", "f", "--payload", payload, status=2, input="").stderr
    assert server.asked == []


def test_an_unknown_function_is_the_daemons_sentence(server):
    server.answers["POST functions/charge/invoke"] = (404, {"error": "No function named 'charge'; it has: ship."})
    assert run("invoke", "charge", status=1).stderr == "Error: No function named 'charge'; it has: ship.\n"


def test_logs(server):
    server.answers["GET logs/thumbnail?limit=100"] = {"lines": [{"time": 1_769_850_300.0, "request_id": "r", "text": "hello"}], "next": "5-9"}
    (line,) = run("logs", "thumbnail").stdout.splitlines()
    assert line.endswith("  hello")
    assert json.loads(run("logs", "thumbnail", "--json").stdout)["text"] == "hello"


def test_following_goes_on_from_the_cursor_and_waits_only_when_there_is_nothing(server):
    def page(text, following):
        return {"lines": [{"time": 0.0, "request_id": "r", "text": text}] if text else [], "next": following}

    server.answers["GET logs/f?since=5-1&limit=1000"] = page("first", "5-2")
    server.answers["GET logs/f?since=5-2&limit=1000"] = [page("second", "5-3")]
    server.answers["GET logs/f?since=5-3&limit=1000"] = [page("", "5-3"), page("third", "5-4"), page("never", "5-5")]
    server.answers["GET logs/f?since=5-4&limit=1000"] = [page("", "5-4")]
    naps = []
    seen = []

    class Naps(SystemClock):
        async def sleep(self, seconds):
            naps.append(seconds)
            if len(naps) == 2:
                raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(follow_lines(Client.of(server.state), "f", "5-1", Naps(), lambda line: seen.append(line["text"])))
    assert seen == ["first", "second", "third"]
    assert naps == [0.5, 0.5]


def test_events_list(server):
    server.answers["GET events?state=dead&function=thumbnail&limit=5&before=9"] = {"events": [EVENT], "next": 7}
    shown = run("events", "list", "--status", "dead", "--function", "thumbnail", "--limit", "5", "--before", "9")
    row = shown.stdout.splitlines()[1]
    assert "0190-abc" in row
    assert row.endswith("RetriesExhausted: ValueError: not an image")
    assert shown.stderr == "There are older ones: --before 7\n"
    server.answers["GET events?limit=50"] = {"events": [], "next": None}
    assert json.loads(run("events", "list", "--json").stdout) == {"events": [], "next": None}
    assert run("events", "list").stdout.startswith("EVENT")


def test_a_cursor_is_a_number(server):
    assert "not a valid integer" in run("events", "list", "--before", "x", status=2).stderr


def test_numbers_stand_to_the_right_and_texts_to_the_left(capsys):
    print_table(("NAME", "COUNT", "MIXED"), [("a", 5, 1), ("long name", None, "x"), ("b", 12345678, None)])
    assert capsys.readouterr().out.splitlines() == [
        "NAME          COUNT  MIXED",
        "a                 5  1",
        "long name         -  x",
        "b          12345678  -",
    ]


def test_a_waiting_event_tells_until_when(server):
    server.answers["GET events?limit=50"] = {"events": [EVENT | {"state": "waiting", "retry_at": 1_769_850_360.0}], "next": None}
    assert "waiting until 2026-01-31 " in run("events", "list").stdout


def test_events_show(server):
    server.answers["GET events/0190-abc"] = EVENT | {"payload": {"Records": ["é"]}, "trace": "Root=1", "attempts": [ATTEMPT]}
    shown = run("events", "show", "0190-abc").stdout
    for text in (
        "State     dead",
        "Reason    RetriesExhausted",
        '"é"',
        "Attempt 1",
        "Error        ValueError: not an image",
        "12.35 ms",
        "61 of 512 MB",
    ):
        assert text in shown
    assert json.loads(run("events", "show", "0190-abc", "--json").stdout)["attempts"] == [ATTEMPT]


def test_events_show_of_a_synchronous_invocation(server):
    server.answers["GET events/r1"] = {"id": "r1", "function": "f", "source": "synchronous invocation", "state": "done", "attempts": [ATTEMPT]}
    shown = run("events", "show", "r1").stdout
    assert "synchronous invocation" in shown
    assert "Payload" not in shown


def test_events_replay(server):
    server.answers["POST events/a/replay"] = {"replayed": ["a"]}
    server.answers["POST events/b/replay"] = {"replayed": ["b"]}
    shown = run("events", "replay", "a", "b")
    assert (shown.stdout, shown.stderr) == ("a\nb\n", "2 events replayed.\n")
    server.answers["POST events/c/replay"] = (409, {"error": "Event c is ready."})
    assert run("events", "replay", "c", status=1).stderr == "Error: Event c is ready.\n"
    run("events", "replay", status=2)


def test_dlq_list(server):
    server.answers["GET dlq?limit=50"] = {"events": [EVENT], "next": None}
    assert "RetriesExhausted" in run("dlq", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["--all"], {"function": None, "ids": None}),
        (["--function", "thumbnail"], {"function": "thumbnail", "ids": None}),
        (["a", "b"], {"function": None, "ids": ["a", "b"]}),
    ],
)
def test_dlq_redrive(server, arguments, body):
    server.answers["POST dlq/redrive"] = {"redriven": ["a", "b"]}
    shown = run("dlq", "redrive", *arguments)
    assert shown.stdout == "a\nb\n"
    assert server.asked == [("POST dlq/redrive", body)]
    assert json.loads(run("dlq", "redrive", "--json", *arguments).stdout) == {"redriven": ["a", "b"]}


def test_dlq_redrive_says_which_and_what_was_not_there(server):
    assert "Say which events" in run("dlq", "redrive", status=2).stderr
    assert "Say which events" in run("dlq", "redrive", "a", "--all", status=2).stderr
    server.answers["POST dlq/redrive"] = {"redriven": ["a"]}
    shown = run("dlq", "redrive", "a", "x", status=1)
    assert "1 event redriven." in shown.stderr
    assert "Not dead, not known, or of a function that is not there: x." in shown.stderr
    server.answers["POST dlq/redrive"] = {"redriven": ["a"], "left": 2}
    assert "2 left as they are: their functions are not there." in run("dlq", "redrive", "--all").stderr


def test_status(server):
    server.answers["GET status"] = STATUS
    shown = run("status").stdout
    for text in ("eventflow 0.1.0, pid 77", "cgroup v2", "skipped a FIFO", "failed: OSError: gone"):
        assert text in shown
    assert ["thumbnail", "3", "0", "1", "0", "1"] in [line.split() for line in shown.splitlines()]
    assert "AWS_REGION" not in shown
    assert ["region", "eu-west-1", "AWS_REGION"] in [line.split() for line in run("status", "--settings").stdout.splitlines()]
    assert json.loads(run("status", "--json").stdout) == STATUS


def write_credentials(server, secret="a+/secret"):
    file = server.state / "credentials.json"
    file.write_text(json.dumps({"access_key_id": "EVFLX", "secret_access_key": secret}))
    file.chmod(0o600)
    return file


def test_env_prints_what_a_shell_reads(server):
    write_credentials(server, "it's $HOME")
    server.answers["GET status"] = STATUS
    lines = run("env").stdout.splitlines()
    assert [shlex.split(line) for line in lines] == [
        ["export", f"AWS_ENDPOINT_URL={server.url}"],
        ["export", "AWS_ACCESS_KEY_ID=EVFLX"],
        ["export", "AWS_SECRET_ACCESS_KEY=it's $HOME"],
        ["export", "AWS_REGION=eu-west-1"],
        ["export", "AWS_DEFAULT_REGION=eu-west-1"],
    ]
    assert json.loads(run("env", "--json").stdout)["AWS_REGION"] == "eu-west-1"


def test_env_without_credentials(server):
    assert "credentials.json cannot be read" in run("env", status=1).stderr
    write_credentials(server).chmod(0o644)
    assert run("env", status=1).stderr.startswith("Error: ")


def test_generated_events_have_their_triggers_shape(server):
    arguments = ["--bucket", "photos", "--key", "a b.jpg", "--size", "5", "--region", "eu-west-1"]
    record = json.loads(run("generate-event", "s3", *arguments).stdout)["Records"][0]
    assert (record["eventName"], record["awsRegion"]) == ("ObjectCreated:Put", "eu-west-1")
    assert (record["s3"]["bucket"]["name"], record["s3"]["object"]["key"], record["s3"]["object"]["size"]) == ("photos", "a+b.jpg", 5)
    removed = json.loads(run("generate-event", "bucket", "--name", "ObjectRemoved:Delete").stdout)["Records"][0]
    assert {"size", "eTag"}.isdisjoint(removed["s3"]["object"])
    assert json.loads(run("generate-event", "schedule", "--rule", "nightly").stdout)["resources"][0].endswith(":rule/nightly")
    records = json.loads(run("generate-event", "sqs", "--queue", "orders", "--body", "1", "--body", "2").stdout)["Records"]
    assert [record["body"] for record in records] == ["1", "2"]
    assert records[0]["eventSourceARN"] == "arn:aws:sqs:us-east-1:000000000000:orders"
    event = json.loads(run("generate-event", "http", "--route", "POST /a/{id}", "--target", "/a/7?b=c", "--body", "x").stdout)
    assert (event["routeKey"], event["pathParameters"], event["queryStringParameters"], event["body"]) == (
        "POST /a/{id}",
        {"id": "7"},
        {"b": "c"},
        "x",
    )
    event = json.loads(run("generate-event", "rest", "--target", "/items/a%20b", "--header", "X-Mine: yes").stdout)
    assert (event["resource"], event["path"], event["headers"]["X-Mine"]) == ("/items/{id}", "/items/a%20b", "yes")
    assert "does not lead to '/other'" in run("generate-event", "http", "--target", "/other", status=1).stderr
    run("generate-event", "kafka", status=2)


def test_a_generated_event_can_be_invoked_with(server):
    server.answers["POST functions/f/invoke"] = {"payload": None}
    run("invoke", "f", "--payload", "-", input=run("generate-event", "bucket").stdout)
    assert server.asked[0][1]["payload"]["Records"][0]["eventSource"] == "aws:s3"


def test_doctor(server):
    shown = run("doctor").stdout
    assert shown.splitlines()[0].split() == ["SUBJECT", "VERDICT", "FINDING"]
    assert f"runs at {server.url}, pid {os.getpid()}" in shown
    findings = json.loads(run("doctor", "--json").stdout)
    assert {finding["verdict"] for finding in findings} <= {"ok", "weaker"}
    assert {"python", "memory limit", "file events", "state directory", "daemon"} <= {finding["subject"] for finding in findings}


def test_doctor_fails_where_something_is_missing(server, monkeypatch):
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 8, 0))
    assert "Missing here: sqlite." in run("doctor", status=1).stderr
