"""An issuer's keys: fetched when they are needed, remembered, and asked for again when they may have been rotated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from eventflow.clock import Clock
from eventflow.gateway.authorizers.fetching import LARGEST_DOCUMENT, Fetcher, FetchFailed, checked_url
from eventflow.gateway.authorizers.tokens import InvalidKeys, Key, read_keys, strict_json
from eventflow.gateway.deadlines import within

log = logging.getLogger("eventflow.gateway")

#: AWS: 1,500 ms for reaching an issuer's keys (API Gateway quotas). A request waits no longer, whatever the fetch does.
PATIENCE = 1.5
#: A fetch that takes longer is given up.
LONGEST_FETCH = 5.0
#: After a fetch that failed nobody asks again for so many seconds.
PAUSE_AFTER_FAILURE = 10.0

Fetch = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True)
class Lifetime:
    """Seconds: keys are asked for again ``fresh`` after they came, while they are still used; ``usable`` after they came they are not used any more
    (AWS: two hours). ``pause`` is the least time between two fetches, whatever tokens name as their key."""

    fresh: float
    usable: float
    pause: float


REMOTE = Lifetime(fresh=3_600.0, usable=7_200.0, pause=30.0)
FILE = Lifetime(fresh=5.0, usable=60.0, pause=1.0)


class KeySource:
    """``generation`` counts the sets of keys that there were: what was checked with those of another one is not checked."""

    def __init__(self, name: str, fetch: Fetch, clock: Clock, lifetime: Lifetime) -> None:
        """``name`` is where the keys are, for the log. ``fetch`` may take any time, and is cancelled after five seconds."""
        self.name = name
        self.generation = 0
        self.error: str | None = None
        self._fetch, self._clock, self._lifetime = fetch, clock, lifetime
        self._document: bytes | None = None
        self._keys: dict[str, tuple[Key, ...]] = {}
        self._came = self._asked = -float("inf")
        self._task: asyncio.Task[None] | None = None
        self._done = asyncio.Event()

    @property
    def known(self) -> int:
        """How many keys there are."""
        return len(self._keys)

    def usable(self) -> bool:
        """Whether the keys may be used now. Has them fetched in the background when they are no longer fresh."""
        age = self._clock.monotonic() - self._came
        if age > self._lifetime.fresh:
            self._ask()
        return age <= self._lifetime.usable

    async def find(self, kid: str) -> tuple[Key, ...]:
        """The keys of that name, perhaps none. An unknown name has them fetched, for they may have been rotated. Raises FetchFailed."""
        if not self.usable():
            await self._wait()
            if not self.usable():
                raise FetchFailed(self.error or f"{self.name} has not answered yet")
        elif kid not in self._keys and self._ask():
            await self._wait()
        return self._keys.get(kid, ())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _ask(self) -> bool:
        """Begin a fetch, if none is under way and it is time for one. Returns whether one is under way."""
        if self._task is None:
            pause = self._lifetime.pause if self.error is None else PAUSE_AFTER_FAILURE
            if self._clock.monotonic() - self._asked < pause:
                return False
            self._asked = self._clock.monotonic()
            self._done = asyncio.Event()
            self._task = asyncio.create_task(self._renew())
        return True

    async def _wait(self) -> None:
        """Wait for the fetch that is under way, but not for one that takes long: all who come later are then answered at once."""
        left = self._asked + PATIENCE - self._clock.monotonic()
        if self._task is not None and left > 0:
            await self._clock.wait(self._done, left)

    async def _renew(self) -> None:
        try:
            document = await within(self._clock, LONGEST_FETCH, self._fetch())
            if document != self._document:
                self._keys = read_keys(document)
                self._document = document
                self.generation += 1
            self._came = self._clock.monotonic()
            self.error = None
        except FetchFailed as error:
            self._failed(str(error))
        except InvalidKeys as error:
            self._failed(f"{self.name} is no JWKS: {error}")
        except TimeoutError:
            self._failed(f"{self.name} has not answered within {LONGEST_FETCH:g} s")
        finally:
            self._task = None
            self._done.set()

    def _failed(self, why: str) -> None:
        if why != self.error:
            log.warning("The keys of tokens cannot be had: %s", why)
        self.error = why


def key_source(issuer: str, jwks: str | None, clock: Clock, fetcher: Fetcher) -> KeySource:
    """The keys at ``jwks``, an absolute path or an address; without it, those that the issuer's own configuration leads to."""
    if jwks is None:
        address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        return KeySource(address, lambda: discovered(issuer, address, fetcher), clock, REMOTE)
    if "://" in jwks:
        return KeySource(jwks, lambda: fetcher.get(jwks), clock, REMOTE)
    path = Path(jwks)
    return KeySource(jwks, lambda: fetcher.threads.run(f"read {jwks}", partial(read_file, path)), clock, FILE)


def read_file(path: Path) -> bytes:
    """Raises FetchFailed."""
    try:
        with path.open("rb") as file:
            document = file.read(LARGEST_DOCUMENT + 1)
    except OSError as error:
        raise FetchFailed(f"{path} cannot be read: {error.strerror or error}") from error
    if len(document) > LARGEST_DOCUMENT:
        raise FetchFailed(f"{path} has more than {LARGEST_DOCUMENT} bytes")
    return document


async def discovered(issuer: str, address: str, fetcher: Fetcher) -> bytes:
    """The keys that an issuer's configuration (OpenID Connect Discovery 1.0) leads to. Raises FetchFailed."""
    try:
        configuration = strict_json(await fetcher.get(address))
    except (ValueError, RecursionError) as error:
        raise FetchFailed(f"{address} is no JSON: {error}") from error
    found = configuration if isinstance(configuration, dict) else {}
    if found.get("issuer") != issuer:
        raise FetchFailed(f"{address} is of another issuer: {found.get('issuer')!r}, and not {issuer!r}")
    where = found.get("jwks_uri")
    if not isinstance(where, str):
        raise FetchFailed(f"{address} has no jwks_uri")
    try:
        if checked_url(where).scheme == "http" and issuer.startswith("https:"):
            raise FetchFailed(f"{address} leads from https to http: {where}")
    except ValueError as error:
        raise FetchFailed(f"{address}: jwks_uri: {error}") from error
    return await fetcher.get(where)
