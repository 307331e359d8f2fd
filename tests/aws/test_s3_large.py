"""Large objects both ways: what passes through the server never is in its memory."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from test_s3 import BUCKET, MB

from tests.aws import builders
from tests.aws.conftest import server_of

SIZE = 300 * MB
#: What the server may take beside what it has anyway, in bytes: pieces on their way, and what the allocator keeps of them.
ROOM = 48 * MB

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the peak of the memory is read from /proc"),
]


def forget_peak() -> int:
    """Begin to look for the peak anew; the memory in use now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def status(name: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


server = server_of(builders.s3)


@pytest.fixture
def s3(server: Any) -> Any:
    client = server.client("s3", signature_version="s3v4")
    client.create_bucket(Bucket=BUCKET)
    return client


def pieces(digest: Any) -> Iterator[bytes]:
    piece = os.urandom(MB)
    for number in range(SIZE // MB):
        changed = number.to_bytes(8, "big") + piece[8:]
        digest.update(changed)
        yield changed


@contextlib.contextmanager
def request(url: str, method: str, body: Iterator[bytes] | None = None, headers: dict[str, str] | None = None) -> Iterator[Any]:
    address = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(address.netloc, timeout=120)) as connection:
        connection.request(method, f"{address.path}?{address.query}", body, headers or {})
        with connection.getresponse() as answer:
            yield answer


def test_a_large_object_goes_in_and_out_while_memory_stays_flat(s3: Any) -> None:
    sent, got = hashlib.md5(), hashlib.md5()
    put = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "large"})
    before = forget_peak()
    with request(put, "PUT", pieces(sent), {"Content-Length": str(SIZE)}) as answer:
        assert (answer.status, answer.headers["ETag"]) == (200, f'"{sent.hexdigest()}"')
    assert status("VmHWM") - before < ROOM
    before = forget_peak()
    with request(s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "large"}), "GET") as answer:
        while piece := answer.read(MB):
            got.update(piece)
    assert got.digest() == sent.digest()
    assert status("VmHWM") - before < ROOM
    before = forget_peak()
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "large"})
    assert status("VmHWM") - before < ROOM


def test_a_large_form_goes_in_while_memory_stays_flat(s3: Any) -> None:
    fields = s3.generate_presigned_post(BUCKET, "form")
    boundary = "boundary"
    head = "".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields["fields"].items())
    head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    tail = f"\r\n--{boundary}--\r\n"
    sent = hashlib.md5()

    def whole() -> Iterator[bytes]:
        yield head.encode()
        yield from pieces(sent)
        yield tail.encode()

    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(len(head) + SIZE + len(tail))}
    before = forget_peak()
    with request(fields["url"], "POST", whole(), headers) as answer:
        assert (answer.status, answer.headers["ETag"]) == (204, f'"{sent.hexdigest()}"')
    assert status("VmHWM") - before < ROOM
