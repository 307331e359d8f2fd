"""A state directory that was copied (a backup, another disk) is whole where it is: it does not lead back, and nothing fires a second time."""

import shutil
from pathlib import Path

import pytest

from tests.process.daemon_process import daemon

CODE = """
import os
@app.on(Bucket("inbox"))
def f(event, context):
    file = os.open(HERE + "/handled", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (event["Records"][0]["s3"]["object"]["key"] + "\\n").encode())
    os.close(file)
"""


@pytest.mark.slow
def test_a_copied_state_directory_goes_on_by_itself(tmp_path: Path) -> None:
    with daemon(tmp_path, f"HERE = {str(tmp_path)!r}\n" + CODE) as process:
        process.start()
        process.client("s3").put_object(Bucket="inbox", Key="api", Body=b"x", Metadata={"who": "me"}, ContentType="text/x-test")
        (process.bucket("inbox") / "hand").write_bytes(b"y")
        process.until(lambda: len(process.events(state="done")) == 2, "both were handled")
        assert process.stop() == 0
        before = process.state
        process.state = tmp_path / "elsewhere"
        shutil.copytree(before, process.state)
        shutil.move(before, tmp_path / "gone")
        process.start()
        head = process.client("s3").head_object(Bucket="inbox", Key="api")
        assert (head["Metadata"], head["ContentType"]) == ({"who": "me"}, "text/x-test")
        (process.bucket("inbox") / "new").write_bytes(b"z")
        process.until(lambda: len(process.events(state="done")) == 3, "the new one was handled")
        assert process.stop() == 0
        assert process.rows("handled") in (["api", "hand", "new"], ["hand", "api", "new"])
        assert not before.exists()
