"""The samples in a real daemon, and people at headless Chromium who use their pages."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.relay import Relay
from tests.process.daemon_process import DaemonProcess
from tests.process.web_sample import WebSample, web_sample

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
#: Milliseconds until a page must show what is expected of it. A lost connection is tried again after ten seconds at the latest.
PATIENCE = 60_000
#: Where this is set, a browser that is missing is a failure: nobody would notice that nothing was tested.
DEMANDED = "CI"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--artefacts", type=Path, default=None, help="the folder for screenshots (test-artefacts/browser)")


def missing(what: str) -> Any:
    text = f"{what}: run `make setup-browser`"
    if os.environ.get(DEMANDED):
        pytest.fail(f"{text} ({DEMANDED} is set, so the browser tests must run)", pytrace=False)
    pytest.skip(text)


@pytest.fixture(scope="session")
def artefacts(pytestconfig: pytest.Config) -> Path:
    folder: Path = pytestconfig.getoption("--artefacts", None) or pytestconfig.rootpath / "test-artefacts" / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The system's Chromium, started by Playwright."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        missing("Playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        missing("there is no chromium")
    expect.set_options(timeout=PATIENCE)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, timeout=PATIENCE, args=["--no-sandbox"] if root else [])
        yield browser
        browser.close()


class Sample(WebSample):
    """People reach it through a network that can be lost."""

    def __init__(self, process: DaemonProcess, folder: Path) -> None:
        super().__init__(process, folder)
        self.network = Relay(("127.0.0.1", self.port))

    @property
    def page(self) -> str:
        return self.network.url

    def reconnect(self) -> None:
        """Whatever a test has done to the network, it is there again."""
        self.network.thaw()
        self.network.mend()


@pytest.fixture(scope="module")
def sample(request: pytest.FixtureRequest, chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The sample that the module's ``SAMPLE`` names."""
    with web_sample(Sample, request.module.SAMPLE, tmp_path_factory.mktemp("daemon")) as running:
        yield running
        running.network.cut()


class Person:
    """Somebody at a browser of their own. ``shot`` keeps what they see; at the end their browser must have no complaint but lost networks."""

    def __init__(self, context: Any, artefacts: Path) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self._artefacts = artefacts
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        if message.type == "error" and not re.search(r"Failed to load resource|WebSocket connection to|ERR_", message.text):
            self.complaints.append(message.text)

    def shot(self, name: str) -> None:
        self.page.screenshot(path=self._artefacts / f"{name}.png", animations="disabled")

    def see(self, selector: str) -> Any:
        """What is expected of a part of the page, in a moment at the latest."""
        from playwright.sync_api import expect

        return expect(self.page.locator(selector))


@pytest.fixture
def person(chromium: Any, artefacts: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Person]]:
    contexts, people = [], []

    def come(size: str = "desktop", scheme: str = "light", **options: Any) -> Person:
        width, height = SIZES[size]
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            has_touch=size == "phone",
            device_scale_factor=2 if size == "phone" else 1,
            **options,
        )
        contexts.append(context)
        people.append(Person(context, artefacts))
        return people[-1]

    yield come
    for number, one in enumerate(people):
        if getattr(request.node, "failed", False):
            one.shot(f"failed-{request.node.name}-{number}")
    for context in contexts:
        context.close()
    assert [complaint for one in people for complaint in one.complaints] == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Lets fixtures know that their test has failed, for a last picture."""
    report = yield
    if report.when == "call":
        item.failed = report.failed  # type: ignore[attr-defined]
    return report
