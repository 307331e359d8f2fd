"""Calls that may hang and cannot be called off: name resolution, files on network file systems."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """Runs such calls in threads of their own, at most one of each name: a resolver that hangs for a minute holds one thread, and none of those
    that the rest of the daemon works with. Nobody waits for these threads at the end."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Future[Any]] = {}

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises; that of the call of this name which is under way, if there is one."""
        future = self._running.get(name)
        if future is None:
            future = self._running[name] = asyncio.get_running_loop().create_future()
            future.add_done_callback(lambda _future: self._running.pop(name))
            threading.Thread(target=answer, args=(future, work), name=name, daemon=True).start()
        found: T = await asyncio.shield(future)
        return found


def answer(future: asyncio.Future[Any], work: Callable[[], Any]) -> None:
    try:
        done = (future.set_result, work())
    except Exception as error:
        done = (future.set_exception, error)

    def tell() -> None:
        if not future.done():
            done[0](done[1])

    with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
        future.get_loop().call_soon_threadsafe(tell)
