"""The head of the report: what was asked, how it was compared, how far it is, where it ran."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reports.methods.values import given_weights
from reports.results.frame import StudyResults
from reports.words import (
    FINISHED,
    any_of,
    factor_label,
    grouped,
    level_label,
    percent,
    plain_value,
    plural,
    progress_text,
)
from studies.budgets import length_text
from studies.metrics import OVERHEAD_PERCENT
from studies.plan import Plan
from studies.protocol import Fixed, Sweep
from studies.records import Outcome, RunRecord
from studies.schema import Study
from studies.vocabulary import label_of

VARIES = "varied"


@dataclass(frozen=True)
class Fact:
    """A named choice."""

    name: str
    value: str


@dataclass(frozen=True)
class Note:
    """A combination that has no run of its own, and the reason."""

    combination: str
    reason: str


@dataclass(frozen=True)
class Overview:
    """What stands before the sections."""

    study: str
    question: str
    outcomes: dict[Outcome, int]
    progress: str
    partial: bool
    """Whether runs have to end yet, or a search may ask for more."""
    factors: tuple[Fact, ...]
    protocol: tuple[Fact, ...]
    environment: tuple[Fact, ...]
    overrides: tuple[Fact, ...]
    design: str
    merged: tuple[Note, ...]
    excluded: tuple[Note, ...]
    kind: str = "Study report"
    """What stands over the name, and in the title of the page."""
    protocol_title: str = "Protocol"
    """Of the part on what was held fixed."""


def collect_overview(results: StudyResults) -> Overview:
    """Everything that the head says."""
    plan = results.plan
    outcomes = results.outcomes()
    seeds = len(plan.study.seeds)
    return Overview(
        study=plan.study.name,
        question=plan.study.question,
        outcomes=outcomes,
        progress=progress_text(outcomes, searching=not plan.is_settled),
        partial=is_partial(results),
        factors=_factors(results),
        protocol=_protocol(results),
        environment=environment(results.records.values()),
        overrides=tuple(Fact(key, str(value)) for key, value in plan.overrides.items()),
        design=(
            f"{plan.study.design.kind.replace('_', ' ')}: {plan.combinations} combinations, "
            f"{len(plan.cells)} cells, {plural(seeds, 'seed')}, "
            f"{len(plan.runs)} runs{'' if plan.is_settled else ' so far'}{_of_the_search(plan)}"
        ),
        merged=tuple(
            Note(_combination(m.levels), f"same model as {m.into}: {', '.join(m.rules)}")
            for m in plan.merged
        ),
        excluded=tuple(Note(_combination(e.levels), e.because) for e in plan.excluded),
    )


def is_partial(results: StudyResults) -> bool:
    """Whether runs have to end yet, or a search may ask for more."""
    outcomes = results.outcomes()
    finished = sum(outcomes[outcome] for outcome in FINISHED)
    return finished < len(results.plan.runs) or not results.plan.is_settled


def _of_the_search(plan: Plan) -> str:
    searching = sum(run.stage == "search" for run in plan.runs)
    return f", {searching} of them of the search" if searching else ""


def _combination(levels: Mapping[str, Any]) -> str:
    return " · ".join(level_label(key, value) for key, value in levels.items() if value is not None)


def _factors(results: StudyResults) -> tuple[Fact, ...]:
    levels: dict[str, dict[str, None]] = {}
    for cell in results.plan.cells:
        for key, level in cell.levels.items():
            if level is not None:
                levels.setdefault(key, {})[label_of(key, level)] = None
    return tuple(Fact(factor_label(key), ", ".join(shown)) for key, shown in levels.items())


class _Values:
    """Configuration values over all cells: one value, or `varied`."""

    def __init__(self, results: StudyResults) -> None:
        self._configurations = [cell.configuration for cell in results.plan.cells]

    def __call__(self, key: str) -> str:
        section, _, name = key.partition(".")
        values = [c[section].get(name) for c in self._configurations]
        first = values[0]
        if any(value != first for value in values):
            return VARIES
        if isinstance(first, bool):
            return "yes" if first else "no"
        if isinstance(first, float):
            return f"{first:g}"
        return grouped(first) if isinstance(first, int) else label_of(key, first)


def _protocol(results: StudyResults) -> tuple[Fact, ...]:
    of = _Values(results)
    study = results.plan.study
    seeds = ", ".join(map(str, study.seeds))
    own = study.module is not None
    return (
        Fact("baseline", results.labels[results.plan.baseline]),
        Fact("seeds", f"{seeds}; differences are paired by seed"),
        Fact("primary outcome", "validation loss at the last step; no checkpoint is selected"),
        Fact("interval", f"{percent(study.report.confidence)}, paired t by seed, uncorrected"),
        Fact(
            "corpus",
            f"{of('data.corpus')}, tokenizer {of('data.tokenizer')}; "
            f"{of('data.evaluation_tokens')} evaluation tokens",
        ),
        Fact(
            "budget",
            f"{_length(results, of)} of {of('training.batch_size')} × "
            f"{of('model.context_length')} tokens",
        ),
        *_search(results),
        *_pruning(results),
        Fact("precision", of("training.precision")),
        *(_own_module(study, of) if own else _built_in_model(results, of)),
        *_diagnostics(results),
    )


def _length(results: StudyResults, of: _Values) -> str:
    budget = results.plan.study.protocol.budget
    if budget is not None and budget.minutes is not None:
        length = length_text(cell.configuration for cell in results.plan.cells)
        return f"{length} of training in steps"
    return f"{of('training.max_steps')} steps"


def _pruning(results: StudyResults) -> tuple[Fact, ...]:
    """By what runs were ended early, where the protocol has it so."""
    pruning = results.plan.study.protocol.pruning
    if pruning is None:
        return ()
    options = "".join(f", {name} {plain_value(v)}" for name, v in pruning.options.items())
    which = "runs of the search" if pruning.stage == "search" else "compared runs"
    count = results.outcomes()[Outcome.PRUNED]
    label = label_of("protocol.pruning.pruner", pruning.pruner)
    return (Fact("pruning", f"{which}, by {label} (Optuna{options}): {count} pruned"),)


def _own_module(study: Study, of: _Values) -> tuple[Fact, ...]:
    """A module of one's own configures its optimiser; only clipping is the harness's."""
    assert study.module is not None
    clip = of("training.gradient_clip_norm")
    return (
        Fact("module", study.module.import_path),
        Fact("optimiser", f"the module's own, with its learning rate and schedule; clip {clip}"),
    )


def _built_in_model(results: StudyResults, of: _Values) -> tuple[Fact, ...]:
    return (
        Fact(
            "optimiser",
            f"AdamW, β₁ {of('training.beta1')}, β₂ {of('training.beta2')}, "
            f"weight decay {of('training.weight_decay')}, clip {of('training.gradient_clip_norm')}",
        ),
        Fact(
            "learning rate",
            f"{of('training.learning_rate')}, {_how_set(results)}; warm-up "
            f"{of('training.warmup_steps')} steps, cosine to "
            f"{of('training.final_learning_rate_fraction')} of the peak",
        ),
        Fact(
            "model",
            f"{of('model.n_layers')} layers, {of('model.n_heads')} heads, width "
            f"{of('model.d_model')}, positions {of('model.position')}, dropout "
            f"{of('model.dropout')}",
        ),
        Fact("initialisation", _initialisation(results, of)),
    )


def _initialisation(results: StudyResults, of: _Values) -> str:
    """As runs recorded it, or as the plan has it before there are any."""
    names = {str(r.facts["initialization"]) for r in results.records.values()
             if "initialization" in r.facts}  # fmt: skip
    if names:
        return ", ".join(sorted(label_of("model.initialization", name) for name in names))
    planned = [text or of("model.initialization") for text in given_weights(results)]
    return ", ".join(planned)


def _how_set(results: StudyResults) -> str:
    """Whether the learning rate is the same for all variants."""
    if "training.learning_rate" in results.plan.nuisance:
        return "the shared value beside those that were searched for each variant"
    return "the same for all variants unless varied"


def _search(results: StudyResults) -> tuple[Fact, ...]:
    """What was searched for each variant, and how."""
    search = results.plan.study.protocol.search
    if isinstance(search, Fixed):
        return ()
    keys = any_of([factor_label(key) for key in search.keys], "and")
    how = "sweep of every value" if isinstance(search, Sweep) else f"Optuna, {search.sampler}"
    seeds = ", ".join(map(str, search.seeds))
    return (Fact("searched for each variant", f"{keys}: {how}, on the seeds {seeds}"),)


def _diagnostics(results: StudyResults) -> tuple[Fact, ...]:
    """What looking into the models cost, where runs recorded it."""
    if OVERHEAD_PERCENT not in results.runs:
        return ()
    shares = results.runs[OVERHEAD_PERCENT].dropna()
    ends = list(dict.fromkeys(f"{end:.1f}" for end in (shares.min(), shares.max())))
    spread = f" (median over {len(shares)} runs; {' to '.join(ends)}%)" if len(shares) > 1 else ""
    return (Fact("diagnostics", f"{shares.median():.1f}% of the time of training steps{spread}"),)


def environment(records: Iterable[RunRecord]) -> tuple[Fact, ...]:
    """Provenance of records, every value that occurs with the number of its runs."""
    shown = []
    for name, values in provenance_values(records).items():
        total = sum(values.values())
        text = ", ".join(
            value if count == total else f"{value} ({count})" for value, count in values.items()
        )
        shown.append(Fact(name.replace("_", " "), text))
    return tuple(shown)


def provenance_values(records: Iterable[RunRecord]) -> dict[str, dict[str, int]]:
    """Each provenance entry (`git.commit`, `versions.torch`) to its values and their run counts."""
    found: dict[str, dict[str, int]] = {}
    for record in records:
        for name, value in _flat(record.provenance):
            counts = found.setdefault(name, {})
            counts[value] = counts.get(value, 0) + 1
    return {name: dict(sorted(values.items())) for name, values in sorted(found.items())}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", "not known" if value is None else str(value)))
    return rows
