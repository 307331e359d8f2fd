"""What S3 answers of buckets on which nothing of the kind was ever set. To set it is refused: it could only be pretended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.operation import Call, operation
from eventflow.aws.s3.parameters import BODY_CHECKS, refuse_unenforced
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects


class UnconfiguredOperations:
    """Websites, logging, acceleration, payment, replication, encryption, object lock: as of a bucket that has none of them."""

    objects: Objects

    @operation("GetBucketWebsite")
    async def get_bucket_website(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        raise self._absent(call, params, "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration")

    @operation("GetBucketReplication")
    async def get_bucket_replication(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        raise self._absent(call, params, "ReplicationConfigurationNotFoundError", "The replication configuration was not found")

    @operation("GetObjectLockConfiguration")
    async def get_object_lock_configuration(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        message = "Object Lock configuration does not exist for this bucket"
        raise self._absent(call, params, "ObjectLockConfigurationNotFoundError", message)

    @operation("GetBucketEncryption", partly="nothing is encrypted at rest, and it says so; S3 would answer AES256")
    async def get_bucket_encryption(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        message = "The server side encryption configuration was not found"
        raise self._absent(call, params, "ServerSideEncryptionConfigurationNotFoundError", message)

    @operation("GetBucketLogging")
    async def get_bucket_logging(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        self._bucket(call, params)
        return {}

    @operation("GetBucketAccelerateConfiguration")
    async def get_bucket_accelerate_configuration(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        self._bucket(call, params)
        return {}

    @operation("GetBucketRequestPayment")
    async def get_bucket_request_payment(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        self._bucket(call, params)
        return {"Payer": "BucketOwner"}

    @operation("PutBucketRequestPayment", refuses=("Requester",))
    async def put_bucket_request_payment(self, call: Call, params: dict[str, Any]) -> None:
        self._bucket(call, params, BODY_CHECKS | {"RequestPaymentConfiguration"})
        payer = params["RequestPaymentConfiguration"]["Payer"]
        if payer != "BucketOwner":
            raise ServiceError(
                "NotImplemented", f"Payer {payer}: nobody is billed here, so a requester cannot be. Use BucketOwner.", 501, Header="Payer"
            )

    def _bucket(self, call: Call, params: Mapping[str, Any], known: frozenset[str] = frozenset()) -> str:
        refuse_unenforced(call, params, known, self.objects.account)
        return self.objects.bucket(params["Bucket"]).name

    def _absent(self, call: Call, params: Mapping[str, Any], code: str, message: str) -> ServiceError:
        return ServiceError(code, message, 404, BucketName=self._bucket(call, params))
