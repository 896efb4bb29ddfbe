"""How runs end, and how long their attempts took, told by their files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ablations.ended_runs import finish, spent_s
from ablations.run_directory import AttemptDirectory, RunDirectory, StudyDirectory
from lightning_modules.checkpoints import WEIGHTS, checkpoint_path
from studies.records import Outcome, RunRecord
from tests.ablations_tests.synthetic_runs import definitions

START_S = 1_700_000_000.0


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return StudyDirectory(tmp_path, "study").run("0123456789abcdef")


def attempt(run: RunDirectory, number: int, **changed_s: float) -> AttemptDirectory:
    """An attempt that began at the start; files by when they were written last, in seconds."""
    found = run.attempt(number)
    found.start()
    found.save_definitions(definitions())
    paths = {
        "metrics": found.metrics_path,
        "checkpoint": checkpoint_path(found.path, 7),
        "error": found.path / "error.txt",
    }
    times = {found.metrics_path: -0.5, found.definitions_path: 0.0}
    times |= {paths[name]: after_s for name, after_s in changed_s.items()}
    for path, after_s in times.items():
        path.touch()
        os.utime(path, (START_S, START_S + after_s))
    return found


@pytest.mark.parametrize(
    ("changed_s", "spent"),
    [
        ({}, 0.0),
        ({"metrics": 40.0}, 40.0),
        ({"metrics": 40.0, "checkpoint": 30.0}, 40.0),
        ({"metrics": 40.0, "checkpoint": 42.0}, 42.0),
        ({"metrics": 40.0, "error": 45.0}, 45.0),
    ],
)
def test_an_attempt_lasts_until_the_last_thing_that_it_wrote(
    run: RunDirectory, changed_s: dict[str, float], spent: float
) -> None:
    attempt(run, 0, **changed_s)
    assert spent_s(run) == pytest.approx(spent)


def test_attempts_add_up_and_the_one_under_way_can_be_left_out(run: RunDirectory) -> None:
    attempt(run, 0, metrics=40.0)
    attempt(run, 2, metrics=10.0)
    attempt(run, 11, metrics=5.0)
    assert spent_s(run) == pytest.approx(55.0)
    assert spent_s(run, before=11) == pytest.approx(50.0)
    assert spent_s(run, before=0) == 0.0


def test_an_attempt_that_never_began_counts_for_nothing(run: RunDirectory) -> None:
    assert spent_s(run) == 0.0
    attempt(run, 0, metrics=40.0)
    run.attempt(1).start()
    assert spent_s(run) == pytest.approx(40.0)


def test_a_file_that_goes_away_meanwhile_is_passed_over(run: RunDirectory) -> None:
    found = attempt(run, 0, metrics=40.0)
    (found.path / "step-000000007.ckpt").symlink_to(found.path / "replaced")
    assert spent_s(run) == pytest.approx(40.0)


def record_of(attempt: int, outcome: Outcome) -> RunRecord:
    return RunRecord(
        run_key="0123456789abcdef",
        study="study",
        variant="gelu",
        seed=0,
        levels={},
        attempt=attempt,
        outcome=outcome,
    )


def checkpoints(run: RunDirectory) -> list[int]:
    """Attempts that have one."""
    return [a.number for a in run.attempts() if a.saved_step()]


@pytest.mark.parametrize("outcome", [Outcome.PRUNED, Outcome.FAILED])
def test_who_was_suspended_before_it_could_publish_harms_no_later_attempt(
    run: RunDirectory, outcome: Outcome
) -> None:
    for number in (0, 1, 2):
        attempt(run, number, checkpoint=30.0)
    assert finish(run, record_of(1, outcome))
    assert checkpoints(run) == ([2] if outcome is Outcome.PRUNED else [0, 1, 2])
    assert finish(run, record_of(2, Outcome.COMPLETED))
    assert checkpoints(run) == []
    assert not finish(run, record_of(1, outcome))
    published = run.record()
    assert published is not None
    assert (published.attempt, published.outcome) == (2, Outcome.COMPLETED)


def test_weights_stay_with_the_attempt_that_is_the_end_of_the_run(run: RunDirectory) -> None:
    for number in (0, 1):
        (attempt(run, number).path / WEIGHTS).touch()
    assert finish(run, record_of(1, Outcome.COMPLETED))
    assert [a.number for a in run.attempts() if a.has_weights] == [1]
