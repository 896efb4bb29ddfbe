"""Subword tokenisers of the `tokenizers` library: trained here, or saved by anybody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightning_modules.data.corpus import DOCUMENT_END, DataError
from lightning_modules.data.text_splits import Splits
from studies.schema import DataConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

TokenIds = NDArray[np.unsignedinteger[Any]]

DEFAULT_BPE_VOCABULARY_SIZE = 4096
BATCH_PIECES = 16
PIECE_CHARACTERS = 1 << 15

START, DELIMITER, END = "<start>", "<delimiter>", "<end>"
SPECIAL_TOKENS = (START, DELIMITER, END)
"""Reserved in a vocabulary that is trained here, as its last tokens: no text encodes to them.

The first two frame the inputs of a task. Source: Radford et al. 2018, section 3.3.
"""

BYTES = {f"<0x{byte:02X}>": byte for byte in range(256)}
"""Vocabulary of a tokeniser whose tokens are bytes."""


class SubwordTokenizer:
    """A tokeniser of the `tokenizers` library, without the tokens it may add around a text."""

    def __init__(self, backend: Backend, *, ends_documents: bool = True) -> None:
        """Documents end with `END` if that is wanted, and a token of the vocabulary."""
        backend.no_truncation()
        backend.no_padding()
        end = backend.token_to_id(END)
        if end is not None:  # a text that holds our names is a text
            backend.encode_special_tokens = True
        self._backend = backend
        self._end = [end] if ends_documents and end is not None else []
        self.start: int | None = backend.token_to_id(START)
        self.delimiter: int | None = backend.token_to_id(DELIMITER)
        self.end: int | None = end
        self._is_bytes = backend.get_vocab() == BYTES
        self.splits_words = backend.pre_tokenizer is not None
        self.vocabulary_size = max(backend.get_vocab().values(), default=-1) + 1

    def encode(self, pieces: Iterable[str]) -> Iterator[TokenIds]:
        """As `Tokenizer.encode`.

        The text is cut before white space, where byte-level BPE cuts it anyway: the ids are those
        of the whole text. Where a token ends documents, the next one starts afresh.
        """
        texts = cut_before_spaces(pieces if self._end else filter(None, pieces))
        while batch := list(islice(texts, BATCH_PIECES)):
            encodings = self._backend.encode_batch_fast(batch, add_special_tokens=False)
            ids = (e.ids if text else self._end for text, e in zip(batch, encodings, strict=True))
            yield np.fromiter(chain.from_iterable(ids), np.uint32)

    def encode_each(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each of many short texts."""
        return [e.ids for e in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens; those that are no text by their names.

        Bytes that are no UTF-8 become U+FFFD, and no more than these: the library's own decoder of
        bytes gives up all bytes beside them.
        """
        if self._is_bytes:
            return bytes(ids).decode(errors="replace")
        text: str = self._backend.decode(ids, skip_special_tokens=False)
        return text

    def token_bytes(self) -> NDArray[np.int64] | None:
        """As `Tokenizer.token_bytes`: known of byte-level tokens, whose characters are bytes."""
        facts = json.loads(self._backend.to_str())
        if (facts["decoder"] or {}).get("type") != "ByteLevel" or facts["normalizer"]:
            return None
        lengths = np.zeros(self.vocabulary_size, np.int64)
        for token, number in self._backend.get_vocab(with_added_tokens=False).items():
            lengths[number] = len(token)
        for added in facts["added_tokens"]:
            lengths[added["id"]] = 0 if added["special"] else len(added["content"].encode())
        return lengths

    def save(self, path: Path) -> None:
        """As `Tokenizer.save`."""
        self._backend.save(str(path))


def train_bpe(data: DataConfig, splits: Splits) -> SubwordTokenizer:
    """Byte-level BPE trained on the training text, with the reserved tokens at its end.

    Raises:
        DataError: the text has fewer pairs to merge than the vocabulary that is asked for.
    """
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers

    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    size = data.vocabulary_size or DEFAULT_BPE_VOCABULARY_SIZE
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(cut_before_spaces(splits.train.pieces()), trainer)
    backend.add_special_tokens(list(SPECIAL_TOKENS))
    reached = backend.get_vocab_size()
    if data.vocabulary_size is not None and reached < data.vocabulary_size:
        raise DataError(
            "data.vocabulary_size",
            data.vocabulary_size,
            allowed=f"at most {reached}: there the training text has no more pairs to merge",
            remedy="lower it, leave it out, or use a longer text",
        )
    return SubwordTokenizer(backend, ends_documents=data.end_documents)


def load_tokenizer(path: Path, *, ends_documents: bool = True) -> SubwordTokenizer:
    """A tokeniser that was saved as a `tokenizer.json`.

    Raises:
        DataError: the file is no such thing.
    """
    from tokenizers import Tokenizer as Backend

    try:
        return SubwordTokenizer(Backend.from_file(str(path)), ends_documents=ends_documents)
    except Exception as error:  # the library raises nothing more special
        raise DataError(
            "data.tokenizer",
            str(path),
            allowed=f"a tokenizer.json of the tokenizers library; {error}",
            remedy="save it again with Tokenizer.save",
        ) from None


def cut_before_spaces(pieces: Iterable[str], size: int = PIECE_CHARACTERS) -> Iterator[str]:
    """The same text in pieces of about `size` characters.

    A cut has white space after it and something else before it, or is where a document ends: there
    stands an empty piece, as in what was given.
    """
    rest = ""
    for piece in pieces:
        if piece == DOCUMENT_END:
            yield from (rest, DOCUMENT_END) if rest else (DOCUMENT_END,)
            rest = ""
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
