"""boto3's default session, warmed in the zygote: it has read the data files that the app's clients need, and has such clients ready.

A client takes botocore 15 ms and more, most of it the same each time: classes, rule sets, TLS contexts. So the throwaway load notes how the app
makes clients and resources at import, the zygote makes equal ones, and an environment that asks for one in the same way gets what it inherited, once.
What can make a difference to a client is compared first; where anything does, the client is made as usual. The clients come from a session of their
own, so that the default session is as new in every environment.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from eventflow.runtime.after_import import AfterImport

#: What botocore's loader remembers, as its cache has it: the method, its arguments, and pairs of a keyword and its value.
METHODS = {"load_service_model", "load_data_with_path", "list_available_services", "list_api_versions", "determine_latest_version"}
KEYWORDS = {"api_version"}
MAKERS = ("client", "resource")

Call = list[Any]  # [maker, arguments, keywords]


class Notes(AfterImport):
    """Notes how clients are made on the default session from the moment that boto3 is imported. Install it in a process that will be thrown away."""

    def __init__(self) -> None:
        super().__init__("boto3.session", self._watch)
        self.calls: list[Call] = []

    def _watch(self, module: ModuleType) -> None:
        for maker in MAKERS:
            self._note(module.Session, maker)

    def _note(self, session_class: Any, maker: str) -> None:
        make = getattr(session_class, maker)

        def noted(session: Any, *arguments: Any, **keywords: Any) -> Any:
            made_before = len(self.calls)
            call = encoded_call(maker, arguments, keywords)
            made = make(session, *arguments, **keywords)
            if session is default_session():
                # A resource makes its own client: that is part of it, and was noted in between.
                self.calls[made_before:] = [call] if call else []
            return made

        setattr(session_class, maker, noted)


def default_session() -> Any:
    return getattr(sys.modules.get("boto3"), "DEFAULT_SESSION", None)


def data_read() -> list[list[Any]]:
    """Which of botocore's data files the app's default session has read so far (for its clients), as calls of its loader."""
    try:
        cache = default_session()._session.get_component("data_loader")._cache
    except AttributeError:
        return []
    return [list(key) for key in cache if key and key[0] in METHODS]


def warm(reads: list[list[Any]], calls: list[Call]) -> None:
    """Read the same files into a default session that the environments inherit, and make the same clients."""
    if "boto3" not in sys.modules:
        return
    import boto3

    boto3.setup_default_session()
    loader = default_session()._session.get_component("data_loader")
    usual, loader.file_loader = loader.file_loader, slim_file_loader()
    for method, *rest in reads:
        arguments, keywords = divided(rest)
        try:
            getattr(loader, method)(*arguments, **keywords)
        except Exception:
            # An entry of another form than we know: the environment reads that file itself.
            continue
    loader.file_loader = usual
    if calls:
        Ready(default_session()).make(calls)


def slim_file_loader() -> Any:
    """Reads models with their documentation left empty: a third of them, and no running program looks at it. Plain dicts keep their order, too."""
    from botocore.loaders import JSONFileLoader

    class SlimFileLoader(JSONFileLoader):
        def _load_file(self, full_path: str, open_method: Any) -> Any:
            if not os.path.isfile(full_path):  # noqa: PTH113 - as the class above has it
                return None
            with open_method(full_path, "rb") as file:
                return json.loads(file.read(), object_pairs_hook=slim)

    return SlimFileLoader()


def slim(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: "" if name == "documentation" and isinstance(value, str) else value for name, value in pairs}


def divided(rest: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments, and the keywords that the cache's key has behind them."""
    start = next((index for index, value in enumerate(rest) if value in KEYWORDS), len(rest))
    return rest[:start], dict(zip(rest[start::2], rest[start + 1 :: 2], strict=True))


class Ready:
    """Clients and resources that were made in advance for a session, in front of whose two makers it stands."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.made: dict[str, list[Any]] = {}
        self._circumstances = self._observe()

    def make(self, calls: list[Call]) -> None:
        import boto3

        other: Any = boto3.Session()
        other._session.register_component("data_loader", self._session._session.get_component("data_loader"))
        for maker, arguments, keywords in calls:
            try:
                made = getattr(other, maker)(*map(decoded, arguments), **{name: decoded(value) for name, value in keywords.items()})
            except Exception:
                # What is wrong with it is for the environment to say, where the app makes it.
                continue
            self.made.setdefault(json.dumps([maker, arguments, keywords], sort_keys=True), []).append(made)
        if self._circumstances is not None:
            for maker in MAKERS:
                setattr(self._session, maker, functools.partial(self._take, maker))

    def _take(self, maker: str, *arguments: Any, **keywords: Any) -> Any:
        call = encoded_call(maker, arguments, keywords)
        waiting = call and self.made.get(json.dumps(call, sort_keys=True))
        if waiting and self._observe() == self._circumstances:
            return waiting.pop(0)
        return getattr(type(self._session), maker)(self._session, *arguments, **keywords)

    def _observe(self) -> object:
        """What a client depends on beside its arguments: variables, the session's settings and components, who listens to its events, and the code
        itself where a library has replaced it. None where botocore is not as we know it."""
        import botocore.client
        import botocore.session

        inner = self._session._session
        try:
            emitter = inner.get_component("event_emitter")._emitter
            return (
                tuple(sorted((name, value) for name, value in os.environ.items() if matters(name))),
                {name: value if is_plain(value) else id(value) for name, value in vars(inner).items()},
                {name: id(value) for name, value in inner._components._components.items()},
                repr(inner._session_instance_vars),
                id(emitter._lookup_cache),  # another dict after each registration
                [id(getattr(type(self._session), maker)) for maker in MAKERS],
                id(botocore.session.Session.create_client),
                id(botocore.client.ClientCreator.create_client),
            )
        except AttributeError:
            return None


def matters(variable: str) -> bool:
    """Whether botocore, or the TLS and the proxies below it, may read a variable when a client is made."""
    if variable.startswith("AWS_LAMBDA_"):
        return False
    return (
        variable.startswith(("AWS_", "BOTO", "SSL_", "OPENSSL")) or variable.lower().endswith("_proxy") or variable in ("HOME", "REQUESTS_CA_BUNDLE")
    )


def is_plain(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))


def encoded_call(maker: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Call | None:
    """A call as JSON values, or None where an argument is not of a kind that another process can make again."""
    try:
        return [maker, [encoded(value) for value in arguments], {name: encoded(value) for name, value in keywords.items()}]
    except TypeError:
        return None


def encoded(value: Any) -> Any:
    """Plain values are themselves, and a ``botocore.config.Config`` is what it was made from; TypeError for all else."""
    if is_plain(value):
        return value
    options = getattr(value, "_user_provided_options", None)
    if type(value).__module__ != "botocore.config" or not isinstance(options, dict):
        raise TypeError(type(value))
    text = json.dumps(options, sort_keys=True)
    if json.loads(text) != options:
        raise TypeError(type(value))
    return {"config": json.loads(text)}


def decoded(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    from botocore.config import Config

    return Config(**value["config"])
