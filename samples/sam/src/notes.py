"""Handlers as they are on AWS Lambda: nothing in them is eventflow's."""

import json
import os
from typing import Any

import boto3

notes = boto3.resource("dynamodb").Table(os.environ["NOTES"])
s3 = boto3.client("s3")


def write(event: dict[str, Any], context: Any) -> dict[str, Any]:
    note = {"id": event["pathParameters"]["id"], "text": json.loads(event["body"])["text"]}
    notes.put_item(Item=note)
    return {"statusCode": 201, "body": json.dumps(note)}


def read(event: dict[str, Any], context: Any) -> dict[str, Any]:
    note = notes.get_item(Key={"id": event["pathParameters"]["id"]}).get("Item")
    return {"statusCode": 200 if note else 404, "body": json.dumps(note)}


def copy(event: dict[str, Any], context: Any) -> None:
    for record in event["Records"]:
        if "NewImage" in record["dynamodb"]:
            note = record["dynamodb"]["NewImage"]
            s3.put_object(Bucket=os.environ["COPIES"], Key=f"{note['id']['S']}.txt", Body=note["text"]["S"].encode())
