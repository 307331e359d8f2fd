import pytest

from eventflow import payload


@pytest.mark.parametrize("text", ["1", '"é"', " [1, 2]\n", '{"a": {"b": [null, true, 1.5e3]}}', "-0", '"\\ud83d\\ude00"'])
def test_json_is_a_payload(text: str) -> None:
    payload.check(text.encode())


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b"1 2", b"[1],[2", b"NaN", b'{"a": Infinity}', b'"\xff"', b"\xef\xbb\xbf1", "1".encode("utf-16"), b'"a\nb"', b"'a'"]
)
def test_anything_else_is_none(body: bytes) -> None:
    with pytest.raises(ValueError):
        payload.check(body)


def test_what_is_nested_too_deeply_is_refused_and_does_no_harm() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        payload.check(b"[" * 200_000)


def test_values_become_payloads_and_bytes_stay_as_they_are() -> None:
    assert payload.encode({"a": ["é", 1]}) == '{"a":["é",1]}'.encode()
    assert payload.encode(b' {"a" :1}') == b' {"a" :1}'
    with pytest.raises(ValueError):
        payload.encode(float("nan"))
    with pytest.raises(TypeError):
        payload.encode({1, 2})
