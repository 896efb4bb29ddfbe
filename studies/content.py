"""Digests of the files behind a study, so that a changed text is another run."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from studies.data_levels import CORPORA
from studies.errors import AblationError
from studies.tasks import Task

WHOLE_READ_BYTES = 256 * 2**20
"""Files of up to this size together are read whole; of larger ones, names and sizes count."""
DIGITS = 16


def with_digests(data: Mapping[str, Any]) -> dict[str, Any]:
    """A `data` section with the digests of its corpus and its tokeniser file.

    Raises:
        AblationError: the section gives a digest already, and it is another one.
    """
    filled = dict(data)
    for key in ("corpus", "tokenizer"):
        found, pinned = _digest(str(data[key])), data[f"{key}_digest"]
        if pinned not in (None, found):
            raise AblationError(
                f"data.{key}_digest = {pinned!r}, but {data[key]} has the digest {found!r}: the "
                "content changed. Restore it, or remove the pinned digest to run with the new one."
            )
        filled[f"{key}_digest"] = found
    return filled


def with_task_digest(name: str, task: Task) -> Task:
    """A task with the digest of its files; nothing is known of a data set of the hub.

    Raises:
        AblationError: a file is not there, or the task gives a digest already, and another one.
    """
    if task.is_on_hub:
        return task
    files = [Path(task.source) / part for part in (task.train, task.evaluation)]
    files += [path.with_suffix(".ans") for path in files if task.format == "mctest"]
    for path in files:
        if not path.is_file():
            raise AblationError(
                f"finetuning.tasks.{name}: there is no file {path}. Correct `source`, the folder "
                "of the files, or their names, `train` and `evaluation`"
            )
    found = hashlib.sha256(" ".join(map(content_digest, files)).encode()).hexdigest()[:DIGITS]
    if task.source_digest not in (None, found):
        raise AblationError(
            f"finetuning.tasks.{name}.source_digest = {task.source_digest!r}, but the files have "
            f"the digest {found!r}: they changed. Restore them, or remove the pinned digest"
        )
    return task.model_copy(update={"source_digest": found})


def _digest(name: str) -> str | None:
    """Digest of what a name stands for; None where the name alone says it."""
    if name in CORPORA:
        return f"python-{platform.python_version()}"
    path = Path(name)
    return content_digest(path) if path.is_absolute() and path.exists() else None


def content_digest(path: Path) -> str:
    """Digest of a file, or of the visible files under a folder: their names and what is in them."""
    files = sorted(_visible_files(path)) if path.is_dir() else [path]
    listing = tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return _read_digest(path, listing)


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


@functools.lru_cache(maxsize=64)
def _read_digest(root: Path, listing: tuple[tuple[Path, int, int], ...]) -> str:
    whole = sum(size for _, size, _ in listing) <= WHOLE_READ_BYTES
    total = hashlib.sha256()
    for file, size, _ in listing:
        total.update(f"{file.relative_to(root).as_posix()}\0{size}\0".encode())
        if whole:
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:DIGITS]


def distinct_characters(path: Path) -> int | None:
    """Number of different characters of a text file; None for anything else, and a large one."""
    if path.suffix != ".txt" or not path.is_file() or path.stat().st_size > WHOLE_READ_BYTES:
        return None
    return _distinct_characters(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _distinct_characters(path: Path, changed_ns: int) -> int | None:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return len(set[str]().union(*iter(lambda: file.read(1 << 20), "")))
    except UnicodeDecodeError:
        return None
