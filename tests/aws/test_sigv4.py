"""Signatures: AWS's published examples, botocore as the signer, and everything that can be wrong with one."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import zlib
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow.aws.checksums import CHECKSUM_HEADERS
from eventflow.aws.chunked import SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER, AnySignature, ChunkedBody, Framing, SignatureChain
from eventflow.aws.request import Request
from eventflow.aws.sigv4 import EMPTY_HASH, UNSIGNED, Reason, Refused, Signature, Verifier, read_signature
from eventflow.clock import SystemClock
from eventflow.digests import CRC32C, CRC64NVME, ReflectedCrc
from eventflow.errors import ServiceError

# The key and the instant of the examples in the "Amazon S3 API Reference", section "Authenticating Requests".
KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
THEN = 1369353600.0
DATE = "20130524T000000Z"
CREDENTIAL = f"{KEY}/20130524/us-east-1/s3/aws4_request"
EXAMPLE_HOST = "examplebucket.s3.amazonaws.com"


class SetClock(SystemClock):
    """A clock that stands where it is put."""

    def __init__(self, instant: float) -> None:
        self.instant = instant

    def now(self) -> float:
        return self.instant


class ShiftedClock(SystemClock):
    """The machine's clock, so many seconds off."""

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def now(self) -> float:
        return super().now() + self.shift


def verify(request: Request, payload: str, clock: SystemClock | None = None, secrets: dict[str, str] | None = None) -> Signature:
    signature = read_signature(request)
    Verifier(secrets or {KEY: SECRET}, clock or SetClock(THEN)).claim(request, signature).check(payload)
    assert signature is not None
    return signature


def refusal(request: Request, payload: str = UNSIGNED, clock: SystemClock | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        verify(request, payload, clock)
    return caught.value


def authorization(signed: str, signature: str, credential: str = CREDENTIAL) -> str:
    return f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={signed},Signature={signature}"


# The published examples


def get_example() -> Request:
    signed = authorization("host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
    headers = {"host": EXAMPLE_HOST, "range": "bytes=0-9", "x-amz-content-sha256": EMPTY_HASH, "x-amz-date": DATE, "authorization": signed}
    return Request("GET", "/test.txt", "", headers)


def put_example() -> tuple[Request, str]:
    digest = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()
    headers = {
        "host": EXAMPLE_HOST,
        "date": "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-date": DATE,
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-content-sha256": digest,
        "authorization": authorization(
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        ),
    }
    return Request("PUT", "/test%24file.text", "", headers), digest


def list_example(query: str, signature: str) -> Request:
    signed = authorization("host;x-amz-content-sha256;x-amz-date", signature)
    return Request("GET", "/", query, {"host": EXAMPLE_HOST, "x-amz-content-sha256": EMPTY_HASH, "x-amz-date": DATE, "authorization": signed})


def presigned_example() -> Request:
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
        "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    return Request("GET", "/test.txt", query, {"host": EXAMPLE_HOST})


def test_the_published_examples() -> None:
    assert verify(get_example(), EMPTY_HASH).scope == "20130524/us-east-1/s3/aws4_request"
    verify(*put_example())
    verify(list_example("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"), EMPTY_HASH)
    verify(list_example("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"), EMPTY_HASH)
    assert verify(presigned_example(), UNSIGNED).presigned_for == 86400


# botocore signs


def requested(service: str, method: str, path: str, query: str, headers: dict[str, str], body: bytes, *, presigned: bool) -> Request:
    """What botocore sends, once it has signed it with the time of the machine."""
    url = f"http://localhost:4566{path}" + (f"?{query}" if query else "")
    request: Any = AWSRequest(method, url, headers=dict(headers), data=body)
    request.context["payload_signing_enabled"] = True
    credentials = BotocoreCredentials(KEY, SECRET, "a session token")
    signers: dict[tuple[bool, bool], Any] = {
        (True, False): S3SigV4Auth,
        (True, True): S3SigV4QueryAuth,
        (False, False): SigV4Auth,
        (False, True): SigV4QueryAuth,
    }
    signers[service == "s3", presigned](credentials, service, "eu-west-1").add_auth(request)
    prepared = request.prepare()
    sent_path, _, sent_query = prepared.url.removeprefix("http://localhost:4566").partition("?")
    sent_headers = {name.lower(): value.decode("latin-1") if isinstance(value, bytes) else value for name, value in prepared.headers.items()}
    return Request(method, sent_path, sent_query, {"host": "localhost:4566", **sent_headers})


SEGMENT = st.text("abc/%~ +&=.$!:@é", max_size=6)
PAIRS = st.lists(st.tuples(st.text("ab-~ +&=/é", min_size=1, max_size=4), st.text("ab-~ +&=/é", max_size=4)), max_size=3)


def quoted(text: str, safe: str = "") -> str:
    return quote(text, safe=f"-._~{safe}")


@settings(max_examples=150, deadline=None)
@given(
    service=st.sampled_from(["s3", "lambda"]),
    presigned=st.booleans(),
    path=SEGMENT,
    pairs=PAIRS,
    value=st.text("ab  ;,", max_size=6),
    body=st.binary(max_size=8),
    spoiled=st.sampled_from(["signature", "path", "query", "header", "method", "secret"]),
)
def test_what_botocore_signs(service: str, presigned: bool, path: str, pairs: list[tuple[str, str]], value: str, body: bytes, spoiled: str) -> None:
    query = "&".join(f"{quoted(name)}={quoted(text)}" for name, text in pairs)
    body = b"" if presigned else body  # botocore would move it into the query
    request = requested(service, "POST", f"/{quoted(path, '/')}", query, {"X-Amz-Meta-A": value}, body, presigned=presigned)
    payload = UNSIGNED if service == "s3" and presigned else hashlib.sha256(body).hexdigest()
    signature = verify(request, payload, SystemClock())
    assert (signature.access_key, signature.region, signature.service) == (KEY, "eu-west-1", service)

    secrets = {KEY: SECRET}
    if spoiled == "path":
        request.path += "x"
    elif spoiled == "query":
        request = Request(request.method, request.path, f"{request.query_string}&more=1".lstrip("&"), request.headers)
    elif spoiled == "header":
        request.headers["host"] = "localhost:4567"
    elif spoiled == "method":
        request.method = "PUT"
    elif spoiled == "secret":
        secrets[KEY] = SECRET.lower()
    else:
        payload = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(Refused) as caught:
        verify(request, payload, SystemClock(), secrets)
    assert caught.value.reason is Reason.MISMATCH


def test_a_browser_may_write_an_address_in_another_encoding() -> None:
    request = requested("s3", "GET", "/b/a~b%21c", "prefix=a%20b", {}, b"", presigned=True)
    other = Request("GET", "/b/a%7Eb!c", request.query_string.replace("a%20b", "a+b"), request.headers)
    verify(other, UNSIGNED, SystemClock())


# What is wrong


def changed(request: Request, **headers: str) -> Request:
    renamed = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(request.method, request.path, request.query_string, {**request.headers, **renamed})


@pytest.mark.parametrize(
    "header, reason",
    [
        ("Basic dXNlcjpwYXNz", Reason.UNSUPPORTED),
        ("AWS AKIA:signature", Reason.UNSUPPORTED),
        ("AWS4-ECDSA-P256-SHA256 Credential=x", Reason.UNSUPPORTED),
        ("", Reason.UNSUPPORTED),
        ("AWS4-HMAC-SHA256", Reason.UNSUPPORTED),
        ("AWS4-HMAC-SHA256 Credential", Reason.INCOMPLETE),
        (f"AWS4-HMAC-SHA256 Credential={CREDENTIAL}, SignedHeaders=host", Reason.INCOMPLETE),
        (authorization("host", "0" * 64, "AKIA"), Reason.INCOMPLETE),
        (authorization("host", "0" * 64, f"{KEY}/20130524/us-east-1/s3/aws4"), Reason.INCOMPLETE),
        (authorization("host", "0" * 64, f"{KEY}/20130525/us-east-1/s3/aws4_request"), Reason.INCOMPLETE),
        (authorization("host", "0" * 64, "/20130524/us-east-1/s3/aws4_request"), Reason.INCOMPLETE),
        (authorization("host;x-amz-content-sha256;x-amz-date", "0" * 64, "AKIAOTHER/20130524/us-east-1/s3/aws4_request"), Reason.UNKNOWN_KEY),
        (authorization("host;x-amz-content-sha256;x-amz-date", "0" * 64), Reason.MISMATCH),
        (authorization("host;x-amz-content-sha256;x-amz-date", "é"), Reason.INCOMPLETE),
        (authorization("x-amz-content-sha256;x-amz-date", "0" * 64), Reason.NOT_SIGNED),
        (authorization("host;x-amz-date", "0" * 64), Reason.NOT_SIGNED),
    ],
)
def test_headers_that_are_refused(header: str, reason: Reason) -> None:
    assert refusal(changed(get_example(), authorization=header), EMPTY_HASH).reason is reason


@pytest.mark.parametrize("date", ["", "yesterday", "20130524T000000", "2013-05-24T00:00:00Z", "20130524T996060Z"])
def test_dates_that_are_refused(date: str) -> None:
    assert refusal(changed(get_example(), x_amz_date=date), EMPTY_HASH).reason is Reason.INCOMPLETE


def test_a_plain_date_header_serves() -> None:
    request, _ = put_example()
    del request.headers["x-amz-date"]
    assert refusal(request).reason is Reason.MISMATCH  # read, in time, and signed otherwise


def test_no_signature_at_all() -> None:
    assert refusal(Request("GET", "/", "", {"host": EXAMPLE_HOST})).reason is Reason.MISSING


@pytest.mark.parametrize("seconds, taken", [(0, True), (899, True), (-899, True), (901, False), (-901, False)])
def test_a_signature_has_a_time(seconds: float, taken: bool) -> None:
    if taken:
        verify(get_example(), EMPTY_HASH, SetClock(THEN + seconds))
    else:
        refused = refusal(get_example(), EMPTY_HASH, SetClock(THEN + seconds))
        assert refused.reason is Reason.SKEWED
        assert DATE in refused.message


@pytest.mark.parametrize("seconds, taken", [(0, True), (-899, True), (86_400, True), (86_401, False), (-901, False)])
def test_a_presigned_address_has_a_life(seconds: float, taken: bool) -> None:
    if taken:
        verify(presigned_example(), UNSIGNED, SetClock(THEN + seconds))
    else:
        assert refusal(presigned_example(), UNSIGNED, SetClock(THEN + seconds)).reason is Reason.EXPIRED


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("X-Amz-Expires=86400", "X-Amz-Expires=604801", Reason.INCOMPLETE_QUERY),
        ("X-Amz-Expires=86400", "X-Amz-Expires=-1", Reason.INCOMPLETE_QUERY),
        ("X-Amz-Expires=86400", "X-Amz-Expires=", Reason.INCOMPLETE_QUERY),
        ("X-Amz-Expires=86400", "X-Amz-Expires=604800", Reason.MISMATCH),
        ("&X-Amz-SignedHeaders=host", "", Reason.INCOMPLETE_QUERY),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512", Reason.INCOMPLETE_QUERY),
        ("X-Amz-Date=20130524T000000Z", "X-Amz-Date=20130524T000000", Reason.INCOMPLETE_QUERY),
        ("AKIAIOSFODNN7EXAMPLE%2F", "", Reason.INCOMPLETE_QUERY),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=range", Reason.NOT_SIGNED),
        ("us-east-1", "us-east-2", Reason.MISMATCH),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3B%E2%82%AC", Reason.INCOMPLETE_QUERY),
    ],
)
def test_presigned_addresses_that_are_refused(old: str, new: str, reason: Reason) -> None:
    request = presigned_example()
    assert old in request.query_string
    assert refusal(Request("GET", request.path, request.query_string.replace(old, new), request.headers)).reason is reason


# aws-chunked: the examples of "Signature Calculations: Transferring Payload in Multiple Chunks", 66,560 letters "a" in chunks of 64 KiB

CHUNKS = (
    b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + b"a" * 65536 + b"\r\n"
    b"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + b"a" * 1024 + b"\r\n"
    b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
)
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
CHUNKS_AND_TRAILER = (
    b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" + b"a" * 65536 + b"\r\n"
    b"400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" + b"a" * 1024 + b"\r\n"
    b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
    b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
    b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
)
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"


def chunked_example() -> Request:
    signed = "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class"
    headers = {
        "host": "s3.amazonaws.com",
        "x-amz-date": DATE,
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "authorization": authorization(signed, SEED),
        "x-amz-content-sha256": SIGNED,
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": "66560",
        "content-length": "66824",
    }
    return Request("PUT", "/examplebucket/chunkObject.txt", "", headers)


async def in_pieces(body: bytes, sizes: Iterable[int]) -> AsyncIterator[bytes]:
    position = 0
    for size in sizes:
        yield body[position : position + size]
        position += size
    yield body[position:]


def chain(seed: str) -> SignatureChain:
    signature = Signature(KEY, "20130524", "us-east-1", "s3", ("host",), seed, DATE, THEN)
    claim = Verifier({KEY: SECRET}, SetClock(THEN)).claim(Request("PUT", "/", "", {}), signature)
    return SignatureChain(claim.key, signature)


def decoded(body: bytes, framing: Framing, signer: Any = None, sizes: Iterable[int] = ()) -> tuple[bytes, dict[str, str]]:
    async def run() -> tuple[bytes, dict[str, str]]:
        chunked = ChunkedBody(in_pieces(body, sizes), framing, signer or AnySignature())
        data = b"".join([piece async for piece in chunked.decoded()])
        return data, chunked.trailers

    return asyncio.run(run())


def test_the_published_chunks() -> None:
    verify(chunked_example(), SIGNED)
    framing = Framing.of(SIGNED, chunked_example().headers)
    assert decoded(CHUNKS, framing, chain(SEED))[0] == b"a" * 66560


def test_the_published_chunks_with_a_trailer() -> None:
    framing = Framing.of(SIGNED_TRAILER, {"x-amz-decoded-content-length": "66560", "x-amz-trailer": "x-amz-checksum-crc32c"})
    assert decoded(CHUNKS_AND_TRAILER, framing, chain(TRAILER_SEED)) == (b"a" * 66560, {"x-amz-checksum-crc32c": "sOO8/Q=="})


@pytest.mark.parametrize("position", [30, 500, 65_650, 66_700, len(CHUNKS_AND_TRAILER) - 100, len(CHUNKS_AND_TRAILER) - 10])
def test_a_chunk_or_trailer_that_was_changed(position: int) -> None:
    framing = Framing.of(SIGNED_TRAILER, {"x-amz-decoded-content-length": "66560", "x-amz-trailer": "x-amz-checksum-crc32c"})
    body = bytearray(CHUNKS_AND_TRAILER)
    body[position] = ord("0") if body[position] != ord("0") else ord("1")
    with pytest.raises(ServiceError) as caught:
        decoded(bytes(body), framing, chain(TRAILER_SEED))
    assert (caught.value.code, caught.value.status) == ("SignatureDoesNotMatch", 403)


def unsigned(length: int, trailer: str = "") -> Framing:
    return Framing.of(UNSIGNED_TRAILER, {"x-amz-decoded-content-length": str(length), "x-amz-trailer": trailer})


@settings(max_examples=50, deadline=None)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    sizes=st.lists(st.integers(0, 9), max_size=30),
    name=st.sampled_from(sorted(CHECKSUM_HEADERS)),
)
def test_any_chunks_in_any_pieces(chunks: list[bytes], sizes: list[int], name: str) -> None:
    data = b"".join(chunks)
    digest = CHECKSUM_HEADERS[name]()
    digest.update(data)
    text = base64.b64encode(digest.digest())
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + name.encode() + b":" + text + b"\r\n\r\n"
    assert decoded(body, unsigned(len(data), name), sizes=sizes) == (data, {name: text.decode()})


@pytest.mark.parametrize(
    "body, code",
    [
        (b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n", None),
        (b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "BadDigest"),
        (b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:?\r\n\r\n", "InvalidRequest"),
        (b"3\r\nabc\r\n0\r\nx-amz-checksum-sha1:qZk+NkcGgWq6PiVxeFDCbJzQ2J0=\r\n\r\n", "MalformedTrailerError"),
        (b"3\r\nabc\r\n0\r\n\r\n", "MalformedTrailerError"),
        (b"3\r\nabc\r\n0\r\nnonsense\r\n\r\n", "MalformedTrailerError"),
        (b"3\r\nabc\r\n0\r\n" + b"a:b\r\n" * 20 + b"\r\n", "MalformedTrailerError"),
        (b"2\r\nab\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n", "IncompleteBody"),
        (b"4\r\nabcd\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n", "IncompleteBody"),
        (b"3\r\nabc\r\n", "IncompleteBody"),
        (b"3\r\nab", "IncompleteBody"),
        (b"", "IncompleteBody"),
        (b"3\r\nabcd\r\n0\r\n\r\n", "InvalidRequest"),
        (b"-3\r\nabc\r\n", "InvalidRequest"),
        (b"0x3\r\nabc\r\n", "InvalidRequest"),
        (b"+3\r\nabc\r\n", "InvalidRequest"),
        (b" 3\r\nabc\r\n", "InvalidRequest"),
        (b"3;x=1\r\nabc\r\n", "InvalidRequest"),
        (b"ffffffffffff\r\nabc\r\n", "IncompleteBody"),
        (b"f" * 5000, "InvalidRequest"),
        (b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\nmore", "InvalidRequest"),
    ],
)
def test_chunks_that_are_refused(body: bytes, code: str | None) -> None:
    if code is None:
        assert decoded(body, unsigned(3, "x-amz-checksum-crc32"))[0] == b"abc"
        return
    for sizes in ((), (1,) * len(body)):
        with pytest.raises(ServiceError) as caught:
            decoded(body, unsigned(3, "x-amz-checksum-crc32"), sizes=sizes)
        assert caught.value.code == code


@pytest.mark.parametrize(
    "headers", [{}, {"x-amz-decoded-content-length": "-1"}, {"x-amz-decoded-content-length": "3", "x-amz-trailer": "x-amz-checksum-rot13"}]
)
def test_framing_that_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ServiceError):
        Framing.of(UNSIGNED_TRAILER, headers)


CRCS = (ReflectedCrc(CRC32C, 32), ReflectedCrc(CRC64NVME, 64))


def test_checksums_of_the_catalogue() -> None:
    # The check values of the CRC catalogue: CRC-32/ISCSI and CRC-64/NVME of the digits 1 to 9.
    assert [crc(b"123456789", 0) for crc in CRCS] == [0xE3069283, 0xAE8B14860A799888]


@settings(max_examples=60, deadline=None)
@given(size=st.one_of(st.integers(0, 3000), st.sampled_from([4096, 65536, 65537, 100_001])), cut=st.floats(0, 1), seed=st.integers(0, 255))
def test_checksums_of_any_length(size: int, cut: float, seed: int) -> None:
    data = bytes((index * 167 + seed) % 256 for index in range(size))
    # The same polynomial as zlib's, so that its answers are the yardstick.
    assert ReflectedCrc(0xEDB88320, 32)(data, 0) == zlib.crc32(data)
    for crc in CRCS:
        middle = int(size * cut)
        in_parts = crc(data[middle:], crc(data[:middle], 0))
        byte_by_byte = 0
        for index in range(size if size < 300 else 0):
            byte_by_byte = crc(data[index : index + 1], byte_by_byte)
        assert in_parts == crc(data, 0)
        assert size >= 300 or in_parts == byte_by_byte
