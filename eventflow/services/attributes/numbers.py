"""DynamoDB's number type: decimal, 38 significant digits, magnitudes from 1E-130 to 9.99E+125, held as canonical plain text."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import NamedTuple

from eventflow.services.attributes.refusals import invalid

PRECISION = 38
LARGEST_MAGNITUDE = 125
SMALLEST_MAGNITUDE = -130

OVERFLOW = "Number overflow. Attempting to store a number with magnitude larger than supported range"
UNDERFLOW = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
TOO_PRECISE = "Attempting to store more than 38 significant digits in a Number"

#: Most numbers are integers already in canonical form.
PLAIN_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,37}")
NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?)0*([0-9]+))?")

#: Wide enough for any sum of two numbers to be exact: 125 + 130 + 38 digits.
EXACT = Context(prec=300)


class Parts(NamedTuple):
    """A number taken apart: its significant digits without zeros at either end, and the power of ten of the first of them."""

    negative: bool
    digits: str
    magnitude: int


ZERO = Parts(False, "", 0)


def canonical(text: str) -> str:
    """The number in the form that DynamoDB keeps and returns: no exponent, no superfluous zeros."""
    if PLAIN_INTEGER.fullmatch(text):
        return text
    return plain(within_limits(parse(text)))


def parse(text: str) -> Parts:
    match = NUMBER.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise invalid("The parameter cannot be converted to a numeric value" + (f": {text}" if text else ""))
    sign, whole, fraction = match[1], match[2], match[3] or ""
    digits = whole + fraction
    significant = digits.lstrip("0")
    if not significant:
        return ZERO
    # int() refuses texts of thousands of digits, and any exponent of nine digits is out of range already.
    exponent = int((match[4] or "") + (match[5] or "0")[:9])
    power = exponent + len(whole) - 1 - (len(digits) - len(significant))
    return Parts(sign == "-", significant.rstrip("0"), power)


def parts_of(canonical_text: str) -> Parts:
    """What ``parse`` gives, for a text that is canonical already."""
    negative = canonical_text[0] == "-"
    whole, _point, fraction = canonical_text[negative:].partition(".")
    if whole != "0":
        return Parts(negative, (whole + fraction).rstrip("0"), len(whole) - 1)
    significant = fraction.lstrip("0")
    return Parts(negative, significant, len(significant) - len(fraction) - 1) if significant else ZERO


def within_limits(parts: Parts) -> Parts:
    if not parts.digits:
        return ZERO
    if parts.magnitude > LARGEST_MAGNITUDE:
        raise invalid(OVERFLOW)
    if parts.magnitude < SMALLEST_MAGNITUDE:
        raise invalid(UNDERFLOW)
    if len(parts.digits) > PRECISION:
        raise invalid(TOO_PRECISE)
    return parts


def plain(parts: Parts) -> str:
    if not parts.digits:
        return "0"
    point = parts.magnitude + 1
    digits = parts.digits
    if point <= 0:
        text = "0." + "0" * -point + digits
    elif point >= len(digits):
        text = digits + "0" * (point - len(digits))
    else:
        text = digits[:point] + "." + digits[point:]
    return "-" + text if parts.negative else text


def add(left: str, right: str) -> str:
    """The exact sum of two canonical numbers; one that does not fit in 38 digits is refused, with the words DynamoDB has for it."""
    return rounded(EXACT.add(Decimal(left), Decimal(right)))


def subtract(left: str, right: str) -> str:
    return rounded(EXACT.subtract(Decimal(left), Decimal(right)))


def rounded(value: Decimal) -> str:
    parts = parse(format(value, "f"))
    if len(parts.digits) > PRECISION:
        raise invalid(OVERFLOW)
    return plain(within_limits(parts))


def size(text: str) -> int:
    """Bytes of a canonical number: one for each pair of digits on either side of the decimal point, one for the magnitude, one for a minus sign."""
    negative, digits, magnitude = parts_of(text)
    if not digits:
        return 1
    leading = 1 if magnitude % 2 == 0 else 2
    pairs = 1 + max(0, len(digits) - leading + 1) // 2
    return 1 + pairs + negative


def sortable(text: str) -> bytes:
    """A canonical number as bytes that compare as the numbers do.

    A sign byte, a byte for the magnitude, then pairs of digits; for negative numbers all of it inverted, and closed by a byte above every
    pair, because among them the longer of two numbers that begin alike is the smaller.
    """
    negative, digits, magnitude = parts_of(text)
    if not digits:
        return b"\x01"
    padded = digits + "0" if len(digits) % 2 else digits
    pairs = [int(padded[at : at + 2]) for at in range(0, len(padded), 2)]
    power = magnitude - SMALLEST_MAGNITUDE
    if negative:
        return bytes((0, 255 - power, *(100 - pair for pair in pairs), 255))
    return bytes((2, power, *(pair + 1 for pair in pairs)))
