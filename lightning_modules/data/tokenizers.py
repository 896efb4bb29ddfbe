"""Tokenisers: bytes, characters, byte-level BPE trained on the training text, or a saved one.

Each one can be saved as a `tokenizer.json` of the `tokenizers` library, which loads it again and
decodes what was encoded here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lightning_modules.data.corpus import DataError
from lightning_modules.data.subwords import BYTES, TokenIds, load_tokenizer, train_bpe
from lightning_modules.data.text_splits import Splits
from studies.errors import close_matches
from studies.registry import Registry
from studies.schema import DataConfig


class Tokenizer(Protocol):
    """Text to token ids below `vocabulary_size`."""

    vocabulary_size: int

    def encode(self, pieces: Iterable[str]) -> Iterator[TokenIds]:
        """The ids of a text that is given in pieces, in pieces; an empty one ends a document."""

    def token_bytes(self) -> NDArray[np.int64] | None:
        """UTF-8 bytes that each token stands for; None where that is not the same everywhere."""

    def save(self, path: Path) -> None:
        """Writes a `tokenizer.json`."""


class BytesTokenizer:
    """A token is a byte of the UTF-8 text; its id is its value."""

    vocabulary_size = 256

    def encode(self, pieces: Iterable[str]) -> Iterator[TokenIds]:
        """As `Tokenizer.encode`."""
        for piece in pieces:
            yield np.frombuffer(piece.encode(), np.uint8)

    def token_bytes(self) -> NDArray[np.int64]:
        """As `Tokenizer.token_bytes`."""
        return np.ones(self.vocabulary_size, np.int64)

    def save(self, path: Path) -> None:
        """As `Tokenizer.save`."""
        _save_alphabet(BYTES, path, is_bytes=True)


class CharactersTokenizer:
    """A token is a character; ids follow the order of the code points."""

    def __init__(self, characters: Iterable[str]) -> None:
        self._alphabet = sorted(set(characters))
        self._code_points = np.array([ord(c) for c in self._alphabet], np.uint32)
        self.vocabulary_size = len(self._alphabet)

    def encode(self, pieces: Iterable[str]) -> Iterator[TokenIds]:
        """As `Tokenizer.encode`; every character must be in the alphabet."""
        for piece in pieces:
            code_points = np.frombuffer(piece.encode("utf-32-le"), "<u4")
            yield np.searchsorted(self._code_points, code_points).astype(np.uint32)

    def token_bytes(self) -> NDArray[np.int64]:
        """As `Tokenizer.token_bytes`."""
        return np.array([len(character.encode()) for character in self._alphabet])

    def save(self, path: Path) -> None:
        """As `Tokenizer.save`."""
        _save_alphabet({c: i for i, c in enumerate(self._alphabet)}, path, is_bytes=False)


def _bytes(data: DataConfig, splits: Splits) -> Tokenizer:
    return BytesTokenizer()


def _characters(data: DataConfig, splits: Splits) -> Tokenizer:
    # Of the whole text, as published character-level results do (65 for Tiny Shakespeare): no
    # held-out character is unknown, and what leaks is which characters exist.
    pieces = chain(splits.train.pieces(), splits.validation.pieces())
    alphabet: set[str] = set()
    for piece in pieces:
        alphabet.update(piece)
    return CharactersTokenizer(alphabet)


TOKENIZERS: Registry[Callable[[DataConfig, Splits], Tokenizer]] = Registry(
    "tokenizer", {"bytes": _bytes, "characters": _characters, "bpe": train_bpe}
)
"""Tokenisers that need no file."""


def make_tokenizer(data: DataConfig, splits: Splits) -> Tokenizer:
    """The tokeniser of a study, trained where it is one that is trained."""
    if data.tokenizer in TOKENIZERS:
        return TOKENIZERS[data.tokenizer](data, splits)
    return load_tokenizer(_saved_file(data), ends_documents=data.end_documents)


def tokenizer_identity(data: DataConfig) -> dict[str, str | int | None]:
    """What, together with the text, decides the tokens.

    Raises:
        DataError: neither a known name nor a file.
    """
    if data.tokenizer == "bpe":
        # Null is not the same as its value: only a size that was asked for must be reached.
        identity = {"name": "bpe", "size": data.vocabulary_size}
    elif data.tokenizer in TOKENIZERS:
        return {"name": data.tokenizer}
    else:
        identity = {"file_sha256": hashlib.sha256(_saved_file(data).read_bytes()).hexdigest()}
    return {**identity, "ends_documents": data.end_documents}


def _save_alphabet(vocabulary: dict[str, int], path: Path, *, is_bytes: bool) -> None:
    # BPE without merges: each character, or each byte of it, is a token.
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models

    backend = Backend(models.BPE(vocabulary, [], byte_fallback=is_bytes))
    fuse = decoders.Fuse()
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), fuse]) if is_bytes else fuse
    backend.save(str(path))


def _saved_file(data: DataConfig) -> Path:
    path = Path(data.tokenizer).expanduser()
    if path.is_file():
        return path
    raise DataError(
        "data.tokenizer",
        data.tokenizer,
        allowed=f"{', '.join(TOKENIZERS)}, or the path of a saved tokenizer.json "
        f"(there is none at {path.absolute()})",
        remedy=close_matches(data.tokenizer, TOKENIZERS)
        or "check the spelling and the working directory",
    )
