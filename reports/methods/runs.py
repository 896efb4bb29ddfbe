"""The sentences on methods that tell of runs: how many, on what, what diverged and what leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from reports.analysis.spending import NOT_KNOWN, run_costs
from reports.methods.values import VARIED, recorded, value
from reports.references import formula
from reports.results.frame import StudyResults
from reports.words import FINISHED, any_of, grouped
from studies.plan import Cell
from studies.records import Leak, Outcome
from studies.vocabulary import NORMS

MOST_NAMED = 3
"""Variants that a sentence names."""
LOG_SIZE = r"$\ln V$"


def run_sentences(results: StudyResults) -> tuple[str, ...]:
    """Number of runs and devices, the rule of divergence and what it ended, and leaks."""
    return _number(results), *_per_device(results), *_divergence(results), *_leaks(results)


def _number(results: StudyResults) -> str:
    plan = results.plan
    count, searching = len(plan.runs), sum(run.stage == "search" for run in plan.runs)
    text = "The study has " + ("one run" if count == 1 else f"{grouped(count)} runs")
    text += " so far" * (not plan.is_settled)
    text += f", {grouped(searching)} of them of the search" if searching else ""
    devices = Counter(cost.device for cost in run_costs(results))
    del devices[NOT_KNOWN]
    if devices:
        each = plan.study.execution.devices
        named = [f"{name}: {n} run{'s' * (n > 1)}" for name, n in sorted(devices.items())]
        shown = next(iter(devices)) if len(devices) == 1 else "; ".join(named)
        text += f", trained on {'one device' if each == 1 else f'{each} devices'} each ({shown})"
    return f"{text}."


def _per_device(results: StudyResults) -> list[str]:
    """What each device of a run did for itself."""
    if "per device" not in recorded(results, "batch_norm"):
        return []
    return ["Batch norms of the module normalised each device's share of a batch by itself."]


def _divergence(results: StudyResults) -> list[str]:
    factor = value(results, "training.divergence_factor")
    limit = formula(f"{factor} ln V", rf"${factor} \ln V$")
    if factor == VARIED:
        limit = f"a varied multiple of {formula('ln V', LOG_SIZE)}"
    rule = (
        f"A run ends as diverged when a loss is not finite or its training loss exceeds {limit}, "
        f"where {formula('V', '$V$')} is the size of the vocabulary"
    )
    found = [f"{rule}{_diverged(results)}."]
    compared = results.compared
    lost = sum(compared.outcomes(v)[Outcome.DIVERGED] > 0 for v in compared.variants)
    if lost:
        found.append(
            f"A variant of which a compared run diverged ({lost} of {len(compared.variants)}) is "
            "not ranked by the mean of its other runs."
        )
    return found


def _diverged(results: StudyResults) -> str:
    """How many runs did, of those that ended."""
    ended = results.runs[results.runs["outcome"].isin([o.value for o in FINISHED])]
    lost = ended["outcome"] == Outcome.DIVERGED.value
    if ended.empty:
        return ""
    many = f"{grouped(len(ended))} ended run{'s' * (len(ended) > 1)}"
    if not lost.any():
        return f"; of {many} none did"
    searching = int((lost & (ended["stage"] == "search")).sum())
    where = "all" if searching == lost.sum() else f"{grouped(searching)} of them"
    return f"; of {many} {grouped(lost.sum())} did" + f", {where} in the search" * (searching > 0)


def _leaks(results: StudyResults) -> list[str]:
    """Where later tokens were measured to leak into earlier ones, and of a norm that is known why.

    A label is of a variant; the reason is the norm's where the norm is known to leak so.
    """
    cells, found = results.plan.cells, []
    leaking = [cell for cell in cells if results.leaks[cell.variant] is Leak.IN_TRAINING]
    norms = {cell.variant: _leaking_norm(results, cell) for cell in leaking}
    for name in dict.fromkeys(filter(None, norms.values())):
        norm = NORMS[name]
        found.append(
            f"With {norm.label} ({norm.summary}) later tokens leak into earlier ones in training; "
            "its evaluation is causal."
        )
    if others := [variant for variant, name in norms.items() if not name]:
        found.append(
            f"In training of {_named(results, others)} later tokens leak into earlier ones; the "
            "evaluation is causal."
        )
    if leaky := [v for v, leak in results.leaks.items() if leak is Leak.LEAKY]:
        found.append(
            f"In the evaluation of {_named(results, leaky)} later tokens leak into earlier ones: "
            "not ranked."
        )
    return found


def _leaking_norm(results: StudyResults, cell: Cell) -> str:
    """The norm of a cell that is known to leak in training; empty where there is none."""
    if results.plan.study.module is not None:
        return ""
    name = str(cell.configuration["model"]["norm"])
    return name if NORMS[name].leak == Leak.IN_TRAINING else ""


def _named(results: StudyResults, variants: Iterable[str]) -> str:
    """The variants by their labels, of many how many they are."""
    labels = [results.labels[variant] for variant in variants]
    return any_of(labels, "and") if len(labels) <= MOST_NAMED else f"{len(labels)} variants"
