"""``eventflow service``: the unit's text, what systemd thinks of it, and whose files are written over."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from eventflow.cli import service
from eventflow.cli.main import cli
from eventflow.notify import START_PATIENCE
from eventflow.settings import Settings, user_units

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The folder ``shop`` with an application, on a machine that systemd runs."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.py").write_text("from eventflow import App\napp = App('shop')\n")
    (folder / ".git").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(service, "BOOTED", tmp_path)
    monkeypatch.setattr(service, "SYSTEM_UNITS", tmp_path / "units")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    for name in ("EVENTFLOW_STATE", "EVENTFLOW_GRACE_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    return folder


def run(*arguments):
    return CliRunner().invoke(cli, ("service", *arguments), prog_name="eventflow")


def shop(**settings):
    given = {"state": Path("/srv/shop/.eventflow"), "buckets": Path("/srv/shop/.eventflow/buckets"), **settings}
    return service.Unit(
        "shop",
        "app.py",
        Path("/srv/shop"),
        ("/srv/shop/.venv/bin/eventflow",),
        Settings(**given, origins=dict.fromkeys(settings, "--")),
        "shop",
        "shop",
    )


def test_the_unit_in_the_documentation_is_the_one_that_is_written():
    [shown] = re.findall(r"^```ini\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert shown == shop().text()


def test_install_writes_the_unit_and_says_what_to_do_next(app, tmp_path):
    shown = run("install", "app.py", "--system", "--run-as", "root", "--name", "mine")
    assert shown.exit_code == 0, shown.output
    path = tmp_path / "units" / "mine.service"
    text = path.read_text()
    assert f"WorkingDirectory={app}\n" in text
    assert re.search(r"^ExecStart=\S+eventflow run app.py --state %S/mine --grace-seconds 30 --log-format json$", text, re.MULTILINE)
    assert "User=root\n" in text
    for line in (
        f"Wrote {path}.",
        "systemctl daemon-reload",
        "systemctl enable --now mine",
        "eventflow status --state /var/lib/mine",
        "runs as root",
    ):
        assert line in shown.output
    assert run("install", "app.py", "--system", "--run-as", "root", "--name", "mine").exit_code == 0, "its own unit is written again"


def test_a_service_of_ones_own_needs_no_user_and_less_of_the_manager(app, tmp_path):
    shown = run("install", "--user", "--grace-seconds", "100")
    assert shown.exit_code == 0, shown.output
    text = (tmp_path / "config" / "systemd" / "user" / "shop.service").read_text()
    assert "User=" not in text
    assert "ProtectSystem" not in text
    assert "TimeoutStopSec=115\n" in text
    assert "WantedBy=default.target" in text
    assert "run . --state %S/shop" in text
    assert "systemctl --user enable --now shop" in shown.output
    assert "--user: a service of your own runs as you" not in shown.output
    assert "--run-as is for --system" in run("install", "--user", "--run-as", "root").output


def test_print_changes_nothing_and_needs_no_systemd(app, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "BOOTED", tmp_path / "none")
    shown = run("install", "--user", "--print")
    assert shown.exit_code == 0
    assert shown.output.startswith(service.MARK)
    assert not (tmp_path / "config").exists()
    for verb in ("install", "uninstall", "status"):
        refused = run(verb, "--user")
        assert refused.exit_code == 1
        assert "is not run by systemd" in refused.output
        assert "--print" in refused.output


def test_somebody_else_s_unit_is_left_alone(app, tmp_path):
    path = tmp_path / "config" / "systemd" / "user" / "shop.service"
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\n")
    for verb in ("install", "uninstall"):
        refused = run(verb, "--user")
        assert refused.exit_code == 1
        assert "was not written by eventflow" in refused.output
        assert path.read_text() == "[Service]\n"
    assert run("install", "--user", "--force").exit_code == 0
    assert path.read_text().startswith(service.MARK)


def test_uninstall_removes_the_unit_unless_it_runs(app, tmp_path, monkeypatch):
    path = tmp_path / "config" / "systemd" / "user" / "shop.service"
    assert "There is no unit" in run("uninstall", "--user").output
    run("install", "--user")
    monkeypatch.setattr(service, "systemctl", lambda _system, *words: "active" if words[0] == "is-active" else "enabled")
    refused = run("uninstall", "--user")
    assert refused.exit_code == 1
    assert "systemctl --user disable --now shop" in refused.output
    shown = run("status", "--user")
    assert shown.exit_code == 0
    assert "written by eventflow\nshop: enabled, active" in shown.output
    monkeypatch.setattr(service, "systemctl", lambda _system, *_words: "inactive")
    assert run("status", "--user").exit_code == 1
    assert run("uninstall", "--user").exit_code == 0
    assert not path.exists()


def test_a_state_directory_that_was_chosen_is_kept(app):
    (app / "eventflow.toml").write_text('state = "/srv/data"\ngrace_seconds = 2.5\n')
    text = run("install", "--user", "--print").output
    assert "--state /srv/data --grace-seconds 2.5" in text
    assert "StateDirectory" not in text
    assert "TimeoutStopSec=17.5" in text


@pytest.mark.parametrize(
    ("folder", "working", "executed"),
    [
        ("my shop", "my shop", '"{}/my shop/state"'),
        ("100%", "100%%", "{}/100%%/state"),
        ("a$b", "a$b", '"{}/a$$b/state"'),
        ('a"b', 'a"b', '"{}/a\\"b/state"'),
    ],
)
def test_paths_mean_themselves(app, tmp_path, folder, working, executed):
    place = tmp_path / folder
    place.mkdir()
    (place / "app.py").write_text("")
    text = run("install", str(place / "app.py"), "--user", "--name", "x", "--state", str(place / "state"), "--print").output
    assert f"WorkingDirectory={tmp_path}/{working}\n" in text
    assert f"--state {executed.format(tmp_path)} --grace" in text


def test_names_and_paths_that_would_write_lines_of_their_own_are_refused(app, tmp_path):
    assert "is no name for a service" in run("install", "--user", "--print", "--name", "../x").output
    place = tmp_path / "x\nExecStart=evil"
    place.mkdir()
    (place / "app.py").write_text("")
    assert "control characters" in run("install", str(place / "app.py"), "--user", "--name", "x", "--print").output
    assert "has no user" in run("install", "--system", "--run-as", "nobody-of-this-name", "--print").output.replace("There is no user", "has no user")


def test_the_unit_s_times_fit_what_the_daemon_promises():
    text = shop(grace_seconds=900.0).text()
    assert "TimeoutStopSec=915\n" in text
    assert START_PATIENCE < 90, "systemd's own patience with a start, which the first request must come before"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_every_line(app, tmp_path):
    shown = run("install", "--system", "--run-as", "root")
    assert shown.exit_code == 0, shown.output
    assert "systemd says" not in shown.output
    path = tmp_path / "units" / "shop.service"
    path.write_text(path.read_text().replace("WatchdogSec", "WatchdgSec"))
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False)
    assert "Unknown key" in checked.stderr, "or this test could not fail"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_a_unit_that_could_not_start_is_not_written(app, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "command", lambda: ("/nowhere/eventflow",))
    refused = run("install", "--system", "--run-as", "root")
    assert refused.exit_code == 1
    assert "systemd would not start this unit" in refused.output
    assert not (tmp_path / "units").exists()


def test_units_of_a_user_are_where_systemd_looks(tmp_path):
    assert user_units({"XDG_CONFIG_HOME": "/c"}) == Path("/c/systemd/user")
    assert user_units({}) == Path.home() / ".config/systemd/user"
