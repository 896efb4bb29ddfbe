"""Values of a study's configuration as the paragraph on methods says them."""

from __future__ import annotations

from pathlib import PurePath

from reports.references import cited
from reports.results.frame import StudyResults
from reports.words import any_of, grouped, plain_value
from studies.configuration import value_at
from studies.content import weights_text
from studies.data_levels import CORPORA, TOKENIZERS
from studies.values import Scalar
from studies.vocabulary import VOCABULARIES

VARIED, SEARCHED = "varied", "searched"
HUB = "hub:"
"""Before the name of a data set of the Hugging Face hub."""

PRECISIONS = {
    "32-true": "single precision",
    "64-true": "double precision",
    "16-mixed": "mixed precision with float16",
    "bf16-mixed": "mixed precision with bfloat16",
    "bf16-true": "bfloat16",
}
"""Names of Lightning, in words."""


def shared(results: StudyResults, key: str) -> Scalar:
    """The value of a key that all cells have; None where they differ."""
    values = [value_at(cell.configuration, key) for cell in results.plan.cells]
    first: Scalar = values[0]
    return first if all(value == first for value in values) else None


def value(results: StudyResults, key: str) -> str:
    """The value in words: "0.001", "varied", "searched"."""
    if key in results.plan.nuisance:
        return SEARCHED
    found = shared(results, key)
    return VARIED if found is None else plain_value(found)


def number_of(results: StudyResults, key: str, what: str) -> str:
    """A count with its noun: "2 layers", "a varied number of layers"."""
    found = value(results, key)
    if found in (VARIED, SEARCHED):
        return f"a {found} number of {what}s"
    return f"{found} {what}" if found == "1" else f"{found} {what}s"


def cited_part(key: str, name: str) -> str:
    """A part of the built-in model as a paper names it: "pre-norm", "learned positions"."""
    level = VOCABULARIES[key][name]
    noun = {"model.placement": "-norm", "model.position": " positions"}.get(key, "")
    return cited(level, level.label + noun * (name != "none"))


def given_weights(results: StudyResults) -> list[str | None]:
    """The weights that cells start from, each once; None where they are drawn."""
    models = [cell.configuration["model"] for cell in results.plan.cells]
    paths = [(model.get("weights"), model.get("weights_digest")) for model in models]
    found = (path and weights_text(path, digest) for path, digest in paths)
    return list(dict.fromkeys(found))


def text_words(results: StudyResults) -> str:
    """On what text, of what tokens, and how many of them."""
    told = [_tokenizer(results)]
    train, held = (recorded(results, f"{split}_tokens") for split in ("train", "validation"))
    if train and held:
        told.append(f"{any_of(train, 'or')} tokens for training, {any_of(held, 'or')} held out")
    return f"{_corpus(results)} ({'; '.join(told)})"


def recorded(results: StudyResults, fact: str) -> list[str]:
    """The values of a fact over the records, each once."""
    found = dict.fromkeys(r.facts[fact] for r in results.records.values() if fact in r.facts)
    return [grouped(v) if isinstance(v, int | float) else str(v) for v in found]


def _corpus(results: StudyResults) -> str:
    corpus = shared(results, "data.corpus")
    if corpus is None:
        return "varied texts"
    return corpus_words(str(corpus), shared(results, "data.corpus_digest"))


def corpus_words(corpus: str, digest: Scalar) -> str:
    """A corpus by the name that a reader knows: without the path that it lies at.

    Args:
        corpus: as the study file names it.
        digest: its digest; of an embedded corpus the Python that it is of.
    """
    if corpus in CORPORA:
        of = f" of {str(digest).replace('python-', 'Python ')}" if digest else ""
        return f"the text “{CORPORA[corpus].label}”{of}"
    if corpus.startswith(HUB):
        return f"the data set {corpus.removeprefix(HUB)}"
    return f"the text {PurePath(corpus).name}"


def _tokenizer(results: StudyResults) -> str:
    tokenizer = shared(results, "data.tokenizer")
    if tokenizer is None:
        return "a varied tokenizer"
    sizes = recorded(results, "vocabulary_size")
    size = f", a vocabulary of {any_of(sizes, 'or')}" if sizes and tokenizer != "bytes" else ""
    if tokenizer not in TOKENIZERS:
        return f"tokenizer {PurePath(str(tokenizer)).name}{size}"
    level = TOKENIZERS[str(tokenizer)]
    return f"{cited(level, level.summary)}{size}"
