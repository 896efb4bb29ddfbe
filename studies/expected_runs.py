"""The runs that a study is going to have: those of its plan, and those its search will ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from studies.finetuning_plan import finetunings_of_a_seed
from studies.plan import NO_SETTINGS, FinetuningArm, Plan, PlannedRun, Stage
from studies.protocol import Fixed, Tune
from studies.protocol_levels import corners
from studies.search import spans
from studies.values import Scalar


@dataclass(frozen=True)
class ExpectedRuns:
    """Runs of one variant that cost the same."""

    variant: str
    stage: Stage
    settings: tuple[Mapping[str, Scalar], ...]
    """Their values of nuisance keys; several where the search has yet to choose, between them."""
    count: int
    arm: FinetuningArm | None = None
    """How they fine-tune, if they do."""


def expected_runs(plan: Plan, ended: Collection[str] = ()) -> list[ExpectedRuns]:
    """Every run that is still to come, stage by stage; extensions of a search aside.

    A choice may turn out to be the shared values, whose runs are there already: there are then
    fewer runs, and never more.

    Args:
        plan: with what its search has come to.
        ended: keys of the runs that do not count.
    """
    found = [*_planned(plan, ended), *_to_be_asked_for(plan)]
    return sorted(found, key=lambda runs: get_args(Stage).index(runs.stage))


def _planned(plan: Plan, ended: Collection[str]) -> Iterator[ExpectedRuns]:
    runs = [run for run in plan.all_runs if run.run_key not in ended]
    counts = Counter(map(_kind, runs))
    first = {_kind(run): run for run in reversed(runs)}
    for kind, count in counts.items():
        run = first[kind]
        arm = None if run.task is None else plan.arm(run)
        yield ExpectedRuns(run.variant, run.stage, (run.settings or NO_SETTINGS,), count, arm)


def _kind(run: PlannedRun) -> tuple[str, ...]:
    return run.variant, run.stage, str(run.settings), str(run.task), run.arm


def _to_be_asked_for(plan: Plan) -> Iterator[ExpectedRuns]:
    """Trials that are not proposed yet, and the runs at settings that are not chosen yet."""
    search = plan.study.protocol.search
    if isinstance(search, Fixed):
        return
    possible = tuple(corners(search))
    for cell in plan.cells:
        if isinstance(search, Tune):
            own = sum(t.variant == cell.variant and not t.extension for t in plan.trials)
            if own < search.trials:
                runs = (search.trials - own) * len(search.seeds)
                yield ExpectedRuns(cell.variant, "search", possible, runs)
        if cell.variant not in plan.choices:
            seeds = len(plan.study.seeds)
            yield ExpectedRuns(cell.variant, "report", possible, seeds)
            each = seeds * finetunings_of_a_seed(plan.study)
            for arm in plan.arms:
                if arm.variant == cell.variant:
                    yield ExpectedRuns(cell.variant, "finetuning", possible, each, arm)


def rounds(plan: Plan) -> int:
    """How many runs of a variant have to come one after the other, extensions aside."""
    search = plan.study.protocol.search
    if isinstance(search, Fixed):
        return 1
    return 1 + (-(-search.trials // search.at_once) if isinstance(search, Tune) else 1)


def most_extension_runs(plan: Plan) -> int:
    """Runs that extensions of the search may ask for at most, beside those expected."""
    search = plan.study.protocol.search
    if isinstance(search, Fixed) or plan.is_settled:
        return 0
    sides = 2 * len(spans(plan)) * search.extend - len(plan.extensions)
    return max(0, sides) * len(plan.cells) * len(search.seeds)
