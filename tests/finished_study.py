"""A finished study of four runs, tracked in SQLite: built once and read by several test files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ablations.publishing import sync_study
from ablations.registering import register_once
from ablations.run_directory import StudyDirectory
from ablations.tracking import Tracking
from ablations.tracking_store import default_tracking_uri
from studies.plan import Plan
from tests.ablations_tests.tiny_studies import queue, work

QUESTION = "Does gating help a tiny GPT?"
GATING_HELPS = {
    "claim": "It does",
    "of": {"model.activation": "swiglu"},
    "against": {"model.activation": "gelu"},
    "direction": "lower",
}


@dataclass(frozen=True)
class FinishedStudy:
    """Where a study is, on disk and in the store. Tests leave it as it is."""

    plan: Plan
    directory: StudyDirectory
    uri: str


_built: list[FinishedStudy] = []


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedStudy:
    """GELU and SwiGLU with two seeds, trained by a worker in this process."""
    if not _built:  # each file that imports the fixture has one of its own
        home = tmp_path_factory.mktemp("finished")
        _built.append(run_study(home, default_tracking_uri(home)))
    return _built[0]


def run_study(home: Path, uri: str, name: str = "gating") -> FinishedStudy:
    """Train, track and sum up the study."""
    plan, directory, _ = queue(
        home,
        name=name,
        question=QUESTION,
        factors={"model.activation": ["gelu", "swiglu"]},
        hypotheses={"gating-helps": GATING_HELPS},
        report={"baseline": {"model.activation": "gelu"}},
    )
    register_once(plan, directory)
    work(directory, uri)
    sync_study(Tracking(uri), plan, directory)
    return FinishedStudy(plan, directory, uri)
