"""Frames: what is packed comes out whole, however the socket cuts it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.runtime import frames


@given(st.lists(st.tuples(st.integers(frames.INVOKE, frames.FATAL), st.binary(max_size=300)), max_size=8), st.integers(1, 64))
def test_frames_survive_any_cut(sent: list[tuple[int, bytes]], piece: int) -> None:
    stream = b"".join(frames.pack(kind, body) for kind, body in sent)
    buffer, received = frames.Buffer(), []
    for start in range(0, len(stream), piece):
        buffer.feed(stream[start : start + piece])
        received += list(buffer.frames())
    assert received == sent


@given(st.text(alphabet=st.characters(blacklist_characters="\0\n", blacklist_categories=["Cs"])), st.binary())
def test_an_invocation_is_read_as_it_was_written(context: str, payload: bytes) -> None:
    frame = frames.invoke("id", "arn:x:y", "Root=1", context, payload)
    assert frames.read_invoke(frame[frames.HEADER.size :]) == ("id", "arn:x:y", "Root=1", context, payload)


@pytest.mark.parametrize(
    "noise", [b"HTTP/1.1 200 OK\r\n\r\n", frames.HEADER.pack(10, 77) + b"x" * 10, frames.HEADER.pack(frames.LARGEST + 1, frames.RESULT)]
)
def test_what_is_no_frame_is_refused(noise: bytes) -> None:
    buffer = frames.Buffer()
    buffer.feed(noise)
    with pytest.raises(frames.FrameError):
        list(buffer.frames())
