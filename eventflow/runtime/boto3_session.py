"""boto3's default session, warmed before the fork: making a client in an environment then takes a tenth of the time."""

from __future__ import annotations

import sys
from typing import Any

#: What botocore's loader remembers, as its cache has it: the method, its arguments, and pairs of a keyword and its value.
METHODS = {"load_service_model", "load_data_with_path", "list_available_services", "list_api_versions", "determine_latest_version"}
KEYWORDS = {"api_version"}


def data_read() -> list[list[Any]]:
    """Which of botocore's data files the app's default session has read so far (for its clients), as calls of its loader."""
    session: Any = getattr(sys.modules.get("boto3"), "DEFAULT_SESSION", None)
    try:
        cache = session._session.get_component("data_loader")._cache
    except AttributeError:
        return []
    return [list(key) for key in cache if key and key[0] in METHODS]


def warm(calls: list[list[Any]]) -> None:
    """Read the same files into a default session that the environments inherit; it has no credentials and no clients yet."""
    if "boto3" not in sys.modules:
        return
    import boto3

    boto3.setup_default_session()
    session: Any = boto3.DEFAULT_SESSION
    loader = session._session.get_component("data_loader")
    for method, *rest in calls:
        arguments, keywords = divided(rest)
        try:
            getattr(loader, method)(*arguments, **keywords)
        except Exception:
            # An entry of another form than we know: the environment reads that file itself.
            continue


def divided(rest: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments, and the keywords that the cache's key has behind them."""
    start = next((index for index, value in enumerate(rest) if value in KEYWORDS), len(rest))
    return rest[:start], dict(zip(rest[start::2], rest[start + 1 :: 2], strict=True))
