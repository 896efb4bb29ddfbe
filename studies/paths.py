"""Files that a study names: relative paths made absolute, and what does not exist reported."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from studies.content import MODEL_FILE, WEIGHTS, weights_file
from studies.data_levels import CORPORA, TOKENIZERS
from studies.errors import close_matches
from studies.findings import OVERRIDE, Findings
from studies.schema import CustomModule
from studies.tasks import Task
from studies.values import Scalar

NAMES: Mapping[str, Mapping[str, object]] = {"data.corpus": CORPORA, "data.tokenizer": TOKENIZERS}
"""Keys that take a known name or a path."""


class PathFinder:
    """Finds the files of one study.

    Paths in the study file are relative to its folder, those of `--set` to the working directory.
    """

    def __init__(self, folder: Path, findings: Findings) -> None:
        self._folder = folder
        self._findings = findings

    def level(self, key: str, value: Scalar, where: str) -> Scalar:
        """The value of a key, made absolute where it is a path; a missing file is noted."""
        if key == WEIGHTS:
            return value if value is None else self._weights(str(value), where)
        known = NAMES.get(key, {})
        hub = key == "data.corpus"
        if key not in NAMES or value in known or (hub and str(value).startswith("hub:")):
            return value
        path = self._absolute(str(value), where)
        if path is None or not path.exists():
            allowed = (
                f"{', '.join(known)}{', hub:NAMESPACE/NAME' if hub else ''}, or {_absent(path)}"
            )
            hint = close_matches(str(value), known) or "correct the name or the path"
            self._findings.add(where, value, allowed, hint)
        return value if path is None else str(path)

    def _weights(self, text: str, where: str) -> str:
        path = self._absolute(text, where)
        file = path and weights_file(path)
        if file is None or file.suffix != ".safetensors" or not file.is_file():
            allowed = f"null, a *.safetensors file, or a folder with {MODEL_FILE}"
            self._findings.add(
                where,
                text,
                f"{allowed} ({file} is no such file)" if file else allowed,
                "correct the path, or write all weights to one such file, as transformers does: "
                'model.save_pretrained(FOLDER, max_shard_size="1TB")',
            )
        return text if path is None else str(path)

    def module(self, module: CustomModule) -> CustomModule:
        """A module of one's own with the path of its file made absolute, and its digest."""
        file, _, name = module.import_path.rpartition(":")
        if not file.endswith(".py"):
            return module
        where = "module.import_path"
        path = self._absolute(file, where)
        if path is None or not path.is_file():
            allowed = f"{_absent(path)}, or package.module:Class"
            self._findings.add(where, module.import_path, allowed, "correct the path")
        content = path.read_bytes() if path and path.is_file() else b""
        digest = hashlib.sha256(content).hexdigest()[:16]
        return module.model_copy(update={"import_path": f"{path}:{name}", "source_digest": digest})

    def task(self, name: str, task: Task) -> Task:
        """A task with the path of its folder made absolute; a missing one is noted."""
        if task.is_on_hub:
            return task
        where = f"finetuning.tasks.{name}.source"
        path = self._absolute(task.source, where)
        if path is None or not path.is_dir():
            allowed = f"hub:NAMESPACE/NAME, or {_absent(path).replace('path', 'folder')}"
            self._findings.add(where, task.source, allowed, "correct the path")
        return task if path is None else task.model_copy(update={"source": str(path)})

    def _absolute(self, text: str, where: str) -> Path | None:
        base = Path.cwd() if self._findings.source_of(where) == OVERRIDE else self._folder
        try:
            path = (base / Path(text).expanduser()).resolve()
            path.exists()
        except (OSError, RuntimeError, ValueError):  # too long, no such home, a NUL character
            return None
        return path if text else None


def _absent(path: Path | None) -> str:
    return f"a path that exists ({path} does not)" if path else "a path that exists"
