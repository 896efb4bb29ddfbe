"""What one run left so far: its state, attempts, record and curves."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ablations.metrics_file import MetricRow
from ablations.run_directory import AttemptDirectory, RunDirectory
from ablations.run_lookup import FoundRun
from studies.diagnostics import PLACES
from studies.metrics import METRICS, Metric, split_series
from studies.records import RunRecord


@dataclass
class Curve:
    """Values of one metric in the order of their steps."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        """Append a point."""
        self.steps.append(step)
        self.values.append(value)


@dataclass(frozen=True)
class Attempt:
    """One attempt, as its folder tells."""

    number: int
    last_step: int | None
    """Last step with a recorded value; None where there is none."""
    silent_s: float | None
    """Seconds since it last wrote a value."""
    error: str | None
    error_path: Path | None
    """Traceback of a failed attempt."""

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**vars(self), "error_path": str(self.error_path) if self.error_path else None}


@dataclass(frozen=True)
class Series:
    """A curve of a family: of one layer at a tap, of one block, or of something beside them."""

    name: str
    leaf: str
    tap: str | None
    """`block` for blocks; None beside the layers."""
    index: int
    curve: Curve

    def answers_to(self, name: str) -> bool:
        """Whether a name is that of its family, of the family at its tap, or its own."""
        family = self.name.rpartition("/")[0]
        return name in (family, f"{family}/{self.tap}", self.name)


@dataclass(frozen=True)
class RunView:
    """Everything that is shown of a run."""

    found: FoundRun
    state: str
    """Outcome of a run that has ended, otherwise where it stands in the queue."""
    error: str | None
    record: RunRecord | None
    attempts: tuple[Attempt, ...]
    configuration: Mapping[str, Any]
    """The run's spec; empty where no attempt has begun."""
    curves: Mapping[str, Curve]
    definitions: Mapping[str, Metric]
    """Of the families of curves and other numbers of this run."""

    @property
    def has_ended(self) -> bool:
        """Whether it was trained to its end, or diverged."""
        return self.record is not None and bool(self.record.summary)

    def definition(self, name: str) -> Metric | None:
        """Definition of a metric or of a family of curves."""
        return self.definitions.get(name) or METRICS.get(name)

    def fixed(self, family: str, series: Series) -> str | None:
        """Why a curve is fixed by construction; None where it is not, or nobody can say."""
        metric = self.definition(family)
        if metric is None or series.tap is None or not self.configuration:
            return None
        return metric.fixed(series.tap, series.index, self.configuration)

    def as_json(self) -> dict[str, Any]:
        """All of it as one JSON document."""
        return {
            "run": self.found.name,
            "run_key": self.found.directory.run_key,
            "path": str(self.found.directory.path),
            "state": self.state,
            "error": self.error,
            "record": self.record.model_dump(mode="json") if self.record else None,
            "spec": dict(self.configuration) or None,
            "attempts": [attempt.as_json() for attempt in self.attempts],
            "curves": {name: vars(curve) for name, curve in self.curves.items()},
        }

    @cached_property
    def families(self) -> dict[str, list[Series]]:
        """Curves of each family that is told layer by layer, in the order of a block."""
        layered = {s[0] for s in map(split_series, self.curves) if s and s[1] in PLACES}
        found: dict[str, list[Series]] = {family: [] for family in sorted(layered)}
        for name, curve in self.curves.items():
            family, _, leaf = name.rpartition("/")
            if family in found:
                _, tap, index = split_series(name) or ("", None, 0)
                known = tap if tap in PLACES else None
                found[family].append(Series(name, leaf, known, index, curve))
        order = {tap: place for place, tap in enumerate([*PLACES, None])}
        for members in found.values():
            members.sort(key=lambda s: (order[s.tap], s.index, s.leaf))
        return found


def view_run(found: FoundRun) -> RunView:
    """Read what there is of a run."""
    folders = found.directory.attempts()
    record = found.directory.record()
    state, error = (record.outcome.value, record.error) if record else ("unknown", None)
    if record is None or any(folder.number > record.attempt for folder in folders):
        state, error, record = _state_in_ledger(found)
    if record and found.plan and found.planned:
        record = record.as_planned(found.plan, found.planned)
    rows = {folder.number: folder.read_metrics() for folder in folders}
    return RunView(
        found,
        state,
        error,
        record,
        tuple(_attempt(folder, rows[folder.number]) for folder in folders),
        _configuration(found.directory),
        _curves(found.directory, record, rows),
        _definitions(folders, record),
    )


def _state_in_ledger(found: FoundRun) -> tuple[str, str | None, RunRecord | None]:
    """Where a run without a record of its own stands, its error, and what its end left."""
    if found.study is None or found.plan is None or found.planned is None:
        return "not ended", None, None
    from ablations.listing import statuses_of

    status = statuses_of(found.plan, found.study)[found.directory.run_key]
    record = None
    if status.state.is_ended() and status.attempt is not None:
        record = found.directory.attempt(status.attempt).record()
    return status.state.value, status.error or None, record


def _attempt(folder: AttemptDirectory, rows: Sequence[MetricRow]) -> Attempt:
    trace, record = folder.path / "error.txt", folder.record()
    written = folder.metrics_path.stat().st_mtime if rows else None
    return Attempt(
        folder.number,
        rows[-1].step if rows else None,
        None if written is None else time.time() - written,
        record.error if record else None,
        trace if trace.is_file() else None,
    )


def _configuration(run: RunDirectory) -> dict[str, Any]:
    try:
        spec: dict[str, Any] = json.loads(run.spec_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return spec


def _definitions(
    attempts: Sequence[AttemptDirectory], record: RunRecord | None
) -> Mapping[str, Metric]:
    """Those that the run ended with; before, or where it failed, those of its newest attempt."""
    if record and record.definitions:
        return record.definitions
    return next(filter(None, (attempt.definitions() for attempt in reversed(attempts))), {})


def _curves(
    run: RunDirectory, record: RunRecord | None, rows: Mapping[int, Sequence[MetricRow]]
) -> dict[str, Curve]:
    """What the attempt that ended the run recorded, or the newest attempt that recorded anything.

    The rows of an attempt are read in less time than it takes to import a reader of the history.
    """
    if record and not rows.get(record.attempt) and run.history_path.exists():
        return _read_history(run.history_path)
    begun = [number for number in sorted(rows) if rows[number]]
    newest = record.attempt if record else begun[-1] if begun else None
    curves: dict[str, Curve] = {}
    for row in rows.get(newest, ()) if newest is not None else ():
        for name, value in row.values.items():
            curves.setdefault(name, Curve()).add(row.step, value)
    return curves


def _read_history(path: Path) -> dict[str, Curve]:
    import pyarrow.parquet as pq

    columns = pq.read_table(path).to_pydict()
    curves: dict[str, Curve] = {}
    for name, step, value in zip(columns["metric"], columns["step"], columns["value"], strict=True):
        curves.setdefault(name, Curve()).add(step, value)
    return curves
