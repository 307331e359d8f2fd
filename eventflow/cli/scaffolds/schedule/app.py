"""A report every morning, which is tried again when it fails."""

import boto3

from eventflow import App
from triggers import Schedule

app = App("{{name}}")
app.bucket("reports")
failures = app.queue("failures")
s3 = boto3.client("s3")


@app.on(Schedule("cron(0 6 * * ? *)"), timeout=60, retries=2, on_failure=failures)
def report(event, context):
    day = event["time"][:10]
    s3.put_object(Bucket="reports", Key=f"{day}.txt", Body=f"Report of {day}\n".encode())
