"""Checking the hypotheses of a study: the levels they name, their margins and their seeds."""

from __future__ import annotations

from collections.abc import Callable

from studies.errors import ABSENT
from studies.findings import Findings
from studies.hypotheses import Hypothesis, LevelSets
from studies.schema import Study

CheckedSets = Callable[[LevelSets, str], LevelSets]
"""Level sets with unknown factors and levels noted and left out, from the sets and their place."""


def checked_hypotheses(
    study: Study, checked: CheckedSets, findings: Findings
) -> dict[str, Hypothesis]:
    """The hypotheses with each level converted to the type of its key; what is wrong is noted."""
    return {
        name: _checked(name, hypothesis, study, checked, findings)
        for name, hypothesis in study.hypotheses.items()
    }


def _checked(
    name: str, hypothesis: Hypothesis, study: Study, checked: CheckedSets, findings: Findings
) -> Hypothesis:
    where = f"hypotheses.{name}"
    if hypothesis.direction == "equivalent" and hypothesis.margin is None:
        findings.add(
            f"{where}.margin",
            ABSENT,
            "a difference in nats per token, when the direction is equivalent",
            "say within what the two are the same, such as margin: 0.01",
        )
    if hypothesis.seeds is not None and hypothesis.seeds > len(study.seeds):
        findings.add(
            f"{where}.seeds",
            hypothesis.seeds,
            f"at most the seeds of the study: {len(study.seeds)}",
            f"run more seeds, or plan it for fewer (--set {where}.seeds={len(study.seeds)})",
        )
    return hypothesis.model_copy(
        update={
            "of": checked(hypothesis.of, f"{where}.of"),
            "against": checked(hypothesis.against, f"{where}.against"),
        }
    )
