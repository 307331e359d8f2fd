"""The load: sends events, messages and objects until told to stop, and appends the name of each to a file once it was acknowledged."""

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.patience import DAEMON

#: What a client may be told when the daemon is killed under it. It then knows nothing, and sends something else.
UNKNOWN = (BotoCoreError, ClientError, OSError)
PAUSE = 0.05


class Load:
    """``client(service)`` gives a boto3 client. Each sender is a thread that yields what was acknowledged, as kind and name. ``stop`` raises what
    none of them had expected."""

    def __init__(self, client: Callable[[str], Any], log: Path, seed: int) -> None:
        self._client = client
        self._log = log
        self._stopping = threading.Event()
        self._surprise: BaseException | None = None
        senders = (self._events, self._endings, self._objects, self._messages)
        self._threads = [threading.Thread(target=self._run, args=(sender, random.Random(f"{seed} {sender.__name__}"))) for sender in senders]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(DAEMON)
        if self._surprise is not None:
            raise self._surprise

    def _run(self, sender: Callable[[random.Random, Iterator[int]], Iterator[tuple[str, str]]], chance: random.Random) -> None:
        numbers = count()  # goes on over failures: no name is sent twice
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        while not self._stopping.is_set():
            try:
                for kind, name in sender(chance, numbers):
                    os.write(log, f"{kind} {name} {time.time()}\n".encode())
                    if self._stopping.wait(chance.uniform(0, PAUSE)):
                        break
            except UNKNOWN:
                self._stopping.wait(PAUSE)
            except BaseException as surprise:
                self._surprise = surprise
                break
        os.close(log)

    def _emit(self, function: str, name: str, **more: Any) -> tuple[str, str]:
        payload = json.dumps({"name": name, **more}).encode()
        self._client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=payload)
        return function, name

    def _events(self, chance: random.Random, numbers: Iterator[int]) -> Iterator[tuple[str, str]]:
        for number in numbers:
            yield self._emit("work", f"work-{number}", seconds=chance.choice((0, 0, 0.002, 0.03)))
            if chance.random() < 0.1:
                yield self._emit("slow", f"slow-{number}")

    def _endings(self, chance: random.Random, numbers: Iterator[int]) -> Iterator[tuple[str, str]]:
        for number in numbers:
            function = chance.choice(("flaky", "doomed", "relay"))
            yield self._emit(function, f"{function}-{number}")

    def _objects(self, chance: random.Random, numbers: Iterator[int]) -> Iterator[tuple[str, str]]:
        s3 = self._client("s3")
        for number in numbers:
            name = f"object-{number}"
            # Small ones go through the state file, large ones do not.
            s3.put_object(Bucket="inbox", Key=name, Body=name.encode() * (chance.randint(1, 400) if chance.random() < 0.7 else 10_000))
            yield "object", name
            if chance.random() < 0.3:
                passing = f"passing-{number}"
                s3.put_object(Bucket="inbox", Key=passing, Body=b"x")
                s3.delete_object(Bucket="inbox", Key=passing)
                yield "deleted", passing

    def _messages(self, chance: random.Random, numbers: Iterator[int]) -> Iterator[tuple[str, str]]:
        sqs = self._client("sqs")
        url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
        for number in numbers:
            names = [f"message-{number}-{entry}" for entry in range(chance.randint(1, 4))]
            answer = sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": name, "MessageBody": name} for name in names])
            # boto3 takes an answer that was cut off behind its head, by a kill, for an empty one: that acknowledges nothing.
            for entry in answer.get("Successful", ()):
                yield "message", entry["Id"]
