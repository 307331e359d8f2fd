"""The ARNs of what gets the records of asynchronous events' ends."""

from __future__ import annotations

import re
from collections.abc import Mapping

from eventflow.function import Destination, names_version
from eventflow.services.functions.names import Place, wrong

ARNS: Mapping[str, re.Pattern[str]] = {
    "queue": re.compile(r"arn:aws:sqs:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>[A-Za-z0-9_-]{1,80}(\.fifo)?)", re.ASCII),
    "function": re.compile(
        r"arn:aws:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):function:(?P<name>[a-zA-Z0-9_-]{1,64})(:(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?",
        re.ASCII,
    ),
    "bus": re.compile(r"arn:aws:events:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):event-bus/(?P<name>[/.\-_A-Za-z0-9]{1,256})", re.ASCII),
    "bucket": re.compile(r"arn:aws:s3:::(?P<name>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])", re.ASCII),
}


def destination_of(arn: str, place: Place, *, failure: bool) -> Destination:
    """What an ARN names. Raises ServiceError for what cannot be the destination of successes, or, with ``failure``, of failures."""
    for kind, form in ARNS.items():
        match = form.fullmatch(arn)
        if match is None:
            continue
        here = match.groupdict()
        if here.get("region", place.region) != place.region or here.get("account", place.account) != place.account:
            raise wrong(f"The destination ARN {arn} is not of this region ({place.region}) and account ({place.account}).")
        return checked(kind, arn, match, failure)
    raise wrong(f"The destination ARN {arn} is invalid: it takes the ARN of an SQS queue, a function, an event bus or, for failures, an S3 bucket.")


def checked(kind: str, arn: str, match: re.Match[str], failure: bool) -> Destination:
    if kind == "bucket" and not failure:
        raise wrong(f"The destination ARN {arn} is invalid: S3 buckets are destinations of failures only.")
    name: str = match["name"]
    if kind == "queue" and name.endswith(".fifo"):
        raise wrong(f"The destination ARN {arn} is invalid: Lambda sends the results of asynchronous events to standard queues only.")
    if kind == "function" and (qualifier := match["qualifier"]) is not None:
        if not names_version(qualifier):
            raise wrong(f"eventflow does not support an alias as a destination yet ({arn}); name the function or a version.")
        name = name if qualifier == "$LATEST" else f"{name}:{qualifier}"
    return Destination(kind, name)
