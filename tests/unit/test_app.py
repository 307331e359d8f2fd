import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import pytest

from eventflow.app import App
from eventflow.errors import LoadError, SettingError
from eventflow.function import Destination
from eventflow.reference import QueueRef
from eventflow.trigger import Resource, Target, Trigger


@dataclass(frozen=True)
class Tick(Trigger):
    kind: ClassVar[str] = "tick"
    every: int = 1

    async def run(self, target: Target) -> None:
        raise NotImplementedError

    def resources(self) -> Iterable[Resource]:
        return [Resource("queue", f"ticks-{self.every}")]


CLASSES = {"tick": Tick}


def test_decorators_return_the_function_untouched():
    app = App("photos")

    def handler(event, context):
        return event

    assert app.on(Tick())(handler) is handler
    assert app.function()(handler) is handler
    assert vars(handler) == {}
    assert app.handler("handler") is handler


def test_a_function_is_named_after_its_handler_or_by_its_setting():
    app = App("photos")

    @app.function(memory=256)
    def thumbnail(event, context): ...

    @app.function(name="resize-images")
    def resize(event, context): ...

    assert list(app.functions) == ["thumbnail", "resize-images"]
    assert app.functions["thumbnail"].memory == 256
    assert app.functions["thumbnail"].handler.startswith(f"{__name__}:")


def test_stacked_triggers_and_settings_add_up():
    app = App("photos")

    @app.on(Tick(1), memory=256)
    @app.on(Tick(2), timeout=30, memory=256)
    @app.function(name="both")
    def handler(event, context): ...

    function = app.functions["both"]
    assert (function.memory, function.timeout) == (256, 30)
    assert app.triggers == [("both", Tick(1)), ("both", Tick(2))]


def test_stacked_settings_that_conflict_are_refused():
    app = App("photos")
    with pytest.raises(SettingError, match=r"Function 'handler' \(.*test_app.py:\d+\).*memory=256 and memory=512"):

        @app.on(Tick(1), memory=512)
        @app.on(Tick(2), memory=256)
        def handler(event, context): ...


def test_a_decorator_between_leaves_it_the_same_function():
    app = App("photos")

    def logged(handler):
        @functools.wraps(handler)
        def wrapper(event, context):
            return handler(event, context)

        return wrapper

    @app.on(Tick(1))
    @logged
    @app.on(Tick(2))
    def handler(event, context): ...

    assert list(app.functions) == ["handler"]
    assert app.handler("handler") is handler
    assert len(app.triggers) == 2


def test_two_functions_of_one_name_are_refused_with_both_places():
    app = App("photos")

    def make():
        @app.function()
        def handler(event, context): ...

    def make_another():
        @app.function()
        def handler(event, context): ...

    make()
    make_another()
    with pytest.raises(SettingError, match=r"Two functions of app 'photos' are called 'handler': .*test_app.py:\d+ and .*test_app.py:\d+"):
        _ = app.functions


def test_a_name_in_the_upper_decorator_resolves_a_double_name():
    app = App("photos")

    def make(name):
        @app.function(name=name)
        @app.on(Tick(1))
        def handler(event, context): ...

    make("a")
    make("b")
    assert list(app.functions) == ["a", "b"]


def test_the_same_trigger_twice_is_refused():
    app = App("photos")
    with pytest.raises(SettingError, match=r"has the trigger Tick\(.*\) twice"):

        @app.on(Tick(1))
        @app.on(Tick(1))
        def handler(event, context): ...


def test_on_takes_a_trigger():
    app = App("photos")
    with pytest.raises(SettingError, match=r"@app.on takes a trigger.*got function handler"):

        @app.on
        def handler(event, context): ...

    with pytest.raises(SettingError, match="got class Tick"):
        app.on(Tick)


def test_function_is_written_with_parentheses():
    app = App("photos")
    with pytest.raises(SettingError, match="written with parentheses"):

        @app.function
        def handler(event, context): ...


def test_a_handler_takes_event_and_context():
    app = App("photos")

    def fits(event, context, *more, option=None): ...
    def anything(*args): ...
    async def awaits(event, context): ...

    for handler in (fits, anything, awaits):
        app.function()(handler)

    def alone(event): ...
    def three(event, context, more): ...
    def keyword(event, *, context): ...

    for handler in (alone, three, keyword):
        with pytest.raises(SettingError, match=rf"Function '{handler.__name__}' \(.*\) cannot be called as handler\(event, context\)"):
            app.function()(handler)
    assert len(app.functions) == 3


def test_what_is_no_function_cannot_handle():
    app = App("photos")
    with pytest.raises(SettingError, match="Only a function can handle events"):
        app.function()(Tick)
    with pytest.raises(SettingError, match="Only a function can handle events"):
        app.function()("text")
    with pytest.raises(SettingError, match="no __name__"):
        app.function()(functools.partial(print, 1))


def test_unenforceable_settings_are_refused_where_they_are_written():
    app = App("photos")
    with pytest.raises(SettingError, match="Function 'handler': timeout=901 is refused"):

        @app.on(Tick(), timeout=901)
        def handler(event, context): ...


def test_a_handler_can_be_a_destination():
    app = App("photos")

    @app.function(name="collect-failures")
    def collect(event, context): ...

    @app.function(on_failure=collect, on_success="later")
    def work(event, context): ...

    @app.function()
    def later(event, context): ...

    app.manifest()
    assert app.functions["work"].on_failure == Destination("function", "collect-failures")
    assert app.functions["work"].on_success == Destination("function", "later")


def test_a_handler_of_nobody_is_no_destination():
    app = App("photos")

    def stranger(event, context): ...

    with pytest.raises(SettingError, match=r"on_failure=function stranger is no function of app 'photos'; put @app.function\(\) on it first"):
        app.function(on_failure=stranger)(lambda event, context: None)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"on_failure": "nowhere"}, r"on_failure names the function nowhere, which app 'photos' does not have. Put @app.function\(\)"),
        ({"on_success": "failures"}, r"There is a queue of that name: pass what app.queue\('failures'\) returned"),
        ({"on_success": QueueRef("elsewhere")}, r"on_success names the queue elsewhere.*Declare app.queue\('elsewhere'\)"),
        ({"dead_letter_queue": "elsewhere"}, r"dead_letter_queue names the queue elsewhere.*Declare app.queue\('elsewhere'\)"),
    ],
)
def test_ways_out_must_exist(settings, expected):
    app = App("photos")
    app.queue("failures")

    @app.function(**settings)
    def handler(event, context): ...

    with pytest.raises(SettingError, match=expected):
        app.manifest()


def test_a_triggers_queue_exists_too():
    app = App("photos")

    @app.on(Tick(3), dead_letter_queue="ticks-3")
    def handler(event, context): ...

    app.manifest(classes=CLASSES)


def test_a_redrive_target_must_exist():
    app = App("photos")
    app.queue("orders", dead_letter_queue="dead", max_receive_count=3)
    with pytest.raises(SettingError, match="Queue 'orders': dead_letter_queue names 'dead'"):
        app.manifest()
    app.queue("dead")
    app.manifest()


def test_references_are_declared_once():
    app = App("photos")
    assert app.queue("orders", delay_seconds=1) == app.queue("orders", delay_seconds=1)
    assert str(app.bucket("orders")) == "orders"
    assert app.table("orders", key="id").key == "id"
    assert [(resource.kind, resource.name) for resource in app.resources] == [("queue", "orders"), ("bucket", "orders"), ("table", "orders")]
    with pytest.raises(SettingError, match="declares the queue 'orders' twice"):
        app.queue("orders", delay_seconds=2)


def test_an_unknown_function_is_told_with_those_there_are():
    app = App("orders")
    with pytest.raises(LoadError, match="app 'orders' has no functions"):
        app.handler("charge")
    app.function(name="ship")(lambda event, context: None)
    app.function(name="refund")(lambda event, context: None)
    with pytest.raises(LoadError, match=r"No function named 'charge' in app 'orders'; it has: refund, ship."):
        app.handler("charge")


@pytest.mark.parametrize("name", ["", "a b", None, "x" * 65])
def test_app_names(name):
    with pytest.raises(SettingError, match="app name"):
        App(name)


def test_retries_and_delays_of_retries_exclude_each_other():
    app = App("photos")
    with pytest.raises(SettingError, match=r"'f' \(.*\): retries and retry_delays are two ways"):

        @app.function(retries=1, retry_delays=(5,))
        def f(event, context): ...
