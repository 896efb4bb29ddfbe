"""What text runs saw, and under which licence it is, in words."""

from __future__ import annotations

from reports.analysis.spending import NOT_KNOWN
from reports.methods.values import HUB, corpus_words, recorded
from reports.results.frame import StudyResults
from reports.words import any_of, grouped, percent
from studies.configuration import value_at
from studies.data_levels import CORPORA


def data_seen(results: StudyResults) -> str:
    """Corpus, tokenizer, splits and digest."""
    fractions = [percent(v) for v in values_of(results, "data.validation_fraction")
                 if isinstance(v, float)]  # fmt: skip
    held = f"the last {any_of(fractions, 'or')} of the text is held out"
    if any(str(v).startswith(HUB) for v in values_of(results, "data.corpus")):
        held = "the data set's own validation split, or else " + held
    sizes = [
        f"{name} {_recorded(results, f'{name}_tokens')} tokens" for name in ("train", "validation")
    ]
    return (
        f"corpus {_corpora(results)}, tokenizer {_named(results, 'data.tokenizer')}; "
        f"{held} ({', '.join(sizes)}); losses are over "
        f"{_named(results, 'data.evaluation_tokens')} fixed tokens of it; digest "
        f"{_recorded(results, 'data_digest')}"
    )


def _corpora(results: StudyResults) -> str:
    """Each corpus by the name that the study gives it; an embedded one with what it is."""
    keys = ("data.corpus", "data.corpus_digest")
    found = dict.fromkeys(
        tuple(value_at(cell.configuration, key) for key in keys) for cell in results.plan.cells
    )
    shown = [
        f"{corpus}, {corpus_words(corpus, version)}" if corpus in CORPORA else str(corpus)
        for corpus, version in found
    ]
    return any_of(shown, "or")


def licence(results: StudyResults) -> str:
    """Of corpora that come with Python; of others nothing is recorded."""
    found = [
        f"{name}: {CORPORA[name].licence}"
        if name in CORPORA
        else f"{name}: {NOT_KNOWN}, it is not recorded"
        for name in map(str, values_of(results, "data.corpus"))
    ]
    return "; ".join(found)


def _named(results: StudyResults, key: str) -> str:
    found = values_of(results, key)
    return any_of([grouped(v) if isinstance(v, int) else str(v) for v in found], "or")


def values_of(results: StudyResults, key: str) -> list[object]:
    """The values of a key over the cells, each once."""
    found: list[object] = []
    for cell in results.plan.cells:
        value = value_at(cell.configuration, key)
        if value not in found:
            found.append(value)
    return found


def _recorded(results: StudyResults, fact: str) -> str:
    return any_of(recorded(results, fact), "or") or NOT_KNOWN
