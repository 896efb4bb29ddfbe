"""What `ablate doctor` looks at: where and with what a study would run."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from ablations.launchers.registry import LAUNCHERS, usual_storage
from ablations.ledger_location import LedgerLocation, known_ledger, new_storage, recorded_ledger
from ablations.option_values import profile_of, recall, study_directory, tracking_uri
from ablations.profiles import Profile
from ablations.run_directory import StudyDirectory
from ablations.storages.urls import refuse_password
from studies.execution import ExecutionConfig
from studies.loading import load_study


@dataclass(frozen=True)
class Situation:
    """All that a check may want to know."""

    home: Path
    profile: Profile
    launcher: str
    storage: str
    """URL of the queue; may hold a password, so it is never shown as it is."""
    tracking_uri: str
    ledger: LedgerLocation | None = None
    """The queue of the study; None without a study, or where it has none yet."""
    recorded_storage: str | None = None
    """Where ledger.json says that the queue is."""
    execution: ExecutionConfig | None = None
    """How runs of the study are executed; None without a study."""

    @property
    def is_on_cluster(self) -> bool:
        """Whether workers run on other machines than this one."""
        return LAUNCHERS[self.launcher].fleet is not None

    @property
    def wants_gpu(self) -> bool:
        """Whether the study says that it runs on GPUs alone."""
        return self.execution is not None and self.execution.accelerator in ("cuda", "gpu")


def situation_of(options: argparse.Namespace) -> Situation:
    """What the options, the profile and the folder of the study say.

    Raises:
        AblationError: there is no such study or profile, or one of them says what it may not.
    """
    home = options.home.resolve()
    directory, execution = StudyDirectory(home, "STUDY"), None
    if options.study:
        directory = StudyDirectory(home, study_directory(options).study)
        execution = _execution(options.study, directory)
        recall(options, directory)
    profile = profile_of(options)
    launcher = options.launcher or profile.launcher
    if options.storage is not None:
        refuse_password(options.storage, "--storage")
    ledger = known_ledger(directory, options.storage)
    recorded = recorded_ledger(directory)
    usual = usual_storage(launcher, profile)
    return Situation(
        home=home,
        profile=profile,
        launcher=launcher,
        storage=ledger.url if ledger else new_storage(directory, options.storage, usual),
        tracking_uri=tracking_uri(options),
        ledger=ledger,
        recorded_storage=recorded.url if recorded else None,
        execution=execution,
    )


def _execution(name: str, directory: StudyDirectory) -> ExecutionConfig:
    """As the study file says, or the stored plan of a study that is known by its name alone."""
    if directory.plan_path.exists():
        return directory.load_plan().study.execution
    return load_study(name).study.execution
