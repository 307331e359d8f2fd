"""Which route a request leads to."""

from __future__ import annotations

import string
import time
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventflow.errors import SettingError
from eventflow.gateway.routes import METHODS, RouteKey, RouteTable, as_sent


def table(*keys: str, rest: bool = False) -> RouteTable[str]:
    return RouteTable([(RouteKey.parse(key), key) for key in keys], by_resource=rest)


def found(routes: RouteTable[str], request: str) -> tuple[str, dict[str, str]] | None:
    method, _, path = request.partition(" ")
    match = routes.find(method, path)
    return None if match is None else (match.route, match.parameters)


#: "Routing API requests" of the API Gateway developer guide, and what follows from it.
DOCUMENTED = table("GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default")


@pytest.mark.parametrize(
    "request_line, route, parameters",
    [
        ("GET /pets/dog/1", "GET /pets/dog/1", {}),
        ("GET /pets/dog/2", "GET /pets/dog/{id}", {"id": "2"}),
        ("GET /pets/cat/1", "GET /pets/{proxy+}", {"proxy": "cat/1"}),
        ("GET /pets/dog/2/tail", "GET /pets/{proxy+}", {"proxy": "dog/2/tail"}),
        ("POST /test/5", "ANY /{proxy+}", {"proxy": "test/5"}),
        ("POST /pets/dog/1", "ANY /{proxy+}", {"proxy": "pets/dog/1"}),
        ("GET /", "$default", {}),
    ],
)
def test_the_documented_priorities(request_line: str, route: str, parameters: dict[str, str]) -> None:
    assert found(DOCUMENTED, request_line) == (route, parameters)


@pytest.mark.parametrize(
    "keys, request_line, expected",
    [
        (["ANY /a", "GET /a"], "GET /a", ("GET /a", {})),
        (["ANY /a", "GET /a"], "PUT /a", ("ANY /a", {})),
        (["GET /{x}/b", "GET /a/{y}"], "GET /a/b", ("GET /a/{y}", {"y": "b"})),
        (["GET /{x}/b", "POST /a/b"], "GET /a/b", ("GET /{x}/b", {"x": "a"})),
        (["GET /{x}/c", "GET /a/b"], "GET /a/c", ("GET /{x}/c", {"x": "a"})),
        (["GET /a/{p+}", "GET /{x}/b"], "GET /a/b", ("GET /{x}/b", {"x": "a"})),
        (["GET /{a}/{p+}", "GET /x/{p+}"], "GET /x/1/2", ("GET /x/{p+}", {"p": "1/2"})),
        (["GET /a/{p+}"], "GET /a", None),
        (["GET /a/{p+}"], "GET /a/", None),
        (["GET /a/{x}"], "GET /a/", None),
        (["GET /a"], "GET /a/", None),
        (["GET /a/"], "GET /a/", ("GET /a/", {})),
        (["GET /"], "GET /", ("GET /", {})),
        (["POST /a", "$default"], "GET /a", ("$default", {})),
        (["GET /a/{p+}"], "GET /a/b/", ("GET /a/{p+}", {"p": "b/"})),
    ],
)
def test_http_apis(keys: list[str], request_line: str, expected: object) -> None:
    assert found(table(*keys), request_line) == expected


@pytest.mark.parametrize(
    "keys, request_line, expected",
    [
        (["GET /a"], "GET /a/", ("GET /a", {})),
        (["POST /a/b", "GET /{proxy+}"], "GET /a/b", None),  # the resource is chosen first, and does not have the method
        (["POST /a", "ANY /a"], "GET /a", ("ANY /a", {})),
        (["GET /a/b", "GET /{proxy+}"], "GET /a/c", ("GET /{proxy+}", {"proxy": "a/c"})),
    ],
)
def test_rest_apis(keys: list[str], request_line: str, expected: object) -> None:
    assert found(table(*keys, rest=True), request_line) == expected


@pytest.mark.parametrize(
    "key",
    ["", "GET", "GET items", "FETCH /", "get /", "GET /{}", "GET /{a", "GET /a{b}", "GET /{p+}/a", "GET /{a}/{a}", "GET /a?b", "GET //a", "GET /a b"],
)
def test_what_is_no_route_is_refused(key: str) -> None:
    with pytest.raises(SettingError, match="is refused"):
        RouteKey.parse(key)


@pytest.mark.parametrize("keys", [["GET /a", "GET /a"], ["$default", "$default"], ["GET /{a}", "GET /{b}"], ["GET /{a+}", "GET /{b+}"]])
def test_one_route_leads_to_one_function(keys: list[str]) -> None:
    with pytest.raises(SettingError, match="keep one of them"):
        table(*keys)


# Against a model that looks at every route.

SEGMENTS = st.sampled_from(["a", "b", "{x}", "{y}"])
KEYS = st.builds(
    lambda method, segments, greedy: f"{method} /" + "/".join([*segments, *greedy]),
    st.sampled_from(["GET", "POST", "ANY"]),
    st.lists(SEGMENTS, max_size=3, unique=True),
    st.sampled_from([(), ("{p+}",)]),
)
PATHS = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=4).map(lambda parts: "/" + "/".join(parts))


def naive(keys: list[str], method: str, path: str) -> str | None:
    """The best of all routes that fit: full before greedy, then literal parts from the left, then the method before ANY."""
    parts = [] if path == "/" else path[1:].split("/")
    best: tuple[object, str] | None = None
    for key in keys:
        own, _, own_path = key.partition(" ")
        if own not in (method, "ANY"):
            continue
        segments = [] if own_path == "/" else own_path[1:].split("/")
        greedy = bool(segments) and segments[-1].endswith("+}")
        fixed = segments[:-1] if greedy else segments
        if len(parts) < len(fixed) or (not greedy and len(parts) != len(segments)) or (greedy and len(parts) == len(fixed)):
            continue
        if any(segment != part if segment[0] != "{" else part == "" for segment, part in zip(fixed, parts, strict=False)):
            continue
        if greedy and parts[len(fixed)] == "":
            continue
        rank = (not greedy, len(fixed) if greedy else 0, [segment[0] != "{" for segment in fixed], own != "ANY")
        if best is None or rank > best[0]:  # type: ignore[operator]
            best = rank, key
    return None if best is None else best[1]


@given(st.lists(KEYS, max_size=12), st.sampled_from(["GET", "POST", "PUT"]), PATHS)
def test_the_table_finds_what_a_look_at_every_route_finds(keys: list[str], method: str, path: str) -> None:
    distinct: dict[str, str] = {}
    for key in keys:
        distinct.setdefault(key.replace("{x}", "{}").replace("{y}", "{}"), key)
    chosen = list(distinct.values())
    match = table(*chosen).find(method, path)
    assert (None if match is None else match.route) == naive(chosen, method, path)


@given(st.text(max_size=40), st.sampled_from(METHODS))
def test_no_path_is_too_strange(path: str, method: str) -> None:
    match = DOCUMENTED.find(method, f"/{path}")
    assert match is not None


def test_a_thousand_routes_cost_no_more_than_ten() -> None:
    def seconds(number: int) -> float:
        routes = table(*(f"GET /api/v{place}/items/{{id}}" for place in range(number)))
        best = float("inf")
        for _ in range(5):
            begin = time.thread_time()
            for _ in range(2000):
                routes.find("GET", f"/api/v{number - 1}/items/7")
            best = min(best, time.thread_time() - begin)
        return best

    assert seconds(1000) < 3 * seconds(10)


def test_many_variables_are_no_way_to_keep_the_gateway_busy() -> None:
    keys = [
        f"GET /{'/'.join(parts)}" for parts in ([*("{x" + str(i) + "}" if bits >> i & 1 else "a" for i in range(10)), "end"] for bits in range(1024))
    ]
    routes = table(*keys)
    begin = time.thread_time()
    assert routes.find("GET", "/" + "a/" * 10 + "x") is None
    assert time.thread_time() - begin < 0.5


@given(st.text(string.printable, max_size=30), st.data())
def test_a_rest_path_is_compared_as_sent_but_for_what_was_encoded_without_need(text: str, data: st.DataObject) -> None:
    needless = set(string.ascii_letters + string.digits + "-._~")
    encoded = {place for place, letter in enumerate(text) if letter in needless and data.draw(st.booleans())}
    sent = "".join(f"%{ord(letter):02x}" if place in encoded else quote(letter, safe="") for place, letter in enumerate(text))
    assert as_sent(sent) == quote(text, safe="")
    assert unquote(as_sent(sent)) == text


@pytest.mark.parametrize("key", ["GET /a%20b", "GET /%61dmin"])
def test_a_route_is_not_encoded(key: str) -> None:
    with pytest.raises(SettingError, match="not encoded"):
        RouteKey.parse(key)
