"""What a section of the report is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from reports.exhibits import Exhibits
from reports.results.frame import StudyResults

D = TypeVar("D")


@dataclass(frozen=True)
class Section(Generic[D]):
    """A part of the report: numbers are collected first, then shown."""

    title: str
    collect: Callable[[StudyResults], D | None]
    """The numbers; None where the study recorded nothing of the kind."""
    render: Callable[[D], Exhibits]
    """Sentences, tables and figures, made of nothing but the collected numbers."""
    absent: str
    """What the report says where there are no numbers; empty to leave the section out."""
    whole: bool = False
    """Whether it is about all runs, those of a search too, and not only about the compared ones."""

    def exhibits(self, results: StudyResults) -> Exhibits | None:
        """Collect, then render; None where the section is left out."""
        data = self.collect(results if self.whole else results.compared)
        if data is not None:
            return self.render(data)
        return Exhibits(sentences=(self.absent,)) if self.absent else None
