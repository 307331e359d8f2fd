"""The services that the tests of a protocol put behind a server: what ``AwsServer`` and ``serve`` are given to build."""

from __future__ import annotations

from pathlib import Path

from eventflow.aws.dynamodb import DynamoDB
from eventflow.aws.operation import Service
from eventflow.aws.s3 import S3Service
from eventflow.clock import Clock
from eventflow.composition import Core
from eventflow.database import Database
from eventflow.services.objects import Objects
from eventflow.services.tables import Tables
from tests.aws.conftest import REGION


async def whole(database: Database, clock: Clock, account: str, folder: Path) -> list[Service]:
    """All services, as the daemon puts them together."""
    core = Core(database, clock, buckets=folder / "buckets", account=account, region=REGION)
    await core.open()
    return core.aws_services("python3.11")


async def dynamodb(database: Database, clock: Clock, account: str, _folder: Path) -> list[Service]:
    tables = Tables(database, clock, account)
    await tables.prepare()
    return [DynamoDB(tables)]


async def s3(database: Database, clock: Clock, account: str, folder: Path) -> list[Service]:
    objects = Objects(database, clock, folder / "buckets", account)
    await objects.open()
    return [S3Service(objects)]
