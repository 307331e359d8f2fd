"""SQS under kills: sends, receives and deletes, one by one and in batches, and which messages must be in the queue after them, how often and in which
order."""

import random
from collections import Counter, defaultdict
from typing import Any

from botocore.exceptions import ClientError

from tests.chaos.services.register import Unanswered, asked

#: How long a received message is hidden during the load: soon over, so that the last look need not wait.
HIDDEN = 2
GROUPS = 3


class MessageWriter:
    """Sends messages into a queue of its own, receives and deletes some of them. A message is owed once its send was answered, perhaps there while
    a send or a delete of it was not, and gone once its delete was."""

    kind = "SQS"

    def __init__(self, sqs: Any, url: str, prefix: str, seed: str) -> None:
        self._sqs, self._url, self._prefix = sqs, url, prefix
        self._fifo = url.endswith(".fifo")
        self._chance = random.Random(seed)
        self._number = 0
        self._again: list[dict[str, Any]] = []
        self._groups: dict[str, str] = {}
        self.owed: set[str] = set()
        self.perhaps: set[str] = set()
        self.gone: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.wrongs: list[str] = []

    def step(self) -> None:
        self._chance.choice((self._send, self._send, self._send_batch, self._send_batch, self._take))()

    def settle(self) -> None:
        """Send again what was sent to a FIFO queue without an answer: its deduplication id keeps it from being there twice."""
        while self._again:
            entry = self._again[0]
            answer = asked(self._sqs.send_message, QueueUrl=self._url, **entry)
            self._check_sent(answer)
            self._again.pop(0)
            self.perhaps.discard(entry["MessageBody"])
            self.owed.add(entry["MessageBody"])
        asked(self._sqs.get_queue_attributes, QueueUrl=self._url, AttributeNames=["QueueArn"])  # while nobody answers there is nothing to go on with

    def _entry(self) -> dict[str, Any]:
        self._number += 1
        body = f"{self._prefix}-{self._number} " + "x" * self._chance.choice((0, 100, 20_000))
        entry: dict[str, Any] = {"MessageBody": body, "MessageAttributes": {"of": {"DataType": "String", "StringValue": body.split()[0]}}}
        if self._fifo:
            group = self._groups[body] = f"group-{self._chance.randrange(GROUPS)}"
            return {**entry, "MessageGroupId": group, "MessageDeduplicationId": f"{self._prefix}-{self._number}"}
        return entry

    def _send(self) -> None:
        entry = self._entry()
        self._unsure([entry])
        self._check_sent(asked(self._sqs.send_message, QueueUrl=self._url, **entry))
        self._sure([entry])

    def _send_batch(self) -> None:
        entries = [self._entry() for _ in range(self._chance.randint(2, 10))]
        self._unsure(entries)
        numbered = [{"Id": str(number), **entry} for number, entry in enumerate(entries)]
        answer = asked(self._sqs.send_message_batch, QueueUrl=self._url, Entries=numbered)
        if len(answer.get("Successful", ())) != len(entries):
            raise Unanswered
        self._sure(entries)

    def _unsure(self, entries: list[dict[str, Any]]) -> None:
        self.perhaps.update(entry["MessageBody"] for entry in entries)
        self._again = list(entries) if self._fifo else []

    def _sure(self, entries: list[dict[str, Any]]) -> None:
        bodies = {entry["MessageBody"] for entry in entries}
        self.perhaps -= bodies
        self.owed |= bodies
        self._again = []
        self.counts["acknowledged"] += 1

    def _check_sent(self, answer: dict[str, Any]) -> None:
        if "MessageId" not in answer:
            raise Unanswered

    def _take(self) -> None:
        messages = self._receive(HIDDEN)
        doomed = [message for message in messages if self._chance.random() < 0.6]
        if not doomed:
            return
        bodies = {message["Body"] for message in doomed}
        # A delete without an answer leaves it open whether they are gone.
        self.perhaps |= bodies
        self.owed -= bodies
        if len(doomed) > 1:
            entries = [{"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(doomed)]
            answer = asked(self._sqs.delete_message_batch, QueueUrl=self._url, Entries=entries)
            gone = {doomed[int(entry["Id"])]["Body"] for entry in answer.get("Successful", ())}
        else:
            gone = bodies if self._delete(doomed[0]["ReceiptHandle"]) else set()
        self.perhaps -= gone
        self.gone |= gone
        self.counts["acknowledged"] += 1

    def _delete(self, handle: str) -> bool:
        """False when the handle of a FIFO message is too old: the machine was slow, or a daemon was started in between."""
        try:
            asked(self._sqs.delete_message, QueueUrl=self._url, ReceiptHandle=handle)
        except ClientError as error:
            if "expired" not in str(error):
                raise
            return False
        return True

    def _receive(self, hidden: int) -> list[dict[str, Any]]:
        """Up to ten messages, each of which may be there and is as it was sent."""
        answer = asked(self._sqs.receive_message, QueueUrl=self._url, MaxNumberOfMessages=10, VisibilityTimeout=hidden, MessageAttributeNames=["All"])
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        for message in messages:
            body = message["Body"]
            self.counts["checked"] += 1
            if body not in self.owed and body not in self.perhaps:
                what = "deleted" if body in self.gone else "never sent"
                self.wrongs.append(f"a message was {what} and is received: {body[:60]}")
            if message.get("MessageAttributes", {}).get("of", {}).get("StringValue") != body.split()[0]:
                self.wrongs.append(f"a message has lost its attribute: {body[:60]}")
        return messages

    def finish(self, hidden: int = 600) -> None:
        """Take everything out of the queue: what is owed is there once, what may be there at most once, a group's messages in their order."""
        found: Counter[str] = Counter()
        order: dict[str, list[int]] = defaultdict(list)
        while messages := self._receive(hidden):
            for message in messages:
                body = message["Body"]
                found[body] += 1
                order[self._groups.get(body, "")].append(int(body.split()[0].rpartition("-")[2]))
            entries = [{"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)]
            asked(self._sqs.delete_message_batch, QueueUrl=self._url, Entries=entries)
        self.wrongs += [f"a message that was acknowledged is lost: {body[:60]}" for body in sorted(self.owed - set(found))]
        self.wrongs += [f"a message is there {times} times: {body[:60]}" for body, times in found.items() if times > 1]
        self.counts["unanswered"] = len(self.perhaps)
        self.counts["of which done"] = len(self.perhaps & set(found))
        if self._fifo:
            self.wrongs += [f"a group's messages came in the order {numbers}" for numbers in order.values() if numbers != sorted(numbers)]
