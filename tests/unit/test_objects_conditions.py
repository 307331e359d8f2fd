"""Conditions, ranges and checksums: the parts of S3 that are arithmetic."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.digests import ALGORITHMS
from eventflow.errors import ServiceError
from eventflow.services.objects.checksums import composite, encoded, new_digest
from eventflow.services.objects.conditions import ReadConditions, etag_matches
from eventflow.services.objects.ranges import exact_range, part_range, resolve_range
from eventflow.services.objects.stored import StoredObject
from eventflow.trigger import ObjectVersion

MODIFIED = 1_700_000_000
STORED = StoredObject(ObjectVersion("k", 10, "abc", MODIFIED * 10**9 + 500_000_000, 1, "0" * 16))
#: The check values of the CRC catalogue: the checksum of "123456789".
CHECKS = {"CRC32": "cbf43926", "CRC32C": "e3069283", "CRC64NVME": "ae8b14860a799888"}


def outcome(conditions: ReadConditions) -> str:
    try:
        conditions.check(STORED)
    except ServiceError as error:
        return f"{error.status} {error.members.get('Condition', '')}".strip()
    return "200"


@pytest.mark.parametrize(
    "conditions, expected",
    [
        (ReadConditions(if_match='"abc"'), "200"),
        (ReadConditions(if_match="abc"), "200"),
        (ReadConditions(if_match='"x", "abc"'), "200"),
        (ReadConditions(if_match="*"), "200"),
        (ReadConditions(if_match='"x"'), "412 If-Match"),
        (ReadConditions(if_none_match='"abc"'), "304"),
        (ReadConditions(if_none_match='W/"abc"'), "304"),
        (ReadConditions(if_none_match="*"), "304"),
        (ReadConditions(if_none_match='"x"'), "200"),
        (ReadConditions(if_modified_since=MODIFIED), "304"),
        (ReadConditions(if_modified_since=MODIFIED - 1), "200"),
        (ReadConditions(if_unmodified_since=MODIFIED), "200"),
        (ReadConditions(if_unmodified_since=MODIFIED - 1), "412 If-Unmodified-Since"),
        # AWS: If-Match true and If-Unmodified-Since false is 200; If-None-Match false and If-Modified-Since true is 304.
        (ReadConditions(if_match="abc", if_unmodified_since=MODIFIED - 1), "200"),
        (ReadConditions(if_none_match="abc", if_modified_since=MODIFIED - 1), "304"),
        (ReadConditions(if_none_match="x", if_modified_since=MODIFIED), "200"),
        (ReadConditions(if_match="x", if_none_match="abc"), "412 If-Match"),
    ],
)
def test_conditions_in_their_order(conditions: ReadConditions, expected: str) -> None:
    assert outcome(conditions) == expected


def test_a_copy_source_that_is_refused_is_always_412() -> None:
    for conditions, name in (
        (ReadConditions(if_none_match="abc"), "If-None-Match"),
        (ReadConditions(if_modified_since=MODIFIED), "If-Modified-Since"),
    ):
        with pytest.raises(ServiceError) as refused:
            conditions.check_source(STORED)
        assert (refused.value.status, refused.value.members["Condition"]) == (412, f"x-amz-copy-source-{name}")


def test_etags_of_other_objects_do_not_match() -> None:
    assert not etag_matches('"abcd"', "abc")
    assert not etag_matches("", "abc")


@pytest.mark.parametrize(
    "header, size, expected",
    [
        (None, 10, None),
        ("bytes=0-4", 10, (0, 5)),
        ("bytes=5-", 10, (5, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-30", 10, (0, 10)),
        ("bytes=8-100", 10, (8, 10)),
        ("bytes=0-0", 1, (0, 1)),
        ("bytes=10-", 10, "416"),
        ("bytes=-0", 10, "416"),
        ("bytes=0-", 0, "416"),
        ("bytes=-1", 0, "416"),
        ("bytes=5-4", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("bytes=-", 10, None),
        ("lines=1-2", 10, None),
        ("nonsense", 10, None),
        ("bytes=٣-٤", 10, None),
    ],
)
def test_ranges(header: str | None, size: int, expected: tuple[int, int] | str | None) -> None:
    if expected == "416":
        with pytest.raises(ServiceError) as refused:
            resolve_range(header, size)
        assert (refused.value.code, refused.value.status) == ("InvalidRange", 416)
        assert refused.value.members == {"ActualObjectSize": str(size), "RangeRequested": header}
        return
    found = resolve_range(header, size)
    assert (found and (found.start, found.stop)) == expected
    if found:
        assert str(found) == f"bytes {found.start}-{found.stop - 1}/{size}"


def test_parts_and_exact_ranges() -> None:
    assert part_range(None, (4, 6), 10) is None
    second = part_range(2, (4, 6), 10)
    assert second is not None
    assert (second.start, second.stop) == (4, 10)
    assert part_range(1, (), 0) is None
    for number in (0, 2):
        with pytest.raises(ServiceError, match="InvalidPartNumber"):
            part_range(number, (), 10)
    found = exact_range("bytes=2-9", 10)
    assert found is not None
    assert found.length == 8
    for header in ("bytes=2-10", "bytes=2-", "bytes=-2", "2-4", "bytes=4-2"):
        with pytest.raises(ServiceError, match="InvalidArgument"):
            exact_range(header, 10)


@given(st.sampled_from(sorted(CHECKS)), st.lists(st.integers(0, 9), max_size=3))
def test_checksums_do_not_depend_on_how_the_bytes_come(algorithm: str, cuts: list[int]) -> None:
    digest, start = new_digest(algorithm), 0
    for end in (*sorted(cuts), 9):
        digest.update(b"123456789"[start:end])
        start = end
    assert digest.digest().hex() == CHECKS[algorithm]


def test_checksums_against_the_standard_library_and_composites() -> None:
    for algorithm in ALGORITHMS:
        digest = new_digest(algorithm)
        digest.update(b"x" * 1001)
        if algorithm == "CRC32":
            assert digest.digest() == zlib.crc32(b"x" * 1001).to_bytes(4, "big")
        whole = composite(algorithm, [encoded(digest.digest())] * 2)
        again = new_digest(algorithm)
        again.update(digest.digest() * 2)
        assert (whole.value, whole.kind) == (f"{encoded(again.digest())}-2", "COMPOSITE")
