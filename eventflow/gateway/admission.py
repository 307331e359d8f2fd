"""Who is let in: throttles of account, stage, route and API key, and the quotas of usage plans."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from eventflow.clock import Clock
from eventflow.errors import SettingError
from eventflow.gateway.apis import SOCKETS, URL, Api, Route
from eventflow.gateway.plans import ApiKey, UsagePlan, digest, period_of, read_keys, read_plans
from eventflow.gateway.request import Request
from eventflow.gateway.routes import RouteKey
from eventflow.gateway.seams import Addition, Findings, Integration, Refusal, Step
from eventflow.gateway.throttle import Limit, Refusals, TokenBucket, admitted
from eventflow.services.api_keys import ApiKeys
from eventflow.trigger import ApiRoute

log = logging.getLogger("eventflow.gateway")

MOST_LISTED = 5
KEY_SOURCES = ("HEADER", "AUTHORIZER")
KEY_HEADER = "x-api-key"


@dataclass
class Book:
    """What one version of the application says. ``buckets`` are by what they limit; a former version's go on where the limit is the same."""

    keys: Mapping[str, ApiKey] = field(default_factory=dict)
    plans: Mapping[str, UsagePlan] = field(default_factory=dict)
    by_digest: Mapping[bytes, ApiKey] = field(default_factory=dict)
    buckets: dict[tuple[str, ...], TokenBucket] = field(default_factory=dict)


@dataclass(frozen=True)
class Pass:
    """What a key may on one route: its plan, and the buckets of the key there, those of the method first."""

    plan: UsagePlan
    buckets: tuple[TokenBucket, ...]


class Admission:
    """Throttling, and API keys that come in a header. Limits are asked in AWS's order: those of a key on a method, of a key, of the method, of the
    stage, and of the account ("Throttle requests to your REST APIs for better throughput", API Gateway developer guide)."""

    route_options = frozenset(("throttle", "api_key"))
    api_options = frozenset(("throttle", "api_key_source"))

    def __init__(self, clock: Clock, store: ApiKeys, account: str, account_limit: Limit, variable: Callable[[str], str | None]) -> None:
        self._clock = clock
        self._store = store
        self._account = account
        self._variable = variable
        self._account_bucket = TokenBucket(account_limit, clock.monotonic())
        self._refusals = Refusals(clock)
        self._book = self._next = Book()
        self._last: Api | None = None
        self._unmatched: set[tuple[str, str]] = set()
        self._shut: list[str] = []

    def load(self, apis: Sequence[Api]) -> None:
        for api in apis:
            check_options(api)
        resources = apis[0].resources if apis else ()
        keys = read_keys(resources, self._account, self._store.value, self._variable)
        plans = read_plans(resources, self._account, keys, [(api.name, api.stage.name) for api in apis if api.protocol == "REST"])
        self._next = Book(keys, plans, {digest(key.value): key for key in keys.values()})
        self._last = next((api for api in reversed(apis) if api.protocol != SOCKETS), None)
        self._shut = []
        self._unmatched = {(plan.name, key) for plan in plans.values() for key in plan.methods}

    def step(self, api: Api, route: ApiRoute) -> Step | None:
        if api.protocol == URL:
            return None  # on AWS a function's concurrency is all that limits its URL
        limits = self._limits(api, route)
        if not requires_key(api, route) or source_of(api) != "HEADER":
            return Throttle(self._clock, self._refusals, limits)
        return KeyCheck(self._clock, self._refusals, self._store, self._next, self._passes(api, route), limits)

    def later_step(self, api: Api, route: ApiRoute) -> Step | None:
        """The check of a key that an authorizer finds; all that a flood must not pass is behind it by then."""
        if not requires_key(api, route) or source_of(api) != "AUTHORIZER":
            return None
        return AuthorizedKeyCheck(self._clock, self._refusals, self._store, self._next, self._passes(api, route), ())

    def extend(self, api: Api) -> Iterable[tuple[str, Integration]]:
        for plan, key in sorted(self._unmatched if api is self._last else ()):
            raise SettingError(
                f"Usage plan {plan!r}: methods: none of its APIs has the route {key!r} with api_key=True; correct it, or leave it out."
            )
        return ()

    def took_up(self) -> None:
        self._book = self._next
        if self._shut:
            log.warning(
                "No usage plan has an API key for %s: every request is answered 403. Declare app.api_key(...) and app.usage_plan(..., keys=[...]).",
                listed(self._shut),
            )
        self._store.keep(name for name, key in self._book.keys.items() if key.generated)

    def describe(self) -> list[dict[str, object]]:
        """The keys for ``eventflow keys``: names, plans and what was used of their quotas; values of those alone that were made here."""
        return [self._described(key) for key in self._book.keys.values()]

    def _described(self, key: ApiKey) -> dict[str, object]:
        plans = [plan for plan in self._book.plans.values() if key.name in plan.keys]
        return {
            "name": key.name,
            "id": key.id,
            "enabled": key.enabled,
            "value": key.value if key.generated else None,
            "plans": [
                {"name": plan.name, "quota": plan.quota, "period": plan.period if plan.quota else None, "used": self._used(plan, key)}
                for plan in plans
            ],
        }

    def _used(self, plan: UsagePlan, key: ApiKey) -> int | None:
        return None if plan.quota is None else self._store.used(plan.name, key.name, period_of(plan.period, self._clock.now())[0])

    def _limits(self, api: Api, route: ApiRoute) -> tuple[TokenBucket, ...]:
        """The buckets of a route, whoever asks."""
        found = []
        if "throttle" in route.options:
            where = f"The route {route.key!r} of the {api}"
            found.append(self._bucket(Limit.read(where, route.options["throttle"]), "route", api.id, api.stage.name, route.key))
        if "throttle" in api.options:
            found.append(self._bucket(Limit.read(f"The {api}", api.options["throttle"]), "stage", api.id, api.stage.name))
        return (*found, self._account_bucket)

    def _passes(self, api: Api, route: ApiRoute) -> dict[str, Pass]:
        """What each key may on a route."""
        method = str(RouteKey.parse(route.key))
        passes = {}
        for plan in self._next.plans.values():
            if not plan.covers(api.name, api.stage.name):
                continue
            self._unmatched.discard((plan.name, method))
            for key in plan.keys:
                buckets = []
                if method in plan.methods:
                    buckets.append(self._bucket(plan.methods[method], "method", plan.name, key, api.id, api.stage.name, method))
                if plan.limit is not None:
                    buckets.append(self._bucket(plan.limit, "plan", plan.name, key))
                passes[key] = Pass(plan, tuple(buckets))
        if not passes:
            self._shut.append(f"{route.key} of the {api}")
        return passes

    def _bucket(self, limit: Limit, *what: str) -> TokenBucket:
        known = self._next.buckets.get(what)
        if known is None:
            former = self._book.buckets.get(what)
            known = former if former is not None and former.limit == limit else TokenBucket(limit, self._clock.monotonic())
            self._next.buckets[what] = known
        return known


class AuthorizerKeys:
    """API keys that authorizers find: plugged in behind them."""

    route_options: frozenset[str] = frozenset()
    api_options: frozenset[str] = frozenset()

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def load(self, apis: Sequence[Api]) -> None:
        """All of it is the admission's."""

    def step(self, api: Api, route: ApiRoute) -> Step | None:
        return self._admission.later_step(api, route)

    def extend(self, api: Api) -> Iterable[tuple[str, Integration]]:
        return ()

    def took_up(self) -> None:
        """All of it is the admission's."""


class Throttle:
    """Lets through what the buckets of a route have tokens for."""

    early = True

    def __init__(self, clock: Clock, refusals: Refusals, limits: Sequence[TokenBucket]) -> None:
        self._clock = clock
        self._refusals = refusals
        self._limits = limits

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Addition | Refusal | None:
        refusal = admitted(self._limits, self._clock.monotonic())
        return None if refusal is None else await self._refusals.paced(refusal)


class KeyCheck:
    """Lets through requests with the key of a usage plan of this API, while the plan's quota and all limits allow it."""

    early = True

    def __init__(
        self, clock: Clock, refusals: Refusals, store: ApiKeys, book: Book, passes: Mapping[str, Pass], limits: Sequence[TokenBucket]
    ) -> None:
        self._clock = clock
        self._refusals = refusals
        self._store = store
        self._book = book
        self._passes = passes
        self._limits = limits

    def presented(self, request: Request, findings: Findings) -> str | None:
        return request.header_map.get(KEY_HEADER)

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Addition | Refusal | None:
        result = self._checked(self.presented(request, findings))
        return await self._refusals.paced(result) if isinstance(result, Refusal) else result

    def _checked(self, value: str | None) -> Addition | Refusal:
        key = None if value is None else self._book.by_digest.get(digest(value))
        found = None if key is None or not key.enabled else self._passes.get(key.name)
        if key is None or found is None:
            return Refusal("INVALID_API_KEY")
        addition = Addition(identity={"apiKey": key.value, "apiKeyId": key.id})
        plan, start = found.plan, 0
        if plan.quota is not None:
            now = self._clock.now()
            start, end = period_of(plan.period, now)
            if self._store.used(plan.name, key.name, start) >= plan.quota:
                return Refusal("QUOTA_EXCEEDED", ((b"retry-after", b"%d" % max(1, math.ceil(end - now))),))
        refusal = admitted((*found.buckets, *self._limits), self._clock.monotonic())
        if refusal is not None:
            return refusal
        if plan.quota is not None:
            self._store.count(plan.name, key.name, start)
        return addition


class AuthorizedKeyCheck(KeyCheck):
    """The same for a key that an authorizer gave as ``usageIdentifierKey``."""

    early = False

    def presented(self, request: Request, findings: Findings) -> str | None:
        return findings.usage_key


def listed(routes: Sequence[str]) -> str:
    more = f" and {len(routes) - MOST_LISTED} more" if len(routes) > MOST_LISTED else ""
    return ", ".join(routes[:MOST_LISTED]) + more


def requires_key(api: Api, route: ApiRoute) -> bool:
    required = route.options.get("api_key", False)
    if not isinstance(required, bool):
        raise SettingError(f"The route {route.key!r} of the {api}: api_key={required!r} is refused: it takes True or False.")
    if required and api.protocol != "REST":
        raise SettingError(
            f"The route {route.key!r} of the {api}: api_key is refused: AWS has API keys for REST APIs alone; use Rest, or an authorizer."
        )
    return required


def source_of(api: Api) -> str:
    return str(api.options.get("api_key_source", "HEADER"))


def check_options(api: Api) -> None:
    if "throttle" in api.options:
        Limit.read(f"The {api}", api.options["throttle"])
    if "api_key_source" in api.options and (api.protocol != "REST" or source_of(api) not in KEY_SOURCES):
        raise SettingError(
            f"The {api}: api_key_source={api.options['api_key_source']!r} is refused: REST APIs take HEADER (x-api-key) or AUTHORIZER (the "
            "usageIdentifierKey of a Lambda authorizer's answer)."
        )
