"""Statements as tokens, and the cursor that the parser moves over them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid

LONGEST_STATEMENT = 8192
#: Keeps a recursive parser far from Python's own limit.
DEEPEST_NESTING = 100

TOKEN = re.compile(
    r"(?P<text>'(?:[^']|'')*')|(?P<quoted>\"(?:[^\"]|\"\")*\")|(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)|(?P<symbol><<|>>|<>|!=|<=|>=|[=<>()\[\]{}.,:;?*+-])|(?P<space>\s+)|(?P<other>.)",
    re.DOTALL,
)
#: Words that are no names unless they are quoted.
KEYWORDS = frozenset(
    (
        "ALL",
        "AND",
        "ASC",
        "BETWEEN",
        "BY",
        "DELETE",
        "DESC",
        "EXISTS",
        "FALSE",
        "FROM",
        "IN",
        "INSERT",
        "INTO",
        "IS",
        "MISSING",
        "NOT",
        "NULL",
        "OR",
        "ORDER",
        "REMOVE",
        "RETURNING",
        "SELECT",
        "SET",
        "TRUE",
        "UPDATE",
        "VALUE",
        "WHERE",
    )
)


@dataclass(frozen=True, slots=True)
class Token:
    """``text`` is what the token says: a quoted one without its quotes."""

    kind: str
    text: str
    start: int


def malformed(what: str) -> ServiceError:
    return invalid(f"Statement wasn't well formed, can't be processed: {what}")


class Cursor:
    """A position in the tokens of one statement."""

    def __init__(self, statement: str) -> None:
        if len(statement) > LONGEST_STATEMENT:
            raise invalid(
                "1 validation error detected: Value at 'statement' failed to satisfy constraint: "
                f"Member must have length less than or equal to {LONGEST_STATEMENT}"
            )
        self.tokens = [token_of(match) for match in TOKEN.finditer(statement) if match.lastgroup != "space"]
        self.tokens.append(Token("end", "", len(statement)))
        self.position = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def advance(self) -> Token:
        token = self.token
        self.position += 1
        return token

    def at(self, *symbols: str) -> bool:
        return self.token.kind == "symbol" and self.token.text in symbols

    def follows(self, symbol: str) -> bool:
        """Whether the token after this one is that symbol."""
        following = self.tokens[min(self.position + 1, len(self.tokens) - 1)]
        return following.kind == "symbol" and following.text == symbol

    def accept(self, symbol: str) -> bool:
        found = self.at(symbol)
        self.position += found
        return found

    def expect(self, symbol: str) -> None:
        if not self.accept(symbol):
            raise self.unexpected()

    def at_word(self, *words: str) -> bool:
        return self.token.kind == "name" and self.token.text.upper() in words

    def accept_word(self, *words: str) -> str | None:
        return self.advance().text.upper() if self.at_word(*words) else None

    def expect_word(self, *words: str) -> str:
        found = self.accept_word(*words)
        if found is None:
            raise self.unexpected()
        return found

    def at_name(self) -> bool:
        return self.token.kind == "quoted" or (self.token.kind == "name" and self.token.text.upper() not in KEYWORDS)

    def name(self) -> str:
        if not self.at_name() or not self.token.text:
            raise self.unexpected()
        return self.advance().text

    def unexpected(self) -> ServiceError:
        if self.token.kind == "end":
            return malformed("Unexpected end of the statement")
        if self.token.kind == "name" and self.token.text.upper() in KEYWORDS:
            return malformed("Unexpected keyword")
        return malformed(f"Unexpected token '{self.token.text}' at position {self.token.start}")

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST_NESTING:
            raise malformed(f"Nested deeper than {DEEPEST_NESTING} levels")

    def leave(self) -> None:
        self.depth -= 1


def token_of(match: re.Match[str]) -> Token:
    kind, text = match.lastgroup or "other", match[0]
    if kind in ("text", "quoted"):
        quote = text[0]
        text = text[1:-1].replace(quote * 2, quote)
    return Token(kind, text, match.start())
