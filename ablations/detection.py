"""What a study will be able to show: the smallest difference that its seeds can detect."""

from __future__ import annotations

from collections.abc import Iterator

from ablations.numerals import significant
from ablations.pilot import Spread, known_spread
from ablations.run_directory import StudyDirectory
from studies.errors import AblationError
from studies.plan import Plan


def detection_lines(
    plan: Plan, directory: StudyDirectory, difference: float | None = None
) -> Iterator[str]:
    """What the seeds of a plan can detect; with a difference, also how many seeds would.

    Args:
        plan: the study.
        directory: where runs are looked for that say how differences scatter.
        difference: to be detected, nats per token.

    Raises:
        AblationError: a difference is given, and nothing says how differences scatter.
    """
    comparisons = len(plan.study.hypotheses) or len(plan.cells) - 1
    if len(plan.cells) == 1:
        yield "detectable: nothing, since there is one cell, and nothing to compare it with"
        return
    spread = known_spread(plan, directory)
    yield from _detectable(plan, comparisons, spread)
    if difference is None:
        return
    if spread is None or not spread.sd > 0:
        raise AblationError(
            f"--detect {difference:g}: how many seeds that takes depends on how far differences "
            f"scatter, and {directory.path} holds no two seeds of a variant and of the baseline. "
            "Run a pilot first (`ablate run STUDY --pilot 3`), then ask again."
        )
    yield _seeds(plan, comparisons, spread, difference)


def _detectable(plan: Plan, comparisons: int, spread: Spread | None) -> Iterator[str]:
    from reports.analysis.power import POWER, first_holm_step, smallest_detectable_difference

    n, confidence = len(plan.study.seeds), plan.study.report.confidence
    if n < 2:
        yield "detectable: nothing can be tested with 1 seed; a paired test takes 2 or more"
        return
    levels = [confidence, first_holm_step(confidence, comparisons)][: 1 + (comparisons > 1)]
    in_sd = [smallest_detectable_difference(1.0, n, level) for level in levels]
    yield (
        f"detectable with {n} seeds (paired t test, {100 * confidence:g} % confidence, "
        f"{100 * POWER:g} % power): {_both(in_sd, 'SD of the paired difference', comparisons)}"
    )
    if spread is not None:
        in_nats = [spread.sd * value for value in in_sd]
        yield (
            f"that is {_both(in_nats, 'nats/token', comparisons)}; SD {_sd(spread)}, from "
            f"{spread.source}"
        )


def _seeds(plan: Plan, comparisons: int, spread: Spread, difference: float) -> str:
    from reports.analysis.power import MOST_SEEDS, first_holm_step, seeds_needed

    confidence = plan.study.report.confidence
    levels = [confidence, first_holm_step(confidence, comparisons)][: 1 + (comparisons > 1)]
    needed = [seeds_needed(difference / spread.sd, level) for level in levels]
    words = [f"more than {MOST_SEEDS}" if n is None else str(n) for n in needed]
    holm = f", {words[1]} in Holm's first step" if len(words) > 1 else ""
    return f"to detect {difference:g} nats/token takes {words[0]} seeds{holm}"


def _both(values: list[float], unit: str, comparisons: int) -> str:
    """A value for one comparison alone, and where there are several for the strictest of them."""
    first, *rest = (significant(value, 2) for value in values)
    return f"{first} {unit}" + "".join(
        f", {v} in Holm's first of {comparisons} steps" for v in rest
    )


def _sd(spread: Spread) -> str:
    """The SD, and over how many variants and seeds."""
    if spread.variants == 1:
        return f"{significant(spread.sd, 2)} of {spread.seeds} paired seeds"
    least, most = significant(spread.least, 2), significant(spread.most, 2)
    return (
        f"{significant(spread.sd, 2)} (pooled over {spread.variants} variants, {least} to {most}, "
        f"up to {spread.seeds} seeds each)"
    )
