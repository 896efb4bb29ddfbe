"""The paragraphs on methods of synthetic studies, as text."""

from __future__ import annotations

from pathlib import Path

from reports.exhibits import Exhibits
from reports.references import as_text
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.contents import SECTIONS
from reports.sections.methods import methods_exhibits
from tests.reports_tests.conftest import Synthetic, grid_study, write_study

TWO = {"model.activation": ("relu", "swiglu")}


def paragraph(results: StudyResults) -> str:
    """All paragraphs in one."""
    sentences = methods_exhibits(results, exhibits_of(results)).sentences
    return as_text(" ".join(sentences))


def exhibits_of(results: StudyResults) -> list[Exhibits]:
    found = (section.exhibits(results) for section in SECTIONS.values())
    return [exhibits for exhibits in found if exhibits is not None]


def study(tmp_path: Path, factors=TWO, fates=None, seeds=(0, 1), **settings) -> StudyResults:
    plan = grid_study(seeds, factors, report={}, **settings)
    return load_study(write_study(tmp_path / "study", plan, Synthetic(fates or {})))
