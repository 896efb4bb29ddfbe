"""Rehearsing runs as workers would train them: in this process, or in several at once.

    echo '{"execution": {...}, "cache": "a folder", "scratch": "a folder", "specs": [{...}]}' |
        python -m ablations.rehearsal

prints a line of JSON for each spec. A process that has used a GPU keeps memory there until it ends:
the one that starts the workers must not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from ablations.machine import Machine
from studies.execution import ExecutionConfig
from studies.pace import Pace
from studies.run_spec import RunSpec

THREADS = 1
"""Torch threads of a worker."""


class Rehearsed(NamedTuple):
    """What came of rehearsing a run: its pace, or what went wrong."""

    pace: Pace | None
    error: str = ""


def rehearse(
    specs: Sequence[RunSpec], execution: ExecutionConfig, cache: Path, scratch: Path | None = None
) -> Iterator[Rehearsed]:
    """Rehearse one run after the other in this process.

    Args:
        specs: the runs.
        execution: how they are executed.
        cache: where tokens are kept.
        scratch: where checkpoints are tried, and removed; the cache unless given.
    """
    from lightning_modules.checks import check_variant
    from lightning_modules.data.token_store import build_token_store
    from lightning_modules.finetuning.pace import measure_finetuning_pace
    from lightning_modules.pace import measure_pace

    cache.mkdir(parents=True, exist_ok=True)
    for number, spec in enumerate(specs):
        with _threads_of_a_worker(), tempfile.TemporaryDirectory(dir=scratch or cache) as folder:
            try:
                size = build_token_store(spec.data, cache).vocabulary_size
                if number == 0:  # what only the first run of a process pays for is paid here
                    check_variant(spec, vocabulary_size=size)
                measure = measure_pace if spec.finetuning is None else measure_finetuning_pace
                pace = measure(spec, execution=execution, cache=cache, directory=Path(folder))
                found = Rehearsed(pace)
            except Exception as error:
                found = Rehearsed(None, f"{type(error).__name__}: {str(error)[:300]}")
        yield found


@contextmanager
def _threads_of_a_worker() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rehearse_side_by_side(
    specs: Sequence[RunSpec], execution: ExecutionConfig, cache: Path, machine: Machine
) -> Iterator[Rehearsed]:
    """Rehearse as workers train: in as many processes at once, each on a device of its own.

    They slow each other down as workers do, and are done sooner than one.
    """
    count = min(machine.workers, len(specs))
    with ExitStack() as stack:
        cache.mkdir(parents=True, exist_ok=True)
        scratch = stack.enter_context(tempfile.TemporaryDirectory(dir=cache))
        job = {
            "execution": execution.model_dump(mode="json"),
            "cache": str(cache),
            "scratch": scratch,
        }
        companies = []
        for slot in range(count):
            log = stack.enter_context(tempfile.TemporaryFile())
            shown = [spec.model_dump(mode="json") for spec in specs[slot::count]]
            company = _Company({**job, "specs": shown}, machine.gpus_of(slot), log)
            stack.callback(company.end)
            companies.append(company)
        for number in range(len(specs)):
            yield companies[number % count].answer()


class _Company:
    """A process that rehearses runs, and gives back its GPU when it ends."""

    def __init__(self, job: Mapping[str, Any], gpus: Sequence[str], log: IO[bytes]) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        self._log = log
        with tempfile.TemporaryFile() as asked:
            asked.write(json.dumps(job).encode())
            asked.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ablations.rehearsal"],
                stdin=asked,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the process that asks
            )

    def answer(self) -> Rehearsed:
        """What came of the next run."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return Rehearsed(None, self._obituary())
        found = json.loads(line)
        pace = found["pace"]
        return Rehearsed(pace and Pace.model_validate(pace), found["error"])

    def end(self) -> None:
        """End the process, whatever it is at."""
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def _obituary(self) -> str:
        """How the process ended before it had rehearsed everything."""
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"the rehearsal ended with {code}{': ' + lines[-1][:300] if lines else ''}"


def main() -> None:
    """Rehearse what is asked for on standard input."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a module of one's own may print what it likes
    job = json.load(sys.stdin)
    specs = [RunSpec.model_validate(spec) for spec in job["specs"]]
    execution = ExecutionConfig.model_validate(job["execution"])
    for found in rehearse(specs, execution, Path(job["cache"]), Path(job["scratch"])):
        pace = found.pace and found.pace.model_dump(mode="json")
        print(json.dumps({"pace": pace, "error": found.error}), file=answers, flush=True)


if __name__ == "__main__":
    main()
