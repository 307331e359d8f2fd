"""Lambda's operations on versions and aliases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.lambda_.form import Answer, Known, Params, check, limit_of, paged, told, told_declared
from eventflow.aws.operation import Call, operation
from eventflow.function import LATEST
from eventflow.services.functions.names import not_found, wrong
from eventflow.services.functions.records import Alias, version_of


class VersionOperations(Known):
    @operation("PublishVersion", refuses=["PublishTo"])
    async def publish_version(self, call: Call, params: Params) -> Answer:
        check(call, params)
        if params.get("PublishTo") is not None:
            raise wrong("eventflow does not support PublishTo yet; leave it out.")
        name = self.known(params)
        version = await self.functions.versions.publish(
            name, sha256=params.get("CodeSha256"), description=params.get("Description"), revision=params.get("RevisionId")
        )
        return told(version, self.functions)

    @operation("ListVersionsByFunction")
    async def list_versions_by_function(self, call: Call, params: Params) -> Answer:
        check(call, params)
        name = self.known(params)
        if not self.functions.knows(name):
            function = self.functions.ledger.declared()[name]
            return {"Versions": [told_declared(function, self.place, self.runtime, self.loaded_at, LATEST)]}
        found, marker = await self.functions.versions.page(name, params.get("Marker"), limit_of(params))
        return paged("Versions", [told(version, self.functions, version.version) for version in found], marker)

    @operation("CreateAlias")
    async def create_alias(self, call: Call, params: Params) -> Answer:
        check(call, params)
        alias = await self.functions.aliases.create(
            self.known(params), params["Name"], served(params["FunctionVersion"]), params.get("Description") or "", weights_of(params) or {}
        )
        return self._alias(alias)

    @operation("UpdateAlias")
    async def update_alias(self, call: Call, params: Params) -> Answer:
        check(call, params)
        version = params.get("FunctionVersion")
        alias = await self.functions.aliases.update(
            self.known(params),
            params["Name"],
            version=None if version is None else served(version),
            description=params.get("Description"),
            weights=weights_of(params),
            revision=params.get("RevisionId"),
        )
        return self._alias(alias)

    @operation("GetAlias")
    async def get_alias(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return self._alias(self.functions.aliases.find(self.known(params), params["Name"]))

    @operation("DeleteAlias")
    async def delete_alias(self, call: Call, params: Params) -> None:
        check(call, params)
        await self.functions.aliases.delete(self.known(params), params["Name"])
        call.status = 204

    @operation("ListAliases")
    async def list_aliases(self, call: Call, params: Params) -> Answer:
        check(call, params)
        version = params.get("FunctionVersion")
        name = self.known(params)
        found, marker = self.functions.aliases.page(name, None if version is None else served(version), params.get("Marker"), limit_of(params))
        return paged("Aliases", [self._alias(alias) for alias in found], marker)

    def _alias(self, alias: Alias) -> dict[str, Any]:
        told: dict[str, Any] = {
            "AliasArn": self.place.function_arn(alias.function, alias.name),
            "Name": alias.name,
            "FunctionVersion": version_of(alias.number),
            "Description": alias.description,
            "RevisionId": alias.revision,
        }
        if alias.other is not None:
            told["RoutingConfig"] = {"AdditionalVersionWeights": {version_of(alias.other): alias.weight}}
        return told


def served(version: str) -> str:
    """A version as it is asked for: a number, or ``$LATEST``."""
    if version != LATEST and not version.isdecimal():
        raise not_found(f"Function version {version} is not served: there are numbers, and {LATEST}.")
    return version


def weights_of(params: Params) -> Mapping[str, float] | None:
    routing = params.get("RoutingConfig")
    return None if routing is None else routing.get("AdditionalVersionWeights") or {}
