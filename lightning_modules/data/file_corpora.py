"""Corpora from local files: text, jsonl and parquet, one file or a folder of one kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_modules.data.corpus import CorpusText, DataError, join_documents, text_rows

FORMATS = {".txt": "text", ".jsonl": "json", ".json": "json", ".parquet": "parquet"}
"""Suffix to format; the format of a table is the name of its `datasets` builder. A single file
with any other suffix is text."""

PIECE_CHARACTERS = 1 << 20


@dataclass(frozen=True)
class FileCorpus:
    """Files of one format, in the order of their paths.

    A text file is a document, and so is each row of a table.
    """

    corpus: str
    format: str
    paths: tuple[Path, ...]
    text_column: str

    def fingerprint(self) -> dict[str, Any]:
        """Path, size and times of each file."""
        column = None if self.format == "text" else self.text_column
        return {
            "format": self.format,
            "text_column": column,
            "files": [_file_facts(path) for path in self.paths],
        }

    def read(self, scratch: Path) -> CorpusText:
        """The text, character by character as it stands in the files."""
        if self.format == "text":
            return CorpusText(join_documents(self._characters(path) for path in self.paths))
        return CorpusText(join_documents((row,) for row in self._rows(scratch)))

    def _characters(self, path: Path) -> Iterator[str]:
        # Not by the text builder of `datasets`: it turns "\r\n" into "\n".
        try:
            with path.open(encoding="utf-8", newline="") as file:
                while piece := file.read(PIECE_CHARACTERS):
                    yield piece
        except UnicodeDecodeError as error:
            raise DataError(
                "data.corpus",
                str(path),
                allowed=f"UTF-8 text, or a {', '.join(FORMATS)} file; {error}",
                remedy="convert the file, for instance `iconv -f latin1 -t utf-8 OLD > NEW`",
            ) from None

    def _rows(self, scratch: Path) -> Iterator[str]:
        import datasets  # takes 2 s: only who builds the tokens pays

        with _without_progress_bars(datasets):
            try:
                table = datasets.load_dataset(
                    self.format,
                    data_files=[str(path) for path in self.paths],
                    split="train",  # the only split that plain files have
                    cache_dir=str(scratch),  # read once: no second copy of the corpus stays on disk
                )
            except Exception as error:  # whatever the reader of the format raises
                reason = error.__cause__ or error
                raise DataError(
                    "data.corpus",
                    self.corpus,
                    allowed=f"{self.format} rows of one schema; {type(reason).__name__}: {reason}",
                    remedy="mend the file (is it empty?), or write the text to a .txt file",
                ) from error
        return text_rows(table, self.text_column, self.corpus)


def open_files(path: Path, corpus: str, text_column: str) -> FileCorpus:
    """The corpus in a file, or in the files of one format under a folder, hidden ones apart.

    Raises:
        DataError: the folder holds no such files, or several formats.
    """
    if path.is_file():
        return FileCorpus(
            corpus, FORMATS.get(path.suffix.lower(), "text"), (path.resolve(),), text_column
        )
    paths = sorted(
        file.resolve()
        for file in path.rglob("*")
        if file.suffix.lower() in FORMATS
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    formats = {FORMATS[file.suffix.lower()] for file in paths}
    if len(formats) != 1:
        found = f"found {' and '.join(sorted(formats))}" if formats else "found none"
        raise DataError(
            "data.corpus",
            corpus,
            allowed=f"a folder with files of one format ({', '.join(FORMATS)}); {found}",
            remedy="name one file, or a folder that holds one format",
        )
    return FileCorpus(corpus, formats.pop(), tuple(paths), text_column)


def _file_facts(path: Path) -> list[str | int]:
    # The change time tells apart a file that was replaced with its old modification time.
    facts = path.stat()
    return [str(path), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


@contextmanager
def _without_progress_bars(datasets: Any) -> Iterator[None]:
    enabled = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if enabled:
            datasets.enable_progress_bars()
