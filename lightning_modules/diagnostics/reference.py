"""The reference of what runs record, in Markdown: made of the definitions that runs carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lightning_modules.diagnostics.base import Diagnostic
from lightning_modules.diagnostics.registry import DIAGNOSTICS
from studies import diagnostics as described
from studies.diagnostics import DEFAULT_DIAGNOSTICS
from studies.metrics import METRICS, ByConstruction, Metric
from studies.task_metrics import TASK_METRICS

_DRAWN = {
    "linear": "linear scale",
    "log": "logarithmic scale",
    "diverging": "scale around 0",
}


def metrics_reference() -> str:
    """Every diagnostic with its metrics, then the metrics of every run."""
    parts = ["## Diagnostics", "", *_overview()]
    for name, diagnostic in DIAGNOSTICS.items():
        parts += ["", f"### {name}", "", _summary(name, diagnostic)]
        for family, metric in diagnostic.definitions.items():
            parts += ["", *_entry(family, metric)]
    parts += ["", "## What every run records", "", *_table(METRICS)]
    of_tasks = {name: metric for name, metric in TASK_METRICS.items() if name not in METRICS}
    parts += ["", "## What every run that fine-tunes records", "", *_table(of_tasks)]
    return "\n".join(parts) + "\n"


def _overview() -> list[str]:
    rows = ["| diagnostic | cost class | by default | metrics |", "|---|---|---|---|"]
    for name, diagnostic in DIAGNOSTICS.items():
        metrics = ", ".join(f"`{family}`" for family in diagnostic.definitions)
        enabled = "on" if name in DEFAULT_DIAGNOSTICS else "off"
        rows.append(f"| [`{name}`](#{name}) | {diagnostic.cost} | {enabled} | {metrics} |")
    return rows


def _summary(name: str, diagnostic: type[Diagnostic]) -> str:
    level = described.DIAGNOSTICS[name]
    taps = ", ".join(f"`{tap}`" for tap in diagnostic.taps)
    return f"{_sentence(level.summary)} Cost class `{diagnostic.cost}`." + (
        f" Taps: {taps}." if taps else ""
    )


def _entry(family: str, metric: Metric) -> list[str]:
    notes = [f"{metric.label}{_in_unit(metric)}, {_DRAWN[metric.scale]}"]
    if metric.direction != "neither":
        notes.append(f"{metric.direction} is better")
    if metric.source:
        notes.append(f"source: {metric.source}")
    lines = [f"**`{family}`** ({'; '.join(notes)})", "", _sentence(metric.definition)]
    if metric.formula:
        lines += ["", f"$${metric.formula}$$"]
    if metric.by_construction:
        lines += ["", "Fixed by construction:", "", *_rules(metric.by_construction)]
    return lines


def _rules(rules: Iterable[ByConstruction]) -> list[str]:
    lines = []
    for rule in rules:
        where = ", ".join(f"`{tap}`" for tap in rule.taps)
        if rule.first_index:
            where += f" from layer {rule.first_index} on"
        when = " and ".join(
            f"`{key}` is {', '.join(map(str, levels))}" for key, levels in rule.when.items()
        )
        lines.append(f"- {where}, where {when}: {rule.note}.")
    return lines


def _table(metrics: Mapping[str, Metric]) -> list[str]:
    rows = ["| metric | unit | definition |", "|---|---|---|"]
    for name, metric in metrics.items():
        source = f" ({metric.source})" if metric.source else ""
        meaning = _sentence(f"{metric.label}: {metric.definition}{source}")
        rows.append(f"| `{name}` | {metric.unit} | {meaning} |")
    return rows


def _in_unit(metric: Metric) -> str:
    return f", in {metric.unit}" if metric.unit else ""


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."
