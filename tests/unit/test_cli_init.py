"""``eventflow init``: every template makes an application that loads and whose own tests pass; nothing is overwritten."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from eventflow.cli.init import TEMPLATES, contents
from eventflow.cli.main import cli
from tests.patience import DAEMON
from tests.process.daemon_process import daemon


def run(*arguments: str, status: int = 0) -> str:
    shown = CliRunner().invoke(cli, ["init", *arguments])
    assert shown.exit_code == status, shown.output
    return shown.output


@pytest.mark.slow
@pytest.mark.parametrize("template", TEMPLATES)
def test_the_tests_of_a_new_application_pass(tmp_path: Path, template: str) -> None:
    run(str(tmp_path / "mine"), "--template", template)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
    done = subprocess.run(command, cwd=tmp_path / "mine", capture_output=True, text=True, timeout=DAEMON, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


@pytest.mark.slow
def test_a_new_sam_application_runs(tmp_path: Path) -> None:
    run(str(tmp_path / "words"), "--template", "sam")
    with daemon(tmp_path, "") as running:
        running.app = tmp_path / "words" / "template.yaml"
        running.start()
        for times in (1, 2):
            asked = urllib.request.Request(f"{running.facts['gateway']}/words/hello", method="POST")
            with urllib.request.urlopen(asked, timeout=DAEMON) as response:
                assert json.load(response) == {"word": "hello", "times": times}


@pytest.mark.parametrize("template", [name for name, about in TEMPLATES.items() if about.app == "app.py"])
def test_a_new_application_has_what_its_readme_names(tmp_path: Path, template: str) -> None:
    shown = run(str(tmp_path), "--template", template, "--name", "shop-1")
    assert {path.name for path in tmp_path.iterdir()} >= {"app.py", "test_app.py", "eventflow.toml", ".gitignore", "README.md"}
    assert "eventflow dev app.py" in shown
    readme = (tmp_path / "README.md").read_text()
    assert "{{" not in readme
    code = (tmp_path / "app.py").read_text()
    assert 'App("shop-1")' in code
    assert f"def {TEMPLATES[template].function}(" in code
    compile(code, "app.py", "exec")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    assert "has README.md already" in run(str(tmp_path), status=1)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "app.py").symlink_to("nowhere")
    assert "has app.py already" in run(str(tmp_path / "other"), status=1)


def test_names_are_checked(tmp_path: Path) -> None:
    assert "The name 'a b' is refused" in run(str(tmp_path / "x"), "--name", "a b", status=1)
    assert not (tmp_path / "x").exists()
    run(str(tmp_path / "süß und salzig"))
    assert 'App("s-und-salzig")' in (tmp_path / "süß und salzig" / "app.py").read_text()
    assert "is not one of" in run(str(tmp_path / "x"), "--template", "kafka", status=2)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "Error: " in run(str(tmp_path / "file" / "below"), status=1)


def test_all_that_is_shipped_is_written() -> None:
    for template in TEMPLATES:
        assert all("{{" not in text for text in contents(template, "name").values())
