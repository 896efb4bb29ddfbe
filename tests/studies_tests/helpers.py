"""Studies made from keyword arguments, and the problems of those that are wrong."""

from __future__ import annotations

from pathlib import Path

from studies.errors import InvalidStudy, Problem
from studies.plan import Plan
from studies.planning import make_plan
from studies.schema import Study
from studies.validation import validate


def study_of(folder: Path = Path("."), **raw) -> Study:
    """The valid study that these sections describe."""
    return validate({"name": "some", **raw}, lambda key: "some.yaml", folder)


def plan_of(**raw) -> Plan:
    """The plan of the study that these sections describe."""
    return make_plan(study_of(**raw))


def problems_of(folder: Path = Path("."), **raw) -> dict[str, Problem]:
    """Problem by key of a study that is wrong; a study that is right gives none."""
    try:
        study_of(folder, **raw)
    except InvalidStudy as error:
        return {problem.key: problem for problem in error.problems}
    return {}
