"""S3's API on the object store."""

from __future__ import annotations

from eventflow.aws.operation import operations_of
from eventflow.aws.s3.access import AccessOperations
from eventflow.aws.s3.browsers import Browsers
from eventflow.aws.s3.buckets import BucketOperations
from eventflow.aws.s3.cors import CorsOperations
from eventflow.aws.s3.lifecycle import LifecycleOperations
from eventflow.aws.s3.listings import ListingOperations
from eventflow.aws.s3.notifications import NotificationOperations
from eventflow.aws.s3.objects import ObjectOperations
from eventflow.aws.s3.post_object import PostObject
from eventflow.aws.s3.summary import SummaryOperations
from eventflow.aws.s3.tagging import TaggingOperations
from eventflow.aws.s3.unconfigured import UnconfiguredOperations
from eventflow.aws.s3.uploads import UploadOperations
from eventflow.aws.s3.versions import VersionOperations
from eventflow.aws.snapshots import Snapshots
from eventflow.services.objects import Objects
from eventflow.services.objects.notification_rules import Notifications


class S3Service(
    BucketOperations,
    ObjectOperations,
    ListingOperations,
    UploadOperations,
    AccessOperations,
    UnconfiguredOperations,
    CorsOperations,
    NotificationOperations,
    VersionOperations,
    TaggingOperations,
    LifecycleOperations,
    SummaryOperations,
):
    """Buckets are global, as S3's names are: every region's endpoint serves all of them, where S3 would redirect to the bucket's own."""

    name = "s3"

    def __init__(self, objects: Objects, notifications: Notifications | None = None, snapshots: Snapshots | None = None) -> None:
        self.objects = objects
        self.notifications = notifications
        self.snapshots = snapshots
        self.operations = operations_of(self)
        self.browsers = Browsers(objects, PostObject(self.put_object))
