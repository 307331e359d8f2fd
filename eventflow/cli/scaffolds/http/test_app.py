from pathlib import Path

import pytest

APP = str(Path(__file__).with_name("app.py"))


@pytest.fixture
def app(eventflow_harness):
    return eventflow_harness(APP)


def test_a_note_is_kept(app):
    assert app.request("GET", "/notes/1").status == 404
    assert app.request("PUT", "/notes/1", '{"text": "milk"}').status == 204
    assert app.request("GET", "/notes/1").json() == {"id": "1", "text": "milk"}


def test_a_broken_body_is_refused(app):
    assert app.request("PUT", "/notes/1", "milk").status == 400
