"""The paragraphs on methods: what was compared, how it was trained, and by what it is judged.

Made from the plan and the records alone: of a module of one's own they say nothing that the harness
cannot know. Sentences carry the marks of their citations (`reports.references`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from reports.analysis.costs import Cost, cost_of
from reports.methods.finetuning import finetuning_sentences
from reports.methods.hypotheses import hypothesis_sentences
from reports.methods.runs import run_sentences
from reports.methods.search import search_sentences
from reports.methods.statistics import comparison_sentence, further_statistics
from reports.methods.training import training_sentence
from reports.methods.values import cited_part, given_weights, number_of, shared, value
from reports.references import cited
from reports.results.frame import StudyResults
from reports.words import any_of, factor_label, grouped, plain_value
from studies.configuration import value_at
from studies.content import WEIGHTS
from studies.design_kinds import OneAtATime
from studies.diagnostics import DIAGNOSTIC_OF, DIAGNOSTICS
from studies.methods import SOFTWARE, TRAINING
from studies.values import Scalar
from studies.vocabulary import VOCABULARIES, label_of

FIXED_PARTS = ("model.activation", "model.norm", "model.placement", "model.position")
"""Parts of the built-in model that are named even where nobody varies them."""

NORM_PARTS = ("model.norm", "model.placement")
"""Of these, those that mean nothing in a cell without a norm."""


class Methods(NamedTuple):
    """Sentences of four paragraphs, of which a paper may leave out all but the first."""

    core: tuple[str, ...]
    """What every paper has to say."""
    statistics: tuple[str, ...]
    """What numbers outside of the main table were made by; empty where there are none."""
    diagnostics: tuple[str, ...]
    """What was measured inside the models; empty where nothing was."""
    software: tuple[str, ...]


def methods_of(results: StudyResults, statistics: Collection[str]) -> Methods:
    """What was done in a study.

    Args:
        results: all runs of the study.
        statistics: names in `STATISTICS` of what the numbers of the report were made by.
    """
    core = (
        _variants(results),
        training_sentence(results),
        *search_sentences(results.plan),
        *run_sentences(results),
        *finetuning_sentences(results),
        comparison_sentence(results, statistics),
        *hypothesis_sentences(results),
    )
    further = further_statistics(results, statistics)
    return Methods(core, further, _diagnostics(results), (_software(results),))


def _variants(results: StudyResults) -> str:
    plan = results.plan
    count = len(plan.cells)
    many = f"{count} variants" if count > 1 else "one variant"
    own = plan.study.module
    if own is not None:
        what = f"the module {own.import_path}"
    else:
        what = f"a {cited(TRAINING['transformer'])} of {_sizes(results)}"
    factors = {k: v for k, v in _levels(results).items() if len(v) > 1}
    listed = "; ".join(f"{factor_label(k)}: {_listed(results, k, v)}" for k, v in factors.items())
    how = ", one change from the baseline each" * isinstance(plan.study.design, OneAtATime)
    parts = [f"We compare {many} of {what}" if count > 1 else f"We train {many} of {what}"]
    if listed:
        parts.append(f"{how} ({listed})")
    if own is None and (fixed := _fixed_parts(results, factors)):
        parts.append(f", with {any_of(fixed, 'and')}" + " throughout" * (count > 1))
    return f"{''.join(parts)}{_parameters(results)}."


def _sizes(results: StudyResults) -> str:
    return ", ".join(
        (
            number_of(results, "model.n_layers", "layer"),
            f"width {value(results, 'model.d_model')}",
            number_of(results, "model.n_heads", "head"),
            f"context length {value(results, 'model.context_length')}",
        )
    )


def _parameters(results: StudyResults) -> str:
    """How large the variants are, as runs counted it or the plan estimates it."""
    costs = [cost_of(results, variant) for variant in results.variants]
    whole = _range(costs, lambda cost: cost.parameters)
    if not whole:
        return ""
    inner = _range(costs, lambda cost: cost.non_embedding)
    return f"; they have {whole} parameters" + (f", {inner} without embeddings" if inner else "")


def _range(costs: Sequence[Cost], size: Callable[[Cost], float]) -> str:
    """A number of parameters, or that of the smallest and of the largest variant, if known."""
    known = sorted(found for found in map(size, costs) if found > 0)
    if len(known) < len(costs):
        return ""
    return " to ".join(dict.fromkeys(map(grouped, (known[0], known[-1]))))


def _levels(results: StudyResults) -> dict[str, list[Scalar]]:
    levels: dict[str, list[Scalar]] = {}
    for cell in results.plan.cells:
        for key, level in cell.levels.items():
            known = levels.setdefault(key, [])
            if level is not None and level not in known:
                known.append(level)
    return levels


def _listed(results: StudyResults, key: str, levels: Sequence[Scalar]) -> str:
    """Levels by their labels; those of the built-in model with their sources."""
    own = results.plan.study.module is not None
    if key == WEIGHTS:
        given = given_weights(results)
        return ", ".join((text or "drawn").removeprefix("weights ") for text in given)
    if own or key not in VOCABULARIES:
        return ", ".join(label_of(key, v) if isinstance(v, str) else plain_value(v) for v in levels)
    return ", ".join(cited_part(key, str(level)) for level in levels)


def _fixed_parts(results: StudyResults, factors: Iterable[str]) -> list[str]:
    """What all variants of the built-in model have alike, or all of them that have a norm."""
    found = []
    for key in FIXED_PARTS:
        names = {str(value_at(cell.configuration, key)) for cell in results.plan.cells}
        where = " where there is a norm" * (len(names) > 1 and key in NORM_PARTS)
        if len(names) > 1:
            names.discard("none")
        if key in factors or len(names) > 1 or (key, *names) == ("model.placement", "none"):
            continue
        found.append(cited_part(key, names.pop()) + where)
    found += _start(results)
    for switch in ("qk_norm", "tied_head"):
        if shared(results, f"model.{switch}") is True:
            found.append(cited(TRAINING[switch]))
    return found


def _start(results: StudyResults) -> list[str]:
    """What the runs start from, where all do from the same, or all that draw their weights."""
    given, drawn = given_weights(results), VOCABULARIES["model.initialization"]
    if None not in given:
        return [f"the {given[0]} as initial values"] if len(given) == 1 else []
    names = {str(r.facts.get("initialization")) for r in results.records.values()} & drawn.keys()
    if len(names) != 1:
        return []
    level = drawn[names.pop()]
    where = " where weights are drawn" * (len(given) > 1)
    return [cited(level, f"{level.label} initialisation") + where]


def _diagnostics(results: StudyResults) -> tuple[str, ...]:
    """The diagnostics that left a curve."""
    known = set(results.layered) | set(results.histories["metric"].cat.categories)
    found = {DIAGNOSTIC_OF[family] for family in known if family in DIAGNOSTIC_OF}
    names = [cited(row) for name, row in DIAGNOSTICS.items() if name in found]
    return (f"Recorded while training: {', '.join(names)}.",) if names else ()


def _software(results: StudyResults) -> str:
    made = [cited(SOFTWARE[name]) for name in ("numpy", "scipy", "seaborn", "matplotlib")]
    report = f"numbers and figures were made with {any_of(made, 'and')}"
    if not results.records:
        return f"{report[0].upper()}{report[1:]}."
    names = ["torch", "pytorch-lightning", "optuna", "mlflow", *_of_data(results)]
    ran = [cited(SOFTWARE[name], _versioned(results, name)) for name in names]
    return f"Runs used {any_of(ran, 'and')}; {report}."


def _of_data(results: StudyResults) -> list[str]:
    """The packages that read the text, as the cells' data sections say."""
    cells = [cell.configuration["data"] for cell in results.plan.cells]
    found = []
    if any(str(data["corpus"]).startswith("hub:") for data in cells):
        found.append("datasets")
    if any(data["tokenizer"] not in ("bytes", "characters") for data in cells):
        found.append("tokenizers")
    return found


def _versioned(results: StudyResults, package: str) -> str:
    """A package with its version, where all runs recorded one and the same."""
    label = SOFTWARE[package].label
    name = {"mlflow": "mlflow-skinny"}.get(package, package)
    found = {str(r.provenance.get("packages", {}).get(name)) for r in results.records.values()}
    return f"{label} {found.pop()}" if len(found) == 1 and "None" not in found else label
