"""What a plan says it can detect, and how many seeds it says that takes."""

from __future__ import annotations

import pytest

from ablations.detection import detection_lines
from ablations.numerals import significant
from ablations.pilot import known_spread
from ablations.run_directory import StudyDirectory
from reports.analysis.power import first_holm_step, seeds_needed, smallest_detectable_difference
from studies.errors import AblationError
from tests.ablations_tests.test_pilot import plan_with, record
from tests.studies_tests.helpers import plan_of


@pytest.fixture
def directory(tmp_path) -> StudyDirectory:
    return StudyDirectory(tmp_path, "some")


@pytest.mark.parametrize(
    ("seeds", "alone", "in_holm"), [(3, "3.3", "11"), (5, "1.7", "3.2"), (20, "0.66", "0.92")]
)
def test_in_standard_deviations_without_any_run(directory, seeds, alone, in_holm):
    widths = [8 * n for n in range(1, 13)]
    plan = plan_of(factors={"model.d_ff": widths}, seeds=seeds)
    [line] = detection_lines(plan, directory)
    assert line == (
        f"detectable with {seeds} seeds (paired t test, 95 % confidence, 80 % power): "
        f"{alone} SD of the paired difference, {in_holm} in Holm's first of 11 steps"
    )


def test_the_confidence_is_that_of_the_report(directory):
    [line] = detection_lines(plan_with(seeds=4, report={"confidence": 0.9}), directory)
    values = (
        significant(smallest_detectable_difference(1, 4, level), 2)
        for level in (0.9, first_holm_step(0.9, 2))
    )
    assert "90 % confidence" in line
    assert line.endswith(
        "{} SD of the paired difference, {} in Holm's first of 2 steps".format(*values)
    )


def test_one_comparison_needs_no_correction(directory):
    [line] = detection_lines(plan_of(factors={"model.norm": ["layer", "rms"]}), directory)
    assert line.endswith(": 1.7 SD of the paired difference")


def test_the_family_is_what_is_declared(directory):
    sides = {"of": {"model.norm": "rms"}, "against": {"model.norm": "layer"}}
    declared = {"h": {"claim": "it is so", "direction": "different", **sides}}
    [line] = detection_lines(plan_with(hypotheses=declared), directory)
    assert line.endswith(": 3.3 SD of the paired difference")


def test_one_seed_can_test_nothing(directory):
    [line] = detection_lines(plan_with(seeds=1), directory)
    assert "nothing can be tested with 1 seed" in line


def test_one_cell_has_nothing_to_compare(directory):
    [line] = detection_lines(plan_of(), directory)
    assert "one cell" in line


def test_in_nats_from_runs_that_have_ended(directory):
    record(directory, plan_with(seeds=3))
    _, line = detection_lines(plan_with(seeds=10), directory)
    spread = known_spread(plan_with(), directory)
    nats = [
        significant(smallest_detectable_difference(spread.sd, 10, level), 2)
        for level in (0.95, first_holm_step(0.95, 2))
    ]
    sd = significant(spread.sd, 2)
    assert line.startswith("that is {} nats/token, {} in Holm's first of 2 steps".format(*nats))
    assert f"; SD {sd} (pooled over 2 variants, " in line
    assert line.endswith(f"up to 3 seeds each), from runs of this study in {directory.path}")


def test_how_many_seeds_a_difference_takes(directory):
    record(directory, plan_with(seeds=3))
    *_, line = detection_lines(plan_with(seeds=4), directory, 0.2)
    ratio = 0.2 / known_spread(plan_with(), directory).sd
    alone, in_holm = (seeds_needed(ratio, level) for level in (0.95, first_holm_step(0.95, 2)))
    assert alone < in_holm
    assert line == (f"to detect 0.2 nats/token takes {alone} seeds, {in_holm} in Holm's first step")
    *_, line = detection_lines(plan_with(), directory, 1e-6)
    assert "takes more than 1000 seeds" in line


def test_a_difference_in_nats_needs_runs_to_go_by(directory):
    with pytest.raises(AblationError, match="Run a pilot first"):
        list(detection_lines(plan_with(), directory, 0.01))
