import json
from pathlib import Path

import boto3
import pytest
from PIL import Image

APP = str(Path(__file__).with_name("app.py"))


@pytest.fixture
def app(eventflow_harness):
    return eventflow_harness(APP)


def test_a_picture_gets_a_thumbnail(app):
    Image.new("RGB", (1000, 500), "teal").save(app.bucket_path("uploads") / "sea.png")
    app.drain()
    with Image.open(app.bucket_path("thumbnails") / "sea.png.jpg") as drawn:
        assert drawn.size == (320, 160)


def test_what_is_no_picture_is_reported(app):
    (app.bucket_path("uploads") / "broken.jpg").write_text("not much of a picture")
    app.drain()
    app.advance("10m")
    sqs = boto3.client("sqs")
    [message] = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="failures")["QueueUrl"])["Messages"]
    assert json.loads(message["Body"])["requestContext"]["condition"] == "RetriesExhausted"
