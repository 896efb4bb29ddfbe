"""Corpora from the Hugging Face hub: `hub:NAMESPACE/NAME`, pinned to a commit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning_modules.data.corpus import CorpusText, DataError, join_documents, text_rows

PREFIX = "hub:"
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
COMMIT = re.compile(r"[0-9a-f]{40}")
LOOKUP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class HubCorpus:
    """A data set on the hub; its rows are documents.

    With a full commit hash as revision, tokens that were built once are found again without
    network. Any other revision is looked up on the hub each time, since it may have moved.
    """

    name: str
    subset: str | None
    revision: str | None
    text_column: str

    def fingerprint(self) -> dict[str, Any]:
        """The commit, which fixes the content."""
        return {
            "hub": self.name,
            "subset": self.subset,
            "commit": self._commit,
            "text_column": self.text_column,
        }

    def read(self, scratch: Path) -> CorpusText:
        """The `train` split, and the `validation` split where there is one.

        The download stays in the cache of `datasets`.
        """
        import datasets  # takes 2 s: only who builds the tokens pays

        try:
            splits = datasets.load_dataset(self.name, self.subset, revision=self._commit)
        except Exception as error:  # many libraries, and no base class in common
            raise self._unreadable(error) from error
        if "train" not in splits:
            raise DataError(
                "data.corpus",
                PREFIX + self.name,
                allowed=f"a data set with a train split; this one has {', '.join(splits)}",
                remedy="choose another data set or data.subset",
            )
        texts = {
            split: join_documents(
                (row,) for row in text_rows(splits[split], self.text_column, PREFIX + self.name)
            )
            for split in ("train", "validation")
            if split in splits
        }
        return CorpusText(texts["train"], texts.get("validation"))

    @cached_property
    def _commit(self) -> str:
        if self.revision is not None and COMMIT.fullmatch(self.revision):
            return self.revision
        import huggingface_hub

        try:
            facts = huggingface_hub.HfApi().dataset_info(
                self.name, revision=self.revision, timeout=LOOKUP_TIMEOUT_S
            )
        except Exception as error:  # as above
            raise self._unreadable(error) from error
        return str(facts.sha)

    def _unreadable(self, error: Exception) -> DataError:
        reason = " ".join(str(error).split())[:300]
        return DataError(
            "data.corpus",
            PREFIX + self.name,
            allowed=f"a public data set (or one your token may read), with its data.subset "
            f"({self.subset}) and data.revision ({self.revision}); "
            f"{type(error).__name__}: {reason}",
            remedy="check the name; without network, pin data.revision to a full commit hash and "
            "build the tokens once on a machine with network and the same cache, or use a local "
            "file or the built-in python-docs",
        )


def open_hub(corpus: str, subset: str | None, revision: str | None, text_column: str) -> HubCorpus:
    """The data set that `hub:NAMESPACE/NAME` names.

    Raises:
        DataError: the name has another form.
    """
    name = corpus.removeprefix(PREFIX)
    if not NAME.fullmatch(name):
        raise DataError(
            "data.corpus",
            corpus,
            allowed="hub:NAMESPACE/NAME",
            remedy="name the data set as on the hub, for instance hub:Salesforce/wikitext",
        )
    return HubCorpus(name, subset, revision, text_column)
