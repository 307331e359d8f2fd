"""Lambda's operations on layers."""

from __future__ import annotations

from typing import Any

from eventflow.aws.lambda_.form import Answer, Known, Params, check, limit_of, paged, timestamp
from eventflow.aws.operation import Call, operation
from eventflow.services.functions.records import LayerVersion
from eventflow.services.functions.sources import archive_of


class LayerOperations(Known):
    @operation("PublishLayerVersion")
    async def publish_layer_version(self, call: Call, params: Params) -> Answer:
        check(call, params)
        layer = self.place.layer(params["LayerName"])
        async with archive_of(params["Content"], self.functions.ledger.world, call.operation) as archive:
            version = await self.functions.layers.publish(
                layer,
                archive,
                description=params.get("Description") or "",
                license=params.get("LicenseInfo") or "",
                runtimes=params.get("CompatibleRuntimes") or [],
                architectures=params.get("CompatibleArchitectures") or [],
            )
        return self._whole(call, version)

    @operation("GetLayerVersion")
    async def get_layer_version(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return self._whole(call, await self.functions.layers.find(self.place.layer(params["LayerName"]), params["VersionNumber"]))

    @operation("GetLayerVersionByArn")
    async def get_layer_version_by_arn(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return self._whole(call, await self.functions.layers.find(*self.place.layer_version(params["Arn"])))

    @operation("DeleteLayerVersion")
    async def delete_layer_version(self, call: Call, params: Params) -> None:
        check(call, params)
        await self.functions.layers.delete(self.place.layer(params["LayerName"]), params["VersionNumber"])
        call.status = 204

    @operation("ListLayerVersions")
    async def list_layer_versions(self, call: Call, params: Params) -> Answer:
        check(call, params)
        layer, limit = self.place.layer(params["LayerName"]), limit_of(params)
        marker = params.get("Marker") or ""
        before = int(marker) if marker.isdecimal() and len(marker) <= 18 else None
        found = await self.functions.layers.versions(layer, before, limit + 1, *wanted(params))
        return paged(
            "LayerVersions", [self._item(version) for version in found[:limit]], str(found[limit - 1].number) if len(found) > limit else None
        )

    @operation("ListLayers")
    async def list_layers(self, call: Call, params: Params) -> Answer:
        check(call, params)
        limit = limit_of(params)
        found = await self.functions.layers.newest(params.get("Marker") or "", limit + 1, *wanted(params))
        layers = [
            {"LayerName": one.layer, "LayerArn": self.place.layer_arn(one.layer), "LatestMatchingVersion": self._item(one)} for one in found[:limit]
        ]
        return paged("Layers", layers, found[limit - 1].layer if len(found) > limit else None)

    def _item(self, version: LayerVersion) -> dict[str, Any]:
        told: dict[str, Any] = {
            "LayerVersionArn": self.place.layer_arn(version.layer, version.number),
            "Version": version.number,
            "Description": version.description,
            "CreatedDate": timestamp(version.created_at),
        }
        if version.runtimes:
            told["CompatibleRuntimes"] = list(version.runtimes)
        if version.architectures:
            told["CompatibleArchitectures"] = list(version.architectures)
        return told | ({"LicenseInfo": version.license} if version.license else {})

    def _whole(self, call: Call, version: LayerVersion) -> dict[str, Any]:
        content = {"CodeSha256": version.code.sha256, "CodeSize": version.code.size, **self.snapshots.location(call, version.layer, version.code)}
        return {**self._item(version), "LayerArn": self.place.layer_arn(version.layer), "Content": content}


def wanted(params: Params) -> tuple[str | None, str | None]:
    return params.get("CompatibleRuntime"), params.get("CompatibleArchitecture")
