"""The last section: the paragraph on methods, ready to paste, and the papers that it cites."""

from __future__ import annotations

from collections.abc import Iterable

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
    sentences = methods_sentences(results, statistics)
    keys = keys_of(sentences)
    paragraph = "\n".join(map(as_tex, sentences))
    head = "% Needs natbib and references.bib; made from the plan and the records of the runs.\n"
    entries = bibliography()
    return Exhibits(
        sentences=(" ".join(map(as_text, sentences)), *(entries[key].text for key in keys)),
        documents=(
            Document("methods.tex", f"{head}{paragraph}\n"),
            Document("references.bib", entries_of(keys)),
        ),
    )
