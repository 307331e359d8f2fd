"""An application with everything that a SAM template can say."""

import os
from typing import Any

import boto3

from eventflow import App, S3Event
from triggers import Bucket, Bus, Http, Queue, Rest, Schedule, Stream

app = App("shop")
app.table("sales", key="customer", sort="number", sort_type="N")
app.table("plain", key="id", stream="KEYS_ONLY")
failed = app.queue("failed", message_retention_period=1_209_600)
app.queue("orders", visibility_timeout=180, dead_letter_queue=failed, max_receive_count=5, delay_seconds=1)
app.queue("lines.fifo", content_based_deduplication=True, visibility_timeout=60)
app.bucket("shop-pictures", path="pictures")
audits = app.bus("audits")
sales = boto3.resource("dynamodb", region_name="us-east-1").Table("sales")


@app.function(description="Sees how events end", environment={"LEVEL": "debug", "EMPTY": ""}, reserved_concurrency=2)
def note(event: Any, context: Any) -> Any:
    return {"level": os.environ.get("LEVEL"), "event": event}


@app.on(
    Bucket("shop-pictures", events=("ObjectCreated:Put", "ObjectRemoved:*"), prefix="in/", suffix=".jpg"),
    memory=512,
    timeout=30,
    on_failure=failed,
    on_success=note,
)
def picture(event: S3Event, context: Any) -> Any:
    return len(event["Records"])


@app.on(Schedule("rate(5 minutes)"), retries=0, maximum_event_age=120)
@app.on(Schedule("cron(0 3 * * ? *)", input={"what": "all"}))
@app.on(Schedule("cron(0 4 * * ? *)", timezone="Europe/Berlin", input={}))
@app.on(Schedule("at(2030-01-01T00:00:00)", input={"once": True}))
def tidy(event: Any, context: Any) -> Any:
    return event


@app.on(
    Queue("orders", batch_size=100, window=5, partial_failures=True, maximum_concurrency=3, filters=[{"body": {"kind": ["order"]}}]),
    timeout=60,
    dead_letter_queue=failed,
)
@app.on(Queue("lines.fifo"))
def order(event: Any, context: Any) -> Any:
    return {"batchItemFailures": []}


@app.on(
    Stream(
        "sales", batch_size=50, window=2, starting_position="LATEST", bisect_on_error=True, maximum_retry_attempts=3, maximum_record_age=600,
        parallelization_factor=2, partial_failures=True, on_failure="failed", filters=[{"eventName": ["INSERT"]}],
    )
)  # fmt: skip
@app.on(Stream("plain", tumbling_window=60))
def follow(event: Any, context: Any) -> Any:
    return None


@app.on(Bus({"source": ["shop"], "detail": {"amount": [{"numeric": [">", 10]}]}}))
@app.on(Bus({"source": ["audit"]}, bus=audits))
def hear(event: Any, context: Any) -> Any:
    return event["detail"]


@app.function()
def decide(event: Any, context: Any) -> Any:
    return {"isAuthorized": True}


@app.function()
def decide_rest(event: Any, context: Any) -> Any:
    return {"principalId": "me"}


by_function = app.lambda_authorizer("by-function", decide, payload="2.0", simple=True, ttl=60)
by_token = app.jwt_authorizer("by-token", issuer="https://login.example.com/", audience=["shop"])
by_rest = app.lambda_authorizer("by-rest", decide_rest, kind="token", ttl=0)
app.http_api(
    stage_variables={"table": "sales"}, cors={"allow_origins": ["https://shop.example"], "allow_methods": ["GET"]}, throttle={"rate": 10, "burst": 5}
)
app.rest_api(
    stage="live", binary_media_types=["image/png"], throttle={"rate": 7, "burst": 3}, models={"Sale": {"type": "object", "required": ["id"]}}
)


@app.on(Http("GET /sales/{id}", authorizer=by_function, timeout=10))
@app.on(Http("POST /sales", authorizer=by_token, scopes=["write"]))
@app.on(Http("ANY /files/{path+}", authorizer="none"))
@app.on(Http("$default", authorizer="none"))
async def sell(event: Any, context: Any) -> Any:
    return {"statusCode": 200, "body": "sold"}


@app.on(Rest("POST /sales", authorizer=by_rest, validator="body", models="Sale"))
@app.on(Rest("GET /sales/{id}", authorizer="iam"))
@app.on(Rest("ANY /open/{proxy+}", authorizer="none"), snap_start=True)
def serve(event: Any, context: Any) -> Any:
    return {"statusCode": 200}


app.mock("GET /health", 200, "well", authorizer="none")


@app.function(url={"auth": "AWS_IAM", "cors": {"allow_origins": ["*"]}}, snap_start=True, log_format="JSON", system_log_level="WARN")
def addressed(event: Any, context: Any) -> Any:
    return "here"


class Tools:
    @staticmethod
    @app.function(name="deep-one")
    def deep(event: Any, context: Any) -> Any:
        return "deep"
