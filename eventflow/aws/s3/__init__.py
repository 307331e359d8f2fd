"""S3's operations, handed to the objects."""

from eventflow.aws.s3.service import S3Service

__all__ = ["S3Service"]
