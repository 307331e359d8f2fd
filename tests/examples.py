"""How many examples hypothesis tries: some while people wait for `make test`, all of them in CI (`EXAMPLES=all`)."""

import os

ALL = os.environ.get("EXAMPLES") == "all"


def examples(most: int) -> int:
    """For a test whose examples take long: a third of them while people wait."""
    return most if ALL else max(most // 3, 5)
