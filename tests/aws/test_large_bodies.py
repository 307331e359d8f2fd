"""Large JSON documents: read in pieces, beside the event loop, to what the decoder would make of them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.aws import admission
from eventflow.aws.operation import Call
from eventflow.aws.protocols import large_json
from eventflow.aws.protocols.dialect import Match
from eventflow.aws.protocols.json_reader import DECODER
from eventflow.aws.protocols.large_json import LargeText, hollowed, load
from eventflow.aws.protocols.refusal import Unreadable
from eventflow.aws.request import Request
from eventflow.aws.wire import Wires

BLOB = bytes(range(256)) * 6000
TEXTS = st.one_of(
    st.text(max_size=20),
    st.binary(min_size=20, max_size=90).map(lambda octets: base64.b64encode(octets).decode()),
    st.integers(30, 90).map(lambda size: "A" * size),
    st.integers(30, 90).map(lambda size: '"' + "A" * size + "\\"),
    st.integers(0, 3).map(lambda number: f"{large_json.STANDS_FOR}{number}"),
)
DOCUMENTS = st.recursive(
    st.one_of(TEXTS, st.integers(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


def plain(value: Any) -> Any:
    """A value with texts in the places of large ones."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, LargeText) else value


@given(DOCUMENTS, st.sampled_from(((",", ":"), (", ", ": "))), st.booleans())
def test_a_document_says_the_same_with_its_large_texts_left_out(document: Any, separators: tuple[str, str], plain_ascii: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_json, "STRIDE", 8)
        patch.setattr(large_json, "PIECE", 16)
        body = json.dumps(document, separators=separators, ensure_ascii=plain_ascii).encode()
        assert plain(load(body, DECODER.decode)) == document


@given(st.binary(max_size=120))
def test_what_is_no_document_is_refused_as_before(body: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_json, "STRIDE", 8)
        try:
            expected = DECODER.decode(body.decode())
        except ValueError:
            with pytest.raises(ValueError):
                load(body, DECODER.decode)
        else:
            assert plain(load(body, DECODER.decode)) == expected


def test_a_large_blob_is_left_out_and_an_escaped_one_is_not() -> None:
    text = base64.b64encode(BLOB).decode()
    rest, (large,) = hollowed(json.dumps({"Code": {"ZipFile": text}, "Timeout": 3}).encode())
    assert (large.decoded(), len(rest) < 200) == (BLOB, True)
    assert hollowed(json.dumps({"Code": text}).replace("/", "\\/").encode())[1] == []


@pytest.mark.parametrize("ending", ["A", "A===", "=A==", "!"])
def test_a_large_text_that_is_not_base64_is_refused(ending: str) -> None:
    read = Wires().of("lambda").main.operation("UpdateFunctionCode")
    assert read is not None
    request, match = request_of("/2015-03-31/functions/f/code"), Match("UpdateFunctionCode", {"FunctionName": "f"})
    with pytest.raises(Unreadable, match="not Base64"):
        read.read(request, match, json.dumps({"ZipFile": "A" * (2 << 20) + ending}).encode())


def request_of(path: str) -> Request:
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "PUT", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers, "scheme": "http"}
    return Request.from_scope(scope)


def test_large_bodies_are_hashed_and_read_beside_the_event_loop_and_small_ones_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    operation = Wires().of("lambda").main.operation("UpdateFunctionCode")
    assert operation is not None
    threads: dict[str, list[bool]] = {"hashed": [], "read": []}
    read, sha256, loop_thread = operation.read, hashlib.sha256, threading.get_ident()

    def noted_read(request: Request, match: Match, body: bytes) -> Any:
        threads["read"].append(threading.get_ident() == loop_thread)
        return read(request, match, body)

    def noted_hash(octets: bytes) -> Any:
        threads["hashed"].append(threading.get_ident() == loop_thread)
        return sha256(octets)

    async def implementation(_call: Call, params: Mapping[str, Any]) -> Mapping[str, Any]:
        assert params["ZipFile"] in (BLOB, b"small")
        return {}

    async def perform(content: bytes) -> None:
        body = json.dumps({"ZipFile": base64.b64encode(content).decode()}).encode()
        assert await admission.digest_of(body) == sha256(body).hexdigest()
        call = Call("lambda", "UpdateFunctionCode", "us-east-1", "000000000000", "", "id", "http://127.0.0.1")
        noted = type(operation)(operation.name, operation.streaming, operation.checksummed, noted_read, operation.write)
        await noted.perform(implementation, call, request_of("/"), Match("UpdateFunctionCode", {"FunctionName": "f"}), body)

    monkeypatch.setattr(hashlib, "sha256", noted_hash)
    for content in (BLOB, b"small"):
        asyncio.run(perform(content))
    assert threads == {"hashed": [False, True], "read": [False, True]}
