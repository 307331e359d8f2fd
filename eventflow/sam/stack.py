"""The resources of a template by logical id: the name that each has here, and what Ref and Fn::GetAtt tell of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventflow.sam.problems import TemplateError

#: The property that names a resource, how long its name may be, and what CloudFormation's own names must be made into.
NAMED: Mapping[str, tuple[str, int]] = {
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::SQS::Queue": ("QueueName", 80),
    "AWS::DynamoDB::Table": ("TableName", 255),
    "AWS::S3::Bucket": ("BucketName", 63),
    "AWS::Events::EventBus": ("Name", 256),
    "AWS::Events::Rule": ("Name", 64),
    "AWS::Scheduler::Schedule": ("Name", 64),
    "AWS::Lambda::LayerVersion": ("LayerName", 140),
    "AWS::IAM::Role": ("RoleName", 64),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", 128),
    "AWS::IAM::Policy": ("PolicyName", 128),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
}
FUNCTION_TYPES = ("AWS::Lambda::Version", "AWS::Lambda::Alias", "AWS::Lambda::Url", "AWS::Lambda::EventInvokeConfig")
REST, HTTP = "AWS::ApiGateway::RestApi", "AWS::ApiGatewayV2::Api"
#: The label of every stream's ARN here: streams get theirs when they are made, which is after the template is read.
ANY_STREAM = "*"


@dataclass(frozen=True)
class Declared:
    """One resource of the template, with its functions not yet carried out."""

    id: str
    type: str
    properties: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.id} ({self.type})"


@dataclass
class Stack:
    """``name`` is the stack's; ``api_ids`` are the ids of APIs, ``api_urls`` where functions' URLs are, by logical id; ``text`` carries out
    the functions in a value. ``absent`` are resources that are left out: they keep a name, so that what mentions them can be read."""

    name: str
    account: str
    region: str
    endpoint: str
    resources: Mapping[str, Declared]
    text: Callable[[Any], Any]
    api_ids: Mapping[str, str] = field(default_factory=dict)
    url_of: Callable[[str], str] = str
    absent: set[str] = field(default_factory=set)
    _names: dict[str, str] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)

    def physical(self, id: str) -> str:
        """The resource's name: the template's, or ``<stack>-<LogicalId>`` made valid for the service and the same at every start."""
        if id in self._names:
            return self._names[id]
        if id in self._open:
            raise TemplateError(f"The name of {id} depends on itself.")
        self._open.add(id)
        try:
            self._names[id] = self._name(self.resources[id])
        finally:
            self._open.discard(id)
        return self._names[id]

    def _name(self, resource: Declared) -> str:
        member, longest = NAMED.get(resource.type, ("Name", 64))
        given = self.text(resource.properties[member]) if member in resource.properties else None
        if isinstance(given, str) and resource.id not in self.absent:
            return given
        fifo = resource.type == "AWS::SQS::Queue" and str(self.text(resource.properties.get("FifoQueue", False))).lower() == "true"
        made = f"{self.name}-{resource.id}"
        if resource.type == "AWS::S3::Bucket":
            made = re.sub(r"[^a-z0-9-]+", "-", made.lower()).strip("-")
        return shortened(made, longest - 5 * fifo) + ".fifo" * fifo

    def is_absent(self, value: object) -> bool:
        """Whether a name or an ARN is of a resource that is left out."""
        return any(str(value).split(".")[0] == self.physical(id) for id in self.absent)

    def function_of(self, id: str) -> str:
        """The logical id of the function that a version, an alias or a URL belongs to."""
        resource = self.resources[id]
        member = "TargetFunctionArn" if resource.type == "AWS::Lambda::Url" else "FunctionName"
        named = str(self.text(resource.properties.get(member, "")))
        for other in self.resources.values():
            if other.type == "AWS::Lambda::Function" and named in (self.physical(other.id), self.arn(other.id)):
                return other.id
        raise TemplateError(f"{resource}: {member} names {named!r}, which is no function of this template.")

    def arn(self, id: str) -> str:
        """The ARN of a resource that has one."""
        resource, name = self.resources[id], self.physical(id)
        place = f"{self.region}:{self.account}"
        arns: Mapping[str, str] = {
            "AWS::Lambda::Function": f"arn:aws:lambda:{place}:function:{name}",
            "AWS::Lambda::LayerVersion": f"arn:aws:lambda:{place}:layer:{name}:1",
            "AWS::SQS::Queue": f"arn:aws:sqs:{place}:{name}",
            "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{place}:table/{name}",
            "AWS::S3::Bucket": f"arn:aws:s3:::{name}",
            "AWS::Events::EventBus": f"arn:aws:events:{place}:event-bus/{name}",
            "AWS::Events::Rule": f"arn:aws:events:{place}:rule/{name}",
            "AWS::Scheduler::Schedule": f"arn:aws:scheduler:{place}:schedule/default/{name}",
            "AWS::IAM::Role": f"arn:aws:iam::{self.account}:role/{name}",
            "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{self.account}:policy/{name}",
            "AWS::Logs::LogGroup": f"arn:aws:logs:{place}:log-group:{name}:*",
        }
        if resource.type in arns:
            return arns[resource.type]
        if resource.type in FUNCTION_TYPES:
            return self.arn(self.function_of(id))
        raise TemplateError(f"{resource} has no ARN here.")

    def ref(self, id: str) -> Any:
        """What ``Ref`` gives ("Ref" in each resource's page of the CloudFormation reference)."""
        resource = self.resources.get(id)
        if resource is None:
            raise TemplateError(f"Ref: there is no parameter and no resource {id!r} in the template.")
        if id in self.absent:
            return self.physical(id)
        if resource.type == "AWS::SQS::Queue":
            return f"{self.endpoint}/{self.account}/{self.physical(id)}"
        if resource.type in ("AWS::Lambda::LayerVersion", "AWS::IAM::ManagedPolicy", *FUNCTION_TYPES):
            return self.arn(id)
        if resource.type in (REST, HTTP):
            return self.api_ids[id]
        if resource.type in ("AWS::ApiGateway::Stage", "AWS::ApiGatewayV2::Stage"):
            return self.text(resource.properties.get("StageName", id))
        return self.physical(id)

    def attribute(self, id: str, name: str) -> Any:
        """What ``Fn::GetAtt`` gives."""
        resource = self.resources.get(id)
        if resource is None:
            raise TemplateError(f"Fn::GetAtt: there is no resource {id!r} in the template.")
        if id in self.absent:
            return f"{self.physical(id)}.{name}"
        known = ATTRIBUTES.get(resource.type, {})
        if name not in known:
            has = ", ".join(known) or "none that eventflow knows"
            raise TemplateError(f"Fn::GetAtt: {resource} has no attribute {name!r}; it has: {has}.")
        return known[name](self, id)


def shortened(name: str, longest: int) -> str:
    """A name that is too long ends in digits that tell it from others with the same beginning."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - 9].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


Attribute = Callable[[Stack, str], Any]


def arn_of(stack: Stack, id: str) -> str:
    return stack.arn(id)


def name_of(stack: Stack, id: str) -> str:
    return stack.physical(id)


ATTRIBUTES: Mapping[str, Mapping[str, Attribute]] = {
    "AWS::Lambda::Function": {"Arn": arn_of},
    "AWS::Lambda::Alias": {"AliasArn": arn_of},
    "AWS::Lambda::Version": {"FunctionArn": arn_of, "Version": lambda stack, one: "$LATEST"},
    "AWS::Lambda::LayerVersion": {"LayerVersionArn": arn_of, "Arn": arn_of},
    "AWS::Lambda::Url": {"FunctionArn": arn_of, "FunctionUrl": lambda stack, one: stack.url_of(stack.function_of(one))},
    "AWS::SQS::Queue": {"Arn": arn_of, "QueueName": name_of, "QueueUrl": lambda stack, one: stack.ref(one)},
    "AWS::DynamoDB::Table": {"Arn": arn_of, "StreamArn": lambda stack, one: f"{stack.arn(one)}/stream/{ANY_STREAM}"},
    "AWS::S3::Bucket": {"Arn": arn_of, "DomainName": lambda stack, one: f"{stack.physical(one)}.s3.amazonaws.com"},
    "AWS::Events::EventBus": {"Arn": arn_of, "Name": name_of},
    "AWS::Events::Rule": {"Arn": arn_of},
    "AWS::Scheduler::Schedule": {"Arn": arn_of},
    "AWS::IAM::Role": {"Arn": arn_of, "RoleId": name_of},
    "AWS::IAM::ManagedPolicy": {"PolicyArn": arn_of},
    "AWS::Logs::LogGroup": {"Arn": arn_of},
    REST: {"RestApiId": lambda stack, one: stack.ref(one)},
    HTTP: {"ApiId": lambda stack, one: stack.ref(one)},
}
