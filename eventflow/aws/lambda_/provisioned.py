"""Lambda's operations on provisioned concurrency."""

from __future__ import annotations

from typing import Any

from eventflow.aws.lambda_.form import Answer, Known, Params, check, limit_of, paged, timestamp
from eventflow.aws.operation import Call, operation
from eventflow.services.functions.provisioned import Warmth


class ProvisionedOperations(Known):
    @operation("PutProvisionedConcurrencyConfig", partly="an alias with a RoutingConfig has none")
    async def put_provisioned_concurrency_config(self, call: Call, params: Params) -> Answer:
        check(call, params)
        call.status = 202
        return told(await self.functions.provisioned.put(*self._provisioned(params), params["ProvisionedConcurrentExecutions"]))

    @operation("GetProvisionedConcurrencyConfig")
    async def get_provisioned_concurrency_config(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return told(self.functions.provisioned.find(*self._provisioned(params)))

    @operation("DeleteProvisionedConcurrencyConfig")
    async def delete_provisioned_concurrency_config(self, call: Call, params: Params) -> None:
        check(call, params)
        await self.functions.provisioned.delete(*self._provisioned(params))
        call.status = 204

    @operation("ListProvisionedConcurrencyConfigs")
    async def list_provisioned_concurrency_configs(self, call: Call, params: Params) -> Answer:
        check(call, params)
        name, marker, limit = self.known(params), params.get("Marker") or "", limit_of(params)
        found = [one for one in self.functions.provisioned.all(name) if one.qualifier >= marker]
        shown = [{"FunctionArn": self.place.function_arn(name, one.qualifier), **told(one)} for one in found[:limit]]
        return paged("ProvisionedConcurrencyConfigs", shown, found[limit].qualifier if len(found) > limit else None)

    def _provisioned(self, params: Params) -> tuple[str, str]:
        name, qualifier = self.place.function(params["FunctionName"], params["Qualifier"])
        return name, str(qualifier)


def told(one: Warmth) -> dict[str, Any]:
    counts = {
        "RequestedProvisionedConcurrentExecutions": one.wanted,
        "AvailableProvisionedConcurrentExecutions": one.warm,
        "AllocatedProvisionedConcurrentExecutions": one.warm,
    }
    reason = {"StatusReason": "FUNCTION_ERROR_INIT_FAILURE"} if one.status == "FAILED" else {}
    return {**counts, "Status": one.status, **reason, "LastModified": timestamp(one.modified_at)}
