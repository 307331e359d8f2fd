import json
import subprocess
import sys

import pytest

from eventflow import App

EVENT = ["generate-event", "http", "--route", "POST /words/{word}", "--target", "/words/hello"]


@pytest.fixture
def table(eventflow_harness, monkeypatch):
    """The template's table, with boto3 pointed at it."""
    app = App("words")
    app.table("words", key="word")
    monkeypatch.setenv("WORDS_TABLE", "words")
    return eventflow_harness(app)


def test_words_are_counted(table):
    from src.app import say

    event = json.loads(subprocess.run([sys.executable, "-m", "eventflow", *EVENT], check=True, capture_output=True).stdout)
    assert json.loads(say(event, None)["body"]) == {"word": "hello", "times": 1}
    assert json.loads(say(event, None)["body"]) == {"word": "hello", "times": 2}
