"""What the endpoint remembers from one request to the next must not make it take what it would refuse, nor read anything otherwise."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import example, given
from hypothesis import strategies as st

from eventflow.aws.protocols import uri
from eventflow.aws.protocols.refusal import UnknownOperation
from eventflow.aws.protocols.scalars import timestamp_writer
from eventflow.aws.request import Request, joined
from eventflow.aws.sigv4 import (
    BLANK,
    PLAIN_PATH,
    Reason,
    Refused,
    SigningKey,
    Verifier,
    encoded_path,
    from_header,
    made,
    read_head,
    read_signature,
    s3_path,
    signature_before,
    usual_signature,
)
from eventflow.aws.wire import Wires
from eventflow.clock import SystemClock
from eventflow.remembered import LONGEST_REMEMBERED, REMEMBERED, remembered

KEY, SECRET = "EVFLEXAMPLE", "a secret"
BODY = b'{"a": 1}'
PAYLOAD = hashlib.sha256(BODY).hexdigest()


def signed(
    secret: str = SECRET, *, key: str = KEY, region: str = "us-east-1", service: str = "lambda", headers: dict[str, str] | None = None
) -> Request:
    url = "http://127.0.0.1:1234/2015-03-31/functions/noop/invocations"
    request = AWSRequest("POST", url, data=BODY, headers={"Host": "127.0.0.1:1234", **(headers or {})})
    SigV4Auth(BotocoreCredentials(key, secret), service, region).add_auth(request)
    received = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.items()]
    return Request("POST", "/2015-03-31/functions/noop/invocations", "", joined(received))


def verify(verifier: Verifier, request: Request, payload: str = PAYLOAD) -> None:
    verifier.claim(request, read_signature(request)).check(payload)


def reason(verifier: Verifier, request: Request, payload: str = PAYLOAD) -> Reason:
    with pytest.raises(Refused) as caught:
        verify(verifier, request, payload)
    return caught.value.reason


def with_header(request: Request, name: str, value: str) -> Request:
    return Request(request.method, request.path, request.query_string, {**request.headers, name: value})


def test_short_texts_are_remembered_and_neither_long_ones_nor_mistakes() -> None:
    asked: list[str] = []

    @remembered()
    def read(text: str) -> str:
        asked.append(text)
        if text == "bad":
            raise ValueError
        return text.upper()

    short, long = "x" * LONGEST_REMEMBERED, "x" * (LONGEST_REMEMBERED + 1)
    assert [read(short), read(short), read(long), read(long)] == [short.upper()] * 2 + [long.upper()] * 2
    assert asked == [short, long, long]
    for number in range(REMEMBERED):
        read(str(number))
    read(short)
    assert asked[-1] == short  # forgotten meanwhile
    for _ in range(2):
        with pytest.raises(ValueError):
            read("bad")
    assert asked[-2:] == ["bad", "bad"]


def test_texts_of_times_are_remembered_once_for_all_shapes_of_a_form() -> None:
    assert timestamp_writer("ISO8601") is timestamp_writer("iso8601")
    moments = [
        datetime(2026, 1, 1, 12, tzinfo=UTC),
        datetime(2026, 1, 1, 12),
        datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))),
        1767268800,
    ]
    assert {timestamp_writer("iso8601")(moment) for moment in moments * 2} == {"2026-01-01T12:00:00.000Z"}


def test_a_signature_may_come_again_and_nothing_like_it() -> None:
    """AWS takes a signed request as often as it comes within its fifteen minutes. Whatever differs from it is refused, also right after it."""
    verifier, request = Verifier({KEY: SECRET}, SystemClock()), signed()
    authorization = request.headers["authorization"]
    beginning, _, value = authorization.rpartition("=")
    for changed in (
        with_header(request, "authorization", f"{beginning}={'0' * 64}"),
        with_header(request, "authorization", f"{beginning}={value[:-1]}{'0' if value[-1] != '0' else '1'}"),
        with_header(request, "authorization", authorization.replace("us-east-1", "eu-west-1")),
        with_header(request, "authorization", authorization.replace("/lambda/", "/sqs/")),
        with_header(request, "authorization", authorization.replace("SignedHeaders=host;", "SignedHeaders=host;host;")),
        with_header(request, "host", "127.0.0.1:4321"),
        with_header(request, "host", "127.0.0.1:1234,127.0.0.1:1234"),
        Request("PUT", request.path, "", request.headers),
        Request("POST", request.path.replace("noop", "nope"), "", request.headers),
        Request("POST", f"{request.path}/", "", request.headers),
        Request("POST", request.path, "Qualifier=1", request.headers),
    ):
        verify(verifier, request)
        assert reason(verifier, changed) is Reason.MISMATCH
    assert reason(verifier, request, hashlib.sha256(b"another body").hexdigest()) is Reason.MISMATCH
    verify(verifier, request)


def test_another_secret_for_the_same_access_key() -> None:
    secrets = {KEY: SECRET}
    verifier = Verifier(secrets, SystemClock())
    verify(verifier, signed())
    secrets[KEY] = "rotated"
    assert reason(verifier, signed()) is Reason.MISMATCH
    verify(verifier, signed("rotated"))
    del secrets[KEY]
    assert reason(verifier, signed("rotated")) is Reason.UNKNOWN_KEY
    secrets[KEY] = SECRET
    verify(verifier, signed())


def test_two_access_keys_do_not_sign_for_each_other() -> None:
    verifier = Verifier({KEY: SECRET, "OTHER": "other secret"}, SystemClock())
    verify(verifier, signed())
    verify(verifier, signed("other secret", key="OTHER"))
    assert reason(verifier, signed(SECRET, key="OTHER")) is Reason.MISMATCH
    assert reason(verifier, signed("other secret")) is Reason.MISMATCH


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
@pytest.mark.parametrize("service", ["lambda", "s3", "sqs"])
def test_every_scope_has_a_key_of_its_own(region: str, service: str) -> None:
    verifier = Verifier({KEY: SECRET}, SystemClock())
    verify(verifier, signed())
    verify(verifier, signed(region=region, service=service))


def test_a_remembered_head_grows_old_like_any_other() -> None:
    class Later(SystemClock):
        seconds = 0.0

        def now(self) -> float:
            return super().now() + self.seconds

    clock, request = Later(), signed()
    verifier = Verifier({KEY: SECRET}, clock)
    verify(verifier, request)
    clock.seconds = 15 * 60 + 2
    assert reason(verifier, request) is Reason.SKEWED


def test_names_of_signed_headers_in_any_case() -> None:
    verifier, request = Verifier({KEY: SECRET}, SystemClock()), signed()
    verify(verifier, request)
    shouted = request.headers["authorization"].replace("SignedHeaders=host;x-amz-date", "SignedHeaders=Host;X-Amz-Date")
    assert shouted != request.headers["authorization"]
    verify(verifier, with_header(request, "authorization", shouted))


PARTS = st.sampled_from(
    [
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256\t",
        "Credential=",
        "SignedHeaders=",
        "Signature=",
        "XSignature=",
        f"{KEY}/20130524/us-east-1/s3/aws4_request",
        f"{KEY}/20130525/us-east-1/s3/aws4_request",
        "host",
        "host;x-amz-date",
        ",",
        ", ",
        " ",
        ";",
        "=",
        BLANK,
        "1" * 64,
        "1" * 63,
        "a" * 600,
        "é",
    ]
)


def answer(read: Callable[[str], Any], header: str) -> object:
    try:
        return read(header)
    except Refused as refused:
        return refused.reason


ELSEWHERE = f"AWS4-HMAC-SHA256 Signature={'a' * 64},Credential={KEY}/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;"


@example([ELSEWHERE], f"Signature={'1' * 64}")
@example([f"AWS4-HMAC-SHA256 Credential={KEY}/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, "], f"Signature={'1' * 64}")
@given(st.lists(PARTS, max_size=14), st.sampled_from(["", f"Signature={BLANK}", f"Signature={'1' * 64}", f", Signature={'a' * 64}"]))
def test_a_remembered_signature_is_read_as_any_other(parts: list[str], end: str) -> None:
    header = "".join(parts) + end
    for date in ("20130524T000000Z", "20130525T010203Z", "20139999T000000Z"):
        request = Request("POST", "/", "", {"x-amz-date": date})
        expected = answer(lambda text, date=date: made(read_head(text), date, None, Reason.INCOMPLETE), header)  # type: ignore[misc]
        assert answer(lambda text, request=request: from_header(request, text), header) == expected  # type: ignore[misc]


def test_a_usual_signature_is_remembered_and_strangers_fill_no_memory_with_longer_ones() -> None:
    credential = f"{KEY}/20130524/us-east-1/s3/aws4_request"
    date = "20130524T000000Z"
    signature_before.cache_clear()
    for number in range(REMEMBERED * 2):
        usual_signature(f"AWS4-HMAC-SHA256 Credential={number}{credential}, SignedHeaders=host, Signature={'1' * 64}", date)
    assert signature_before.cache_info().currsize == REMEMBERED
    signature_before.cache_clear()
    long = f"AWS4-HMAC-SHA256 Credential={'k' * LONGEST_REMEMBERED}{credential}, SignedHeaders=host, Signature={'1' * 64}"
    assert usual_signature(long, date) is None
    assert usual_signature(long[-200:], "20130524") is None
    assert signature_before.cache_info().currsize == 0


@given(st.binary(max_size=64), st.text())
def test_a_signing_key_makes_hmacs(key: bytes, text: str) -> None:
    assert SigningKey(key).sign(text) == hmac.digest(key, text.encode(), "sha256").hex()


@given(st.lists(st.sampled_from(["/", "a", "Z9", ".", "..", "-", "_", "~", "%41", "%2F", " ", "é", "+", "*", "a.b"]), max_size=8))
def test_a_plain_path_is_its_own_canonical_form(parts: list[str]) -> None:
    path = "/" + "".join(parts)
    if PLAIN_PATH.fullmatch(path):
        assert encoded_path(path) == path
        assert s3_path(path) == path


def test_addresses_that_come_again_and_too_many_to_remember() -> None:
    model = Wires().of("lambda").model
    addresses = uri.Addresses(model.operation_model(name) for name in model.operation_names)
    for number in range(uri.MOST_KNOWN + 10):
        path = f"/2015-03-31/functions/f{number}/invocations"
        for _ in range(2):
            assert addresses.find(Request("POST", path, "", {}), path) == ("Invoke", {"FunctionName": f"f{number}"})
            with pytest.raises(UnknownOperation):
                addresses.find(Request("PUT", path, "", {}), path)
    assert len(addresses._known) <= uri.MOST_KNOWN
    before = dict(addresses._known)
    path = f"/2015-03-31/functions/{'f' * uri.LONGEST_KNOWN}/invocations"
    assert addresses.find(Request("POST", path, "", {}), path)[0] == "Invoke"
    assert addresses._known == before


def test_headers_that_were_sent_twice_are_joined() -> None:
    assert joined([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]) == {"a": "1,3", "b": "2"}
    assert joined([(b"a", b"1"), (b"b", b"\xe9")]) == {"a": "1", "b": "é"}
