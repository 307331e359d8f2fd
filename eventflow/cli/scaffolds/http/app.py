"""Notes behind an HTTP API, kept in a table."""

import json

import boto3

from eventflow import App
from triggers import Http

app = App("{{name}}")
app.table("notes", key="id")
notes = boto3.resource("dynamodb").Table("notes")


@app.on(Http("GET /notes/{id}"), timeout=10)
def read_note(event, context):
    found = notes.get_item(Key={"id": event["pathParameters"]["id"]}).get("Item")
    return found or {"statusCode": 404, "body": json.dumps({"message": "There is no such note."})}


@app.on(Http("PUT /notes/{id}"), timeout=10)
def write_note(event, context):
    try:
        text = json.loads(event.get("body") or "")["text"]
    except (ValueError, KeyError, TypeError):
        return {"statusCode": 400, "body": json.dumps({"message": 'Send {"text": "..."}.'})}
    notes.put_item(Item={"id": event["pathParameters"]["id"], "text": str(text)})
    return {"statusCode": 204}
