"""The headers and trailers in which S3's clients send a body's checksum."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from eventflow.digests import ALGORITHMS, Digest

#: What computes the checksum, by the name of the header or trailer that carries it.
CHECKSUM_HEADERS: Mapping[str, Callable[[], Digest]] = {f"x-amz-checksum-{name.lower()}": digest for name, digest in ALGORITHMS.items()}
