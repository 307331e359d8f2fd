"""Lambda's operations on what becomes of asynchronous events."""

from __future__ import annotations

from typing import Any

from eventflow.aws.lambda_.form import Answer, Known, Params, check, limit_of, paged
from eventflow.aws.operation import Call, operation
from eventflow.function import LATEST, Destination, Function, names_version
from eventflow.services.functions.names import not_found
from eventflow.services.functions.records import EventSettings, number_of, version_of


class EventOperations(Known):
    @operation("PutFunctionEventInvokeConfig")
    async def put_function_event_invoke_config(self, call: Call, params: Params) -> Answer:
        return await self._put(call, params, merge=False)

    @operation("UpdateFunctionEventInvokeConfig")
    async def update_function_event_invoke_config(self, call: Call, params: Params) -> Answer:
        return await self._put(call, params, merge=True)

    async def _put(self, call: Call, params: Params, *, merge: bool) -> Answer:
        check(call, params)
        name, qualifier = self._named(params)
        settings = EventSettings(
            params.get("MaximumRetryAttempts"),
            params.get("MaximumEventAgeInSeconds"),
            destination(params, "OnSuccess"),
            destination(params, "OnFailure"),
        )
        found = await self.functions.events.put(name, qualifier, settings, merge=merge)
        return self._event_settings(name, qualifier, found)

    @operation("GetFunctionEventInvokeConfig")
    async def get_function_event_invoke_config(self, call: Call, params: Params) -> Answer:
        check(call, params)
        name, qualifier = self._named(params)
        if not self.functions.knows(name):
            return self._declared_settings(name, qualifier)
        return self._event_settings(name, qualifier, await self.functions.events.find(name, qualifier))

    @operation("DeleteFunctionEventInvokeConfig")
    async def delete_function_event_invoke_config(self, call: Call, params: Params) -> None:
        check(call, params)
        await self.functions.events.delete(*self._named(params))
        call.status = 204

    @operation("ListFunctionEventInvokeConfigs")
    async def list_function_event_invoke_configs(self, call: Call, params: Params) -> Answer:
        check(call, params)
        name, limit = self.known(params), limit_of(params)
        if not self.functions.knows(name):
            return {"FunctionEventInvokeConfigs": [self._declared_settings(name, LATEST)]}
        found = await self.functions.events.all(name, params.get("Marker") or "", limit + 1)
        told = [self._event_settings(name, qualifier, settings) for qualifier, settings in found[:limit]]
        return paged("FunctionEventInvokeConfigs", told, found[limit][0] if len(found) > limit else None)

    def _named(self, params: Params) -> tuple[str, str]:
        self.known(params)
        name, qualifier = self.place.function(params["FunctionName"], params.get("Qualifier"))
        return name, version_of(number_of(qualifier or LATEST)) if names_version(qualifier) else str(qualifier)

    def _event_settings(self, name: str, qualifier: str, settings: EventSettings) -> dict[str, Any]:
        told: dict[str, Any] = {"LastModified": settings.modified_at, "FunctionArn": self.place.function_arn(name, qualifier)}
        if settings.retries is not None:
            told["MaximumRetryAttempts"] = settings.retries
        if settings.maximum_age is not None:
            told["MaximumEventAgeInSeconds"] = settings.maximum_age
        return told | destinations(settings.on_success, settings.on_failure)

    def _declared_settings(self, name: str, qualifier: str) -> dict[str, Any]:
        """What Lambda says of a function that has no settings of its own is an error; one of the application has those that it was declared with."""
        if qualifier != LATEST:
            raise not_found(f"Function not found: {self.place.function_arn(name, qualifier)}")
        function: Function = self.functions.ledger.declared()[name]
        return {
            "FunctionArn": self.place.function_arn(name, "$LATEST"),
            "MaximumRetryAttempts": function.retries,
            "MaximumEventAgeInSeconds": function.maximum_event_age,
            **destinations(self._arn(function.on_success), self._arn(function.on_failure)),
        }

    def _arn(self, target: Destination | None) -> str | None:
        if target is None:
            return None
        return self.functions.ledger.place.destination_arn(target.kind, target.name)


def destination(params: Params, which: str) -> str | None:
    chosen: str | None = ((params.get("DestinationConfig") or {}).get(which) or {}).get("Destination")
    return chosen


def destinations(on_success: str | None, on_failure: str | None) -> dict[str, Any]:
    given = {"OnSuccess": on_success, "OnFailure": on_failure}
    return {"DestinationConfig": {which: {"Destination": arn} if arn else {} for which, arn in given.items()}}
