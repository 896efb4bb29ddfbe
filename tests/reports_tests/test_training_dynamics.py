from itertools import pairwise

import pytest

from reports.results.frame import StudyResults
from reports.sections.training_dynamics import collect, render
from studies.metrics import GENERALIZATION_GAP, LOSS_SPIKES, STEPS_TO_TARGET, VALIDATION_LOSS


def test_means_are_over_completed_runs_and_the_target_is_counted(grid: StudyResults) -> None:
    data = collect(grid)
    assert data is not None
    rows = {row.variant: row for row in data.rows}
    assert data.targets == (1.95,)
    whole = rows["gelu-layer-pre"]
    assert whole.completed == 2
    assert whole.values[LOSS_SPIKES].mean == 0.5
    assert whole.values[STEPS_TO_TARGET].n == 2
    assert whole.values[STEPS_TO_TARGET].mean == 650
    assert whole.values[GENERALIZATION_GAP].mean == pytest.approx(0.1)
    never = rows["gelu-none"]
    assert (never.completed, never.values[STEPS_TO_TARGET].n) == (1, 0)
    assert rows["relu-none"].completed == 0


def test_the_table_shows_how_many_reached_the_target(grid: StudyResults) -> None:
    data = collect(grid)
    assert data is not None
    (table,) = render(data).tables
    shown = {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in table.rows}
    assert shown["GELU · LayerNorm · pre"][3] == "2/2"
    assert shown["GELU · no norm"][2:4] == ["–", "0/1"]
    assert "The target is 1.95 nats/token" in table.caption
    numbers = table.data.set_index("variant")
    assert numbers.loc["gelu-layer-pre", "steps_to_target_mean"] == 650
    assert set(numbers["target_loss"]) == {"1.95"}


def test_the_caption_says_how_far_apart_the_evaluations_lie(grid: StudyResults) -> None:
    steps = sorted(set(grid.curves(VALIDATION_LOSS)["step"]))
    around = [(a, b) for a, b in pairwise(steps) if a < 600 <= b or a < 700 <= b]
    widest = max(b - a for a, b in around)
    data = collect(grid)
    assert data is not None
    assert {row.variant: row.bracket for row in data.rows}["gelu-layer-pre"] == widest
    (table,) = render(data).tables
    assert f"evaluations that lie up to {widest} steps apart" in table.caption
    assert table.data["steps_between_evaluations"].max() == widest
