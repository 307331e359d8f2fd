"""``python -m tests.chaos.quick_retries run app.py ...``: eventflow, with retries after a moment instead of after Lambda's one and two minutes."""

import sys

from eventflow.cli.main import main
from eventflow.outcome import FUNCTION_ERROR_DELAYS, RetryPolicy

DELAYS = (0.3, 0.6)


def shorten() -> None:
    defaults = RetryPolicy.__init__.__defaults__ or ()
    assert defaults[-1] == FUNCTION_ERROR_DELAYS, "the delays are no longer the last default of a retry policy"
    RetryPolicy.__init__.__defaults__ = (*defaults[:-1], DELAYS)


if __name__ == "__main__":
    shorten()
    sys.exit(main())
