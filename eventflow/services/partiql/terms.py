"""Literals: texts, numbers, lists, maps, sets, and the parameters of a request among them."""

from __future__ import annotations

from collections.abc import Sequence

from eventflow.services.attributes.refusals import invalid
from eventflow.services.attributes.values import Value, type_of, valid_value
from eventflow.services.partiql.tokens import Cursor, malformed

WRONG_NUMBER = "Number of parameters in request and statement don't match."


class Terms:
    """Reads literals at a cursor; each ``?`` takes the next parameter."""

    def __init__(self, cursor: Cursor, parameters: Sequence[Value]) -> None:
        self._cursor = cursor
        self._parameters = parameters
        self._taken = 0

    def refuse_left(self) -> None:
        if self._taken != len(self._parameters):
            raise invalid(WRONG_NUMBER)

    def at(self) -> bool:
        cursor = self._cursor
        return cursor.token.kind in ("text", "number") or cursor.at("?", "-", "+", "[", "{", "<<") or cursor.at_word("TRUE", "FALSE", "NULL")

    def value(self) -> Value:
        cursor = self._cursor
        cursor.enter()
        found = self._value()
        cursor.leave()
        return found

    def _value(self) -> Value:
        cursor = self._cursor
        if cursor.token.kind == "text":
            return valid_value({"S": cursor.advance().text})
        if cursor.token.kind == "number" or cursor.at("-", "+"):
            return self._number()
        if cursor.accept("?"):
            return self._parameter()
        if word := cursor.accept_word("TRUE", "FALSE", "NULL"):
            return {"NULL": True} if word == "NULL" else {"BOOL": word == "TRUE"}
        if cursor.accept("["):
            return {"L": self._members("]")}
        if cursor.accept("{"):
            return {"M": self._pairs()}
        if cursor.accept("<<"):
            return self._set()
        raise cursor.unexpected()

    def _number(self) -> Value:
        cursor = self._cursor
        sign = "-" if cursor.accept("-") else ""
        if not sign:
            cursor.accept("+")
        if cursor.token.kind != "number":
            raise cursor.unexpected()
        return valid_value({"N": sign + cursor.advance().text})

    def _parameter(self) -> Value:
        if self._taken == len(self._parameters):
            raise invalid(WRONG_NUMBER)
        self._taken += 1
        return valid_value(self._parameters[self._taken - 1])

    def _members(self, end: str) -> list[Value]:
        found: list[Value] = []
        if self._cursor.accept(end):
            return found
        found.append(self.value())
        while self._cursor.accept(","):
            found.append(self.value())
        self._cursor.expect(end)
        return found

    def _pairs(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        cursor = self._cursor
        if cursor.accept("}"):
            return found
        while True:
            if cursor.token.kind not in ("text", "quoted"):
                raise cursor.unexpected()
            name = cursor.advance().text
            if name in found:
                raise malformed(f"Attribute '{name}' is named twice")
            cursor.expect(":")
            found[name] = self.value()
            if not cursor.accept(","):
                break
        cursor.expect("}")
        return found

    def _set(self) -> Value:
        members = self._members(">>")
        kinds = {type_of(member) for member in members}
        if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
            raise malformed("A set has members, all of them texts, or numbers, or binary values")
        kind = kinds.pop()
        return valid_value({f"{kind}S": [member[kind] for member in members]})
