"""A pytest plugin that writes down which operations are exercised: called through boto3, and answered, in a test that passed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

RECORD = Path(__file__).with_name("exercised.json")
SERVICES = ("s3", "dynamodb", "dynamodbstreams", "sqs", "events", "scheduler", "lambda")

answered: set[tuple[str, str]] = set()
counts: dict[str, Counter[str]] = {service: Counter() for service in SERVICES}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test that fails or is skipped raises out of the yield, and counts for nothing."""
    answered.clear()
    yield
    for service, operation in answered:
        if service in counts:
            counts[service][operation] += 1


def pytest_sessionstart() -> None:
    call = BaseClient._make_api_call

    def watched(client: BaseClient, operation: str, params: Any) -> Any:
        answer = call(client, operation, params)
        answered.add((client.meta.service_model.service_name, operation))
        return answer

    BaseClient._make_api_call = watched


def pytest_sessionfinish(exitstatus: int) -> None:
    RECORD.write_text(json.dumps({service: dict(sorted(found.items())) for service, found in counts.items()}, indent=1) + "\n")
