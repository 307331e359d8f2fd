"""Orders from a queue: what fails comes again alone, and what fails too often goes to another queue."""

import json

import boto3

from eventflow import App
from triggers import Queue

app = App("{{name}}")
app.table("accepted", key="order")
app.queue("orders", visibility_timeout=60, dead_letter_queue=app.queue("failed-orders"), max_receive_count=3)
accepted = boto3.resource("dynamodb").Table("accepted")


@app.on(Queue("orders", batch_size=10, partial_failures=True), timeout=30)
def accept(event, context):
    failed = []
    for record in event["Records"]:
        try:
            order = json.loads(record["body"])
            accepted.put_item(Item={"order": order["id"], "amount": order["amount"]})
        except (ValueError, KeyError, TypeError) as error:
            print(f"{record['messageId']}: {type(error).__name__}: {error}")
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
