"""Trace headers that clients bring: what is one is passed on, so that a trace goes through, and all else is made up by nobody else than us."""

from __future__ import annotations

import re

#: "Tracing header" of the X-Ray developer guide: what the fields hold that have a meaning; applications may add others.
FORMS = {
    "Root": re.compile(r"1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24}"),
    "Parent": re.compile(r"[0-9a-fA-F]{16}"),
    "Sampled": re.compile(r"[01?]"),
}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
OTHER = re.compile(r"[A-Za-z0-9_.:|/+@-]*")
#: AWS says nothing of a longest one; a chain of functions that is about to be stopped has some 250 characters.
LONGEST = 1024


def is_trace(header: str) -> bool:
    """Whether it is a trace header with a root."""
    if len(header) > LONGEST:
        return False
    names = set()
    for field in header.rstrip("; ").split(";"):
        name, separator, value = field.strip().partition("=")
        if not separator or name in names or not NAME.fullmatch(name) or not FORMS.get(name, OTHER).fullmatch(value):
            return False
        names.add(name)
    return "Root" in names
