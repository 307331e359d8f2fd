"""The names under which functions, versions, aliases and layers are asked for, and their ARNs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from eventflow.errors import ServiceError

#: Lambda's own pattern (API reference, Invoke); the groups have names here, and a name may have 64 characters.
FORM = re.compile(
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((?P<region>(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}):)?((?P<account>\d{12}):)?(function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(:(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?",
    re.ASCII,
)
PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
QUALIFIER = re.compile(r"\$LATEST|[a-zA-Z0-9-_]{1,128}", re.ASCII)
LAYER = re.compile(r"(arn:(aws[a-zA-Z-]*)?:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):layer:)?(?P<name>[a-zA-Z0-9-_]{1,140})", re.ASCII)
LAYER_VERSION = re.compile(
    r"arn:(aws[a-zA-Z-]*)?:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):layer:(?P<name>[a-zA-Z0-9-_]{1,140}):(?P<version>[0-9]{1,18})", re.ASCII
)
LONGEST_NAME = 64
LONGEST_TEXT = 140


@dataclass(frozen=True, slots=True)
class Place:
    """Where functions are: one region of one account."""

    region: str
    account: str

    def function_arn(self, name: str, qualifier: str | None = None) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{name}" + (f":{qualifier}" if qualifier else "")

    def layer_arn(self, name: str, version: int | None = None) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:layer:{name}" + (f":{version}" if version is not None else "")

    def destination_arn(self, kind: str, name: str) -> str:
        match kind:
            case "queue":
                return f"arn:aws:sqs:{self.region}:{self.account}:{name}"
            case "bus":
                return f"arn:aws:events:{self.region}:{self.account}:event-bus/{name}"
            case "bucket":
                return f"arn:aws:s3:::{name}"
        return self.function_arn(name)

    def function(self, text: str, qualifier: str | None = None) -> tuple[str, str | None]:
        """A function's name and its qualifier (None: it was not said) from any of Lambda's forms: name, name:qualifier, partial ARN, ARN.

        Raises ServiceError: ValidationException for what is no form, ResourceNotFoundException for another region or account."""
        match = FORM.fullmatch(text)
        if match is None or len(text) > LONGEST_TEXT:
            raise invalid(text, "functionName", f"satisfy regular expression pattern: {PATTERN}")
        name, inner = match["name"], match["qualifier"]
        if len(name) > LONGEST_NAME:
            raise invalid(name, "functionName", f"have length less than or equal to {LONGEST_NAME}")
        self._check_here(text, match["region"], match["account"])
        if text.startswith("arn:") and not text.startswith("arn:aws:"):
            raise not_found(f"Resource not found: {text} is of another partition; this one is aws.")
        if qualifier is not None and not QUALIFIER.fullmatch(qualifier):
            raise invalid(qualifier, "qualifier", r"satisfy regular expression pattern: \$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+")
        if inner is not None and qualifier is not None and inner != qualifier:
            text = "The derived qualifier from the function name does not match the specified qualifier."
            raise ServiceError("InvalidParameterValueException", text)
        return name, inner if qualifier is None else qualifier

    def layer(self, text: str) -> str:
        """A layer's name from its name or ARN. Raises ServiceError."""
        match = LAYER.fullmatch(text)
        if match is None:
            raise invalid(text, "layerName", f"satisfy regular expression pattern: {LAYER.pattern}")
        self._check_here(text, match["region"], match["account"])
        return match["name"]

    def layer_version(self, arn: str) -> tuple[str, int]:
        """A layer's name and version from its version's ARN. Raises ServiceError."""
        match = LAYER_VERSION.fullmatch(arn)
        if match is None:
            raise invalid(arn, "arn", f"satisfy regular expression pattern: {LAYER_VERSION.pattern}")
        self._check_here(arn, match["region"], match["account"])
        return match["name"], int(match["version"])

    def _check_here(self, text: str, region: str | None, account: str | None) -> None:
        if region not in (None, self.region):
            raise not_found(f"Functions from '{region}' are not reachable in this region ('{self.region}')")
        if account not in (None, self.account):
            raise not_found(f"Resource not found: {text} is of another account; this one is {self.account}.")


def invalid(value: str, member: str, rule: str) -> ServiceError:
    """What Lambda says of a value that its model does not allow."""
    text = f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {rule}"
    return ServiceError("ValidationException", text)


def wrong(text: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", text, 400, Type="User")


def not_found(text: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", text, 404, Type="User")


def conflict(text: str) -> ServiceError:
    return ServiceError("ResourceConflictException", text, 409, Type="User")
