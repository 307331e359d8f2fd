"""The lines that Lambda writes around each invocation, and its bill."""

from __future__ import annotations

import math

from eventflow.dispatch.invocation import Invocation
from eventflow.outcome import Outcome
from eventflow.runtime import platform_events


def billed_ms(duration_ms: float, init_ms: float | None) -> int:
    """Lambda bills the init and the handler, rounded up to whole milliseconds (AWS: INIT is billed since August 2025)."""
    return max(1, math.ceil(duration_ms + (init_ms or 0.0)))


def start_line(invocation: Invocation, at: float) -> bytes:
    if invocation.function.logs_json:
        return platform_events.start(invocation, at)
    return f"START RequestId: {invocation.request_id} Version: {invocation.function.version}\n".encode()


def quick_lines(prefix: str, invocation: Invocation, outcome: Outcome) -> str:
    """All the lines of an invocation that succeeded and wrote nothing, each behind ``prefix``: most are such, so this is made in one go."""
    request_id = invocation.request_id
    return (
        f"{prefix}START RequestId: {request_id} Version: {invocation.function.version}\n{prefix}END RequestId: {request_id}\n"
        f"{prefix}REPORT RequestId: {request_id}\tDuration: {outcome.duration_ms:.2f} ms\tBilled Duration: {outcome.billed_ms} ms"
        f"\tMemory Size: {invocation.function.memory} MB\tMax Memory Used: {outcome.max_memory_mb} MB\n"
    )


def end_lines(invocation: Invocation, outcome: Outcome, at: float) -> bytes:
    if invocation.function.logs_json:
        return platform_events.end(invocation, outcome, at)
    request_id = invocation.request_id
    text = (
        f"END RequestId: {request_id}\n"
        f"REPORT RequestId: {request_id}\tDuration: {outcome.duration_ms:.2f} ms\tBilled Duration: {outcome.billed_ms} ms"
        f"\tMemory Size: {invocation.function.memory} MB\tMax Memory Used: {outcome.max_memory_mb} MB"
    )
    if outcome.init_ms is not None and invocation.function.snap_start:
        text += f"\tRestore Duration: {outcome.init_ms:.2f} ms\tBilled Restore Duration: {math.ceil(outcome.init_ms)} ms"
    elif outcome.init_ms is not None:
        text += f"\tInit Duration: {outcome.init_ms:.2f} ms"
    if outcome.error_type in ("Sandbox.Timedout", "Runtime.OutOfMemory", "Runtime.ExitError"):
        text += f"\tStatus: {'timeout' if outcome.error_type == 'Sandbox.Timedout' else 'error'}\tError Type: {outcome.error_type}"
    return text.encode() + b"\n"
