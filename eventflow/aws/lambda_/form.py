"""What Lambda's requests and answers have in common: parameters that are checked against the model, names, and functions as the API tells them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from botocore.model import ServiceModel

from eventflow.aws import constraints
from eventflow.aws.operation import Call
from eventflow.aws.snapshots import Snapshots
from eventflow.aws.wire import Wires
from eventflow.errors import ServiceError
from eventflow.function import JSON, LATEST, USUAL_LEVEL, Function
from eventflow.services.functions import Functions, Place
from eventflow.services.functions.names import not_found
from eventflow.services.functions.records import Settings, Version
from eventflow.services.functions.settings import ARCHITECTURE, USUAL_STORAGE

Params = dict[str, Any]
Answer = Mapping[str, Any]
MOST_ITEMS = 50


class Known:
    """The functions that there are: those that were made by API, and those that the application declares, which have one version."""

    functions: Functions
    place: Place
    snapshots: Snapshots
    #: What the application's functions run on, and when they were loaded.
    runtime: str
    loaded_at: str

    def known(self, params: Params) -> str:
        """The name of a function that is there, of either kind. Raises ServiceError."""
        name, _qualifier = self.place.function(params["FunctionName"], params.get("Qualifier"))
        if not self.functions.knows(name):
            self.declared(name, None)
        return name

    def declared(self, name: str, qualifier: str | None) -> Function:
        """A function of the application. Raises ServiceError."""
        function = self.functions.ledger.declared().get(name)
        if function is None or qualifier not in (None, LATEST):
            raise not_found(f"Function not found: {self.place.function_arn(name, qualifier)}")
        return function


@lru_cache(maxsize=1)
def model() -> ServiceModel:
    return Wires().of("lambda").model


def check(call: Call, params: Params) -> None:
    """Refuse what the service's model does not allow, in the words of AWS's front ends."""
    # Runtimes are checked against what this machine has.
    constraints.check(model().operation_model(call.operation).input_shape, {name: value for name, value in params.items() if name != "Runtime"})


def refuse_unknown(params: Mapping[str, Any], known: set[str]) -> None:
    for name in params.keys() - known:
        raise ServiceError("InvalidParameterValueException", f"eventflow does not have the parameter {name} yet; leave it out.", 400, Type="User")


def limit_of(params: Params, most: int = MOST_ITEMS) -> int:
    """How many items a page has: Lambda gives 50 at most, whatever is asked for."""
    return min(params.get("MaxItems") or most, most)


def paged(member: str, items: list[Any], marker: str | None) -> Answer:
    return {member: items} if marker is None else {member: items, "NextMarker": marker}


def timestamp(instant: float) -> str:
    """As Lambda writes it: ``2026-01-31T09:05:00.000+0000``."""
    text = datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "+0000")


def logging(settings: Function | Settings, function: str) -> dict[str, str]:
    """LoggingConfig: with levels where the log has them."""
    found = {"LogFormat": settings.log_format, "LogGroup": f"/aws/lambda/{function}"}
    if settings.log_format == JSON:
        found["ApplicationLogLevel"] = settings.application_log_level or USUAL_LEVEL
        found["SystemLogLevel"] = settings.system_log_level or USUAL_LEVEL
    return found


def told_declared(function: Function, place: Place, runtime: str, loaded_at: str, qualifier: str | None) -> dict[str, Any]:
    """The FunctionConfiguration of a function that the application declares."""
    package = function.package
    configuration: dict[str, Any] = {
        "FunctionName": function.name,
        "FunctionArn": place.function_arn(function.name, qualifier),
        "Runtime": runtime if package is None else package.runtime,
        "Handler": function.handler.replace(":", ".") if package is None else function.handler,
        "Description": function.description,
        "Timeout": function.timeout,
        "MemorySize": function.memory,
        "LastModified": loaded_at,
        "Version": LATEST,
        "PackageType": "Zip",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        # Lambda has snapshots of published versions alone; here there is one version, and it may have one.
        "SnapStart": {
            "ApplyOn": "PublishedVersions" if function.snap_start else "None",
            "OptimizationStatus": "On" if function.snap_start else "Off",
        },
        "LoggingConfig": logging(function, function.name),
    }
    if function.environment:
        configuration["Environment"] = {"Variables": dict(function.environment)}
    if function.dead_letter_queue:
        configuration["DeadLetterConfig"] = {"TargetArn": f"arn:aws:sqs:{place.region}:{place.account}:{function.dead_letter_queue}"}
    return configuration


def told(version: Version, functions: Functions, qualifier: str | None = None) -> dict[str, Any]:
    """The FunctionConfiguration of a version of a function that was made by API; its ARN has the qualifier that was asked for."""
    settings, state, place = version.settings, functions.state(version), functions.place
    configuration: dict[str, Any] = {
        "FunctionName": version.function,
        "FunctionArn": place.function_arn(version.function, qualifier or (None if version.number == 0 else version.version)),
        "Runtime": settings.runtime,
        "Role": settings.role,
        "Handler": settings.handler,
        "CodeSize": version.code.size,
        "CodeSha256": version.code.sha256,
        "Description": settings.description,
        "Timeout": settings.timeout,
        "MemorySize": settings.memory,
        "LastModified": timestamp(version.modified_at),
        "Version": version.version,
        "RevisionId": version.revision,
        "TracingConfig": {"Mode": "PassThrough"},
        "PackageType": "Zip",
        "Architectures": [ARCHITECTURE],
        "EphemeralStorage": {"Size": USUAL_STORAGE},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": logging(settings, version.function),
        "State": state.state,
        "LastUpdateStatus": state.update,
    }
    if state.state == "Pending":
        configuration |= {"StateReason": "The function is being created.", "StateReasonCode": "Creating"}
    if state.reason:
        configuration |= {"LastUpdateStatusReason": state.reason, "LastUpdateStatusReasonCode": "InternalError"}
    if state.state == "Failed":
        configuration |= {"StateReason": state.reason, "StateReasonCode": "InternalError"}
    if settings.environment:
        configuration["Environment"] = {"Variables": dict(settings.environment)}
    if settings.dead_letter:
        configuration["DeadLetterConfig"] = {"TargetArn": settings.dead_letter}
    if version.layers:
        configuration["Layers"] = [{"Arn": layer.arn, "CodeSize": layer.code.size} for layer in version.layers]
    return configuration
