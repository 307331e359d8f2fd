"""Memory and CPU limits of an environment: control groups where the kernel lets us make them, else a watch on the resident set."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

MEGABYTE = 1024 * 1024
#: Lambda: 1,769 MB are one virtual CPU, and 1,024 processes and threads.
MEMORY_OF_ONE_CPU = 1769
MOST_PROCESSES = 1024
SHARES_OF_ONE_CPU = 1024
#: Where a watch stands in for a control group, allocations beyond the limit and this fail at once, before the watch looks again.
WATCH_HEADROOM = 512 * MEGABYTE
CGROUPS = Path("/sys/fs/cgroup")
#: Below a group that systemd delegated to us: the daemon itself and the zygote.
OURSELVES = "daemon"


class Confinement(Protocol):
    """The limits of one environment. ``procs`` are the files into which the process writes itself, ``data_limit`` its RLIMIT_DATA (0: none),
    ``memory_events`` the file for ``times_out_of_memory`` (empty: none)."""

    @property
    def procs(self) -> Sequence[str]: ...
    @property
    def data_limit(self) -> int: ...
    @property
    def memory_events(self) -> str: ...
    def out_of_memory(self) -> bool:
        """Whether the kernel has killed something in it for want of memory."""
        ...

    def release(self) -> None:
        """Kill what is left in it and remove it."""
        ...


class Limiter(Protocol):
    """``watched`` says that nobody enforces the memory limit but whoever polls ``resident``."""

    name: str
    watched: bool

    def confine(self, environment: str, memory_mb: int) -> Confinement: ...
    def sweep(self) -> None: ...


class Watched:
    """No control group: the pool polls the resident set; the data segment is limited a little above."""

    procs: Sequence[str] = ()
    memory_events = ""

    def __init__(self, memory_mb: int) -> None:
        self.data_limit = memory_mb * MEGABYTE + WATCH_HEADROOM

    def out_of_memory(self) -> bool:
        return False

    def release(self) -> None:
        return


class WatchLimiter:
    name = "resident-set watch and RLIMIT_DATA"
    watched = True

    def confine(self, environment: str, memory_mb: int) -> Watched:
        return Watched(memory_mb)

    def sweep(self) -> None:
        return


class Grouped:
    """One directory per controller (version 1) or one for all (version 2)."""

    data_limit = 0

    def __init__(self, folders: Sequence[Path], events: Path, entrance: str) -> None:
        self._folders = folders
        self.memory_events = str(events)
        self.procs = [str(folder / entrance) for folder in folders]

    def out_of_memory(self) -> bool:
        return times_out_of_memory(self.memory_events) > 0

    def release(self) -> None:
        for folder in self._folders:
            remove(folder)


class CgroupV1Limiter:
    name = "cgroup v1"
    watched = False

    def __init__(self, owner: str, root: Path = CGROUPS) -> None:
        self._parents = {controller: root / controller / "eventflow" / owner for controller in ("memory", "cpu", "pids")}

    def open(self) -> None:
        """Make the parents; raises OSError where we may not, or where there are no such controllers."""
        for parent in self._parents.values():
            parent.parent.mkdir(exist_ok=True)
            parent.mkdir(exist_ok=True)
            if not (parent / "cgroup.procs").exists():
                raise FileNotFoundError(f"{parent} is no control group")

    def confine(self, environment: str, memory_mb: int) -> Grouped:
        folders = {controller: parent / environment for controller, parent in self._parents.items()}
        for folder in folders.values():
            folder.mkdir()
        (folders["memory"] / "memory.limit_in_bytes").write_text(str(memory_mb * MEGABYTE))
        with contextlib.suppress(OSError):  # only where swap accounting is on
            (folders["memory"] / "memory.memsw.limit_in_bytes").write_text(str(memory_mb * MEGABYTE))
        (folders["cpu"] / "cpu.shares").write_text(str(max(2, SHARES_OF_ONE_CPU * memory_mb // MEMORY_OF_ONE_CPU)))
        (folders["pids"] / "pids.max").write_text(str(MOST_PROCESSES))
        # A thread that moves itself (tasks) takes no lock of all processes, as a process that moves (cgroup.procs) does: that one waits for a grace
        # period of the kernel, 5 to 50 ms on an idle machine. The process has one thread when it enters.
        return Grouped(list(folders.values()), folders["memory"] / "memory.oom_control", "tasks")

    def sweep(self) -> None:
        for parent in self._parents.values():
            remove(parent)


class CgroupV2Limiter:
    name = "cgroup v2"
    watched = False

    def __init__(self, owner: str, root: Path = CGROUPS) -> None:
        self._parent = root / "eventflow" / owner

    def open(self) -> None:
        for folder in (self._parent.parent.parent, self._parent.parent, self._parent):
            folder.mkdir(exist_ok=True)
            if not (folder / "cgroup.procs").exists():
                raise FileNotFoundError(f"{folder} is no control group")
            (folder / "cgroup.subtree_control").write_text("+memory +cpu +pids")

    def confine(self, environment: str, memory_mb: int) -> Grouped:
        folder = self._parent / environment
        folder.mkdir()
        (folder / "memory.max").write_text(str(memory_mb * MEGABYTE))
        with contextlib.suppress(OSError):  # only where there is swap
            (folder / "memory.swap.max").write_text("0")
        (folder / "cpu.weight").write_text(str(min(10_000, max(1, 100 * memory_mb // MEMORY_OF_ONE_CPU))))
        (folder / "pids.max").write_text(str(MOST_PROCESSES))
        return Grouped([folder], folder / "memory.events", "cgroup.procs")

    def sweep(self) -> None:
        remove(self._parent)


def times_out_of_memory(memory_events: str) -> int:
    """How many processes of a control group the kernel has killed for want of memory."""
    try:
        lines = Path(memory_events).read_text().splitlines() if memory_events else []
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def choose_limiter(owner: str, root: Path = CGROUPS) -> Limiter:
    """The strongest that works here; ``owner`` tells this daemon's groups from another's."""
    if sys.platform != "linux":
        return WatchLimiter()
    limiter: CgroupV2Limiter | CgroupV1Limiter
    sweep_dead_owners(root)
    own = delegated(root)
    if own is not None:
        limiter = CgroupV2Limiter(owner, own)
    else:
        limiter = CgroupV2Limiter(owner, root) if (root / "cgroup.controllers").exists() else CgroupV1Limiter(owner, root)
    try:
        if own is not None:
            make_room(own)
        limiter.open()
        limiter.confine("probe", 128).release()
    except OSError:
        return WatchLimiter()
    return limiter


def delegated(root: Path, membership: Path = Path("/proc/self/cgroup"), me: int | None = None) -> Path | None:
    """The version 2 group that systemd gave to this process alone (``Delegate=``), if it did: it belongs to our user, and holds nobody but us."""
    try:
        [path] = [line.partition("::")[2] for line in membership.read_text().splitlines() if line.startswith("0::")]
        folder = root / path.strip("/")
        if path.endswith(f"/{OURSELVES}"):
            folder = folder.parent  # of a daemon in this process that made room before
        if folder == root or not (root / "cgroup.controllers").exists() or not os.access(folder / "cgroup.subtree_control", os.W_OK):
            return None
        inside = {int(pid) for place in (folder, folder / OURSELVES) if place.exists() for pid in (place / "cgroup.procs").read_text().split()}
        alone = inside == {os.getpid() if me is None else me}
        return folder if alone and folder.stat().st_uid == os.geteuid() and (os.geteuid() != 0 or is_marked(folder)) else None
    except (OSError, ValueError):
        return None


def is_marked(folder: Path) -> bool:
    """Whether systemd says that it delegated this group: root owns those, too, that it did not."""
    with contextlib.suppress(OSError):
        return os.getxattr(folder, "trusted.delegate") == b"1"
    return False


def make_room(own: Path) -> None:
    """Move ourselves one down: a group that hands controllers on to others may hold no process."""
    below = own / OURSELVES
    below.mkdir(exist_ok=True)
    (below / "cgroup.procs").write_text(str(os.getpid()))


def sweep_dead_owners(root: Path) -> None:
    """End what still runs in the groups of daemons that were killed (their handlers' own children), and remove them. An owner is named by its pid."""
    for folder in (*root.glob("eventflow/*"), *root.glob("*/eventflow/*")):
        if folder.name.isdigit() and folder.is_dir() and not Path("/proc", folder.name).exists():
            remove(folder)


def remove(folder: Path) -> None:
    """Remove a group and those below it, ending what still runs there; what cannot be removed now is removed at the next start's sweep."""
    try:
        for below in [entry for entry in folder.iterdir() if entry.is_dir()]:
            remove(below)
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        folder.rmdir()
    except OSError:
        return


def resident_bytes(pids: Sequence[int]) -> dict[int, int]:
    """The resident set of each process that still lives."""
    if sys.platform == "linux":
        return {pid: size for pid in pids if (size := linux_resident(pid))}
    import subprocess  # on a machine where it is not needed, a function's process does not have it either

    listing = subprocess.run(["/bin/ps", "-o", "pid=,rss=", "-p", ",".join(map(str, pids))], capture_output=True, text=True, check=False)
    return {int(pid): int(kilobytes) * 1024 for pid, kilobytes in (line.split() for line in listing.stdout.splitlines())}


def linux_resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as statm:  # noqa: PTH123 - polled often
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def resident_below(leaders: Sequence[int]) -> dict[int, int]:
    """The resident sets of all processes in the groups that these lead, without the leaders' own."""
    totals = dict.fromkeys(leaders, 0)
    for pid, group, size in linux_groups() if sys.platform == "linux" else listed_groups():
        if group in totals and pid != group:
            totals[group] += size
    return totals


def linux_groups() -> Iterator[tuple[int, int, int]]:
    """Number, group and resident bytes of every process."""
    page = os.sysconf("SC_PAGE_SIZE")
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - polled often
        with contextlib.suppress(OSError, IndexError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123 - polled often
            fields = stat.read().rpartition(b") ")[2].split()
            yield int(name), int(fields[2]), int(fields[21]) * page


def listed_groups() -> Iterator[tuple[int, int, int]]:
    import subprocess

    listing = subprocess.run(["/bin/ps", "-A", "-o", "pid=,pgid=,rss="], capture_output=True, text=True, check=False)
    for line in listing.stdout.splitlines():
        pid, group, kilobytes = map(int, line.split())
        yield pid, group, kilobytes * 1024


def available_memory() -> int | None:
    """Bytes that new processes could use, or None where the machine does not say."""
    try:
        with open("/proc/meminfo") as meminfo:  # noqa: PTH123
            for line in meminfo:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def on_processor(pids: Sequence[int]) -> int:
    """How many of these processes run or want to run at this moment, as opposed to waiting for something (all of them where that cannot be told)."""
    return sum(state_of(pid) in ("R", "?") for pid in pids)


def state_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - polled often
            return stat.read().rpartition(b") ")[2][:1].decode()
    except OSError:
        return "?"
