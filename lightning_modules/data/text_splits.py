"""The text of a corpus on disk, cut into a training and a held-out part."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lightning_modules.data.corpus import CorpusText, DataError
from studies.schema import DataConfig

PIECE_CHARACTERS = 1 << 20


@dataclass(frozen=True)
class TextFile:
    """A text in UTF-8, newlines as they came."""

    path: Path
    sha256: str

    def pieces(self) -> Iterator[str]:
        """The text in pieces of about a million characters."""
        with self.path.open(encoding="utf-8", newline="") as file:
            while piece := file.read(PIECE_CHARACTERS):
                yield piece


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
    characters = _write(text.text, train)
    if text.validation is not None:
        _write(text.validation, validation)
    else:
        _cut(train, validation, int(characters * (1 - data.validation_fraction)))
    for path in (train, validation):
        if path.stat().st_size == 0:
            raise DataError(
                "data.corpus",
                data.corpus,
                allowed=f"a corpus with text; its {path.stem} split is empty "
                f"({characters} characters, data.validation_fraction {data.validation_fraction})",
                remedy="use a longer text, or another data.text_column or validation_fraction",
            )
    return Splits(TextFile(train, _sha256(train)), TextFile(validation, _sha256(validation)))


def _write(pieces: Iterable[str], path: Path) -> int:
    """Number of characters written."""
    characters = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for piece in pieces:
            characters += file.write(piece)
    return characters


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
