"""EventBridge Scheduler under kills: one-time schedules whose instants come while the daemon is killed, and how often each is delivered."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.chaos.services.register import Promises, Unanswered, asked

ARN = "arn:aws:{}:us-east-1:000000000000:{}"
QUEUE, FUNCTION = "instants", "note"
#: Instants lie so many seconds ahead, at most: some come under the next kill.
AHEAD = 5
REST = 240.0


class ScheduleWriter(Promises):
    """Makes schedules for a queue and for a function, which notes its event in the file ``noted``. One that was acknowledged fires once."""

    kind = "Scheduler"

    def __init__(self, scheduler: Any, sqs: Any, noted: Path, seed: str) -> None:
        super().__init__(seed)
        self._scheduler, self._sqs, self._noted = scheduler, sqs, noted
        self._url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]

    def step(self) -> None:
        self._number += 1
        service, resource = self._chance.choice((("sqs", QUEUE), ("lambda", f"function:{FUNCTION}")))
        name = f"{service}-{self._number}"
        instant = datetime.now(UTC) + timedelta(seconds=self._chance.uniform(0, AHEAD))
        self.perhaps.add(name)
        answer = asked(
            self._scheduler.create_schedule,
            Name=name,
            ScheduleExpression=f"at({instant:%Y-%m-%dT%H:%M:%S})",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={"Arn": ARN.format(service, resource), "RoleArn": "arn:aws:iam::000000000000:role/r", "Input": f'{{"name": "{name}"}}'},
        )
        if "ScheduleArn" not in answer:
            raise Unanswered
        self.perhaps.discard(name)
        self.owed.add(name)
        self.counts["acknowledged"] += 1

    def settle(self) -> None:
        asked(self._scheduler.list_schedules, MaxResults=1)

    def finish(self) -> None:
        """Wait until every schedule has fired and is gone, and count what came of each."""
        end = time.monotonic() + REST
        while self._scheduler.list_schedules(MaxResults=1)["Schedules"] and time.monotonic() < end:
            time.sleep(0.1)
        found = self._messages() + self._events(end)
        self.judge(
            found, "the schedule {name} never fired", "the schedule {name} fired {times} times", "the schedule {name} fired and was never made"
        )

    def _messages(self) -> Counter[str]:
        found: Counter[str] = Counter()
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, VisibilityTimeout=600).get("Messages"):
            found.update(message["Body"].split('"')[3] for message in messages)
        return found

    def _events(self, end: float) -> Counter[str]:
        """By name, how many events there were: a kill may have one event handled twice, under one id."""
        wanted = {name for name in self.owed if name.startswith("lambda-")}
        while True:
            noted = set(self._noted.read_text().splitlines()) if self._noted.exists() else set()
            found = Counter(line.split()[0] for line in noted)
            if wanted <= set(found) or time.monotonic() > end:
                return found
            time.sleep(0.1)
