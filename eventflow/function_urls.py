"""Function URLs that were made by API, as the gateway serves them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from eventflow.cors_members import CORS_MEMBERS
from eventflow.errors import EventflowError, ServiceError, SettingError
from eventflow.gateway.apis import URL_PATH
from eventflow.gateway.cors import Cors
from eventflow.services.functions.records import Url
from eventflow.trigger import Resource


class FunctionUrls:
    """``gateway`` is the gateway's own address, and opens it if nothing has yet; ``reload`` has it serve what ``resources`` says."""

    def __init__(self, gateway: Callable[[], str], reload: Callable[[], Awaitable[None]]) -> None:
        self._gateway = gateway
        self._reload = reload
        self._urls: Sequence[Url] = ()

    def resources(self) -> list[Resource]:
        """The URLs as an application would declare them."""
        return [Resource("url", named(url), options_of(url)) for url in self._urls]

    def functions(self) -> list[str]:
        """What they lead to: functions, and functions by an alias."""
        return [named(url) for url in self._urls]

    def check(self, url: Url) -> None:
        """Raises ServiceError for a URL that could not be served: nothing of it is kept then."""
        try:
            Cors.read("Cors", options_of(url).get("cors", {}))
            self._gateway()
        except SettingError as error:
            raise ServiceError("InvalidParameterValueException", str(error), 400, Type="User") from error
        except EventflowError as error:
            raise ServiceError("ServiceException", f"The gateway cannot be opened: {error}", 500, Type="Service") from error

    def address(self, id: str) -> str:
        """By the path on the gateway, which needs no name to be resolved. The host ``<id>.lambda-url.<anything>`` leads there too."""
        return f"{self._gateway()}{URL_PATH}/{id}/"

    def begin(self, urls: Sequence[Url]) -> None:
        """Those that are there before the application is loaded."""
        self._urls = urls

    async def take_up(self, urls: Sequence[Url]) -> None:
        self._urls = urls
        await self._reload()


def named(url: Url) -> str:
    return f"{url.function}:{url.qualifier}" if url.qualifier else url.function


def options_of(url: Url) -> dict[str, Any]:
    options: dict[str, Any] = {"auth": url.auth, "invoke_mode": url.mode, "id": url.id}
    if url.cors is not None:
        options["cors"] = {CORS_MEMBERS.get(name, name): value for name, value in url.cors.items()}
    return options
