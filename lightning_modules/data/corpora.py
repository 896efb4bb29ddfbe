"""From the corpus that a study names to the text: embedded corpora, local files, the hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning_modules.data.corpus import Corpus, DataError
from lightning_modules.data.embedded_corpora import PythonDocs, PythonStdlib
from lightning_modules.data.file_corpora import open_files
from lightning_modules.data.hub_corpora import PREFIX as HUB
from lightning_modules.data.hub_corpora import open_hub
from studies.errors import close_matches
from studies.registry import Registry
from studies.schema import DataConfig

CORPORA: Registry[Callable[[], Corpus]] = Registry(
    "corpus", {"python-docs": PythonDocs, "python-stdlib": PythonStdlib}
)
"""Corpora that have a name of their own."""


def open_corpus(data: DataConfig) -> Corpus:
    """The corpus of a study; a path is relative to the working directory, `~` is the home.

    Raises:
        DataError: nothing of that name.
    """
    if data.corpus in CORPORA:
        return CORPORA[data.corpus]()
    if data.corpus.startswith(HUB):
        return open_hub(data.corpus, data.subset, data.revision, data.text_column)
    path = Path(data.corpus).expanduser()
    if data.corpus and path.exists():
        return open_files(path, data.corpus, data.text_column)
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    known = [*CORPORA, *(str(path.parent / sibling.name) for sibling in beside)]
    raise DataError(
        "data.corpus",
        data.corpus,
        allowed=f"{', '.join(CORPORA)}, {HUB}NAMESPACE/NAME, or the path of a file or folder "
        f"(there is none at {path.absolute()})",
        remedy=close_matches(data.corpus, known) or "check the spelling and the working directory",
    )
