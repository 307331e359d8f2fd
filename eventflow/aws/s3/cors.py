"""S3's operations on cross-origin rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.parameters import BODY_CHECKS, refuse_unenforced
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
from eventflow.services.objects.cors import check_rules
from eventflow.services.objects.settings import CORS


class CorsOperations:
    """``PutBucketCors``, ``GetBucketCors`` and ``DeleteBucketCors``; what they mean to browsers is in ``browsers.py``."""

    objects: Objects

    @operation("PutBucketCors")
    async def put_bucket_cors(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, BODY_CHECKS | {"CORSConfiguration"}, self.objects.account)
        bucket, rules = self.objects.bucket(params["Bucket"]).name, params["CORSConfiguration"]["CORSRules"]
        check_rules(rules)
        await self.objects.settings.put(bucket, CORS, rules)

    @operation("GetBucketCors")
    async def get_bucket_cors(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unenforced(call, params, (), self.objects.account)
        bucket = self.objects.bucket(params["Bucket"]).name
        rules = self.objects.settings.get(bucket, CORS)
        if rules is None:
            raise ServiceError("NoSuchCORSConfiguration", "The CORS configuration does not exist", 404, BucketName=bucket)
        return {"CORSRules": rules}

    @operation("DeleteBucketCors")
    async def delete_bucket_cors(self, call: Call, params: dict[str, Any]) -> None:
        refuse_unenforced(call, params, (), self.objects.account)
        await self.objects.settings.delete(self.objects.bucket(params["Bucket"]).name, CORS)
