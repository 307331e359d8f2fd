"""Expressions as tokens, and what is wrong with them in DynamoDB's words."""

from __future__ import annotations

import re

from eventflow.services.expressions.cursor import DEEPEST_NESTING, Token, TokenCursor

#: A name begins with a letter; anything that fits nowhere is a token of its own, so that the parser can point at it.
TOKEN = re.compile(
    r"(?P<name>[A-Za-z][A-Za-z0-9_]*)|(?P<alias>#[A-Za-z0-9_]+)|(?P<value>:[A-Za-z0-9_]+)|(?P<index>[0-9]+)"
    r"|(?P<symbol><>|<=|>=|[=<>()\[\].,+-])|(?P<space>[ \t\r\n]+)|(?P<other>.)",
    re.DOTALL,
)

LONGEST_EXPRESSION = 4096
MOST_OPERATORS = 300


class ExpressionError(Exception):
    """What is wrong with an expression, in DynamoDB's words but without the name of the parameter it came in."""


class Cursor(TokenCursor):
    """A position in the tokens of one expression."""

    def __init__(self, text: str) -> None:
        if not text.strip(" \t\r\n"):
            raise ExpressionError("The expression can not be empty;")
        if len(text.encode(errors="replace")) > LONGEST_EXPRESSION:
            raise ExpressionError(f"Expression size has exceeded the maximum allowed size; expression size: {len(text.encode(errors='replace'))}")
        self.text = text
        tokens = [Token(match.lastgroup or "", match[0], match.start(), match.end()) for match in TOKEN.finditer(text) if match.lastgroup != "space"]
        super().__init__([*tokens, Token("end", "<EOF>", len(text), len(text))])
        self.operators = 0

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

    def too_deep(self) -> ExpressionError:
        return ExpressionError(f"The expression is nested too deeply; nesting limit: {DEEPEST_NESTING}")

    def count_operator(self) -> None:
        self.operators += 1
        if self.operators > MOST_OPERATORS:
            raise ExpressionError(f"The expression contains too many operators; operator count: {self.operators}")
