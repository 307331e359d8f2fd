"""The independent checker: compares what was acknowledged, what handlers noted, who was killed when, and what the state file says in the end.

It shares no code with eventflow and imports none of it. All instants are Unix seconds of one machine's clock.
"""

import itertools
import json
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

#: Between an instant that the daemon notes and the same instant noted by a handler: they are two processes.
SLACK = 0.1
#: An attempt that ended this long before the kill ought to have been settled by then.
SETTLING = 10.0
READY, WAITING, DONE, DEAD = range(4)
STATES = ("ready", "waiting", "done", "dead")


@dataclass
class Attempt:
    """One run of a handler on one name, as the handler itself noted it."""

    function: str
    name: str
    request_id: str
    begun: float
    pid: int
    ended: float | None = None


@dataclass(frozen=True)
class Kill:
    """``victim`` died somewhere from ``start`` to ``end``."""

    victim: str
    start: float
    end: float


@dataclass(frozen=True)
class Event:
    """A row of the state file."""

    id: str
    function: str
    name: str
    state: int
    reason: str


@dataclass(frozen=True)
class Entry:
    """A row of the ledger: one attempt that was settled."""

    status: str
    started_at: float
    ended_at: float
    error_type: str | None = None


@dataclass
class Evidence:
    """All there is to judge by. ``acknowledged`` are names by kind; ``failures`` and ``letters`` count the dead letters by request id; ``instants``
    are those at which schedules had to fire; ``messages_left`` those still in the queue of jobs."""

    acknowledged: Mapping[str, Sequence[str]]
    attempts: Sequence[Attempt]
    kills: Sequence[Kill]
    events: Sequence[Event]
    ledger: Mapping[str, Sequence[Entry]]
    failures: Mapping[str, int]
    letters: Mapping[str, int]
    instants: Mapping[str, Sequence[str]]
    messages_left: int = 0


@dataclass
class Verdict:
    """``counts`` by source; ``duplicates`` were handled again after a kill, which is allowed; ``wrongs`` are sentences, each a broken promise."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrongs: list[str] = field(default_factory=list)
    lost: int = 0
    longest_unsettled: float = 0.0


#: The function that handles what a sender called by this kind.
HANDLERS = {
    "work": "work",
    "slow": "slow",
    "flaky": "flaky",
    "relay": "relay",
    "doomed": "doomed",
    "object": "arrived",
    "file": "arrived",
    "message": "job",
    "tick": "tick",
    "minute": "minute",
}


def judge(evidence: Evidence) -> Verdict:
    verdict = Verdict()
    by_name: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in evidence.events:
        by_name[event.function, event.name].append(event)
    tried: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for attempt in evidence.attempts:
        tried[attempt.function, attempt.name].append(attempt)
    check_acknowledged(evidence, by_name, tried, verdict)
    for event in evidence.events:
        check_event(event, tried[event.function, event.name], evidence, verdict)
    for (function, name), events in by_name.items():
        if len(events) > 1:
            verdict.wrongs.append(f"{function} {name} was accepted {len(events)} times: {', '.join(event.id for event in events)}")
    for (function, _name), attempts in tried.items():
        check_repetitions(function, attempts, evidence, verdict)
    check_letters(evidence, verdict)
    check_relays(by_name, verdict)
    if evidence.messages_left:
        verdict.wrongs.append(f"{evidence.messages_left} messages are still in the queue of jobs")
    return verdict


def check_acknowledged(
    evidence: Evidence, by_name: Mapping[tuple[str, str], list[Event]], tried: Mapping[tuple[str, str], list[Attempt]], verdict: Verdict
) -> None:
    """What was acknowledged was handled. (An instant is acknowledged by the clock.)"""
    for kind, names in {**evidence.acknowledged, **evidence.instants}.items():
        if kind not in HANDLERS:
            continue
        function, count = HANDLERS[kind], verdict.counts[kind]
        for name in names:
            count["accepted"] += 1
            events = by_name.get((function, name), [])
            handled = any(attempt.ended is not None for attempt in tried.get((function, name), []))
            dead = any(event.state == DEAD for event in events)
            if function != "job" and not events:
                verdict.wrongs.append(f"LOST: {kind} {name} was acknowledged and is not in the state file")
                count["lost"] += 1
            elif handled:
                count["handled"] += 1
            elif dead:  # whether rightly so, check_event says
                count["dead"] += 1
            else:
                verdict.wrongs.append(f"LOST: {kind} {name} was acknowledged and never handled to its end")
                count["lost"] += 1
        verdict.lost += count["lost"]


def check_event(event: Event, attempts: Sequence[Attempt], evidence: Evidence, verdict: Verdict) -> None:
    """An event's state agrees with what its handler noted."""
    entries = evidence.ledger.get(event.id, ())
    successes = [entry for entry in entries if entry.status == "success"]
    ended = [attempt for attempt in attempts if attempt.ended is not None and attempt.request_id == event.id]
    what = f"{event.function} {event.name} ({event.id})"
    if event.state in (READY, WAITING):
        verdict.wrongs.append(f"{what} is still {STATES[event.state]} at the end")
    elif event.state == DONE and not ended:
        verdict.wrongs.append(f"{what} is done, and no attempt at it ever ended")
    elif event.state == DEAD and event.function == "doomed" and ended:
        verdict.wrongs.append(f"{what} is dead, and an attempt at it ended well")
    elif event.state == DEAD and event.function != "doomed":
        check_death(what, event, entries, evidence.kills, verdict)
    if len(successes) > 1:
        verdict.wrongs.append(f"{what} was settled as a success {len(successes)} times")
    runs = [attempt for attempt in attempts if attempt.request_id == event.id]
    for entry in successes:
        if any(entry.started_at <= before.begun for before in runs[:-1]):
            verdict.wrongs.append(f"{what} ran again at {runs[-1].begun:.3f}, and the attempt begun at {entry.started_at:.3f} had been a success")


def check_death(what: str, event: Event, entries: Sequence[Entry], kills: Sequence[Kill], verdict: Verdict) -> None:
    """What would have succeeded may only be dead if its environment was killed under it time and again, or the machine was so slow that a time limit
    ended it. (A flaky one fails once by itself.)"""
    errors = [entry for entry in entries if entry.status == "function_error"]
    killed = sum(entry.error_type == "Sandbox.Timedout" or any(overlap(kill, entry.started_at, entry.ended_at) for kill in kills) for entry in errors)
    if not event.reason.startswith("RetriesExhausted") or len(errors) < 3 or killed + (event.function == "flaky") < len(errors):
        verdict.wrongs.append(f"{what} is dead, though its environment was killed only {killed} times: {event.reason}")


def check_repetitions(function: str, attempts: Sequence[Attempt], evidence: Evidence, verdict: Verdict) -> None:
    """Whatever ran again did so because an attempt failed (the ledger says so) or because it was under way when something was killed."""
    kind = {"arrived": "object", "job": "message"}.get(function, function)
    failed = {id: sorted(entry.started_at for entry in evidence.ledger.get(id, ()) if entry.status != "success") for id in ids_of(attempts)}
    for before, again in itertools.pairwise(attempts):
        failures = failed[before.request_id]
        # One that is nearer to the second is the second's: that of the first was killed with its daemon before it was settled.
        if before.ended is None and failures and abs(failures[0] - before.begun) <= abs(failures[0] - again.begun):
            failures.pop(0)
            continue
        excuses = [kill for kill in evidence.kills if overlap(kill, before.begun, again.begun)]
        if not excuses:
            what = f"{function} {before.name} ran at {before.begun:.3f} (pid {before.pid}) and again at {again.begun:.3f} (pid {again.pid})"
            verdict.wrongs.append(f"{what}, and nothing was killed in between")
        elif before.ended is not None:
            verdict.counts[kind]["duplicated"] += 1
            unsettled = min(max(0.0, kill.start - before.ended) for kill in excuses)
            verdict.longest_unsettled = max(verdict.longest_unsettled, unsettled)
            if unsettled > SETTLING:
                verdict.wrongs.append(f"{function} {before.name} ran again, though its attempt had ended {unsettled:.1f} s before the first kill")


def check_letters(evidence: Evidence, verdict: Verdict) -> None:
    """Each dead event is in its queues exactly once, and nothing else is."""
    dead = {event.id: event for event in evidence.events if event.state == DEAD}
    for queue, found, expected in (
        ("failures", evidence.failures, {id for id, event in dead.items() if event.function != "after"}),
        ("letters", evidence.letters, {id for id, event in dead.items() if event.function == "doomed"}),
    ):
        for id in expected - set(found):
            verdict.wrongs.append(f"LOST: {dead[id].function} {dead[id].name} ({id}) is dead and not in the queue {queue}")
            verdict.lost += 1
        for id, number in found.items():
            if id not in expected:
                verdict.wrongs.append(f"the event {id} is in the queue {queue} and not dead")
            elif number != 1:
                verdict.wrongs.append(f"the dead event {id} is in the queue {queue} {number} times")
        verdict.counts[f"queue {queue}"]["accepted"] = len(expected)
        verdict.counts[f"queue {queue}"]["handled"] = len(expected & set(found))


def check_relays(by_name: Mapping[tuple[str, str], list[Event]], verdict: Verdict) -> None:
    """A success has its record at its destination, once; nothing else has one."""
    relays = {name: events[0] for (function, name), events in by_name.items() if function == "relay"}
    for name, event in relays.items():
        sent = len(by_name.get(("after", name), []))
        if sent != (event.state == DONE):
            verdict.wrongs.append(f"relay {name} is {STATES[event.state]} and has {sent} events at its destination")
    verdict.counts["destination"]["accepted"] = sum(event.state == DONE for event in relays.values())
    verdict.counts["destination"]["handled"] = sum(("after", name) in by_name for name in relays)


def ids_of(attempts: Sequence[Attempt]) -> set[str]:
    return {attempt.request_id for attempt in attempts}


def overlap(kill: Kill, start: float, end: float) -> bool:
    return kill.start <= end + SLACK and kill.end >= start - SLACK


# Reading the evidence.


def read_acknowledged(*logs: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for log in logs:
        for line in log.read_text().splitlines() if log.exists() else ():
            kind, name, _at = line.split()
            found[kind].append(name)
    return found


#: Whole at the end of a line: what stands before it was cut off when its process was killed in the middle of writing it.
ATTEMPT = re.compile(r"(begun|ended) (\S+) (\S+) (\S+) ([\d.]+) (\d+)$")


def read_attempts(log: Path) -> list[Attempt]:
    found: list[Attempt] = []
    under_way: dict[tuple[str, str, str, str], Attempt] = {}
    for line in log.read_text().splitlines():
        whole = ATTEMPT.search(line)
        if whole is None:
            continue
        word, function, name, request_id, at, pid = whole.groups()
        key = (function, name, request_id, pid)
        if word == "begun":
            under_way[key] = Attempt(function, unquote_plus(name), request_id, float(at), int(pid))
            found.append(under_way[key])
        else:
            under_way.pop(key).ended = float(at)
    return found


def read_state(path: Path) -> tuple[list[Event], dict[str, list[Entry]]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
        assert sound == "ok", f"the state file is damaged: {sound}"
        rows = connection.execute("SELECT id, function, payload, state, reason FROM events").fetchall()
        entries = connection.execute("SELECT event_id, status, started_at, duration_ms, error_type FROM attempts").fetchall()
    finally:
        connection.close()
    ledger: dict[str, list[Entry]] = defaultdict(list)
    for event_id, status, started_at, duration_ms, error_type in entries:
        ledger[event_id].append(Entry(status, started_at, started_at + duration_ms / 1000, error_type))
    return [Event(id, function, name_in(json.loads(payload)), state, reason) for id, function, payload, state, reason in rows], ledger


def name_in(payload: Any) -> str:
    """What the load calls an event."""
    if "Records" in payload:
        return unquote_plus(payload["Records"][0]["s3"]["object"]["key"])
    return str(payload.get("requestPayload", payload).get("name") or payload["time"])


def read_kills(log: Path) -> list[Kill]:
    lines = [line.split() for line in log.read_text().splitlines()]
    return [Kill(victim, float(start), float(end)) for victim, start, end in lines]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their longest word; the first to the left, numbers to the right."""
    texts = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = [
        "  ".join(word.ljust(width) if number == 0 else word.rjust(width) for number, (word, width) in enumerate(zip(row, widths, strict=True)))
        for row in texts
    ]
    return "\n".join(line.rstrip() for line in lines)
