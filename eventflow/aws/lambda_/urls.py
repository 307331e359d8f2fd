"""Lambda's operations on function URLs."""

from __future__ import annotations

from typing import Any

from eventflow.aws.lambda_.form import Answer, Known, Params, check, limit_of, paged
from eventflow.aws.operation import Call, operation
from eventflow.clock import iso
from eventflow.services.functions.records import Url


class UrlOperations(Known):
    @operation("CreateFunctionUrlConfig")
    async def create_function_url_config(self, call: Call, params: Params) -> Answer:
        check(call, params)
        name, qualifier = self._url_of(params)
        mode = params.get("InvokeMode") or "BUFFERED"
        url = self._url(await self.functions.urls.create(name, qualifier, params["AuthType"], mode, params.get("Cors")))
        del url["LastModifiedTime"]
        return url

    @operation("UpdateFunctionUrlConfig")
    async def update_function_url_config(self, call: Call, params: Params) -> Answer:
        check(call, params)
        name, qualifier = self._url_of(params)
        return self._url(await self.functions.urls.update(name, qualifier, params.get("AuthType"), params.get("InvokeMode"), params.get("Cors")))

    @operation("GetFunctionUrlConfig")
    async def get_function_url_config(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return self._url(await self.functions.urls.find(*self._url_of(params)))

    @operation("DeleteFunctionUrlConfig")
    async def delete_function_url_config(self, call: Call, params: Params) -> None:
        check(call, params)
        await self.functions.urls.delete(*self._url_of(params))
        call.status = 204

    @operation("ListFunctionUrlConfigs")
    async def list_function_url_configs(self, call: Call, params: Params) -> Answer:
        check(call, params)
        marker, limit = params.get("Marker") or "", limit_of(params)
        found = [url for url in await self.functions.urls.all(self.known(params)) if url.qualifier >= marker]
        return paged("FunctionUrlConfigs", [self._url(url) for url in found[:limit]], found[limit].qualifier if len(found) > limit else None)

    def _url_of(self, params: Params) -> tuple[str, str | None]:
        self.known(params)
        return self.place.function(params["FunctionName"], params.get("Qualifier"))

    def _url(self, url: Url) -> dict[str, Any]:
        told: dict[str, Any] = {
            "FunctionUrl": self.functions.urls.address(url),
            "FunctionArn": self.place.function_arn(url.function, url.qualifier or None),
            "AuthType": url.auth,
            "InvokeMode": url.mode,
            "CreationTime": iso(url.created_at),
            "LastModifiedTime": iso(url.modified_at),
        }
        return told if url.cors is None else {**told, "Cors": dict(url.cors)}
