"""Translations that are kept: the translator takes a second to load, and a template whose code alone has changed needs it not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from eventflow.sam.document import Template

#: So many translations are kept; the one that was not asked for the longest goes.
MOST_KEPT = 8
TRANSLATOR = "aws-sam-translator"


def kept_translation(own: Path, asked: Any, translate: Callable[[], Template]) -> Template:
    """What ``translate`` gives for ``asked`` (JSON values that say all that it depends on), from the last time where it was kept. Nothing is kept of
    a template that was refused. A file that cannot be read or written costs the second, and nothing else."""
    text = json.dumps([translator_version(), asked], sort_keys=True, default=str)
    file = own / "translated" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    try:
        found: Template = json.loads(file.read_text(encoding="utf-8"))
        os.utime(file)
    except (OSError, ValueError):
        found = translate()
        if found["Resources"]:
            keep(file, found)
    return found


def translator_version() -> str:
    try:
        return version(TRANSLATOR)
    except PackageNotFoundError:
        return ""


def keep(file: Path, translated: Template) -> None:
    """It gets its name when it is whole, so that a kill leaves no half."""
    temporary = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(translated), encoding="utf-8")
        temporary.replace(file)
        by_age = sorted(file.parent.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in by_age[MOST_KEPT:]:
            old.unlink(missing_ok=True)
    except OSError:
        temporary.unlink(missing_ok=True)
