"""Tokenisers: bytes, characters, byte-level BPE trained on the training text, or a saved one.

Each one can be saved as a `tokenizer.json` of the `tokenizers` library, which loads it again and
decodes what was encoded here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lightning_modules.data.corpus import DataError
from lightning_modules.data.text_splits import Splits
from studies.errors import close_matches
from studies.registry import Registry
from studies.schema import DataConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

TokenIds = NDArray[np.unsignedinteger[Any]]

DEFAULT_BPE_VOCABULARY_SIZE = 4096
BATCH_PIECES = 16
PIECE_CHARACTERS = 1 << 15


class Tokenizer(Protocol):
    """Text to token ids below `vocabulary_size`."""

    vocabulary_size: int

    def encode(self, pieces: Iterable[str]) -> Iterator[TokenIds]:
        """The ids of a text that is given in pieces, in pieces."""

    def save(self, path: Path) -> None:
        """Writes a `tokenizer.json`."""


class BytesTokenizer:
    """A token is a byte of the UTF-8 text; its id is its value."""

    vocabulary_size = 256

    def encode(self, pieces: Iterable[str]) -> Iterator[TokenIds]:
        """As `Tokenizer.encode`."""
        for piece in pieces:
            yield np.frombuffer(piece.encode(), np.uint8)

    def save(self, path: Path) -> None:
        """As `Tokenizer.save`."""
        _save_alphabet({f"<0x{byte:02X}>": byte for byte in range(256)}, path, is_bytes=True)


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

    def save(self, path: Path) -> None:
        """As `Tokenizer.save`."""
        _save_alphabet({c: i for i, c in enumerate(self._alphabet)}, path, is_bytes=False)


class SubwordTokenizer:
    """A tokeniser of the `tokenizers` library, without the tokens it may add around a text."""

    def __init__(self, backend: Backend) -> None:
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self.vocabulary_size = max(backend.get_vocab().values(), default=-1) + 1

    def encode(self, pieces: Iterable[str]) -> Iterator[TokenIds]:
        """As `Tokenizer.encode`.

        The text is cut before white space, where byte-level BPE cuts it anyway: the ids are those
        of the whole text.
        """
        texts = cut_before_spaces(pieces)
        while batch := list(islice(texts, BATCH_PIECES)):
            encodings = self._backend.encode_batch_fast(batch, add_special_tokens=False)
            yield np.fromiter(chain.from_iterable(e.ids for e in encodings), np.uint32)

    def save(self, path: Path) -> None:
        """As `Tokenizer.save`."""
        self._backend.save(str(path))


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


def _bpe(data: DataConfig, splits: Splits) -> Tokenizer:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers

    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=data.vocabulary_size or DEFAULT_BPE_VOCABULARY_SIZE,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(cut_before_spaces(splits.train.pieces()), trainer)
    reached = backend.get_vocab_size()
    if data.vocabulary_size is not None and reached < data.vocabulary_size:
        raise DataError(
            "data.vocabulary_size",
            data.vocabulary_size,
            allowed=f"at most {reached}: there the training text has no more pairs to merge",
            remedy="lower it, leave it out, or use a longer text",
        )
    return SubwordTokenizer(backend)


TOKENIZERS: Registry[Callable[[DataConfig, Splits], Tokenizer]] = Registry(
    "tokenizer", {"bytes": _bytes, "characters": _characters, "bpe": _bpe}
)
"""Tokenisers that need no file."""


def make_tokenizer(data: DataConfig, splits: Splits) -> Tokenizer:
    """The tokeniser of a study, trained where it is one that is trained."""
    if data.tokenizer in TOKENIZERS:
        return TOKENIZERS[data.tokenizer](data, splits)
    return SubwordTokenizer(_load(_saved_file(data)))


def tokenizer_identity(data: DataConfig) -> dict[str, str | int | None]:
    """What, together with the text, decides the tokens.

    Raises:
        DataError: neither a known name nor a file.
    """
    if data.tokenizer == "bpe":
        # Null is not the same as its value: only a size that was asked for must be reached.
        return {"name": "bpe", "size": data.vocabulary_size}
    if data.tokenizer in TOKENIZERS:
        return {"name": data.tokenizer}
    return {"file_sha256": hashlib.sha256(_saved_file(data).read_bytes()).hexdigest()}


def cut_before_spaces(pieces: Iterable[str], size: int = PIECE_CHARACTERS) -> Iterator[str]:
    """The same text in pieces of about `size` characters.

    A cut has white space after it and something else before it.
    """
    rest = ""
    for piece in pieces:
        rest += piece
        start = 0
        while len(rest) - start > size:
            found = _LAST_CUT.match(rest, start, start + size)
            # A text without white space has no place to cut: wait for one.
            end = found.end() if found else _next_cut(rest, start + size)
            if end is None:
                break
            yield rest[start:end]
            start = end
        rest = rest[start:]
    if rest:
        yield rest


_LAST_CUT = re.compile(r"(?s:.*\S)(?=[ \t\r\n])")
_CUT = re.compile(r"(?<=\S)(?=[ \t\r\n])")


def _next_cut(text: str, start: int) -> int | None:
    found = _CUT.search(text, start)
    return found.end() if found else None


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


def _load(path: Path) -> Backend:
    from tokenizers import Tokenizer as Backend

    try:
        return Backend.from_file(str(path))
    except Exception as error:  # the library raises nothing more special
        raise DataError(
            "data.tokenizer",
            str(path),
            allowed=f"a tokenizer.json of the tokenizers library; {error}",
            remedy="save it again with Tokenizer.save",
        ) from None
