"""Tokens of DynamoDB's two languages, expressions and PartiQL statements, and the cursor that a recursive parser moves over them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

#: Keeps a recursive parser far from Python's own limit; what needs more than this was not written for people.
DEEPEST_NESTING = 100


@dataclass(frozen=True, slots=True)
class Token:
    """``text`` is what the token says, ``start`` and ``end`` where it stands."""

    kind: str
    text: str
    start: int
    end: int


class TokenCursor(ABC):
    """A position in tokens, the last of which is of the kind ``end``. Each language says in its own words what is wrong at a token."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0

    @abstractmethod
    def unexpected(self) -> Exception:
        """The syntax error at this token."""

    @abstractmethod
    def too_deep(self) -> Exception:
        """The error of a text that is nested deeper than ``DEEPEST_NESTING``."""

    def count_operator(self) -> None:
        """An operator was passed: expressions have a limit of them, statements have none."""
        return

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
        """Go past one of these words; which it was."""
        return self.advance().text.upper() if self.at_word(*words) else None

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST_NESTING:
            raise self.too_deep()

    def leave(self) -> None:
        self.depth -= 1
