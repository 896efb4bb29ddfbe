"""The methods of several studies: how they are compared, then the paragraphs of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.exhibits import Exhibits
from reports.methods.paragraphs import Methods, methods_of
from reports.references import cited
from reports.results.joined import JoinedResults
from reports.sections.methods import Paragraph, written
from studies.methods import STATISTICS


def methods_exhibits(joined: JoinedResults, sections: Iterable[Exhibits]) -> Exhibits:
    """A paragraph on the comparison and those on each study, as text and as files.

    Args:
        joined: the studies.
        sections: the other sections, which tell what their numbers were made by.
    """
    sections = list(sections)
    statistics = {name for exhibits in sections for name in exhibits.methods}
    each = {
        f"Study {letter} ({results.plan.study.name}).": methods_of(
            results, statistics - {"kendall"}
        )
        for letter, results in zip(joined.letters, joined.studies, strict=True)
    }
    parts: dict[str, Sequence[Paragraph]] = {
        part: [(of, *text) for of, found in each.items() if (text := found._asdict()[part])]
        for part in Methods._fields
    }
    of_all = Methods(_comparison(joined, statistics), _ranks(statistics), (), ())._asdict()
    return written({part: [of_all[part], *texts] for part, texts in parts.items()}, sections)


def _comparison(joined: JoinedResults, statistics: set[str]) -> tuple[str, ...]:
    shared = len(joined.shared)
    found = [
        f"We compare {len(joined.studies)} studies on the "
        f"{'cell' if shared == 1 else f'{shared} cells'} that at least two of them have."
    ]
    if "paired-t" in statistics:
        found.append(
            "Each cell is compared with the baseline within its study, by "
            f"{cited(STATISTICS['paired-t'])} and {cited(STATISTICS['holm'])}, over all "
            "comparisons of that study; losses of different studies are not pooled."
        )
    return tuple(found)


def _ranks(statistics: set[str]) -> tuple[str, ...]:
    if "kendall" not in statistics:
        return ()
    return (f"The order of cells in two studies is compared by {cited(STATISTICS['kendall'])}.",)
