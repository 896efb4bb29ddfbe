"""Pre-flight: build the data and try each variant small before any device is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studies.configuration import leaf_name
from studies.designs import cell_factors
from studies.errors import AblationError
from studies.fairness import size_problems, wants_measured_sizes
from studies.plan import NO_SETTINGS, Cell, Plan
from studies.protocol_levels import corners
from studies.schema import ModelConfig, factor_keys

if TYPE_CHECKING:
    from lightning_modules.checks import VariantCheck
    from lightning_modules.data.token_store import TokenStore

THROUGH_CONSTRUCTOR = {
    *(f"model.{name}" for name in ModelConfig.model_fields if name != "context_length"),
    "training.learning_rate",
    "training.final_learning_rate_fraction",
    "training.warmup_steps",
    "training.weight_decay",
    "training.beta1",
    "training.beta2",
    "training.adam_eps",
    "training.compile",
}
"""Keys that reach a module of one's own as arguments or not at all: the harness, which reads data,
cuts windows, counts steps and clips gradients, has no use for them."""


@dataclass(frozen=True)
class Preflight:
    """What was found; a study whose `problems` are not empty must not run."""

    checks: dict[str, VariantCheck]
    """By variant."""
    data: tuple[dict[str, object], ...]
    """What each distinct data configuration became."""
    tasks: tuple[str, ...] = ()
    """What each task became, in a line."""
    mismatches: tuple[str, ...] = ()
    """Sizes that the protocol refuses, of variants whose size no plan knows."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Every problem once, with the variants that have it."""
        return (*self.said_once(lambda check: check.problems), *self.mismatches)

    def said_once(self, texts: Callable[[VariantCheck], Iterable[str]]) -> tuple[str, ...]:
        """Each text that checks give, behind the variants that it is about."""
        variants: dict[str, list[str]] = {}
        for variant, check in self.checks.items():
            for text in texts(check):
                variants.setdefault(text, []).append(variant)
        every = len(self.checks)
        return tuple(
            f"{f'all {every} variants' if len(v) == every > 1 else ', '.join(v)}: {text}"
            for text, v in variants.items()
        )

    def raise_for_problems(self) -> None:
        """Refuse a study that would waste its runs.

        Raises:
            AblationError: a variant has a problem; all of them are listed.
        """
        if self.problems:
            lines = "\n".join(f"  - {problem}" for problem in self.problems)
            raise AblationError(
                f"pre-flight found {len(self.problems)} problems; nothing was run.\n{lines}\n"
                "Mend the study or the module, or exclude these cells."
            )


def preflight(plan: Plan, cache: Path, on_step: Callable[[str], None]) -> Preflight:
    """Build every corpus of the plan and check every cell on a small version of its model.

    Raises:
        AblationError: the data cannot be built, or what is varied changes nothing.
    """
    from lightning_modules.checks import check_batches, check_variant
    from lightning_modules.data.token_store import build_token_store
    from lightning_modules.keepsakes import study_prompts

    _refuse_idle_keys(plan)
    stores: dict[str, TokenStore] = {}
    checks = {}
    for number, cell in enumerate(plan.cells, 1):
        spec = cell.spec(plan.study.seeds[0])
        key = _data_key(cell)
        if key not in stores:
            on_step(f"data: {spec.data.corpus} as {spec.data.tokenizer}")
            stores[key] = build_token_store(spec.data, cache)
        check_batches(spec, stores[key])
        study_prompts(spec, stores[key], plan.study.samples)
        on_step(f"pre-flight {number}/{len(plan.cells)}: {cell.variant}")
        checks[cell.variant] = check_variant(spec, vocabulary_size=stores[key].vocabulary_size)
    tasks = tuple(_task_lines(plan, stores, on_step))
    data: list[dict[str, object]] = [dict(store.describe()) for store in stores.values()]
    return Preflight(checks, tuple(data), tasks, _mismatches(plan, checks))


def _task_lines(
    plan: Plan, stores: Mapping[str, TokenStore], on_step: Callable[[str], None]
) -> Iterator[str]:
    """What the examples of each task come to in the tokens and the context of each variant.

    Raises:
        AblationError: files cannot be read, a row is malformed, or the context is too short.
    """
    if not plan.arms:
        return
    from lightning_modules.checkpoints import TOKENIZER
    from lightning_modules.data.codec import Codec
    from lightning_modules.finetuning.task_data import read_task

    seen = set()
    of_task = {(arm.variant, arm.task) for arm in plan.arms}
    for cell in plan.cells:
        data, length = _data_key(cell), cell.configuration["model"]["context_length"]
        for name, task in plan.tasks.items():
            if (cell.variant, name) not in of_task or (data, length, name) in seen:
                continue
            seen.add((data, length, name))
            on_step(f"task: {name}")
            codec = Codec(stores[data].directory / TOKENIZER)
            yield f"{name}: {read_task(task, codec, length).describe()}"


def _data_key(cell: Cell) -> str:
    return json.dumps(cell.configuration["data"], sort_keys=True, default=str)


def _mismatches(plan: Plan, checks: Mapping[str, VariantCheck]) -> tuple[str, ...]:
    """What the protocol refuses of the sizes that the checks measured."""
    if not wants_measured_sizes(plan):
        return ()
    cells = tuple(
        cell.model_copy(
            update={
                "parameters": checks[cell.variant].parameters,
                "flops_per_token": checks[cell.variant].flops_per_token,
            }
        )
        for cell in plan.cells
    )
    return tuple(size_problems(plan.model_copy(update={"cells": cells})))


def _refuse_idle_keys(plan: Plan) -> None:
    """Refuse keys that a module of one's own never hears of: their values are one model.

    Raises:
        AblationError: there are such keys, or arguments that its constructor does not take.
    """
    from lightning_modules.custom import bind_arguments, load_class

    varied = [
        key
        for key in cell_factors(plan.study)
        if key in THROUGH_CONSTRUCTOR and len({cell.levels[key] for cell in plan.cells}) > 1
    ]
    varied += plan.nuisance
    if plan.study.module is None or not varied or not plan.cells:
        return
    setting = next(corners(plan.study.protocol.search), NO_SETTINGS)
    module = plan.cells[0].spec(plan.study.seeds[0], setting).module
    assert module is not None
    where_from = {leaf_name(key): key for key in (*factor_keys(), "seed", "vocabulary_size")}
    bound = bind_arguments(load_class(module.import_path), module, where_from)
    idle = [k for k in varied if k in THROUGH_CONSTRUCTOR and bound.get(leaf_name(k)) != k]
    if idle:
        given = [key for key in idle if leaf_name(key) in module.arguments]
        reasons = [f"module.arguments gives {leaf_name(key)}" for key in given]
        reasons += [f"no argument is called {leaf_name(k)}" for k in idle if k not in given]
        raise AblationError(
            f"{', '.join(idle)} {'changes' if len(idle) == 1 else 'change'} nothing: "
            f"{module.import_path} learns of such keys by its constructor alone, and "
            f"{'; '.join(reasons)}. Their values would be one model under several names. Let the "
            "constructor take them, vary module.arguments.NAME in their place, or remove them from "
            "factors or protocol.search."
        )
