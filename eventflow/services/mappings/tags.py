"""Tags of mappings."""

from __future__ import annotations

from collections.abc import Mapping

from eventflow.services.mappings.refusals import invalid

MOST_TAGS = 50


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    if len(tags) > MOST_TAGS:
        raise invalid(f"An event source mapping may have {MOST_TAGS} tags; these would be {len(tags)}.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise invalid(f"The tag {key!r} is not valid: a key has 1 to 128 characters, a value up to 256.")
        if key.lower().startswith("aws:"):
            raise invalid(f"The tag {key!r} is not valid: keys that begin with aws: are AWS's own.")
    return dict(tags)
