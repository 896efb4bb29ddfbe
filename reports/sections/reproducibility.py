"""The checklist for reviewers: what conferences ask for, answered from the records."""

from __future__ import annotations

import re

import pandas as pd

from reports.analysis.reproducibility import Checklist, collect
from reports.exhibits import Cell, Column, Document, Exhibits, Row, Table
from reports.sections.base import Section
from reports.words import counts_caption, headed

SOURCES = "NeurIPS paper checklist; ACL checklist for responsible NLP research"


def render(data: Checklist) -> Exhibits:
    """One table, and the same as `checklist.md`."""
    columns = (
        Column("Asked by", SOURCES, tex=r"p{0.12\linewidth}"),
        Column("Item", tex=r">{\raggedright\arraybackslash}p{0.2\linewidth}"),
        Column(
            "Answer",
            "from plan and records; what they do not tell is not known",
            tex=r">{\raggedright\arraybackslash}p{0.6\linewidth}",
        ),
    )
    rows = tuple(
        Row((Cell(item.asked_by), Cell(headed(item.question)), Cell(headed(item.answer))),
            runs=data.runs)
        for item in data.items
    )  # fmt: skip
    counts = counts_caption(data.outcomes, searching=data.searching)
    caption = f"Answers to checklists, from the plan and the records of all runs. {counts}"
    numbers = pd.DataFrame([vars(item) for item in data.items])
    return Exhibits(
        tables=(Table("checklist", caption, columns, rows, numbers),),
        documents=(Document("checklist.md", _markdown(data, counts)),),
    )


def _markdown(data: Checklist, counts: str) -> str:
    lines = [f"# Reproducibility checklist: {_plain(data.study)}", "", counts, ""]
    lines += [f"After the {SOURCES}; made from the plan and the records.", ""]
    for item in data.items:
        lines.append(f"- **{headed(item.question)}** ({item.asked_by}): {_plain(item.answer)}.")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text in which Markdown and HTML find nothing to interpret."""
    for character in "\\`*[]<>#|~":
        text = text.replace(character, f"\\{character}")
    return " ".join(_OUTER.sub(r"\\_", text).split())


_OUTER = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
"""An underscore that is not within a word: there Markdown reads none."""


SECTION = Section("Reproducibility", collect, render, absent="", whole=True)
