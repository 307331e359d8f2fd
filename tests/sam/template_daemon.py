"""A real daemon that runs one of the templates of ``apps``, copied so that what it writes stays with the test."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.patience import PATIENCE
from tests.process.daemon_process import DaemonProcess

APPS = Path(__file__).parent / "apps"


class TemplateDaemon(DaemonProcess):
    def __init__(self, folder: Path, template: str) -> None:
        self.folder = folder
        self.state = folder / ".eventflow"
        self.app = folder / template
        self.process = None
        self.log = folder / "daemon.log"
        self.variables = {}
        self._clients = []

    def get(
        self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
    ) -> tuple[int, str, dict[str, str]]:
        """Status, body and headers (names in small letters) that the API gateway answers."""
        address = path if path.startswith("http") else self.facts["gateway"] + path
        request = urllib.request.Request(address, data, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return response.status, response.read().decode(), {name.lower(): value for name, value in response.headers.items()}
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), {name.lower(): value for name, value in error.headers.items()}


@contextmanager
def template_daemon(folder: Path, app: str, template: str = "template.yaml") -> Iterator[TemplateDaemon]:
    """The daemon of a copy of the template, not started yet, ended whatever happens."""
    shutil.copytree(APPS / app, folder / app)
    process = TemplateDaemon(folder / app, template)
    try:
        yield process
    finally:
        process.end()
