"""S3 as browsers use it: forms with a file and a signed policy, and requests of pages of other origins."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_s3 import BUCKET, MB, refused

from eventflow.aws.s3.form import FormBody
from eventflow.aws.s3.post_policy import read_policy
from eventflow.aws.sigv4 import sign, signing_key
from eventflow.errors import ServiceError
from tests.aws import builders
from tests.aws.conftest import client_of, server_of

BOUNDARY = "----boundary"


server = server_of(builders.s3, "module")
s3 = client_of("s3", signature_version="s3v4")


@pytest.fixture(scope="module", autouse=True)
def bucket(server: Any) -> None:
    server.client("s3").create_bucket(Bucket=BUCKET)


class Answer:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body.decode()


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def ask(url: str, method: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers))
    try:
        with urllib.request.build_opener(NoRedirects).open(request, timeout=30) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def form(fields: Mapping[str, str], content: bytes | None, filename: str = "name.txt", after: str = "") -> bytes:
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    if content is not None:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: text/x-file\r\n\r\n'
        parts += [head.encode(), content, b"\r\n"]
    return b"".join(parts) + after.encode() + f"--{BOUNDARY}--\r\n".encode()


def post(server: Any, fields: Mapping[str, str], content: bytes | None = b"content", bucket: str = BUCKET, **more: Any) -> Answer:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return ask(f"{server.url}/{bucket}", "POST", headers, form(fields, content, **more))


def signed_fields(s3: Any, key: str, fields: Mapping[str, str] | None = None, conditions: list[Any] | None = None, life: int = 60) -> dict[str, str]:
    made = s3.generate_presigned_post(BUCKET, key, Fields=dict(fields or {}), Conditions=conditions, ExpiresIn=life)
    return dict(made["fields"])


def with_policy(s3: Any, policy: Any) -> dict[str, str]:
    """Fields of a form whose policy is signed whatever it says."""
    fields = signed_fields(s3, "k")
    text = base64.b64encode((policy if isinstance(policy, str) else json.dumps(policy)).encode()).decode()
    day, region, service = fields["x-amz-credential"].split("/")[1:4]
    secret = s3._request_signer._credentials.secret_key
    return fields | {"policy": text, "x-amz-signature": sign(signing_key(secret, day, region, service), text).hex()}


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_form_that_boto3_signed(server: Any, version: str) -> None:
    signer, s3 = server.client("s3", signature_version=version), server.client("s3")
    said = {"Content-Type": "text/plain", "x-amz-meta-from": "ü", "Cache-Control": "no-cache"}
    conditions: list[Any] = [["starts-with", "$content-type", "text/"], ["eq", "$x-amz-meta-from", "ü"], {"Cache-Control": "no-cache"}]
    fields = signed_fields(signer, "forms/${filename}", said, conditions)
    answer = post(server, fields, b"hello", filename="C:\\photos\\a b.txt")
    assert (answer.status, answer.body) == (204, "")
    got = s3.get_object(Bucket=BUCKET, Key="forms/a b.txt")
    assert (got["Body"].read(), got["ContentType"], got["CacheControl"], got["ETag"]) == (b"hello", "text/plain", "no-cache", answer.headers["ETag"])
    assert got["Metadata"]["from"].encode("latin-1").decode() == "ü"
    assert answer.headers["Location"] == f"{server.url}/{BUCKET}/forms%2Fa%20b.txt"


def test_the_files_name_in_any_field(server: Any, s3: Any) -> None:
    said = {"x-amz-meta-name": "it was ${filename}", "Content-Disposition": "attachment; filename=${filename}"}
    conditions: list[Any] = [["starts-with", f"${name}", ""] for name in said]
    assert post(server, signed_fields(s3, "named", said, conditions), filename="a.txt").status == 204
    head = s3.head_object(Bucket=BUCKET, Key="named")
    assert (head["Metadata"]["name"], head["ContentDisposition"]) == ("it was a.txt", "attachment; filename=a.txt")


def test_what_a_form_wants_to_be_told(server: Any, s3: Any) -> None:
    for status, expected in (("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204)):
        answer = post(server, signed_fields(s3, "k", {"success_action_status": status}, [["starts-with", "$success_action_status", ""]]))
        assert answer.status == expected
        assert (f"<Bucket>{BUCKET}</Bucket><Key>k</Key>" in answer.body) == (expected == 201)
    for page, location in (
        ("http://example.com/done", "http://example.com/done?bucket=uploads&key=k&etag=%229a0364b9e99bb480dd25e1f0284c8555%22"),
        ("https://example.com/?a=b", "https://example.com/?a=b&bucket=uploads&key=k&etag=%229a0364b9e99bb480dd25e1f0284c8555%22"),
    ):
        answer = post(server, signed_fields(s3, "k", {"success_action_redirect": page}, [{"success_action_redirect": page}]))
        assert (answer.status, answer.headers["Location"]) == (303, location)
    nowhere = "javascript:alert(1)"
    assert post(server, signed_fields(s3, "k", {"success_action_redirect": nowhere}, [{"success_action_redirect": nowhere}])).status == 204


def test_what_a_policy_does_not_allow(server: Any, s3: Any) -> None:
    def told(fields: Mapping[str, str], **more: Any) -> tuple[int, str, str]:
        answer = post(server, fields, **more)
        return answer.status, answer.body.partition("<Code>")[2].partition("<")[0], answer.body.partition("<Message>")[2].partition("</M")[0]

    invalid = "Invalid according to Policy: "
    fields = signed_fields(s3, "mine/k")
    failed = f"{invalid}Policy Condition failed: [&quot;eq&quot;, &quot;$key&quot;, &quot;mine/k&quot;]"
    assert told(fields | {"key": "yours/k"}) == (403, "AccessDenied", failed)
    assert told(fields | {"x-amz-meta-more": "x"}) == (403, "AccessDenied", f"{invalid}Extra input fields: x-amz-meta-more")
    assert told(fields | {"x-ignore-this": "x"})[0] == 204
    s3.create_bucket(Bucket="another")
    assert told(fields, bucket="another")[:2] == (403, "AccessDenied")
    assert told(signed_fields(s3, "k", life=-1)) == (403, "AccessDenied", f"{invalid}Policy expired.")
    prefix = ["starts-with", "$x-amz-meta-a", "b"]
    assert told(signed_fields(s3, "k", {}, [prefix]))[:2] == (403, "AccessDenied")
    assert told(signed_fields(s3, "k", {"x-amz-meta-a": "ab"}, [prefix]))[:2] == (403, "AccessDenied")
    assert told(signed_fields(s3, "k", {"x-amz-meta-a": "bc"}, [prefix]))[0] == 204
    sized = signed_fields(s3, "sized", {}, [["content-length-range", 5, 10]])
    assert told(sized, content=b"1234")[:2] == (400, "EntityTooSmall")
    assert told(sized, content=b"12345678901")[:2] == (400, "EntityTooLarge")
    assert refused(s3.head_object, Bucket=BUCKET, Key="sized") == ("404", 404)
    assert told(sized, content=b"12345")[0] == 204
    assert told(sized, content=b"1234567890")[0] == 204


def test_forms_that_nobody_signed_so(server: Any, s3: Any) -> None:
    def code(fields: Mapping[str, str], **more: Any) -> tuple[int, str]:
        answer = post(server, fields, **more)
        return answer.status, answer.body.partition("<Code>")[2].partition("<")[0]

    fields = signed_fields(s3, "k")
    without = {name: {other: value for other, value in fields.items() if other != name} for name in fields}
    assert code(without["policy"]) == (403, "AccessDenied")
    for name in ("key", "x-amz-signature", "x-amz-credential", "x-amz-date", "x-amz-algorithm"):
        assert code(without[name]) == (400, "InvalidArgument")
    assert code(fields | {"x-amz-signature": "0" * 64}) == (403, "SignatureDoesNotMatch")
    assert code(fields | {"x-amz-signature": "ü"}) == (403, "SignatureDoesNotMatch")
    assert code(fields | {"policy": fields["policy"].replace("e", "f", 1)})[0] in (400, 403)
    stranger = fields["x-amz-credential"].replace(s3._request_signer._credentials.access_key, "AKIASTRANGER")
    assert code(fields | {"x-amz-credential": stranger}) == (403, "InvalidAccessKeyId")
    assert code(fields | {"x-amz-credential": "x"}) == (400, "InvalidArgument")
    old = dict(server.client("s3", signature_version="s3").generate_presigned_post(BUCKET, "k")["fields"])
    assert code(old)[0] == 204
    assert code(old | {"signature": "AAAA"}) == (403, "SignatureDoesNotMatch")
    assert code({name: value for name, value in old.items() if name != "signature"}) == (400, "InvalidArgument")
    assert code(fields, content=None) == (400, "InvalidArgument")
    assert code(fields, bucket="nobodys")[0] == 403
    assert code(fields | {"x-amz-storage-class": "GLACIER"}) == (403, "AccessDenied")
    acl = {"acl": "public-read"}
    assert code(signed_fields(s3, "k", acl, [acl])) == (400, "AccessControlListNotSupported")
    assert code(fields | {"x-ignore-much": "x" * 30_000}) == (400, "MaxPostPreDataLengthExceededError")


@pytest.mark.parametrize(
    "policy",
    [
        "nonsense",
        [],
        {"conditions": []},
        {"expiration": "2100-01-01T00:00:00Z"},
        {"expiration": "tomorrow", "conditions": []},
        {"expiration": "2100-01-01", "conditions": []},
        {"EXPIRATION": "2100-01-01T00:00:00Z", "conditions": []},
        {"expiration": "2100-01-01T00:00:00Z", "CONDITIONS": []},
        *({"expiration": "2100-01-01T00:00:00Z", "conditions": [entry]} for entry in ({}, [], "x", ["eq", "key", "k"], ["ends-with", "$key", "k"])),
        *({"expiration": "2100-01-01T00:00:00Z", "conditions": [["content-length-range", *ends]]} for ends in ((), (1,), (-1, 5), ("x", 5))),
        {"expiration": "2100-01-01T00:00:00Z", "conditions": [{"key": "k", "bucket": BUCKET}]},
    ],
)
def test_policies_that_are_none(server: Any, s3: Any, policy: Any) -> None:
    answer = post(server, with_policy(s3, policy))
    assert answer.status == 400
    assert "<Code>InvalidPolicyDocument</Code><Message>Invalid Policy: " in answer.body


def test_field_names_in_any_case_and_dollars(server: Any, s3: Any) -> None:
    conditions = [{"bUcKeT": BUCKET}, ["StArTs-WiTh", "$KeY", "\\$foo"]]
    conditions += [["starts-with", f"$x-amz-{name}", ""] for name in ("algorithm", "credential", "date")]
    fields = with_policy(s3, {"expiration": "2100-01-01T00:00:00.000Z", "conditions": conditions})
    renamed = {name.swapcase(): value for name, value in fields.items() if name != "key"} | {"kEy": "$foo.txt"}
    assert post(server, renamed).status == 204
    assert s3.head_object(Bucket=BUCKET, Key="$foo.txt")["ContentLength"] == 7


def test_bodies_that_are_no_forms(server: Any, s3: Any) -> None:
    whole = form(signed_fields(s3, "torn"), b"content")
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    url = f"{server.url}/{BUCKET}"
    for body in (b"", b"x", whole[:100], whole[: -len(BOUNDARY) - 8], whole.replace(b"form-data; name", b"form-data; nom")):
        answer = ask(url, "POST", headers, body)
        assert (answer.status, "<Code>MalformedPOSTRequest</Code>" in answer.body) == (400, True)
    for kind in ("multipart/form-data", "multipart/form-data; boundary=" + "x" * 71):
        assert ask(url, "POST", {"Content-Type": kind}, whole).status == 400
    assert ask(f"{url}/key", "POST", headers, whole).status == 405
    assert refused(s3.head_object, Bucket=BUCKET, Key="torn") == ("404", 404)


def test_a_large_form_passes_piece_by_piece(server: Any, s3: Any) -> None:
    content = bytes(range(256)) * (5 * MB // 256) + b"\r\n--" + BOUNDARY[:-1].encode()
    assert post(server, signed_fields(s3, "large"), content).status == 204
    assert s3.get_object(Bucket=BUCKET, Key="large")["Body"].read() == content


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.from_regex(r"[a-z-]{1,8}", fullmatch=True), st.text(), max_size=4), st.binary(max_size=300), st.data())
def test_any_form_in_any_pieces(fields: dict[str, str], content: bytes, data: st.DataObject) -> None:
    fields.pop("file", None)
    whole = form(fields, content)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))

    async def pieces() -> AsyncIterator[bytes]:
        for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            yield whole[start:stop]

    async def read() -> tuple[dict[str, str], bytes]:
        body = FormBody(pieces(), f"multipart/form-data; boundary={BOUNDARY}")
        return await body.fields(), b"".join([piece async for piece in body.file()])

    assert asyncio.run(read()) == (fields, content)


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5))


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=15))
def test_any_json_is_a_policy_or_refused(document: Any) -> None:
    text = base64.b64encode(json.dumps(document).encode()).decode()
    with contextlib.suppress(ServiceError):
        read_policy(text)


# Pages of other origins

RULES: list[dict[str, Any]] = [
    {
        "ID": "app",
        "AllowedMethods": ["PUT", "GET"],
        "AllowedOrigins": ["https://*.example.com", "http://localhost:3000"],
        "AllowedHeaders": ["x-amz-*", "Content-Type"],
        "ExposeHeaders": ["ETag", "x-amz-request-id"],
        "MaxAgeSeconds": 600,
    },
    {"AllowedMethods": ["HEAD"], "AllowedOrigins": ["*"]},
]


@pytest.fixture
def rules(s3: Any) -> Iterator[None]:
    s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": RULES})
    yield
    s3.delete_bucket_cors(Bucket=BUCKET)


def preflight(server: Any, path: str = f"/{BUCKET}/k", **headers: str) -> Answer:
    return ask(f"{server.url}{path}", "OPTIONS", {name.replace("_", "-"): value for name, value in headers.items()})


def test_rules_are_kept_and_checked(s3: Any) -> None:
    assert refused(s3.get_bucket_cors, Bucket=BUCKET) == ("NoSuchCORSConfiguration", 404)
    s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": RULES})
    assert s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"] == RULES
    s3.delete_bucket_cors(Bucket=BUCKET)
    assert refused(s3.get_bucket_cors, Bucket=BUCKET) == ("NoSuchCORSConfiguration", 404)
    plain = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}
    for strange, code in (
        ({"AllowedMethods": ["OPTIONS"]}, "InvalidRequest"),
        ({"AllowedOrigins": ["https://*.*"]}, "InvalidRequest"),
        ({"AllowedHeaders": ["*-*"]}, "InvalidRequest"),
        ({"ExposeHeaders": ["x-*"]}, "InvalidRequest"),
        ({"ID": "x" * 256}, "InvalidRequest"),
    ):
        assert refused(s3.put_bucket_cors, Bucket=BUCKET, CORSConfiguration={"CORSRules": [plain | strange]}) == (code, 400)
    assert refused(s3.put_bucket_cors, Bucket=BUCKET, CORSConfiguration={"CORSRules": [plain] * 101}) == ("MalformedXML", 400)


def test_a_preflight_is_answered_by_the_first_rule_that_allows_it(server: Any, rules: None) -> None:
    asked = {
        "Origin": "https://app.example.com",
        "Access_Control_Request_Method": "PUT",
        "Access_Control_Request_Headers": "X-Amz-Date, content-type",
    }
    answer = preflight(server, **asked)
    assert answer.status == 200
    told = {name: value for name, value in answer.headers.items() if name.startswith("access-control") or name == "vary"}
    assert told == {
        "access-control-allow-origin": "https://app.example.com",
        "access-control-allow-methods": "PUT, GET",
        "access-control-allow-headers": "x-amz-date, content-type",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "ETag, x-amz-request-id",
        "access-control-max-age": "600",
        "vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
    }
    assert preflight(server, f"/{BUCKET}", **asked).status == 200
    anybody = preflight(server, Origin="null", Access_Control_Request_Method="HEAD")
    assert anybody.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in anybody.headers


def test_preflights_that_are_refused(server: Any, rules: None, s3: Any) -> None:
    def told(answer: Answer) -> tuple[int, str]:
        return answer.status, answer.body.partition("<Code>")[2].partition("<")[0]

    origin = "https://app.example.com"
    for asked in (
        {"Origin": "https://example.org", "Access_Control_Request_Method": "GET"},
        {"Origin": "https://example.com", "Access_Control_Request_Method": "GET"},
        {"Origin": origin, "Access_Control_Request_Method": "DELETE"},
        {"Origin": origin, "Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "x-other"},
    ):
        assert told(preflight(server, **asked)) == (403, "AccessForbidden")
    assert told(preflight(server, Access_Control_Request_Method="GET")) == (400, "BadRequest")
    assert told(preflight(server, Origin=origin)) == (400, "BadRequest")
    assert told(preflight(server, Origin=origin, Access_Control_Request_Method="PATCH")) == (400, "BadRequest")
    assert told(preflight(server, "/not-there/k", Origin=origin, Access_Control_Request_Method="GET")) == (403, "AccessForbidden")
    s3.create_bucket(Bucket="no-rules")
    answer = preflight(server, "/no-rules/k", Origin=origin, Access_Control_Request_Method="GET")
    assert (answer.status, "CORS is not enabled for this bucket" in answer.body) == (403, True)


def test_answers_say_who_may_see_them(server: Any, s3: Any, rules: None) -> None:
    s3.put_object(Bucket=BUCKET, Key="seen", Body=b"x")
    address = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "seen"})
    answer = ask(address, "GET", {"Origin": "https://app.example.com"})
    assert (answer.body, answer.headers["access-control-allow-origin"], answer.headers["vary"].split(",")[0]) == (
        "x",
        "https://app.example.com",
        "Origin",
    )
    assert "access-control-allow-origin" not in ask(address, "GET", {"Origin": "https://elsewhere.org"}).headers
    assert "access-control-allow-origin" not in ask(address, "GET", {}).headers
    refusal = ask(f"{server.url}/{BUCKET}/seen", "GET", {"Origin": "https://app.example.com"})
    assert (refusal.status, refusal.headers["access-control-allow-origin"]) == (403, "https://app.example.com")
