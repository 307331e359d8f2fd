"""docs/conformance.md is what the code and the record of the tests say."""

from __future__ import annotations

from tests.aws.conformance.page import PAGE, generated


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.exists(), "docs/conformance.md is not there: write it with `python -m tests.aws.conformance`"
    assert PAGE.read_text() == generated(), "docs/conformance.md is out of date: write it again with `python -m tests.aws.conformance`"
