"""From a study to its plan: combine, exclude, merge, name, and list the runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from studies.budgets import known_vocabulary_size
from studies.configuration import Configuration, leaf_name
from studies.content import with_digests, with_task_digest
from studies.contrasts import Placed, contrasts
from studies.design_kinds import OneAtATime
from studies.designs import Combination, cell_factors, combinations, factor_names, matches
from studies.equivalence import Canonical
from studies.errors import AblationError
from studies.estimates import estimate
from studies.finetuning_plan import finetuning_arms
from studies.plan import Cell, Excluded, Merge, Plan
from studies.resolution import resolve
from studies.run_spec import RunSpec
from studies.schema import Study
from studies.search import begin
from studies.values import Scalar
from studies.vocabulary import VOCABULARIES

LONGEST_LEVEL = 40
"""Characters of a level that go into a name."""

_PLAIN = re.compile(r"[^a-z0-9._=+-]+")


@dataclass(frozen=True)
class _Candidate:
    """A combination that is in the study, canonical and ready to be named."""

    combination: Combination
    canonical: Canonical
    configuration: Configuration
    cell_key: str


def make_plan(study: Study, overrides: Mapping[str, Any] | None = None) -> Plan:
    """The full plan of a valid study.

    Raises:
        AblationError: the exclusions leave no cell, or the report's baseline is not a cell, or
            a hypothesis does not name two sets of cells.
    """
    designed = combinations(study)
    left_out = [_reason_against(study, combination) for combination in designed]
    kept = [c for c, reason in zip(designed, left_out, strict=True) if reason is None]
    if not kept:
        raise AblationError(
            f"study {study.name}: `exclude` leaves no cell of {len(designed)}. "
            "Remove a rule, or narrow what it matches."
        )
    of_cells = _of_cells(study, kept)
    candidates = [_canonical_candidate(study, combination) for combination in of_cells]
    first = {c.cell_key: c for c in reversed(candidates)}
    names = _variant_names(study, [c for c in candidates if first[c.cell_key] is c])
    cells = tuple(_cell(study, c, names[c.cell_key]) for c in candidates if first[c.cell_key] is c)
    plan = Plan(
        study=study,
        overrides=dict(overrides or {}),
        baseline=_baseline(study, names),
        combinations=len(_of_cells(study, designed)),
        cells=cells,
        merged=tuple(
            Merge(
                levels=c.combination,
                into=names[c.cell_key],
                rules=_merge_rules(c, first[c.cell_key]),
            )
            for c in candidates
            if first[c.cell_key] is not c
        ),
        excluded=tuple(
            Excluded(levels=levels, because=reason)
            for combination, reason in zip(designed, left_out, strict=True)
            if reason is not None and (levels := _of_cell(study, combination)) not in of_cells
        ),
        contrasts=contrasts(study, _placed(candidates, cells)),
        runs=(),
        **_finetuning(study, kept, names),
    )
    return begin(plan)


def _reason_against(study: Study, combination: Combination) -> str | None:
    return next((e.because for e in study.exclude if matches(e.when, combination)), None)


def _of_cell(study: Study, combination: Combination) -> Combination:
    """A combination without the factors of fine-tuning."""
    return {key: combination[key] for key in cell_factors(study)}


def _of_cells(study: Study, found: Sequence[Combination]) -> list[Combination]:
    """Combinations without the factors of fine-tuning, those that differ in nothing else once."""
    if cell_factors(study) == factor_names(study):
        return list(found)
    of_cells = (_of_cell(study, combination) for combination in found)
    return list({repr(combination): combination for combination in of_cells}.values())


def _finetuning(
    study: Study, kept: Sequence[Combination], names: Mapping[str, str]
) -> dict[str, Any]:
    """The tasks of a plan, and how each variant is fine-tuned on them."""
    if not study.finetuning.tasks:
        return {}

    def named(levels: Mapping[str, Scalar]) -> str:
        return "-".join(_piece(key, level) for key, level in levels.items())

    variants = {
        repr(c): names[_canonical_candidate(study, c).cell_key] for c in _of_cells(study, kept)
    }
    placed = [(c, variants[repr(_of_cell(study, c))]) for c in kept]
    tasks = {name: with_task_digest(name, task) for name, task in study.finetuning.tasks.items()}
    return {"tasks": tasks, "arms": finetuning_arms(study, placed, named)}


def _placed(candidates: list[_Candidate], cells: tuple[Cell, ...]) -> list[Placed]:
    by_key = {cell.cell_key: cell for cell in cells}
    return [(candidate.combination, by_key[candidate.cell_key]) for candidate in candidates]


def _canonical_candidate(study: Study, combination: Combination) -> _Candidate:
    canonical, configuration = resolve(study, combination)
    del configuration["finetuning"]
    configuration = with_digests(configuration)
    cell_key = RunSpec(**configuration, seed=0).cell_key
    return _Candidate(combination, canonical, configuration, cell_key)


def _merge_rules(candidate: _Candidate, representative: _Candidate) -> tuple[str, ...]:
    """The rules that make the two combinations one, by the levels in which they differ."""
    differing = {
        key
        for key, level in candidate.combination.items()
        if representative.combination.get(key) != level
    }
    rules = dict.fromkeys((*candidate.canonical.rules, *representative.canonical.rules))
    names = tuple(rule.name for rule in rules if differing & rule.canonical.keys())
    return names or ("the same configuration twice",)


def _cell(study: Study, candidate: _Candidate, variant: str) -> Cell:
    spec = RunSpec(**candidate.configuration, seed=0)
    size = known_vocabulary_size(spec.data)
    guess = estimate(spec.model, size) if spec.module is None and size is not None else None
    return Cell(
        variant=variant,
        cell_key=candidate.cell_key,
        levels=_levels(study, candidate),
        configuration=candidate.configuration,
        parameters=guess.parameters if guess else None,
        flops_per_token=guess.flops_per_token if guess else None,
    )


def _levels(study: Study, candidate: _Candidate) -> dict[str, Scalar]:
    """Level of each factor: null where it means nothing, "null" where null is what was chosen."""
    flat, factors = candidate.canonical.flat, cell_factors(study)
    unsaid = candidate.canonical.unsaid(factors)
    return {
        name: None if name in unsaid else "null" if flat[name] is None else flat[name]
        for name in factors
    }


def _variant_names(study: Study, candidates: list[_Candidate]) -> dict[str, str]:
    """Names from the levels; with a part of the cell key where levels are written alike.

    That is so for 0.1 and 0.1000001, and for long texts.
    """
    names = {c.cell_key: _name(study, c) for c in candidates}
    count = Counter(names.values())
    return {k: name if count[name] == 1 else f"{name}-{k[:8]}" for k, name in names.items()}


def _name(study: Study, candidate: _Candidate) -> str:
    factors = cell_factors(study)
    unsaid = candidate.canonical.unsaid(factors)
    pieces = [_piece(k, candidate.canonical.flat[k]) for k in factors if k not in unsaid]
    return "-".join(pieces) or "base"


def _piece(key: str, level: Scalar) -> str:
    """A named level speaks for itself, a number or a switch needs its key."""
    if key in VOCABULARIES:
        return str(level)
    if isinstance(level, bool) or level is None:
        text = {True: "on", False: "off", None: "null"}[level]
    else:
        text = f"{level:g}" if isinstance(level, float) else str(level)
        if PurePath(text).is_absolute():
            text = PurePath(text).name
    return f"{leaf_name(key)}={_PLAIN.sub('_', text.lower())[:LONGEST_LEVEL]}"


def _baseline(study: Study, names: Mapping[str, str]) -> str:
    levels = study.report.baseline
    if levels is None and isinstance(study.design, OneAtATime):
        levels = study.design.baseline
    if levels is None:
        return next(iter(names.values()))
    of_cell = {key: level for key, level in levels.items() if key in cell_factors(study)}
    key = _canonical_candidate(study, of_cell).cell_key
    if key not in names:
        raise AblationError(
            f"study {study.name}: the baseline {levels} is not a cell of the plan. "
            f"Name the levels of one of: {', '.join(names.values())}"
        )
    return names[key]
