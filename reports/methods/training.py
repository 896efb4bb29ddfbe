"""The sentence on methods that tells how runs were trained."""

from __future__ import annotations

from collections.abc import Iterable

from reports.methods.values import (
    PRECISIONS,
    SEARCHED,
    VARIED,
    number_of,
    text_words,
    value,
)
from reports.references import cited, formula, mark
from reports.results.frame import StudyResults
from reports.words import grouped
from studies.budgets import length_text
from studies.configuration import value_at
from studies.fairness import budget_unit
from studies.methods import TRAINING
from studies.plan import Cell
from studies.vocabulary import ACTIVATIONS

_WARMUP = "training.warmup_steps"


def training_sentence(results: StudyResults) -> str:
    """Text, length, optimiser and its settings, precision, and what was matched."""
    verb = "were trained" if results.records else "are to be trained"
    parts = [
        f"Runs {verb} on {text_words(results)} for {_length(results)}",
        _optimizer(results),
        *_clipping(results),
        *_dropout(results),
        _precision(results),
    ]
    return f"{', '.join(parts)}{_matching(results)}."


def _length(results: StudyResults) -> str:
    plan = results.plan
    length = length_text(cell.configuration for cell in plan.cells)
    tokens = f"{value(results, 'training.batch_size')} × " \
             f"{value(results, 'model.context_length')} tokens"  # fmt: skip
    budget = plan.study.protocol.budget
    if budget is not None and budget.minutes is not None:
        return f"{length} of training{mark(TRAINING['minutes'].cite)} in steps of {tokens}"
    if budget is None:
        return f"{length} of {tokens}"
    source = mark(TRAINING["flops"].cite) if budget.flops is not None else ""
    return f"{length} of {tokens} (an equal budget of {budget_unit(plan)}{source})"


def _optimizer(results: StudyResults) -> str:
    if results.plan.study.module is not None:
        return "with the optimiser of the module"
    listed = [
        _constant("β₁", r"\beta_1", value(results, "training.beta1")),
        _constant("β₂", r"\beta_2", value(results, "training.beta2")),
        _constant("ε", r"\varepsilon", value(results, "training.adam_eps")),
        f"weight decay {value(results, 'training.weight_decay')}",
    ]
    return f"with {cited(TRAINING['adamw'])} ({', '.join(listed)}) and {_rate(results)}"


def _constant(plain: str, tex: str, found: str) -> str:
    """A constant with its value, in LaTeX as maths, with a power of ten: "ε = 1e-08"."""
    if found in (VARIED, SEARCHED):
        return f"{formula(plain, f'${tex}$')} {found}"
    number, _, power = found.partition("e")
    if power:
        times = "" if number == "1" else rf"{number} \times "
        number = f"{times}10^{{{int(power)}}}"
    return formula(f"{plain} = {found}", f"${tex} = {number}$")


def _rate(results: StudyResults) -> str:
    peak, warmup = value(results, "training.learning_rate"), value(results, _WARMUP)
    rate = f"a {peak} learning rate" if peak in (VARIED, SEARCHED) else f"learning rate {peak}"
    up = (
        "no warm-up" if warmup == "0" else f"linear warm-up ({number_of(results, _WARMUP, 'step')})"
    )
    fraction = value(results, "training.final_learning_rate_fraction")
    if fraction == "1":
        return f"{rate}, {up}, constant from there on"
    return f"{rate}, {up}, {cited(TRAINING['cosine'])} to {fraction} of the peak"


def _clipping(results: StudyResults) -> list[str]:
    clip = value(results, "training.gradient_clip_norm")
    is_known = any(
        value_at(cell.configuration, "training.gradient_clip_norm") is not None
        for cell in results.plan.cells
    )
    if not is_known:
        return ["gradients not clipped"]
    return [f"gradients clipped{mark(TRAINING['clipping'].cite)} to norm {clip}"]


def _dropout(results: StudyResults) -> list[str]:
    """Of the built-in model; a module of one's own has its own."""
    if results.plan.study.module is not None:
        return []
    dropout = value(results, "model.dropout")
    return ["no dropout" if dropout == "0" else cited(TRAINING["dropout"], f"dropout {dropout}")]


def _precision(results: StudyResults) -> str:
    precision = value(results, "training.precision")
    return f"in {PRECISIONS.get(precision, f'{precision} precision')}"


def _matching(results: StudyResults) -> str:
    """Where gated and ungated variants were given the same size, and what width that took."""
    plan = results.plan
    match = plan.study.protocol.match
    gated = [cell for cell in plan.cells if _is_gated(cell)]
    if plan.study.module is not None or match == "none" or not gated:
        return ""
    what = "parameters" if match == "parameters" else "FLOPs"
    source = mark(TRAINING["matched_width"].cite)
    others = _widths(cell for cell in plan.cells if not _is_gated(cell))
    widths = f"{_widths(gated)} units" + (f", {others} without a gate" if others else "")
    return (
        f"; the hidden width of gated feed-forwards is set so that their {what} match those of an "
        f"ungated one{source} ({widths})"
    )


def _is_gated(cell: Cell) -> bool:
    return ACTIVATIONS[str(value_at(cell.configuration, "model.activation"))].gated


def _widths(cells: Iterable[Cell]) -> str:
    """Hidden widths: "171", or "171 to 683"; empty without cells."""
    widths = sorted({int(value_at(cell.configuration, "model.d_ff")) for cell in cells})
    return " to ".join(grouped(n) for n in dict.fromkeys(widths[:1] + widths[-1:]))
