"""The thumbnail sample's handlers, called as plain functions against moto: what lands in the bucket and in the table."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws
from PIL import Image

from eventflow import s3_event, scheduled_event, sqs_event

REGION, ACCOUNT = "us-east-1", "000000000000"


class Context:
    aws_request_id = "0190aaaa-0000-7000-8000-000000000001"


@pytest.fixture(scope="module")
def app(load: Callable[[str], ModuleType]) -> Iterator[ModuleType]:
    """The sample, imported with an account to talk to."""
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "UPLOADS_BUCKET", "THUMBNAILS_BUCKET", "IMAGES_TABLE"):
            environment.delenv(name, raising=False)
        for name, value in {"AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
            environment.setenv(name, value)
        sys.modules.pop("app", None)
        module = importlib.import_module("app")
        for bucket in ("uploads", "thumbnails"):
            module.s3.create_bucket(Bucket=bucket)
        boto3.client("dynamodb").create_table(
            TableName="images",
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield module
        del sys.modules["app"]


def jpeg(colour: str = "teal", size: tuple[int, int] = (640, 480)) -> bytes:
    content = BytesIO()
    Image.new("RGB", size, colour).save(content, "JPEG")
    return content.getvalue()


def uploaded(key: str, sequencer: str = "0055AED6DCD90281E5") -> Any:
    return s3_event(
        bucket="uploads",
        key=key,
        name="ObjectCreated:Put",
        sequencer=sequencer,
        region=REGION,
        account=ACCOUNT,
        time=1_700_000_000.0,
        request_id="request",
        configuration="thumbnail",
    )


def put(app: ModuleType, key: str, content: bytes, sequencer: str = "0055AED6DCD90281E5") -> Any:
    app.s3.put_object(Bucket="uploads", Key=key, Body=content)
    return uploaded(key, sequencer)


def row_of(app: ModuleType, key: str) -> dict[str, Any] | None:
    row: dict[str, Any] | None = app.images.get_item(Key={"key": key}).get("Item")
    return row


def thumbnails_of(app: ModuleType, key: str) -> list[str]:
    return [found["Key"] for found in app.s3.list_objects_v2(Bucket="thumbnails", Prefix=f"{key}/").get("Contents", [])]


def test_what_the_app_declares(app: ModuleType) -> None:
    manifest = app.app.manifest()
    assert {function.name for function in manifest.functions} == {"thumbnail", "resize", "tidy"}
    assert {(resource.kind, resource.name) for resource in manifest.resources} == {
        ("bucket", "thumbnails"),
        ("table", "images"),
        ("queue", "failures"),
        ("queue", "resize-requests"),
    }
    drawing = app.app.functions["thumbnail"]
    assert (drawing.memory, drawing.timeout, drawing.retries, str(drawing.on_failure)) == (1024, 30, 1, "queue failures")


def test_a_photograph_gets_a_thumbnail_and_a_row(app: ModuleType) -> None:
    key, content = "holiday/été à la mer+1.jpg", jpeg()
    answer = app.thumbnail(put(app, key, content), Context())
    digest = hashlib.sha256(content).hexdigest()
    target = f"{key}/320-{digest[:12]}.webp"
    assert answer == {"thumbnails": [target]}
    stored = app.s3.get_object(Bucket="thumbnails", Key=target)
    assert stored["ContentType"] == "image/webp"
    body = stored["Body"].read()
    assert Image.open(BytesIO(body)).size == (320, 240)
    row = row_of(app, key)
    assert row is not None
    milliseconds = row.pop("milliseconds")
    assert 0 <= milliseconds < 60_000
    assert row.pop("dominant_colour").startswith("#008")  # teal, as far as JPEG decoders agree
    assert row == {
        "key": key,
        "sequencer": "0055AED6DCD90281E5".ljust(32, "0"),
        "sha256": digest,
        "size_in": len(content),
        "size_out": len(body),
        "width": 640,
        "height": 480,
        "thumb_width": 320,
        "thumb_height": 240,
        "format": "JPEG",
        "orientation": 1,
        "captured_at": None,
        "thumbnail": target,
        "request_id": Context.aws_request_id,
    }


def test_every_photograph_of_the_demo_can_be_drawn(app: ModuleType, photos: ModuleType, tmp_path: Any) -> None:
    for photo in photos.PHOTOS:
        path = photos.write(photo, tmp_path, 0.08)
        app.thumbnail(put(app, photo.name, path.read_bytes()), Context())
        row = row_of(app, photo.name)
        assert row is not None
        assert row["format"] == photo.format
        assert row["orientation"] == photo.orientation
        assert row["captured_at"] == (photo.taken.isoformat() if photo.taken else None)
        if photo.format != "GIF":
            assert (row["width"], row["height"]) == (round(photo.width * 0.08), round(photo.height * 0.08))


def test_the_same_event_twice_leaves_one_thumbnail_and_one_row(app: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    event = put(app, "twice.jpg", jpeg())
    assert app.thumbnail(event, Context()) == app.thumbnail(event, Context())
    assert len(thumbnails_of(app, "twice.jpg")) == 1
    assert row_of(app, "twice.jpg") is not None
    assert "later upload" not in capsys.readouterr().out


@pytest.mark.parametrize(("older", "newer"), [("00A1", "00A2"), ("00A1", "00A10001"), ("00A0FFFF", "00A1")])
def test_an_older_event_never_overwrites_a_newer_one(app: ModuleType, capsys: pytest.CaptureFixture[str], older: str, newer: str) -> None:
    key = f"race-{older}-{newer}.jpg"
    late = put(app, key, jpeg("red"), older)
    app.thumbnail(put(app, key, jpeg("blue"), newer), Context())
    app.s3.put_object(Bucket="uploads", Key=key, Body=jpeg("red"))
    app.thumbnail(late, Context())
    row = row_of(app, key)
    assert row is not None
    assert row["sha256"] == hashlib.sha256(jpeg("blue")).hexdigest()
    assert "later upload" in capsys.readouterr().out
    shown = Image.open(BytesIO(app.s3.get_object(Bucket="thumbnails", Key=row["thumbnail"])["Body"].read())).convert("RGB")
    assert shown.getpixel((100, 100))[2] > 200  # type: ignore[index]


def test_a_newer_event_replaces_the_row(app: ModuleType) -> None:
    app.thumbnail(put(app, "newer.jpg", jpeg("red"), "0A"), Context())
    app.thumbnail(put(app, "newer.jpg", jpeg("blue", (900, 300)), "0B"), Context())
    row = row_of(app, "newer.jpg")
    assert row is not None
    assert (row["width"], row["thumb_height"]) == (900, 107)


def test_an_object_that_is_gone_is_let_go(app: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.thumbnail(uploaded("gone.jpg"), Context()) == {"thumbnails": []}
    assert "gone.jpg was removed" in capsys.readouterr().out
    assert row_of(app, "gone.jpg") is None


@pytest.mark.parametrize(
    ("key", "content", "reason"),
    [
        ("empty.jpg", b"", "0 bytes"),
        ("text.jpg", b"I am a letter, not a picture.", "none of JPEG"),
        ("half.jpg", jpeg()[:2000], "cannot be decoded"),
    ],
)
def test_bad_files_fail_with_their_name_and_the_reason(app: ModuleType, key: str, content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"{key} cannot be drawn: .*{reason}"):
        app.thumbnail(put(app, key, content), Context())
    assert row_of(app, key) is None
    assert thumbnails_of(app, key) == []


def test_a_file_that_is_too_large_is_refused_before_it_is_read(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "LARGEST_FILE", 1000)
    with pytest.raises(ValueError, match=r"large.jpg cannot be drawn: .* the limit is 1000"):
        app.thumbnail(put(app, "large.jpg", jpeg(size=(2000, 2000))), Context())


def messages(*bodies: str) -> Any:
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:resize-requests"
    received = [
        {"MessageId": f"message-{at}", "ReceiptHandle": "handle", "Body": body, "MD5OfBody": "", "Attributes": {}} for at, body in enumerate(bodies)
    ]
    return sqs_event(received, arn=arn, region=REGION)


def test_a_message_makes_another_size(app: ModuleType) -> None:
    put(app, "wide.jpg", jpeg(size=(1000, 500)))
    assert app.resize(messages(json.dumps({"key": "wide.jpg", "width": 500})), Context()) == {"batchItemFailures": []}
    (made,) = thumbnails_of(app, "wide.jpg")
    assert Image.open(BytesIO(app.s3.get_object(Bucket="thumbnails", Key=made)["Body"].read())).size == (500, 250)


def test_only_the_messages_that_failed_come_back(app: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    put(app, "good.jpg", jpeg())
    put(app, "bad.jpg", b"no picture")
    good = json.dumps({"key": "good.jpg", "width": 100})
    bodies = [
        good,
        "no json",
        json.dumps({"key": "good.jpg"}),
        json.dumps({"key": "good.jpg", "width": 99_999}),
        json.dumps({"key": "bad.jpg", "width": 100}),
    ]
    answer = app.resize(messages(*bodies, json.dumps({"key": "nowhere.jpg", "width": 100})), Context())
    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == ["message-1", "message-2", "message-3", "message-4"]
    assert len(thumbnails_of(app, "good.jpg")) == 1
    said = capsys.readouterr().out
    assert "16 to 4096" in said
    assert "nowhere.jpg is not in uploads" in said


def tick(app: ModuleType, later: timedelta = timedelta()) -> dict[str, int]:
    time = (datetime.now(UTC) + later).timestamp()
    answer: dict[str, int] = app.tidy(scheduled_event(rule="tidy", time=time, id="id", region=REGION, account=ACCOUNT), Context())
    return answer


def test_tidy_removes_what_belongs_to_photographs_that_are_gone(app: ModuleType) -> None:
    app.thumbnail(put(app, "stays.jpg", jpeg()), Context())
    app.thumbnail(put(app, "leaves.jpg", jpeg()), Context())
    app.s3.delete_object(Bucket="uploads", Key="leaves.jpg")
    assert tick(app)["removed"] == 1
    assert thumbnails_of(app, "leaves.jpg") == []
    assert row_of(app, "leaves.jpg") is None
    assert len(thumbnails_of(app, "stays.jpg")) == 1
    assert row_of(app, "stays.jpg") is not None


def test_tidy_removes_thumbnails_of_earlier_versions_when_no_row_can_still_be_on_its_way(app: ModuleType) -> None:
    app.thumbnail(put(app, "version.jpg", jpeg("red"), "01"), Context())
    app.thumbnail(put(app, "version.jpg", jpeg("blue"), "02"), Context())
    tick(app)
    assert len(thumbnails_of(app, "version.jpg")) == 2
    tick(app, timedelta(minutes=6))
    row = row_of(app, "version.jpg")
    assert row is not None
    assert thumbnails_of(app, "version.jpg") == [row["thumbnail"]]


def test_tidy_leaves_the_row_of_a_photograph_that_comes_back(app: ModuleType) -> None:
    app.thumbnail(put(app, "back.jpg", jpeg(), "01"), Context())
    stale = row_of(app, "back.jpg")
    app.thumbnail(put(app, "back.jpg", jpeg("red"), "02"), Context())
    assert app.forget(stale) is False
    assert row_of(app, "back.jpg") is not None
