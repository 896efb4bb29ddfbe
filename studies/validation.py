"""From the raw mapping of a study file to a valid `Study`, or to every problem that it has."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studies.configuration import ARGUMENTS_PREFIX, flatten, with_values
from studies.designs import combinations
from studies.errors import InvalidStudy, close_matches
from studies.findings import Findings, location
from studies.levels import check_levels
from studies.rules import RULES
from studies.schema import Scalar, Study, field_of
from studies.vocabulary import CORPORA, TOKENIZERS

Raw = dict[str, Any]

PATH_KEYS = {"data.corpus": CORPORA, "data.tokenizer": TOKENIZERS}
"""Keys that take a known name or a path."""


def validate(raw: Raw, source_of: Callable[[str], str], folder: Path) -> Study:
    """The study that a raw mapping describes.

    Args:
        raw: what the file and the overrides said.
        source_of: where a dotted key came from: the file, or `--set`.
        folder: what relative paths of the file are relative to; those of `--set` are relative to
            the working directory.

    Raises:
        InvalidStudy: with every problem at once.
    """
    findings = Findings(source_of)
    study = _build(_normalise(raw), findings)
    if study is not None:
        broken = {problem.key for problem in findings.problems}
        study = check_levels(study, findings)
        _check_relations(study, broken, findings)
        study = _with_found_paths(study, folder, findings)
    if findings.problems or study is None:
        raise InvalidStudy(findings.problems)
    return study


def _normalise(raw: Raw) -> Raw:
    """Short spellings written out: `seeds: 5`, `design: full_factorial`."""
    raw = dict(raw)
    seeds = raw.get("seeds")
    if isinstance(seeds, int) and not isinstance(seeds, bool) and seeds > 0:
        raw["seeds"] = list(range(seeds))
    if isinstance(raw.get("design"), str):
        raw["design"] = {"kind": raw["design"]}
    return raw


def _build(raw: Raw, findings: Findings) -> Study | None:
    """The study with its broken values left out, so that the other checks can still run."""
    while True:
        try:
            return Study.model_validate(raw)
        except ValidationError as error:
            reduced = raw
            for details in error.errors(include_url=False):
                findings.add_schema_error(details)
                reduced = _without(reduced, location(details))
            if "name" not in reduced:
                reduced = {**reduced, "name": "unnamed"}
            if reduced == raw:
                return None
            raw = reduced


def _without(raw: Raw, path: list[str]) -> Raw:
    """A copy of the raw study without the value at a path, or without the list that holds it."""
    if not path:
        return raw
    head, *rest = path
    inner = raw.get(head)
    if rest and isinstance(inner, dict) and rest[0] in inner:
        return {**raw, head: _without(inner, rest)}
    return {key: value for key, value in raw.items() if key != head}


def _check_relations(study: Study, broken: set[str], findings: Findings) -> None:
    """Every rule on every combination; a rule that reads a broken value is left out."""
    rules = [rule for rule in RULES if not broken.intersection(rule.keys)]
    if study.module is not None:
        rules = [rule for rule in rules if not rule.keys[0].startswith("model.")]
    base = study.base()
    for combination in combinations(study):
        known = {key: level for key, level in combination.items() if _is_settable(study, key)}
        flat = flatten(with_values(base, known))
        for rule in rules:
            violation = rule.check(flat)
            if violation is not None:
                key = f"factors.{rule.keys[0]}" if rule.keys[0] in known else rule.keys[0]
                findings.add(key, violation.value, violation.allowed, rule.remedy)


def _is_settable(study: Study, key: str) -> bool:
    return field_of(key) is not None or (
        key.startswith(ARGUMENTS_PREFIX) and study.module is not None
    )


def _with_found_paths(study: Study, folder: Path, findings: Findings) -> Study:
    """The study with the paths of corpora and tokenisers made absolute."""

    def found(key: str, value: Scalar, where: str) -> Scalar:
        names: Mapping[str, object] = PATH_KEYS[key]
        if not isinstance(value, str) or value in names or value.startswith("hub:"):
            return value
        base = Path.cwd() if findings.source_of(where) == "--set" else folder
        path = (base / Path(value).expanduser()).resolve()
        if not path.exists():
            hub = ", hub:NAMESPACE/NAME" if key == "data.corpus" else ""
            allowed = f"{', '.join(names)}{hub}, or a path that exists ({path} does not)"
            hint = close_matches(value, names) or "correct the name or the path"
            findings.add(where, value, allowed, hint)
        return str(path)

    module = study.module
    if module is not None and ".py:" in module.import_path:
        file, _, name = module.import_path.rpartition(":")
        path = (folder / Path(file).expanduser()).resolve()
        if not path.is_file():
            allowed = f"a file that exists ({path} does not), or package.module:Class"
            findings.add("module.import_path", module.import_path, allowed, "correct the path")
        content = path.read_bytes() if path.is_file() else b""
        digest = hashlib.sha256(content).hexdigest()[:16]
        module = module.model_copy(
            update={"import_path": f"{path}:{name}", "source_digest": digest}
        )
    values = {key: found(key, flatten(study.base())[key], key) for key in PATH_KEYS}
    data = study.data.model_copy(update={k.rpartition(".")[2]: v for k, v in values.items()})
    factors = {
        key: tuple(
            found(key, level, f"factors.{key}") if key in PATH_KEYS else level for level in v
        )
        for key, v in study.factors.items()
    }
    return study.model_copy(update={"data": data, "factors": factors, "module": module})
