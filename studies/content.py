"""Digests of the files behind a study, so that changed ones make another run."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from studies.configuration import Configuration, value_at, with_values
from studies.data_levels import CORPORA
from studies.errors import AblationError
from studies.tasks import Task

WEIGHTS = "model.weights"
FILES = ("data.corpus", "data.tokenizer", WEIGHTS)
"""Keys that may name files, each with a key beside it for the digest of what is in them."""
MODEL_FILE = "model.safetensors"
"""Weights in a folder that `transformers` wrote."""

WHOLE_READ_BYTES = 256 * 2**20
"""Files of up to this size together are read whole; of larger ones, names and sizes count."""
DIGITS = 16


def with_digests(configuration: Configuration) -> Configuration:
    """A configuration with the digests of the files that it names.

    Raises:
        AblationError: it gives a digest already, and that is another one.
    """
    filled: dict[str, Any] = {}
    for key in FILES:
        name, pinned = value_at(configuration, key), value_at(configuration, f"{key}_digest")
        found = _digest(key, name)
        if name is not None and pinned not in (None, found):
            raise AblationError(
                f"{key}_digest = {pinned!r}, but {name} has the digest {found!r}: the "
                "content changed. Restore it, or remove the pinned digest to run with the new one."
            )
        filled[f"{key}_digest"] = found
    return with_values(configuration, filled)


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


def _digest(key: str, name: str | None) -> str | None:
    """Digest of what a key names; None where the name alone says it."""
    if name in CORPORA:
        return f"python-{platform.python_version()}"
    path = Path(name or "")
    if not path.is_absolute() or not path.exists():
        return None
    return weights_digest(path) if key == WEIGHTS else content_digest(path)


def weights_file(path: Path) -> Path:
    """The file of weights that a path leads to, be it that of a folder."""
    return path / MODEL_FILE if path.is_dir() else path


def weights_digest(path: Path) -> str:
    """Digest of a file of weights, read whole whatever its size: no two of a model differ in it."""
    file = weights_file(path)
    return _whole_digest(file, file.stat().st_size, file.stat().st_mtime_ns)


def weights_text(weights: str, digest: str | None) -> str:
    """Weights as a reader knows them: without the path that they lie at."""
    return f"weights {PurePath(weights).name} (digest {digest})"


@functools.lru_cache(maxsize=64)
def _whole_digest(file: Path, size: int, changed_ns: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:DIGITS]


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
