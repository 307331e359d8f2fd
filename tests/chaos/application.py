"""The application that is killed. Its handlers note the beginning and the end of every attempt in one file: one line, one write, appended."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventflow import App
from triggers import Bucket, Queue, Schedule

HERE = Path(__file__).parent
app = App("chaos")
failures = app.queue("failures")
letters = app.queue("letters")
# A batch that a killed daemon held comes again when its visibility ends: soon, so that a run does not wait long for it.
jobs = app.queue("jobs", visibility_timeout=20)


def note(*words: object) -> None:
    file = os.open(HERE / "attempts", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, (" ".join(map(str, words)) + "\n").encode())
    os.close(file)


@contextmanager
def attempt(function: str, name: str, context) -> Iterator[None]:
    note("begun", function, name, context.aws_request_id, time.time(), os.getpid())
    yield
    note("ended", function, name, context.aws_request_id, time.time(), os.getpid())


def first_time(name: str) -> bool:
    try:
        os.close(os.open(HERE / "failed" / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


@app.function(timeout=20, on_failure=failures)
def work(event, context):
    with attempt("work", event["name"], context):
        time.sleep(event["seconds"])


# One at a time, and slower than they come: there is always one that waits, and that the next daemon claims.
@app.function(timeout=20, reserved_concurrency=1, on_failure=failures)
def slow(event, context):
    with attempt("slow", event["name"], context):
        time.sleep(0.15)


@app.function(timeout=20, on_failure=failures)
def flaky(event, context):
    with attempt("flaky", event["name"], context):
        if first_time(event["name"]):
            raise LookupError("the first attempt fails")


@app.function(timeout=20, retries=1, on_failure=failures, dead_letter_queue=letters)
def doomed(event, context):
    with attempt("doomed", event["name"], context):
        raise LookupError("every attempt fails")


@app.function(timeout=20)
def after(event, context):
    with attempt("after", event["requestPayload"]["name"], context):
        pass


@app.function(timeout=20, on_success=after, on_failure=failures)
def relay(event, context):
    with attempt("relay", event["name"], context):
        pass


@app.on(Bucket("inbox"), timeout=20, on_failure=failures)
def arrived(event, context):
    for record in event["Records"]:
        with attempt("arrived", record["s3"]["object"]["key"], context):
            pass


@app.on(Queue("jobs", batch_size=5), timeout=20)
def job(event, context):
    for record in event["Records"]:
        with attempt("job", record["body"], context):
            pass


@app.on(Schedule("cron(* * * * ? *)"), timeout=20, on_failure=failures)
def minute(event, context):
    with attempt("minute", event["time"], context):
        pass


@app.function(timeout=20, on_failure=failures)
def tick(event, context):
    with attempt("tick", event["time"], context):
        pass


for instant in (HERE / "instants").read_text().split():
    app.on(Schedule(f"at({instant})", catch_up="all"))(tick)
