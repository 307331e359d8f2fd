"""Ask the photo service for a photograph in another width: a client like any other, plain boto3 and a queue.

eval "$(eventflow env)"
python samples/thumbnails/ask.py KEY WIDTH
"""

from __future__ import annotations

import json
import sys

import boto3


def main(key: str, width: int) -> None:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="resize-requests")["QueueUrl"]
    sent = sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"key": key, "width": width}))
    print(f"Asked for {key} at a width of {width}: message {sent['MessageId']}.")


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        sys.exit("usage: ask.py KEY WIDTH")
    main(sys.argv[1], int(sys.argv[2]))
