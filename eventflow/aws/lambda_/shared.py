"""Lambda's operations on what all versions of a function share: concurrency, recursion, tags."""

from __future__ import annotations

from eventflow.aws.lambda_.form import Answer, Known, Params, check
from eventflow.aws.operation import Call, operation
from eventflow.function import Function
from eventflow.services.functions.names import not_found, wrong
from eventflow.services.functions.records import Shared
from eventflow.services.mappings import Mappings
from eventflow.services.mappings.names import mapping_of


class SharedOperations(Known):
    mappings: Mappings

    def _plain(self, params: Params) -> str:
        """The name of a function that is asked for without a qualifier. Raises ServiceError."""
        name = self.known(params)
        _name, qualifier = self.place.function(params["FunctionName"])
        if qualifier is not None:
            raise wrong(
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
                "Please specify either a function name or an unqualified function ARN."
            )
        return name

    async def _shared(self, name: str) -> Shared | Function:
        return await self.functions.shared_of(name) if self.functions.knows(name) else self.functions.ledger.declared()[name]

    @operation("PutFunctionConcurrency")
    async def put_function_concurrency(self, call: Call, params: Params) -> Answer:
        check(call, params)
        count = params["ReservedConcurrentExecutions"]
        await self.functions.shared.reserve(self._plain(params), count)
        return {"ReservedConcurrentExecutions": count}

    @operation("GetFunctionConcurrency")
    async def get_function_concurrency(self, call: Call, params: Params) -> Answer:
        check(call, params)
        reserved = (await self._shared(self._plain(params))).reserved_concurrency
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    @operation("DeleteFunctionConcurrency")
    async def delete_function_concurrency(self, call: Call, params: Params) -> None:
        check(call, params)
        await self.functions.shared.reserve(self._plain(params), None)
        call.status = 204

    @operation("PutFunctionRecursionConfig")
    async def put_function_recursion_config(self, call: Call, params: Params) -> Answer:
        check(call, params)
        await self.functions.shared.guard_recursion(self._plain(params), params["RecursiveLoop"])
        return {"RecursiveLoop": params["RecursiveLoop"]}

    @operation("GetFunctionRecursionConfig")
    async def get_function_recursion_config(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return {"RecursiveLoop": (await self._shared(self._plain(params))).recursive_loop}

    @operation("TagResource", partly="functions and event source mappings have tags")
    async def tag_resource(self, call: Call, params: Params) -> None:
        check(call, params)
        if (uuid := mapping_of(params["Resource"])) is not None:
            await self.mappings.change_tags(uuid, params["Tags"])
        else:
            await self.functions.shared.tag(self._resource(params), params["Tags"])
        call.status = 204

    @operation("UntagResource", partly="functions and event source mappings have tags")
    async def untag_resource(self, call: Call, params: Params) -> None:
        check(call, params)
        if (uuid := mapping_of(params["Resource"])) is not None:
            await self.mappings.change_tags(uuid, {}, params["TagKeys"])
        else:
            await self.functions.shared.untag(self._resource(params), params["TagKeys"])
        call.status = 204

    @operation("ListTags", partly="functions and event source mappings have tags")
    async def list_tags(self, call: Call, params: Params) -> Answer:
        check(call, params)
        if (uuid := mapping_of(params["Resource"])) is not None:
            return {"Tags": self.mappings.tags(uuid)}
        shared = await self._shared(self._resource(params))
        return {"Tags": dict(shared.tags) if isinstance(shared, Shared) else {}}

    def _resource(self, params: Params) -> str:
        """The function that an ARN names. Lambda's tags belong to whole functions."""
        arn: str = params["Resource"]
        if ":function:" not in arn:
            raise wrong(f"eventflow does not support tags of {arn} yet: functions and event source mappings have tags.")
        name, qualifier = self.place.function(arn)
        if qualifier is not None:
            raise wrong(f"Tags on function aliases and versions are not supported. Please specify a function ARN: {self.place.function_arn(name)}")
        if not self.functions.knows(name) and name not in self.functions.ledger.declared():
            raise not_found(f"Function not found: {arn}")
        return name
