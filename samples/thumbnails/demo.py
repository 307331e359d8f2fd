"""The whole show: start the daemon, make photographs, drop them, wait for their thumbnails, check every one, and say what to try next.

python samples/thumbnails/demo.py [--keep | --no-keep] [--state DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import photos
from photos import PHOTOS, Photo
from PIL import Image
from show import verify
from show.account import THUMBNAILS, UPLOADS, Account
from show.daemon import PORT, Daemon, DemoError, eventflow, port_is_free, use
from show.progress import Progress, has_colour, kilobytes
from show.sheet import contact_sheet
from show.table import table

APP = Path(__file__).resolve().with_name("app.py")
#: How long all photographs together may take: one that fails is tried again after a minute.
THUMBNAIL_SECONDS = 150.0
ANSWER_SECONDS = 30.0
POLL_SECONDS = 0.1
REQUESTED_WIDTH = 1280
INTERRUPTED = 130


@dataclass
class Dropped:
    """A photograph on its way: its file, and how it came into the bucket."""

    photo: Photo
    original: Path
    way: str
    earlier_request: str | None


@dataclass
class Result:
    """A photograph that came back: its row, its thumbnail, and what its invocations cost."""

    dropped: Dropped
    row: Mapping[str, Any]
    thumbnail: bytes = b""
    gb_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, interrupt)
    state, is_ours = state_directory(options.state, options.keep)
    daemon = Daemon(APP, state)
    status = 1
    try:
        status = run(daemon, options.keep)
    except DemoError as error:
        print(f"\nThe demo failed. {error}", file=sys.stderr)
    except KeyboardInterrupt:
        status = INTERRUPTED
    finally:
        stop(daemon)
    return conclude(daemon, status, options.keep, is_ours)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    keep = os.environ.get("KEEP", "1") not in ("0", "no", "false")
    parser = argparse.ArgumentParser(prog="demo.py", description="Run the thumbnail sample on a dozen photographs.")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=keep, help="go on until Ctrl-C (KEEP=0 in the environment: do not)")
    parser.add_argument("--state", type=Path, metavar="DIR", help="the daemon's state directory (with --no-keep a temporary one)")
    return parser.parse_args(arguments)


def interrupt(_number: int, _frame: object) -> NoReturn:
    """SIGTERM stops the demo as Ctrl-C does."""
    raise KeyboardInterrupt


def state_directory(wanted: Path | None, keep: bool) -> tuple[Path, bool]:
    """Where the daemon keeps everything, and whether the directory is the demo's to remove."""
    if wanted is not None:
        return wanted.resolve(), not wanted.exists()
    if keep:
        return APP.with_name(".eventflow"), False
    return Path(tempfile.mkdtemp(prefix="eventflow-demo-")), True


def run(daemon: Daemon, keep: bool) -> int:
    start(daemon)
    use(daemon.variables())
    account = Account()
    with tempfile.TemporaryDirectory(prefix="photographs-") as folder:
        originals = generate(Path(folder))
        dropped = drop(daemon, account, originals)
        results = wait_for_thumbnails(daemon, account, dropped)
        requested = request_size(daemon, account, results)
        complete(daemon, account, results)
        found = [*requested, *(problem for result in results for problem in result.problems)]
        if not keep:
            found += strangers(account)
    show(daemon, results)
    if found:
        print(f"\n{len(found)} things are wrong:", *found, sep="\n  ")
        return 1
    print(f"\nAll {len(results)} photographs, thumbnails and rows are there and right, and the size that was asked for through the queue.")
    if not keep:
        return 0
    say_what_next(daemon)
    return wait_for_interrupt(daemon)


# One step each.


def start(daemon: Daemon) -> None:
    port = PORT if port_is_free(PORT) else 0
    print("Starting the daemon ...", flush=True)
    daemon.start(port)
    print(f"  pid {daemon.pid}, AWS endpoint {daemon.url}, state in {daemon.state}")
    if port == 0:
        print(f"  (port {PORT} is taken by something else on this machine, so it took a free one)")


def generate(folder: Path) -> dict[str, Path]:
    print(f"\nMaking {len(PHOTOS)} photographs, up to {max(photo.width * photo.height for photo in PHOTOS) // 1_000_000} megapixels ...", flush=True)
    started = time.monotonic()
    paths = dict(zip((photo.name for photo in PHOTOS), photos.generate(folder), strict=True))
    print(f"  {kilobytes(sum(path.stat().st_size for path in paths.values()))} in {time.monotonic() - started:.1f} s")
    return paths


def drop(daemon: Daemon, account: Account, originals: Mapping[str, Path]) -> list[Dropped]:
    """Half of the photographs by copying a file, half through the S3 API."""
    uploads = bucket_folder(daemon)
    rows = account.rows()
    dropped = []
    for at, photo in enumerate(PHOTOS):
        original = originals[photo.name]
        dropped.append(Dropped(photo, original, "file copy" if at % 2 == 0 else "put_object", rows.get(photo.name, {}).get("request_id")))
        if at % 2 == 0:
            (uploads / photo.name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(original, uploads / photo.name)
        else:
            account.upload(original, photo.name)
    copied = sum(each.way == "file copy" for each in dropped)
    print(f"\nDropped {copied} of them into {uploads} by plain file copy, and {len(dropped) - copied} with boto3's put_object.")
    return dropped


def bucket_folder(daemon: Daemon) -> Path:
    return Path(daemon.ask("status")["buckets"]) / UPLOADS


def wait_for_thumbnails(daemon: Daemon, account: Account, dropped: Sequence[Dropped]) -> list[Result]:
    """The photographs as their rows appear; DemoError names those that have none in time."""
    missing = {each.photo.name: each for each in dropped}
    results: list[Result] = []
    progress = Progress(len(dropped))
    deadline = time.monotonic() + THUMBNAIL_SECONDS
    while missing:
        for key, row in account.rows().items():
            if key in missing and row["request_id"] != missing[key].earlier_request:
                results.append(Result(missing.pop(key), row))
                progress.note(line_of(results[-1]))
        progress.show(len(results), sum(int(result.row["size_in"]) for result in results), "thumbnails")
        daemon.check()
        if time.monotonic() > deadline:
            progress.end()
            raise DemoError(lament(daemon, missing))
        time.sleep(POLL_SECONDS)
    seconds = progress.end()
    print(f"  {len(results)} thumbnails in {seconds:.1f} s")
    return sorted(results, key=lambda result: dropped.index(result.dropped))


def line_of(result: Result) -> str:
    row, way = result.row, result.dropped.way
    return (
        f"  {row['key']!s:<34} {kilobytes(int(row['size_in'])):>9} -> {kilobytes(int(row['size_out'])):>5} in {row['milliseconds']:>4} ms   ({way})"
    )


def lament(daemon: Daemon, missing: Mapping[str, Dropped]) -> str:
    """What is missing, and what the daemon knows of events that did not succeed."""
    names = ", ".join(f"{name} ({each.way})" for name, each in missing.items())
    unfinished = [event for event in daemon.ask("events?function=thumbnail&limit=100")["events"] if event["state"] != "done"]
    reasons = [f"    {event['id']}: {event['state']}, {event['reason'] or 'no reason given'}" for event in unfinished]
    return "\n".join(
        (
            f"After {THUMBNAIL_SECONDS:.0f} s these photographs have no thumbnail and row: {names}.",
            f"{len(unfinished)} events of the function are not done:" if unfinished else "Every event that the daemon accepted is done.",
            *reasons,
            daemon.last_words(),
        )
    )


def request_size(daemon: Daemon, account: Account, results: Sequence[Result]) -> list[str]:
    """Ask for a larger size through the queue; what is wrong with the answer."""
    row = results[0].row
    account.request(str(row["key"]), REQUESTED_WIDTH)
    wanted = f"{row['key']}/{REQUESTED_WIDTH}-{str(row['sha256'])[:12]}.webp"
    deadline = time.monotonic() + ANSWER_SECONDS
    while (answer := account.thumbnail(wanted)) is None:
        daemon.check()
        if time.monotonic() > deadline:
            return [
                f"the message that asked for {row['key']} at {REQUESTED_WIDTH} pixels was not answered within {ANSWER_SECONDS:.0f} s: no {wanted}."
            ]
        time.sleep(POLL_SECONDS)
    print(f"  asked for {row['key']} at {REQUESTED_WIDTH} pixels through the queue: {kilobytes(len(answer))} came back")
    with Image.open(BytesIO(answer)) as image:
        expected = (REQUESTED_WIDTH, round(REQUESTED_WIDTH * int(row["height"]) / int(row["width"])))
        return [] if image.size == expected else [f"{wanted} has {image.size} pixels, and should have {expected}."]


def complete(daemon: Daemon, account: Account, results: Sequence[Result]) -> None:
    """Fetch each thumbnail and bill, and check them against the originals."""
    uploads = bucket_folder(daemon)
    for result in results:
        photo, row = result.dropped.photo, result.row
        thumbnail = account.thumbnail(str(row["thumbnail"]))
        if thumbnail is None:
            result.problems.append(f"{photo.name}: its row names the thumbnail {row['thumbnail']}, which does not exist.")
            continue
        result.thumbnail = thumbnail
        stored = {"the S3 API": account.photograph(photo.name), "the folder": (uploads / photo.name).read_bytes()}
        result.problems += verify.problems(photo, result.dropped.original, row, thumbnail, stored)
        bill(daemon, result)


def bill(daemon: Daemon, result: Result) -> None:
    """What the ledger charged for the event, once it is settled: the row is written before the function has returned."""
    request_id = str(result.row["request_id"])
    deadline = time.monotonic() + ANSWER_SECONDS
    while (event := daemon.ask(f"events/{request_id}"))["state"] != "done":
        if time.monotonic() > deadline:
            result.problems.append(f"{result.dropped.photo.name}: event {request_id} is {event['state']}, and should be done.")
            return
        time.sleep(POLL_SECONDS)
    result.gb_seconds = sum(attempt["billed_ms"] / 1000 * attempt["memory_mb"] / 1024 for attempt in event["attempts"])
    if result.gb_seconds <= 0:
        result.problems.append(f"{result.dropped.photo.name}: the ledger has no bill for event {request_id}.")


def strangers(account: Account) -> list[str]:
    """Rows of photographs that nobody dropped. Somebody who keeps the demo running may well have dropped some."""
    return [f"the table has a row {key!r}, which nobody dropped." for key in sorted(set(account.rows()) - {photo.name for photo in PHOTOS})]


def show(daemon: Daemon, results: Sequence[Result]) -> None:
    print("\nRead back from the table:\n")
    print(table([(result.row, result.gb_seconds) for result in results], has_colour(sys.stdout)))
    print(f"\nBilled together: {sum(result.gb_seconds for result in results):.3f} GB-s.")
    pictures = [(result.row, result.thumbnail) for result in results if result.thumbnail]
    print(f"Contact sheet: {contact_sheet(daemon.state / 'contact-sheet.png', 'eventflow / photos', pictures)}")


def say_what_next(daemon: Daemon) -> None:
    state, folder = shown(daemon.state), bucket_folder(daemon)
    uploads, answers = shown(folder), shown(folder.with_name(THUMBNAILS) / "dunes.jpg")
    command = shown(Path(eventflow()))
    ask = f"{shown(Path(sys.executable))} {shown(APP.with_name('ask.py'))}"
    print(
        f"""
The daemon goes on. In another terminal, try:

  Drop a picture of your own into the bucket, which is a folder:
    cp ~/Pictures/*.jpg {uploads}/

  See what the functions say, and the schedule fire once a minute:
    {command} logs thumbnail --state {state}
    {command} logs tidy --follow --state {state}

  Send a message to the queue, and find the answer under {answers}:
    eval "$({command} env --state {state})"
    {ask} dunes.jpg 800

  Drop something that is no picture; it is tried twice, then it is among the dead letters:
    echo nonsense > {uploads}/broken.jpg
    {command} events list --state {state}
    {command} dlq list --state {state}

Ctrl-C stops the daemon.""",
        flush=True,
    )


def wait_for_interrupt(daemon: Daemon) -> int:
    """Until Ctrl-C, which is how this is meant to end; DemoError if the daemon ends by itself."""
    try:
        daemon.wait()
    except KeyboardInterrupt:
        return 0
    daemon.check()
    return 1


def shown(path: Path) -> str:
    """A path as short as it can be typed from here."""
    with contextlib.suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


def stop(daemon: Daemon) -> None:
    with contextlib.suppress(DemoError):
        daemon.check()
        print("\nStopping: no new events are taken, and running functions may finish ...", flush=True)
        daemon.stop()
        print("Stopped.")


def conclude(daemon: Daemon, status: int, keep: bool, is_ours: bool) -> int:
    if status == 0 and not keep and is_ours:
        shutil.rmtree(daemon.state)
        print(f"{daemon.state} is removed; without KEEP=0 the contact sheet and all the rest would stay.")
    elif daemon.state.exists():
        print(
            f"Everything is kept in {shown(daemon.state)}; {shown(Path(eventflow()))} run {shown(APP)} --state {shown(daemon.state)} goes on with it."
        )
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
