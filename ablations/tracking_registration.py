"""What a study said before its first run, as its run in the tracking store has it."""

from __future__ import annotations

from pathlib import Path

from mlflow.entities import Run, RunTag
from mlflow.tracking import MlflowClient

from studies.registration import REGISTRATION_FILE, Registration


def send_registration(client: MlflowClient, study_run: Run, directory: Path) -> None:
    """Make the registration in a study's folder an artifact and tags of the study's run.

    The first one that a store has stays.
    """
    path = directory / REGISTRATION_FILE
    if "registered" in study_run.data.tags or not path.exists():
        return
    registration = Registration.model_validate_json(path.read_bytes())
    client.log_artifact(study_run.info.run_id, str(path))
    tags = {
        "registration_digest": registration.digest,
        "registered_after_first_runs": registration.after_first_runs,
        "registered": registration.registered_at,
    }
    client.log_batch(study_run.info.run_id, tags=[RunTag(k, str(v)) for k, v in tags.items()])
