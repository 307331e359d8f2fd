import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow.bulk import Bulk

PAYLOADS = st.lists(
    st.sampled_from([b"1", b' {"a" :\n[1, null]}\n', '"é"'.encode()])
    | st.text(max_size=20).map(lambda text: json.dumps(text, ensure_ascii=False).encode(errors="replace")),
    min_size=1,
    max_size=10,
)


@given(PAYLOADS, st.data())
@settings(max_examples=50, deadline=None)
def test_events_arrive_byte_for_byte(payloads: list[bytes], data: st.DataObject) -> None:
    key = st.none() | st.text(min_size=1, max_size=20)
    keys = data.draw(st.none() | st.lists(key, min_size=len(payloads), max_size=len(payloads)))
    sent = Bulk(payloads, keys, data.draw(st.none() | st.text(st.characters(max_codepoint=127), max_size=20)))
    assert Bulk.decode(sent.encode()) == sent


def body(head: Any, rest: bytes = b"") -> bytes:
    return json.dumps(head).encode() + b"\n" + rest


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting"),
        (body([1]), "first line"),
        (body({"keys": []}), "first line"),
        (body({"sizes": [1], "delay": 5}, b"1"), "first line"),
        (body({"sizes": []}), "1 to 10000"),
        (body({"sizes": [0]}), "1 to 10000"),
        (body({"sizes": [-1, 2]}, b"1"), "1 to 10000"),
        (body({"sizes": [True]}, b"1"), "1 to 10000"),
        (body({"sizes": [1] * 10_001}, b"1" * 10_001), "1 to 10000"),
        (body({"sizes": [2]}, b"1"), "say 2 bytes, and 1 came"),
        (body({"sizes": [1], "keys": "k"}, b"1"), "a list of 1"),
        (body({"sizes": [1], "keys": ["a", "b"]}, b"1"), "a list of 1"),
        (body({"sizes": [1], "keys": [""]}, b"1"), "1 to 256"),
        (body({"sizes": [1], "keys": ["k" * 257]}, b"1"), "1 to 256"),
        (body({"sizes": [1], "keys": [7]}, b"1"), "1 to 256"),
        (body({"sizes": [1], "keys": ["\ud800"]}, b"1"), "surrogates not allowed"),
        (body({"sizes": [1], "trace": 7}, b"1"), "trace must be ASCII text"),
        (body({"sizes": [1], "trace": "é"}, b"1"), "trace must be ASCII text"),
        (body({"sizes": [1, 2]}, b"1{}"), None),
        (body({"sizes": [1, 2]}, b"1{["), "event 2 of 2 is not JSON"),
        (body({"sizes": [2, 2, 3]}, b"[12]3,4"), "event 1 of 3 is not JSON"),
    ],
)
def test_what_is_no_bulk_is_told(sent: bytes, reason: str | None) -> None:
    if reason is None:
        assert Bulk.decode(sent).payloads == [b"1", b"{}"]
        return
    with pytest.raises(ValueError, match=reason):
        Bulk.decode(sent)
