import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.errors import SettingError
from eventflow.function import CHECKS, RESERVED_VARIABLES, Destination, Function, FunctionSettings, checked
from eventflow.outcome import RetryPolicy
from eventflow.reference import BucketRef, BusRef, QueueRef, TableRef


def refusal(setting, value):
    with pytest.raises(SettingError) as caught:
        checked("charge", {setting: value})
    return str(caught.value)


def test_defaults_are_lambdas():
    function = Function("f", "app:f")
    assert (function.memory, function.timeout, function.retries, function.maximum_event_age) == (128, 3, 2, 21_600)
    assert function.reserved_concurrency is None
    assert function.policy == RetryPolicy(retries=2, maximum_age=21_600.0)


@pytest.mark.parametrize(
    ("setting", "least", "most"),
    [("memory", 128, 10_240), ("timeout", 1, 900), ("retries", 0, 2), ("maximum_event_age", 60, 21_600), ("reserved_concurrency", 0, 1_000)],
)
def test_a_number_is_taken_in_its_range_and_refused_outside(setting, least, most):
    assert checked("f", {setting: least}) == {setting: least}
    assert checked("f", {setting: most}) == {setting: most}
    for value in (least - 1, most + 1):
        text = refusal(setting, value)
        assert text.startswith(f"Function 'charge': {setting}={value} is refused")
        assert f"from {least} to {most}" in text


@pytest.mark.parametrize("setting", ["memory", "timeout", "retries", "maximum_event_age", "reserved_concurrency"])
@pytest.mark.parametrize("value", [True, 128.0, "128", float("nan"), [], object()])
def test_a_number_must_be_a_whole_number(setting, value):
    assert "whole number" in refusal(setting, value)


def test_none_is_a_value_only_where_it_means_something():
    assert checked("f", {"reserved_concurrency": None, "on_failure": None, "on_success": None, "dead_letter_queue": None})
    assert "whole number" in refusal("memory", None)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("memry", "Did you mean 'memory'?"),
        ("memory_size", "it is called 'memory' here"),
        ("MemorySize", "it is called 'memory' here"),
        ("maximumEventAge", "it is called 'maximum_event_age' here"),
        ("reserved_concurrent_executions", "it is called 'reserved_concurrency' here"),
        ("layers", "not supported yet"),
        ("SnapStart", "it is called 'snap_start' here"),
        ("ephemeral_storage", "not supported yet"),
        ("vpc", "not supported yet"),
        ("architectures", "not supported yet"),
        ("policies", "not supported yet"),
        ("xyzzy", "There are: name, memory, timeout"),
    ],
)
def test_an_unknown_setting_is_refused_with_what_to_write(setting, expected):
    assert expected in refusal(setting, 1)


def test_the_typed_settings_are_those_that_are_checked():
    assert list(FunctionSettings.__annotations__) == list(CHECKS)


@pytest.mark.parametrize("name", ["f", "a-b_C9", "x" * 64])
def test_names_that_lambda_takes(name):
    assert checked("f", {"name": name}) == {"name": name}


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a.b", "é", "a/b", "a\n", None, 3])
def test_names_that_lambda_refuses(name):
    assert "1 to 64" in refusal("name", name)


def test_delays_of_retries_are_seconds_and_outlive_the_manifest():
    function = Function("f", "m:f", **checked("f", {"retry_delays": [1, 604_800]}))
    assert function.policy == RetryPolicy(2, 21_600.0 + 604_801, (1.0, 604_800.0))
    assert Function.from_json(json.loads(json.dumps(function.to_json()))) == function
    assert Function("f", "m:f", retry_delays=()).policy.retries == 0
    for value in (5, "12", (0,), (604_801,), (True,), (1.5,), [1] * 101):
        assert "up to 100 whole numbers from 1 to 604800" in refusal("retry_delays", value)


def test_a_destination_is_a_queue_a_bus_or_a_function_and_of_failures_a_bucket():
    assert checked("f", {"on_success": BusRef("orders")}) == {"on_success": Destination("bus", "orders")}
    assert checked("f", {"on_failure": BucketRef("dead")}) == {"on_failure": Destination("bucket", "dead")}
    assert "failures alone" in refusal("on_success", BucketRef("dead"))
    function = Function("f", "m:f", on_success=Destination("bus", "orders"), on_failure=Destination("bucket", "dead"))
    assert Function.from_json(json.loads(json.dumps(function.to_json()))) == function
    assert checked("f", {"on_failure": QueueRef("dead")}) == {"on_failure": Destination("queue", "dead")}
    assert checked("f", {"on_success": "next"}) == {"on_success": Destination("function", "next")}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (QueueRef("dead.fifo"), "standard queues only"),
        (TableRef("items", "id"), "a table cannot be a destination"),
        ("arn:aws:sns:us-east-1:000000000000:topic", "A topic cannot be a destination"),
        ("arn:aws:sqs:us-east-1:000000000000:dead", "pass what app.queue(...) or app.bus(...) returned"),
        ("no such name", "a queue of app.queue(...)"),
        (3, "a queue of app.queue(...)"),
        (True, "a queue of app.queue(...)"),
    ],
)
def test_other_destinations_are_refused(value, expected):
    assert expected in refusal("on_failure", value)


def test_a_dead_letter_queue_is_a_standard_queue():
    assert checked("f", {"dead_letter_queue": QueueRef("dead")}) == {"dead_letter_queue": "dead"}
    assert checked("f", {"dead_letter_queue": "dead"}) == {"dead_letter_queue": "dead"}
    assert "standard queues only" in refusal("dead_letter_queue", "dead.fifo")
    assert "queue name" in refusal("dead_letter_queue", "a queue")
    assert "a queue of app.queue" in refusal("dead_letter_queue", 5)


def test_snap_start_is_yes_or_no():
    assert checked("f", {"snap_start": True}) == {"snap_start": True}
    for value in (1, None, "PublishedVersions", {"ApplyOn": "PublishedVersions"}):
        assert "it takes True or False" in refusal("snap_start", value)
    function = Function("f", "app:f", snap_start=True)
    assert Function.from_json(function.to_json()) == function


def test_environment_names_follow_lambda():
    assert checked("f", {"environment": {"STAGE": "test", "a1_": ""}})
    for name in ("A", "1A", "_A", "A-B", "", "É1", 5):
        assert "must be a letter" in refusal("environment", {name: "x"})
    for name in RESERVED_VARIABLES - {"_HANDLER", "_X_AMZN_TRACE_ID"}:
        assert "set by the runtime" in refusal("environment", {name: "x"})
    assert "must be text" in refusal("environment", {"PORT": 80})
    assert "null character" in refusal("environment", {"PORT": "8\0"})
    assert "a dict" in refusal("environment", ["A=b"])


def test_environment_takes_four_kilobytes_as_json():
    frame = len(json.dumps({"AA": ""}, separators=(",", ":")))
    assert checked("f", {"environment": {"AA": "x" * (4_096 - frame)}})
    assert "these take 4097" in refusal("environment", {"AA": "x" * (4_097 - frame)})
    assert "these take 4097" in refusal("environment", {"AA": "é" * ((4_096 - frame) // 2) + "x" * (1 + (4_096 - frame) % 2)})


def test_the_settings_are_not_the_callers_dict():
    variables = {"STAGE": "test"}
    kept = checked("f", {"environment": variables})["environment"]
    variables["AWS_REGION"] = "mars"
    assert kept == {"STAGE": "test"}


def test_description_has_a_longest_length():
    assert checked("f", {"description": "x" * 256})
    assert "at most 256" in refusal("description", "x" * 257)
    assert "at most 256" in refusal("description", None)


functions = st.builds(
    Function,
    name=st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True),
    handler=st.just("app:f"),
    memory=st.integers(128, 10_240),
    timeout=st.integers(1, 900),
    retries=st.integers(0, 2),
    maximum_event_age=st.integers(60, 21_600),
    reserved_concurrency=st.none() | st.integers(0, 1_000),
    on_success=st.none() | st.builds(Destination, st.sampled_from(["queue", "function"]), st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)),
    dead_letter_queue=st.none() | st.from_regex(r"[a-zA-Z0-9_-]{1,80}", fullmatch=True),
    environment=st.dictionaries(
        st.from_regex(r"x[a-zA-Z0-9_]{1,10}", fullmatch=True), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
    ),
    description=st.text(max_size=256),
)


@given(functions)
def test_json_carries_a_function_unchanged(function):
    assert Function.from_json(json.loads(json.dumps(function.to_json()))) == function


def test_what_json_carries_is_checked_again():
    values = Function("f", "app:f").to_json()
    with pytest.raises(SettingError, match="memory=64"):
        Function.from_json(values | {"memory": 64})
    with pytest.raises(SettingError, match="no setting 'colour'"):
        Function.from_json(values | {"colour": "red"})


def test_arn():
    assert Function("f", "app:f").arn("eu-west-1", "123456789012") == "arn:aws:lambda:eu-west-1:123456789012:function:f"
