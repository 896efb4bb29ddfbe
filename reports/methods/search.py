"""The sentence on methods that tells how hyper-parameters were chosen, and what was ended early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from reports.references import cited, mark
from reports.words import any_of, factor_label, plain_value, settings_text
from studies.configuration import value_at
from studies.methods import SOFTWARE
from studies.plan import NO_SETTINGS, Plan
from studies.protocol import Fixed, Range, Sweep
from studies.pruners import PRUNERS
from studies.samplers import SAMPLERS
from studies.values import Scalar

MOST_COUNTED = 6
"""Chosen values of a key that are counted one by one; of more, the ends are told."""


def search_sentences(plan: Plan) -> tuple[str, ...]:
    """How nuisance keys were set, what was chosen, and which runs were ended early."""
    return (f"{_search(plan)}{_pruning(plan)}.", *_chosen(plan))


def _search(plan: Plan) -> str:
    search = plan.study.protocol.search
    if isinstance(search, Fixed):
        if len(plan.cells) == 1:
            return "No hyper-parameter was searched for"
        follows = following(plan)
        verb = "follows" if len(follows) == 1 else "follow"
        beside = f", and for {any_of(follows, 'and')}, which {verb} from it" if follows else ""
        return (
            "No hyper-parameter was searched for: all variants have the same settings, but for "
            f"what is compared{beside}"
        )
    declared = {key: _tried(values) + _added(plan, key) for key, values in search.tried.items()}
    tried = any_of([f"{factor_label(key)} ({text})" for key, text in declared.items()], "and")
    if isinstance(search, Sweep):
        how = "a sweep"
    else:
        optuna = cited(SOFTWARE["optuna"])
        sampler = cited(SAMPLERS[search.sampler])
        how = f"{search.trials} trials that {optuna} proposed with {sampler}"
    seeds = "one seed" if len(search.seeds) == 1 else f"{len(search.seeds)} seeds"
    verb = "was" if len(search.tried) == 1 else "were"
    sentence = (
        f"For each variant, {tried} {verb} chosen by {how}, by the lowest mean final loss "
        "(capped at that before training, as which a diverged run counts) on "
        f"{seeds} that no compared run uses"
    )
    if at_edge := sum(bool(choice.edges) for choice in plan.choices.values()):
        sentence += (
            f"; the choice of {at_edge} of {len(plan.cells)} variants is at an edge of these"
        )
    if not plan.is_settled:
        sentence += f" (chosen so far for {len(plan.choices)} of {len(plan.cells)} variants)"
    return sentence


def _added(plan: Plan, key: str) -> str:
    """The values of a key that the search was extended by."""
    tried = [trial.settings[key] for trial in plan.trials if trial.extension]
    given = {trial.settings[key] for trial in plan.trials if not trial.extension}
    added = sorted({v for v in tried if isinstance(v, int | float) and v not in given})
    if not added:
        return ""
    ends = {step.side for step in plan.extensions if step.key == key}
    at = "both ends" if len(ends) > 1 else f"the {' '.join(ends)} end"
    shown = any_of([plain_value(value) for value in added], "and")
    return f", extended for all variants alike beyond {at} to {shown}"


def _chosen(plan: Plan) -> list[str]:
    """What the search chose, and the shared values that stand beside."""
    found = []
    for key in plan.nuisance:
        counts = Counter(choice.settings[key] for choice in plan.choices.values())
        if counts:
            found.append(f"{factor_label(key)} {_counted(counts, len(plan.cells))}")
    so_far = " so far" * (not plan.is_settled)
    sentences = [f"The search chose{so_far} {any_of(found, 'and')}."] if found else []
    shared = [plan.settings(cell.variant, NO_SETTINGS) for cell in plan.cells]
    if shared[0] and all(settings == shared[0] for settings in shared):
        at = settings_text(shared[0])
        sentences.append(f"All variants are also compared at the same setting, {at}.")
    return sentences


def _counted(counts: Counter[Scalar], variants: int) -> str:
    """Values, each with its number of variants; of many numbers the least and the greatest."""
    if max(counts.values()) == variants > 1:
        return f"{plain_value(next(iter(counts)))} for all variants"
    numbers = sorted(value for value in counts if isinstance(value, int | float))
    if len(numbers) == len(counts) > MOST_COUNTED:
        return f"{plain_value(numbers[0])} to {plain_value(numbers[-1])}"
    values = numbers if len(numbers) == len(counts) else list(counts)
    named = [f"{plain_value(value)} for {counts[value]}" for value in values]
    named[0] += " variant" if counts[values[0]] == 1 else " variants"
    return any_of(named, "and")


FOLLOWING = {"model.d_ff": "the hidden width", "training.max_steps": "the number of steps"}
"""What a protocol sets for each variant, in words."""


def following(plan: Plan) -> list[str]:
    """Settings in which variants differ without being compared in them, in words.

    Those that mean something for some variants only, and digests of what is compared, are none.
    """
    factors = {key for cell in plan.cells for key in cell.levels}
    found, absent = [], {repr(None), repr("none")}
    for section, settings in plan.cells[0].configuration.items():
        for name in settings if isinstance(settings, Mapping) else ():
            key = f"{section}.{name}"
            values = {repr(value_at(cell.configuration, key)) for cell in plan.cells} - absent
            if len(values) > 1 and key not in factors and not name.endswith("_digest"):
                found.append(FOLLOWING.get(key, factor_label(key)))
    return found


def _tried(values: Range | tuple[Scalar, ...]) -> str:
    if isinstance(values, Range):
        scale = {"log": "log-uniform", "linear": "uniform"}[values.scale]
        return f"{values.low:g} to {values.high:g}, {scale}"
    return ", ".join(map(plain_value, values))


def _pruning(plan: Plan) -> str:
    pruning = plan.study.protocol.pruning
    if pruning is None:
        return ""
    which = "runs of the search" if pruning.stage == "search" else "compared runs"
    level = PRUNERS[pruning.pruner]
    pruner = cited(level, f"the pruner {level.label}")
    return f"; {which} without hope were ended by {pruner} of Optuna{mark(SOFTWARE['optuna'].cite)}"
