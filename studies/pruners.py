"""The pruners that a study may name, and what each of them can be told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from studies.registry import Level, Registry


@dataclass(frozen=True)
class Option:
    """What an option takes: a number within bounds, or one of some words."""

    whole: bool = True
    """Whether a number is a whole one."""
    least: float = 0
    most: float = math.inf
    words: tuple[str, ...] = ()
    number: bool = True
    """Whether it takes numbers at all."""

    def takes(self, value: object) -> bool:
        """Whether it takes a value."""
        if isinstance(value, str):
            return value in self.words
        if not self.number or isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (isinstance(value, int) or not self.whole) and self.least <= value <= self.most

    @property
    def allowed(self) -> str:
        """What it takes, in words."""
        bounds = [f">= {self.least:g}"] if math.isfinite(self.least) else []
        bounds += [f"<= {self.most:g}"] if math.isfinite(self.most) else []
        kind = f"{'a whole number' if self.whole else 'a number'} {' and '.join(bounds)}".strip()
        return " or ".join([*([kind] if self.number else []), *self.words])


@dataclass(frozen=True)
class Pruner(Level):
    """A rule by which runs are ended early."""

    options: Mapping[str, Option] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Options of which at least one has to be given."""
    of_seeds: bool = False
    """Whether it gives up the seeds that wait, and not a run that is being trained."""


_AT_LEAST_1 = Option(least=1)
_PATIENCE_OF_STEPS = {"n_warmup_steps": Option(), "interval_steps": _AT_LEAST_1}
_PERCENTILE = {
    "n_startup_trials": Option(),
    **_PATIENCE_OF_STEPS,
    "n_min_trials": _AT_LEAST_1,
}
_RESOURCE = Option(least=1, words=("auto",))
_HALVING = {"reduction_factor": Option(least=2), "bootstrap_count": Option()}
_ANY_NUMBER = Option(whole=False, least=-math.inf)

PRUNERS: Registry[Pruner] = Registry(
    "pruner",
    {
        "median": Pruner(
            "median",
            "ends a run whose lowest loss so far is above the median of the completed runs at the "
            "same step",
            "Golovin et al. 2017",
            _PERCENTILE,
            cite="golovin2017google",
        ),
        "percentile": Pruner(
            "percentile",
            "ends a run whose lowest loss so far is not within the best `percentile` per cent of "
            "the completed runs at the same step",
            options={"percentile": Option(whole=False, most=100), **_PERCENTILE},
            needs=("percentile",),
            uncited="Optuna's own, after its median rule",
        ),
        "successive_halving": Pruner(
            "successive halving",
            "of the runs that reach a rung, the best 1/`reduction_factor` go on to the next, which "
            "is as many times further; asynchronous. A resource is an optimiser step",
            "Li et al. 2020",
            {"min_resource": _RESOURCE, "min_early_stopping_rate": Option(), **_HALVING},
            cite="li2020system",
        ),
        "hyperband": Pruner(
            "Hyperband",
            "brackets of successive halving that begin at different rungs",
            "Li et al. 2018",
            {"min_resource": _AT_LEAST_1, "max_resource": _RESOURCE, **_HALVING},
            cite="li2018hyperband",
        ),
        "threshold": Pruner(
            "threshold",
            "ends a run whose validation loss is above `upper`, or below `lower`",
            options={"lower": _ANY_NUMBER, "upper": _ANY_NUMBER, **_PATIENCE_OF_STEPS},
            needs=("lower", "upper"),
            uncited="a bound",
        ),
        "patient": Pruner(
            "patient",
            "asks another pruner once the loss has not fallen for more than `patience` "
            "evaluations: `wrapped_pruner`, whose options stand beside its own (median)",
            options={
                "patience": Option(),
                "min_delta": Option(whole=False),
                "wrapped_pruner": Option(
                    number=False,
                    words=("median", "percentile", "successive_halving", "hyperband", "threshold"),
                ),
            },
            needs=("patience",),
            uncited="Optuna's own",
        ),
        "wilcoxon": Pruner(
            "Wilcoxon",
            "gives up the seeds that wait of a candidate which is worse than the best that has "
            "ended on all seeds, by a signed-rank test over the seeds that both have",
            "Wilcoxon 1945",
            {"p_threshold": Option(whole=False, most=1), "n_startup_steps": Option()},
            of_seeds=True,
            cite="wilcoxon1945individual",
        ),
    },
)
