"""Reads the results of a study from MLflow; the only file of the package that knows MLflow."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one for each artifact
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default blocks for minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import pyarrow as pa
from mlflow import MlflowClient
from mlflow.entities import Run

from reports.links import RunLinks
from reports.results.assembly import assemble
from reports.results.frame import StudyResults, UnreadableResults
from reports.results.sources import (
    HISTORY_FILE,
    PLAN_FILE,
    RECORD_FILE,
    parse,
    parse_registration,
    read_history,
)
from studies.plan import Plan
from studies.records import RunRecord
from studies.registration import REGISTRATION_FILE, Registration

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # not each retry: we tell once

PAGE_SIZE = 1000


def load_tracked_study(tracking_uri: str, study: str) -> StudyResults:
    """Read a study from the MLflow experiment of its name.

    Raises:
        UnreadableResults: there is no such experiment, or it holds no plan.
    """
    client = MlflowClient(tracking_uri=tracking_uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        known = sorted(e.name for e in client.search_experiments())
        raise UnreadableResults(
            f"no experiment {study!r} at {tracking_uri}; there are: {', '.join(known)}. "
            "Name one of these, or run the study with this tracking URI."
        )
    with tempfile.TemporaryDirectory() as scratch:
        reader = _Reader(client, experiment.experiment_id, Path(scratch))
        plan, registration = reader.plan(study)
        records: dict[str, RunRecord] = {}
        histories: dict[str, pa.Table] = {}
        planned = {run.run_key for run in plan.all_runs}
        for run in [*reader.runs("run"), *reader.runs("finetuning")]:
            key = run.data.tags.get("run_key", "")
            if key not in planned or key in records:
                continue
            record = reader.artifact(run, RECORD_FILE)
            if record is not None:
                records[key] = parse(RunRecord, record)
                history = reader.artifact(run, HISTORY_FILE)
                if history is not None:
                    histories[key] = read_history(history)
        return assemble(plan, records, histories, registration)


def link_runs(tracking_uri: str, study: str, ui_url: str) -> RunLinks | None:
    """Where the UI at an address shows the runs of a study; None where the store has not got it.

    Runs are listed page by page, and nothing is downloaded. What the store raises goes through.
    """
    client = MlflowClient(tracking_uri=tracking_uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        return None
    run_ids: dict[str, str] = {}
    reader = _Reader(client, experiment.experiment_id, Path())
    for run in [*reader.runs("run"), *reader.runs("finetuning")]:
        run_ids.setdefault(run.data.tags.get("run_key", ""), run.info.run_id)
    return RunLinks(ui_url, experiment.experiment_id, run_ids)


class PlannedStudy(NamedTuple):
    """The plan of a study, and what was registered of it."""

    plan: Plan
    registration: Registration | None


class _Reader:
    """Runs and artifacts of one experiment."""

    def __init__(self, client: MlflowClient, experiment_id: str, scratch: Path) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._scratch = scratch

    def runs(self, kind: str) -> list[Run]:
        """Runs of a kind, the latest first: of two runs with one key the later one counts."""
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                f"tags.kind = '{kind}'",
                max_results=PAGE_SIZE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            found += page
            token = page.token
            if not token:
                return found

    def artifact(self, run: Run, name: str) -> Path | None:
        """A downloaded artifact of a run, if the run has it."""
        run_id = run.info.run_id
        if name not in self._names(run_id):
            return None
        folder = self._scratch / run_id
        folder.mkdir(exist_ok=True)
        return Path(self._client.download_artifacts(run_id, name, str(folder)))

    def plan(self, study: str) -> PlannedStudy:
        """What the latest study run says of the plan."""
        for run in self.runs("study"):
            path = self.artifact(run, PLAN_FILE)
            if path is not None:
                registered = self.artifact(run, REGISTRATION_FILE)
                registration = parse_registration(registered) if registered else None
                return PlannedStudy(parse(Plan, path), registration)
        raise UnreadableResults(
            f"experiment {study!r} holds no run of kind 'study' with a {PLAN_FILE}; "
            "it was not made by `ablate run`, or tracking is behind: try `ablate sync`."
        )

    def _names(self, run_id: str) -> set[str]:
        return {item.path for item in self._client.list_artifacts(run_id)}
