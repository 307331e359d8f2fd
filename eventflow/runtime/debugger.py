"""In the process of an invocation that is debugged: listen for a debugger, wait until one is attached, and end some time after it has gone."""

from __future__ import annotations

import os
import threading
import time

from eventflow.runtime import bootstrap

LOOPBACK = "127.0.0.1"
#: So long the process waits for a debugger, in seconds.
PATIENCE = 600.0
#: So long it goes on after its debugger has gone: as long as a function may run at most.
ALONE = 900.0
LOOK_SECONDS = 1.0


def wait(port: int) -> None:
    """Returns when a debugger is attached and has said where to stop. Raises ``FunctionFailed`` when none comes, or the port is somebody else's."""
    import debugpy

    try:
        debugpy.listen((LOOPBACK, port))
    except (RuntimeError, OSError) as error:
        message = f"A debugger cannot be waited for on {LOOPBACK}:{port}: {error}"
        raise bootstrap.FunctionFailed(bootstrap.error_object("Runtime.DebuggerError", message), 1) from error
    print(f"Waiting for a debugger on {LOOPBACK}:{port}", flush=True)  # noqa: T201 - into the function's log
    giving_up = threading.Timer(PATIENCE, debugpy.wait_for_client.cancel)
    giving_up.daemon = True
    giving_up.start()
    debugpy.wait_for_client()
    giving_up.cancel()
    if not debugpy.is_client_connected():
        message = f"No debugger was attached on {LOOPBACK}:{port} within {PATIENCE:.0f} seconds"
        raise bootstrap.FunctionFailed(bootstrap.error_object("Runtime.DebuggerError", message), 1)
    threading.Thread(target=watch, name="debugger's watch", daemon=True).start()


def watch() -> None:
    """End the process when its debugger has been gone for long: nobody sees any more that it runs."""
    import debugpy

    alone = 0.0
    while alone < ALONE:
        time.sleep(LOOK_SECONDS)
        alone = 0.0 if debugpy.is_client_connected() else alone + LOOK_SECONDS
    os._exit(1)
