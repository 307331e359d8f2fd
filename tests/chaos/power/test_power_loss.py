"""Power loss: whatever part of the unsynced writes reached the disk, the state opens clean, and holds all that had been acknowledged."""

import asyncio
import json
import random
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

from eventflow.clock import SystemClock
from eventflow.composition import Core
from eventflow.database import Database
from tests.chaos.checker import DEAD, DONE, name_in
from tests.chaos.power import recording
from tests.chaos.power.disk import MODES, Disk
from tests.chaos.power.recording import Answer, Recording
from tests.chaos.power.trace import SYNCS, Call, read

APPLICATION = Path(__file__).parents[1] / "application.py"
CUTS = 60
OPERATIONS = 40
HEADER = re.compile(rb"HTTP/1\.1 2\d\d .*?\r\nx-amzn?-request-?id: ([0-9a-zA-Z-]+)\r\n", re.DOTALL | re.IGNORECASE)
HTTP = "\\x48\\x54\\x54\\x50\\x2f\\x31"


@dataclass
class Known:
    """What the world knew at a moment: the answers that had left the daemon, and the names of attempts that had ended."""

    answered: list[Answer] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)

    def learn(self, call: Call, answers: dict[str, Answer]) -> bool:
        """Take in a call; whether it was an answer that somebody waited for."""
        if call.name in ("sendto", "write", "sendmsg") and HTTP in call.arguments[:400]:
            found = HEADER.search(call.strings()[0])
            answer = answers.get(found[1].decode()) if found else None
            if answer is not None:
                self.answered.append(answer)
            return answer is not None
        if call.name == "write" and "<" in call.arguments[:8] and call.path().endswith("/attempts"):
            word, _function, name, *_rest = call.strings()[0].decode().split()
            if word == "ended":
                self.ended.add(name)
        return False


def ignored(path: PurePosixPath) -> bool:
    """Of no promise: logs, what only runs, what SQLite makes anew, and whatever is not the state."""
    return (
        path.parts[:1] not in ((), ("state",))
        or path.parts[1:2] in (("logs",), ("run",))
        or path.name.startswith("daemon.")
        or path.name.endswith("-shm")
    )


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_what_was_acknowledged_outlives_a_power_loss_at_any_moment(tmp_path: Path) -> None:
    if why := recording.missing():
        pytest.skip(why)
    (tmp_path / "work").mkdir()
    recorded = Recording(tmp_path / "work", APPLICATION)
    recorded.run(1, OPERATIONS, gracefully=True)  # the first start makes everything, the stop writes SQLite's log back
    recorded.run(2, OPERATIONS, gracefully=False)
    chance = random.Random(1)
    moments = interesting(recorded, chance)
    disk, known = Disk(recorded.folder, ignored), Known()
    for number, call in enumerate(recorded.calls()):
        disk.play(call)
        known.learn(call, recorded.answers)
        if number in moments:
            mode = chance.choice(MODES)
            fresh = tmp_path / f"after-{number}-{mode}"
            disk.recover(fresh, mode, chance)
            asyncio.run(check(fresh / "state", known, recorded.replacements, f"after call {number} ({call.name}), unsynced writes {mode}"))
            shutil.rmtree(fresh)
    assert len(known.answered) == len(recorded.answers) > 4 * OPERATIONS


def interesting(recorded: Recording, chance: random.Random) -> set[int]:
    """Moments right after answers and syncs, and any others."""
    answers: list[int] = []
    syncs: list[int] = []
    known, number = Known(), 0
    for number, call in enumerate(recorded.calls()):
        if known.learn(call, recorded.answers):
            answers.append(number)
        elif call.name in SYNCS:
            syncs.append(number)
    third = CUTS // 3
    picked = [*chance.sample(answers, min(third, len(answers))), *chance.sample(syncs, min(third, len(syncs))), *chance.sample(range(number), third)]
    return {*picked, answers[0], answers[-1], number}


async def check(state: Path, known: Known, replacements: Mapping[str, list[str]], when: str) -> None:
    """Open what is left as a daemon would, and look for everything that was promised."""
    if not (state / "eventflow.db").exists():
        assert not known.answered, f"{when}: there is no state file, and {len(known.answered)} answers had been given"
        return
    database = Database(state / "eventflow.db")
    try:
        await as_of_an_earlier_run(database)
        core = Core(database, SystemClock(), buckets=state / "buckets", account="000000000000", region="us-east-1")
        await core.open()
        try:
            [sound] = await database.read(lambda connection: connection.execute("PRAGMA integrity_check").fetchone())
            assert sound == "ok", f"{when}: {sound}"
            wrongs = [
                *await database.read(lambda connection: list(check_rows(connection, known))),
                *[wrong async for wrong in check_objects(core, known, replacements)],
            ]
            assert not wrongs, f"{when}: {'; '.join(wrongs[:5])} ({len(wrongs)} in all)"
        finally:
            core.close()
    finally:
        database.close()


async def as_of_an_earlier_run(database: Database) -> None:
    """Have what was written be of a run of the machine that a power cut has ended."""

    def change(connection: sqlite3.Connection) -> None:
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'pending_bodies'").fetchone():
            connection.execute("UPDATE pending_bodies SET boot = 'an earlier one'")

    await database.write(change)


def check_rows(connection: sqlite3.Connection, known: Known) -> Iterator[str]:
    events = {
        name_in(json.loads(payload)): (function, state)
        for function, payload, state in connection.execute("SELECT function, payload, state FROM events")
    }
    messages = [
        (queue, body)
        for queue, body in connection.execute(
            "SELECT q.name, b.body FROM queue_messages m JOIN queues q ON q.id = m.queue JOIN queue_bodies b ON b.id = m.id"
        )
    ]
    bodies = {body for _queue, body in messages}
    letters = {json.loads(body)["name"] for queue, body in messages if queue == "letters"}
    for answer in known.answered:
        if answer.kind == "event" and answer.name not in events:
            yield f"the event {answer.name} is lost"
        elif answer.kind == "message" and answer.name not in bodies and answer.name not in known.ended:
            yield f"the message {answer.name} is lost"
    for name, (function, state) in events.items():
        if state == DONE and name not in known.ended:
            yield f"the event {name} is done, and no attempt at it had ended"
        elif state == DEAD and function == "doomed" and name not in letters:
            yield f"the event {name} is dead, and not among the letters"


async def check_objects(core: Core, known: Known, replacements: Mapping[str, list[str]]):  # type: ignore[no-untyped-def]
    if not any(answer.kind in ("put", "deleted", "replaced") for answer in known.answered):
        return
    source = await core.objects.source("inbox")
    for answer in known.answered:
        if answer.kind == "put":
            version = await source.describe(answer.name)
            if version is None or version.etag != answer.digest:
                yield f"the object {answer.name} is {'lost' if version is None else 'not what it was'}"
        elif answer.kind == "deleted" and await source.describe(answer.name) is not None:
            yield f"the object {answer.name} is back"
    for name, digest in {answer.name: answer.digest for answer in known.answered if answer.kind == "replaced"}.items():
        version, digests = await source.describe(name), replacements[name]
        if version is None or version.etag not in digests[digests.index(digest) :][:2]:  # the next one may be there, unanswered
            yield f"the object {name} is {'lost' if version is None else 'neither the last that was acknowledged nor the one after it'}"


def test_a_sync_covers_what_was_written_before_it_was_entered(tmp_path: Path) -> None:
    hexed = "".join(f"\\x{byte:02x}" for byte in b"/r/state/f")
    lines = [
        '7 openat(AT_FDCWD<\\x2f>, "' + hexed + '", O_RDWR|O_CREAT, 0600) = 5<' + hexed + ">",
        f'7 pwrite64(5<{hexed}>, "\\x61\\x62", 2, 0) = 2',
        f"8 fsync(5<{hexed}> <unfinished ...>",
        f'7 pwrite64(5<{hexed}>, "\\x63\\x64", 2, 0) = 2',
        "8 <... fsync resumed>) = 0",
        f'7 write(5<{hexed}>, "\\x65", 1) = -1 ENOSPC (No space left on device)',
    ]
    state = "".join(f"\\x{byte:02x}" for byte in b"/r/state")
    disk = Disk(Path("/r"), ignored)
    for call in read(['7 mkdir("' + state + '", 0777) = 0', *lines]):
        disk.play(call)
    disk.recover(tmp_path / "lost", "lost", random.Random(1))
    assert list((tmp_path / "lost").iterdir()) == []  # neither the directory nor the file's name was synced
    disk.recover(tmp_path / "kept", "kept", random.Random(1))
    assert (tmp_path / "kept/state/f").read_bytes() == b"cd"
    for call in read([f"7 fsync(3<{''.join(f'{chr(92)}x{byte:02x}' for byte in name)}>) = 0" for name in (b"/r", b"/r/state")]):
        disk.play(call)
    disk.recover(tmp_path / "synced", "lost", random.Random(1))
    assert (tmp_path / "synced/state/f").read_bytes() == b"ab"
