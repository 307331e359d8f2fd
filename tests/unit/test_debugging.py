"""What is refused of an invocation with a debugger, before anything is started."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from eventflow.debugging import Debugging, DebuggingRefused
from eventflow.function import Function, Package
from eventflow.runtime import runtimes


def refused(function: Function, port: int = 5678) -> str:
    dispatcher = SimpleNamespace(lane=lambda _name: SimpleNamespace(function=function), knows=lambda _key: True)
    debugging = Debugging(cast("Any", dispatcher), cast("Any", None), str)
    with pytest.raises(DebuggingRefused) as error:
        asyncio.run(debugging.invoke("f", b"{}", port, "id"))
    return str(error.value)


def test_only_the_daemon_s_own_python_is_debugged() -> None:
    assert "f runs on nodejs20.x" in refused(Function("f", "index.handler", package=Package("nodejs20.x", "/tmp")))
    ours = Function("f", "app.f", package=Package(runtimes.OURSELVES, "/tmp"))
    assert "waits for a debugger on port 5678 already" in refused(ours)


def test_ports_are_checked() -> None:
    assert "The port 80 is refused" in refused(Function("f", "app:f"), 80)


def test_debugpy_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventflow.debugging.find_spec", lambda _name: None)
    assert "pip install 'eventflow[debug]'" in refused(Function("f", "app:f"))


def test_a_debugged_function_has_a_key_of_its_own_and_is_not_kept() -> None:
    function = Function("f", "app:f", debug_port=5678)
    assert function.key == "f:debug:5678"
    assert Function.from_json(function.to_json()).debug_port == 0
