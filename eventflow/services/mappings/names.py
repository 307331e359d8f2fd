"""What names a mapping's two ends: a function in any of Lambda's forms, a queue or a stream by its ARN."""

from __future__ import annotations

import re
from dataclasses import dataclass

from eventflow.errors import ServiceError
from eventflow.function import LATEST
from eventflow.services.functions.names import Place
from eventflow.services.mappings.refusals import invalid

QUEUE = re.compile(r"arn:aws:sqs:([a-z0-9-]+):([0-9]{12}):([A-Za-z0-9_-]{1,80}(?:\.fifo)?)")
STREAM = re.compile(r"arn:aws:dynamodb:([a-z0-9-]+):([0-9]{12}):table/([A-Za-z0-9_.-]{3,255})/stream/([0-9T:.-]+)")
BUCKET = re.compile(r"arn:aws:s3:::([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])")
MAPPING = re.compile(r"arn:aws:lambda:[a-z0-9-]+:[0-9]{12}:event-source-mapping:([0-9a-f-]{36})")
#: Event sources that AWS has and eventflow has not, by the service in their ARNs.
ELSEWHERE = {
    "kinesis": "Kinesis streams",
    "kafka": "Managed Streaming for Apache Kafka",
    "mq": "Amazon MQ",
    "rds": "DocumentDB",
    "docdb": "DocumentDB",
}


@dataclass(frozen=True, slots=True)
class FunctionName:
    """``qualifier`` is '' for a function named without one."""

    name: str
    qualifier: str = ""

    @property
    def version(self) -> str:
        return self.qualifier or LATEST

    def arn(self, region: str, account: str) -> str:
        return f"arn:aws:lambda:{region}:{account}:function:{self.name}" + (f":{self.qualifier}" if self.qualifier else "")

    def __str__(self) -> str:
        return f"{self.name}:{self.qualifier}" if self.qualifier else self.name


@dataclass(frozen=True, slots=True)
class Source:
    """``kind`` is that of the trigger that polls it, ``queue`` or ``stream``; ``name`` the queue's or the table's."""

    kind: str
    name: str
    arn: str

    @property
    def fifo(self) -> bool:
        return self.kind == "queue" and self.name.endswith(".fifo")


def function_name(text: str, region: str, account: str) -> FunctionName | None:
    """None for what names no function of this account and region."""
    try:
        name, qualifier = Place(region, account).function(text)
    except ServiceError:
        return None
    return FunctionName(name, qualifier or "")


def mapping_of(arn: str) -> str | None:
    """The UUID in the ARN of a mapping; None for an ARN of something else."""
    match = MAPPING.fullmatch(arn)
    return match[1] if match else None


def source_of(arn: str | None, region: str, account: str) -> Source:
    if arn is None:
        raise invalid("Unrecognized event source.")
    source = parsed(arn)
    if source is None:
        service = arn.split(":")[2] if arn.count(":") > 4 else ""
        if service in ELSEWHERE:
            raise invalid(f"eventflow does not have {ELSEWHERE[service]} as event sources; it has SQS queues and DynamoDB streams. It was: {arn}")
        raise invalid(f"Unrecognized event source. {arn} is the ARN of no SQS queue and of no DynamoDB stream.")
    if not arn.split(":")[3:5] == [region, account]:
        raise invalid(f"The event source {arn} is not of this account and region, which are {account} and {region}.")
    return source


def parsed(arn: str) -> Source | None:
    for kind, pattern in (("queue", QUEUE), ("stream", STREAM)):
        if match := pattern.fullmatch(arn):
            return Source(kind, match[3], arn)
    return None
