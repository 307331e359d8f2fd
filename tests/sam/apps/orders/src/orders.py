import json
import os

import boto3


def take(event, context):
    table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
    failed = []
    for record in event["Records"]:
        order = json.loads(record["body"])
        if order.get("bad"):
            failed.append({"itemIdentifier": record["messageId"]})
        else:
            table.put_item(Item={"id": order["id"], "customer": order.get("customer", "nobody")})
    return {"batchItemFailures": failed}


def ship(event, context):
    if "Records" not in event:
        raise ValueError("no order")
    queue = boto3.resource("sqs").Queue(os.environ["QUEUE"])
    for record in event["Records"]:
        queue.send_message(MessageBody="shipped " + record["dynamodb"]["NewImage"]["id"]["S"])
