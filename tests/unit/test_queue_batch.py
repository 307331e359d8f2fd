"""Batches of a queue: what is in an event, what a response says of it, and what fits into one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_bench import REGION

from triggers.batch import Batch, depth, reported, size_at_most

IDS = {"1", "2", "3"}


@pytest.mark.parametrize("response", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}, {"statusCode": 200}])
def test_responses_that_report_success(response: Any) -> None:
    assert reported(json.dumps(response).encode(), IDS) == set()


@pytest.mark.parametrize(
    "response",
    [
        b"{not json",
        b"",
        b'"text"',
        b'""',
        b"[]",
        b"true",
        b'{"batchItemFailures": {}}',
        b'{"batchItemFailures": "1"}',
        b'{"batchItemFailures": ["1"]}',
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}',
        b'{"batchItemFailures": [{"itemIdentifier": 1}]}',
        b'{"batchItemFailures": [{}]}',
        b'{"batchItemFailures": [{"messageId": "1"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "unknown"}]}',
        b"\xff",
    ],
)
def test_responses_that_fail_the_whole_batch(response: bytes) -> None:
    assert reported(response, IDS) is None


@given(st.lists(st.sampled_from("123"), min_size=1))
def test_reported_items_are_those_that_failed(failed: list[str]) -> None:
    assert reported(json.dumps({"batchItemFailures": [{"itemIdentifier": name} for name in failed]}).encode(), IDS) == set(failed)


def message(name: str, body: str = "x", trace: str | None = None) -> dict[str, Any]:
    attributes = {} if trace is None else {"AWSTraceHeader": trace}
    return {"MessageId": name, "ReceiptHandle": name, "MD5OfBody": "", "Body": body, "Attributes": attributes}


def test_on_a_fifo_queue_what_follows_the_first_failure_failed_too() -> None:
    batch = Batch([message(name) for name in "1234"], "arn", REGION, fifo=True)
    response = json.dumps({"batchItemFailures": [{"itemIdentifier": "3"}]}).encode()
    assert batch.succeeded(response).handles == ["1", "2"]
    assert Batch(batch.messages, "arn", REGION).succeeded(response).handles == ["1", "2", "4"]
    assert batch.succeeded(b"null").handles == ["1", "2", "3", "4"]


def test_the_deepest_chain_of_causes_is_continued() -> None:
    shallow, deep = "Root=1-a;Lineage=aaaaaaaa:1|bbbbbbbb:2", "Root=1-b;Lineage=cccccccc:15"
    assert (depth(shallow), depth(deep), depth("Root=1-c;Parent=1:9")) == (3, 15, 0)
    assert Batch([message("1", trace=shallow), message("2"), message("3", trace=deep)], "arn", REGION).trace() == deep
    assert Batch([message("1", trace="Root=1-c")], "arn", REGION).trace() == "Root=1-c"
    assert Batch([message("1")], "arn", REGION).trace() is None


@given(st.lists(st.integers(0, 400), min_size=1, max_size=12), st.integers(700, 2_000))
def test_parts_keep_every_message_in_order_and_fit(sizes: list[int], largest: int) -> None:
    batch = Batch([message(str(number), "é" * size) for number, size in enumerate(sizes)], "arn", REGION)
    parts = list(batch.parts(largest))
    assert [one for part in parts for one in part.messages] == list(batch.messages)
    for part in parts:
        size = len(json.dumps(part.event(), ensure_ascii=False).encode())
        assert size <= largest + 20 * len(part) or len(part) == 1


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_the_quick_bound_of_a_size_holds(body: str, attributes: dict[str, str]) -> None:
    one = {**message("1", body), "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}}
    text = json.dumps(Batch([one], "arn", REGION).event(), ensure_ascii=False)
    controls = sum(character < " " for character in body + "".join(attributes) + "".join(attributes.values()))  # SQS refuses most of them
    assert len(text.encode("utf-8", "surrogatepass")) <= size_at_most(one) + 6 * controls
