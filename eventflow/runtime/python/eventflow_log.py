"""The log of a Python function as Lambda's Python runtime writes it: text, or JSON with one object for each record.

It is used in environments, and beside ``bootstrap.py`` by other Pythons: it imports nothing of eventflow's, and understands what Python 3.8 does
(AWS: "Log and monitor Python Lambda functions", "Using structured JSON log format").
"""

import json
import logging
import os
import sys
import time
import traceback
from typing import Any, Dict, Optional

#: What every record has; anything else came with ``extra``.
USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "aws_request_id"}
#: Lambda's names of levels that Python calls otherwise.
LEVELS = {"TRACE": logging.DEBUG, "WARN": logging.WARNING, "FATAL": logging.CRITICAL}


def is_wanted() -> bool:
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"


class RequestIdFilter(logging.Filter):
    """Gives every log record the request id."""

    request_id = ""

    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = self.request_id
        return True


def set_up() -> RequestIdFilter:
    """The root logger of Lambda's Python runtime: WARNING and above, tab-separated, UTC with milliseconds; JSON if the function's log is."""
    handler, ids = logging.StreamHandler(sys.stdout), RequestIdFilter()
    if is_wanted():
        handler.setFormatter(JsonFormatter())
        set_level()
    else:
        formatter = logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    handler.addFilter(ids)
    logging.getLogger().handlers = [handler]
    return ids


def set_level() -> None:
    """The root logger lets through what the function's log takes."""
    name = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "INFO")
    logging.getLogger().setLevel(LEVELS.get(name, name))


def timestamp(instant: float) -> str:
    return "%s.%03dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(instant)), int(instant * 1000) % 1000)


def line(values: Dict[str, Any]) -> str:
    """Values that JSON does not know are told as texts."""
    return json.dumps({name: value for name, value in values.items() if value is not None}, ensure_ascii=False, default=str)


def error_line(error: Dict[str, Any]) -> str:
    """An error object as a record."""
    return line({"timestamp": timestamp(time.time()), "level": "ERROR", **error})


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        values: Dict[str, Any] = {
            "timestamp": timestamp(record.created),
            "level": record.levelname,
            "message": record.msg if isinstance(record.msg, dict) and not record.args else record.getMessage(),
            "logger": record.name,
            "requestId": getattr(record, "aws_request_id", None),
            **self._error(record),
        }
        extra = {name: value for name, value in record.__dict__.items() if name not in USUAL and name not in values}
        return line({**values, **extra})

    def _error(self, record: logging.LogRecord) -> Dict[str, Optional[Any]]:
        if not record.exc_info or record.exc_info[0] is None:
            return {}
        kind, error, trace = record.exc_info
        return {
            "errorType": kind.__name__,
            "errorMessage": str(error),
            "stackTrace": traceback.format_tb(trace),
            "location": "%s:%s:%d" % (record.pathname, record.funcName, record.lineno),
        }
