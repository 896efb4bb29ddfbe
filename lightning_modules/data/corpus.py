"""What a corpus is: text in pieces, and a cheap way to notice that it changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from studies.errors import AblationError, Problem, close_matches

DOCUMENT_END = ""
"""The piece of a text that ends a document."""


class DataError(AblationError):
    """Data that cannot be used as the study asks."""

    def __init__(self, key: str, value: object, *, allowed: str, remedy: str) -> None:
        self.problem = Problem("data", key, value, allowed, remedy)
        super().__init__(str(self.problem))


class CorpusText(NamedTuple):
    """The text of a corpus as pieces of any length; a text is the concatenation of its pieces.

    An empty piece ends a document.
    """

    text: Iterable[str]
    """All text, of which the end is held out, or the training text if `validation` is given."""
    validation: Iterable[str] | None = None
    """Held-out text of a corpus that comes with its own split."""


class Corpus(Protocol):
    """A source of text."""

    def fingerprint(self) -> dict[str, Any]:
        """Facts, found without reading the text, that change when the text changes. JSON types."""

    def read(self, scratch: Path) -> CorpusText:
        """The text, read lazily; `scratch` is a folder that lives until the text was read."""


def join_documents(documents: Iterable[Iterable[str]]) -> Iterator[str]:
    """One text out of many documents, each given in pieces; an empty piece ends each of them.

    A newline stands between two documents unless the first one ends with a newline already, so
    that lines stay lines and a lone document stays exactly what it is.
    """
    last: str | None = None
    for document in documents:
        if last is not None:
            yield from (DOCUMENT_END,) if last.endswith("\n") else ("\n", DOCUMENT_END)
        last = ""
        for piece in filter(None, document):
            yield piece
            last = piece
    yield DOCUMENT_END


def text_rows(dataset: Any, column: str, corpus: str) -> Iterator[str]:
    """The texts of one column of a `datasets.Dataset`, row by row, nulls passed over.

    Raises:
        DataError: there is no such column, or it holds something else than text.
    """
    if column not in dataset.column_names:
        hint = close_matches(column, dataset.column_names)
        raise DataError(
            "data.text_column",
            column,
            allowed=f"a column of {corpus}: {', '.join(dataset.column_names)}",
            remedy=f"set data.text_column to the column that holds the text; {hint}".rstrip("; "),
        )
    feature = getattr(dataset.features[column], "dtype", "a nested value")
    if feature not in ("string", "large_string"):
        raise DataError(
            "data.text_column",
            column,
            allowed=f"a column of text; this one of {corpus} holds {feature}",
            remedy=f"choose another of {', '.join(dataset.column_names)}",
        )
    return _rows(dataset.select_columns(column), column)


def _rows(dataset: Any, column: str) -> Iterator[str]:
    for batch in dataset.iter(batch_size=1000):
        yield from (text for text in batch[column] if text is not None)
