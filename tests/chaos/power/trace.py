"""What strace recorded, as values: the system calls by which a process changes files, and what it sent over sockets, in order."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: All that changes a file or a directory, makes a change last, or answers somebody.
TRACED = (
    "openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,"
    "write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,sendfile,fsync,fdatasync,syncfs,sync_file_range,utimensat,sendto,sendmsg"
)
#: ``-y`` names descriptors, ``-xx`` writes every byte in hexadecimal, ``-s`` leaves nothing out.
OPTIONS = ("-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", "8000000", "-e", f"trace={TRACED}", "-e", "signal=none")

LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)", re.DOTALL)
RESULT = re.compile(r"\) += (-?\d+|\?)[^\"]*$")
STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
DESCRIPTOR = re.compile(r"(?:AT_FDCWD|-?\d+)<((?:\\x[0-9a-f]{2}|[^<>])*)>")


@dataclass(slots=True)
class Call:
    """One system call that succeeded. ``begun`` is false for the moment it returned, true for the moment it was entered (of a sync, which covers
    what was written before)."""

    thread: str
    name: str
    arguments: str
    result: int
    begun: bool = False

    def path(self, number: int = 0) -> str:
        """The path of the call's nth descriptor."""
        return unescape(DESCRIPTOR.findall(self.arguments)[number]).decode()

    def strings(self) -> list[bytes]:
        return [unescape(text) for text in STRING.findall(self.arguments)]

    def numbers(self) -> list[int]:
        """The plain numbers behind the last string or descriptor."""
        return [int(word) for word in re.split(r"[\">]", self.arguments)[-1].strip(", ").split(", ") if word.isdecimal()]


SYNCS = ("fsync", "fdatasync", "syncfs")


def read(lines: Iterable[str]) -> Iterator[Call]:
    """The calls in the order in which they returned; a sync comes twice, when it was entered and when it returned."""
    unfinished: dict[str, str] = {}
    for line in lines:
        found = LINE.match(line)
        if found is None:
            continue
        pid, resumed, name, rest = found.groups()
        if resumed:
            name, rest = resumed, unfinished.pop(pid, "") + rest
        elif rest.rstrip().endswith("<unfinished ...>"):
            unfinished[pid] = rest.rstrip().removesuffix("<unfinished ...>")
            if name in SYNCS:
                yield Call(pid, name, unfinished[pid], 0, begun=True)
            continue
        elif name in SYNCS:
            yield Call(pid, name, rest, 0, begun=True)
        result = RESULT.search(rest)
        if result is not None and result[1] != "?" and int(result[1]) >= 0:
            yield Call(pid, name, rest[: result.start()], int(result[1]))


def unescape(text: str) -> bytes:
    """``\\x41`` is A; what strace did not escape (a suffix of its own) stays as it is."""
    if "\\x" not in text:
        return text.encode()
    plain = re.sub(r"\\x", "", text)
    try:
        return bytes.fromhex(plain)
    except ValueError:
        return re.sub(r"\\x([0-9a-f]{2})", lambda digits: chr(int(digits[1], 16)), text).encode("latin-1")
