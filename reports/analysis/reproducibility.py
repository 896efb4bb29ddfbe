"""The answers to the checklists of conferences, from the plan and the records; nothing is guessed.

What no record tells is answered by "not known". Items are those of the NeurIPS paper checklist and
of the ACL checklist for responsible research that a harness can answer.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from reports.analysis.data_answers import data_seen, licence, values_of
from reports.analysis.provenance_answers import code, packages
from reports.analysis.spending import NOT_KNOWN, RunCost, run_costs
from reports.methods.search import following
from reports.methods.values import given_weights
from reports.results.frame import StudyResults
from reports.words import (
    any_of,
    factor_label,
    grouped,
    outcome_text,
    percent,
    plural,
    settings_text,
    time_text,
    tried_text,
)
from studies.metrics import PARAMETERS
from studies.protocol import Fixed, Sweep
from studies.records import Outcome

SEED_SOURCES = {
    "training.initialization_seed": "initial weights",
    "training.data_seed": "order of the training data",
    "training.dropout_seed": "dropout",
}


@dataclass(frozen=True)
class Item:
    """An item of the checklists, and its answer."""

    asked_by: str
    """Checklist and number."""
    question: str
    answer: str


@dataclass(frozen=True)
class Checklist:
    """The items, for all runs of a study."""

    study: str
    items: tuple[Item, ...]
    runs: tuple[str, ...]
    """Keys of the runs that have a record."""
    outcomes: dict[Outcome, int]
    searching: bool


def collect(results: StudyResults) -> Checklist:
    """Every item answered."""
    costs = run_costs(results)
    items = (
        Item("NeurIPS 1", "claims said beforehand", _claims(results)),
        Item("NeurIPS 6", "data and splits", data_seen(results)),
        Item("NeurIPS 12, ACL B2", "licence of the data", licence(results)),
        Item("NeurIPS 6, ACL C2", "hyper-parameter search space", _space(results)),
        Item("NeurIPS 6, ACL C2", "best values found", _best_values(results)),
        Item("NeurIPS 7, ACL C3", "factor of variability", _variability(results)),
        Item("NeurIPS 7", "error bars: method and assumptions", _intervals(results)),
        Item("NeurIPS 7", "SD or standard error", _spread(results)),
        Item("ACL C3", "what a number summarises", _summary(results)),
        Item("ACL C1", "parameters", _parameters(results)),
        Item("NeurIPS 8, ACL C1", "infrastructure", _infrastructure(results, costs)),
        Item("NeurIPS 8, ACL C1", "compute of each run and in all", _compute(results, costs)),
        Item("NeurIPS 8", "runs in all", _runs(results)),
        Item("ACL C4", "packages", packages(results)),
        Item("NeurIPS 4, 5", "code", code(results)),
    )
    return Checklist(
        study=results.plan.study.name,
        items=items,
        runs=tuple(results.records),
        outcomes=results.outcomes(),
        searching=not results.plan.is_settled,
    )


def _claims(results: StudyResults) -> str:
    registration = results.registration
    if registration is None:
        return "nothing was registered before the first run: every result is exploratory"
    if not registration.is_intact:
        return "the registration was changed after it was written: it says nothing for certain"
    when = "after the first runs" if registration.after_first_runs else "before the first run"
    count = len(registration.hypotheses)
    if not count:
        return "no hypothesis was registered: every result is exploratory"
    many = "1 hypothesis" if count == 1 else f"{count} hypotheses"
    return f"{many} registered {when} (digest {registration.digest}); all else is exploratory"


def _space(results: StudyResults) -> str:
    search = results.plan.study.protocol.search
    if isinstance(search, Fixed):
        follows = following(results.plan)
        beside = f" and {any_of(follows, 'and')}, set by the protocol" if follows else ""
        return f"no search: all variants have the same settings, but for what is compared{beside}"
    tried = [f"{factor_label(key)}: {tried_text(v)}" for key, v in search.tried.items()]
    how = (
        "every value" if isinstance(search, Sweep) else f"{search.trials} trials, {search.sampler}"
    )
    seeds = "one seed" if len(search.seeds) == 1 else f"{len(search.seeds)} seeds"
    beyond = len(results.plan.extensions)
    steps = plural(beyond, "step")
    extended = f"; extended by {steps} beyond these, for all variants alike" if beyond else ""
    return f"for each variant, {'; '.join(tried)}; {how} on {seeds} of the search{extended}"


def _best_values(results: StudyResults) -> str:
    plan = results.plan
    if isinstance(plan.study.protocol.search, Fixed):
        return "none: nothing was searched for"
    if not plan.choices:
        return f"{NOT_KNOWN} yet: the search has not ended"
    counts = Counter(settings_text(choice.settings) for choice in plan.choices.values())
    shown = "; ".join(f"{text} ({plural(n, 'variant')})" for text, n in sorted(counts.items()))
    open_ = len(plan.cells) - len(plan.choices)
    edged = sum(bool(choice.edges) for choice in plan.choices.values())
    return "; ".join(
        [
            shown,
            *([f"not known yet for {open_} variants"] if open_ else []),
            *([f"at the edge of what was tried for {edged}"] if edged else []),
        ]
    )


def _variability(results: StudyResults) -> str:
    seeds = results.plan.study.seeds
    own = results.plan.study.module is not None
    given = given_weights(results)
    moved, held = [], []
    for key, what in SEED_SOURCES.items():
        if what == "dropout" and not own and values_of(results, "model.dropout") == [0.0]:
            held.append("dropout is 0")
        elif what == "initial weights" and None not in given:
            held.append("initial weights are given")
        elif values_of(results, key) == [None]:
            some = what == "initial weights" and len(given) > 1
            moved.append(what + " where none are given" * some)
        else:
            held.append(f"{what} not drawn by the run's seed alone ({factor_label(key)})")
    count = plural(len(seeds), "seed")
    draws = any_of(moved, "and") or "nothing"
    text = f"{count} ({', '.join(map(str, seeds))}), each of which draws {draws}"
    if own:
        text += ", as far as the module draws from the generators that it is given"
    return "; ".join([text, *held, "the split of the data does not vary"])


def _intervals(results: StudyResults) -> str:
    level = percent(results.plan.study.report.confidence)
    seeds = len(results.plan.study.seeds)
    if seeds == 1:
        return "none: there is one seed"
    return (
        f"{level} t intervals of differences paired by seed, n - 1 degrees of freedom, one for "
        "each comparison; assumed: differences of seeds are independent and about normal, which "
        f"{seeds} seeds can hardly show"
    )


def _spread(results: StudyResults) -> str:
    if len(results.plan.study.seeds) == 1:
        return "none: there is one seed"
    return "SD over seeds (n - 1), where nothing else is said; intervals are called so"


def _summary(results: StudyResults) -> str:
    n = len(results.plan.study.seeds)
    what = "a single run" if n == 1 else f"the mean of up to {n} runs, with their number"
    return f"{what}; the loss at the last step, no best run and no best checkpoint"


def _parameters(results: StudyResults) -> str:
    counted = sorted({r.summary[PARAMETERS] for r in results.records.values()
                      if PARAMETERS in r.summary})  # fmt: skip
    if not counted:
        return NOT_KNOWN
    ends = dict.fromkeys((counted[0], counted[-1]))
    return f"{' to '.join(map(grouped, ends))} trainable"


def _infrastructure(results: StudyResults, costs: tuple[RunCost, ...]) -> str:
    if not costs:
        return NOT_KNOWN
    devices = Counter(cost.device for cost in costs)
    shown = ", ".join(f"{device} ({n} runs)" for device, n in sorted(devices.items()))
    hosts = {r.provenance.get("host") for r in results.records.values()} - {None}
    count = results.plan.study.execution.devices
    each = plural(count, "device")
    where = f"on {len(hosts)} {'host' if len(hosts) == 1 else 'hosts'}" if hosts else \
        "on hosts that are not known"  # fmt: skip
    return f"{shown}; {each} for each run; {where}"


def _compute(results: StudyResults, costs: tuple[RunCost, ...]) -> str:
    if not costs:
        return NOT_KNOWN
    hours = sorted(cost.hours for cost in costs)
    ends = dict.fromkeys(map(time_text, (hours[0], hours[-1])))
    all_ = math.fsum(hours)
    devices = results.plan.study.execution.devices
    memory = [c.peak_memory_gib for c in costs if math.isfinite(c.peak_memory_gib)]
    peak = f"{max(memory):.3g} GiB" if memory else NOT_KNOWN
    return (
        f"wall time of a run {' to '.join(ends)}; in all {time_text(all_)}, over all devices "
        f"{time_text(all_ * devices)}; peak memory {peak}; energy {NOT_KNOWN}; what was "
        "spent outside of this study is not in it"
    )


def _runs(results: StudyResults) -> str:
    plan, outcomes = results.plan, results.outcomes()
    searching = sum(run.stage == "search" for run in plan.runs)
    parts = [f"{len(plan.runs)} planned{'' if plan.is_settled else ' so far'}"]
    if searching:
        parts.append(f"{searching} of them of the search")
    parts.append(f"completed {outcome_text(outcomes)}")
    return f"{', '.join(parts)}; {_attempts(results)}"


def _attempts(results: StudyResults) -> str:
    if not results.attempts:
        return f"number of attempts {NOT_KNOWN}"
    repeated = sum(count > 1 for count in results.attempts.values())
    runs = {0: "no run", 1: "1 run"}.get(repeated, f"{repeated} runs")
    return f"{sum(results.attempts.values())} attempts, {runs} tried more than once"
