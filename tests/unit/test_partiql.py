"""The statement parser against texts of every kind: a tree, or ValidationException, and nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow.errors import ServiceError
from eventflow.services.partiql.parser import parse
from eventflow.services.partiql.statements import Parsed, Select
from eventflow.services.tables.selection import Selection, placeholders_of
from eventflow.services.tables.statementactions import StatementWrite

WORDS = """SELECT INSERT INTO UPDATE DELETE EXISTS FROM WHERE SET REMOVE VALUE RETURNING ALL MODIFIED OLD NEW ORDER BY ASC DESC AND OR NOT IN BETWEEN
IS MISSING NULL TRUE FALSE * ? , . ; : ( ) [ ] { } << >> = <> != < <= > >= + - a "b c" "" "#d" 'text' '' 'it''s' 1 -1.5 1e400 999999999999 begins_with
contains size attribute_type list_append set_add set_delete 'N' \u00e4 \x00 ' " \ud800"""

PARAMETERS = [{"S": "x"}, {"N": "1"}, {"N": "nonsense"}, {"SS": ["a"]}, {"M": {"a": {"L": []}}}, {}, {"B": b"\x00"}]


def outcome(text: str, parameters: list[Any]) -> Parsed | None:
    try:
        parsed = parse(text, parameters)
        statement = parsed.statement
        if isinstance(statement, Select):
            Selection(parsed, statement, {})
        else:
            StatementWrite(parsed, {})
    except ServiceError as error:
        if error.code == "ValidationException":
            return None
        raise
    return parsed


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(WORDS.split()), max_size=40), st.lists(st.sampled_from(PARAMETERS), max_size=3))
def test_words_of_the_language_in_any_order(words: list[str], parameters: list[Any]) -> None:
    outcome(" ".join(words), parameters)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["", "SELECT * FROM t WHERE ", "UPDATE t SET ", "INSERT INTO t VALUE "]), st.text(max_size=60))
def test_any_text(start: str, text: str) -> None:
    outcome(start + text, [])


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def literals() -> st.SearchStrategy[Any]:
    scalars = st.one_of(
        st.builds(lambda text: {"S": text}, TEXTS),
        st.builds(lambda number: {"N": str(number)}, st.integers(-(10**20), 10**20)),
        st.sampled_from([{"BOOL": True}, {"BOOL": False}, {"NULL": True}]),
        st.builds(lambda members: {"SS": sorted(members)}, st.sets(TEXTS, min_size=1, max_size=3)),
    )
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.builds(lambda values: {"L": values}, st.lists(inner, max_size=3)),
            st.builds(lambda members: {"M": members}, st.dictionaries(NAMES, inner, max_size=3)),
        ),
        max_leaves=8,
    )


def quoted(text: str, quote: str = "'") -> str:
    return quote + text.replace(quote, quote * 2) + quote


def written(value: Any) -> str:
    ((kind, content),) = value.items()
    if kind == "S":
        return quoted(content)
    if kind == "N":
        return str(content)
    if kind == "BOOL":
        return str(content).lower()
    if kind == "NULL":
        return "null"
    if kind == "SS":
        return "<<" + ", ".join(map(quoted, content)) + ">>"
    if kind == "L":
        return "[" + ", ".join(map(written, content)) + "]"
    return "{" + ", ".join(f"{quoted(name)}: {written(inner)}" for name, inner in content.items()) + "}"


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(NAMES, literals(), min_size=1, max_size=4), NAMES)
def test_what_is_written_is_read_back(item: dict[str, Any], table: str) -> None:
    parsed = parse(f"INSERT INTO {quoted(table, chr(34))} VALUE {written({'M': item})}")
    assert parsed.table == table
    assert parsed.statement.item == item  # type: ignore[union-attr]


@settings(max_examples=80, deadline=None)
@given(NAMES, literals())
def test_names_and_values_reach_the_condition_as_they_are(name: str, value: Any) -> None:
    parsed = parse(f"SELECT * FROM t WHERE {quoted(name, chr(34))} = {written(value)} AND {quoted(name, chr(34))}.x[3] <> ?", [value])
    placeholders = placeholders_of(parsed)
    assert placeholders.path(("#n0",)) == (name,)
    assert placeholders.value(":v0") == placeholders.value(":v1") == value
    assert outcome(f"SELECT {quoted(name, chr(34))} FROM t WHERE {quoted(name, chr(34))} IS NOT MISSING", []) is not None
