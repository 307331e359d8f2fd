"""A lifecycle configuration as it is put: read into rules, or refused as S3 does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.objects.lifecycle import DAY, Filter, Rule
from eventflow.services.objects.tags import checked_tags

MOST_RULES = 1000
MOST_TAGS = 10
LONGEST_ID = 255
MOST_NEWER = 100
CONDITIONS = ("Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan", "And")
TRANSITIONS = ("Transitions", "NoncurrentVersionTransitions")
ACTIONS = ("Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")


def read_rules(given: Sequence[Mapping[str, Any]], new_id: Callable[[], str]) -> list[Rule]:
    """The rules of a configuration; those without an id get one. (https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html)"""
    if not given:
        raise malformed("it has no rule")
    if len(given) > MOST_RULES:
        raise invalid_request(f"Number of lifecycle rules must not exceed the allowed limit of {MOST_RULES} rules")
    rules = [read_rule(rule, new_id) for rule in given]
    if len({rule.id for rule in rules}) < len(rules):
        raise invalid_argument("Rule ID must be unique. Found same ID for more than one rule", "ID")
    return rules


def read_rule(given: Mapping[str, Any], new_id: Callable[[], str]) -> Rule:
    for name in TRANSITIONS:
        if given.get(name):
            raise ServiceError(
                "NotImplemented",
                f"The lifecycle rule has {name}, and there are no storage classes here that objects could be moved to. Leave it out.",
                501,
                Header=name,
            )
    if len(given.get("ID") or "") > LONGEST_ID:
        raise invalid_argument(f"ID length should not exceed allowed limit of {LONGEST_ID}", "ID")
    if given.get("Status") not in ("Enabled", "Disabled"):
        raise malformed("the Status of a rule is Enabled or Disabled")
    if ("Prefix" in given) == ("Filter" in given):
        raise malformed("a rule has either a Filter or a Prefix")
    if not any(name in given for name in ACTIONS):
        raise invalid_request("At least one action needs to be specified in a rule")
    chosen = Filter(given["Prefix"] or "") if "Prefix" in given else read_filter(given["Filter"] or {})
    days, date, lonely = read_expiration(given.get("Expiration"))
    noncurrent, newer = read_noncurrent(given.get("NoncurrentVersionExpiration"))
    abort = read_abort(given.get("AbortIncompleteMultipartUpload"))
    check_scope("ExpiredObjectDeleteMarker", lonely, chosen)
    check_scope("AbortIncompleteMultipartUpload", abort is not None, chosen)
    return Rule(given.get("ID") or new_id(), given["Status"] == "Enabled", chosen, days, date, lonely, noncurrent, newer, abort)


def read_filter(given: Mapping[str, Any]) -> Filter:
    named = [name for name in CONDITIONS if name in given]
    if len(named) > 1:
        raise malformed(f"a Filter has one condition, and And for more of them; this has {', '.join(named)}")
    if named != ["And"]:
        return made_filter(given, [given["Tag"]] if "Tag" in given else [])
    both = given["And"] or {}
    tags = both.get("Tags") or []
    if len(tags) + sum(name in both for name in ("Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan")) < 2:
        raise malformed("And takes two conditions or more")
    return made_filter(both, tags)


def made_filter(given: Mapping[str, Any], tags: Sequence[Mapping[str, str]]) -> Filter:
    if len({tag["Key"] for tag in tags}) < len(tags):
        raise invalid_request("Duplicate Tag Keys are not allowed.")
    larger, smaller = given.get("ObjectSizeGreaterThan"), given.get("ObjectSizeLessThan")
    for name, size in (("ObjectSizeGreaterThan", larger), ("ObjectSizeLessThan", smaller)):
        if size is not None and size < 0:
            raise invalid_request(f"'{name}' should be a non-negative integer")
    if larger is not None and smaller is not None and larger >= smaller:
        raise invalid_request("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'")
    return Filter(given.get("Prefix") or "", checked_tags([(tag["Key"], tag["Value"]) for tag in tags], MOST_TAGS), larger, smaller)


def read_expiration(given: Mapping[str, Any] | None) -> tuple[int | None, float | None, bool]:
    """Days, date (Unix seconds) and whether delete markers that hide nothing go."""
    if given is None:
        return None, None, False
    if len(given) != 1:
        raise malformed("an Expiration has one of Days, Date and ExpiredObjectDeleteMarker")
    days, date = given.get("Days"), given.get("Date")
    if "Days" in given and (days is None or days < 1):
        raise invalid_argument("'Days' for Expiration action must be a positive integer", "Days")
    if date is None:
        return days, None, bool(given.get("ExpiredObjectDeleteMarker"))
    moment = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() if isinstance(date, datetime) else float(date)
    if moment % DAY:
        raise invalid_argument("'Date' must be at midnight GMT", "Date")
    return None, moment, False


def read_noncurrent(given: Mapping[str, Any] | None) -> tuple[int | None, int]:
    """After how many days, and how many of the newest stay."""
    if given is None:
        return None, 0
    days, newer = given.get("NoncurrentDays"), given.get("NewerNoncurrentVersions")
    if days is None:
        raise malformed("a NoncurrentVersionExpiration has NoncurrentDays")
    if days < 1:
        raise invalid_argument("'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer", "NoncurrentDays")
    if newer is not None and not 1 <= newer <= MOST_NEWER:
        raise invalid_argument(f"'NewerNoncurrentVersions' must be an integer between 1 and {MOST_NEWER}", "NewerNoncurrentVersions")
    return days, newer or 0


def read_abort(given: Mapping[str, Any] | None) -> int | None:
    if given is None:
        return None
    days: int | None = given.get("DaysAfterInitiation")
    if days is None:
        raise malformed("an AbortIncompleteMultipartUpload has DaysAfterInitiation")
    if days < 1:
        raise invalid_argument("'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer", "DaysAfterInitiation")
    return days


def check_scope(action: str, asked: bool, chosen: Filter) -> None:
    """What has neither tags nor a size cannot be chosen by them."""
    if asked and chosen.tags:
        raise invalid_request(f"{action} cannot be specified with Tags.")
    if asked and (chosen.larger is not None or chosen.smaller is not None):
        raise invalid_request(f"{action} cannot be specified with object size.")


def malformed(reason: str) -> ServiceError:
    return ServiceError("MalformedXML", f"The XML you provided was not well-formed or did not validate against our published schema: {reason}.")


def invalid_request(message: str) -> ServiceError:
    return ServiceError("InvalidRequest", message)


def invalid_argument(message: str, name: str) -> ServiceError:
    return ServiceError("InvalidArgument", message, ArgumentName=name)
