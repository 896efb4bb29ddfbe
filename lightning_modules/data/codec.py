"""Short texts to token ids and back, by the tokeniser that was saved with a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning_modules.data.subwords import load_tokenizer
from studies.errors import AblationError


class Codec:
    """A saved `tokenizer.json`."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = load_tokenizer(path)
        self.vocabulary_size = self._tokenizer.vocabulary_size
        self.start, self.end = self._tokenizer.start, self._tokenizer.end
        """Tokens that begin the input of a task and end a document, where there are any."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text.

        Raises:
            AblationError: it has none, or characters that the tokeniser does not know.
        """
        ids = self._ids(text)
        unknown = sorted({character for character in text if not self._ids(character)})
        if unknown and not self._tokenizer.splits_words:  # who splits words may drop spaces
            raise AblationError(
                f"the tokens of this run cannot write {', '.join(map(repr, unknown))}, which the "
                f"prompt {text[:60]!r} has and its corpus has not: leave that out"
            )
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some tokens."""
        return self._tokenizer.decode(ids)

    def _ids(self, text: str) -> list[int]:
        return [int(number) for part in self._tokenizer.encode([text]) for number in part]
