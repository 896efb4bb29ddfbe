"""Text that every Python interpreter carries: no network, no files of one's own.

Sections and modules come in the order of a digest. In alphabetical order the held-out end of the
text would be of one kind (everything after "t"); this order is as good as random and the same
everywhere.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lightning_modules.data.corpus import CorpusText, DataError, join_documents

REPEATED_PARAGRAPH_CHARACTERS = 40
"""A shorter paragraph, such as "For example:", may occur more than once."""

HEADING = re.compile(r"\n(?=\S.*\n(?:\*{3,}|={3,}|-{3,}|~{3,}|\^{3,})\n)")
"""Newline before a line that is underlined; the longest topics are a sixth of the text each, too
few to be shuffled whole."""

SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test", "pydoc_data"}
)
"""Third-party packages, tests, and `pydoc_data`, which is the other embedded corpus."""


class PythonDocs:
    """`python-docs`: the language reference, the prose that `help("topics")` shows."""

    def fingerprint(self) -> dict[str, Any]:
        """The interpreter: its version and where it is."""
        return {"embedded": "python-docs", **_interpreter()}

    def read(self, scratch: Path) -> CorpusText:
        """The sections of all topics, about 0.4 MB."""
        try:
            from pydoc_data.topics import topics
        except ImportError:
            raise _absent("python-docs", "pydoc_data") from None
        sections = (part for topic in _distinct(topics) for part in HEADING.split(topic))
        ordered = sorted((section.strip("\n") for section in sections), key=_by_digest)
        return CorpusText(join_documents((f"{section}\n\n",) for section in ordered))


class PythonStdlib:
    """`python-stdlib`: the source code of the standard library."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(sysconfig.get_paths()["stdlib"])

    def fingerprint(self) -> dict[str, Any]:
        """The interpreter: its version and where it is."""
        return {"embedded": "python-stdlib", **_interpreter(), "folder": str(self._folder)}

    def read(self, scratch: Path) -> CorpusText:
        """The modules, about 10 MB; files that are not UTF-8 are passed over."""
        paths = sorted(self._modules(), key=_by_digest)
        if not paths:
            raise _absent("python-stdlib", str(self._folder))
        return CorpusText(join_documents(_source_code(self._folder / path) for path in paths))

    def _modules(self) -> Iterator[str]:
        for folder, subfolders, names in os.walk(self._folder):
            subfolders[:] = [name for name in subfolders if name not in SKIPPED_FOLDERS]
            for name in names:
                # Build settings of this very installation: paths and compiler flags.
                if name.endswith(".py") and not name.startswith("_sysconfigdata"):
                    yield (Path(folder) / name).relative_to(self._folder).as_posix()


def _source_code(path: Path) -> Iterator[str]:
    try:
        yield path.read_bytes().decode()
    except UnicodeDecodeError:
        return


def _distinct(topics: dict[str, str]) -> list[str]:
    """The topics without what a longer one says already.

    Long topics repeat short ones word for word ("specialnames" holds "customization"): a fifth of
    the text, which would be both trained on and held out. Each paragraph is kept once, and a
    topic of which less than half is left goes altogether.
    """
    seen: set[str] = set()
    kept: list[str] = []
    for topic in sorted(topics.values(), key=lambda topic: (-len(topic), topic)):
        fresh = "\n\n".join(_unseen(re.split(r"\n[ \t]*\n", topic.strip("\n")), seen))
        if len(fresh) >= len(topic) / 2:
            kept.append(fresh)
    return kept


def _unseen(paragraphs: Iterable[str], seen: set[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        words = " ".join(paragraph.split())
        if len(words) < REPEATED_PARAGRAPH_CHARACTERS or words not in seen:
            yield paragraph
        seen.add(words)


def _by_digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _interpreter() -> dict[str, str]:
    return {"python": sys.version, "prefix": sys.base_prefix}


def _absent(corpus: str, missing: str) -> DataError:
    return DataError(
        "data.corpus",
        corpus,
        allowed=f"a corpus that is installed; this interpreter comes without {missing}",
        remedy="use a full Python installation, or a text file of your own",
    )
