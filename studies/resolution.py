"""What a combination of levels comes to: one spelling, and the width and steps of its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from studies.budgets import with_budget
from studies.configuration import Configuration, flatten, with_values
from studies.equivalence import Canonical, canonicalise
from studies.matching import matched_width
from studies.schema import ModelConfig, Study
from studies.values import Scalar


class Resolved(NamedTuple):
    """A combination as it is trained."""

    canonical: Canonical
    """Its one spelling, as the study means it."""
    configuration: Configuration
    """The same with the hidden width and the steps that the protocol gives it."""


def resolve(study: Study, levels: Mapping[str, Scalar]) -> Resolved:
    """The study's configuration at some levels."""
    varied = with_values(study.base(), levels)
    canonical = canonicalise(flatten(varied))
    known = {k: v for k, v in canonical.flat.items() if not k.startswith("module.")}
    configuration = with_values(varied, known)
    if study.module is None:
        width = matched_width(ModelConfig(**configuration["model"]), study.protocol.match)
        configuration = with_values(configuration, {"model.d_ff": width})
    return Resolved(canonical, with_budget(study.protocol.budget, configuration))
