"""Tags of queues: given, changed, taken away, and refused."""

from __future__ import annotations

import pytest
from queue_bench import REGION, Bench, run

from eventflow.errors import ServiceError


def test_tags_come_with_a_queue_change_and_go() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.queues.create(REGION, "orders", {}, {"team": "büro", "empty": ""})
        await bench.queues.create(REGION, "orders", {}, {"team": "other"})  # is there already, and stays as it is
        assert await bench.queues.tags(REGION, "orders") == {"team": "büro", "empty": ""}
        await bench.queues.tag(REGION, "orders", {"team": "a b", "stage": "x"})
        await bench.queues.untag(REGION, "orders", ["empty", "never"])
        assert await bench.queues.tags(REGION, "orders") == {"team": "a b", "stage": "x"}
        await bench.queues.untag(REGION, "orders", ["team", "stage"])
        assert await bench.queues.tags(REGION, "orders") == {}

    run(scenario)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({}, "MissingParameter"),
        ({"": "x"}, "InvalidParameterValue"),
        ({"k" * 129: "x"}, "InvalidParameterValue"),
        ({"k": "x" * 257}, "InvalidParameterValue"),
        ({"aws:k": "x"}, "InvalidParameterValue"),
        ({"k<": "x"}, "InvalidParameterValue"),
        ({"k": "x;"}, "InvalidParameterValue"),
        ({str(number): "" for number in range(51)}, "InvalidParameterValue"),
    ],
)
def test_tags_that_are_refused(tags: dict[str, str], code: str) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.queues.tag(REGION, "orders", {"before": "1"})
        with pytest.raises(ServiceError) as refused:
            await bench.queues.tag(REGION, "orders", tags)
        assert refused.value.code == code
        assert await bench.queues.tags(REGION, "orders") == {"before": "1"}

    run(scenario)


def test_a_queue_has_fifty_tags_however_they_came() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.queues.create(REGION, "orders", {}, {str(number): "" for number in range(50)})
        await bench.queues.tag(REGION, "orders", {"0": "changed"})
        with pytest.raises(ServiceError, match="Too many tags added for queue orders"):
            await bench.queues.tag(REGION, "orders", {"51st": ""})
        with pytest.raises(ServiceError, match="Too many tags"):
            await bench.queues.create(REGION, "more", {}, {str(number): "" for number in range(51)})
        assert (await bench.queues.names(REGION))[0] == ["orders"]

    run(scenario)
