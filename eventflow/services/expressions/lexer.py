"""Expressions as tokens, and the cursor that parsers move over them."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: A name begins with a letter; anything that fits nowhere is a token of its own, so that the parser can point at it.
TOKEN = re.compile(
    r"(?P<name>[A-Za-z][A-Za-z0-9_]*)|(?P<alias>#[A-Za-z0-9_]+)|(?P<value>:[A-Za-z0-9_]+)|(?P<index>[0-9]+)"
    r"|(?P<symbol><>|<=|>=|[=<>()\[\].,+-])|(?P<space>[ \t\r\n]+)|(?P<other>.)",
    re.DOTALL,
)

LONGEST_EXPRESSION = 4096
MOST_OPERATORS = 300
#: Keeps a recursive parser far from Python's own limit; an expression that needs more than this was not written for people.
DEEPEST_NESTING = 100


class ExpressionError(Exception):
    """What is wrong with an expression, in DynamoDB's words but without the name of the parameter it came in."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


class Cursor:
    """A position in the tokens of one expression."""

    def __init__(self, text: str) -> None:
        if not text.strip(" \t\r\n"):
            raise ExpressionError("The expression can not be empty;")
        if len(text.encode(errors="replace")) > LONGEST_EXPRESSION:
            raise ExpressionError(f"Expression size has exceeded the maximum allowed size; expression size: {len(text.encode(errors='replace'))}")
        self.text = text
        self.tokens = [
            Token(match.lastgroup or "", match[0], match.start(), match.end()) for match in TOKEN.finditer(text) if match.lastgroup != "space"
        ]
        self.tokens.append(Token("end", "<EOF>", len(text), len(text)))
        self.position = 0
        self.depth = 0
        self.operators = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def advance(self) -> Token:
        token = self.token
        self.position += 1
        return token

    def at(self, symbol: str) -> bool:
        return self.token.kind == "symbol" and self.token.text == symbol

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

    def accept_word(self, word: str) -> bool:
        found = self.at_word(word)
        self.position += found
        return found

    def expect_end(self) -> None:
        if self.token.kind != "end":
            raise self.unexpected()

    def unexpected(self) -> ExpressionError:
        """The syntax error at this token; ``near`` is the text from the token before it to the one after it."""
        first = self.tokens[max(self.position - 1, 0)]
        last = self.tokens[self.position - 1 if self.token.kind == "end" else self.position + 1]
        if last.kind == "end":
            last = self.token
        return ExpressionError(f'Syntax error; token: "{self.token.text}", near: "{self.text[first.start : last.end]}"')

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST_NESTING:
            raise ExpressionError(f"The expression is nested too deeply; nesting limit: {DEEPEST_NESTING}")

    def leave(self) -> None:
        self.depth -= 1

    def count_operator(self) -> None:
        self.operators += 1
        if self.operators > MOST_OPERATORS:
            raise ExpressionError(f"The expression contains too many operators; operator count: {self.operators}")
