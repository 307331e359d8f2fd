"""Answers that are streams of events, read by botocore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from eventflow.aws.protocols.event_stream import event_writer, message
from eventflow.aws.protocols.rest_json import JsonCodec
from eventflow.aws.wire import Wires

NAMES = st.text(st.characters(codec="ascii", exclude_categories=("C",)), min_size=1, max_size=40)


@given(st.dictionaries(NAMES, st.text(max_size=300), max_size=5), st.binary(max_size=2000))
def test_botocore_reads_what_is_written(headers: dict[str, str], payload: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(message(headers, payload) * 2)
    for found in buffer:
        assert (found.headers, found.payload) == (headers, payload)


def test_events_are_bytes_or_json_as_the_model_says() -> None:
    operation = Wires().of("lambda").model.operation_model("InvokeWithResponseStream")
    write = event_writer(operation.output_shape.members["EventStream"], "application/json", lambda members: JsonCodec().write_members("", members))

    def read(event: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        buffer = EventStreamBuffer()
        buffer.add_data(write(event))
        found = next(buffer)
        return found.headers, found.payload

    headers, payload = read({"PayloadChunk": {"Payload": b"\x00piece"}})
    assert headers == {":event-type": "PayloadChunk", ":content-type": "application/octet-stream", ":message-type": "event"}
    assert payload == b"\x00piece"
    headers, payload = read({"InvokeComplete": {"ErrorCode": "Unhandled"}})
    assert headers == {":event-type": "InvokeComplete", ":content-type": "application/json", ":message-type": "event"}
    assert payload == b'{"ErrorCode":"Unhandled"}'
