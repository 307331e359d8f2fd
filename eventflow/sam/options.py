"""What a template is run with beside itself: who and where the daemon is, and what the user says of parameters and variables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TemplateOptions:
    """``endpoint`` is the address of the daemon's AWS endpoint, ``state`` its state directory; ``overrides`` are values of parameters, ``env_vars``
    a file in the form of ``sam local``'s ``--env-vars``, ``stack_name`` the stack's name where the user says it, ``config_env`` the part of
    samconfig.toml that counts. ``lenient`` leaves out what eventflow does not have."""

    account: str
    region: str
    endpoint: str
    state: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    env_vars: str | None = None
    stack_name: str | None = None
    config_env: str = "default"
    lenient: bool = False

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TemplateOptions:
        return cls(**values)

    @property
    def own_folder(self) -> Path:
        """What of the state directory is for code that was packed: unpacked zips and code that stands in a template."""
        return Path(self.state) / "sam"
