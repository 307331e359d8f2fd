"""What one value in an event may be asked: the tests that an event pattern's arrays hold (EventBridge user guide, "Comparison operators")."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Any], bool]

#: Numbers are compared as EventBridge compares them: within these bounds, to six digits right of the point.
LARGEST_NUMBER = 5.0e9
QUANTA = 1_000_000
COMPARISONS = ("=", "<", "<=", ">", ">=")


class NotALeafPattern(ValueError):
    """What is wrong with a member of a pattern's array, in the words of AWS's event-ruler."""


def leaf_test(member: Any) -> Test:
    """The test that a member of a pattern's array stands for; raises ``NotALeafPattern``."""
    match member:
        case str():
            return same_text(member)
        case bool() | None:
            return lambda value: value is member
        case int() | float():
            return same_number(member)
        case {}:
            operator, operand = only_pair(member)
            if operator not in OPERATORS:
                raise NotALeafPattern(f"Unrecognized match type {operator}")
            return OPERATORS[operator](operand)
    raise NotALeafPattern("Match value must be String, number, true, false, or null")


def only_pair(member: Mapping[str, Any]) -> tuple[str, Any]:
    if not member:
        raise NotALeafPattern("Match expression name not found")
    if len(member) > 1:
        raise NotALeafPattern("Only one key allowed in match expression")
    return next(iter(member.items()))


# Equality.


def same_text(text: str) -> Test:
    """The same text; an IP address is the same however it is written."""
    if has_one_spelling(text):
        return lambda value: value.__class__ is str and value == text
    address = address_of(text)
    return lambda value: value.__class__ is str and (value == text or address_of(value) == address)


def has_one_spelling(text: str) -> bool:
    """Whether no other text means the same: only IPv6 addresses can be written in several ways."""
    address = address_of(text)
    return address is None or address.version == 4


def same_number(number: float) -> Test:
    if abs(number) > LARGEST_NUMBER:  # an account's number, say: that one and no other
        return lambda value: is_number(value) and value == number
    wanted = round(number * QUANTA)
    return lambda value: (quantum := quantum_of(value)) is not None and quantum == wanted


def is_number(value: Any) -> bool:
    return value.__class__ is int or value.__class__ is float


def quantum_of(value: Any) -> int | None:
    """A number in the units by which numbers are compared; None for what is no number, or is out of bounds."""
    return round(value * QUANTA) if is_number(value) and -LARGEST_NUMBER <= value <= LARGEST_NUMBER else None


# Texts.


def folded(text: str) -> str:
    """Lower case letter by letter: no letter's case depends on its neighbours then."""
    return text.lower() if text.isascii() else "".join(map(str.lower, text))


def text_operand(operator: str, operand: Any) -> str:
    if not isinstance(operand, str):
        raise NotALeafPattern(f"{operator} match pattern must be a string")
    return operand


def equals_ignore_case(operand: Any) -> Test:
    wanted = folded(text_operand("equals-ignore-case", operand))
    return lambda value: value.__class__ is str and folded(value) == wanted


def prefix(operand: Any) -> Test:
    return end_test("prefix", str.startswith, operand)


def suffix(operand: Any) -> Test:
    return end_test("suffix", str.endswith, operand)


def end_test(operator: str, has: Callable[[str, str], bool], operand: Any) -> Test:
    if isinstance(operand, Mapping):
        inner, text = only_pair(operand)
        if inner != "equals-ignore-case":
            raise NotALeafPattern(f"Unsupported {operator} pattern: {inner}")
        wanted = folded(text_operand("equals-ignore-case", text))
        return lambda value: value.__class__ is str and has(folded(value), wanted)
    wanted = text_operand(operator, operand)
    return lambda value: value.__class__ is str and has(value, wanted)


def wildcard(operand: Any) -> Test:
    """``*`` is any number of characters, ``\\*`` and ``\\\\`` are themselves. Takes time in proportion to the value, whatever the pattern."""
    pieces = wildcard_pieces(text_operand("wildcard", operand))
    if len(pieces) == 1:
        return lambda value: value.__class__ is str and value == pieces[0]
    first, *middle, last = pieces
    return lambda value: value.__class__ is str and spans(value, first, middle, last)


def spans(value: str, first: str, middle: list[str], last: str) -> bool:
    """Whether the pieces are in the value in their order: the ends at its ends, each of the others where it is found first."""
    reached, end = len(first), len(value) - len(last)
    if end < reached or not value.startswith(first) or not value.endswith(last):
        return False
    for piece in middle:
        found = value.find(piece, reached, end)
        if found < 0:
            return False
        reached = found + len(piece)
    return True


def wildcard_pieces(text: str) -> list[str]:
    """What stands between the wildcards."""
    pieces = [""]
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
            if text[position : position + 1] not in ("*", "\\"):
                raise NotALeafPattern(f"Invalid escape character at pos {position}")
            pieces[-1] += text[position]
        elif character == "*":
            if len(pieces) > 1 and not pieces[-1]:
                raise NotALeafPattern(f"Consecutive wildcard characters at pos {position}")
            pieces.append("")
        else:
            pieces[-1] += character
        position += 1
    return pieces


# Numbers and addresses.


def numeric(operand: Any) -> Test:
    """``["=", 5]``, ``["<", 10]``, ``[">", 0, "<=", 5]``."""
    if not isinstance(operand, list | tuple):
        raise NotALeafPattern("Value of numeric must be an array.")
    if not operand or not isinstance(operand[0], str):
        raise NotALeafPattern(f"Invalid member in numeric match: {operand[0] if operand else ']'}")
    operator = operand[0]
    if operator not in COMPARISONS:
        raise NotALeafPattern(f"Unrecognized numeric range operator: {operator}")
    bound = quantum_operand(operator, operand[1:2])
    if len(operand) == 2:
        return comparison(operator, bound)
    if operator not in (">", ">="):
        raise NotALeafPattern("Too many elements in numeric expression")
    upper = operand[2]
    if not isinstance(upper, str):
        raise NotALeafPattern(f"Bad value in numeric range: {upper}")
    if upper not in ("<", "<="):
        raise NotALeafPattern(f"Bad numeric range operator: {upper}")
    top = quantum_operand(upper, operand[3:4])
    if len(operand) > 4:
        raise NotALeafPattern("Too many terms in numeric range expression")
    if bound >= top:
        raise NotALeafPattern("Bottom must be less than top")
    above, below = comparison(operator, bound), comparison(upper, top)
    return lambda value: above(value) and below(value)


def quantum_operand(operator: str, given: Any) -> int:
    if not given or not is_number(given[0]):
        raise NotALeafPattern(f"Value of {'equals' if operator == '=' else operator} must be numeric")
    quantum = quantum_of(given[0])
    if quantum is None:
        raise NotALeafPattern("Value must be between -5.0E9 and 5.0E9, inclusive")
    return quantum


def comparison(operator: str, bound: int) -> Test:
    match operator:
        case "=":
            return lambda value: quantum_of(value) == bound
        case "<":
            return lambda value: (quantum := quantum_of(value)) is not None and quantum < bound
        case "<=":
            return lambda value: (quantum := quantum_of(value)) is not None and quantum <= bound
        case ">":
            return lambda value: (quantum := quantum_of(value)) is not None and quantum > bound
    return lambda value: (quantum := quantum_of(value)) is not None and quantum >= bound


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if len(text) > 45 or (":" not in text and text.count(".") != 3):  # cheaper than an exception for nearly every text
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def cidr(operand: Any) -> Test:
    text = text_operand("cidr", operand)
    if "/" not in text:
        raise NotALeafPattern("Malformed CIDR, one '/' required")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise NotALeafPattern(f"Malformed CIDR, {error}") from error
    return lambda value: value.__class__ is str and (address := address_of(value)) is not None and address in network


# Negation. Whatever is no text, or no number, is something else than any text, or any number.

NEGATED: dict[str, Callable[[Any], Test]] = {
    "prefix": prefix,
    "suffix": suffix,
    "equals-ignore-case": equals_ignore_case,
    "wildcard": wildcard,
}


def anything_but(operand: Any) -> Test:
    tests = negated_tests(*only_pair(operand)) if isinstance(operand, Mapping) else negated_values(operand)
    return lambda value: not any(test(value) for test in tests)


def negated_tests(operator: str, operand: Any) -> list[Test]:
    if operator not in NEGATED:
        raise NotALeafPattern(f"Unsupported anything-but pattern: {operator}")
    texts = operand if isinstance(operand, list | tuple) else [operand]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise NotALeafPattern(f"Inside anything-but/{operator} list, number|start|null|boolean is not supported.")
    if operator in ("prefix", "suffix") and "" in texts:
        raise NotALeafPattern("Null prefix/suffix not allowed")
    return [NEGATED[operator](text) for text in texts]


def negated_values(operand: Any) -> list[Test]:
    values = operand if isinstance(operand, list | tuple) else [operand]
    texts = [value for value in values if isinstance(value, str)]
    numbers = [value for value in values if is_number(value)]
    if len(texts) + len(numbers) < len(values):
        where = "Value of anything-but must be an array or single string/number value."
        raise NotALeafPattern(where if values is not operand else "Inside anything but list, start|null|boolean is not supported.")
    if bool(texts) == bool(numbers):
        raise NotALeafPattern("Inside anything but list, either all values are number or string, mixed type is not supported")
    if texts:
        known = frozenset(texts)
        return [lambda value: value.__class__ is str and value in known]
    return [same_number(number) for number in numbers]


OPERATORS: dict[str, Callable[[Any], Test]] = {
    "exactly": lambda operand: same_text(text_operand("exact", operand)),
    "prefix": prefix,
    "suffix": suffix,
    "equals-ignore-case": equals_ignore_case,
    "wildcard": wildcard,
    "anything-but": anything_but,
    "numeric": numeric,
    "cidr": cidr,
}
