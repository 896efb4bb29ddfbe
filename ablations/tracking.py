"""MLflow, where a study's runs are queried: experiment, study run, variant runs, seed runs.

Everything here is rebuilt from the run directories at any time, and sending a row again stores
nothing new: its timestamp is the start of its run plus its step.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default blocks for minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines for each run

from mlflow.entities import Experiment, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ablations.tracked_run import NAME, TrackedRun
from ablations.tracking_registration import send_registration
from ablations.tracking_store import artifact_root, prepare_store, store_lock, tracking_lock
from ablations.tracking_views import description, saved_views
from studies.configuration import leaf_name
from studies.plan import Cell, Plan
from studies.run_spec import RunSpec

BATCH_METRICS = 1000
"""Most metrics that one request of the MLflow API may carry."""

KIND, PARENT = "kind", "mlflow.parentRunId"
NOTE = "mlflow.note.content"
TABLES = "mlflow.loggedArtifacts"
EARLIER = "earlier_"
"""Starts the kind of a run or variant that an earlier plan of the study had."""


@dataclass(frozen=True)
class TrackedStudy:
    """Identifiers of a study in a tracking store."""

    experiment_id: str
    study_run_id: str
    variant_run_ids: dict[str, str]
    runs: dict[str, Run]
    """Run key to the seed runs that the store had when the study was opened."""
    taps: tuple[str, ...]
    """Taps whose curves the store is sent."""


class Tracking:
    """One tracking store, seen through what a study needs of it."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        with store_lock(uri):  # a client creates the tables of a new store
            prepare_store(uri)
            self.client = MlflowClient(tracking_uri=uri)

    def open_study(self, plan: Plan, directory: Path) -> TrackedStudy:
        """Get or create the experiment, the study run and the variant runs of a plan.

        Args:
            plan: the study's plan.
            directory: the study's folder; its lock keeps several processes from creating twice,
                and its `plan.json`, `study.yaml` and `registration.json` become artifacts.
        """
        with tracking_lock(directory):
            experiment = self._experiment(plan)
            existing = self._search(experiment.experiment_id, "tags.kind != ''")
            self._set_earlier_plans_aside(plan, existing)
            self._name_as_planned(plan, existing)
            study_run = next((r for r in existing if r.data.tags[KIND] == "study"), None)
            if study_run is None:
                study_run = self._create(experiment.experiment_id, plan.study.name, {KIND: "study"})
            study_run_id = str(study_run.info.run_id)
            self._describe_study(plan, study_run_id, directory)
            send_registration(self.client, study_run, directory)
            known = {r.data.tags["cell_key"]: r for r in existing if "cell_key" in r.data.tags}
            variants = {
                cell.variant: known.get(cell.cell_key)
                or self._create_variant(experiment.experiment_id, study_run_id, plan, cell)
                for cell in plan.cells
            }
        return TrackedStudy(
            experiment.experiment_id,
            study_run_id,
            {name: str(run.info.run_id) for name, run in variants.items()},
            {r.data.tags["run_key"]: r for r in existing if "run_key" in r.data.tags},
            plan.study.execution.tracked_taps,
        )

    def open_run(self, study: TrackedStudy, tracked: TrackedRun, attempt: int) -> Run:
        """Get or create a seed run, and say that an attempt at it is running.

        The caller sees to it that nobody else does so at the same time.
        """
        spec, key = tracked.spec, tracked.spec.run_key
        found = study.runs.get(key) or next(iter(self._of_key(study, key)), None)
        tags = {
            KIND: tracked.kind,
            "run_key": key,
            "seed": str(spec.seed),
            PARENT: self._parent_of(study, tracked),
            **tracked.tags(),
        }
        run = found or self._create(study.experiment_id, tracked.name, tags)
        if found is not None:
            self.client.update_run(run.info.run_id, status="RUNNING")
        state = [RunTag("outcome", "running"), RunTag("attempt", str(attempt))]
        self.client.log_batch(run.info.run_id, params=_params(spec), tags=state)
        return run

    def _parent_of(self, study: TrackedStudy, tracked: TrackedRun) -> str:
        """The run that a fine-tuning goes on from, once the store has it; else the variant."""
        key = tracked.parent
        found = key and (study.runs.get(key) or next(iter(self._of_key(study, key)), None))
        return str(found.info.run_id) if found else study.variant_run_ids[tracked.variant]

    def _of_key(self, study: TrackedStudy, run_key: str) -> list[Run]:
        return self._search(study.experiment_id, f"tags.run_key = '{run_key}'")

    def log(
        self,
        run: Run,
        metrics: Iterable[tuple[int, str, float]] = (),
        tags: Mapping[str, object] | None = None,
    ) -> None:
        """Send metrics, as (step, name, value), and tags; sending again changes nothing."""
        start_ms = run.info.start_time
        rows = [Metric(name, value, start_ms + step, step) for step, name, value in metrics]
        for first in range(0, len(rows), BATCH_METRICS):
            self.client.log_batch(run.info.run_id, metrics=rows[first : first + BATCH_METRICS])
        if tags:
            self.client.log_batch(
                run.info.run_id, tags=[RunTag(k, str(v)[:8000]) for k, v in tags.items()]
            )

    def replace(self, run: Run, values: Mapping[str, float]) -> None:
        """Set numbers that are not curves; those that the run already shows are not sent.

        Of several values at one step the store shows the one with the latest time, and of several
        at one time the largest: the time has to be now.
        """
        now_ms = int(time.time() * 1000)
        shown = run.data.metrics
        changed = [Metric(k, v, now_ms, 0) for k, v in values.items() if shown.get(k) != v]
        if changed:
            self.client.log_batch(run.info.run_id, metrics=changed)

    def log_table(self, run: Run, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Store a table, which the UI shows and compares over runs; again, it takes its place."""
        table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
        self.client.log_dict(run.info.run_id, table, name)
        self.log(run, tags={TABLES: json.dumps([{"path": name, "type": "table"}])})

    def close_run(self, run: Run, status: str, duration_s: float) -> None:
        """Say that a run is over. The UI shows its duration: that of the training, not ours."""
        end_ms = run.info.start_time + round(1000 * duration_s)
        self.client.set_terminated(run.info.run_id, status, end_ms)

    def _experiment(self, plan: Plan) -> Experiment:
        name = plan.study.name
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            try:
                self.client.create_experiment(name, artifact_root(self.uri, name))
            except MlflowException as error:  # somebody else was quicker
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            experiment = self.client.get_experiment_by_name(name)
            assert experiment is not None
        elif experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        self._describe_experiment(plan, experiment)
        return experiment

    def _describe_experiment(self, plan: Plan, experiment: Experiment) -> None:
        """Prepare the saved views, and a description that links to them: what the UI opens with.

        A description that somebody has written stays.
        """
        tags = dict(view.tag() for view in saved_views(plan))
        if NOTE not in experiment.tags:
            tags[NOTE] = description(plan, experiment.experiment_id)
        for key, value in tags.items():
            if experiment.tags.get(key) != value:
                self.client.set_experiment_tag(experiment.experiment_id, key, value)

    def _set_earlier_plans_aside(self, plan: Plan, runs: Iterable[Run]) -> None:
        """Give runs that are no longer planned a kind of their own: no view averages them in."""
        planned = plan.run_keys | {cell.cell_key for cell in plan.cells}
        for run in runs:
            tags = run.data.tags
            kind = tags[KIND].removeprefix(EARLIER)
            key = tags.get("run_key") or tags.get("cell_key")
            wanted = kind if key is None or key in planned else EARLIER + kind
            if tags[KIND] != wanted:
                self.client.set_tag(run.info.run_id, KIND, wanted)

    def _name_as_planned(self, plan: Plan, runs: Sequence[Run]) -> None:
        """Another factor changes the names of variants, a choice the columns of runs; no run.

        A fine-tuning that was opened before the run that it goes on from finds its parent.
        """
        names = {c.cell_key: {"variant": c.variant, NAME: c.variant} for c in plan.cells}
        ids = {r.data.tags["run_key"]: r.info.run_id for r in runs if "run_key" in r.data.tags}
        for planned in plan.all_runs:
            tags = TrackedRun.of(plan, planned).tags()
            parent = {PARENT: ids[planned.parent]} if planned.parent in ids else {}
            names[planned.run_key] = tags | parent
        for run in runs:
            tags = run.data.tags
            key = tags.get("run_key") or tags.get("cell_key")
            wanted = names.get(str(key), {})
            changed = {name: value for name, value in wanted.items() if tags.get(name) != value}
            if changed:
                self.log(run, tags=changed)

    def _describe_study(self, plan: Plan, run_id: str, directory: Path) -> None:
        for artifact in ("plan.json", "study.yaml"):
            if (directory / artifact).exists():
                self.client.log_artifact(run_id, str(directory / artifact))
        facts = {
            "cells": len(plan.cells),
            "runs": len(plan.all_runs),
            "baseline": plan.baseline,
            "factors": ", ".join(map(leaf_name, plan.cells[0].levels)),
            **_protocol_tags(plan),
            "overrides": plan.overrides or "none",
        }
        self.client.log_batch(run_id, tags=[RunTag(k, str(v)) for k, v in facts.items()])

    def _create_variant(self, experiment_id: str, study_run_id: str, plan: Plan, cell: Cell) -> Run:
        tags = {
            KIND: "variant",
            "variant": cell.variant,
            "cell_key": cell.cell_key,
            PARENT: study_run_id,
        }
        run = self._create(experiment_id, cell.variant, tags)
        without = {"seed", *map(leaf_name, plan.nuisance)}
        params = [p for p in _params(cell.spec(seed=0)) if p.key not in without]
        self.client.log_batch(run.info.run_id, params=params)
        return run

    def _create(self, experiment_id: str, name: str, tags: Mapping[str, str]) -> Run:
        now_ms = int(time.time() * 1000)
        return self.client.create_run(experiment_id, now_ms, {NAME: name, **tags}, name)

    def _search(self, experiment_id: str, filter_string: str) -> list[Run]:
        runs: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs(
                [experiment_id], filter_string, max_results=5000, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs


def _protocol_tags(plan: Plan) -> dict[str, str]:
    """What the study's comparison rests on."""
    protocol = plan.study.protocol
    budget = protocol.budget.model_dump(exclude_none=True) if protocol.budget else {}
    return {
        "search": protocol.search.kind,
        "searched": ", ".join(map(leaf_name, plan.nuisance)) or "none",
        "match": protocol.match,
        "budget": ", ".join(f"{v:g} {unit}" for unit, v in budget.items()) or "max_steps",
        "seeds": ", ".join(map(str, plan.study.seeds)),
    }


def _params(spec: RunSpec) -> list[Param]:
    """What a run was made with; what means nothing in it is left out."""
    return [Param(k, str(v)) for k, v in spec.params().items() if v is not None]
