"""Pre-flight: build the data and try each variant small before any device is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studies.errors import AblationError
from studies.plan import Plan

if TYPE_CHECKING:
    from lightning_modules.checks import VariantCheck
    from lightning_modules.data.token_store import TokenStore


@dataclass(frozen=True)
class Preflight:
    """What was found; a study whose `problems` are not empty must not run."""

    checks: dict[str, VariantCheck]
    """By variant."""
    data: tuple[dict[str, object], ...]
    """What each distinct data configuration became."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Every problem once, with the variants that have it."""
        return self.said_once(lambda check: check.problems)

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
    """Build every corpus of the plan and check every cell on a small version of its model."""
    from lightning_modules.checks import check_batches, check_variant
    from lightning_modules.data.token_store import build_token_store

    stores: dict[str, TokenStore] = {}
    checks = {}
    for number, cell in enumerate(plan.cells, 1):
        spec = cell.spec(plan.study.seeds[0])
        key = json.dumps(cell.configuration["data"], sort_keys=True, default=str)
        if key not in stores:
            on_step(f"data: {spec.data.corpus} as {spec.data.tokenizer}")
            stores[key] = build_token_store(spec.data, cache)
        check_batches(spec, stores[key])
        on_step(f"pre-flight {number}/{len(plan.cells)}: {cell.variant}")
        checks[cell.variant] = check_variant(spec, vocabulary_size=stores[key].vocabulary_size)
    return Preflight(checks, tuple(dict(store.describe()) for store in stores.values()))
