"""Who the client is when proxies stand before the gateway: only those whose addresses are trusted are believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Headers = Sequence[tuple[bytes, bytes]]
MOST_HOPS = 32


class Client(NamedTuple):
    """``address`` and ``scheme`` are the client's own, ``host`` the one it asked for; None where no proxy said so. ``disputed`` if two are named."""

    address: str
    scheme: str | None = None
    host: str | None = None
    disputed: bool = False


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks that are separated by commas. Raises ValueError."""
    return tuple(ipaddress.ip_network(one.strip(), strict=False) for one in text.split(",") if one.strip())


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in trusted)


def client_of(peer: str, headers: Headers, trusted: Sequence[Network]) -> Client:
    """The client of a request that came from ``peer``: the last address on the way that is no trusted proxy's. A proxy keeps one of Forwarded and
    X-Forwarded-For, and passes on the other as the client wrote it: where both are there, and name two clients, the client is disputed."""
    if not is_trusted(peer, trusted):
        return Client(peer)
    said = b",".join(value for name, value in headers if name == b"forwarded").decode("latin-1")
    older, hops = last_of(peer, x_forwarded(headers), trusted), forwarded(said)
    if not hops:
        return older
    found = last_of(peer, hops, trusted)
    if any(name == b"x-forwarded-for" for name, _value in headers) and older.address != found.address:
        return found._replace(disputed=True)
    return found


def last_of(peer: str, hops: Sequence[Client], trusted: Sequence[Network]) -> Client:
    for number, hop in enumerate(reversed(hops[-MOST_HOPS:])):
        if not is_trusted(hop.address, trusted):
            try:
                ipaddress.ip_address(hop.address)
            except ValueError:
                break  # "unknown", or a name that hides the address: what is behind it cannot be told
            return hop
        if number + 1 == len(hops):
            return hop  # the client is itself at a trusted address
    return Client(peer)


def forwarded(text: str) -> list[Client]:
    """The hops of a Forwarded header, the client's first."""
    hops = []
    for element in split_quoted(text, ","):
        found = dict(parameter(one) for one in split_quoted(element, ";"))
        if "for" in found:
            hops.append(Client(bare(found["for"]), scheme_of(found.get("proto")), found.get("host")))
    return hops


def parameter(text: str) -> tuple[str, str]:
    """A parameter of an element of Forwarded (RFC 7239): a token or a quoted string."""
    name, _, value = text.partition("=")
    value = value.strip()
    return name.strip().lower(), value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def x_forwarded(headers: Headers) -> list[Client]:
    found = dict.fromkeys((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"), b"")
    for name, value in headers:
        if name in found:
            found[name] += (b"," if found[name] else b"") + value
    addresses, schemes, hosts = (value.decode("latin-1") for value in found.values())
    scheme = scheme_of(schemes.rpartition(",")[2].strip() or None)
    host = hosts.rpartition(",")[2].strip() or None
    return [Client(bare(one.strip()), scheme, host) for one in addresses.split(",") if one.strip()]


def scheme_of(text: str | None) -> str | None:
    return text.lower() if text is not None and text.lower() in ("http", "https") else None


def bare(text: str) -> str:
    """An address without its port, and an IPv6 address without brackets."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def split_quoted(text: str, separator: str) -> list[str]:
    """Split where no quotation marks are open."""
    parts, start, quoted = [], 0, False
    for place, letter in enumerate(text):
        if letter == '"' and (place == 0 or text[place - 1] != "\\"):
            quoted = not quoted
        elif letter == separator and not quoted:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]
