"""What an application is, as JSON: the daemon works from this and never imports the application's code."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any

from eventflow.errors import LoadError, SettingError
from eventflow.function import Function
from eventflow.trigger import Resource, Trigger

#: The entry-point group in which a trigger's class is published under its ``kind``.
GROUP = "eventflow.triggers"

TriggerClass = type[Trigger]
TriggerClasses = Mapping[str, TriggerClass]


@dataclass(frozen=True)
class TriggerEntry:
    """A trigger of a function, from which ``resolve_triggers`` makes the trigger again."""

    function: str
    kind: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Manifest:
    """An application: its name, the module and attribute that hold it, the folder ``root`` that module is imported from, and what it declares. That
    of a template has no module; ``notes`` are what people should know of it when it starts."""

    app: str
    module: str
    attribute: str | None
    root: str
    functions: tuple[Function, ...] = ()
    triggers: tuple[TriggerEntry, ...] = ()
    resources: tuple[Resource, ...] = ()
    notes: tuple[str, ...] = ()

    def function(self, name: str) -> Function:
        for function in self.functions:
            if function.name == name:
                return function
        raise LoadError(no_function(name, self.app, [function.name for function in self.functions]))

    def to_json(self) -> dict[str, Any]:
        return {
            "app": self.app,
            "module": self.module,
            "attribute": self.attribute,
            "root": self.root,
            "functions": [function.to_json() for function in self.functions],
            "triggers": [{"function": entry.function, "kind": entry.kind, "parameters": dict(entry.parameters)} for entry in self.triggers],
            "resources": [{"kind": resource.kind, "name": resource.name, "options": dict(resource.options)} for resource in self.resources],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Manifest:
        return cls(
            app=values["app"],
            module=values["module"],
            attribute=values["attribute"],
            root=values["root"],
            functions=tuple(Function.from_json(function) for function in values["functions"]),
            triggers=tuple(TriggerEntry(**entry) for entry in values["triggers"]),
            resources=tuple(Resource(**resource) for resource in values["resources"]),
            notes=tuple(values.get("notes", ())),
        )


def no_function(name: str, app: str, names: Iterable[str]) -> str:
    has = ", ".join(sorted(names))
    return f"No function named {name!r} in app {app!r}; it has: {has}." if has else f"No function named {name!r}: app {app!r} has no functions."


def resolve_triggers(manifest: Manifest, classes: TriggerClasses | None = None) -> list[tuple[str, Trigger]]:
    """The triggers of a manifest, each with its function's name. ``classes`` stands in for the installed ones, by kind."""
    published.cache_clear()  # a package may have been installed since
    return [(entry.function, make_trigger(entry, classes)) for entry in manifest.triggers]


def make_trigger(entry: TriggerEntry, classes: TriggerClasses | None = None) -> Trigger:
    found = trigger_class(entry.kind, classes)
    try:
        return found(**entry.parameters)
    except SettingError as error:
        raise SettingError(f"Function {entry.function!r}: {error}") from error
    except TypeError as error:
        raise LoadError(
            f"Function {entry.function!r}: {found.__name__} cannot be made from {dict(entry.parameters)}: {error}. "
            "The application and the daemon must see the same version of the trigger's package; install it again."
        ) from error


def entry_of(function: str, trigger: Trigger, classes: TriggerClasses | None = None) -> TriggerEntry:
    """A trigger as a manifest holds it; LoadError if the daemon could not make an equal one from that."""
    kind = getattr(trigger, "kind", None)
    name = type(trigger).__name__
    if not isinstance(kind, str):
        raise LoadError(f'Function {function!r}: the trigger class {name} has no kind; give it `kind = "..."`, the name under which it is published.')
    registered = trigger_class(kind, classes, type(trigger))
    if registered is not type(trigger):
        raise LoadError(
            f"Function {function!r}: the trigger kind {kind!r} is published by {path_of(registered)}, "
            f"and {path_of(type(trigger))} claims it too; give your class another kind."
        )
    try:
        parameters = json.loads(json.dumps(trigger.parameters(), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise LoadError(f"Function {function!r}: the parameters of {trigger} are not plain JSON values: {error}.") from error
    entry = TriggerEntry(function, kind, parameters)
    again = json.loads(json.dumps(make_trigger(entry, classes).parameters()))
    if again != parameters:
        raise LoadError(
            f"Function {function!r}: {name}(**parameters()) makes another trigger: {again} instead of {parameters}. Its fields must survive JSON."
        )
    return entry


def trigger_class(kind: str, classes: TriggerClasses | None = None, wanted: TriggerClass | None = None) -> TriggerClass:
    """The class published under ``kind``; LoadError says what is installed, and how to publish ``wanted``."""
    if classes is not None:
        if kind in classes:
            return classes[kind]
        raise LoadError(unpublished(kind, classes, wanted))
    installed = published(entry_points)
    candidates = {point.value: point for point in installed.select(name=kind)}
    if not candidates:
        raise LoadError(unpublished(kind, installed.names, wanted))
    if len(candidates) > 1:
        raise LoadError(
            f"The trigger kind {kind!r} is published twice: by {' and by '.join(sorted(map(origin, candidates.values())))}. Uninstall one of them."
        )
    return loaded(next(iter(candidates.values())))


@functools.lru_cache(maxsize=1)
def published(read: Callable[..., EntryPoints]) -> EntryPoints:
    """What ``read`` finds of trigger classes: it looks through all installed packages, and an application may have thousands of triggers."""
    return read(group=GROUP)


def loaded(point: EntryPoint) -> TriggerClass:
    try:
        found = point.load()
    except Exception as error:
        raise LoadError(
            f"The trigger kind {point.name!r} is published by {origin(point)}, which fails to import: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(found, type) or not issubclass(found, Trigger):
        raise LoadError(f"The trigger kind {point.name!r} is published by {origin(point)}, which is no subclass of eventflow.Trigger.")
    return found


def unpublished(kind: str, installed: Iterable[str], wanted: TriggerClass | None) -> str:
    text = f"No installed package publishes the trigger kind {kind!r}; installed are: {', '.join(sorted(set(installed))) or 'none'}."
    if wanted is None:
        return f"{text} Install the package that has it into this environment."
    return (
        f"{text} Publish {wanted.__name__} from its package's pyproject.toml, then install that package (pip install -e .):\n"
        f'[project.entry-points."{GROUP}"]\n{kind} = "{path_of(wanted)}"'
    )


def origin(point: EntryPoint) -> str:
    return f"{point.value} of {point.dist.name}" if point.dist is not None else point.value


def path_of(found: type) -> str:
    return f"{found.__module__}:{found.__qualname__}"


def required_resources(manifest: Manifest, triggers: Iterable[tuple[str, Trigger]]) -> list[Resource]:
    """What must exist before the triggers run: what the application declares, then what only its triggers name."""
    found = {(resource.kind, resource.name): resource for resource in manifest.resources}
    for _function, trigger in triggers:
        for resource in trigger.resources():
            if resource.kind == "function":  # of this manifest, as its application has made sure
                continue
            found.setdefault((resource.kind, resource.name), resource)
    return list(found.values())
