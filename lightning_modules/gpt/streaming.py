"""Reading a text a few tokens at a time, with the outputs of reading it at once.

A part whose output at a token depends on the tokens before it, or on its position, is `Streamed`:
while a stream is open it keeps what it needs of the past. Others need not know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from torch import nn

Past = TypeVar("Past")


class Streamed(nn.Module, ABC, Generic[Past]):
    """A part that remembers the tokens so far while a stream is open."""

    past: Past | None = None
    """None outside a stream, where every sequence is whole and starts at position 0."""

    @abstractmethod
    def nothing_yet(self) -> Past:
        """What it remembers before the first token."""


class Counting(Streamed[int]):
    """A part that remembers how many tokens there were."""

    def nothing_yet(self) -> int:
        """No token."""
        return 0

    def advance(self, tokens: int) -> int:
        """The position of the first of so many further tokens."""
        if self.past is None:
            return 0
        start = self.past
        self.past = start + tokens
        return start


@contextmanager
def streaming(model: nn.Module) -> Iterator[None]:
    """Let a model in evaluation mode take each forward as the continuation of the one before."""
    parts = [part for part in model.modules() if isinstance(part, Streamed)]
    assert not model.training, "statistics of a batch have no continuation"
    assert all(part.past is None for part in parts), "a model reads one stream at a time"
    for part in parts:
        part.past = part.nothing_yet()
    try:
        yield
    finally:
        for part in parts:
            part.past = None
