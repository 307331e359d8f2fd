"""An application that keeps every event that reaches it, as it came: one function for each kind of event that eventflow makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eventflow import App
from triggers import Bucket, Bus, Http, Queue, Rest, Schedule, Stream, WebSocket

app = App("events")
app.table("items", key="id", stream="NEW_AND_OLD_IMAGES")
app.queue("messages", visibility_timeout=30)
app.queue("groups.fifo", content_based_deduplication=True, visibility_timeout=30)
app.queue("from-bucket", visibility_timeout=30)
app.queue("failures", visibility_timeout=30)
app.bucket("told")
app.bucket("untold")

received: dict[str, list[Any]] = {}


def keeper(name: str, answer: Any = None) -> Callable[[Any, Any], Any]:
    def keep(event: Any, context: Any) -> Any:
        received.setdefault(name, []).append(event)
        return answer

    keep.__name__ = keep.__qualname__ = name
    return keep


allow = {
    "principalId": "me",
    "context": {"plan": "gold", "age": 3, "new": True},
    "policyDocument": {"Version": "2012-10-17", "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*"}]},
}
simple = {"isAuthorized": True, "context": {"plan": "gold", "groups": ["a"]}}

token = app.function()(keeper("token", allow))
request = app.function()(keeper("request", allow))
request_1 = app.function()(keeper("request_1", allow))
request_2 = app.function()(keeper("request_2", simple))
connecting = app.function()(keeper("connecting", allow))
by_token = app.lambda_authorizer("by-token", token, kind="token", ttl=0)
by_request = app.lambda_authorizer("by-request", request, identity_source=["method.request.header.X-Who"], ttl=0)
by_request_1 = app.lambda_authorizer("by-request-1", request_1, payload="1.0", identity_source=["$request.header.X-Who"], ttl=0)
by_request_2 = app.lambda_authorizer("by-request-2", request_2, payload="2.0", simple=True, identity_source=["$request.header.X-Who"], ttl=0)
by_connection = app.lambda_authorizer("by-connection", connecting, identity_source=["route.request.querystring.who"], ttl=0)

s3 = app.on(Bucket("told", events=("ObjectCreated:*", "ObjectRemoved:*")))(keeper("s3"))
sqs = app.on(Queue("messages"))(keeper("sqs"))
fifo = app.on(Queue("groups.fifo"))(keeper("fifo"))
s3_sqs = app.on(Queue("from-bucket"))(keeper("s3_sqs"))
stream = app.on(Stream("items"))(keeper("stream"))
failed = app.on(Queue("failures"))(keeper("failed"))
bus = app.on(Bus({"source": ["shop"]}))(keeper("bus"))
s3_bus = app.on(Bus({"source": ["aws.s3"]}))(keeper("s3_bus"))
schedule = app.on(Schedule("rate(1 hour)"))(keeper("schedule"))
http = app.on(Http("ANY /http/{proxy+}", authorizer="none"))(keeper("http", {"ok": True}))
http_1 = app.on(Http("GET /old", authorizer=by_request_1))(keeper("http_1", {"ok": True}))
http_2 = app.on(Http("GET /new", authorizer=by_request_2))(keeper("http_2", {"ok": True}))
rest = app.on(Rest("ANY /rest/{proxy+}", authorizer="none"))(keeper("rest", {"statusCode": 200}))
rest_token = app.on(Rest("GET /token/{id}", authorizer=by_token))(keeper("rest_token", {"statusCode": 200}))
rest_request = app.on(Rest("GET /request/{id}", authorizer=by_request))(keeper("rest_request", {"statusCode": 200}))
url = app.function(url=True)(keeper("url", {"statusCode": 200}))
url_signed = app.function(url={"auth": "AWS_IAM"})(keeper("url_signed", {"statusCode": 200}))
websocket = app.on(WebSocket("$connect", authorizer=by_connection))(
    app.on(WebSocket("$default"))(app.on(WebSocket("$disconnect"))(keeper("websocket", {"statusCode": 200})))
)


@app.on(Stream("items", maximum_retry_attempts=0, on_failure="failures"))
def breaks(event: Any, context: Any) -> None:
    raise ValueError("no")
