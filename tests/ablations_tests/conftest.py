"""One tiny study that `ablate run` trained to its end, shared by the tests that only read it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock
import pytest
import torch

from ablations.claims import Claim
from ablations.cli import main
from ablations.run_directory import StudyDirectory
from studies.plan import Plan
from tests.ablations_tests.tiny_studies import UNDISTURBED, write_study
from tests.ablations_tests.tracked_grid import query, store

__all__ = ["query", "store"]


@dataclass(frozen=True)
class FinishedStudy:
    home: Path
    file: Path
    plan: Plan
    directory: StudyDirectory
    exit_status: int
    output: str


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> FinishedStudy:
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    told = home / "told.json"
    home.mkdir(exist_ok=True)
    with filelock.FileLock(home / "trained.lock"):  # by the first of all test processes
        if not told.exists():
            file = write_study(home, **UNDISTURBED)
            with contextlib.redirect_stdout(io.StringIO()) as output:
                status = main(["run", str(file), "--home", str(home), "--workers", "2"])
            told.write_text(json.dumps([status, output.getvalue()]))
    directory = StudyDirectory(home, "tiny")
    status, printed = json.loads(told.read_text())
    return FinishedStudy(
        home, home / "study.yaml", directory.load_plan(), directory, status, printed
    )


@pytest.fixture
def home(tmp_path, finished) -> Path:
    """A home folder of its own, with the data of the finished study."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for part in ("stores", "index", "locks"):
        (cache / part).symlink_to(finished.home / "cache" / part)
    return tmp_path


@pytest.fixture
def in_this_process(monkeypatch) -> Iterator[None]:
    """Workers and servers in this process leave no handlers behind, and wait less."""
    monkeypatch.setattr("ablations.worker.IDLE_S", 0.25)
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    handlers, threads = {name: signal.getsignal(name) for name in names}, torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    for name, handler in handlers.items():
        signal.signal(name, handler)


@pytest.fixture(autouse=True)
def silent_ever_after() -> Iterator[None]:
    """The attempts that a test leaves open beat no more: they would take time from those after."""
    live, claims = Claim._live, list[Claim]()

    def noted(claim: Claim) -> None:
        claims.append(claim)
        live(claim)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Claim, "_live", noted)
        yield
    for claim in claims:
        claim._ended.set()
        claim._wake.set()
