"""Write docs/conformance.md; with ``--record``, run the tests of the AWS services first and write down which operations they exercise."""

from __future__ import annotations

import subprocess
import sys

from tests.aws.conformance import recorder
from tests.aws.conformance.page import PAGE, generated

#: Tests of the protocols, which call no operation of a service that is listed, or call the same ones thousands of times.
WITHOUT_SERVICES = ("test_wire", "test_sigv4", "test_endpoint", "test_express", "test_broken_requests")


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--record"]):
        sys.stderr.write("usage: python -m tests.aws.conformance [--record]\n")
        return 2
    if arguments:
        # In a process of its own: pytest wants to be the first to import what it tests. The page's own test would find it out of date.
        chosen = ["-q", "-k", "not page_is_what_the_code_says", *(f"--ignore-glob=*/{name}.py" for name in WITHOUT_SERVICES), "tests/aws"]
        subprocess.run([sys.executable, "-m", "pytest", "-p", recorder.__name__, *chosen], check=False)
    PAGE.write_text(generated())
    sys.stdout.write(f"{PAGE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
