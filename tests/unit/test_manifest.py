import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any, ClassVar

import pytest

from eventflow import manifest as manifests
from eventflow.app import App
from eventflow.errors import LoadError, SettingError
from eventflow.manifest import Manifest, TriggerEntry, required_resources, resolve_triggers, trigger_class
from eventflow.trigger import Resource, Target, Trigger


@dataclass(frozen=True)
class Feed(Trigger):
    kind: ClassVar[str] = "feed"
    url: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.url:
            raise SettingError(f"Feed: url={self.url!r} is refused: it takes an address.")
        object.__setattr__(self, "tags", tuple(self.tags))

    async def run(self, target: Target) -> None:
        raise NotImplementedError

    def resources(self) -> Iterable[Resource]:
        return [Resource("bucket", "pages"), Resource("queue", "fresh")]


@dataclass(frozen=True)
class Other(Feed):
    kind: ClassVar[str] = "feed"


@dataclass(frozen=True)
class Careless(Trigger):
    kind: ClassVar[str] = "careless"
    tags: Any = ()

    async def run(self, target: Target) -> None:
        raise NotImplementedError


class NotATrigger:
    pass


def sink(event, context): ...


CLASSES = {"feed": Feed, "careless": Careless}


@pytest.fixture
def publish(monkeypatch):
    """Pretend that packages publish these trigger kinds."""

    def set_points(*points):
        published = EntryPoints(EntryPoint(name, value, manifests.GROUP) for name, value in points)
        monkeypatch.setattr(manifests, "entry_points", lambda group: published.select(group=group))

    return set_points


def make_app():
    app = App("news")
    app.queue("fresh", delay_seconds=5)

    @app.on(Feed("http://x", tags=("a", "b")), memory=256, environment={"STAGE": "test"})
    def read(event, context): ...

    return app


def test_json_carries_a_manifest_unchanged():
    manifest = make_app().manifest(classes=CLASSES)
    again = Manifest.from_json(json.loads(json.dumps(manifest.to_json())))
    assert again == manifest
    assert again.app == "news"
    assert again.module == __name__
    assert again.function("read").memory == 256
    with pytest.raises(LoadError, match="it has: read"):
        again.function("write")


def test_triggers_are_made_again_equal():
    manifest = Manifest.from_json(json.loads(json.dumps(make_app().manifest(classes=CLASSES).to_json())))
    assert resolve_triggers(manifest, CLASSES) == [("read", Feed("http://x", ("a", "b")))]


def test_the_installed_class_is_found_through_its_entry_point(publish):
    publish(("feed", f"{__name__}:Feed"), ("other", "nowhere:Other"))
    manifest = make_app().manifest()
    assert resolve_triggers(manifest) == [("read", Feed("http://x", ("a", "b")))]


def test_an_unpublished_kind_tells_what_is_installed_and_how_to_publish_it(publish):
    publish(("bucket", "triggers.bucket:Bucket"), ("queue", "triggers.queue:Queue"))
    with pytest.raises(LoadError) as caught:
        make_app().manifest()
    text = str(caught.value)
    assert "installed are: bucket, queue." in text
    assert f'[project.entry-points."eventflow.triggers"]\nfeed = "{__name__}:Feed"' in text
    with pytest.raises(LoadError, match=r"'feed'; installed are: bucket, queue. Install the package"):
        trigger_class("feed")


def test_a_kind_that_another_class_has_is_refused(publish):
    publish(("feed", f"{__name__}:Other"))
    with pytest.raises(LoadError, match=r"'feed' is published by .*:Other, and .*:Feed claims it too"):
        make_app().manifest()


def test_a_kind_published_twice_is_refused(publish):
    publish(("feed", f"{__name__}:Feed"), ("feed", f"{__name__}:Other"))
    with pytest.raises(LoadError, match=r"published twice: by .*:Feed and by .*:Other. Uninstall one"):
        trigger_class("feed")


@pytest.mark.parametrize(
    ("value", "expected"), [("nowhere:Feed", "fails to import: ModuleNotFoundError"), (f"{__name__}:NotATrigger", "no subclass")]
)
def test_a_broken_entry_point_is_named(publish, value, expected):
    publish(("feed", value))
    with pytest.raises(LoadError, match=expected):
        trigger_class("feed")


@pytest.mark.parametrize(("value", "expected"), [({1, 2}, "not plain JSON"), (float("nan"), "not plain JSON"), (object(), "not plain JSON")])
def test_parameters_must_be_json(value, expected):
    app = App("news")
    app.on(Careless(value))(sink)
    with pytest.raises(LoadError, match=expected):
        app.manifest(classes=CLASSES)


def test_parameters_must_make_the_trigger_again():
    @dataclass(frozen=True)
    class Forgetful(Careless):
        kind: ClassVar[str] = "forgetful"

        def __post_init__(self) -> None:
            object.__setattr__(self, "tags", f"{self.tags}!")

    app = App("news")
    app.on(Forgetful("a"))(sink)
    with pytest.raises(LoadError, match="makes another trigger"):
        app.manifest(classes={"forgetful": Forgetful})


def test_a_trigger_without_a_kind_is_refused():
    class Nameless(Careless):
        kind = None

    app = App("news")
    app.on(Nameless())(sink)
    with pytest.raises(LoadError, match="has no kind"):
        app.manifest(classes=CLASSES)


def test_a_trigger_that_refuses_its_parameters_is_told_with_its_function():
    manifest = Manifest("news", "app", None, "/", triggers=(TriggerEntry("read", "feed", {"url": ""}),))
    with pytest.raises(SettingError, match="Function 'read': Feed: url=''"):
        resolve_triggers(manifest, CLASSES)
    manifest = Manifest("news", "app", None, "/", triggers=(TriggerEntry("read", "feed", {"adress": ""}),))
    with pytest.raises(LoadError, match=r"Function 'read': Feed cannot be made from.*'adress'"):
        resolve_triggers(manifest, CLASSES)


def test_declared_resources_come_before_those_that_a_trigger_only_names():
    manifest = make_app().manifest(classes=CLASSES)
    found = required_resources(manifest, resolve_triggers(manifest, CLASSES))
    assert found == [Resource("queue", "fresh", {"Attributes": {"DelaySeconds": "5"}}), Resource("bucket", "pages")]
