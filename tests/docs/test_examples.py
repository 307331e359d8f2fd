"""Every fenced example of README.md and docs/*.md runs here, page by page, in the order in which a reader meets it.

A page has a folder of its own, which stands for the folder below /srv that its examples name, and one namespace for its Python. What a block is, its
language says; a language that is not in this list fails the test.

``python``   is compiled by its own rules and executed. If its first line is a comment with a file's name (``# app.py``), it is written to that file
             of the page's folder too; ``# test_....py`` is not executed but run by pytest, at the page's end.
``py``       the same, with the sample trigger of samples/tail-trigger on the path.
``console``  ``$ `` begins a command, the lines below it are what it prints, on either stream. Commands run in one shell environment, and what they
             print must be what is shown: every line, where no line ``...`` stands for others. Numbers, times and identifiers may differ; an
             identifier that was shown once means in later commands what was printed there. The exit status is 1 where an ``Error:`` is shown,
             else 0. After ``<!-- by machine -->`` only the first column is compared. A command below which nothing is shown may print anything.
``bash``     every line is a command that must succeed; what it prints is not shown.
             ``eventflow run`` and ``dev`` start the page's daemon, in the place of the one before. A page that shows no app.py has that of
             docs/cli.md, and a daemon that runs it if it starts none itself. What would not end (``--follow``) or change the machine
             (``CHANGES_THE_MACHINE``) is checked instead: the shell's syntax, eventflow's options. ``make`` targets must be in the Makefile.
``toml``     is read; ``# eventflow.toml`` is written to the folder, and must be settings.
``javascript``, ``sh`` are functions: they are compiled, and run in tests/runtime_api/test_page.py.
``yaml``     is read as a template; one whose first line is a comment with a file's name is written to the folder.
``json``     is read. ``ini`` is a systemd unit: it is read, and the eventflow commands in it are checked.
``text``     is a picture or a grammar, no example.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest

from eventflow.cli.main import VERBS, cli
from eventflow.sam import document
from eventflow.settings import read_settings
from tests.patience import DAEMON, PATIENCE

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Pages that take longer than a few seconds, because their commands are many or wait for something.
SLOW = {
    "authorizers.md",
    "cli.md",
    "client.md",
    "dynamodb.md",
    "event-source-mappings.md",
    "export-sam.md",
    "gateway-limits.md",
    "guarantees.md",
    "guide.md",
    "json-logs.md",
    "lambda.md",
    "openapi.md",
    "operations.md",
    "powertools.md",
    "s3.md",
    "sam.md",
    "scheduler.md",
    "sqs.md",
    "testing.md",
    "websocket.md",
}
FENCE = re.compile(r"^(?P<note><!-- [^\n]* -->\n+)?```(?P<language>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# (\S+\.(?:py|toml|yaml))\n")
IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
CHANGES_THE_MACHINE = {".", "python3", "pip", "sudo", "systemctl", "journalctl", "useradd", "rsync"}
#: Looking again does no harm: what is shown may take a moment to come about.
LOOKS = re.compile(r"eventflow (logs|events (list|show)|dlq list|status|functions)\b|python -c .*\bprint\(")


@dataclass
class Command:
    """A command of a console, and the lines that are shown below it (None: nothing is said of them)."""

    text: str
    shown: list[str] | None = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    @property
    def program(self) -> str:
        return next((word for word in self.words if "=" not in word), "")

    @property
    def verb(self) -> str:
        """Of eventflow."""
        words = [word for word in self.words if "=" not in word]
        return words[1] if words[:1] == ["eventflow"] and len(words) > 1 else ""

    @property
    def fails(self) -> bool:
        return any(line.startswith("Error:") for line in self.shown or ())


def commands_of(language: str, text: str) -> list[Command]:
    if language == "bash":
        return [Command(line, None) for line in text.splitlines() if line and not line.startswith("#")]
    commands: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line.removeprefix("$ ")))
        else:
            assert commands, f"a console begins with a command, and this one with {line!r}"
            assert commands[-1].shown is not None
            commands[-1].shown.append(line)
    return commands


class Page:
    """One page's folder, namespace, shell environment and daemon."""

    def __init__(self, page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.page = page
        named = re.search(r"/srv/(\w+)", page.read_text())
        self.servers = folder / "srv"
        self.folder = self.servers / (named[1] if named else "app")
        self.folder.mkdir(parents=True)
        self.names: dict[str, Any] = {"__name__": page.stem}
        self.identifiers: dict[str, str] = {}
        self.ran = 0
        self.tests: list[str] = []
        self.daemon: subprocess.Popen[bytes] | None = None
        self.daemon_command: Command | None = None
        self.log = folder / "daemon.log"
        self.environment = folder / "environment"
        self.environment.write_text("")
        self.tools = self._tools(folder / "bin")
        for name in [name for name in os.environ if name.startswith(("AWS_", "EVENTFLOW_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.syspath_prepend(str(self.folder))
        monkeypatch.chdir(self.folder)

    def run(self) -> None:
        text = self.page.read_text()
        if "# app.py\n" not in text:
            self._write("app.py", example_app())
            if re.search(r"^\$ ", text, re.MULTILINE) and not re.search(r"^\$ .*eventflow (run|dev)", text, re.MULTILINE):
                self._start(Command("eventflow run app.py"))
        for block in FENCE.finditer(text):
            language = block["language"]
            if language != "text":
                self.ran += 1
                getattr(self, f"_run_{language or 'nothing'}")(block["text"], block["note"] or "", text.count("\n", 0, block.start()))
        if self.tests:
            self._run_tests()

    def end(self) -> None:
        if self.daemon is not None and self._runs:
            self.daemon.kill()
            self.daemon.wait(DAEMON)

    # Python.

    def _run_python(self, text: str, note: str, line: int) -> None:
        name = FILE_NAME.match(text)
        if name:
            self._write(name[1], text)
            if name[1].startswith("test_"):
                self.tests.append(name[1])
                return
        code = compile("\n" * (line + 1) + text, str(self.page), "exec", dont_inherit=True)
        exec(code, self.names)

    def _run_py(self, text: str, note: str, line: int) -> None:
        sys.path.insert(0, str(ROOT / "samples" / "tail-trigger"))
        self._run_python(text, note, line)

    def _run_tests(self) -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *self.tests]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, timeout=DAEMON, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert re.search(r"\d+ passed", ran.stdout)

    def _write(self, name: str, text: str) -> None:
        loaded = self._loads()
        (self.folder / name).write_text(text)
        if name == "app.py" and self.daemon_command is not None and self.daemon_command.verb == "dev":
            self._until(lambda: self._loads() > loaded, f"{name} is loaded again")

    # Consoles.

    def _run_console(self, text: str, note: str, line: int, language: str = "console") -> None:
        for command in commands_of(language, text):
            command.text = self._translated(command.text)
            try:
                self._run_command(command, "by machine" in note)
            except AssertionError as error:
                raise AssertionError(f"{self.page.name}:{line + 1}: $ {command.text}\n{error}") from None

    def _run_bash(self, text: str, note: str, line: int) -> None:
        self._run_console(text, note, line, "bash")

    def _run_command(self, command: Command, by_machine: bool) -> None:
        if command.program == "make":
            assert set(command.words[1:]) - {word for word in command.words if "=" in word} <= make_targets()
        elif command.program in CHANGES_THE_MACHINE and not (command.program == "python3" and "-c" in command.words):
            subprocess.run(["bash", "-n", "-c", command.text], check=True)
            check_options(command.text)
        elif "--follow" in command.words:
            check_options(command.text)
        elif command.verb in ("run", "dev") and not command.fails:
            self._start(command)
        else:
            self._execute(command, by_machine)

    def _execute(self, command: Command, by_machine: bool) -> None:
        self._give_or_take_the_daemon(command)
        end = time.monotonic() + (PATIENCE if LOOKS.search(command.text) else 0)
        while (wrong := self._compare(command, *self._shell(command), by_machine)) is not None:
            assert time.monotonic() < end, wrong
            time.sleep(0.1)

    def _give_or_take_the_daemon(self, command: Command) -> None:
        """A daemon that is shown to fail needs the state directory for itself, unless that is why it fails."""
        if command.verb in ("run", "dev"):
            if not any("running daemon" in line for line in command.shown or ()):
                self._stop()
        elif re.search(r"\beventflow [a-z]", command.text) and self.daemon_command is not None and not self._runs:
            self._start(self.daemon_command)

    def _shell(self, command: Command) -> tuple[int, list[str]]:
        port = "EVENTFLOW_PORT=0 " if command.verb in ("run", "dev") else ""
        keep = f'. {self.environment}\n{port}{command.text}\nstatus=$?\nexport -p > {self.environment}\nexit "$status"\n'
        environment = {**os.environ, "PATH": f"{self.tools}:{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"}
        process = subprocess.Popen(
            ["bash", "-c", keep],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=environment,
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=DAEMON)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # what bash started outlives it
            raise
        # Without a terminal the daemon's own log is JSON; what is shown of one that fails is the error.
        return process.returncode, [line for line in printed.splitlines() if not line.startswith('{"time": ')]

    def _compare(self, command: Command, status: int, printed: list[str], by_machine: bool) -> str | None:
        """What is wrong, or None; then identifiers that are shown have got their meaning."""
        said = "\n".join(printed)
        if status != (1 if command.fails else 0):
            return f"ended with exit status {status}:\n{said}"
        if command.shown is None:
            return None
        masked = [self._masked(line, by_machine) for line in printed]
        pairs = matched([self._masked(line, by_machine) for line in command.shown], masked)
        if pairs is None:
            return "printed\n" + "\n".join(masked) + "\nand is shown as\n" + "\n".join(self._masked(line, by_machine) for line in command.shown)
        for shown, actual in pairs:
            self.identifiers |= dict(zip(IDENTIFIER.findall(command.shown[shown]), IDENTIFIER.findall(printed[actual]), strict=True))
        return None

    def _masked(self, line: str, by_machine: bool) -> str:
        """A line without what differs from run to run."""
        line = line.replace(str(self.servers), "/srv").expandtabs(2)
        if by_machine:
            return re.split(r"\s{2,}", line)[0]
        line = IDENTIFIER.sub("<id>", line)
        return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?", "#", line)).strip()

    def _translated(self, text: str) -> str:
        for shown, actual in self.identifiers.items():
            text = text.replace(shown, actual)
        return text

    # The daemon.

    def _start(self, command: Command) -> None:
        self._stop()
        check_options(command.text)
        free_port = re.sub(r"--port \d+", "--port 0", command.text)
        port = "" if "--port" in free_port else "EVENTFLOW_PORT=0 "
        self.log.write_text("")
        environment = {**os.environ, "PATH": f"{self.tools}:{os.environ['PATH']}"}
        with self.log.open("ab") as log:
            script = f". {self.environment}\nexec env {port}{free_port}"
            self.daemon = subprocess.Popen(["bash", "-c", script], stdout=log, stderr=log, cwd=self.folder, env=environment)
        last_words = "watching " if command.verb == "dev" else "state in "
        self._until(lambda: any(last_words in line for line in self._daemon_lines()), "the daemon is ready")
        self.daemon_command = command
        if command.shown:
            shown, actual = [[self._masked(line, False) for line in lines] for lines in (command.shown, self._daemon_lines())]
            assert matched([*shown, "..."], actual) is not None, f"logged {actual}"

    def _stop(self) -> None:
        if self.daemon is not None and self._runs:
            self.daemon.send_signal(signal.SIGTERM)
            assert self.daemon.wait(DAEMON) == 0, self.log.read_text()

    @property
    def _runs(self) -> bool:
        return self.daemon is not None and self.daemon.poll() is None

    def _daemon_lines(self) -> list[str]:
        """The log as a terminal shows it; elsewhere it is JSON."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
        return [f"{line['time'][11:19]} {line['message']}" for line in lines]

    def _loads(self) -> int:
        return sum("loaded the changed application" in line for line in self._daemon_lines()) if self.log.exists() else 0

    def _until(self, condition: Any, what: str) -> None:
        end = time.monotonic() + DAEMON
        while not condition():
            assert self.daemon is not None
            assert self.daemon.poll() is None, f"the daemon ended:\n{self.log.read_text()}"
            assert time.monotonic() < end, f"it did not come to this: {what}\n{self.log.read_text()}"
            time.sleep(0.02)

    def _tools(self, folder: Path) -> Path:
        """The programs that the examples call, as they are called after an installation into a virtual environment."""
        folder.mkdir()
        for name, command in {"eventflow": f"{sys.executable} -m eventflow", "python": sys.executable}.items():
            script = folder / name
            script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            script.chmod(0o755)
        return folder

    # Files.

    def _run_toml(self, text: str, note: str, line: int) -> None:
        tomllib.loads(text)
        name = FILE_NAME.match(text)
        if name:
            (self.folder / name[1]).write_text(text)
            read_settings(self.folder, {}, {})

    def _run_javascript(self, text: str, note: str, line: int) -> None:
        if shutil.which("node"):
            subprocess.run(["node", "--check", "--input-type=module", "-"], input=text, text=True, check=True)

    def _run_sh(self, text: str, note: str, line: int) -> None:
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)

    def _run_yaml(self, text: str, note: str, line: int) -> None:
        document.parse(text, str(self.page))
        if name := FILE_NAME.match(text):
            (self.folder / name[1]).write_text(text)

    def _run_json(self, text: str, note: str, line: int) -> None:
        json.loads(text)

    def _run_ini(self, text: str, note: str, line: int) -> None:
        unit = configparser.RawConfigParser(strict=False)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read_string(text)
        assert {"Unit", "Service", "Install"} <= set(unit.sections())
        check_options(unit["Service"]["ExecStart"])


def matched(shown: list[str], actual: list[str]) -> list[tuple[int, int]] | None:
    """Which shown line is which printed one; None if they do not agree. A shown ``...`` stands for any number of lines."""
    pairs: list[tuple[int, int]] = []
    at, free = 0, False
    for number, line in enumerate(shown):
        if line == "...":
            free = True
            continue
        found = next((place for place in range(at, len(actual)) if actual[place] == line), None)
        if found is None or (found != at and not free):
            return None
        pairs.append((number, found))
        at, free = found + 1, False
    return pairs if free or at == len(actual) or not shown else None


def check_options(text: str) -> None:
    """Parse every eventflow command in a line as the command line would, and run none."""
    for part in re.split(r"[|;&]+", text):
        words = [word for word in shlex.split(part, comments=True) if "=" not in word or word.startswith("-")]
        for at, word in enumerate(words[:-1]):
            if Path(word).name == "eventflow":
                parse(words[at + 1 :])


def parse(arguments: list[str]) -> None:
    command: click.Command = cli
    rest = list(arguments)
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"eventflow has no verb {rest[0]}"
        command, rest = found, rest[1:]
    command.make_context(command.name, rest)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def example_app() -> str:
    """The application that docs/cli.md shows."""
    return next(block["text"] for block in FENCE.finditer((ROOT / "docs" / "cli.md").read_text()) if block["text"].startswith("# app.py\n"))


@pytest.fixture
def page(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    modules, path = set(sys.modules), list(sys.path)
    page = Page(request.param, tmp_path, monkeypatch)
    yield page
    page.end()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith((str(tmp_path), str(ROOT / "samples"))):
            del sys.modules[name]


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in SLOW else []) for page in PAGES if FENCE.search(page.read_text())],
    indirect=True,
)
def test_the_examples_of_the_page_run(page: Page) -> None:
    page.run()
    assert page.ran > 0
    assert page.ran == len(re.findall(r"^```[a-z]+$", page.page.read_text(), re.MULTILINE)) - page.page.read_text().count("```text\n")


def test_every_block_is_of_a_known_language_and_none_is_indented_instead() -> None:
    for path in PAGES:
        text = path.read_text()
        assert text.count("```") == 2 * len(FENCE.findall(text)), f"{path.name} has a fence that is not closed, or a block without a language"
        assert not re.search(r"^\s*\n {4,}\S.*\n", re.sub(FENCE, "", text), re.MULTILINE), f"{path.name} has an indented block; give it a fence"


def test_every_make_target_that_is_named_exists() -> None:
    for path in PAGES:
        named = set(re.findall(r"`make ([a-z][a-z-]*)", path.read_text()))
        assert named <= make_targets(), path.name


def test_every_verb_that_is_named_exists() -> None:
    for path in PAGES:
        assert set(re.findall(r"`eventflow ([a-z][a-z-]*)", path.read_text())) <= set(VERBS), path.name


def test_every_relative_link_leads_somewhere() -> None:
    for path in PAGES:
        text = path.read_text()
        for link in re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text):
            file, _, anchor = link.partition("#")
            if re.match(r"https?:", link):
                continue
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), f"{path.name} links to {link}"
            assert not anchor or anchor in anchors(target), f"{path.name} links to {link}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_what_is_shown_is_compared_line_by_line() -> None:
    assert matched(["a", "b"], ["a", "b"]) == [(0, 0), (1, 1)]
    assert matched(["a", "...", "c"], ["a", "b", "c"]) == [(0, 0), (2, 2)]
    assert matched(["a"], ["a", "b"]) is None
    assert matched(["b", "..."], ["a", "b"]) is None
    assert matched([], ["anything"]) == []


def test_options_that_do_not_exist_are_found() -> None:
    check_options("eventflow logs thumbnail --follow")
    with pytest.raises(click.UsageError):
        check_options("eventflow logs thumbnail --fallow")
