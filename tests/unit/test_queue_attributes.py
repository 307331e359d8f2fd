"""What a queue can be given: ranges, defaults, refusals, declarations, listing."""

from __future__ import annotations

import json

import pytest
from queue_bench import ACCOUNT, REGION, Bench, run

from eventflow.errors import ServiceError, SettingError


def refusal_of(bench: Bench, code: str) -> pytest.RaisesExc[ServiceError]:
    return pytest.raises(ServiceError, match=f"^{code}: ")


def arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def test_a_new_queue_tells_sqs_s_defaults() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.clock.advance(10)
        await bench.queues.set_attributes(REGION, "orders", {"VisibilityTimeout": "60"})
        created = int(bench.clock.now()) - 10
        assert await bench.queues.attributes(REGION, "orders", ["All"]) == {
            "QueueArn": arn("orders"),
            "ApproximateNumberOfMessages": "0",
            "ApproximateNumberOfMessagesNotVisible": "0",
            "ApproximateNumberOfMessagesDelayed": "0",
            "CreatedTimestamp": str(created),
            "LastModifiedTimestamp": str(created + 10),
            "VisibilityTimeout": "60",
            "MaximumMessageSize": "1048576",
            "MessageRetentionPeriod": "345600",
            "DelaySeconds": "0",
            "ReceiveMessageWaitTimeSeconds": "0",
            "SqsManagedSseEnabled": "false",
        }
        assert await bench.queues.attributes(REGION, "orders", ["DelaySeconds", "RedrivePolicy"]) == {"DelaySeconds": "0"}
        assert await bench.queues.attributes(REGION, "orders", []) == {}

    run(scenario)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("DelaySeconds", 0, 900),
        ("MaximumMessageSize", 1024, 1_048_576),
        ("MessageRetentionPeriod", 60, 1_209_600),
        ("ReceiveMessageWaitTimeSeconds", 0, 20),
        ("VisibilityTimeout", 0, 43_200),
    ],
)
def test_numbers_have_the_ranges_of_sqs(name: str, least: int, most: int) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        for good in (least, most):
            await bench.queues.set_attributes(REGION, "orders", {name: str(good)})
            assert (await bench.queues.attributes(REGION, "orders", [name]))[name] == str(good)
        for bad in (str(least - 1), str(most + 1), "", "ten", "1.5", "٣"):
            with pytest.raises(ServiceError) as refused:
                await bench.queues.set_attributes(REGION, "orders", {name: bad})
            assert (refused.value.code, refused.value.message) == ("InvalidAttributeValue", f"Invalid value for the parameter {name}.")

    run(scenario)


@pytest.mark.parametrize(
    ("attribute", "value", "code", "text"),
    [
        ("KmsMasterKeyId", "alias/aws/sqs", "InvalidAttributeValue", "KmsMasterKeyId"),
        ("KmsDataKeyReusePeriodSeconds", "300", "InvalidAttributeValue", "KmsDataKeyReusePeriodSeconds"),
        ("Policy", "{}", "InvalidAttributeValue", "Policy"),
        ("SqsManagedSseEnabled", "true", "InvalidAttributeValue", "not encrypted"),
        ("FifoQueue", "false", "InvalidAttributeName", "Unknown Attribute FifoQueue."),
        ("ContentBasedDeduplication", "true", "InvalidAttributeName", "Unknown Attribute ContentBasedDeduplication."),
        ("QueueArn", "x", "InvalidAttributeName", "Unknown Attribute QueueArn."),
        ("Colour", "red", "InvalidAttributeName", "Unknown Attribute Colour."),
    ],
)
def test_what_is_not_enforced_or_unknown_is_refused_by_name(attribute: str, value: str, code: str, text: str) -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(ServiceError, match=text) as refused:
            await bench.create("orders", **{attribute: value})
        assert refused.value.code == code

    run(scenario)


def test_an_empty_policy_or_key_asks_for_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create("orders", Policy="", KmsMasterKeyId="", SqsManagedSseEnabled="false")
        assert "Policy" not in await bench.queues.attributes(REGION, "orders", ["All"])

    run(scenario)


@pytest.mark.parametrize("name", ["", "a" * 81, "a.b", "a b", "ü", "orders.fifo", "orders/1"])
def test_names_of_standard_queues(name: str) -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(ServiceError, match=r"Can only include alphanumeric characters, hyphens, or underscores\. 1 to 80 in length"):
            await bench.create(name)

    run(scenario)


@pytest.mark.parametrize("name", ["orders", "a" * 76 + ".fifo", ".fifo", "a.b.fifo"])
def test_names_of_fifo_queues(name: str) -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(ServiceError, match=r"must end with \.fifo suffix"):
            await bench.create(name, FifoQueue="true")

    run(scenario)


def test_creating_again_is_idempotent_for_the_same_attributes_only() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create("orders", DelaySeconds="5")
        await bench.create("orders", DelaySeconds="5")
        await bench.create("orders")
        await bench.create("orders", VisibilityTimeout="30")  # the default that it has
        with pytest.raises(ServiceError) as refused:
            await bench.create("orders", DelaySeconds="6")
        assert refused.value.code == "QueueNameExists"
        assert refused.value.message == "A queue already exists with the same name and a different value for attribute DelaySeconds"

    run(scenario)


def test_the_queue_type_cannot_change() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create("orders")
        await bench.create("orders.fifo", FifoQueue="true")
        with refusal_of(bench, "InvalidAttributeName"):
            await bench.queues.set_attributes(REGION, "orders", {"FifoQueue": "true"})
        with pytest.raises(ServiceError, match="Modifying queue type is not supported"):
            await bench.queues.set_attributes(REGION, "orders.fifo", {"FifoQueue": "false"})
        await bench.queues.set_attributes(REGION, "orders.fifo", {"FifoQueue": "true", "ContentBasedDeduplication": "true"})
        with pytest.raises(ServiceError, match="allowed only when DeduplicationScope is messageGroup"):
            await bench.queues.set_attributes(REGION, "orders.fifo", {"FifoThroughputLimit": "perMessageGroupId"})

    run(scenario)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("not json", "Redrive policy is not a valid JSON map."),
        ("[]", "Redrive policy is not a valid JSON map."),
        ({"maxReceiveCount": 3}, "Redrive policy does not contain mandatory attribute: deadLetterTargetArn."),
        ({"deadLetterTargetArn": "dummy", "maxReceiveCount": 42}, "Invalid value for deadLetterTargetArn."),
        (
            {"deadLetterTargetArn": arn("dead"), "maxReceiveCount": 0},
            "Invalid value for maxReceiveCount: 0, valid values are from 1 to 1000 both inclusive.",
        ),
        (
            {"deadLetterTargetArn": arn("dead"), "maxReceiveCount": True},
            "Invalid value for maxReceiveCount: True, valid values are from 1 to 1000 both inclusive.",
        ),
        ({"deadLetterTargetArn": arn("nowhere"), "maxReceiveCount": 3}, "Dead letter target does not exist."),
        ({"deadLetterTargetArn": arn("dead.fifo"), "maxReceiveCount": 3}, "Dead-letter queue must be same type of queue as the source."),
        ({"deadLetterTargetArn": arn("guarded"), "maxReceiveCount": 3}, "The RedriveAllowPolicy of guarded does not allow this queue."),
    ],
)
def test_redrive_policies_are_checked(policy: str | dict[str, object], reason: str) -> None:
    text = policy if isinstance(policy, str) else json.dumps(policy)

    async def scenario(bench: Bench) -> None:
        await bench.create("dead")
        await bench.create("dead.fifo", FifoQueue="true")
        await bench.create("guarded", RedriveAllowPolicy=json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [arn("other")]}))
        with pytest.raises(ServiceError) as refused:
            await bench.create("orders", RedrivePolicy=text)
        assert refused.value.message.startswith("Value ")
        assert refused.value.message.endswith(f" for parameter RedrivePolicy is invalid. Reason: {reason}")

    run(scenario)


def test_a_redrive_policy_is_told_listed_and_removed() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create("dead", RedriveAllowPolicy=json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [arn("orders")]}))
        await bench.create("orders", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn("dead"), "maxReceiveCount": "5"}))
        told = await bench.queues.attributes(REGION, "orders", ["RedrivePolicy"])
        assert json.loads(told["RedrivePolicy"]) == {"deadLetterTargetArn": arn("dead"), "maxReceiveCount": 5}
        assert await bench.queues.dead_letter_sources(REGION, "dead") == (["orders"], None)
        await bench.queues.set_attributes(REGION, "orders", {"RedrivePolicy": ""})
        assert await bench.queues.attributes(REGION, "orders", ["RedrivePolicy"]) == {}
        assert await bench.queues.dead_letter_sources(REGION, "dead") == ([], None)

    run(scenario)


@pytest.mark.parametrize(
    "policy",
    ["x", {"redrivePermission": "some"}, {"redrivePermission": "byQueue"}, {"redrivePermission": "allowAll", "sourceQueueArns": [arn("a")]}],
)
def test_redrive_allow_policies_are_checked(policy: object) -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(ServiceError, match="RedriveAllowPolicy"):
            await bench.create("orders", RedriveAllowPolicy=policy if isinstance(policy, str) else json.dumps(policy))

    run(scenario)


def test_listing_pages_by_prefix() -> None:
    async def scenario(bench: Bench) -> None:
        for name in ("a_1", "a_2", "a-3", "b", "aa"):
            await bench.create(name)
        assert await bench.queues.names(REGION) == (["a-3", "a_1", "a_2", "aa", "b"], None)
        assert await bench.queues.names(REGION, "a_") == (["a_1", "a_2"], None)
        page, token = await bench.queues.names(REGION, "a", 2)
        assert page == ["a-3", "a_1"]
        assert await bench.queues.names(REGION, "a", 2, token) == (["a_2", "aa"], None)
        for bad in ("x", "MQ=="):
            with refusal_of(bench, "InvalidParameterValue"):
                await bench.queues.names(REGION, token=bad)
        with refusal_of(bench, "InvalidParameterValue"):
            await bench.queues.names(REGION, limit=0)

    run(scenario)


def test_a_declaration_makes_changes_and_can_be_repeated() -> None:
    async def scenario(bench: Bench) -> None:
        queues = bench.queues
        for _start in range(2):
            await queues.ensure(REGION, "orders", Attributes={"VisibilityTimeout": "60"}, dead_letter_queue="dead", max_receive_count=3)
            await queues.ensure(REGION, "dead", MessageRetentionPeriod=1_209_600)
            await queues.ensure(REGION, "steps.fifo", ContentBasedDeduplication=True)
            await queues.ensure(REGION, "orders")
        told = await queues.attributes(REGION, "orders", ["All"])
        assert (told["VisibilityTimeout"], json.loads(told["RedrivePolicy"])["maxReceiveCount"]) == ("60", 3)
        assert (await queues.attributes(REGION, "dead", ["All"]))["MessageRetentionPeriod"] == "1209600"
        assert (await queues.attributes(REGION, "steps.fifo", ["All"]))["ContentBasedDeduplication"] == "true"

    run(scenario)


@pytest.mark.parametrize(
    "options", [{"Colour": "red"}, {"VisibilityTimeout": -1}, {"KmsMasterKeyId": "k"}, {"dead_letter_queue": "dead"}, {"Attributes": {"x": "y"}}]
)
def test_a_declaration_refuses_what_it_cannot_keep(options: dict[str, object]) -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(SettingError, match="'orders'"):
            await bench.queues.ensure(REGION, "orders", **options)

    run(scenario)


def test_everything_names_a_queue_that_is_not_there() -> None:
    async def scenario(bench: Bench) -> None:
        queues = bench.queues
        for step in (
            queues.find(REGION, "x"),
            queues.attributes(REGION, "x", ["All"]),
            queues.set_attributes(REGION, "x", {}),
            queues.purge(REGION, "x"),
            queues.delete(REGION, "x"),
            queues.send(REGION, "x", []),
            queues.receive(REGION, "x"),
            queues.delete_messages(REGION, "x", []),
            queues.change_visibility(REGION, "x", []),
            queues.dead_letter_sources(REGION, "x"),
            queues.source(REGION, "x"),
        ):
            with pytest.raises(ServiceError) as refused:
                await step
            assert (refused.value.code, refused.value.message) == ("QueueDoesNotExist", "The specified queue does not exist.")

    run(scenario)
