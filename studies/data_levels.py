"""The corpora and tokenisers that a study may name; paths and data sets of the hub come on top."""

from __future__ import annotations

from dataclasses import dataclass

from studies.registry import Level, Registry


@dataclass(frozen=True)
class Corpus(Level):
    """A text that comes with Python."""

    licence: str = "Python Software Foundation licence, version 2 (PSF-2.0)"
    """Under which it is published."""


CORPORA: Registry[Corpus] = Registry(
    "corpus",
    {
        "python-docs": Corpus(
            "Python help topics",
            "0.5 MB of English prose, from `pydoc_data.topics`",
            uncited="a part of Python",
        ),
        "python-stdlib": Corpus(
            "Python standard library",
            "source code of the running interpreter's library",
            uncited="a part of Python",
        ),
    },
)

TOKENIZERS: Registry[Level] = Registry(
    "tokenizer",
    {
        "bytes": Level(
            "bytes", "one token per UTF-8 byte, 256 in all", uncited="nothing is learnt"
        ),
        "characters": Level(
            "characters",
            "one token per distinct character of the corpus",
            uncited="nothing is learnt",
        ),
        "bpe": Level(
            "BPE",
            "byte-level byte-pair encoding, trained on the training split",
            "Sennrich 2016",
            cite="sennrich2016neural",
        ),
    },
)
