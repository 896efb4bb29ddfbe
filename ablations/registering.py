"""Writing down what a study expects, once: at its first `ablate run`."""

from __future__ import annotations

from datetime import UTC, datetime

import filelock
from pydantic import ValidationError

from ablations.provenance import git_state
from ablations.run_directory import StudyDirectory
from studies.errors import AblationError
from studies.files import write_atomically
from studies.plan import Plan
from studies.registration import Registration, changes_since, register


def register_once(plan: Plan, directory: StudyDirectory) -> str:
    """Register a study, unless it is; what is to be said of it, in a line that may be empty.

    A registration is never written over: where the plan says something else by now, the line names
    what.

    Raises:
        AblationError: the registration cannot be read.
    """
    directory.path.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(directory.path / ".registration.lock"):
        registration = read_registration(directory)
        if registration is not None:
            return _later_line(registration, plan, directory)
        registration = register(
            plan,
            registered_at=datetime.now(UTC).isoformat(timespec="seconds"),
            after_first_runs=any(directory.path.glob("runs/*/attempt-*")),
            git=git_state(),
        )
        write_atomically(directory.registration_path, registration.model_dump_json(indent=1))
    return _first_line(registration)


def read_registration(directory: StudyDirectory) -> Registration | None:
    """What was registered, if anything was.

    Raises:
        AblationError: the file is no registration.
    """
    path = directory.registration_path
    try:
        return Registration.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        raise AblationError(
            f"{path} is no registration: {'.'.join(map(str, first['loc']))}: {first['msg']}. "
            "Restore it; or move it away, and the study is registered anew, after its first runs."
        ) from None


def _later_line(registration: Registration, plan: Plan, directory: StudyDirectory) -> str:
    if not registration.is_intact:
        return (
            f"{directory.registration_path} was edited: nothing is confirmatory until it is "
            "restored"
        )
    changed = changes_since(registration, plan).text
    return f"not as registered at {registration.registered_at}: {changed}" if changed else ""


def _first_line(registration: Registration) -> str:
    count = len(registration.hypotheses)
    text = f"registered: {count} {'hypothesis' if count == 1 else 'hypotheses'}"
    if registration.after_first_runs:
        return f"{text}, after the first runs: nothing is confirmatory"
    return text if count else f"{text}: every comparison is exploratory"
