"""A count of a table's items that follows its stream."""

import boto3

from eventflow import App
from triggers import Stream

app = App("{{name}}")
app.table("items", key="id")
app.table("counts", key="kind")
counts = boto3.resource("dynamodb").Table("counts")
STEPS = {"INSERT": 1, "MODIFY": 0, "REMOVE": -1}


@app.on(Stream("items", batch_size=100, bisect_on_error=True, maximum_retry_attempts=3), timeout=30)
def count(event, context):
    step = sum(STEPS[record["eventName"]] for record in event["Records"])
    counts.update_item(Key={"kind": "items"}, UpdateExpression="ADD amount :step", ExpressionAttributeValues={":step": step})
