"""The sentence on methods that tells how hyper-parameters were chosen, and what was ended early."""

from __future__ import annotations

from collections.abc import Mapping

from reports.references import cited, mark
from reports.words import any_of, factor_label, plain_value
from studies.configuration import value_at
from studies.methods import SOFTWARE
from studies.plan import Plan
from studies.protocol import Fixed, Range, Sweep
from studies.pruners import PRUNERS
from studies.samplers import SAMPLERS
from studies.values import Scalar


def search_sentence(plan: Plan) -> str:
    """How nuisance keys were set, and which runs were ended early."""
    return f"{_search(plan)}{_pruning(plan)}."


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
    declared = {key: _tried(values) for key, values in search.tried.items()}
    if isinstance(search, Sweep):
        declared |= {key: text for key in declared if (text := _swept(plan, key))}
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
        f"(capped at that before training) on {seeds} that no compared run uses"
    )
    if at_edge := sum(bool(choice.edges) for choice in plan.choices.values()):
        sentence += (
            f"; the choice of {at_edge} of {len(plan.cells)} variants is at an edge of these"
        )
    if not plan.is_settled:
        sentence += f" (chosen so far for {len(plan.choices)} of {len(plan.cells)} variants)"
    return sentence


FOLLOWING = {"model.d_ff": "the hidden width", "training.max_steps": "the number of steps"}
"""What a protocol sets for each variant, in words."""


def following(plan: Plan) -> list[str]:
    """Settings in which variants differ without being compared in them, in words.

    Those that mean something for some variants only, and digests of what is compared, are none.
    """
    factors = {key for cell in plan.cells for key in cell.levels}
    found = []
    for section, settings in plan.cells[0].configuration.items():
        for name in settings if isinstance(settings, Mapping) else ():
            key = f"{section}.{name}"
            values = {repr(value_at(cell.configuration, key)) for cell in plan.cells} - {"None"}
            if len(values) > 1 and key not in factors and not name.endswith("_digest"):
                found.append(FOLLOWING.get(key, factor_label(key)))
    return found


def _swept(plan: Plan, key: str) -> str:
    """The values that runs of the search have, those that it was extended by among them."""
    found = {
        plan.settings(run.variant, run.settings)[key] for run in plan.runs if run.stage == "search"
    }
    numbers = sorted(value for value in found if isinstance(value, int | float))
    return _tried(tuple(numbers)) if len(numbers) == len(found) else ""


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
