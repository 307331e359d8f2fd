"""The writing side of streams: every change of an item of a table with a stream becomes a record, in the transaction of the change."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.clock import Clock, iso
from eventflow.services.attributes.values import Item, equal, item_size
from eventflow.services.tables.definition import Table
from eventflow.services.tables.items import dump

#: A record's place is its stream's identifier times this, plus its sequence.
SPAN = 1 << 40
NEW_IMAGES = ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")
OLD_IMAGES = ("OLD_IMAGE", "NEW_AND_OLD_IMAGES")
VIEWS = ("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY")

#: The place after the newest record that is kept, or after the last that was trimmed.
APPEND = """
INSERT INTO table_stream_records (place, created_at, event, expired, bytes, binary, keys, new_image, old_image)
VALUES (
    COALESCE(
        (SELECT MAX(place) FROM table_stream_records WHERE place > :base AND place < :end),
        :base + (SELECT trimmed FROM table_streams WHERE id = :stream)
    ) + 1, :now, :event, :expired, :bytes, :binary, :keys, :new, :old
)
"""
OPEN = "INSERT INTO table_streams (table_id, region, table_name, label, view, key_schema, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
TAKEN = "SELECT 1 FROM table_streams WHERE region = ? AND table_name = ? AND label = ?"
CLOSE = "UPDATE table_streams SET closed_at = ? WHERE id = ?"


@dataclass(frozen=True, slots=True)
class OpenStream:
    """The enabled stream of one table; ``view`` is its StreamViewType."""

    id: int
    view: str
    writer: StreamWriter

    def record(self, connection: sqlite3.Connection, table: Table, old: Item | None, new: Item | None, expired: bool) -> None:
        """Append the record of a change; a write that changes nothing leaves none."""
        image = new if new is not None else old
        if image is None or (old is not None and new is not None and equal({"M": old}, {"M": new})):
            return
        event = "REMOVE" if new is None else "INSERT" if old is None else "MODIFY"
        keys = {name: image[name] for name in table.keys.names}
        shown_new = new if self.view in NEW_IMAGES else None
        shown_old = old if self.view in OLD_IMAGES else None
        dumped = [dump(part) if part is not None else (None, False) for part in (keys, shown_new, shown_old)]
        values = {
            "base": self.id * SPAN,
            "end": (self.id + 1) * SPAN,
            "stream": self.id,
            "now": self.writer.now(),
            "event": event,
            "expired": expired,
            "bytes": sum(item_size(part) for part in (keys, shown_new, shown_old) if part is not None),
            "binary": any(binary for _text, binary in dumped),
            "keys": dumped[0][0],
            "new": dumped[1][0],
            "old": dumped[2][0],
        }
        connection.execute(APPEND, values)
        self.writer.ring(self.id)


class StreamWriter:
    """Opens and closes the streams of tables, and wakes those who wait for records. Everything but ``bell`` runs in the database's writer thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bells: dict[int, list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}
        self._lock = threading.Lock()

    def now(self) -> int:
        return round(self._clock.now() * 1000)

    def of(self, definition: Mapping[str, Any]) -> OpenStream | None:
        """The stream that a table of this definition writes to."""
        specification = definition.get("StreamSpecification")
        return OpenStream(definition["StreamId"], specification["StreamViewType"], self) if specification else None

    def open(self, connection: sqlite3.Connection, table: Table, view: str) -> dict[str, Any]:
        """Begin a stream; the members of the table's definition that tell of it."""
        now = self.now()
        label_time = now
        while connection.execute(TAKEN, (table.region, table.name, label_of(label_time))).fetchone():
            label_time += 1
        schema = json.dumps(table.definition["KeySchema"])
        row = (table.id, table.region, table.name, label_of(label_time), view, schema, now)
        stream = connection.execute(OPEN, row).lastrowid
        return {
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": view},
            "LatestStreamLabel": label_of(label_time),
            "StreamId": stream,
        }

    def close(self, connection: sqlite3.Connection, definition: Mapping[str, Any]) -> None:
        """End the stream that a table of this definition has, if it has one; its records stay readable for a day."""
        if definition.get("StreamSpecification"):
            connection.execute(CLOSE, (self.now(), definition["StreamId"]))
            self.ring(definition["StreamId"])

    # Waiting. A ring comes before its change is committed: who was rung must wait for the transaction before looking (see Streams.settled).

    def bell(self, stream: int) -> asyncio.Event:
        """Set at the next change of this stream; to be had before one looks, or a change in between would be missed."""
        event = asyncio.Event()
        with self._lock:
            self._bells.setdefault(stream, []).append((asyncio.get_running_loop(), event))
        return event

    def ring(self, stream: int) -> None:
        if stream not in self._bells:
            return
        with self._lock:
            waiting = self._bells.pop(stream, [])
        for loop, event in waiting:
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:
                continue  # its loop is gone, and who waited with it

    def unhook(self, stream: int, event: asyncio.Event) -> None:
        """Nobody waits at this bell any more."""
        with self._lock:
            left = [entry for entry in self._bells.pop(stream, ()) if entry[1] is not event]
            if left:
                self._bells[stream] = left


def label_of(milliseconds: int) -> str:
    """A stream's label: the instant of its beginning."""
    return iso(milliseconds / 1000).removesuffix("Z")
