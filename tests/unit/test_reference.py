from pathlib import Path

import pytest

from eventflow.errors import SettingError
from eventflow.reference import QueueRef, bucket_ref, queue_ref, table_ref

ROOT = Path("/srv/app")


@pytest.mark.parametrize("name", ["abc", "my-bucket", "a.b.c", "1bucket9", "x" * 63])
def test_bucket_names_that_s3_takes(name):
    assert str(bucket_ref(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "ab",
        "x" * 64,
        "Upper",
        "under_score",
        "-start",
        "end-",
        ".start",
        "end.",
        "a..b",
        "192.168.5.4",
        "xn--a",
        "a-s3alias",
        "a--x-s3",
        "a b",
        "é12",
        "abc\n",
        None,
    ],
)
def test_bucket_names_that_s3_refuses(name):
    with pytest.raises(SettingError, match="bucket name"):
        bucket_ref(name)


def test_a_bucket_may_have_a_directory(tmp_path):
    assert bucket_ref("uploads").resource(ROOT).options == {}
    assert bucket_ref("uploads", tmp_path).resource(ROOT).options == {"path": str(tmp_path)}
    assert bucket_ref("uploads", "photos/new").resource(ROOT).options == {"path": "/srv/app/photos/new"}
    with pytest.raises(SettingError, match="path=5"):
        bucket_ref("uploads", 5)


def test_a_table_has_a_key_and_perhaps_a_sort_key():
    resource = table_ref("images", "owner", sort="taken", sort_type="N").resource(ROOT)
    assert (resource.kind, resource.name) == ("table", "images")
    assert resource.options == {"key": "owner", "key_type": "S", "sort": "taken", "sort_type": "N"}
    assert table_ref("images", "owner").resource(ROOT).options["sort"] is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("ab", "key"), "table name"),
        (("images", ""), "key=''"),
        (("images", "é" * 128), "1 to 255 bytes"),
        (("images", "key", "X"), "key_type='X'"),
        (("images", "key", "S", "key"), "must be another attribute"),
        (("images", "key", "S", "sort", "BOOL"), "sort_type='BOOL'"),
        (("images", "key", "S", None, "S", "ALL"), "stream='ALL'"),
    ],
)
def test_tables_that_dynamodb_refuses(arguments, expected):
    with pytest.raises(SettingError, match=expected):
        table_ref(*arguments)


def test_a_queue_has_sqs_attributes():
    queue = queue_ref("orders", visibility_timeout=60, delay_seconds=0)
    assert queue.resource(ROOT).options == {"Attributes": {"VisibilityTimeout": "60", "DelaySeconds": "0"}}
    assert not queue.fifo


def test_a_fifo_queue_is_known_by_its_name():
    queue = queue_ref("orders.fifo", content_based_deduplication=True)
    assert queue.fifo
    assert queue.attributes == {"FifoQueue": "true", "ContentBasedDeduplication": "true"}


def test_a_redrive_policy_names_a_queue_and_a_count():
    dead = queue_ref("dead")
    assert queue_ref("orders", dead_letter_queue=dead, max_receive_count=5).resource(ROOT).options == {
        "dead_letter_queue": "dead",
        "max_receive_count": 5,
    }


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("", {}, "queue name"),
        ("x" * 81, {}, "queue name"),
        ("a.b", {}, "queue name"),
        ("x" * 76 + ".fifo", {}, "queue name"),
        (".fifo", {}, "queue name"),
        ("orders", {"visibility_timeout": 43_201}, "0 to 43200"),
        ("orders", {"visibility_timeout": True}, "whole number"),
        ("orders", {"message_retention_period": 59}, "60 to 1209600"),
        ("orders", {"colour": 1}, "no attribute 'colour'"),
        ("orders", {"content_based_deduplication": True}, "ends in .fifo"),
        ("orders", {"dead_letter_queue": "dead"}, "go together"),
        ("orders", {"max_receive_count": 3}, "go together"),
        ("orders", {"dead_letter_queue": "dead", "max_receive_count": 0}, "1 to 1000"),
        ("orders", {"dead_letter_queue": "orders", "max_receive_count": 3}, "another queue"),
        ("orders", {"dead_letter_queue": QueueRef("dead.fifo"), "max_receive_count": 3}, "FIFO exactly where"),
    ],
)
def test_queues_that_sqs_refuses(name, attributes, expected):
    with pytest.raises(SettingError, match=expected):
        queue_ref(name, **attributes)


def test_references_can_be_compared_and_hashed():
    assert queue_ref("orders", visibility_timeout=5) == queue_ref("orders", visibility_timeout=5)
    assert len({queue_ref("orders"), queue_ref("orders"), bucket_ref("orders"), table_ref("orders", "key")}) == 3
