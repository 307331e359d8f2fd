"""Standard queues: sending, receiving, visibility, delay, retention, redrive and long polling, under a virtual clock."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from queue_bench import ACCOUNT, REGION, Bench, run

from eventflow.errors import ServiceError
from eventflow.services.queues import messages, receives
from eventflow.services.queues.sends import Outgoing
from tests.patience import PATIENCE


def redrive_to(name: str, receives: int) -> str:
    return json.dumps({"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", "maxReceiveCount": receives})


def test_messages_come_in_order_once_and_are_gone_when_deleted() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.send("one", "two", "three")
        first = await bench.receive(2)
        assert [message.body for message in first] == ["one", "two"]
        assert await bench.bodies() == ["three"]
        assert await bench.counts() == (0, 3, 0)
        await bench.delete(*first)
        assert await bench.counts() == (0, 1, 0)
        await bench.clock.advance(30)
        assert await bench.bodies() == ["three"]

    run(scenario)


def test_a_message_comes_back_exactly_when_its_visibility_ends() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create(VisibilityTimeout="45")
        await bench.send("one")
        assert await bench.bodies() == ["one"]
        await bench.clock.advance(44.999)
        assert await bench.bodies() == []
        await bench.clock.advance(0.001)
        (again,) = await bench.receive(visibility=5)
        assert again.system["ApproximateReceiveCount"] == "2"
        await bench.clock.advance(5)
        assert await bench.bodies() == ["one"]

    run(scenario)


def test_an_old_handle_deletes_nothing_once_the_message_was_received_again() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.send("one")
        (old,) = await bench.receive()
        await bench.clock.advance(30)
        (new,) = await bench.receive()
        assert new.receipt.handle() != old.receipt.handle()
        await bench.delete(old)
        assert await bench.counts() == (0, 1, 0)
        await bench.delete(new)
        await bench.delete(new)
        assert await bench.counts() == (0, 0, 0)

    run(scenario)


def test_a_handle_still_deletes_after_its_visibility_ended() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.send("one")
        (message,) = await bench.receive()
        await bench.clock.advance(31)
        await bench.delete(message)
        assert await bench.counts() == (0, 0, 0)

    run(scenario)


@pytest.mark.parametrize("handle", ["", "nonsense", "MTIzOjE6MQ==", "é", "MTox"])
def test_a_handle_of_something_else_is_refused(handle: str) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        (outcome,) = await bench.queues.delete_messages(REGION, "orders", [handle])
        assert isinstance(outcome, ServiceError)
        assert outcome.code == "ReceiptHandleIsInvalid"

    run(scenario)


def test_visibility_can_be_prolonged_ended_and_not_beyond_twelve_hours() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.send("one")
        (message,) = await bench.receive()
        await bench.clock.advance(20)
        await bench.hide(message, 100)
        await bench.clock.advance(99)
        assert await bench.bodies() == []
        with pytest.raises(ServiceError, match=r"Total VisibilityTimeout for the message is beyond the limit \[43200 seconds\]"):
            await bench.hide(message, 43_200)
        await bench.hide(message, 0)
        (again,) = await bench.receive()
        with pytest.raises(ServiceError, match="Message does not exist or is not available for visibility timeout change"):
            await bench.hide(message, 10)
        await bench.clock.advance(30)
        with pytest.raises(ServiceError) as refused:
            await bench.hide(again, 10)
        assert refused.value.code == "MessageNotInflight"
        assert await bench.bodies() == ["one"]

    run(scenario)


def test_a_delayed_message_is_counted_apart_and_comes_in_time() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create(DelaySeconds="10")
        await bench.send("queue's delay")
        await bench.send("own delay", delay=3)
        await bench.send("none", delay=0)
        assert await bench.counts() == (1, 0, 2)
        assert await bench.bodies() == ["none"]
        await bench.clock.advance(3)
        assert await bench.bodies() == ["own delay"]
        await bench.clock.advance(7)
        assert await bench.bodies() == ["queue's delay"]

    run(scenario)


def test_messages_expire_by_the_retention_period_of_the_moment() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create(MessageRetentionPeriod="120")
        await bench.send("old")
        await bench.clock.advance(60)
        await bench.send("young")
        await bench.clock.advance(60)
        assert await bench.counts() == (1, 0, 0)
        assert await bench.bodies() == ["young"]
        await bench.queues.set_attributes(REGION, "orders", {"MessageRetentionPeriod": "60"})
        assert await bench.counts() == (0, 0, 0)
        await bench.send("clears the way")
        rows = await bench.database.read(lambda connection: connection.execute("SELECT COUNT(*) FROM queue_bodies").fetchone()[0])
        assert rows == 1

    run(scenario)


def test_a_receive_gets_past_any_number_of_expired_messages() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create(MessageRetentionPeriod="60")
        for _batch in range(25):
            await bench.send(*["old"] * 100)
        await bench.clock.advance(60)
        await bench.send("young")
        assert await bench.bodies() == ["young"]

    run(scenario)


def test_too_many_receives_lead_to_the_dead_letter_queue() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create("dead")
        await bench.create(RedrivePolicy=redrive_to("dead", 2), VisibilityTimeout="10")
        (sent,) = await bench.send("poison", attributes={"kind": {"DataType": "String", "StringValue": "bad"}})
        for count in ("1", "2"):
            (message,) = await bench.receive()
            assert message.system["ApproximateReceiveCount"] == count
            await bench.clock.advance(10)
        await bench.send("sound")
        assert await bench.bodies() == ["sound"]
        (dead,) = await bench.receive(name="dead")
        assert (dead.message_id, dead.body, dict(dead.attributes)) == (
            sent.message_id,
            "poison",
            {"kind": {"DataType": "String", "StringValue": "bad"}},
        )
        assert dead.system["DeadLetterQueueSourceArn"] == f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders"
        assert dead.system["SentTimestamp"] == message.system["SentTimestamp"]
        assert dead.system["ApproximateReceiveCount"] == "3"
        await bench.delete(message)  # a handle of the queue it left
        assert await bench.counts("dead") == (0, 1, 0)

    run(scenario)


@pytest.mark.parametrize("kind", ["", ".fifo"])
def test_a_receive_moves_many_to_the_dead_letter_queue_in_several_transactions(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receives, "MOST_BURIED", 4)
    source, dead = f"orders{kind}", f"dead{kind}"
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if kind else {}
    options = {"group": "one"} if kind else {}

    async def scenario(bench: Bench) -> None:
        await bench.create(dead, **fifo)
        await bench.create(source, RedrivePolicy=redrive_to(dead, 1), VisibilityTimeout="10", **fifo)
        poison = [f"poison {number}" for number in range(10)]
        await bench.send(*poison, name=source, **options)
        assert await bench.bodies(name=source) == poison
        await bench.clock.advance(11)
        await bench.send("sound", name=source, **options)
        moved = []

        def note(taker: receives.Taker, limit: int) -> Any:
            found = take(taker, limit)
            moved.append(taker.moved)
            return found

        take = receives.Taker.take
        monkeypatch.setattr(receives.Taker, "take", note)
        assert await bench.bodies(1, name=source) == ["sound"]
        assert moved == [4, 4, 2]
        assert await bench.bodies(name=dead) == poison

    run(scenario)


def test_a_message_whose_dead_letter_queue_is_gone_stays() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create("dead")
        await bench.create(RedrivePolicy=redrive_to("dead", 1), VisibilityTimeout="10")
        await bench.queues.delete(REGION, "dead")
        await bench.send("poison")
        for _attempt in range(3):
            assert await bench.bodies() == ["poison"]
            await bench.clock.advance(10)

    run(scenario)


def test_a_long_poll_is_woken_by_a_send() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        polling = asyncio.ensure_future(bench.bodies(wait=20))
        await bench.clock.advance(7)
        assert not polling.done()
        await bench.send("one")
        await bench.clock.settle()
        assert await asyncio.wait_for(polling, PATIENCE) == ["one"]

    run(scenario)


def test_a_long_poll_notices_visibility_and_delay_running_out_and_gives_up_in_time() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.send("hidden")
        await bench.receive(visibility=4)
        await bench.send("delayed", delay=6)
        began = bench.clock.monotonic()
        for expected, at in ((["hidden"], 4), (["delayed"], 6), ([], 6 + 20)):
            polling = asyncio.ensure_future(bench.bodies(wait=20))
            await bench.clock.advance(at - (bench.clock.monotonic() - began))
            assert polling.done()
            assert polling.result() == expected

    run(scenario)


def test_an_idle_long_poll_does_not_keep_looking() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        looks = 0
        take = bench.queues._take

        def counting(*arguments: object) -> object:
            nonlocal looks
            looks += 1
            return take(*arguments)  # type: ignore[arg-type]

        bench.queues._take = counting  # type: ignore[method-assign, assignment]
        polling = asyncio.ensure_future(bench.bodies(wait=20))
        await bench.clock.advance(20)
        assert await polling == []
        assert looks == 2

    run(scenario)


def test_the_queue_s_own_wait_time_holds_where_none_is_asked_for() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create(ReceiveMessageWaitTimeSeconds="5")
        polling = asyncio.ensure_future(bench.bodies(wait=None))
        await bench.clock.advance(4)
        assert not polling.done()
        await bench.clock.advance(1)
        assert polling.done()

    run(scenario)


def test_a_cancelled_receive_gives_its_messages_back_uncharged() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.send("one")
        polling = asyncio.ensure_future(bench.bodies(wait=20))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        polling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await polling
        (message,) = await bench.receive()
        assert message.system["ApproximateReceiveCount"] == "1"

    run(scenario)


def test_a_long_poll_on_a_queue_that_is_deleted_says_so() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        polling = asyncio.ensure_future(bench.bodies(wait=20))
        await bench.clock.advance(1)
        await bench.queues.delete(REGION, "orders")
        with pytest.raises(ServiceError) as refused:
            await asyncio.wait_for(polling, PATIENCE)
        assert refused.value.code == "QueueDoesNotExist"

    run(scenario)


def test_a_long_poll_of_a_queue_at_its_limit_waits_for_room() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create(VisibilityTimeout="1000")
        await bench.send(*"abcdef")
        held = await bench.receive()
        waiting = asyncio.create_task(bench.receive(wait=20))
        await bench.clock.advance(3)
        assert not waiting.done()
        await bench.delete(held.pop())
        await bench.clock.advance(1)
        assert [one.body for one in await waiting] == ["f"]

    run(scenario, most_in_flight=5)


def test_no_more_than_the_limit_is_in_flight() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.send(*"abcdefg")
        held = await bench.receive()
        assert len(held) == 5
        with pytest.raises(ServiceError) as refused:
            await bench.receive()
        assert (refused.value.code, refused.value.status) == ("OverLimit", 403)
        await bench.delete(held[0])
        assert len(await bench.receive()) == 1
        await bench.clock.advance(30)
        assert len(await bench.receive()) == 5

    run(scenario, most_in_flight=5)


def test_a_purge_takes_everything_once_a_minute() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.send("one", "two")
        await bench.receive(1)
        await bench.queues.purge(REGION, "orders")
        assert await bench.counts() == (0, 0, 0)
        await bench.clock.advance(59)
        with pytest.raises(ServiceError, match="Only one PurgeQueue operation on orders is allowed every 60 seconds") as refused:
            await bench.queues.purge(REGION, "orders")
        assert refused.value.status == 403
        await bench.clock.advance(1)
        await bench.queues.purge(REGION, "orders")

    run(scenario)


def test_a_queue_made_anew_knows_nothing_of_its_predecessor() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.send("one", "two")
        (message,) = await bench.receive(1)
        await bench.queues.delete(REGION, "orders")
        await bench.clock.advance(59)
        with pytest.raises(ServiceError, match="You must wait 60 seconds") as early:
            await bench.create()
        assert early.value.code == "QueueDeletedRecently"
        await bench.clock.advance(1)
        await bench.create()
        assert await bench.bodies() == []
        with pytest.raises(ServiceError) as refused:
            await bench.delete(message)
        assert refused.value.code == "ReceiptHandleIsInvalid"
        rows = await bench.database.read(lambda connection: connection.execute("SELECT COUNT(*) FROM queue_bodies").fetchone()[0])
        assert rows == 0

    run(scenario)


def test_regions_are_apart() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.queues.create("us-east-1", "orders", {})
        await bench.send("here")
        assert await bench.queues.receive("us-east-1", "orders", wait=0) == []
        assert await bench.bodies() == ["here"]

    run(scenario)


def test_sending_inside_another_change_is_one_transaction_with_it() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        arn = bench.queues.arn(REGION, "orders")

        def fails(connection: object) -> None:
            bench.queues.send_in(connection, REGION, arn, "lost", now=bench.clock.now())  # type: ignore[arg-type]
            raise LookupError

        with pytest.raises(LookupError):
            await bench.database.write(fails)
        polling = asyncio.ensure_future(bench.receive(wait=20))
        await bench.clock.settle()
        code = {"DataType": "Number", "StringValue": "200"}
        await bench.database.write(
            lambda c: bench.queues.send_in(c, REGION, "orders", "kept", {"RequestID": "r-1", "ErrorCode": code}, bench.clock.now())
        )
        await bench.clock.settle()
        assert not polling.done()
        bench.queues.wake(REGION, arn)
        (message,) = await asyncio.wait_for(polling, PATIENCE)
        assert message.body == "kept"
        assert message.attributes == {"RequestID": {"DataType": "String", "StringValue": "r-1"}, "ErrorCode": code}

    run(scenario)


def test_sending_inside_another_change_refuses_before_it_writes() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()

        def change(connection: object) -> list[str]:
            refused = []
            for queue, body in (("nowhere", "x"), ("orders", "x" * 1_048_577), ("arn:aws:sqs:eu-central-1:999999999999:orders", "x")):
                try:
                    bench.queues.send_in(connection, REGION, queue, body, now=bench.clock.now())  # type: ignore[arg-type]
                except ServiceError as error:
                    refused.append(error.code)
            return refused

        assert await bench.database.write(change) == ["QueueDoesNotExist", "InvalidParameterValue", "QueueDoesNotExist"]
        assert await bench.counts() == (0, 0, 0)

    run(scenario)


def test_the_source_takes_large_batches_and_changes_in_one_go() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create(VisibilityTimeout="60")
        await bench.send(*[str(number) for number in range(250)])
        source = await bench.queues.source(REGION, "orders")
        assert (source.arn, source.region, source.visibility_timeout, source.fifo) == (bench.queues.arn(REGION, "orders"), REGION, 60, False)
        messages = await source.receive(200, 0)
        assert len(messages) == 200
        assert messages[0]["Attributes"]["ApproximateReceiveCount"] == "1"
        await source.delete([message["ReceiptHandle"] for message in messages[:150]])
        await source.change_visibility([message["ReceiptHandle"] for message in messages[150:]], 0)
        assert await bench.counts() == (100, 0, 0)
        await bench.queues.set_attributes(REGION, "orders", {"VisibilityTimeout": "90"})
        await source.receive(1, 0)
        assert source.visibility_timeout == 90
        with pytest.raises(ServiceError):
            await source.delete(["nonsense", messages[0]["ReceiptHandle"]])

    run(scenario)


def test_receiving_walks_the_visibility_index_alone() -> None:
    """With a million messages in flight a receive must not meet one of them."""

    async def scenario(bench: Bench) -> None:
        from eventflow.services.queues.receives import NEXT_VISIBLE, VISIBLE, VISIBLE_OF_GROUP, VISIBLE_OF_TENANT

        def plan(connection: object, statement: str, bindings: tuple[object, ...]) -> str:
            return " | ".join(row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement, bindings))  # type: ignore[attr-defined]

        visible = await bench.database.read(lambda c: plan(c, VISIBLE, (1, 0, 0, 10)))
        assert "queue_messages_ungrouped (queue=? AND group_id=? AND visible_at<?)" in visible
        assert "TEMP B-TREE" not in visible
        tenant = await bench.database.read(lambda c: plan(c, VISIBLE_OF_TENANT, (1, "g", 0, 0, 10)))
        assert "queue_messages_by_tenant (queue=? AND deduplication_id=? AND group_id=? AND visible_at<?)" in tenant
        assert "TEMP B-TREE" not in tenant
        group = await bench.database.read(lambda c: plan(c, VISIBLE_OF_GROUP, (1, "g", 0, 10)))
        assert "queue_messages_by_group (queue=? AND group_id=?)" in group
        assert "TEMP B-TREE" not in group
        upcoming = await bench.database.read(lambda c: plan(c, NEXT_VISIBLE, (1, 0)))
        assert "COVERING INDEX queue_messages_ungrouped (queue=? AND group_id=? AND visible_at>?)" in upcoming

    run(scenario)


def test_a_batch_keeps_what_is_good_of_it() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create(MaximumMessageSize="1024")
        outcomes = await bench.queues.send(REGION, "orders", [Outgoing("a"), Outgoing("b" * 1025), Outgoing("c", delay=901), Outgoing("d")])
        codes = [outcome.code if isinstance(outcome, ServiceError) else "sent" for outcome in outcomes]
        assert codes == ["sent", "InvalidParameterValue", "InvalidParameterValue", "sent"]
        assert await bench.bodies() == ["a", "d"]

    run(scenario)


def test_messages_are_counted_only_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        await bench.send("one")
        assert await bench.queues.attributes(REGION, "orders", ["ApproximateNumberOfMessages"]) == {"ApproximateNumberOfMessages": "1"}
        assert await bench.counts() == (1, 0, 0)
        monkeypatch.delattr(messages, "counts")
        assert await bench.queues.attributes(REGION, "orders", ["VisibilityTimeout"]) == {"VisibilityTimeout": "30"}

    run(scenario)
