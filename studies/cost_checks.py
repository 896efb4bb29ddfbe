"""Checking what the runs of a study cost: what a budget buys, what a search must not change."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

from studies.budgets import step_cost
from studies.configuration import Configuration, leaf_name
from studies.designs import Combination
from studies.errors import ABSENT
from studies.estimates import estimate
from studies.findings import Findings
from studies.protocol import Budget, Fixed
from studies.protocol_levels import ALLOWED, ends, place_of
from studies.resolution import resolve
from studies.schema import ModelConfig, Study
from studies.values import Scalar

VOCABULARY_SIZE = 256
"""Tokens of models whose costs are compared: with any other number the same ones are equal."""


def check_costs(study: Study, combinations: Sequence[Combination], findings: Findings) -> None:
    """A budget buys each combination a step, and no searched key changes the size of a model."""
    budget, searched = study.protocol.budget, _searched_of_gpt(study)
    if budget is not None and budget.minutes is not None:
        budget = None
    if budget is None and not searched:
        return
    configurations = [resolve(study, levels).configuration for levels in combinations]
    if budget is not None:
        _check_budget(budget, configurations, findings)
    models = {str(c["model"]): ModelConfig(**c["model"]) for c in configurations}
    for name in searched:
        _check_size(study, name, searched, models.values(), findings)


def _check_budget(
    budget: Budget, configurations: Sequence[Configuration], findings: Findings
) -> None:
    """What a step costs is known of every combination, and the budget buys one."""
    unit = "tokens" if budget.flops is None else "flops"
    amount = getattr(budget, unit)
    prices = [step_cost(budget, configuration) for configuration in configurations]
    for configuration, price in zip(configurations, prices, strict=True):
        if price is None:
            findings.add(
                "protocol.budget.flops",
                amount,
                "a study of the built-in GPT with the tokenizer bytes or bpe, whose FLOPs are "
                f"known before its data is read (with {_unknown(configuration)})",
                "give the budget in tokens or minutes",
            )
    known = [(price, number) for number, price in enumerate(prices) if price is not None]
    dearest, number = max(known, default=(0.0, 0))
    if amount < dearest:
        sequences = configurations[number]["training"]["batch_size"]
        length = configurations[number]["model"]["context_length"]
        findings.add(
            f"protocol.budget.{unit}",
            amount,
            f"at least {dearest:,.0f}, the cost of a step of {sequences} sequences "
            f"(training.batch_size) of {length} tokens (model.context_length)",
            "raise the budget, or make the step smaller",
        )


def _unknown(configuration: Configuration) -> str:
    """What makes the FLOPs of a combination unknown."""
    if configuration["module"] is not None:
        return f"module.import_path = {configuration['module']['import_path']!r}"
    return f"data.tokenizer = {configuration['data']['tokenizer']!r}"


def _searched_of_gpt(study: Study) -> dict[str, tuple[Scalar, ...]]:
    """What a search tries of the parts of the built-in GPT: name to values, of a range its ends."""
    search = study.protocol.search
    if study.module is not None or isinstance(search, Fixed):
        return {}
    return {leaf_name(k): ends(t) for k, t in search.tried.items() if k.startswith("model.")}


def _check_size(
    study: Study,
    name: str,
    searched: dict[str, tuple[Scalar, ...]],
    models: Collection[ModelConfig],
    findings: Findings,
) -> None:
    """Whatever else is chosen, the model costs the same at each value of one key."""
    others = {other: values for other, values in searched.items() if other != name}
    for model in (changed for base in models for changed in _models(base, others)):
        size = estimate(model, VOCABULARY_SIZE)
        for value in searched[name]:
            if estimate(model.model_copy(update={name: value}), VOCABULARY_SIZE) != size:
                findings.add(
                    place_of(study.protocol.search, f"model.{name}"),
                    ABSENT,
                    f"{ALLOWED}; with {value} parameters or FLOPs are others than with "
                    f"{getattr(model, name)}",
                    "vary it as a factor, or search values of one size, which is the study's own",
                )
                return


def _models(model: ModelConfig, searched: dict[str, tuple[Scalar, ...]]) -> Iterator[ModelConfig]:
    """A model as the study has it and at every setting of searched keys."""
    choices = {name: (getattr(model, name), *values) for name, values in searched.items()}
    for values in itertools.product(*choices.values()):
        yield model.model_copy(update=dict(zip(choices, values, strict=True)))
