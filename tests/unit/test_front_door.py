import importlib
import subprocess
import sys

import pytest

import eventflow


def test_every_name_is_there_and_has_one_home():
    homes = {name: home for home, names in eventflow._HOMES.items() for name in names}
    assert sorted(homes) == sorted(eventflow.__all__)
    for name, home in homes.items():
        assert getattr(eventflow, name) is getattr(importlib.import_module(f"eventflow.{home}"), name)
    assert set(eventflow.__all__) <= set(dir(eventflow))


def test_a_name_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(AttributeError, match="no attribute 'Lambda'; it has: ApiRoute, App"):
        _ = eventflow.Lambda
    with pytest.raises(ImportError):
        exec("from eventflow import Lambda")


def test_opening_it_imports_nothing_more():
    script = "import sys, eventflow; print(sorted(name for name in sys.modules if name.startswith('eventflow.')))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
