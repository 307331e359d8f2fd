"""Lambda's operations on functions: create, change, delete, look at."""

from __future__ import annotations

from typing import Any

from eventflow.aws.lambda_.form import Answer, Known, Params, check, limit_of, paged, told, told_declared
from eventflow.aws.operation import Call, operation
from eventflow.dispatch.concurrency import Concurrency
from eventflow.function import LATEST, Function
from eventflow.services.functions.archive import LARGEST_UNZIPPED
from eventflow.services.functions.concurrency import checked_tags
from eventflow.services.functions.names import wrong
from eventflow.services.functions.records import number_of
from eventflow.services.functions.settings import HARMLESS
from eventflow.services.functions.sources import LARGEST_DIRECT, archive_of
from eventflow.services.functions.versions import MOST_STORED
from eventflow.services.mappings import Mappings

CODE = ("ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion", "S3ObjectStorageMode", "ImageUri", "SourceKMSKeyArn")

#: In words, what stands for values of parameters that change something which nothing here changes.
VALUES = {
    "PackageType": "`PackageType` `Image`",
    "Architectures": "`Architectures` other than the machine's",
    "EphemeralStorage": "`EphemeralStorage` other than 512 MB",
    "SnapStart": "`SnapStart` `PublishedVersions`",
    "TracingConfig": "`TracingConfig` `Active`",
}
REFUSED = (*(VALUES.get(name, name) for name in HARMLESS), "`LogGroup` other than the function's")


class FunctionOperations(Known):
    """Functions of the application and those made by API are told of together; only the latter can be changed."""

    concurrency: Concurrency
    mappings: Mappings

    @operation("CreateFunction", partly="the role is kept and has no effect", refuses=["ImageUri", *REFUSED])
    async def create_function(self, call: Call, params: Params) -> Answer:
        check(call, params)
        name = self._unqualified(params)
        tags = checked_tags(params.get("Tags") or {})
        async with archive_of(params["Code"], self.functions.ledger.world, call.operation) as archive:
            version = await self.functions.create(name, params, tags, archive, publish=bool(params.get("Publish")))
        return told(version, self.functions)

    @operation("UpdateFunctionCode", refuses=("ImageUri", "`Architectures` other than the machine's", "SourceKMSKeyArn", "PublishTo"))
    async def update_function_code(self, call: Call, params: Params) -> Answer:
        check(call, params)
        name = self._changeable(params)
        for other in ("Architectures", "PublishTo"):
            if params.get(other) is not None and params[other] not in HARMLESS[other]:
                raise wrong(f"eventflow does not support {other}={params[other]} yet; leave it out.")
        code = {member: params[member] for member in CODE if member in params}
        async with archive_of(code, self.functions.ledger.world, call.operation) as archive:
            version = await self.functions.update_code(
                name, archive, revision=params.get("RevisionId"), dry_run=bool(params.get("DryRun")), publish=bool(params.get("Publish"))
            )
        return told(version, self.functions)

    @operation("UpdateFunctionConfiguration", partly="the role is kept and has no effect", refuses=REFUSED)
    async def update_function_configuration(self, call: Call, params: Params) -> Answer:
        check(call, params)
        name = self._changeable(params)
        if params.get("Timeout") is not None:
            await self.mappings.check_timeout(name, params["Timeout"])
        return told(await self.functions.update_settings(name, params, revision=params.get("RevisionId")), self.functions)

    @operation("DeleteFunction")
    async def delete_function(self, call: Call, params: Params) -> None:
        check(call, params)
        name, qualifier = self.place.function(params["FunctionName"], params.get("Qualifier"))
        call.status = 204
        if qualifier is None:
            await self.functions.delete(name)
        elif qualifier != LATEST and not qualifier.isdecimal():
            raise wrong(f"Deletion of the alias {qualifier} is done with DeleteAlias; DeleteFunction takes versions.")
        else:
            self.functions.ledger.check_changeable(name)
            await self.functions.versions.delete(name, number_of(qualifier))

    @operation("GetFunction", partly="`Code` of the application's functions has no `Location`: there is no archive of it")
    async def get_function(self, call: Call, params: Params) -> Answer:
        check(call, params)
        name, qualifier = self.place.function(params["FunctionName"], params.get("Qualifier"))
        if not self.functions.knows(name):
            answer: dict[str, Any] = {"Configuration": self._told_declared(name, qualifier), "Code": {"RepositoryType": "eventflow"}}
        else:
            version = await self.functions.version(name, qualifier)
            code = {"RepositoryType": "S3", **self.snapshots.location(call, name, version.code)}
            answer = {"Configuration": told(version, self.functions, qualifier), "Code": code}
        if self.functions.knows(name):
            shared = await self.functions.shared_of(name)
            reserved = shared.reserved_concurrency
            if shared.tags:
                answer["Tags"] = dict(shared.tags)
        else:
            reserved = self.declared(name, None).reserved_concurrency
        return answer if reserved is None else {**answer, "Concurrency": {"ReservedConcurrentExecutions": reserved}}

    @operation("GetFunctionConfiguration")
    async def get_function_configuration(self, call: Call, params: Params) -> Answer:
        check(call, params)
        return await self._configuration(params)

    async def _configuration(self, params: Params) -> dict[str, Any]:
        name, qualifier = self.place.function(params["FunctionName"], params.get("Qualifier"))
        if self.functions.knows(name):
            return told(await self.functions.version(name, qualifier), self.functions, qualifier)
        return self._told_declared(name, qualifier)

    def _told_declared(self, name: str, qualifier: str | None) -> dict[str, Any]:
        return told_declared(self.declared(name, qualifier), self.place, self.runtime, self.loaded_at, qualifier)

    @operation("ListFunctions", partly="a `MasterRegion` finds nothing: there are no functions at the edge")
    async def list_functions(self, call: Call, params: Params) -> Answer:
        check(call, params)
        if params.get("MasterRegion"):
            return {"Functions": []}
        every, limit = params.get("FunctionVersion") == "ALL", limit_of(params)
        name, _, version = (params.get("Marker") or "").partition(":")
        after = (name, number_of(version) if version.isdecimal() or version == LATEST else -1)
        stored = await self.functions.page(after, limit + 1, all_versions=every)
        found: list[tuple[tuple[str, int], Any]] = [((one.function, one.number), one) for one in stored]
        found += [((name, 0), function) for name, function in self.functions.ledger.declared().items() if (name, 0) > after]
        found.sort(key=lambda item: item[0])
        configurations = [self._listed(one, every) for _key, one in found[:limit]]
        last = found[limit - 1][0] if len(found) > limit else None
        return paged("Functions", configurations, None if last is None else f"{last[0]}:{last[1]}")

    def _listed(self, one: Any, every: bool) -> dict[str, Any]:
        qualifier = LATEST if every else None
        if isinstance(one, Function):
            return told_declared(one, self.place, self.runtime, self.loaded_at, qualifier)
        return told(one, self.functions, qualifier if one.number == 0 else None)

    @operation("GetAccountSettings")
    async def get_account_settings(self, call: Call, params: Params) -> Answer:
        declared = self.functions.ledger.declared()
        reserved = self.concurrency.reserved
        limit = {
            "TotalCodeSize": MOST_STORED,
            "CodeSizeUnzipped": LARGEST_UNZIPPED,
            "CodeSizeZipped": LARGEST_DIRECT,
            "ConcurrentExecutions": self.concurrency.limit,
            "UnreservedConcurrentExecutions": self.concurrency.limit - reserved,
        }
        usage = {"TotalCodeSize": await self.functions.stored_bytes(), "FunctionCount": len(declared) + len(self.functions.ledger.routes)}
        return {"AccountLimit": limit, "AccountUsage": usage}

    def _unqualified(self, params: Params) -> str:
        name, qualifier = self.place.function(params["FunctionName"])
        if qualifier not in (None, LATEST):
            raise wrong(f"This operation is done to a function and not to a version or an alias of it: leave out the qualifier {qualifier}.")
        return name

    def _changeable(self, params: Params) -> str:
        """The name of a function that may be changed: told before anything is read of what the change is to be."""
        name = self._unqualified(params)
        self.functions.ledger.check_changeable(name)
        return name
