"""Python functions that are named as on Lambda, in folders of their own, in a zygote that has no application."""

from pathlib import Path

from eventflow.runtime.runtimes import OURSELVES
from tests.process.spine import Spine, with_packages
from tests.runtime_api.packages import packaged


def test_first(tmp_path: Path) -> None:
    function = packaged(tmp_path, OURSELVES, {"app.py": "def handler(event, context):\n    return [event, context.function_name]\n"})

    async def work(spine: Spine) -> None:
        assert (await spine.invoke("f", b'{"a": 1}')).value() == [{"a": 1}, "f"]

    with_packages(tmp_path, [function], work)
