"""A kill while a multipart upload becomes its object: afterwards there is the upload or the object, never both, and never a second completion."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.patience import DAEMON
from tests.process.daemon_process import DaemonProcess, daemon

CODE = """
app.bucket("uploads")
"""
FIRST, REST = b"a" * (5 << 20), b"rest"
#: Where the daemon is killed, whether versions are kept, and whether the object is there afterwards.
KILLS = [
    ("upload.placed 1", False, True),
    pytest.param("upload.placed 1", True, True, marks=pytest.mark.slow),
    pytest.param("upload.joined 1", False, False, marks=pytest.mark.slow),
    pytest.param("object.recorded 1", False, False, marks=pytest.mark.slow),
    pytest.param("version.recorded 1", True, False, marks=pytest.mark.slow),
    pytest.param("version.placed 1", True, True, marks=pytest.mark.slow),
    pytest.param("upload.ended 1", False, True, marks=pytest.mark.slow),
]


def begin(s3: Any) -> dict[str, Any]:
    """An upload with both its parts, as its completion names it."""
    named = {"Bucket": "uploads", "Key": "d/k"}
    named["UploadId"] = s3.create_multipart_upload(**named)["UploadId"]
    etags = [s3.upload_part(**named, PartNumber=number, Body=body)["ETag"] for number, body in ((1, FIRST), (2, REST))]
    return {**named, "MultipartUpload": {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]}}


def killed(process: DaemonProcess, s3: Any, completion: dict[str, Any]) -> None:
    with pytest.raises(BotoCoreError):  # the server is gone
        s3.complete_multipart_upload(**completion)
    assert process.process is not None
    assert process.process.wait(DAEMON) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(("where", "versions", "is_there"), KILLS)
def test_a_killed_completion_is_done_or_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, versions: bool, is_there: bool) -> None:
    monkeypatch.setenv("EVENTFLOW_TEST_KILL_AT", f"{where} {tmp_path / 'mark'}")
    with daemon(tmp_path, CODE) as process:
        process.start()
        s3 = process.client("s3")
        if versions:
            s3.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})
        completion = begin(s3)
        killed(process, s3, completion)
        process.start()
        s3 = process.client("s3")
        listed = [each["Key"] for each in s3.list_objects_v2(Bucket="uploads").get("Contents", ())]
        begun = [each["UploadId"] for each in s3.list_multipart_uploads(Bucket="uploads").get("Uploads", ())]
        assert (listed, begun) == ((["d/k"], []) if is_there else ([], [completion["UploadId"]]))
        before = s3.head_object(Bucket="uploads", Key="d/k") if is_there else None
        again = s3.complete_multipart_upload(**completion)  # as whoever did not hear asks again
        after = s3.head_object(Bucket="uploads", Key="d/k")
        assert again["ETag"] == after["ETag"]
        if before is not None:
            assert (before["LastModified"], before.get("VersionId")) == (after["LastModified"], after.get("VersionId"))
        assert s3.get_object(Bucket="uploads", Key="d/k")["Body"].read() == FIRST + REST
        assert len(s3.list_object_versions(Bucket="uploads")["Versions"]) == 1
        with pytest.raises(ClientError, match="NoSuchUpload"):
            s3.list_parts(**{name: completion[name] for name in ("Bucket", "Key", "UploadId")})
        assert [
            path.name for path in (process.bucket("uploads") / ".eventflow-tmp").iterdir() if path.name not in ("clock",) and path.is_file()
        ] == []


@pytest.mark.slow
def test_a_later_put_is_not_undone_by_asking_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTFLOW_TEST_KILL_AT", f"upload.placed 1 {tmp_path / 'mark'}")
    with daemon(tmp_path, CODE) as process:
        process.start()
        s3 = process.client("s3")
        completion = begin(s3)
        killed(process, s3, completion)
        process.start()
        s3 = process.client("s3")
        s3.put_object(Bucket="uploads", Key="d/k", Body=b"later")
        s3.complete_multipart_upload(**completion)
        assert s3.get_object(Bucket="uploads", Key="d/k")["Body"].read() == b"later"
