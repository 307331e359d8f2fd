"""What Lambda writes around each invocation where a function's log is JSON: events of the platform, each with a level (AWS: "Log-level filtering",
"Lambda Telemetry API Event schema reference")."""

from __future__ import annotations

import json
from typing import Any

from eventflow.clock import iso
from eventflow.dispatch.invocation import Invocation
from eventflow.function import LATEST, SYSTEM_LEVELS, USUAL_LEVEL, Function
from eventflow.outcome import Outcome, Status

TIMED_OUT = "Sandbox.Timedout"


def init_start(function: Function, how: str, at: float) -> bytes:
    """``how`` is Lambda's word for why the init runs."""
    record = {"initializationType": how, "phase": "init", "functionName": function.name, "functionVersion": function.version}
    return event(function, "INFO", "platform.initStart", record, at)


def start(invocation: Invocation, at: float) -> bytes:
    record = {"requestId": invocation.request_id, "version": invocation.function.version or LATEST}
    return event(invocation.function, "INFO", "platform.start", record, at)


def end(invocation: Invocation, outcome: Outcome, at: float) -> bytes:
    """The runtime is done, and the report: both are warnings where something went wrong."""
    function, how = invocation.function, ended(outcome)
    told: dict[str, Any] = {"requestId": invocation.request_id, "status": how}
    if outcome.error_type is not None:
        told["errorType"] = outcome.error_type
    done = {**told, "metrics": {"durationMs": round(outcome.duration_ms, 3)}}
    ok = outcome.ok
    return event(function, "DEBUG" if ok else "WARN", "platform.runtimeDone", done, at) + event(
        function, "INFO" if ok else "WARN", "platform.report", {**told, "metrics": metrics(function, outcome)}, at
    )


def metrics(function: Function, outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = {
        "durationMs": round(outcome.duration_ms, 3),
        "billedDurationMs": outcome.billed_ms,
        "memorySizeMB": function.memory,
        "maxMemoryUsedMB": outcome.max_memory_mb,
    }
    if outcome.init_ms is not None:
        found["restoreDurationMs" if function.snap_start else "initDurationMs"] = round(outcome.init_ms, 3)
    return found


def ended(outcome: Outcome) -> str:
    """Lambda's word for how an invocation ended: ``failure`` is the platform's own, or that of a runtime that is gone."""
    if outcome.ok:
        return "success"
    if outcome.error_type == TIMED_OUT:
        return "timeout"
    is_error = outcome.status is Status.FUNCTION_ERROR and not (outcome.error_type or "").startswith(("Runtime.ExitError", "Runtime.OutOfMemory"))
    return "error" if is_error else "failure"


def event(function: Function, level: str, kind: str, record: dict[str, Any], at: float) -> bytes:
    """One line; nothing where the function's log does not take this level."""
    if SYSTEM_LEVELS.index(level) < SYSTEM_LEVELS.index(function.system_log_level or USUAL_LEVEL):
        return b""
    return json.dumps({"time": iso(at), "type": kind, "record": record}, separators=(",", ":")).encode() + b"\n"
