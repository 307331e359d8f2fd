from pathlib import Path

import pytest

APP = str(Path(__file__).with_name("app.py"))


@pytest.fixture
def app(eventflow_harness):
    return eventflow_harness(APP)


def test_a_week_has_seven_reports(app):
    app.advance("7d")
    assert len(app.events("report", "done")) == 7
    assert len(list(app.bucket_path("reports").glob("*.txt"))) == 7
