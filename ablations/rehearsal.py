"""Rehearsing runs as a worker would train them: in this process, or in one with a GPU of its own.

    echo '{"execution": {...}, "cache": "...", "specs": [{...}]}' | python -m ablations.rehearsal

prints a line of JSON for each spec. A process that has used a GPU keeps memory there until it ends:
the one that starts the workers must not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from studies.pace import Pace
from studies.run_spec import RunSpec
from studies.schema import ExecutionConfig

THREADS = 1
"""Torch threads of a worker."""


class Rehearsed(NamedTuple):
    """What came of rehearsing a run: its pace, or what went wrong."""

    pace: Pace | None
    error: str = ""


def rehearse(
    specs: Sequence[RunSpec], execution: ExecutionConfig, cache: Path
) -> Iterator[Rehearsed]:
    """Rehearse one run after the other in this process."""
    from lightning_modules.checks import check_variant
    from lightning_modules.data.token_store import build_token_store
    from lightning_modules.pace import measure_pace

    cache.mkdir(parents=True, exist_ok=True)
    for number, spec in enumerate(specs):
        with _threads_of_a_worker(), tempfile.TemporaryDirectory(dir=cache) as folder:
            try:
                if number == 0:  # what only the first run of a process pays for is paid here
                    size = build_token_store(spec.data, cache).vocabulary_size
                    check_variant(spec, vocabulary_size=size)
                pace = measure_pace(spec, execution=execution, cache=cache, directory=Path(folder))
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


def rehearse_elsewhere(
    specs: Sequence[RunSpec], execution: ExecutionConfig, cache: Path, gpus: Sequence[str]
) -> Iterator[Rehearsed]:
    """Rehearse in a process of its own, which gives back its GPUs when it is done."""
    job = {
        "execution": execution.model_dump(mode="json"),
        "cache": str(cache),
        "specs": [spec.model_dump(mode="json") for spec in specs],
    }
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    command = [sys.executable, "-P", "-m", "ablations.rehearsal"]
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as log:
        asked.write(json.dumps(job).encode())
        asked.seek(0)
        process = subprocess.Popen(
            command,
            stdin=asked,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the process that asks
        )
        assert process.stdout is not None
        try:
            for _ in specs:
                line = process.stdout.readline()
                yield _read(line) if line else Rehearsed(None, _last_line(process, log))
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _read(line: bytes) -> Rehearsed:
    found = json.loads(line)
    pace = found["pace"]
    return Rehearsed(pace and Pace.model_validate(pace), found["error"])


def _last_line(process: subprocess.Popen[bytes], log: IO[bytes]) -> str:
    """Why a process ended before it had rehearsed everything."""
    code = process.wait()
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return f"the rehearsal ended with {code}{': ' + lines[-1][:300] if lines else ''}"


def main() -> None:
    """Rehearse what is asked for on standard input."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a module of one's own may print what it likes
    job = json.load(sys.stdin)
    specs = [RunSpec.model_validate(spec) for spec in job["specs"]]
    execution = ExecutionConfig.model_validate(job["execution"])
    for found in rehearse(specs, execution, Path(job["cache"])):
        pace = found.pace and found.pace.model_dump(mode="json")
        print(json.dumps({"pace": pace, "error": found.error}), file=answers, flush=True)


if __name__ == "__main__":
    main()
