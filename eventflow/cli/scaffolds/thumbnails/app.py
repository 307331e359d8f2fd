"""Thumbnails of the pictures that come into a bucket."""

import io
from urllib.parse import unquote_plus

import boto3
from PIL import Image

from eventflow import App
from triggers import Bucket

EDGE = 320

app = App("{{name}}")
app.bucket("thumbnails")
failures = app.queue("failures")
s3 = boto3.client("s3")


@app.on(Bucket("uploads", suffix=(".jpg", ".png")), memory=512, timeout=30, on_failure=failures)
def thumbnail(event, context):
    for record in event["Records"]:
        key = unquote_plus(record["s3"]["object"]["key"])
        body = s3.get_object(Bucket=record["s3"]["bucket"]["name"], Key=key)["Body"].read()
        picture = Image.open(io.BytesIO(body)).convert("RGB")
        picture.thumbnail((EDGE, EDGE))
        drawn = io.BytesIO()
        picture.save(drawn, "JPEG")
        s3.put_object(Bucket="thumbnails", Key=f"{key}.jpg", Body=drawn.getvalue(), ContentType="image/jpeg")
