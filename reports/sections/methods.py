"""The last section: the paragraphs on methods, ready to paste, and the papers that are cited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.exhibits import Document, Exhibits
from reports.methods.paragraphs import Methods, methods_of
from reports.references import as_tex, entries_of, keys_of
from reports.results.frame import StudyResults

NAME, TITLE = "methods", "Methods"

Paragraph = tuple[str, ...]
"""Marked sentences."""

HEAD = "% Needs natbib and references.bib; made from the plan and the records of the runs.\n"


def methods_exhibits(results: StudyResults, sections: Iterable[Exhibits]) -> Exhibits:
    """The paragraphs, as text and as files, and the papers that they and other sections cite.

    Args:
        results: all runs of the study.
        sections: the other sections, which tell what their numbers were made by.
    """
    sections = list(sections)
    statistics = {name for exhibits in sections for name in exhibits.methods}
    found = methods_of(results, statistics)
    return written({part: [found_part] for part, found_part in found._asdict().items()}, sections)


def written(parts: dict[str, Sequence[Paragraph]], sections: Iterable[Exhibits]) -> Exhibits:
    """Paragraphs as they are shown, and each part in a file of its own.

    Args:
        parts: by the field of `Methods`; paragraphs without a sentence are left out.
        sections: the other sections of the report.
    """
    shown = [text for texts in parts.values() for text in texts if text]
    keys = keys_of([*(s for text in shown for s in text), *_of_sections(sections)])
    return Exhibits(
        sentences=tuple(" ".join(text) for text in shown),
        references=keys,
        documents=(
            *(Document(_file(part), _tex(texts)) for part, texts in parts.items()),
            Document("references.bib", entries_of(keys)),
        ),
    )


def _of_sections(sections: Iterable[Exhibits]) -> Iterable[str]:
    """Every text of other sections that may cite."""
    for found in sections:
        yield from found.sentences
        for table in found.tables:
            yield from (table.caption, table.paper_caption)
        yield from (figure.caption for figure in found.figures)


def _file(part: str) -> str:
    return "methods.tex" if part == Methods._fields[0] else f"methods_{part}.tex"


def _tex(texts: Sequence[Paragraph]) -> str:
    body = "\n\n".join("\n".join(map(as_tex, text)) for text in texts if text)
    return f"{HEAD}{body}\n" if body else HEAD
