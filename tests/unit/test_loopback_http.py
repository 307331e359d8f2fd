"""The Runtime API's HTTP: requests read from whatever pieces they come in, and never more or less than their length says."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.runtime.loopback_http import End, Malformed, Reader, Request, answer


def read(pieces: list[bytes]) -> list[tuple[str, bytes, dict[str, str]]]:
    """Each whole request: its path, its body, its trailers."""
    reader, found, path, body = Reader(), [], "", b""
    for piece in pieces:
        for item in reader.feed(piece):
            if isinstance(item, Request):
                path, body = item.path, b""
            elif isinstance(item, End):
                found.append((path, body, item.trailers))
            else:
                body += item
    return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


BODIES = st.lists(st.tuples(st.booleans(), st.lists(st.binary(min_size=1, max_size=40), max_size=4)), max_size=4)


@given(BODIES, st.lists(st.integers(0, 2000), max_size=12))
def test_requests_are_the_same_however_they_are_cut(requests: list[tuple[bool, list[bytes]]], places: list[int]) -> None:
    text, wanted = b"", []
    for number, (chunked, parts) in enumerate(requests):
        whole = b"".join(parts)
        if chunked:
            text += f"POST /{number}?q HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            text += b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nX-End: yes\r\n\r\n"
        else:
            text += f"POST /{number} HTTP/1.1\r\nContent-Length: {len(whole)}\r\n\r\n".encode() + whole
        wanted.append((f"/{number}", whole, {"x-end": "yes"} if chunked else {}))
    assert read(cut(text, places)) == wanted


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000, 431),
        (b"x" * 1_200_000, 431),
    ],
)
def test_what_is_no_request_is_refused(text: bytes, status: int) -> None:
    with pytest.raises(Malformed) as refused:
        read([text])
    assert refused.value.status == status


def test_an_answer_carries_no_header_that_somebody_else_ends() -> None:
    assert answer(200, b"{}", {"A": "b\r\nC: d"}).split(b"\r\n\r\n") == [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nA: b C: d",
        b"{}",
    ]
