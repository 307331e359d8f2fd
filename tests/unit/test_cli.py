import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from eventflow.cli import run as run_module
from eventflow.cli.main import VERBS, cli
from eventflow.errors import StateInUse
from eventflow.function import CHECKS as FUNCTION_SETTINGS
from eventflow.settings import CHECKS as SETTINGS


def run(*arguments, **options):
    return CliRunner().invoke(cli, arguments, prog_name="eventflow", **options)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def daemon(monkeypatch):
    """Stands in for the daemon: keeps what it was started with."""
    started = []

    class Daemon:
        status = 0
        error = None

        def run(self, app, settings, *, watch, template):
            if self.error is not None:
                raise self.error
            assert template == {}
            started.append((app, settings, watch))
            return self.status

    double = Daemon()
    double.started = started
    monkeypatch.setattr(run_module, "daemon_module", lambda: double)
    return double


def test_help_lists_every_verb_without_importing_one():
    script = (
        "import sys; from eventflow.cli.main import cli; cli(['--help'], standalone_mode=False);"
        "print(sorted({'asyncio', 'http.client', 'botocore', 'uvicorn', 'sqlite3', 'eventflow.cli.client'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    for verb in VERBS:
        assert f"  {verb} " in shown
    assert shown.endswith("[]\n")


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_help(verb):
    shown = run(verb, "--help")
    assert shown.exit_code == 0
    assert f"Usage: eventflow {verb}" in shown.output


def test_the_short_help_is_that_of_the_verb():
    for verb, (_path, line) in VERBS.items():
        command = cli.get_command(None, verb)
        assert command.name.replace("_", "-") == verb
        assert line.split()[0] == command.help.split()[0]


def test_an_unknown_verb_is_a_usage_error():
    shown = run("start")
    assert shown.exit_code == 2
    assert "No such command 'start'" in shown.stderr


def test_version():
    assert run("--version").output.startswith("eventflow, version ")


def test_run_hands_the_application_and_its_settings_to_the_daemon(daemon, folder):
    shop = folder / "shop"
    shop.mkdir()
    (shop / "eventflow.toml").write_text("port = 1234\nretention_days = 3")
    shown = run("run", "shop/app.py", "--region", "eu-west-1", "--open", "--log-format", "json")
    assert shown.exit_code == 0
    ((app, settings, watch),) = daemon.started
    assert (app, watch) == ("shop/app.py", False)
    assert (settings.port, settings.region, settings.open, settings.log_format, settings.retention_days) == (1234, "eu-west-1", True, "json", 3)
    assert settings.state == shop / ".eventflow"


def test_every_flag_reaches_its_setting(daemon, folder):
    arguments = [
        "--state",
        "s",
        "--buckets",
        "b",
        "--port",
        "0",
        "--host",
        "::1",
        "--account-id",
        "123456789012",
        "--retention-days",
        "5",
        "--grace-seconds",
        "2.5",
    ]
    assert run("dev", "app.py", *arguments).exit_code == 0
    ((_app, settings, watch),) = daemon.started
    assert watch
    assert (settings.state, settings.buckets) == (folder / "s", folder / "b")
    assert (settings.port, settings.host, settings.account_id) == (0, "::1", "123456789012")
    assert (settings.retention_days, settings.grace_seconds, settings.open) == (5, 2.5, False)


def test_run_takes_this_folder_by_default(daemon):
    assert run("run").exit_code == 0
    assert daemon.started[0][0] == "."


def test_run_ends_with_the_daemons_status(daemon):
    daemon.status = 7
    assert run("run").exit_code == 7


def test_an_error_is_one_sentence_and_status_1(daemon):
    daemon.error = StateInUse("The state directory is owned by pid 5.")
    shown = run("run")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (1, "", "Error: The state directory is owned by pid 5.\n")


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--port", "70000"], 2, "0<=x<=65535"),
        (["--port", "http"], 2, "not a valid integer"),
        (["--log-format", "xml"], 2, "'auto', 'text', 'json'"),
        (["--region", "mars"], 1, "region='mars' (--region) is refused"),
        (["--open", "--host", "0.0.0.0"], 1, "can be reached from other machines"),
        (["--colour"], 2, "No such option"),
    ],
)
def test_wrong_flags(daemon, arguments, status, expected):
    shown = run("run", *arguments)
    assert shown.exit_code == status
    assert expected in shown.stderr
    assert daemon.started == []


def test_the_settings_files_key_is_told(daemon, folder):
    (folder / "eventflow.toml").write_text("prot = 1")
    assert "has the key 'prot', which is no setting. Did you mean port?" in run("run").stderr


def test_the_console_script_works(folder):
    script = Path(sys.executable).parent / "eventflow"
    shown = subprocess.run([script, "status"], capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    assert shown.stderr == (
        f"Error: No daemon runs on the state directory {folder}/.eventflow. "
        "Start one with `eventflow run APP`, or name its directory with --state DIR.\n"
    )


def options_of(command):
    """Every option's long name in a command and the commands below it."""
    for option in command.params:
        yield from (name for name in option.opts if name.startswith("--"))
    for below in getattr(command, "commands", {}).values():
        yield from options_of(below)


@pytest.mark.parametrize("verb", list(VERBS))
def test_the_documentation_names_every_verb_and_option(verb):
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    assert f"\n## {verb}\n" in text
    assert [name for name in options_of(cli.get_command(None, verb)) if name not in text] == []


def test_the_documentation_names_every_setting():
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    assert [name for name in SETTINGS if f"| `{name}` |" not in text] == []
    assert [name for name in FUNCTION_SETTINGS if f"`{name}`" not in text] == []
