import math

import pytest

from reports.exhibits import RUNS
from reports.results.frame import StudyResults
from reports.sections.contents import SECTIONS
from reports.sections.runs import collect, render
from studies.records import Outcome


def test_every_planned_run_has_a_row_whatever_came_of_it(grid: StudyResults) -> None:
    data = collect(grid)
    assert {row.run_key for row in data.rows} == grid.plan.run_keys
    assert len(data.rows) == 56
    by_place = {(row.variant, row.seed): row for row in data.rows}
    failed = by_place["silu-layer-pre", 1]
    assert (failed.outcome, failed.error) == (Outcome.FAILED, "OutOfMemoryError: no memory left")
    missing = by_place["swiglu-none", 1]
    assert (missing.outcome, missing.attempt) == (Outcome.MISSING, None)
    assert math.isnan(missing.wall_time_s)
    for row in data.rows:
        assert math.isfinite(row.loss) == (row.outcome is Outcome.COMPLETED)


def test_runs_of_a_variant_are_neighbours_with_their_marks(grid: StudyResults) -> None:
    (table,) = render(collect(grid)).tables
    assert table.name == RUNS
    assert list(dict.fromkeys(table.data["variant"])) == list(grid.variants)
    assert table.data["seed"].tolist() == [0, 1] * 28
    for row, key, outcome in zip(
        table.rows, table.data["run_key"], table.data["outcome"], strict=True
    ):
        assert row.runs == (key,)
        assert row.outcome == outcome
        assert key.startswith(row.cells[-1].text)
        assert row.cells[-1].run == key
    assert not table.paper  # a list for the page and as CSV, not for a paper


@pytest.mark.parametrize("name", SECTIONS)
def test_the_runs_behind_numbers_are_planned_ones(name: str, grid: StudyResults) -> None:
    exhibits = SECTIONS[name].exhibits(grid)
    for table in exhibits.tables if exhibits else ():
        for row in table.rows:
            assert set(row.runs) <= grid.plan.run_keys
            assert len(set(row.runs)) == len(row.runs)
    for figure in exhibits.figures if exhibits else ():
        assert figure.runs
        assert set(figure.runs) <= grid.plan.run_keys
        assert len(set(figure.runs)) == len(figure.runs)


def rows_of(name: str, results: StudyResults) -> list[tuple[str, set[str]]]:
    """Variant and runs of each row of the one table of a section."""
    exhibits = SECTIONS[name].exhibits(results)
    assert exhibits is not None
    (table,) = exhibits.tables
    return [(v, {*r.runs}) for v, r in zip(table.data["variant"], table.rows, strict=True)]


def test_rows_lead_to_the_runs_that_they_are_made_of(grid: StudyResults) -> None:
    runs = grid.runs
    completed = runs[runs["outcome"] == Outcome.COMPLETED]
    for variant, keys in rows_of("fairness", grid):
        assert keys == {*runs[runs["variant"] == variant]["run_key"]}
    for variant, keys in rows_of("training-dynamics", grid):
        assert keys == {*completed[completed["variant"] == variant]["run_key"]}
    unfinished = [key for _, keys in rows_of("unfinished", grid) for key in keys]
    assert sorted(unfinished) == sorted({*runs["run_key"]} - {*completed["run_key"]})


def test_figures_lead_to_the_runs_that_are_drawn(grid: StudyResults) -> None:
    recorded = {*grid.histories["run_key"].unique()}
    completed = {*grid.runs[grid.runs["outcome"] == Outcome.COMPLETED]["run_key"]}
    curves, layers = (
        SECTIONS["learning-curves"].exhibits(grid),
        SECTIONS["gradients"].exhibits(grid),
    )
    assert curves is not None
    assert layers is not None
    assert all({*figure.runs} == recorded for figure in curves.figures)
    of = {figure.name: {*figure.runs} for figure in layers.figures}
    assert of["gradient_norm_by_layer"] == completed
    assert of["gradient_norm_block_by_step"] == recorded
