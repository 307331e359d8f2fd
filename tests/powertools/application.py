"""An application as users of Powertools for AWS Lambda write it, unchanged for eventflow but for the decorators that say what starts a function."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, APIGatewayRestResolver, LambdaFunctionUrlResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.shared.cookies import Cookie
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from eventflow import App
from triggers import Http, Queue, Rest, Stream

app = App("powertools")
app.rest_api(binary_media_types=["*/*"])  # as Powertools asks for where answers are compressed
app.table("idempotency", key="id")
app.table("settings", key="id")
app.table("orders", key="id", stream="NEW_AND_OLD_IMAGES")
app.queue("letters", visibility_timeout=30)
app.queue("lines.fifo", content_based_deduplication=True, visibility_timeout=30)

logger = Logger(service="shop")
metrics = Metrics(namespace="shop", service="shop")
tracer = Tracer(service="shop")

#: What handlers saw, for the tests: they run in the same process.
seen: dict[str, list[Any]] = {"letters": [], "lines": [], "orders": [], "charged": [], "letters once": []}


class Item(BaseModel):
    name: str
    price: float


# Event handler.

http = APIGatewayHttpResolver(enable_validation=True)
router = APIGatewayHttpRouter()


@http.get("/items/<name>")
def http_item(name: str, size: int = 1) -> dict[str, Any]:
    return {"name": name, "size": size, "id": http.current_event.request_context.request_id}


@router.post("/items")
def http_create(item: Item) -> tuple[dict[str, Any], int]:
    return item.model_dump(), 201


http.include_router(router)


@app.on(Http("ANY /items/{proxy+}"))
@app.on(Http("POST /items"))
def over_http(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return http.resolve(event, context)


plain = APIGatewayHttpResolver()


@plain.get("/cookies")
def http_cookies() -> Response[str]:
    return Response(200, "text/plain", "two", cookies=[Cookie("a", "1"), Cookie("b", "2")], headers={"X-Two": ["1", "2"]})


@plain.get("/picture")
def http_picture() -> Response[bytes]:
    return Response(200, "image/png", b"\x89PNG\xff")


@app.on(Http("GET /cookies"))
@app.on(Http("GET /picture"))
def plainly(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return plain.resolve(event, context)


rest = APIGatewayRestResolver()


@rest.get("/things/<name>")
def rest_thing(name: str) -> dict[str, Any]:
    if name == "nothing":
        raise NotFoundError(f"no {name}")
    event = rest.current_event
    return {
        "name": name,
        "query": event.get_query_string_value("q", ""),
        "all": event.multi_value_query_string_parameters.get("q"),
        "agent": event.headers.get("user-agent"),
        "source": event.request_context.identity.source_ip,
        "stage": event.request_context.stage,
    }


@rest.put("/things/<name>")
def rest_put(name: str) -> dict[str, Any]:
    return {"name": name, "body": rest.current_event.json_body}


@rest.get("/compressed", compress=True)
def rest_compressed() -> dict[str, Any]:
    return {"text": "a" * 1000}


@rest.exception_handler(ZeroDivisionError)
def rest_failure(error: ZeroDivisionError) -> Response[str]:
    return Response(418, "text/plain", str(error))


@rest.get("/broken")
def rest_broken() -> dict[str, Any]:
    return {"never": 1 / 0}


@app.on(Rest("ANY /{proxy+}"))
@tracer.capture_lambda_handler
@logger.inject_lambda_context(correlation_id_path="requestContext.requestId", log_event=True)
@metrics.log_metrics(capture_cold_start_metric=True)
def over_rest(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    logger.info("asked")
    metrics.add_metric(name="Asked", unit=MetricUnit.Count, value=1)
    return rest.resolve(event, context)


url = LambdaFunctionUrlResolver()


@url.post("/hello/<name>")
def url_hello(name: str) -> dict[str, Any]:
    return {"hello": name, "body": url.current_event.body, "method": url.current_event.request_context.http.method}


@app.function(url=True)
def over_url(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return url.resolve(event, context)


# Batches with partial failures.

letters = BatchProcessor(event_type=EventType.SQS)
lines = SqsFifoPartialProcessor()
changes = BatchProcessor(event_type=EventType.DynamoDBStreams)


def take_letter(record: SQSRecord) -> None:
    seen["letters"].append(record.body)
    if record.body.startswith("bad") and int(record.attributes.approximate_receive_count) < 3:
        raise ValueError(record.body)


def take_line(record: SQSRecord) -> None:
    seen["lines"].append(record.body)
    if record.body.startswith("bad") and int(record.attributes.approximate_receive_count) < 2:
        raise ValueError(record.body)


def take_order(record: DynamoDBRecord) -> None:
    assert record.dynamodb is not None
    seen["orders"].append((record.dynamodb.keys["id"], record.dynamodb.new_image))
    if record.dynamodb.new_image.get("state") == "bad" and len(seen["orders"]) < 8:
        raise ValueError("bad order")


@app.on(Queue("letters", batch_size=10, partial_failures=True))
def on_letters(event: dict[str, Any], context: LambdaContext) -> Any:
    return process_partial_response(event=event, record_handler=take_letter, processor=letters, context=context)


@app.on(Queue("lines.fifo", batch_size=10, partial_failures=True))
def on_lines(event: dict[str, Any], context: LambdaContext) -> Any:
    return process_partial_response(event=event, record_handler=take_line, processor=lines, context=context)


@app.on(Stream("orders", batch_size=10, partial_failures=True))
def on_orders(event: dict[str, Any], context: LambdaContext) -> Any:
    return process_partial_response(event=event, record_handler=take_order, processor=changes, context=context)


# Idempotency.

store = DynamoDBPersistenceLayer(table_name="idempotency")


@app.function()
@idempotent(persistence_store=store, config=IdempotencyConfig(event_key_jmespath="order", payload_validation_jmespath="cents"))
def charge(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    seen["charged"].append(event["order"])
    if event.get("fail"):
        raise ValueError("no money")
    return {"receipt": len(seen["charged"])}


once = DynamoDBPersistenceLayer(table_name="idempotency")
once_config = IdempotencyConfig()


@idempotent_function(data_keyword_argument="letter", persistence_store=once, config=once_config)
def write_once(letter: str) -> dict[str, Any]:
    seen["letters once"].append(letter)
    return {"letter": letter}


@app.function()
def write(event: dict[str, Any], context: LambdaContext) -> Any:
    once_config.register_lambda_context(context)
    return write_once(letter=event["letter"])
