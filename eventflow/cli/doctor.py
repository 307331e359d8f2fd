"""``eventflow doctor``: what of the isolation and of the machine's services works here."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sqlite3
import sys
import zoneinfo
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from eventflow.cli.client import Client
from eventflow.cli.display import json_option, print_json, print_table, state_option
from eventflow.connection import DaemonError
from eventflow.descriptors import WANTED
from eventflow.errors import StorageError
from eventflow.journals.check import CHECKED_AT_START, glance
from eventflow.runtime import opt, runtimes
from eventflow.runtime.limits import available_memory, choose_limiter
from eventflow.settings import read_settings
from eventflow.state_directory import StateDirectory

MEGABYTE = 1024 * 1024
LITTLE_DISK = 512 * MEGABYTE
FULL_DISK = 4 * MEGABYTE
FEW_FILES = 1_024
FEW_INODES = 1_000
#: The share of a limit that is taken for too much of it.
NEARLY = 0.8
INOTIFY = Path("/proc/sys/fs/inotify")
NOT_SYNCHRONISED = 5  # TIME_ERROR of <sys/timex.h>


@dataclass(frozen=True)
class Finding:
    """``verdict`` is ``ok``, ``weaker`` (eventflow runs, and this says what it does instead) or ``missing`` (it cannot run well)."""

    subject: str
    verdict: str
    text: str


@click.command()
@state_option
@json_option
def doctor(state: Path | None, as_json: bool) -> None:
    """Tell what of the isolation works on this machine. The exit status is 1 when something that is needed is missing."""
    settings = read_settings(Path.cwd(), {"state": state})
    directory = settings.state
    findings = [*(check() for check in MACHINE), watches(settings.buckets), disk(directory), state_file(directory), daemon(directory)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_table(("SUBJECT", "VERDICT", "FINDING"), [(finding.subject, finding.verdict, finding.text) for finding in findings])
    missing = [finding.subject for finding in findings if finding.verdict == "missing"]
    if missing:
        raise click.ClickException(f"Missing here: {', '.join(missing)}.")


def python() -> Finding:
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    if sys.prefix == sys.base_prefix:
        return Finding("python", "weaker", f"{text}; not in a virtual environment: applications share packages with the system")
    return Finding("python", "ok", f"{text}, in the virtual environment {sys.prefix}")


def languages() -> Finding:
    """What runs functions that have a package: Python of this version always does, and so does what brings its own bootstrap."""
    there = {program: runtimes.find(program) for program in sorted(set(runtimes.PROGRAMS.values()) - {"", runtimes.OURSELVES})}
    found = [f"{program} ({one.version})" for program, one in there.items() if one is not None]
    missing = [program for program, one in there.items() if one is None]
    text = f"{', '.join([runtimes.OURSELVES, *found])} and custom runtimes"
    return Finding("languages", "ok", f"{text}; not on the PATH: {', '.join(missing)}" if missing else text)


def layers() -> Finding:
    if opt.works():
        return Finding("layers", "ok", "functions have their layers at /opt")
    text = "functions have their layers where these lie, and the variables that name them: /opt takes root, or user namespaces with overlays"
    return Finding("layers", "weaker", text)


def user() -> Finding:
    if os.geteuid() == 0:
        return Finding("user", "weaker", "runs as root, and so do the functions: run it as a user of its own in production")
    return Finding("user", "ok", f"runs as user {os.geteuid()}")


def memory_limits() -> Finding:
    limiter = choose_limiter(f"doctor-{os.getpid()}")
    limiter.sweep()
    if limiter.watched:
        return Finding(
            "memory limit", "weaker", f"{limiter.name}: control groups cannot be written here, so a function may exceed its limit for a moment"
        )
    return Finding("memory limit", "ok", f"{limiter.name}, enforced by the kernel")


def orphans() -> Finding:
    if sys.platform == "linux":
        return Finding("orphans", "ok", "the kernel ends the functions' processes when the daemon dies")
    return Finding("orphans", "weaker", "the functions' processes notice by their closed socket that the daemon died")


def file_events() -> Finding:
    if sys.platform != "linux":
        return Finding("file events", "ok", "the system tells of changed files")
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.inotify_init1(0)
    if descriptor < 0:
        return Finding(
            "file events",
            "weaker",
            f"no inotify ({os.strerror(ctypes.get_errno())}): buckets are looked through at intervals; "
            "raise the limit with: sysctl fs.inotify.max_user_instances=1024",
        )
    os.close(descriptor)
    return Finding("file events", "ok", "inotify; network file systems are looked through at intervals")


def watches(buckets: Path, limits: Path = INOTIFY) -> Finding:
    """The directories below the buckets against the kernel's limit for this user, which other programs use up too."""
    try:
        most = int((limits / "max_user_watches").read_text())
        instances = int((limits / "max_user_instances").read_text())
        names = [entry for entry in buckets.iterdir() if entry.is_dir()] if buckets.is_dir() else []
    except (OSError, ValueError) as error:
        return Finding("watches", "ok", f"the limits are not known here ({error})")
    wanted = directories_below(buckets, most)
    text = f"{wanted} directories in {len(names)} buckets, of at most {most} watches; {instances} instances"
    if wanted > most * NEARLY:
        return Finding(
            "watches",
            "weaker",
            f"{text}: buckets would be looked through at intervals; raise it with: sysctl fs.inotify.max_user_watches={max(4 * most, 1_048_576)}",
        )
    if len(names) > instances * NEARLY:
        return Finding(
            "watches", "weaker", f"{text}: a trigger takes one; raise it with: sysctl fs.inotify.max_user_instances={max(4 * instances, 1024)}"
        )
    return Finding("watches", "ok", text)


def directories_below(folder: Path, most: int) -> int:
    """How many there are; counting stops beyond ``most``."""
    found, waiting = 0, [folder]
    while waiting and found <= most:
        try:
            with os.scandir(waiting.pop()) as entries:
                below = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue  # gone, or another user's
        found += len(below)
        waiting += below
    return found


def memory() -> Finding:
    available = available_memory()
    if available is None:
        return Finding("memory", "ok", "the machine does not say how much is available")
    return Finding("memory", "ok" if available > 256 * MEGABYTE else "weaker", f"{available // MEGABYTE} MB available")


def open_files() -> Finding:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= WANTED:
        return Finding("open files", "ok", f"the daemon raises its limit to {WANTED}")
    text = f"the daemon raises its limit to {hard}, the most that this user may have"
    if hard < FEW_FILES:
        return Finding(
            "open files", "weaker", f"{text}; raise it (ulimit -Hn, LimitNOFILE= in a systemd unit) for many functions and connections at once"
        )
    return Finding("open files", "ok", text)


def sqlite() -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < (3, 35):
        return Finding("sqlite", "missing", f"SQLite {version} is too old; 3.35 or newer comes with Python from python.org or your distribution")
    return Finding("sqlite", "ok", f"SQLite {version}")


def time_zones() -> Finding:
    try:
        zoneinfo.ZoneInfo("Europe/Berlin")
    except zoneinfo.ZoneInfoNotFoundError:
        return Finding("time zones", "weaker", "no time zone data: schedules run in UTC alone; install the package tzdata")
    return Finding("time zones", "ok", "schedules may have any time zone")


def clock() -> Finding:
    """Whether the kernel takes the clock for synchronised, by ntp_adjtime(3)."""
    if sys.platform != "linux":
        return Finding("clock", "ok", "the system does not say whether it is synchronised")
    asked = ctypes.create_string_buffer(512)  # a struct timex of zeros asks and sets nothing
    answer = ctypes.CDLL(None).adjtimex(asked)
    if answer < 0:
        return Finding("clock", "ok", "the system does not say whether it is synchronised")
    if answer == NOT_SYNCHRONISED:
        return Finding("clock", "weaker", "not synchronised: schedules and retries follow a clock that may jump; run chrony or systemd-timesyncd")
    return Finding("clock", "ok", "synchronised")


def disk(directory: Path) -> Finding:
    existing = next(folder for folder in (directory, *directory.parents) if folder.exists())
    status = os.statvfs(existing)
    if status.f_flag & os.ST_RDONLY:
        return Finding(
            "state directory",
            "missing",
            f"{directory} lies on a file system that is mounted read-only: look into the kernel's log for why, and mount it for writing",
        )
    if not os.access(existing, os.W_OK):
        return Finding("state directory", "missing", f"{directory} cannot be written by this user; choose another with --state")
    free = status.f_bavail * status.f_frsize
    text = f"{directory}, {free // MEGABYTE} MB free"
    if free <= FULL_DISK:
        return Finding("state directory", "missing", f"{text}: the disk is full, events are refused; make room")
    if free <= LITTLE_DISK:
        return Finding("state directory", "weaker", f"{text}: when nothing is left events are refused; make room")
    if status.f_files and status.f_favail < FEW_INODES:
        return Finding("state directory", "weaker", f"{text}, but {status.f_favail} inodes: no new files when those are used up; remove some files")
    return Finding("state directory", "ok", text)


def state_file(directory: Path) -> Finding:
    state = StateDirectory(directory)
    if not state.database.exists():
        return Finding("state file", "ok", "none yet")
    try:
        report = glance(state.database, in_use=state.owner() is not None)
    except StorageError as error:
        return Finding("state file", "missing", str(error))
    if report.problems:
        return Finding("state file", "missing", f"damaged: {report.problems[0]}; run `eventflow journal check`, then `eventflow journal repair`")
    if report.newer:
        return Finding("state file", "missing", f"{report.newer}; install that version again, or choose another --state")
    size = f"{report.bytes // MEGABYTE} MB"
    if report.bytes > CHECKED_AT_START:
        return Finding("state file", "ok", f"{size}, sound as far as that is seen quickly; `eventflow journal check` looks at all of it")
    return Finding("state file", "ok", f"{size}, sound")


def daemon(directory: Path) -> Finding:
    try:
        client = Client.of(directory)
    except DaemonError as error:
        return Finding("daemon", "ok", str(error).partition(". ")[0])
    return Finding("daemon", "ok", f"runs at {client.address.url}, pid {client.address.pid}")


MACHINE: tuple[Callable[[], Finding], ...] = (
    python,
    languages,
    layers,
    user,
    memory_limits,
    orphans,
    file_events,
    memory,
    open_files,
    sqlite,
    time_zones,
    clock,
)
