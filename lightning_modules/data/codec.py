"""Short texts to token ids and back, by the tokeniser that was saved with a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lightning_modules.data.subwords import load_tokenizer
from studies.errors import AblationError


class Known(NamedTuple):
    """The tokens of a text."""

    ids: list[int]
    left_out: bool
    """Whether it has characters that no token stands for."""


class Codec:
    """A saved `tokenizer.json`."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = load_tokenizer(path)
        self.vocabulary_size = self._tokenizer.vocabulary_size
        self.start, self.end = self._tokenizer.start, self._tokenizer.end
        self.delimiter = self._tokenizer.delimiter
        """Tokens that begin the input of a task, end a document or such an input, and stand between
        two texts of it; None of those that the tokeniser lacks."""
        self._has_tokens: dict[str, bool] = {}

    def encode(self, text: str) -> list[int]:
        """The tokens of a text.

        Raises:
            AblationError: it has none, or characters that the tokeniser does not know.
        """
        ids = self._ids(text)
        if unknown := self._unknown(text):
            raise AblationError(
                f"the tokens of this run cannot write {', '.join(map(repr, unknown))}, which the "
                f"prompt {text[:60]!r} has and its corpus has not: leave that out"
            )
        return ids

    def encode_known(self, texts: Sequence[str]) -> dict[str, Known]:
        """Each text to its tokens, without the characters that the tokeniser does not know."""
        texts = list(dict.fromkeys(texts))
        found = zip(texts, self._tokenizer.encode_each(texts), strict=True)
        return {text: Known(ids, bool(self._unknown(text))) for text, ids in found}

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some tokens."""
        return self._tokenizer.decode(ids)

    def _unknown(self, text: str) -> list[str]:
        if self._tokenizer.splits_words:  # who splits words may drop spaces
            return []
        for character in set(text) - self._has_tokens.keys():
            self._has_tokens[character] = bool(self._ids(character))
        return sorted({character for character in text if not self._has_tokens[character]})

    def _ids(self, text: str) -> list[int]:
        return [int(number) for part in self._tokenizer.encode([text]) for number in part]
