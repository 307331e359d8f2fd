"""Request validation of REST APIs: required parameters, and bodies against models, before anything is invoked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventflow.errors import SettingError
from eventflow.gateway.apis import Api, Route
from eventflow.gateway.compression import decompress
from eventflow.gateway.models import Models, Validator, accepts
from eventflow.gateway.request import Request
from eventflow.gateway.routes import VARIABLE
from eventflow.gateway.seams import Addition, Findings, Integration, Refusal, Step
from eventflow.trigger import ApiRoute

VALIDATORS = ("body", "params", "all")
PLACES = ("header", "query", "path")
DEFAULT = "$default"
JSON = "application/json"
#: A body that is longer is checked in a thread, so that others need not wait for it.
LONG_BODY = 4 * 1024


@dataclass(frozen=True)
class Required:
    """A parameter that must be there, and not empty: ``place`` is ``header``, ``query`` or ``path``."""

    place: str
    name: str

    @classmethod
    def read(cls, where: str, text: Any, path: str) -> Required:
        place, _, name = text.partition(".") if isinstance(text, str) else ("", "", "")
        if place not in PLACES or not name:
            raise SettingError(f"{where}: required={text!r} is refused: it takes 'header.NAME', 'query.NAME' and 'path.NAME'.")
        if place == "path" and name not in {found for found, _greedy in VARIABLE.findall(path)}:
            raise SettingError(f"{where}: required={text!r} is refused: the route's path has no variable {{{name}}}.")
        return cls(place, name)

    def missing(self, request: Request, query: Mapping[str, str]) -> bool:
        if self.place == "header":
            return not request.header_map.get(self.name.lower(), "").strip()
        return not (query if self.place == "query" else request.parameters).get(self.name)


class RequestValidation:
    """The plug. ``validator`` says what is checked ("Request validation for REST APIs in API Gateway"): the ``required`` parameters, the body, or
    both; ``models`` are an API's schemas by name, and of a route the names or schemas by content type."""

    route_options = frozenset(("validator", "models", "required"))
    api_options = frozenset(("models", "validator"))

    def __init__(self) -> None:
        self._models: dict[str, Models] = {}

    def load(self, apis: Sequence[Api]) -> None:
        one_stage = {api.id: api for api in apis}  # models are those of all stages
        self._models = {id: models_of(api) for id, api in one_stage.items()}

    def step(self, api: Api, route: ApiRoute) -> Step | None:
        where = f"The route {route.key!r} of the {api}"
        options = route.options
        if api.protocol != "REST":
            for option in self.route_options & options.keys():
                raise SettingError(f"{where}: {option} is refused: only REST APIs validate requests.")
            return None
        validator = options.get("validator", api.options.get("validator"))
        check_validator(where, validator)
        required = [Required.read(where, one, route.key) for one in options.get("required", ())]
        models = self._compiled(where, self._models[api.id], options.get("models"))
        if validator is None:
            if required or models:
                raise SettingError(
                    f"{where}: models and required need a validator: one of {', '.join(VALIDATORS)}; without one nothing would be checked."
                )
            return None
        return Check(required if validator in ("params", "all") else (), models if validator in ("body", "all") else {})

    def _compiled(self, where: str, models: Models, given: Any) -> dict[str, Validator]:
        """What checks bodies, by content type."""
        if given is None:
            return {}
        by_type = given if isinstance(given, Mapping) and all("/" in name or name == DEFAULT for name in given) else {JSON: given}
        found = {}
        for content_type, model in by_type.items():
            if isinstance(model, str):
                found[content_type.lower()] = models.validator(model)
            elif isinstance(model, Mapping):
                found[content_type.lower()] = models.compiled(f"{where}: the schema for {content_type}", model)
            else:
                raise SettingError(f"{where}: models={given!r} is refused: it takes a model's name or a schema, for JSON or by content type.")
        return found

    def extend(self, api: Api) -> Iterable[tuple[str, Integration]]:
        return ()

    def took_up(self) -> None:
        """The steps have all they need."""
        self._models = {}


class Check:
    """Parameters first, as AWS does; a body of a type that has no model is not looked at."""

    def __init__(self, required: Sequence[Required], models: Mapping[str, Validator]) -> None:
        self._required = required
        self._queries = any(one.place == "query" for one in required)
        self._models = models

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Addition | Refusal | None:
        query = dict(request.query_pairs) if self._queries else {}
        missing = [one.name for one in self._required if one.missing(request, query)]
        if missing:
            return Refusal("BAD_REQUEST_PARAMETERS", message=f"Missing required request parameters: [{', '.join(missing)}]")
        validator = self._validator(request) if self._models else None
        if validator is None:
            return None
        if route.api.minimum_compression_size is not None and (refusal := await decompress(request)) is not None:
            return refusal
        if len(request.body) > LONG_BODY:
            valid = await asyncio.to_thread(accepts, validator, request.body)
        else:
            valid = accepts(validator, request.body)
        return None if valid else Refusal("BAD_REQUEST_BODY")

    def _validator(self, request: Request) -> Validator | None:
        content_type = request.header("content-type").partition(";")[0].strip().lower() or JSON
        return self._models.get(content_type) or self._models.get(DEFAULT)


def models_of(api: Api) -> Models:
    where, schemas = f"The {api}", api.options.get("models", {})
    if api.protocol != "REST":
        for option in RequestValidation.api_options & api.options.keys():
            raise SettingError(f"{where}: {option} is refused: only REST APIs validate requests.")
    if not isinstance(schemas, Mapping):
        raise SettingError(f"{where}: models={schemas!r} is refused: it takes a dict of names to JSON schemas.")
    check_validator(where, api.options.get("validator"))
    return Models(where, schemas)


def check_validator(where: str, validator: Any) -> None:
    if validator is not None and validator not in VALIDATORS:
        raise SettingError(f"{where}: validator={validator!r} is refused: it takes {', '.join(VALIDATORS)}.")
