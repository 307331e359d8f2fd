"""DynamoDB Streams under kills: changes of a table's items, and whether its stream has each of them once and in order, also for somebody who reads it
meanwhile, and whether a function was told of all."""

import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.chaos.services.items import COUNTER, ItemWriter, count_of, told
from tests.chaos.services.register import Registers, Unanswered, Value, asked

FOLLOWED = "followed"
REST = 240.0
#: To be filled in with the file in which the function notes what it is told: an item's sort key and a record's number.
APPLICATION = """
from triggers import Stream
app.table("followed", key="pk", sort="sk", sort_type="N")

@app.on(Stream("followed"), timeout=30)
def follow(event, context):
    lines = ""
    for record in event["Records"]:
        keys, number = record["dynamodb"]["Keys"], record["dynamodb"]["SequenceNumber"]
        lines += keys["pk"]["S"] + "/" + keys["sk"]["N"] + " " + number + "\\n"
    with open({followed!r}, "a") as file:
        file.write(lines)
"""


class ChangeWriter(ItemWriter):
    """Writes items into the table ``followed``, reads its stream in between, and knows which changes must be in it: what each item became, one after
    the other. ``noted`` is the function's file."""

    kind = "DynamoDB Streams"
    ballast = (0, 10, 300)

    def __init__(self, dynamodb: Any, streams: Any, noted: Path, seed: str) -> None:
        super().__init__(dynamodb, FOLLOWED, "mine", seed, transactions=True)
        self.registers = Registers(self, self._chance, self._became)
        #: For each item, as JSON, what it became, oldest first; None: it went.
        self.changes: dict[str, list[str | None]] = defaultdict(list)
        #: The records that were read so far.
        self.read_so_far: list[dict[str, Any]] = []
        self._streams, self._noted = streams, noted
        self._arn = dynamodb.describe_table(TableName=FOLLOWED)["Table"]["LatestStreamArn"]

    def _became(self, name: str, value: Value) -> None:
        self.changes[name].append(image(value))

    def step(self) -> None:
        if self._chance.random() < 0.15:
            self.read_on(self.read_so_far)
        else:
            super().step()

    def read_on(self, found: list[dict[str, Any]]) -> bool:
        """Read one page behind what was found, as a program does that remembers its last record; False at the end."""
        (shard,) = asked(self._streams.describe_stream, StreamArn=self._arn).get("StreamDescription", {}).get("Shards") or (None,)
        if shard is None:
            raise Unanswered
        after = {"ShardIteratorType": "TRIM_HORIZON"}
        if found:
            after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number(found[-1])}
        begin = asked(self._streams.get_shard_iterator, StreamArn=self._arn, ShardId=shard["ShardId"], **after)
        if "ShardIterator" not in begin:
            raise Unanswered
        page = asked(self._streams.get_records, ShardIterator=begin["ShardIterator"], Limit=self._chance.choice((1, 7, 1000)))
        if "NextShardIterator" not in page:
            raise Unanswered
        found += page["Records"]
        return bool(page["Records"])

    def finish(self) -> None:
        """The stream, read at once and read in between, and what the function was told."""
        self.registers.check_all()
        whole: list[dict[str, Any]] = []
        for found in (whole, self.read_so_far):
            while self.read_on(found):
                pass
        self.registers.counts["checked"] += len(whole)
        numbers = [number(record) for record in whole]
        if [number(record) for record in self.read_so_far] != numbers:
            self._wrong("read in between, the stream is not what it is read at once", Counter(numbers), Counter(map(number, self.read_so_far)))
        self._compare(whole)
        self._compare_the_function(whole)

    def _compare(self, whole: list[dict[str, Any]]) -> None:
        by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for record in whole:
            by_key[key(record)].append(record)
        counted = [int(record["dynamodb"]["NewImage"]["times"]["N"]) for record in by_key.pop(f"{COUNTER['pk']['S']}/{COUNTER['sk']['N']}", ())]
        times = count_of(self._dynamodb, FOLLOWED)
        if counted != list(range(1, times + 1)) or not self.counted <= times <= self.counted + self.perhaps:
            self.registers.wrongs.append(
                f"the counter is {times}, was counted up {self.counted} times and perhaps {self.perhaps} more, and its changes are {counted}"
            )
        for name in {*self.changes, *(place.partition("/")[2] for place in by_key)}:
            became: list[str | None] = self.changes[name]
            records = by_key.get(f"{self._prefix}/{name}", [])
            new = [image(record["dynamodb"].get("NewImage")) for record in records]
            old = [image(record["dynamodb"].get("OldImage")) for record in records]
            if new != became:
                self._wrong(f"the stream's changes of {name} are not those that were made", Counter(became), Counter(new))
            elif old != [None, *new][: len(old)]:
                self.registers.wrongs.append(f"an old image of {name} is not what the item was before")

    def _compare_the_function(self, whole: list[dict[str, Any]]) -> None:
        """It was told of every change, perhaps more than once, and first of the earlier ones of a key."""
        wanted = {number(record) for record in whole}
        end = time.monotonic() + REST
        while not wanted <= set(self._told()) and time.monotonic() < end:
            time.sleep(0.1)
        numbers = self._told()
        if set(numbers) != wanted:
            self._wrong("the function was not told of all changes", Counter(wanted), Counter(set(numbers)))
        by_key: dict[str, list[str]] = defaultdict(list)
        for each, place in numbers.items():
            by_key[place].append(each)
        self.registers.wrongs += [
            f"the function was told of the changes of {place} out of order" for place, each in by_key.items() if each != sorted(each)
        ]

    def _told(self) -> dict[str, str]:
        """The keys by the numbers of the records, in the order in which each was noted for the first time."""
        found: dict[str, str] = {}
        for line in self._noted.read_text().splitlines() if self._noted.exists() else ():
            place, number = line.split()
            found.setdefault(number, place)
        return found

    def _wrong(self, what: str, wanted: Counter[Any], found: Counter[Any]) -> None:
        missing, more = list((wanted - found).elements()), list((found - wanted).elements())
        difference = (
            f"{len(missing)} are missing {missing[:3]}, {len(more)} are too many {more[:3]}" if missing or more else "they are in another order"
        )
        self.registers.wrongs.append(f"{what}: {difference}")


def number(record: dict[str, Any]) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def key(record: dict[str, Any]) -> str:
    keys = record["dynamodb"]["Keys"]
    return f"{keys['pk']['S']}/{keys['sk']['N']}"


def image(item: dict[str, Any] | None) -> str | None:
    return None if item is None else told(item)
