"""The tiny study on the emulated cluster, with the command in this process and workers as jobs."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from optuna.trial import FrozenTrial

from ablations.cli import main
from ablations.ledger import Ledger
from ablations.ledger_location import ledger_of
from ablations.run_directory import StudyDirectory
from ablations.run_status import RunStatus
from studies.plan import Plan
from tests.cluster.slurm import Job, SlurmCluster
from tests.processes import workers_of
from tests.waiting import PATIENCE_S

ENDED = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL")


class ClusterStudy:
    """A study in a home of its own, and the profile that it is run with."""

    def __init__(
        self, file: Path, cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        self.home, self._file, self._cluster = file.parent, file, cluster
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.directory = StudyDirectory(self.home, yaml.safe_load(file.read_text())["name"])

    def profile(self, workers: int, tracking_uri: str | None = None, **slurm: object) -> None:
        """Say with what it is run from now on."""
        path = self.home / "profiles.yaml"
        settings = {"cpus_per_worker": 1, "time_limit_minutes": 60, **slurm}
        lab = {"launcher": "slurm", "workers": workers, "slurm": settings}
        path.write_text(yaml.safe_dump({"lab": {**lab, "tracking_uri": tracking_uri}}))
        self._monkeypatch.setenv("ABLATE_PROFILES", str(path))
        self._monkeypatch.setenv("ABLATE_PROFILE", "lab")

    def ablate(self, command: str, *options: str) -> str:
        """A subcommand on the study, which succeeds; returns what it prints."""
        study = str(self._file) if command == "run" else self.directory.study
        self._capsys.readouterr()
        status = main([command, study, "--home", str(self.home), *options])
        printed = self._capsys.readouterr()
        assert status == 0, printed.out + printed.err
        return str(printed.out)

    def watch_until(self, condition: Callable[[], object]) -> None:
        """`ablate status --watch`, stopped once something is the case; it tops up each time."""
        deadline = time.monotonic() + PATIENCE_S

        def sleep(_: float) -> None:
            assert time.monotonic() < deadline, "this takes too long"
            if condition():
                raise KeyboardInterrupt
            time.sleep(0.3)

        watching = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
        with self._monkeypatch.context() as patch:
            patch.setattr("ablations.watching.time", watching)
            patch.setattr("ablations.watching.KEEP_S", 0.0)
            assert (
                main(["status", self.directory.study, "--home", str(self.home), "--watch"]) == 130
            )

    @property
    def plan(self) -> Plan:
        return self.directory.load_plan()

    @property
    def ledger(self) -> Ledger:
        ledger = ledger_of(self.directory)
        assert ledger is not None
        return ledger

    def attempts(self) -> list[dict[str, Any]]:
        """State and attributes of each attempt that has begun, in the order of their claims."""
        begun = [(t.datetime_start, t) for t in trials_of(self.ledger) if t.datetime_start]
        begun.sort(key=lambda pair: pair[0])
        return [{"state": t.state.name, **t.user_attrs} for _, t in begun]

    def statuses(self) -> list[RunStatus]:
        return list(self.ledger.statuses([run.run_key for run in self.plan.runs]).values())

    def is_training(self, after: int = 0) -> bool:
        """Whether an attempt has saved a step of its own; those before `after` are not asked."""
        attempts = self.attempts()[after:]
        pulses = [a.get("pulse", {}) for a in attempts if a["state"] == "RUNNING"]
        return any(pulse and pulse["saved"] > pulse["began_at"] for pulse in pulses)

    def jobs(self, *, ended: bool = False) -> list[Job]:
        """Jobs of the study that wait or run, or all that there were, in their order."""
        try:
            name = f"ablate-{json.loads(self.directory.ledger_file_path.read_text())['name']}"
        except FileNotFoundError:
            return []
        found = [job for job in self._cluster.jobs() if job.name == name]
        own = [job for job in found if ended or job.state not in ENDED]
        return sorted(own, key=lambda job: [int(part) for part in job.id.split("_")])

    def processes(self, *, training: bool) -> dict[int, dict[str, str]]:
        """Processes that train, or that look after those, with their environments."""
        found = {}
        for pid in workers_of(self.home, training=training):
            with suppress(OSError):
                lines = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
                found[pid] = dict(line.split("=", 1) for line in lines if "=" in line)
        return found

    def kill(self) -> None:
        """Kill every process of the study at once."""
        for training in (False, True):
            for pid in self.processes(training=training):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def trials_of(ledger: Ledger) -> list[FrozenTrial]:
    """Every attempt in a storage, those that wait as well."""
    study_id = ledger.storage.get_study_id_from_name(ledger.name)
    return ledger.storage.get_all_trials(study_id)
