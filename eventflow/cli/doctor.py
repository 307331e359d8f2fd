"""``eventflow doctor``: what of the isolation and of the machine's services works here."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
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
from eventflow.runtime.limits import available_memory, choose_limiter
from eventflow.settings import read_settings

MEGABYTE = 1024 * 1024
LITTLE_DISK = 512 * MEGABYTE
FEW_FILES = 1_024


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
    directory = read_settings(Path.cwd(), {"state": state}).state
    findings = [*(check() for check in MACHINE), disk(directory), daemon(directory)]
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
        return Finding("file events", "weaker", f"no inotify ({os.strerror(ctypes.get_errno())}): buckets are looked through at intervals")
    os.close(descriptor)
    return Finding("file events", "ok", f"inotify, {watches()} directories at most; network file systems are looked through at intervals")


def watches() -> str:
    try:
        return Path("/proc/sys/fs/inotify/max_user_watches").read_text().strip()
    except OSError:
        return "an unknown number of"


def memory() -> Finding:
    available = available_memory()
    if available is None:
        return Finding("memory", "ok", "the machine does not say how much is available")
    return Finding("memory", "ok" if available > 256 * MEGABYTE else "weaker", f"{available // MEGABYTE} MB available")


def open_files() -> Finding:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FEW_FILES:
        return Finding("open files", "weaker", f"at most {soft}: raise it (ulimit -n) for many functions and connections at once")
    return Finding("open files", "ok", "unlimited" if soft == resource.RLIM_INFINITY else f"at most {soft}")


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


def disk(directory: Path) -> Finding:
    existing = next(folder for folder in (directory, *directory.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        return Finding("state directory", "missing", f"{directory} cannot be written by this user; choose another with --state")
    free = shutil.disk_usage(existing).free
    verdict = "ok" if free > LITTLE_DISK else "weaker"
    return Finding("state directory", verdict, f"{directory}, {free // MEGABYTE} MB free")


def daemon(directory: Path) -> Finding:
    try:
        client = Client.of(directory)
    except DaemonError as error:
        return Finding("daemon", "ok", str(error).partition(". ")[0])
    return Finding("daemon", "ok", f"runs at {client.address.url}, pid {client.address.pid}")


MACHINE: tuple[Callable[[], Finding], ...] = (python, user, memory_limits, orphans, file_events, memory, open_files, sqlite, time_zones)
