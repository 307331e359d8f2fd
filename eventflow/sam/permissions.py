"""Roles and policies: parsed, validated and kept with the functions that have them. Nothing enforces them yet, and a start says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.sam.plan import Plan
from eventflow.sam.properties import Properties
from eventflow.sam.stack import Declared

VERSIONS = ("2008-10-17", "2012-10-17")
STATEMENT = frozenset(
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"],
)
NOT_ENFORCED = "Permissions are not enforced yet: functions may do everything, and roles and policies are kept for when they are."


def role(plan: Plan, resource: Declared) -> None:
    """AWS::IAM::Role: its policies are kept with the functions that have it."""
    said = plan.properties(resource)
    said.ignore("RoleName", "Path", "Description", "Tags", "MaxSessionDuration", "PermissionsBoundary")
    check_document(said, "AssumeRolePolicyDocument", resources=False)
    policies = [{"name": str(one.take("PolicyName")), "document": check_document(one, "PolicyDocument")} for one in said.each("Policies")]
    managed = [str(one) for one in said.listed("ManagedPolicyArns")]
    said.finish()
    arn = plan.stack.arn(resource.id)
    plan.add("role", arn, {"functions": plan.roles.get(arn, []), "policies": policies, "managed": managed})
    plan.note(NOT_ENFORCED)


def policy(plan: Plan, resource: Declared) -> None:
    """AWS::IAM::Policy and AWS::IAM::ManagedPolicy."""
    said = plan.properties(resource)
    said.ignore("PolicyName", "ManagedPolicyName", "Path", "Description")
    document = check_document(said, "PolicyDocument")
    attached = {"roles": said.listed("Roles"), "users": said.listed("Users"), "groups": said.listed("Groups")}
    said.finish()
    plan.add("policy", plan.stack.physical(resource.id), {"document": document, **attached})
    plan.note(NOT_ENFORCED)


def resource_policy(plan: Plan, resource: Declared) -> None:
    """AWS::SQS::QueuePolicy and AWS::S3::BucketPolicy."""
    said = plan.properties(resource)
    said.ignore("Queues", "Bucket")
    document = check_document(said, "PolicyDocument", resources=False)
    said.finish()
    plan.add("policy", resource.id, {"document": document})
    plan.note(NOT_ENFORCED)


def invoke_permission(plan: Plan, resource: Declared) -> None:
    """AWS::Lambda::Permission: who may invoke is not asked yet."""
    plan.note(NOT_ENFORCED)


def check_document(said: Properties, member: str, *, resources: bool = True) -> Mapping[str, Any] | None:
    """A policy document of IAM's grammar ("IAM JSON policy elements"), its statements in a list. What breaks it is a problem."""
    value = said.take(member)
    where = Properties(f"{said.where}.{member}", value, said.problems)
    if not isinstance(value, Mapping):
        where.wrong("", "it takes a policy document.")
        return None
    if str(value.get("Version", VERSIONS[0])) not in VERSIONS:
        where.wrong("Version", f"{value['Version']!r} is refused: it takes {' or '.join(VERSIONS)}.")
    for extra in value.keys() - {"Version", "Id", "Statement"}:
        where.wrong(extra, "a policy document has Version, Id and Statement.")
    statements = value.get("Statement")
    statements = statements if isinstance(statements, list) else [statements]
    for position, statement in enumerate(statements):
        check_statement(where, f"Statement[{position}]", statement, resources)
    return {**value, "Statement": statements}


def check_statement(where: Properties, place: str, statement: Any, resources: bool) -> None:
    if not isinstance(statement, Mapping):
        where.wrong(place, "it takes a mapping.")
        return
    if statement.get("Effect") not in ("Allow", "Deny"):
        where.wrong(f"{place}.Effect", f"{statement.get('Effect')!r} is refused: it takes Allow or Deny.")
    for pair in (("Action", "NotAction"), *((("Resource", "NotResource"),) if resources else ())):
        if len(statement.keys() & set(pair)) != 1:
            where.wrong(place, f"a statement takes one of {' and '.join(pair)}.")
    for extra in statement.keys() - STATEMENT:
        where.wrong(f"{place}.{extra}", "a statement has no such element.")
