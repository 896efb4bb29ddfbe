"""What a model reads of an example: rows of tokens, framed as the task's form asks for.

Source: Radford et al. 2018, section 3.3 and figure 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from lightning_modules.data.codec import Codec, Known
from lightning_modules.finetuning.examples import Example
from studies.errors import AblationError
from studies.tasks import Form

LEAST_TEXT_TOKENS = 1
"""Tokens that truncation leaves of each text."""


class Encoded(NamedTuple):
    """An example in tokens."""

    rows: tuple[tuple[int, ...], ...]
    """One row of tokens, or two orders, or one for each answer. The last token of each is where the
    head reads."""
    label: float
    truncated: bool
    """Whether tokens were left out, since the context is too short."""
    unknown: bool
    """Whether characters were left out, which the tokeniser does not know."""


@dataclass(frozen=True)
class Framing:
    """How texts of a form become rows of tokens."""

    codec: Codec
    form: Form
    context_length: int

    @cached_property
    def added_tokens(self) -> int:
        """Tokens that the tokeniser lacks: they follow its own."""
        return [self.codec.start, self.codec.delimiter, self.codec.end].count(None)

    @cached_property
    def _frame(self) -> tuple[int, int, int]:
        """Start, delimiter, extract: the paper's end token, which the head reads at."""
        given = [self.codec.start, self.codec.delimiter, self.codec.end]
        new = iter(range(self.codec.vocabulary_size, self.codec.vocabulary_size + len(given)))
        start, delimiter, end = (next(new) if token is None else token for token in given)
        return start, delimiter, end

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The rows of examples.

        Raises:
            AblationError: the context has no room for a token of each text.
        """
        sequences = [self._sequences(example) for example in examples]
        known = self.codec.encode_known([text for s in sequences for texts in s for text in texts])
        return [
            self._encoded(example.label, [[known[text] for text in texts] for texts in own])
            for example, own in zip(examples, sequences, strict=True)
        ]

    def _sequences(self, example: Example) -> list[tuple[str, ...]]:
        """The texts of each row."""
        texts, choices = example.texts, example.choices
        if self.form == "similarity":
            return [texts, texts[::-1]]
        if not choices:
            return [texts]
        first, *rest = texts
        context = (first, *(f" {text}" for text in rest))  # read as one text
        return [(*context, choice) for choice in choices]

    def _encoded(self, label: float, sequences: Sequence[Sequence[Known]]) -> Encoded:
        rows = [self._row([text.ids for text in texts]) for texts in sequences]
        return Encoded(
            tuple(row for row, _ in rows),
            label,
            any(cut for _, cut in rows),
            any(text.left_out for texts in sequences for text in texts),
        )

    def _row(self, texts: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], bool]:
        """Start, the texts, a delimiter before the last of several, extract; whether it was cut."""
        start, delimiter, end = self._frame
        several = len(texts) > 1
        kept = fitted([len(text) for text in texts], self.context_length - 2 - several)
        row = [start]
        for number, (text, length) in enumerate(zip(texts, kept, strict=True), 1):
            row += [delimiter] * (several and number == len(texts)) + list(text[:length])
        return (*row, end), sum(kept) < sum(map(len, texts))


def fitted(lengths: Sequence[int], room: int) -> list[int]:
    """How many tokens of each text stay, so that together they fit: the longest are cut first.

    Raises:
        AblationError: not even one token of each has room.
    """
    if room < LEAST_TEXT_TOKENS * len(lengths):
        raise AblationError(
            f"model.context_length has no room for {len(lengths)} texts with the tokens that frame "
            "them: raise it"
        )
    most = max(lengths)
    while sum(min(length, most) for length in lengths) > room:
        most -= 1
    left = room - sum(min(length, most) for length in lengths)
    kept = [min(length, most) for length in lengths]
    for number, length in enumerate(lengths):  # what the last cut took too much
        more = min(length - kept[number], left, 1)
        kept[number] += more
        left -= more
    return kept
