"""From the raw mapping of a study file to a valid `Study`, or to every problem that it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from studies.configuration import value_at
from studies.content import FILES
from studies.designs import number_of_combinations
from studies.errors import InvalidStudy
from studies.findings import Findings, location
from studies.finetuning_checks import check_finetuning
from studies.levels import check_levels
from studies.paths import PathFinder
from studies.protocol import SEARCH_SEEDS_FROM
from studies.protocol_levels import runs_of_a_cell
from studies.relations import check_relations
from studies.schema import MAX_SEEDS, Study

Raw = dict[str, Any]

MAX_COMBINATIONS = 10_000
MAX_RUNS = 100_000


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
        paths = PathFinder(folder, findings)
        study = _with_found_paths(check_levels(study, paths, findings), paths)
        if _has_feasible_size(study, findings):
            check_finetuning(study, findings)
            check_relations(study, broken, findings)
    if findings.problems or study is None:
        raise InvalidStudy(findings.problems)
    return study


def _normalise(raw: Raw) -> Raw:
    """Short spellings written out: `seeds: 5`, `design: full_factorial`."""
    raw = dict(raw)
    if "seeds" in raw:
        raw["seeds"] = _seed_list(raw["seeds"])
    finetuning = raw.get("finetuning")
    if isinstance(finetuning, dict) and "seeds" in finetuning:
        raw["finetuning"] = {**finetuning, "seeds": _seed_list(finetuning["seeds"])}
    if isinstance(raw.get("design"), str):
        raw["design"] = {"kind": raw["design"]}
    protocol = raw.get("protocol")
    if isinstance(protocol, dict) and "search" in protocol:
        raw["protocol"] = {**protocol, "search": _normalise_search(protocol["search"])}
    return raw


def _seed_list(seeds: Any) -> Any:
    """A number of seeds written out."""
    is_number = isinstance(seeds, int) and not isinstance(seeds, bool)
    return list(range(seeds)) if is_number and 0 < seeds <= MAX_SEEDS else seeds


def _normalise_search(search: Any) -> Any:
    """`search: fixed`, `seeds: 2` written out."""
    if isinstance(search, str):
        return {"kind": search}
    seeds = search.get("seeds") if isinstance(search, dict) else None
    if isinstance(seeds, int) and not isinstance(seeds, bool) and 0 < seeds <= MAX_SEEDS:
        return {**search, "seeds": [SEARCH_SEEDS_FROM + number for number in range(seeds)]}
    return search


def _build(raw: Raw, findings: Findings) -> Study | None:
    """The study with its broken values left out, so that the other checks can still run."""
    left_out = False
    while True:
        try:
            return Study.model_validate(raw)
        except ValidationError as error:
            places: dict[tuple[str, ...], list[ErrorDetails]] = {}
            for details in error.errors(include_url=False):
                places.setdefault(tuple(location(details)), []).append(details)
        for errors in places.values():
            if not (left_out and errors[0]["type"] in ("missing", "too_short")):  # we left it out
                findings.add_schema_errors(errors)
        reduced = raw
        for path in {_removable(raw, place) for place in places}:
            reduced = _without(reduced, path)
        reduced.setdefault("name", "unnamed")
        if reduced == raw:
            return None
        raw, left_out = reduced, True


def _removable(raw: Raw, path: tuple[str, ...]) -> tuple[str, ...]:
    """The start of a path that leads to a value in a mapping, or to the list that holds it."""
    head, *rest = path or ("",)
    inner = raw.get(head)
    if rest and isinstance(inner, dict) and rest[0] in inner:
        return (head, *_removable(inner, tuple(rest)))
    return (head,)


def _without(raw: Raw, path: tuple[str, ...]) -> Raw:
    """A copy of the raw study without the value at a path."""
    head, *rest = path
    if not rest:
        return {key: value for key, value in raw.items() if key != head}
    return {**raw, head: _without(raw[head], tuple(rest))} if head in raw else dict(raw)


def _has_feasible_size(study: Study, findings: Findings) -> bool:
    """Whether the study is small enough to be planned run by run."""
    cells = number_of_combinations(study)
    runs = cells * runs_of_a_cell(study)
    if cells > MAX_COMBINATIONS:
        findings.add(
            "factors",
            f"{cells} combinations",
            f"at most {MAX_COMBINATIONS}",
            "use fewer levels, or design: one_at_a_time",
        )
    elif runs > MAX_RUNS:
        findings.add(
            "seeds", f"{runs} runs", f"at most {MAX_RUNS}", "use fewer seeds or fewer levels"
        )
    return cells <= MAX_COMBINATIONS and runs <= MAX_RUNS


def _with_found_paths(study: Study, paths: PathFinder) -> Study:
    """The study with the paths of its base configuration made absolute."""
    base = study.base()
    found: dict[str, dict[str, Any]] = {"data": {}, "model": {}}
    for key in FILES:
        section, _, name = key.partition(".")
        found[section][name] = paths.level(key, value_at(base, key), key)
    return study.model_copy(
        update={
            "data": study.data.model_copy(update=found["data"]),
            "model": study.model.model_copy(update=found["model"]),
            "finetuning": study.finetuning.model_copy(
                update={"tasks": {n: paths.task(n, t) for n, t in study.finetuning.tasks.items()}}
            ),
            "module": study.module and paths.module(study.module),
        }
    )
