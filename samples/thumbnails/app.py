"""A photo service: what is dropped into ``uploads`` gets a thumbnail and a row in a table. The handlers run unchanged on AWS Lambda."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import unquote_plus

import boto3
from botocore.exceptions import ClientError
from picture import Drawing, PictureError, draw

from eventflow import App, Context, S3Event, ScheduledEvent, SQSBatchResponse, SQSEvent
from triggers import Bucket, Queue, Schedule

# On AWS the names of buckets are the whole world's, so there they come from the function's environment.
UPLOADS = os.environ.get("UPLOADS_BUCKET", "uploads")
THUMBNAILS = os.environ.get("THUMBNAILS_BUCKET", "thumbnails")
IMAGES = os.environ.get("IMAGES_TABLE", "images")

#: The longer side of a thumbnail.
EDGE = 320
#: What a message to ``resize-requests`` may ask for.
WIDTHS = range(16, 4097)
LARGEST_FILE = 256 * 1024 * 1024
#: A thumbnail that no row of the table names may belong to a handler that is about to write that row; after this time it does not.
LONGEST_UNNAMED = timedelta(minutes=5)
#: S3 tells capitals from small letters, and cameras write capitals.
SUFFIXES = (".jpg", ".JPG", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff")

app = App("photos")
app.bucket(THUMBNAILS)
app.table(IMAGES, key="key")
failures = app.queue("failures")
app.queue("resize-requests", visibility_timeout=180, dead_letter_queue="failures", max_receive_count=5)

s3 = boto3.client("s3")
images = boto3.resource("dynamodb").Table(IMAGES)


# One more try after a minute covers a hiccup; a broken photograph stays broken, and goes to ``failures`` with the reason.
@app.on(Bucket(UPLOADS, suffix=SUFFIXES), memory=1024, timeout=30, retries=1, on_failure=failures)
def thumbnail(event: S3Event, context: Context) -> dict[str, Any]:
    """Draw the thumbnail of each uploaded photograph and note what is known of it."""
    made = []
    for record in event["Records"]:
        bucket, entry = record["s3"]["bucket"]["name"], record["s3"]["object"]
        made.append(make_thumbnail(bucket, unquote_plus(entry["key"]), entry["sequencer"], context.aws_request_id))
    return {"thumbnails": [key for key in made if key is not None]}


def make_thumbnail(bucket: str, key: str, sequencer: str, request_id: str) -> str | None:
    """The key of the thumbnail, or None where the photograph is gone already."""
    started = time.perf_counter()
    original = read(bucket, key)
    if original is None:
        print(f"{key} was removed from {bucket} before it could be drawn; nothing to do.")
        return None
    drawing = drawn(key, original, EDGE, EDGE)
    digest = hashlib.sha256(original).hexdigest()
    target = put_thumbnail(key, digest, EDGE, drawing)
    row = {
        "key": key,
        "sequencer": padded(sequencer),
        "sha256": digest,
        "size_in": len(original),
        "size_out": len(drawing.content),
        "width": drawing.width,
        "height": drawing.height,
        "thumb_width": drawing.thumb_width,
        "thumb_height": drawing.thumb_height,
        "format": drawing.format,
        "orientation": drawing.orientation,
        "captured_at": drawing.captured_at,
        "dominant_colour": drawing.dominant_colour,
        "thumbnail": target,
        "request_id": request_id,
        "milliseconds": round((time.perf_counter() - started) * 1000),
    }
    note(row)
    return target


def read(bucket: str, key: str) -> bytes | None:
    """The object, or None if there is none."""
    try:
        found = s3.get_object(Bucket=bucket, Key=key)
    except s3.exceptions.NoSuchKey:
        return None
    with found["Body"] as body:
        if found["ContentLength"] > LARGEST_FILE:
            raise PictureError(f"{bucket}/{key} cannot be drawn: it has {found['ContentLength']} bytes, and the limit is {LARGEST_FILE}.")
        return body.read()


def drawn(key: str, original: bytes, width: int, height: int | None = None) -> Drawing:
    try:
        return draw(original, width, height)
    except PictureError as error:
        raise PictureError(f"{key} cannot be drawn: {error}.") from error


def put_thumbnail(key: str, digest: str, width: int, drawing: Drawing) -> str:
    """Store a thumbnail under a name that only this content has: whichever of two versions is drawn last, it never replaces the other."""
    target = f"{key}/{width}-{digest[:12]}.webp"
    s3.put_object(Bucket=THUMBNAILS, Key=target, Body=drawing.content, ContentType="image/webp")
    return target


def note(row: dict[str, Any]) -> None:
    """Write the row unless a later upload of the same key has written its own. Events come at least once, and in any order."""
    try:
        images.put_item(
            Item=row,
            ConditionExpression="attribute_not_exists(#key) OR sequencer <= :sequencer",
            ExpressionAttributeNames={"#key": "key"},
            ExpressionAttributeValues={":sequencer": row["sequencer"]},
        )
    except images.meta.client.exceptions.ConditionalCheckFailedException:
        print(f"A later upload of {row['key']} is in the table already; this one is left out.")
        return
    print(f"{row['key']}: {row['width']} x {row['height']} {row['format']}, {row['size_in']} bytes became {row['size_out']}.")


def padded(sequencer: str) -> str:
    """Sequencers compare as text once the shorter one has zeros on its right."""
    return sequencer.ljust(32, "0")


@app.on(Queue("resize-requests", batch_size=5, partial_failures=True), memory=1024, timeout=30)
def resize(event: SQSEvent, context: Context) -> SQSBatchResponse:
    """Draw photographs in other widths: messages are ``{"key": ..., "width": ...}``. Only what failed comes back."""
    response: SQSBatchResponse = {"batchItemFailures": []}
    for record in event["Records"]:
        try:
            answer(record["body"])
        except (ValueError, ClientError) as error:
            print(f"Message {record['messageId']}: {error}")
            response["batchItemFailures"].append({"itemIdentifier": record["messageId"]})
    return response


def answer(body: str) -> None:
    key, width = request_in(body)
    original = read(UPLOADS, key)
    if original is None:
        print(f"{key} is not in {UPLOADS}; the request for a width of {width} is dropped.")
        return
    target = put_thumbnail(key, hashlib.sha256(original).hexdigest(), width, drawn(key, original, width))
    print(f"{key} is now {width} pixels wide in {target}.")


def request_in(body: str) -> tuple[str, int]:
    """The key and the width that a message asks for."""
    request = json.loads(body)
    match request:
        case {"key": str(key), "width": int(width)} if width in WIDTHS:
            return key, width
    raise ValueError(f'{body[:200]!r} is no request: it takes {{"key": text, "width": {WIDTHS.start} to {WIDTHS.stop - 1}}}.')


@app.on(Schedule("rate(1 minute)"), memory=256, timeout=60)
def tidy(event: ScheduledEvent, context: Context) -> dict[str, int]:
    """Remove thumbnails whose photograph is gone, and those of earlier versions of a photograph."""
    now = datetime.fromisoformat(event["time"])
    kept = removed = 0
    for photograph, listed in groupby(thumbnails(), key=lambda found: photograph_of(found["Key"])):
        # Read before the bucket is looked at: if the photograph comes back in between, its row is another one by the time it is deleted.
        row = row_of(photograph)
        gone = not exists(photograph) and (row is None or forget(row))
        for found in listed:
            if gone or outdated(found, row, now):
                s3.delete_object(Bucket=THUMBNAILS, Key=found["Key"])
                print(f"Removed {found['Key']}: {'its photograph is gone' if gone else 'its photograph has been replaced'}.")
                removed += 1
            else:
                kept += 1
    print(f"{kept} thumbnails kept, {removed} removed.")
    return {"kept": kept, "removed": removed}


def thumbnails() -> Iterator[Any]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=THUMBNAILS):
        yield from page.get("Contents", [])


def photograph_of(thumbnail_key: str) -> str:
    return thumbnail_key.rpartition("/")[0]


def row_of(key: str) -> Any:
    return images.get_item(Key={"key": key}, ConsistentRead=True).get("Item")


def exists(key: str) -> bool:
    try:
        s3.head_object(Bucket=UPLOADS, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return False
        raise
    return True


def outdated(found: Any, row: Any, now: datetime) -> bool:
    """Whether a thumbnail is of another version of its photograph than the table knows, and too old for its own row to be still on its way."""
    current = row is not None and found["Key"].endswith(f"-{row['sha256'][:12]}.webp")
    return not current and now - found["LastModified"] > LONGEST_UNNAMED


def forget(row: Any) -> bool:
    """Take a row out of the table; False if the photograph has come back since the row was read."""
    try:
        images.delete_item(Key={"key": row["key"]}, ConditionExpression="sequencer = :seen", ExpressionAttributeValues={":seen": row["sequencer"]})
    except images.meta.client.exceptions.ConditionalCheckFailedException:
        return False
    return True
