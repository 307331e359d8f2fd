"""Which of a function's JSON lines its log takes, also where they are read piece by piece."""

import json
import os
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventflow.function import APPLICATION_LEVELS, Function
from eventflow.runtime import environment, levels


def function(level: str) -> Function:
    return Function("f", "app:f", log_format="JSON", application_log_level=level)


def test_only_json_logs_leave_something_out() -> None:
    assert levels.filters(function("DEBUG"))
    assert not levels.filters(function("TRACE"))
    assert not levels.filters(Function("f", "app:f"))


@given(st.sampled_from(APPLICATION_LEVELS), st.lists(st.sampled_from(APPLICATION_LEVELS)))
def test_what_is_below_the_level_is_left_out(least: str, written: list[str]) -> None:
    lines = [json.dumps({"level": level.lower(), "n": n}).encode() + b"\n" for n, level in enumerate(written)]
    order = APPLICATION_LEVELS.index
    assert levels.kept(function(least), b"".join(lines)) == b"".join(
        line for line, level in zip(lines, written, strict=True) if order(level) >= order(least)
    )


@given(st.binary())
def test_what_is_no_json_stays(data: bytes) -> None:
    assert levels.kept(function("FATAL"), b"-" + data.replace(b"\n{", b"\n-").replace(b"\r{", b"\r-")) == b"-" + data.replace(b"\n{", b"\n-").replace(
        b"\r{", b"\r-"
    )


def test_a_line_that_is_read_in_two_pieces_is_one(tmp_path: Path, monkeypatch: Any) -> None:
    below, above = b'{"level": "INFO", "n": 1}\n', b'{"level": "ERROR", "n": 2}\n'
    log = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    os.write(log, (below + above) * 20 + b'{"level": "INFO"')
    for size in range(len(above), 3 * len(above)):
        monkeypatch.setattr(environment, "PIECE", size)
        one = environment.Environment("1", function("WARN"), *[None] * 2, log, None, tmp_path, 0.0, 0.0)  # type: ignore[arg-type, call-arg]
        written: list[bytes] = []
        one.drain(None, written.append)
        assert b"".join(written) == above * 20 + b'{"level": "INFO"'
    os.close(log)
