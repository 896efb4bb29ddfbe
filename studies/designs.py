"""How a study's levels are combined into combinations: one function per design."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from studies.configuration import FINETUNING_PREFIX, flatten
from studies.design_kinds import CellList, FullFactorial, OneAtATime
from studies.schema import Study
from studies.values import Scalar

Combination = dict[str, Scalar]
"""Factor to level, in the order of the study's factors."""


def factor_names(study: Study) -> tuple[str, ...]:
    """The factors of a study in order; for a `list` design, the keys that its cells name."""
    names = dict.fromkeys(study.factors)
    if isinstance(study.design, CellList):
        names |= dict.fromkeys(key for cell in study.design.cells for key in cell)
    return tuple(names)


def cell_factors(study: Study) -> tuple[str, ...]:
    """The factors that cells differ in: those of fine-tuning come after."""
    return tuple(n for n in factor_names(study) if not n.startswith(FINETUNING_PREFIX))


def combinations(study: Study) -> list[Combination]:
    """Every combination of the design, before merging and excluding."""
    if isinstance(study.design, CellList):
        base = flatten(study.base())
        names = factor_names(study)
        return [{n: cell.get(n, base.get(n)) for n in names} for cell in study.design.cells]
    if isinstance(study.design, OneAtATime):
        return _one_at_a_time(study, study.design)
    return [
        dict(zip(study.factors, levels, strict=True))
        for levels in itertools.product(*study.factors.values())
    ]


def number_of_combinations(study: Study) -> int:
    """How many combinations the design has, without listing them."""
    if isinstance(study.design, FullFactorial):
        return math.prod(map(len, study.factors.values()))
    return len(combinations(study))


def _one_at_a_time(study: Study, design: OneAtATime) -> list[Combination]:
    baseline = {name: design.baseline[name] for name in study.factors}
    if design.mode == "leave_one_out":
        changes = list(design.without.items())
    else:
        changes = [
            (name, level)
            for name, levels in study.factors.items()
            for level in levels
            if level != baseline[name]
        ]
    return [baseline, *({**baseline, name: level} for name, level in changes)]


def matches(when: Mapping[str, Scalar | tuple[Scalar, ...]], combination: Combination) -> bool:
    """Whether a combination has, of each factor that is named, the level or one of the levels."""
    return all(
        combination.get(key) in (value if isinstance(value, tuple) else (value,))
        for key, value in when.items()
    )
