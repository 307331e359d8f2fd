"""S3's objects on plain directories: the files are the truth, an index keeps what S3 knows beyond them."""

from eventflow.services.objects.store import CopySource, Objects

__all__ = ["CopySource", "Objects"]
