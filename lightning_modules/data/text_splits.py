"""The text of a corpus on disk, cut into a training and a held-out part."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_modules.data.corpus import DOCUMENT_END, CorpusText, DataError
from studies.schema import DataConfig

PIECE_CHARACTERS = 1 << 20


Ends = NDArray[np.int64]
"""How many characters of a text stand before the end of each document."""


@dataclass(frozen=True, eq=False)
class TextFile:
    """A text in UTF-8, newlines as they came, and where its documents end."""

    path: Path
    ends: Ends

    def pieces(self) -> Iterator[str]:
        """The text in pieces of at most a million characters; an empty one ends a document."""
        read = 0
        with self.path.open(encoding="utf-8", newline="") as file:
            for end in self.ends:
                while read < end:
                    piece = file.read(min(int(end) - read, PIECE_CHARACTERS))
                    read += len(piece)
                    yield piece
                yield DOCUMENT_END
            while piece := file.read(PIECE_CHARACTERS):
                yield piece

    def digest(self) -> str:
        """SHA-256 of the text and of where its documents end."""
        with self.path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256")
        found.update(self.ends.tobytes())
        return found.hexdigest()


class Splits(NamedTuple):
    """Texts that share no character."""

    train: TextFile
    validation: TextFile


def write_splits(text: CorpusText, data: DataConfig, folder: Path) -> Splits:
    """Writes a corpus to `train.txt` and `validation.txt`, in bounded memory.

    The first int(N (1 - validation_fraction)) of the N characters are for training and the rest
    is held out, as nanoGPT does; a corpus with its own validation split keeps that.

    Raises:
        DataError: a part is empty.
    """
    train, validation = folder / "train.txt", folder / "validation.txt"
    characters, ends = _write(text.text, train)
    if text.validation is not None:
        _, validation_ends = _write(text.validation, validation)
    else:
        kept = int(characters * (1 - data.validation_fraction))
        _cut(train, validation, kept)
        ends, validation_ends = ends[ends <= kept], ends[ends > kept] - kept
    for path in (train, validation):
        if path.stat().st_size == 0:
            raise DataError(
                "data.corpus",
                data.corpus,
                allowed=f"a corpus with text; its {path.stem} split is empty "
                f"({characters} characters, data.validation_fraction {data.validation_fraction})",
                remedy="use a longer text, or another data.text_column or validation_fraction",
            )
    return Splits(TextFile(train, ends), TextFile(validation, validation_ends))


def _write(pieces: Iterable[str], path: Path) -> tuple[int, Ends]:
    """Number of characters written, and where documents end."""
    characters, ends = 0, array("q")
    with path.open("w", encoding="utf-8", newline="") as file:
        for piece in pieces:
            characters += file.write(piece)
            if piece == DOCUMENT_END:
                ends.append(characters)
    found: Ends = np.frombuffer(ends, np.int64)
    return characters, np.unique(found[found > 0])


def _cut(whole: Path, tail: Path, characters: int) -> None:
    """Moves what follows the first `characters` of a text to a file of its own."""
    offset_bytes = 0
    with whole.open(encoding="utf-8", newline="") as source:
        while characters:
            head = source.read(min(characters, PIECE_CHARACTERS))
            characters -= len(head)
            offset_bytes += len(head.encode())
        with tail.open("w", encoding="utf-8", newline="") as target:
            while piece := source.read(PIECE_CHARACTERS):
                target.write(piece)
    os.truncate(whole, offset_bytes)
