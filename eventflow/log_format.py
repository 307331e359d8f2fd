"""How the daemon's own log looks: readable on a terminal, JSON lines otherwise."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31;1m"}
GREY, PLAIN = "\x1b[90m", "\x1b[0m"


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class Readable(logging.Formatter):
    def __init__(self, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        mark = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        if self._colour:
            return f"{GREY}{time}{PLAIN} {COLOURS.get(record.levelname, '')}{mark}{text}{PLAIN}"
        return f"{time} {mark}{text}"


def set_up_logging(log_format: str, stream: TextIO | None = None) -> None:
    """Send eventflow's log (INFO) and everybody's warnings to ``stream`` (standard error); ``log_format`` is ``auto``, ``text`` or ``json``."""
    stream = stream or sys.stderr
    terminal = stream.isatty()
    handler = logging.StreamHandler(stream)
    as_json = log_format == "json" or (log_format == "auto" and not terminal)
    handler.setFormatter(JsonLines() if as_json else Readable(terminal))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("eventflow").setLevel(logging.INFO)
