"""Workers as Slurm jobs, submitted through submitit as one array at a time.

submitit only starts them: the process that it starts becomes the worker, which alone decides what a
signal means. Whether a worker is there is asked of squeue, by the name that all jobs of a study
have; accounting is not needed.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ablations.launchers.fleet import PlacedWorker
from ablations.profiles import SlurmSettings
from studies.errors import AblationError

log = logging.getLogger(__name__)

COMMAND_TIMEOUT_S = 120
NOTICE_S = 10.0
"""After which whoever waits for a Slurm command hears of it."""
RUNNING = ("RUNNING", "COMPLETING", "CONFIGURING", "STOPPED", "SUSPENDED")


class SlurmFleet:
    """The Slurm jobs of one study.

    Raises:
        AblationError: this machine has no Slurm, or submitit is not installed.
    """

    def __init__(
        self, name: str, worker: Sequence[str], folder: Path, settings: SlurmSettings
    ) -> None:
        """Take the name of the jobs, a worker's arguments of `ablate`, and a folder for logs."""
        self._name = name
        self._worker = list(worker)
        self._folder = folder
        self._settings = settings
        if shutil.which("sbatch") is None:
            raise AblationError(
                "launcher slurm: there is no sbatch on this machine. Run the command where jobs "
                "are submitted, such as a login node, or choose another --launcher."
            )

    def placed(self) -> list[PlacedWorker]:
        """Jobs of the study that wait or run.

        One that is held does not come: Slurm holds a job whose start went wrong, such as after its
        controller was killed.
        """
        asked = ("--noheader", "--array", f"--name={self._name}", "-o", "%i|%T|%N|%r")
        rows = (line.split("|") for line in slurm("squeue", *asked).splitlines() if line.strip())
        return [
            PlacedWorker(job, state in RUNNING, node)
            for job, state, node, reason in rows
            if "held" not in reason.lower()
        ]

    def own(self) -> str | None:
        """The job that this process is part of."""
        return own_job()

    def place(self, count: int, avoided: Sequence[str] = ()) -> list[str]:
        """Submit an array of so many jobs, to no node that is to be avoided if there are others."""
        try:
            return self._submit(count, avoided)
        except AblationError as error:
            if not avoided:
                raise
            log.warning("%s; nodes of which runs failed are taken as well: %s", error, avoided)
        return self._submit(count, ())

    def _submit(self, count: int, avoided: Sequence[str]) -> list[str]:
        executor = self._executor(avoided)
        try:
            with _outside_of_jobs():
                if count == 1:
                    jobs = [executor.submit(become_worker, self._worker)]
                else:
                    jobs = executor.map_array(become_worker, [self._worker] * count)
        except Exception as error:  # submitit passes on what sbatch said in several types
            raise AblationError(f"sbatch refused a worker: {_last_line(error)}") from None
        return [str(job.job_id) for job in jobs]

    def rehearse(self, limit_s: float = COMMAND_TIMEOUT_S) -> str:
        """What Slurm says of such a worker, of which nothing is submitted.

        Raises:
            AblationError: it would refuse it.
        """
        executor = self._executor(())
        script = self._folder / f"rehearsal-{os.getpid()}.sh"
        script.write_text(executor._make_submission_file_text("true", ""), encoding="utf-8")
        try:
            with _outside_of_jobs():
                done = _run(limit_s, "sbatch", "--test-only", str(script))
        finally:
            script.unlink()
        return done.stderr.strip() or done.stdout.strip()

    def withdraw(self, *, running: bool) -> None:
        """Cancel jobs that wait, and with `running` those that run, which get SIGTERM first."""
        states = [] if running else ["--state=PENDING"]
        slurm("scancel", f"--name={self._name}", *states)

    def _executor(self, avoided: Sequence[str]) -> Any:
        try:
            from submitit import SlurmExecutor
        except ModuleNotFoundError:
            raise AblationError(
                "launcher slurm needs submitit: pip install 'ablations[cluster]'"
            ) from None
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = self._settings
        executor = SlurmExecutor(self._folder, python=settings.python)
        asked = {
            "job_name": self._name,
            "partition": settings.partition,
            "account": settings.account,
            "qos": settings.qos,
            "constraint": settings.constraint,
            "gpus_per_node": settings.gpus_per_worker or None,
            "cpus_per_task": settings.cpus_per_worker,
            "mem": f"{settings.memory_gib * 1024:.0f}M" if settings.memory_gib else None,
            "time": settings.time_limit_minutes,
            "signal_delay_s": settings.stop_before_limit_s,
            "setup": list(settings.setup) or None,
            "srun_args": _container(settings) or None,
            "stderr_to_stdout": True,
            # Preempted jobs and those of a node that died come back; they find new work then.
            "additional_parameters": _given(
                {"requeue": True, **settings.options, "exclude": _excluded(settings, avoided)}
            ),
        }
        executor.update_parameters(**_given(asked))
        return executor


def own_job() -> str | None:
    """The job that this process is part of, as squeue calls it; None outside of jobs."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def become_worker(arguments: Sequence[str]) -> None:
    """In a job: replace this process by `ablate`, so that no handler of submitit is left."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "ablations.cli", *arguments])


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Without what describes the job that we are in: one that is submitted would inherit it.

    It would not only take the numbers of our array for its own. What a user has set stays.
    """
    from submitit.helpers import clean_env

    users = {n: v for n, v in os.environ.items() if n == "SLURM_CONF" or n.startswith("SBATCH_")}
    with clean_env():
        os.environ.update(users)
        yield


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without those that are switched off: sbatch knows no `--requeue=False`."""
    return {name: v for name, v in options.items() if v is not None and v is not False}


def _excluded(settings: SlurmSettings, avoided: Sequence[str]) -> str | None:
    """What `exclude` is told: what the user excludes, and nodes of this cluster to be avoided."""
    asked = settings.options.get("exclude")
    known = set(slurm("sinfo", "--noheader", "--Node", "-o", "%N").split()) if avoided else set()
    own = [node for node in avoided if node in known]  # sbatch refuses names that it does not know
    return ",".join([*([str(asked)] if asked else []), *own]) or None


def _container(settings: SlurmSettings) -> list[str]:
    named = {"image": settings.container_image, "mounts": settings.container_mounts}
    return [f"--container-{name}={value}" for name, value in named.items() if value is not None]


def slurm(*command: str, limit_s: float = COMMAND_TIMEOUT_S) -> str:
    """What a Slurm command prints.

    Raises:
        AblationError: it failed, or its controller does not answer.
    """
    return _run(limit_s, *command).stdout


def _run(limit_s: float, *command: str) -> subprocess.CompletedProcess[str]:
    words = ("%s has not answered yet; we wait for %.0f s at most", command[0], limit_s)
    notice = threading.Timer(NOTICE_S, log.warning, words)
    notice.start()
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=True)
    except FileNotFoundError:
        raise AblationError(f"there is no {command[0]} on this machine") from None
    except subprocess.TimeoutExpired:
        raise AblationError(f"{command[0]} does not answer; try again later") from None
    except subprocess.CalledProcessError as error:
        raise AblationError(f"{command[0]} failed: {error.stderr.strip()[:300]}") from None
    finally:
        notice.cancel()


def _last_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[-1][:300] if text else type(error).__name__
