"""The daemon's settings and where each came from; the only place that reads the environment."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypedDict

from eventflow.errors import SettingError

FILE = "eventflow.toml"
PROJECT_FILE = "pyproject.toml"
TABLE = "tool.eventflow"
STATE = ".eventflow"
PREFIX = "EVENTFLOW_"

#: Set by eventflow's own tests to have a process of the daemon killed at a fault point (eventflow/faultpoint.py); no setting of the daemon.
TEST_KILL_AT = "EVENTFLOW_TEST_KILL_AT"
#: Set inside a function's process to tell that it does not run on AWS; no setting of the daemon.
MARKERS = frozenset({"EVENTFLOW_LOCAL", TEST_KILL_AT})
#: The environment's names of a setting beside ``EVENTFLOW_<NAME>``, strongest first.
ALSO = {"region": ("AWS_REGION", "AWS_DEFAULT_REGION")}

SERVICE_MANAGER = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

ACCOUNT = re.compile(r"[0-9]{12}")
REGION = re.compile(r"[a-z]{2,5}(-[a-z]+)+-[0-9]{1,2}")
LOG_FORMATS = ("auto", "text", "json")


@dataclass(frozen=True)
class Settings:
    """What the daemon runs with. ``state`` is the directory of everything durable, ``buckets`` the one in which a bucket without a path of its
    own lives; ``gateway_host`` and ``gateway_port`` are where the API gateway listens, which it does only for an application that has routes,
    with TLS where ``tls_cert`` and ``tls_key`` (PEM files) are given, and then only to clients with a certificate of ``tls_client_ca``, if that is;
    ``trusted_proxies`` are addresses whose X-Forwarded-For is believed;
    ``gateway_rate`` and ``gateway_burst`` are how many requests a second, and at once, it takes of all clients together;
    ``open`` takes any credentials; ``retention_days`` is how long finished events and logs are kept, ``grace_seconds`` how long a
    stopping daemon waits for running functions; ``log_format`` ``auto`` is text on a terminal and JSON lines elsewhere. ``origins`` tells where
    each value came from.
    """

    state: Path
    buckets: Path
    account_id: str = "000000000000"
    region: str = "us-east-1"
    host: str = "127.0.0.1"
    port: int = 4566
    gateway_host: str = "127.0.0.1"
    gateway_port: int = 8080
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    trusted_proxies: str = ""
    gateway_rate: float = 10_000.0
    gateway_burst: int = 5_000
    open: bool = False
    retention_days: int = 14
    grace_seconds: float = 30.0
    log_format: str = "auto"
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    def origin(self, name: str) -> str:
        """Where a value came from: a flag, a variable, a file, or ``default``."""
        return self.origins.get(name, "default")

    def to_json(self) -> dict[str, Any]:
        """Every setting as ``{"value": ..., "origin": ...}``."""
        plain = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "origins"}
        return {name: {"value": str(value) if isinstance(value, Path) else value, "origin": self.origin(name)} for name, value in plain.items()}


@dataclass(frozen=True)
class ServiceManager:
    """Who started the daemon and wants to hear how it is: the path of its datagram socket (``@...``: an abstract one; empty: nobody), and the time
    without a sign of life, in seconds, after which it takes the daemon for hung (0: never)."""

    socket: str = ""
    watchdog_seconds: float = 0.0


class Flags(TypedDict, total=False):
    """What a command line can say; None means that the flag was not given."""

    state: Path | str | None
    buckets: Path | str | None
    account_id: str | None
    region: str | None
    host: str | None
    port: int | None
    gateway_host: str | None
    gateway_port: int | None
    tls_cert: Path | str | None
    tls_key: Path | str | None
    tls_client_ca: Path | str | None
    trusted_proxies: str | None
    gateway_rate: float | None
    gateway_burst: int | None
    open: bool | None
    retention_days: int | None
    grace_seconds: float | None
    log_format: str | None


@dataclass(frozen=True)
class Given:
    """A value of one setting as somebody wrote it. ``folder`` is what a relative path in it starts from; ``text`` tells that it was written
    as text (a variable), so that numbers and truth values are read from it."""

    value: Any
    origin: str
    folder: Path
    text: bool = False


def read_settings(folder: Path, flags: Flags | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings for an application in ``folder``: a flag beats the environment, that beats eventflow.toml, that beats [tool.eventflow] of
    pyproject.toml.

    Raises SettingError for an unknown key or variable, and for a value out of range, naming where it stands.
    """
    folder = folder.resolve()
    given = from_files(folder) | from_environment(os.environ if environment is None else environment) | from_flags(flags or {})
    given.pop("app", None)
    values = {name: check(name, entry) for name, entry in given.items()}
    state = values.setdefault("state", folder / STATE)
    values.setdefault("buckets", state / "buckets")
    settings = Settings(**values, origins={name: entry.origin for name, entry in given.items()})
    refuse_open_to_the_world(settings)
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingError("tls_cert and tls_key go together: the gateway needs its certificate and the certificate's key.")
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        raise SettingError("tls_client_ca takes tls_cert and tls_key too: clients show their certificates over TLS alone.")
    return settings


def configured_app(folder: Path) -> str | None:
    """The application that the settings files of exactly this folder name, as ``path.py:app`` or ``module:app``."""
    given = from_project(folder / PROJECT_FILE) | from_own(folder / FILE)
    return check("app", given["app"]) if "app" in given else None


# Where settings stand. Each source gives a dict of what it says.


def from_flags(flags: Flags) -> dict[str, Given]:
    return {name: Given(value, f"--{name.replace('_', '-')}", Path.cwd()) for name, value in flags.items() if value is not None}


def from_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    unknown = [name for name in environment if name.startswith(PREFIX) and name not in MARKERS and name.removeprefix(PREFIX).lower() not in CHECKS]
    if unknown:
        known = [PREFIX + name.upper() for name in CHECKS]
        raise SettingError(f"The environment sets {unknown[0]}, which is no setting. {suggestion(unknown[0], known)}")
    found = {}
    for name in CHECKS:
        for variable in (PREFIX + name.upper(), *ALSO.get(name, ())):
            if environment.get(variable):
                found[name] = Given(environment[variable], variable, Path.cwd(), text=True)
                break
    return found


def from_files(folder: Path) -> dict[str, Given]:
    """What the nearest folder with a settings file says, from ``folder`` up to the project's own."""
    for candidate in (folder, *folder.parents):
        if any((candidate / name).exists() for name in (FILE, PROJECT_FILE, ".git")):
            return from_project(candidate / PROJECT_FILE) | from_own(candidate / FILE)
    return {}


def from_own(file: Path) -> dict[str, Given]:
    return from_table(read_toml(file), file, str(file))


def from_project(file: Path) -> dict[str, Given]:
    tool = read_toml(file).get("tool", {})
    return from_table(tool.get("eventflow", {}) if isinstance(tool, dict) else {}, file, f"[{TABLE}] of {file}")


def from_table(table: Any, file: Path, origin: str) -> dict[str, Given]:
    if not isinstance(table, dict):
        raise SettingError(f"{origin} is not a table of settings; write it as [{TABLE}] and one setting a line.")
    for key in table:
        if key not in CHECKS:
            raise SettingError(f"{origin} has the key {key!r}, which is no setting. {suggestion(key, list(CHECKS))}")
    return {key: Given(value, origin, file.parent) for key, value in table.items()}


def read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{file} is not valid TOML: {error}.") from error
    except OSError as error:
        raise SettingError(f"{file} cannot be read: {error.strerror}.") from error


def suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}."


# What each setting takes. A check gets a value with its origin and returns it as Settings keeps it.


def check(name: str, given: Given) -> Any:
    return CHECKS[name](name, given)


def refused(name: str, given: Given, rule: str) -> SettingError:
    return SettingError(f"{name}={given.value!r} ({given.origin}) is refused: it takes {rule}.")


def number(least: int, most: int, unit: str, *, whole: bool = True) -> Callable[[str, Given], int | float]:
    rule = f"a {'whole ' if whole else ''}number from {least} to {most}{unit}"

    def read(name: str, given: Given) -> int | float:
        value = parsed(given) if given.text else given.value
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not least <= value <= most:
            raise refused(name, given, rule)
        return int(value) if whole else float(value)

    def parsed(given: Given) -> int | float | None:
        try:
            return int(given.value) if whole else float(given.value)
        except ValueError:
            return None

    return read


def matching(pattern: re.Pattern[str], rule: str) -> Callable[[str, Given], str]:
    def read(name: str, given: Given) -> str:
        if not isinstance(given.value, str) or not pattern.fullmatch(given.value):
            raise refused(name, given, rule)
        return given.value

    return read


def truth(name: str, given: Given) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    value = words.get(given.value.lower()) if given.text else given.value
    if not isinstance(value, bool):
        raise refused(name, given, "true or false")
    return value


def directory(name: str, given: Given) -> Path:
    if not isinstance(given.value, (str, Path)) or not str(given.value) or "\0" in str(given.value):
        raise refused(name, given, "the path of a directory")
    return (given.folder / Path(given.value).expanduser()).resolve()


def file(name: str, given: Given) -> Path:
    if not isinstance(given.value, (str, Path)) or not str(given.value) or "\0" in str(given.value):
        raise refused(name, given, "the path of a file")
    return (given.folder / Path(given.value).expanduser()).resolve()


def addresses(name: str, given: Given) -> str:
    """Addresses and networks, as one text with commas; a list of them in a settings file."""
    value = ",".join(given.value) if isinstance(given.value, list) and all(isinstance(one, str) for one in given.value) else given.value
    try:
        return ",".join(str(ipaddress.ip_network(one.strip(), strict=False)) for one in value.split(",") if one.strip())
    except (AttributeError, ValueError):
        raise refused(name, given, "IP addresses and networks with commas between them, such as 10.0.0.0/8,192.0.2.1") from None


def log_format(name: str, given: Given) -> str:
    if given.value not in LOG_FORMATS:
        raise refused(name, given, " or ".join(LOG_FORMATS))
    return str(given.value)


CHECKS: Mapping[str, Callable[[str, Given], Any]] = {
    "app": matching(re.compile(r"\S.*"), "the application as path.py:app or module:app"),
    "state": directory,
    "buckets": directory,
    "account_id": matching(ACCOUNT, "twelve digits"),
    "region": matching(REGION, "an AWS region, such as us-east-1"),
    "host": matching(re.compile(r"[A-Za-z0-9.:_-]+"), "a host name or an IP address"),
    "port": number(0, 65_535, " (0: any free one)"),
    "gateway_host": matching(re.compile(r"[A-Za-z0-9.:_-]+"), "a host name or an IP address"),
    "gateway_port": number(0, 65_535, " (0: any free one)"),
    "tls_cert": file,
    "tls_key": file,
    "tls_client_ca": file,
    "trusted_proxies": addresses,
    "gateway_rate": number(0, 1_000_000_000, " requests a second", whole=False),
    "gateway_burst": number(0, 1_000_000_000, " requests"),
    "open": truth,
    "retention_days": number(1, 3_650, " days"),
    "grace_seconds": number(0, 900, " seconds", whole=False),
    "log_format": log_format,
}


def refuse_open_to_the_world(settings: Settings) -> None:
    """Without credentials the endpoint obeys whoever reaches it, so only this machine may."""
    if settings.open and not is_loopback(settings.host):
        raise SettingError(
            f"open=True ({settings.origin('open')}) takes any credentials, and host={settings.host!r} ({settings.origin('host')}) can be reached "
            "from other machines; use the host 127.0.0.1, or do without --open."
        )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def service_manager(environment: Mapping[str, str] | None = None) -> ServiceManager:
    """What systemd says to the process that it starts (``man sd_notify``, ``man sd_watchdog_enabled``)."""
    source = os.environ if environment is None else environment
    microseconds = source.get("WATCHDOG_USEC", "")
    meant = source.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
    return ServiceManager(source.get("NOTIFY_SOCKET", ""), int(microseconds) / 1e6 if meant and microseconds.isdecimal() else 0.0)


def kill_asked_for(environment: Mapping[str, str] | None = None) -> str:
    """The fault point at which a test wants a process of the daemon killed (see ``faultpoint.arm``); empty where nobody tests."""
    return (os.environ if environment is None else environment).get(TEST_KILL_AT, "")


def user_units(environment: Mapping[str, str] | None = None) -> Path:
    """Where systemd looks for the units of the user who is logged in."""
    source = os.environ if environment is None else environment
    return Path(source.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def inherited_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The daemon's environment as functions get it: without what points boto3 at AWS or at a profile, without the daemon's own settings, and
    without what a service manager said to the daemon alone."""
    source = os.environ if environment is None else environment
    return {name: value for name, value in source.items() if not name.startswith(("AWS_", PREFIX, "_X_AMZN", *SERVICE_MANAGER))}


def variable(name: str, environment: Mapping[str, str] | None = None) -> str | None:
    """A variable that the application names, for a secret that shall not stand in its source."""
    return (os.environ if environment is None else environment).get(name)


def current_trace(environment: Mapping[str, str] | None = None) -> str | None:
    """The trace header of the invocation in whose process this runs, as Lambda tells it; None elsewhere."""
    source = os.environ if environment is None else environment
    return source.get("_X_AMZN_TRACE_ID")
