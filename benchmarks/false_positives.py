"""How often the report would see a difference where there is none.

    python benchmarks/false_positives.py [--studies 2000] [--processes 2]

Studies are simulated in which all variants have the same true loss: each run is that loss, plus an
effect of its seed that all variants share, plus noise of its own. Their final losses go through the
code of the main table: `compare`, and the tests and readings that it is made of, called directly
after the first of every hundred studies, for which both must agree. The noise is normal; or skewed
(exponential, skewness 2) in every variant; or skewed in every second variant and normal in the
baseline, so that paired differences are skewed too; or normal, with five times the SD in the two
variants of one activation.

In a second simulation every variant is worse than the baseline by as much as the baseline's true SD
over seeds, and "equivalent within ±x" is false where x is no larger than that.

The table is Markdown, as docs/statistics.md has it.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from reports.analysis.against_baseline import (
    BaselineTest,
    Reading,
    against_baseline,
    with_readings,
)
from reports.analysis.anova import balanced_anova
from reports.analysis.comparison import compare
from reports.analysis.statistics import LEAST_FLIPS, noise_floor
from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from reports.sections.readings import verdict_of
from studies.metrics import FINAL_LOSS
from studies.planning import make_plan
from studies.records import Leak, Outcome, RunRecord
from studies.schema import Study

Losses = npt.NDArray[np.float64]

CONFIDENCE = 0.95
FACTORS = {
    "model.norm": ("layer", "rms"),
    "model.activation": ("gelu", "relu", "silu", "swiglu"),
}
"""Eight variants, seven comparisons with the baseline."""
SEED_COUNTS = (3, 5, 10)
NOISES = ("normal", "skewed", "skewed in every second variant", "wider in two variants")
WIDER = 5
"""Times the SD, in both variants of the last activation."""
LOSS, SEED_SD, OWN_SD = 2.0, 0.018, 0.01
"""Nats per token, of the size that small models show."""
CHECKED = 100
"""Of so many studies one goes through `compare` as a whole."""
CLAIMS = ("lower", "higher", "better", "worse")


class Case(NamedTuple):
    """One line of the table."""

    seeds: int
    noise: str
    studies: int
    shift: float
    """True difference of every variant to the baseline, in SDs of the baseline over seeds."""


class Rates(NamedTuple):
    """Shares over the studies of a case, or over all their comparisons."""

    case: Case
    family: float
    """Studies in which Holm's p is at most 0.05 in a comparison with the baseline."""
    claims: float
    """Studies in which a reading says lower, higher, better or worse."""
    superlatives: float
    """Studies in which it says better or worse."""
    equivalent: float
    """Studies with "equivalent within ±x" of a true difference of at least x."""
    coverage: float
    """Comparisons whose interval holds the true difference."""
    wins: float
    """Comparisons whose interval of P(win) holds the true one; NaN where this is not simulated."""
    flips: float
    """Comparisons whose sign-flip p is at most 0.05; NaN for few seeds."""
    terms: float
    """Studies in which Holm's p of a term of the analysis of variance is at most 0.05."""
    floor: float
    """Studies whose noise floor holds the difference of two means of one variant."""


class Simulated(NamedTuple):
    """What came of one study."""

    tests: dict[str, BaselineTest]
    floor_holds: bool
    least_term_p: float
    """Of the analysis of variance, by Holm over its terms."""


def simulated(case: Case, variants: int, random: np.random.Generator) -> Losses:
    """Final losses, (2 n seeds, variants): the second half is for the noise floor alone."""
    shape = (2 * case.seeds, variants)
    normal, skewed = random.normal(size=shape), random.exponential(size=shape) - 1
    is_skewed = np.full(variants, case.noise == "skewed")
    if case.noise == NOISES[2]:
        is_skewed = np.arange(variants) % 2 == 1
    own = np.where(is_skewed, skewed, normal)
    if case.noise == NOISES[3]:
        own[:, -1] *= WIDER
        own[:, variants // 2 - 1] *= WIDER
    shifts = np.where(np.arange(variants) > 0, case.shift * math.hypot(SEED_SD, OWN_SD), 0.0)
    seeds = random.normal(0, SEED_SD, (shape[0], 1))
    return np.asarray(LOSS + shifts + seeds + OWN_SD * own)


def skeleton(seeds: int) -> StudyResults:
    """A finished study whose final losses are to be filled in."""
    plan = make_plan(
        Study.model_validate(
            {"name": "no-difference", "factors": FACTORS, "seeds": tuple(range(seeds))}
        )
    )
    records = {
        run.run_key: RunRecord(
            run_key=run.run_key, study=plan.study.name, variant=run.variant, seed=run.seed,
            levels=plan.cell(run.variant).levels, attempt=0, outcome=Outcome.COMPLETED,
            summary={FINAL_LOSS: LOSS}, leak=Leak.CAUSAL, wall_time_s=1.0,
        )
        for run in plan.runs
    }  # fmt: skip
    return assemble(plan, records, {})


def with_losses(results: StudyResults, losses: pd.DataFrame) -> StudyResults:
    """The study with these final losses, by seed and variant."""
    runs = results.runs.copy()
    runs[FINAL_LOSS] = [losses.at[run.seed, run.variant] for run in runs.itertuples()]
    return replace(results, runs=runs)


def tests_of(losses: pd.DataFrame) -> dict[str, BaselineTest]:
    """Of every variant but the first, which is the baseline."""
    baseline, *others = losses.columns
    found = {
        variant: against_baseline(
            losses[variant],
            losses[baseline],
            confidence=CONFIDENCE,
            comparisons=len(others),
            seeds=len(losses),
            edges=(False, False),
            obstacle=None,
        )
        for variant in others
    }
    return with_readings(found, CONFIDENCE)


def measure(case: Case) -> Rates:
    """Simulate the studies of a case, and count."""
    random = np.random.default_rng([case.seeds, NOISES.index(case.noise), int(case.shift * 100)])
    results = skeleton(case.seeds)
    baseline = results.plan.baseline
    variants = [baseline, *(v for v in results.variants if v != baseline)]
    shape = (*map(len, FACTORS.values()), case.seeds)
    studies = []
    for number in range(case.studies):
        every = simulated(case, len(variants), random)
        losses = pd.DataFrame(every[: case.seeds], columns=variants)
        tests = tests_of(losses)
        if number % CHECKED == 0:
            rows = compare(with_losses(results, losses)).rows
            whole = {row.variant: row.test for row in rows if row.test}
            assert {v: _seen(t) for v, t in whole.items()} == {
                v: _seen(t) for v, t in tests.items()
            }
        floor = noise_floor(losses, CONFIDENCE).half_width
        apart = abs(every[: case.seeds, 0].mean() - every[case.seeds :, 0].mean())
        anova = balanced_anova(losses[list(results.variants)].to_numpy().T.reshape(shape))
        studies.append(Simulated(tests, apart <= floor, min(t.holm_p for t in anova.terms)))
    return _rates(case, studies)


def _seen(test: BaselineTest) -> tuple[Reading, str, float]:
    return test.reading, verdict_of(test, 3).sentence, round(test.adjusted_p, 9)


def _rates(case: Case, studies: list[Simulated]) -> Rates:
    alpha, true = 1 - CONFIDENCE, case.shift * math.hypot(SEED_SD, OWN_SD)
    families = [list(study.tests.values()) for study in studies]
    single = [test for family in families for test in family]
    words = [{word for test in family for word in _words(test)} for family in families]
    false = [
        any(t.reading is Reading.EQUIVALENT and t.margin <= true for t in family)
        for family in families
    ]
    symmetric = case.shift == 0 and case.noise != NOISES[2]
    return Rates(
        case=case,
        family=_share(min(t.adjusted_p for t in family) <= alpha for family in families),
        claims=_share(bool(found & set(CLAIMS)) for found in words),
        superlatives=_share(bool(found & {"better", "worse"}) for found in words),
        equivalent=_share(false),
        coverage=_share(t.difference.low <= true <= t.difference.high for t in single),
        wins=_share(t.win.low <= 0.5 <= t.win.high for t in single) if symmetric else math.nan,
        flips=_share(t.flip_p <= alpha for t in single)
        if case.seeds >= LEAST_FLIPS and case.shift == 0
        else math.nan,
        terms=_share(study.least_term_p <= alpha for study in studies),
        floor=_share(study.floor_holds for study in studies),
    )


def _words(test: BaselineTest) -> list[str]:
    return verdict_of(test, 3).sentence.replace(",", " ").split()


def _share(found: Iterator[bool] | list[bool]) -> float:
    return float(np.mean(list(found)))


def table(rates: list[Rates]) -> str:
    """The studies without a difference, as Markdown."""
    head = (
        "seeds", "noise", "studies", "Holm p ≤ .05", "lower, higher, better or worse said",
        "better or worse said", "95% interval holds 0", "interval of P(win) holds .5",
        "sign-flip p ≤ .05", "Holm p of an ANOVA term ≤ .05", "noise floor holds",
    )  # fmt: skip
    lines = [head, ("---",) * len(head)]
    for r in rates:
        shares = (r.family, r.claims, r.superlatives, r.coverage, r.wins, r.flips, r.terms, r.floor)
        case = r.case
        lines.append((str(case.seeds), case.noise, str(case.studies), *map(_percent, shares)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def edge_table(rates: list[Rates]) -> str:
    """The studies in which each variant is worse by the margin, as Markdown."""
    head = ("seeds", "noise", "studies", "falsely equivalent", "95% interval holds the difference")
    lines = [head, ("---",) * len(head)]
    for r in rates:
        shares = map(_percent, (r.equivalent, r.coverage))
        lines.append((str(r.case.seeds), r.case.noise, str(r.case.studies), *shares))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: float) -> str:
    return f"{share:.1%}" if math.isfinite(share) else "–"


def main() -> None:
    """Measure all cases, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    same = [Case(n, noise, arguments.studies, 0.0) for noise in NOISES for n in SEED_COUNTS]
    edge = [Case(n, "normal", arguments.studies, 1.0) for n in SEED_COUNTS]
    cases, found = [*same, *edge], []
    started = time.perf_counter()
    with ProcessPoolExecutor(arguments.processes) as pool:
        for rates in pool.map(measure, cases):
            found.append(rates)
            print(
                f"{len(found)} of {len(cases)}, {time.perf_counter() - started:.0f} s", flush=True
            )
    print(f"\n{table(found[: len(same)])}\n\n{edge_table(found[len(same) :])}")


if __name__ == "__main__":
    main()
