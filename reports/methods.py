"""The paragraph on methods: what was compared, how it was trained, and by what it is judged.

Made from the plan and the records alone: of a module of one's own it says nothing that the harness
cannot know. Sentences carry the marks of their citations (`reports.references`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.methods_search import search_sentence
from reports.references import cited, mark
from reports.results.frame import StudyResults
from reports.words import (
    FINISHED,
    any_of,
    factor_label,
    grouped,
    percent,
    plain_value,
    progress_text,
)
from studies.budgets import length_text
from studies.configuration import value_at
from studies.design_kinds import OneAtATime
from studies.diagnostics import DIAGNOSTIC_OF, DIAGNOSTICS
from studies.fairness import budget_unit
from studies.methods import SOFTWARE, STATISTICS, TRAINING
from studies.values import Scalar
from studies.vocabulary import ACTIVATIONS, TOKENIZERS, VOCABULARIES, label_of

FIXED_PARTS = ("model.activation", "model.norm", "model.placement", "model.position")
"""Parts of the built-in model that are named even where nobody varies them."""

INTERVALS = ("paired-t", "clopper-pearson")
"""Methods that give intervals, which have a level."""
_WARMUP = "training.warmup_steps"
VARIED, SEARCHED = "varied", "searched"


def methods_sentences(results: StudyResults, statistics: Iterable[str]) -> tuple[str, ...]:
    """Up to six sentences on the methods of a study.

    Args:
        results: all runs of the study.
        statistics: names in `STATISTICS` of what the numbers of the report were made by.
    """
    sentences = (
        _variants(results),
        _training(results),
        search_sentence(results.plan),
        _comparison(results, statistics),
        _diagnostics(results),
        _software(results),
    )
    return tuple(sentence for sentence in sentences if sentence)


def _variants(results: StudyResults) -> str:
    plan = results.plan
    count = len(plan.cells)
    many = f"{count} variants" if count > 1 else "one variant"
    if plan.study.module is not None:
        what = f"the module {plan.study.module.import_path}"
    else:
        what = f"a {cited(TRAINING['transformer'])} of {_sizes(results)}"
    factors = {k: v for k, v in _levels(results).items() if len(v) > 1}
    listed = "; ".join(f"{factor_label(k)}: {_listed(results, k, v)}" for k, v in factors.items())
    how = ", one change from the baseline each" * isinstance(plan.study.design, OneAtATime)
    parts = [f"We compare {many} of {what}" if count > 1 else f"We train {many} of {what}"]
    if listed:
        parts.append(f"{how} ({listed})")
    if plan.study.module is None and (fixed := _fixed_parts(results, factors)):
        parts.append(f", with {any_of(fixed, 'and')}" + " throughout" * (count > 1))
    return "".join(parts) + "."


def _sizes(results: StudyResults) -> str:
    return ", ".join(
        (
            _of(results, "model.n_layers", "layer"),
            f"width {_value(results, 'model.d_model')}",
            _of(results, "model.n_heads", "head"),
        )
    )


def _of(results: StudyResults, key: str, what: str) -> str:
    value = _value(results, key)
    if value in (VARIED, SEARCHED):
        return f"a {value} number of {what}s"
    return f"{value} {what}" if value == "1" else f"{value} {what}s"


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
    if own or key not in VOCABULARIES:
        return ", ".join(label_of(key, v) if isinstance(v, str) else plain_value(v) for v in levels)
    return ", ".join(cited(VOCABULARIES[key][str(level)]) for level in levels)


def _fixed_parts(results: StudyResults, factors: Iterable[str]) -> list[str]:
    """What all variants of the built-in model have alike."""
    found = []
    noun = {"model.placement": " placement of norms", "model.position": " positions"}
    for key in FIXED_PARTS:
        value = _shared(results, key)
        if key in factors or value is None or value == "none":
            continue
        level = VOCABULARIES[key][str(value)]
        found.append(cited(level, level.label + noun.get(key, "")))
    draws = {str(r.facts["initialization"]) for r in results.records.values()
             if "initialization" in r.facts}  # fmt: skip
    if len(draws) == 1 and (name := draws.pop()) in VOCABULARIES["model.initialization"]:
        level = VOCABULARIES["model.initialization"][name]
        found.append(cited(level, f"{level.label} initialisation"))
    for switch in ("qk_norm", "tied_head"):
        if _shared(results, f"model.{switch}") is True:
            found.append(cited(TRAINING[switch]))
    if dropout := _shared(results, "model.dropout"):
        found.append(cited(TRAINING["dropout"], f"dropout {plain_value(dropout)}"))
    return found


def _shared(results: StudyResults, key: str) -> Scalar:
    """The value of a key that all cells have; None where they differ."""
    values = [value_at(cell.configuration, key) for cell in results.plan.cells]
    first: Scalar = values[0]
    return first if all(value == first for value in values) else None


def _value(results: StudyResults, key: str) -> str:
    """The value in words: "0.001", "varied", "searched"."""
    if key in results.plan.nuisance:
        return SEARCHED
    value = _shared(results, key)
    return VARIED if value is None else plain_value(value)


def _training(results: StudyResults) -> str:
    plan = results.plan
    verb = "were trained" if results.records else "are to be trained"
    length = length_text(cell.configuration for cell in plan.cells)
    tokens = f"{_value(results, 'training.batch_size')} × " \
             f"{_value(results, 'model.context_length')} tokens"  # fmt: skip
    budget = plan.study.protocol.budget
    if budget is not None and budget.minutes is not None:
        length = f"{length} of training{mark(TRAINING['minutes'].cite)} in steps of {tokens}"
    else:
        length = f"{length} of {tokens}"
        if budget is not None:
            source = mark(TRAINING["flops"].cite) if budget.flops is not None else ""
            length += f" (an equal budget of {budget_unit(plan)}{source})"
    if plan.study.module is not None:
        by = "with the optimiser of the module"
    else:
        by = f"with {cited(TRAINING['adamw'])} and {_rate(results)}"
    clip = _shared(results, "training.gradient_clip_norm")
    clipped = f", gradients clipped{mark(TRAINING['clipping'].cite)} to norm {clip:g}" \
        if isinstance(clip, int | float) else ""  # fmt: skip
    return f"Runs {verb} on {_corpus(results)} for {length}, {by}{clipped}{_matching(results)}."


def _corpus(results: StudyResults) -> str:
    tokenizer = _shared(results, "data.tokenizer")
    if tokenizer in TOKENIZERS:
        tokenizer = cited(TOKENIZERS[str(tokenizer)])
    return f"{_value(results, 'data.corpus')} (tokenizer: {tokenizer or VARIED})"


def _rate(results: StudyResults) -> str:
    peak, warmup = _value(results, "training.learning_rate"), _value(results, _WARMUP)
    rate = f"a {peak} learning rate" if peak in (VARIED, SEARCHED) else f"learning rate {peak}"
    up = "no warm-up" if warmup == "0" else f"linear warm-up ({_of(results, _WARMUP, 'step')})"
    fraction = _value(results, "training.final_learning_rate_fraction")
    if fraction == "1":
        return f"{rate}, {up}, constant from there on"
    return f"{rate}, {up}, {cited(TRAINING['cosine'])} to {fraction} of the peak"


def _matching(results: StudyResults) -> str:
    """Where gated and ungated variants were given the same size."""
    match = results.plan.study.protocol.match
    names = {str(value_at(c.configuration, "model.activation")) for c in results.plan.cells}
    if results.plan.study.module is not None or match == "none":
        return ""
    if not any(ACTIVATIONS[name].gated for name in names):
        return ""
    what = "parameters" if match == "parameters" else "FLOPs"
    source = mark(TRAINING["matched_width"].cite)
    return f"; the hidden width of gated feed-forwards keeps their {what} equal{source}"


def _comparison(results: StudyResults, statistics: Iterable[str]) -> str:
    seeds = len(results.plan.study.seeds)
    outcomes = results.outcomes()
    on = f"{seeds} paired seeds" if seeds > 1 else "one seed, which gives no interval"
    evaluation = _shared(results, "data.evaluation_tokens")
    size = f" of {grouped(evaluation)} tokens" if isinstance(evaluation, int) else ""
    sentence = (
        "The outcome is the validation loss at the last step on a fixed evaluation set"
        f"{size}, without selection of checkpoints, on {on}"
    )
    level = percent(results.plan.study.report.confidence)
    names = [
        cited(row, f"{row.label} ({level})" if name in INTERVALS else row.label)
        for name, row in STATISTICS.items()
        if name in set(statistics)
    ]
    if names:
        sentence += f"; it is reported with {any_of(names, 'and')}"
    done = sum(outcomes[o] for o in FINISHED) == len(results.plan.runs)
    if not done or not results.plan.is_settled:
        text = progress_text(outcomes, searching=not results.plan.is_settled)
        sentence += f" (partial: {text})"
    return sentence + "."


def _diagnostics(results: StudyResults) -> str:
    """The diagnostics that left a curve."""
    recorded = set(results.layered) | set(results.histories["metric"].cat.categories)
    found = {DIAGNOSTIC_OF[family] for family in recorded if family in DIAGNOSTIC_OF}
    names = [cited(row) for name, row in DIAGNOSTICS.items() if name in found]
    return f"Recorded while training: {', '.join(names)}." if names else ""


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
