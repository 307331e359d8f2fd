"""``eventflow service``: write, check and remove the systemd unit that keeps a daemon running."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from eventflow.cli.run import DIRECTORY
from eventflow.errors import EventflowError
from eventflow.settings import Settings, read_settings, user_units
from eventflow.source import divided, folder_of, locate

MARK = "# Written by `eventflow service install`; change it with `systemctl edit`, or write it again."
#: There when systemd is what runs this machine (``man sd_booted``).
BOOTED = Path("/run/systemd/system")
SYSTEM_UNITS = Path("/etc/systemd/system")
#: What ending takes beside the grace time.
STOP_MARGIN = 15
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
PLAIN = re.compile(r"[A-Za-z0-9_./:@%+=,-]+")

#: What a function could only misuse. What functions may need is left open: /home and a /tmp that they share with others (files come and go there),
#: devices and /sys (machines are driven by them; ProtectClock= would close all devices), namespaces, and control groups.
HARDENING = ("NoNewPrivileges=yes", "RestrictSUIDSGID=yes", "RestrictRealtime=yes", "LockPersonality=yes")
#: The same, where only the system's manager can do it.
SYSTEM_HARDENING = ("ProtectSystem=full", "ProtectKernelModules=yes", "ProtectKernelLogs=yes", "ProtectHostname=yes")


@dataclass(frozen=True)
class Unit:
    """One service. ``command`` is what starts eventflow, ``user`` and ``group`` None for a service of the user who is logged in."""

    name: str
    app: str
    folder: Path
    command: tuple[str, ...]
    settings: Settings
    user: str | None = None
    group: str | None = None

    @property
    def for_user(self) -> bool:
        return self.user is None

    @property
    def own_state(self) -> bool:
        """The state is where systemd keeps it, as nobody said otherwise."""
        return self.settings.origin("state") == "default"

    def text(self) -> str:
        return "\n".join([MARK, *self._unit(), "", *self._service(), "", *self._install()]) + "\n"

    def _unit(self) -> list[str]:
        return [
            "[Unit]",
            f"Description=eventflow: {self.name}",
            *([] if self.for_user else ["After=network.target"]),
            "# However often it fails to start (a full disk), it is tried again.",
            "StartLimitIntervalSec=0",
        ]

    def _service(self) -> list[str]:
        grace = self.settings.grace_seconds
        state = f"%S/{self.name}" if self.own_state else literal(str(self.settings.state))
        command = [*map(literal, (*self.command, "run", self.app)), "--state", state, "--grace-seconds", f"{grace:g}", "--log-format", "json"]
        return [
            "[Service]",
            "Type=notify",
            *([] if self.for_user else [f"User={self.user}", f"Group={self.group}"]),
            f"WorkingDirectory={printable(str(self.folder)).replace('%', '%%')}",
            f"ExecStart={' '.join(map(quoted, command))}",
            *([f"StateDirectory={self.name}", "StateDirectoryMode=0700"] if self.own_state else []),
            "UMask=0077",
            "Restart=always",
            "RestartSec=2",
            "# A damaged state file: starting again does not help, `eventflow journal repair` does.",
            "RestartPreventExitStatus=65",
            "# Its event loop gives a sign of life every 30 seconds; a daemon that hangs is ended and started again.",
            "WatchdogSec=60",
            "# SIGTERM to the daemon alone: the functions finish. What is left after the grace time is killed.",
            "KillMode=mixed",
            f"TimeoutStopSec={grace + STOP_MARGIN:g}",
            "# A control group of its own, below which each environment gets one with its function's limits.",
            "Delegate=cpu memory pids",
            "LimitNOFILE=65536",
            *HARDENING,
            *(() if self.for_user else SYSTEM_HARDENING),
        ]

    def _install(self) -> list[str]:
        return ["[Install]", f"WantedBy={'default' if self.for_user else 'multi-user'}.target"]


def literal(word: str) -> str:
    """A word of a command in which systemd reads no specifier and no variable."""
    return printable(word).replace("%", "%%").replace("$", "$$")


def printable(text: str) -> str:
    if not text.isprintable():
        raise EventflowError(f"{text!r} cannot stand in a unit: it has control characters. Rename it.")
    return text


def quoted(word: str) -> str:
    """A word of ExecStart, in quotes where systemd needs them."""
    if PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


# The verbs.


@click.group()
def service() -> None:
    """Have systemd run the daemon: write its unit, remove it, look at it."""


name_option = click.option("--name", metavar="NAME", help="The service's name; by default that of the application's folder.")
level_option = click.option("--system/--user", "system", default=None, help="The machine's service (the default for root), or your own.")


@service.command()
@click.argument("app", default=".", metavar="[APP]")
@level_option
@name_option
@click.option("--run-as", metavar="USER", help="With --system: the user that it runs as; by default the owner of the application's folder.")
@click.option("--state", type=DIRECTORY, metavar="DIR", help="The state directory; by default what the settings say, else one that systemd makes.")
@click.option("--grace-seconds", type=float, metavar="N", help="How long a stopping daemon waits for running functions (30).")
@click.option("--print", "only_print", is_flag=True, help="Print the unit and change nothing.")
@click.option("--force", is_flag=True, help="Write over a unit that eventflow has not written.")
def install(
    app: str,
    system: bool | None,
    name: str | None,
    run_as: str | None,
    state: Path | None,
    grace_seconds: float | None,
    only_print: bool,
    force: bool,
) -> None:
    """Write a systemd unit for an application, checked. Nothing is started: the commands for that are printed.

    Other settings stay in eventflow.toml beside the application, which the daemon reads.
    """
    locate(app)  # a mistyped name is told before anything is made
    settings = read_settings(folder_of(app), {"state": state, "grace_seconds": grace_seconds})
    system = is_system(system)
    if run_as is not None and not system:
        raise EventflowError("--run-as is for --system: a service of your own runs as you.")
    folder = folder_of(app)
    user, group = account(run_as, folder) if system else (None, None)
    unit = Unit(checked_name(name or folder.name), reference(app), folder, command(), settings, user, group)
    if only_print:
        click.echo(unit.text(), nl=False)
        return
    need_systemd()
    path = unit_path(unit.name, system)
    refuse_others(path, force)
    findings = verify(unit)
    write(path, unit.text())
    tell(unit, path, findings)


@service.command()
@click.argument("app", default=".", metavar="[APP]")
@level_option
@name_option
def uninstall(app: str, system: bool | None, name: str | None) -> None:
    """Remove the unit of an application. Its state stays."""
    need_systemd()
    system = is_system(system)
    name = checked_name(name or folder_of(app).resolve().name)
    path = unit_path(name, system)
    if not path.exists():
        raise EventflowError(f"There is no unit {path}. Name the service with --name, or say --user or --system.")
    refuse_others(path, force=False)
    if systemctl(system, "is-active", name) == "active":
        raise EventflowError(f"The service {name} runs. Stop it first: {command_line(system, 'disable', '--now', name)}")
    path.unlink()
    click.echo(f"Removed {path}. The state directory stays.")
    click.echo(f"Next:  {command_line(system, 'daemon-reload')}")


@service.command()
@click.argument("app", default=".", metavar="[APP]")
@level_option
@name_option
def status(app: str, system: bool | None, name: str | None) -> None:
    """Tell whether the unit is installed, enabled and running. The exit status is 1 when it does not run."""
    need_systemd()
    system = is_system(system)
    name = checked_name(name or folder_of(app).resolve().name)
    path = unit_path(name, system)
    active = systemctl(system, "is-active", name) or "unknown"
    click.echo(f"{path}: {'written by eventflow' if is_own(path) else 'not written by eventflow' if path.exists() else 'not installed'}")
    click.echo(f"{name}: {systemctl(system, 'is-enabled', name) or 'not enabled'}, {active}")
    if active != "active":
        raise SystemExit(1)


# What they need.


def is_system(said: bool | None) -> bool:
    return os.geteuid() == 0 if said is None else said


def command() -> tuple[str, ...]:
    """What starts this eventflow, in the environment that it is installed in."""
    script = Path(sys.executable).parent / "eventflow"
    return (str(script),) if script.is_file() else (sys.executable, "-m", "eventflow")


def reference(app: str) -> str:
    """The application as it is named from its own folder, the unit's working directory."""
    path, attribute = divided(app)
    if path.is_dir():
        return "."
    return path.name + (f":{attribute}" if attribute else "") if path.is_file() else app


def account(name: str | None, folder: Path) -> tuple[str, str]:
    """The user and the group that the service runs as."""
    try:
        found = pwd.getpwuid(folder.stat().st_uid) if name is None else pwd.getpwnam(name)
        return found.pw_name, group_name(found.pw_gid)
    except KeyError:
        who = f"named {name!r}" if name else f"with the number {folder.stat().st_uid}, who owns {folder}"
        raise EventflowError(f"There is no user {who}. Name one with --run-as, or make one: useradd --system {name or 'eventflow'}") from None


def group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def checked_name(name: str) -> str:
    name = name.removesuffix(".service")
    if not NAME.fullmatch(name):
        raise EventflowError(f"{name!r} is no name for a service: use letters, digits, and . _ - after the first of them (--name).")
    return name


def unit_path(name: str, system: bool) -> Path:
    return (SYSTEM_UNITS if system else user_units()) / f"{name}.service"


def need_systemd() -> None:
    if not BOOTED.is_dir():
        raise EventflowError(
            f"This machine is not run by systemd ({BOOTED} is not there). `eventflow service install --print` shows the unit for another machine; "
            "here let what runs your services (launchd, OpenRC, a container's supervisor) keep `eventflow run` running: it needs SIGTERM to stop, "
            "the grace time before SIGKILL, and a restart when it ends."
        )


def is_own(path: Path) -> bool:
    try:
        return path.read_text().startswith(MARK)
    except (OSError, UnicodeDecodeError):
        return False


def refuse_others(path: Path, force: bool) -> None:
    if path.exists() and not is_own(path) and not force:
        raise EventflowError(f"{path} was not written by eventflow and is left as it is. Choose another --name, or write over it with --force.")


def verify(unit: Unit) -> list[str]:
    """What systemd says of the unit. Raises where it could not be started; nothing where there is no systemd-analyze."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return ["not checked: there is no systemd-analyze here"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{unit.name}.service")
        file.write_text(unit.text())
        words = [analyze, "verify", "--man=no", *(["--user"] if unit.for_user else []), str(file)]
        checked = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [line.replace(f"{file}:", "line ") for line in checked.stderr.splitlines() if line]
    if "Failed to initialize manager" in checked.stderr:
        return [f"not checked: {lines[-1]}"]
    if checked.returncode:
        raise EventflowError("systemd would not start this unit, so it was not written: " + "; ".join(lines))
    return lines


def write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(text)
        beside.replace(path)
    except OSError as error:
        raise EventflowError(f"{path} cannot be written: {error.strerror}. Use sudo for the machine's service, or --user for your own.") from error


def tell(unit: Unit, path: Path, findings: list[str]) -> None:
    click.echo(f"Wrote {path}.")
    for line in findings:
        click.echo(f"systemd says: {line}")
    if unit.user == "root":
        click.echo("It runs as root, and so do its functions: --run-as USER gives them less.")
    system = not unit.for_user
    click.echo(f"Next:  {command_line(system, 'daemon-reload')}")
    click.echo(f"       {command_line(system, 'enable', '--now', unit.name)}")
    if unit.for_user:
        click.echo("       loginctl enable-linger        # so that it runs while you are not logged in")
    state = unit.settings.state if not unit.own_state else f"/var/lib/{unit.name}" if system else None
    if state is not None:
        click.echo(f"       eventflow status --state {state}")
    else:
        click.echo(f"       {command_line(system, 'status', unit.name)}")


def systemctl(system: bool, *words: str) -> str:
    """What systemctl says, in a word; empty where it says nothing."""
    program = shutil.which("systemctl")
    if program is None:
        return ""
    return subprocess.run([program, *([] if system else ["--user"]), *words], capture_output=True, text=True, check=False).stdout.strip()


def command_line(system: bool, *words: str) -> str:
    return " ".join(["systemctl", *([] if system else ["--user"]), *words])
