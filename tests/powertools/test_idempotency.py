"""Powertools' idempotency on eventflow's DynamoDB: its conditional writes, expirations and races."""

from __future__ import annotations

from types import ModuleType

import boto3
import pytest
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyAlreadyInProgressError, IdempotencyItemAlreadyExistsError
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

from eventflow.testing.harness import Harness


def test_the_second_call_gets_the_first_answer(harness: Harness, application: ModuleType) -> None:
    first = harness.invoke("charge", {"order": "a", "cents": 100})
    second = harness.invoke("charge", {"order": "a", "cents": 100})
    assert first.ok
    assert first.value() == second.value()
    assert application.seen["charged"].count("a") == 1


def test_another_payload_under_the_same_key_is_refused(harness: Harness, application: ModuleType) -> None:
    assert harness.invoke("charge", {"order": "b", "cents": 100}).ok
    refused = harness.invoke("charge", {"order": "b", "cents": 200})
    assert refused.error_type == "IdempotencyValidationError"


def test_what_failed_may_be_tried_again(harness: Harness, application: ModuleType) -> None:
    assert harness.invoke("charge", {"order": "c", "cents": 1, "fail": True}).error_type == "ValueError"
    assert harness.invoke("charge", {"order": "c", "cents": 1}).ok
    assert application.seen["charged"].count("c") == 2


def test_any_function_can_be_idempotent(harness: Harness, application: ModuleType) -> None:
    for _ in range(2):
        assert harness.invoke("write", {"letter": "dear"}).value() == {"letter": "dear"}
    assert application.seen["letters once"].count("dear") == 1


def test_what_is_in_progress_is_refused(harness: Harness, application: ModuleType) -> None:
    """The table has the record of a call that is running: a conditional put is refused, and brings back what is there."""
    layer = application.once
    assert harness.invoke("write", {"letter": "first"}).ok  # which configures it
    record = DataRecord(idempotency_key="x#1", status="INPROGRESS", expiry_timestamp=9_999_999_999, in_progress_expiry_timestamp=9_999_999_999_000)
    layer._put_record(record)
    with pytest.raises(IdempotencyItemAlreadyExistsError) as refused:
        layer._put_record(record)
    assert refused.value.old_data_record is not None
    assert refused.value.old_data_record.status == "INPROGRESS"
    key = {"order": "d", "cents": 5}
    assert harness.invoke("charge", key).ok
    table = boto3.resource("dynamodb").Table("idempotency")
    for item in table.scan()["Items"]:
        table.update_item(
            Key={"id": item["id"]},
            UpdateExpression="SET #s = :p, in_progress_expiration = :later",
            ExpressionAttributeNames={"#s": "status"},
            ExpressionAttributeValues={":p": "INPROGRESS", ":later": 9_999_999_999_000},
        )
    assert harness.invoke("charge", key).error_type == IdempotencyAlreadyInProgressError.__name__
