"""Tags of queues: labels of the account's own, with SQS's rules for them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping

from eventflow.services.queues.errors import invalid, missing
from eventflow.services.queues.records import Queue

#: AWS: "Amazon SQS cost allocation tags" and the limits of tags in general.
MOST_TAGS = 50
LONGEST_KEY = 128
LONGEST_VALUE = 256
CHARACTERS = re.compile(r"[\w\s_.:/=+\-@]*")

TAGS = "SELECT tags FROM queues WHERE id = ?"
KEEP = "UPDATE queues SET tags = ? WHERE id = ?"


def check(tags: Mapping[str, str]) -> None:
    """Refuse what SQS refuses in the tags of one request."""
    for key, value in tags.items():
        check_key(key)
        if len(value) > LONGEST_VALUE:
            raise invalid(f"Tag values must be between 0 and {LONGEST_VALUE} characters in length.")
        if not CHARACTERS.fullmatch(value):
            raise invalid(f"Tag values can only have letters, digits, white space and _.:/=+-@, in any language; that of {key!r} has others.")
        if key.lower().startswith("aws:"):
            raise invalid(f"Tag keys must not begin with aws:, as {key!r} does: AWS keeps those for itself.")


def check_key(key: str) -> None:
    if not 1 <= len(key) <= LONGEST_KEY:
        raise invalid(f"Tag keys must be between 1 and {LONGEST_KEY} characters in length.")
    if not CHARACTERS.fullmatch(key):
        raise invalid(f"Tag keys can only have letters, digits, white space and _.:/=+-@, in any language; {key!r} has others.")


def of(connection: sqlite3.Connection, queue: Queue) -> dict[str, str]:
    text = connection.execute(TAGS, (queue.id,)).fetchone()[0]
    return {} if text is None else dict(json.loads(text))


def add(connection: sqlite3.Connection, queue: Queue, tags: Mapping[str, str]) -> None:
    """Give a queue these tags; one whose key is there gets the new value."""
    if not tags:
        raise missing("Tags")
    check(tags)
    replace(connection, queue, {**of(connection, queue), **tags})


def remove(connection: sqlite3.Connection, queue: Queue, keys: Iterable[str]) -> None:
    """Take the tags of these keys away; a key that is not there is none too many."""
    gone = set(keys)
    if not gone:
        raise missing("TagKeys")
    for key in gone:
        check_key(key)
    replace(connection, queue, {key: value for key, value in of(connection, queue).items() if key not in gone})


def replace(connection: sqlite3.Connection, queue: Queue, tags: Mapping[str, str]) -> None:
    if len(tags) > MOST_TAGS:
        raise invalid(f"Too many tags added for queue {queue.name}. A queue can have {MOST_TAGS}.")
    connection.execute(KEEP, (json.dumps(tags, ensure_ascii=False) if tags else None, queue.id))
