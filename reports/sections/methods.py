"""The last section: the paragraph on methods, ready to paste, and the papers that it cites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.exhibits import Document, Exhibits
from reports.methods import methods_sentences
from reports.references import as_tex, as_text, bibliography, entries_of, keys_of
from reports.results.frame import StudyResults

NAME, TITLE = "methods", "Methods"


def methods_exhibits(results: StudyResults, sections: Iterable[Exhibits]) -> Exhibits:
    r"""The paragraph, its references, and both as files: `methods.tex` and `references.bib`.

    Args:
        results: all runs of the study.
        sections: the other sections, which tell what their numbers were made by.
    """
    statistics = {name for exhibits in sections for name in exhibits.methods}
    return paragraphs([methods_sentences(results, statistics)])


def paragraphs(texts: Sequence[Sequence[str]]) -> Exhibits:
    """Paragraphs of marked sentences as text and as files, with what they cite."""
    sentences = [sentence for text in texts for sentence in text]
    keys = keys_of(sentences)
    body = "\n\n".join("\n".join(map(as_tex, text)) for text in texts)
    head = "% Needs natbib and references.bib; made from the plan and the records of the runs.\n"
    entries = bibliography()
    return Exhibits(
        sentences=(
            *(" ".join(map(as_text, text)) for text in texts),
            *(entries[key].text for key in keys),
        ),
        documents=(
            Document("methods.tex", f"{head}{body}\n"),
            Document("references.bib", entries_of(keys)),
        ),
    )
