"""S3's operations on notifications of buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.parameters import refuse_unenforced
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
from eventflow.services.objects.notification_rules import NEVER, Notifications


class NotificationOperations:
    """``PutBucketNotificationConfiguration`` and ``GetBucketNotificationConfiguration``."""

    objects: Objects
    notifications: Notifications | None

    @operation("PutBucketNotificationConfiguration", partly="no topics", refuses=("TopicConfigurations", *NEVER))
    async def put_bucket_notification_configuration(self, call: Call, params: dict[str, Any]) -> None:
        known = {"NotificationConfiguration"} | ({"SkipDestinationValidation"} if params.get("SkipDestinationValidation") is False else set())
        refuse_unenforced(call, params, known, self.objects.account)
        bucket = self.objects.bucket(params["Bucket"]).name
        if self.notifications is None:
            raise ServiceError("NotImplemented", "This object store runs by itself: nobody delivers its notifications.", 501)
        await self.notifications.put(bucket, params["NotificationConfiguration"])

    @operation("GetBucketNotificationConfiguration")
    async def get_bucket_notification_configuration(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        bucket = self.objects.bucket(params["Bucket"]).name
        return self.notifications.get(bucket) if self.notifications else {}
