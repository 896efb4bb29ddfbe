"""Token arrays on disk: built once, found again by a cheap fingerprint, memory-mapped.

    <cache>/stores/<digest>/    train.bin validation.bin tokenizer.json store.json
    <cache>/index/<key>.json    which digest a source had: key = digest of paths, sizes, times ...
    <cache>/locks/              one builder per key and per digest
    <cache>/building/<key>/     work of the builder that holds the lock; no one else looks there

A store folder appears by one rename when it is complete, so a builder may be killed at any point.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from lightning_modules.data.corpora import open_corpus
from lightning_modules.data.corpus import Corpus, DataError
from lightning_modules.data.subwords import TokenIds
from lightning_modules.data.text_splits import Splits, write_splits
from lightning_modules.data.tokenizers import make_tokenizer, tokenizer_identity
from studies.content import content_digest
from studies.run_spec import digest
from studies.schema import DataConfig
from studies.values import Scalar

STORE_VERSION = 3
"""Raise it when the same text and settings would give another store than before."""

TokenMap = np.memmap[Any, np.dtype[np.unsignedinteger[Any]]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TokenStore:
    """The tokens of a corpus: one long row for training and one that is held out."""

    corpus: str
    tokenizer: str
    directory: Path
    """Folder with the arrays and `tokenizer.json`."""
    train: TokenMap
    """Token ids, uint16 or uint32."""
    validation: TokenMap
    vocabulary_size: int
    digest: str
    """Of the texts of both splits and the tokeniser."""
    train_digest: str
    """Of the training tokens."""
    validation_digest: str
    """Of the held-out tokens."""
    train_entropy: float
    """Of the training tokens' frequencies, nats per token: the least loss without any context."""
    token_bytes: NDArray[np.int64] | None
    """UTF-8 bytes that each token of the vocabulary stands for; None where that is not fixed."""
    tokenizer_digest: str
    """Of `tokenizer.json`."""

    def describe(self) -> dict[str, Scalar]:
        """What the data was, as tags of a run."""
        return {
            "corpus": self.corpus,
            "tokenizer": self.tokenizer,
            "vocabulary_size": self.vocabulary_size,
            "train_tokens": len(self.train),
            "validation_tokens": len(self.validation),
            "tokenizer_digest": self.tokenizer_digest,
            "data_digest": self.digest,
            "train_digest": self.train_digest,
            "validation_digest": self.validation_digest,
        }


def build_token_store(data: DataConfig, cache: Path) -> TokenStore:
    """The tokens of a study, from the cache, or built while other processes wait.

    Raises:
        DataError: the corpus or the tokeniser cannot be used.
    """
    corpus = open_corpus(data)
    fingerprint = corpus.fingerprint()
    key = digest(
        {
            "store_version": STORE_VERSION,
            "source": fingerprint,
            "tokenizer": tokenizer_identity(data),
            "validation_fraction": data.validation_fraction,
        }
    )
    if store := _find(data, cache, key):
        return store
    with _lock(cache, key):
        if store := _find(data, cache, key):
            return store
        logger.info("building the tokens of %s (%s)", data.corpus, data.tokenizer)
        content = _build(data, corpus, cache, key)
        if corpus.fingerprint() != fingerprint:
            raise DataError(
                "data.corpus",
                data.corpus,
                allowed="files that nobody writes to; these changed while they were read",
                remedy="run again when they are complete",
            )
        _write_index(cache, key, content)
    store = _load(data, cache, content)
    assert store is not None, "a store that was just built is complete"
    return store


def _find(data: DataConfig, cache: Path, key: str) -> TokenStore | None:
    try:
        content = json.loads(_index_path(cache, key).read_text())["digest"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return _load(data, cache, content)


def _load(data: DataConfig, cache: Path, content: str) -> TokenStore | None:
    """The store of that digest; None unless it is there in full."""
    directory = cache / "stores" / content
    try:
        facts = json.loads((directory / "store.json").read_text())
        maps = [_map(directory, split, facts) for split in ("train", "validation")]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return TokenStore(
        corpus=data.corpus,
        tokenizer=data.tokenizer,
        directory=directory,
        train=maps[0],
        validation=maps[1],
        vocabulary_size=facts["vocabulary_size"],
        digest=content,
        train_digest=facts["train"]["sha256"][:16],
        validation_digest=facts["validation"]["sha256"][:16],
        train_entropy=facts["train"]["entropy"],
        token_bytes=None if facts["token_bytes"] is None else np.array(facts["token_bytes"]),
        tokenizer_digest=facts["tokenizer_digest"],
    )


def _map(directory: Path, split: str, facts: dict[str, Any]) -> TokenMap:
    tokens: TokenMap = np.memmap(directory / f"{split}.bin", dtype=facts["dtype"], mode="r")
    if len(tokens) != facts[split]["tokens"]:
        raise ValueError(f"{split}.bin holds {len(tokens)} tokens, not {facts[split]['tokens']}")
    return tokens


def _build(data: DataConfig, corpus: Corpus, cache: Path, key: str) -> str:
    """Digest of the store, which is then there."""
    scratch = cache / "building" / key
    shutil.rmtree(scratch, ignore_errors=True)  # what a killed builder left
    scratch.mkdir(parents=True)
    try:
        splits = write_splits(corpus.read(scratch), data, scratch)
        content = digest(
            {
                "store_version": STORE_VERSION,
                "tokenizer": tokenizer_identity(data),
                "train": splits.train.digest(),
                "validation": splits.validation.digest(),
            }
        )
        # Two sources may have one content: a copied file, a touched one.
        with _lock(cache, content):
            if _load(data, cache, content) is None:
                _publish(_write_store(data, splits, scratch / "store"), cache / "stores" / content)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return content


def _write_store(data: DataConfig, splits: Splits, directory: Path) -> Path:
    directory.mkdir()
    tokenizer = make_tokenizer(data, splits)
    dtype = np.dtype("<u2" if tokenizer.vocabulary_size <= 1 << 16 else "<u4")
    facts: dict[str, Any] = {
        "store_version": STORE_VERSION,
        "vocabulary_size": tokenizer.vocabulary_size,
        "dtype": dtype.str,
        "token_bytes": None if (lengths := tokenizer.token_bytes()) is None else lengths.tolist(),
    }
    for split, text in zip(("train", "validation"), splits, strict=True):
        facts[split] = _write_tokens(
            tokenizer.encode(text.pieces()),
            tokenizer.vocabulary_size,
            dtype,
            directory / f"{split}.bin",
        )
        if not facts[split]["tokens"]:
            raise DataError(
                "data.tokenizer",
                data.tokenizer,
                allowed=f"a tokeniser that knows the text; it gave no token for the {split} split",
                remedy="use a tokeniser that was trained on such text, or bytes",
            )
    tokenizer.save(directory / "tokenizer.json")
    facts["tokenizer_digest"] = content_digest(directory / "tokenizer.json")
    (directory / "store.json").write_text(json.dumps(facts, indent=2) + "\n")
    return directory


def _write_tokens(
    pieces: Iterable[TokenIds], vocabulary_size: int, dtype: np.dtype[Any], path: Path
) -> dict[str, Any]:
    """Number of tokens written, their digest as little-endian integers, and their entropy."""
    sha256, counts = hashlib.sha256(), np.zeros(vocabulary_size, dtype=np.int64)
    with path.open("wb") as file:
        for ids in pieces:
            row = ids.astype(dtype).tobytes()
            file.write(row)
            sha256.update(row)
            counts += np.bincount(ids, minlength=vocabulary_size)
    tokens = int(counts.sum())
    return {"tokens": tokens, "sha256": sha256.hexdigest(), "entropy": _entropy(counts)}


def _entropy(counts: NDArray[np.int64]) -> float:
    """Of frequencies, in nats."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log(shares)).sum())


def _publish(finished: Path, target: Path) -> None:
    for path in finished.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())  # a power cut must not leave a complete name on empty files
    shutil.rmtree(target, ignore_errors=True)  # one that is damaged, or `_load` had found it
    target.parent.mkdir(exist_ok=True)
    finished.rename(target)


def _write_index(cache: Path, key: str, content: str) -> None:
    path = _index_path(cache, key)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")  # ours alone: we hold the lock of the key
    temporary.write_text(json.dumps({"digest": content}))
    temporary.replace(path)


def _index_path(cache: Path, key: str) -> Path:
    return cache / "index" / f"{key}.json"


def _lock(cache: Path, name: str) -> FileLock:
    folder = cache / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock")  # the system frees it when its holder dies
