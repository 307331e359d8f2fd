"""EventBridge under kills: events on a bus with a rule for a queue, and whether each that was acknowledged came out of it."""

import json
from collections import Counter
from typing import Any

from tests.chaos.services.register import Promises, Unanswered, asked

QUEUE = "heard"


class EventWriter(Promises):
    """Puts events, one by one and in batches, of which the rule's pattern takes a part. An entry that has an id is acknowledged."""

    kind = "EventBridge"

    def __init__(self, events: Any, sqs: Any, seed: str) -> None:
        super().__init__(seed)
        self._events, self._sqs = events, sqs
        self._url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        events.put_rule(Name="heard", EventPattern=json.dumps({"source": ["chaos"], "detail": {"wanted": [True]}}))
        target = {"Id": "1", "Arn": f"arn:aws:sqs:us-east-1:000000000000:{QUEUE}", "InputPath": "$.detail.name"}
        events.put_targets(Rule="heard", Targets=[target])

    def step(self) -> None:
        entries, names = [], []
        for _ in range(self._chance.choice((1, 1, 3, 10))):
            self._number += 1
            name, wanted = f"event-{self._number}", self._chance.random() < 0.7
            entries.append({"Source": "chaos", "DetailType": "t", "Detail": json.dumps({"name": name, "wanted": wanted})})
            names.append(name if wanted else "")
        self.perhaps.update(filter(None, names))
        answer = asked(self._events.put_events, Entries=entries)
        if len(answer.get("Entries", ())) != len(entries):
            raise Unanswered
        acknowledged = {name for name, entry in zip(names, answer["Entries"], strict=True) if name and "EventId" in entry}
        self.perhaps -= acknowledged
        self.owed |= acknowledged
        self.counts["acknowledged"] += 1

    def settle(self) -> None:
        asked(self._events.describe_rule, Name="heard")

    def finish(self) -> None:
        """Every event that was acknowledged is in the queue, once: the message is sent in the transaction that accepts the event."""
        found: Counter[str] = Counter()
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, VisibilityTimeout=600).get("Messages"):
            found.update(json.loads(message["Body"]) for message in messages)
        self.judge(found, "{name} was acknowledged and is lost", "{name} is there {times} times", "{name} is there, and the rule does not want it")
