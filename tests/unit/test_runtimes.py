"""Which runtimes a function may name on this machine, and what is said of the others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventflow.cli.doctor import languages
from eventflow.errors import SettingError
from eventflow.runtime import runtimes
from eventflow.runtime.runtimes import OURSELVES, check


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A PATH of its own, on which programs are made that tell their version."""
    monkeypatch.setenv("PATH", str(tmp_path))
    runtimes.find.cache_clear()
    yield tmp_path
    runtimes.find.cache_clear()


def program(folder: Path, name: str, version: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\necho {version}\n")
    file.chmod(0o755)


def test_what_needs_no_program_is_there(path: Path) -> None:
    for runtime in (OURSELVES, "provided", "provided.al2", "provided.al2023"):
        check(runtime)


@pytest.mark.parametrize(
    ("runtime", "says"),
    [
        ("java17", "'java17' is not supported: use provided.al2023 with a bootstrap that starts java"),
        ("ruby3.3", "aws_lambda_ric"),
        ("dotnet8", "Amazon.Lambda.RuntimeSupport"),
        ("go1.x", "the compiled program"),
        ("cobol", "there are python3.8, python3.9"),
        ("nodejs20.x", "needs the program node, which is not on the daemon's PATH"),
        ("python3.8", "needs the program python3.8"),
    ],
)
def test_what_is_not_there_is_refused_with_what_to_do(path: Path, runtime: str, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        check(runtime)


def test_programs_on_the_path_count(path: Path) -> None:
    program(path, "node", "v20.1.0")
    program(path, "python3.8", "Python 3.8.18")
    check("nodejs20.x")
    check("nodejs18.x")
    check("python3.8")
    with pytest.raises(SettingError, match="needs a newer node than the one on the daemon's PATH, which is 20"):
        check("nodejs22.x")


def test_a_program_that_does_not_start_is_none(path: Path) -> None:
    (path / "node").write_text("#!/no/such/interpreter\n")
    (path / "node").chmod(0o755)
    with pytest.raises(SettingError, match="needs the program node"):
        check("nodejs20.x")


def test_the_doctor_tells_of_them(path: Path) -> None:
    program(path, "node", "v20.1.0")
    found = languages()
    assert (found.subject, found.verdict) == ("languages", "ok")
    assert found.text.startswith(f"{OURSELVES}, node (20.1.0) and custom runtimes; not on the PATH: ")
