"""Agreement of ranks: of cells that both studies rank, never of pooled losses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from reports.analysis.joined.ranks import collect_ranks
from reports.sections.joined import ranks as joined_ranks
from studies.records import Leak, Outcome
from tests.reports_tests.conftest import Synthetic
from tests.reports_tests.joined_studies import CODE, joined, study

ORDER = {"relu-rms": 0.0, "relu-layer": 0.1, "gelu-rms": 0.2, "gelu-layer": 0.3,
         "swiglu-rms": 0.4, "swiglu-layer": 0.5}  # fmt: skip
SWAPPED = ORDER | {"swiglu-rms": 0.5, "swiglu-layer": 0.4}


def test_tau_is_of_pairs_in_one_order(tmp_path: Path) -> None:
    first = study(tmp_path, "a", shifts=ORDER)
    both = joined(first, study(tmp_path, "b", shifts=SWAPPED, data=CODE))
    (found,) = collect_ranks(both)
    assert (found.agreeing, found.opposed, found.pairs) == (14, 1, 15)
    assert found.tau == pytest.approx(13 / 15)
    assert [cell.ranks for cell in found.cells][-2:] == [(5.0, 6.0), (6.0, 5.0)]
    exhibits = joined_ranks.render(joined_ranks.collect(both))
    assert "Kendall's tau is 0.87 (n = 6): 14 of 15 pairs" in exhibits.sentences[0]
    (figure,) = exhibits.figures
    assert len(figure.runs) == 48
    assert list(figure.data["rank_A"]) == [1, 2, 3, 4, 5, 6]


def test_cells_that_one_study_does_not_rank_are_left_out(tmp_path: Path) -> None:
    synthetic = Synthetic({("relu-rms", 1): Outcome.DIVERGED}, {"swiglu-rms": Leak.LEAKY})
    first = study(tmp_path, "a", shifts=ORDER, synthetic=synthetic)
    both = joined(first, study(tmp_path, "b", shifts=ORDER, data=CODE))
    (found,) = collect_ranks(both)
    assert {cell.name for cell in found.cells} == {*ORDER} - {"relu-rms", "swiglu-rms"}
    assert math.isnan(found.tau)
    exhibits = joined_ranks.render(joined_ranks.collect(both))
    assert exhibits.figures == ()
    assert "both rank 4 shared cells: fewer than 5" in exhibits.sentences[0]
    assert not exhibits.methods


def test_ranks_are_of_the_seeds_that_all_cells_have(tmp_path: Path) -> None:
    """A cell whose seed of high losses waits is not ranked lower for that."""
    shifts = dict.fromkeys(ORDER, 0.0)
    synthetic = Synthetic({("gelu-rms", 2): Outcome.MISSING, ("gelu-rms", 1): Outcome.MISSING})
    first = study(tmp_path, "a", shifts=shifts, synthetic=synthetic)
    (found,) = collect_ranks(joined(first, study(tmp_path, "b", shifts=shifts, data=CODE)))
    assert {cell.ranks[0] for cell in found.cells} == {3.5}
    assert math.isnan(found.tau)


def test_every_pair_of_three_studies(tmp_path: Path) -> None:
    studies = [
        study(tmp_path, "a", shifts=ORDER),
        study(tmp_path, "b", shifts=SWAPPED, data=CODE),
        study(tmp_path, "c", shifts=ORDER, model={"d_model": 64}),
    ]
    exhibits = joined_ranks.render(joined_ranks.collect(joined(*studies)))
    (table,) = exhibits.tables
    assert list(table.data["studies"]) == ["A-B", "A-C", "B-C"]
    assert list(table.data["tau"]) == pytest.approx([13 / 15, 1.0, 13 / 15])
    assert exhibits.figures == ()
