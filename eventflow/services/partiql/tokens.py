"""PartiQL statements as tokens, and what is wrong with them."""

from __future__ import annotations

import re

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid
from eventflow.services.expressions.cursor import DEEPEST_NESTING, Token, TokenCursor

LONGEST_STATEMENT = 8192

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


def malformed(what: str) -> ServiceError:
    return invalid(f"Statement wasn't well formed, can't be processed: {what}")


class Cursor(TokenCursor):
    """A position in the tokens of one statement."""

    def __init__(self, statement: str) -> None:
        if len(statement) > LONGEST_STATEMENT:
            raise invalid(
                "1 validation error detected: Value at 'statement' failed to satisfy constraint: "
                f"Member must have length less than or equal to {LONGEST_STATEMENT}"
            )
        tokens = [token_of(match) for match in TOKEN.finditer(statement) if match.lastgroup != "space"]
        super().__init__([*tokens, Token("end", "", len(statement), len(statement))])

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

    def too_deep(self) -> ServiceError:
        return malformed(f"Nested deeper than {DEEPEST_NESTING} levels")


def token_of(match: re.Match[str]) -> Token:
    """A quoted token says what stands between its quotes."""
    kind, text = match.lastgroup or "other", match[0]
    if kind in ("text", "quoted"):
        quote = text[0]
        text = text[1:-1].replace(quote * 2, quote)
    return Token(kind, text, match.start(), match.end())
