"""Reports as artifacts of the runs of studies, so that they are found where the runs are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from ablations.tracking import NOTE, Tracking
from studies.errors import AblationError

FOLDER = "report"
"""Folder among the artifacts of the study's run."""
JOINED_FOLDER = "report-joined"
"""Folder of the reports of several studies, each in one of its name."""
DIGEST = "report_digest"
"""Tag of the study's run: which report it has."""
POINTER = f"The report of the study is among the artifacts: `{FOLDER}/report.html`."
"""Description of the study's run."""
UNSENT = "being sent"
"""Stands there until all of a report has arrived."""


def log_report(tracking: Tracking, study: str, manifest: Path, folder: str = FOLDER) -> Run:
    """Make the files that a manifest lists artifacts of the study's run; one it has is not resent.

    Args:
        tracking: the store.
        study: name of the study, which is that of its experiment.
        manifest: of the report; nothing else in its folder is sent.
        folder: where the files lie among the artifacts.

    Raises:
        AblationError: the store has no run of the study.
    """
    run = _study_run(tracking, study)
    content = manifest.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    tag = _digest_tag(folder)
    if run.data.tags.get(tag) == digest:
        return run
    with tempfile.TemporaryDirectory() as scratch:
        for name in (*json.loads(content)["files"], manifest.name):
            copy = Path(scratch) / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(manifest.parent / name, copy)
        tracking.client.set_tag(run.info.run_id, tag, UNSENT)
        _remove(tracking, run, folder)
        tracking.client.log_artifacts(run.info.run_id, scratch, folder)
    tracking.client.set_tag(run.info.run_id, tag, digest)
    if folder == FOLDER and NOTE not in run.data.tags:  # what somebody has written stays
        tracking.client.set_tag(run.info.run_id, NOTE, POINTER)
    return run


def _remove(tracking: Tracking, run: Run, folder: str) -> None:
    """Take an earlier report away: a figure that the new one has not would still lie there."""
    repository = get_artifact_repository(run.info.artifact_uri, tracking_uri=tracking.uri)
    # Some stores cannot delete, and each says so in its own way; new files are written over old.
    with contextlib.suppress(MlflowException, RuntimeError):
        repository.delete_artifacts(folder)  # type: ignore[no-untyped-call]


def _digest_tag(folder: str) -> str:
    """Tag that says which report lies in a folder; no tag may have a + in its name."""
    return DIGEST if folder == FOLDER else f"{DIGEST}/{folder.replace('+', '/')}"


def _study_run(tracking: Tracking, study: str) -> Run:
    experiment = tracking.client.get_experiment_by_name(study)
    found = experiment and tracking.client.search_runs(
        [experiment.experiment_id],
        "tags.kind = 'study'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    if not found:
        raise AblationError(
            f"the tracking store {tracking.uri} has no run of the study {study!r}; "
            f"`ablate sync {study}` sends it."
        )
    run: Run = found[0]
    return run
