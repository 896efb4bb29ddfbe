"""Largest full grids: what they hold, and what is left out of them."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from reports.analysis import factor_grid
from reports.analysis.factor_grid import factors_of, joined, largest_grid
from studies.plan import Cell, Plan
from tests.reports_tests.conftest import grid_study

MASKS = [np.random.default_rng(seed).random((3, 3, 2)) < 0.75 for seed in range(30)]


def cell(**levels: object) -> Cell:
    name = "-".join(str(level) for level in levels.values())
    return Cell(variant=name, cell_key=name, levels={f"own.{k}": v for k, v in levels.items()},
                configuration={}, parameters=None, flops_per_token=None)  # fmt: skip


def cells_of(present: np.ndarray) -> list[Cell]:
    return [
        cell(**{name: int(place) for name, place in zip("abc", places, strict=False)})
        for places in np.argwhere(present)
    ]


def largest_by_brute_force(present: np.ndarray) -> int:
    subsets = [
        [places for n in range(1, size + 1) for places in combinations(range(size), n)]
        for size in present.shape
    ]
    grids = [present[np.ix_(*kept)] for kept in product(*subsets)]
    return max((grid.size for grid in grids if grid.all()), default=0)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return grid_study()


def names(plan: Plan) -> list[str]:
    return [cell.variant for cell in plan.cells]


def test_the_default_grid_without_norms_that_make_placement_meaningless(plan: Plan) -> None:
    grid = largest_grid(factors_of(plan.cells), plan.cells, names(plan))
    assert grid is not None
    assert grid.variants.shape == (4, 3, 2)
    assert grid.variants[1, 1, 0] == "gelu-layer-pre"
    assert not any(name.endswith("none") for name in grid.variants.flat)
    assert grid.shape_label == "activation (4) × norm (3) × placement (2)"


def test_norm_and_placement_are_one_factor_of_seven_levels(plan: Plan) -> None:
    together = joined(factors_of(plan.cells), plan.cells)
    assert together is not None
    grid = largest_grid(together, plan.cells, names(plan))
    assert grid is not None
    assert grid.variants.shape == (4, 7)
    assert sorted(grid.variants.flat) == sorted(names(plan))
    factor = grid.factors[1]
    assert factor.label == "norm and placement"
    assert [factor.level_label(level) for level in factor.levels][-1] == "no norm"


def test_nothing_is_joined_where_every_factor_means_something_everywhere() -> None:
    factors = {"model.activation": ("relu", "gelu"), "model.norm": ("rms", "layer")}
    plan = grid_study(factors=factors)
    assert joined(factors_of(plan.cells), plan.cells) is None


def test_nothing_is_joined_where_no_single_factor_decides() -> None:
    cells = [
        cell(a=a, b=b, c=c)
        for a, b in product((0, 1), repeat=2)
        for c in ((None,) if a == b == 1 else (0, 1))
    ]
    assert joined(factors_of(cells), cells) is None


def test_several_factors_are_joined_to_the_one_that_decides_both() -> None:
    cells = [cell(a="x", b=b, c=c) for b in (0, 1) for c in (0, 1)]
    cells.append(cell(a="none", b=None, c=None))
    together = joined(factors_of(cells), cells)
    assert together is not None
    assert [factor.keys for factor in together] == [("own.a", "own.b", "own.c")]
    assert len(together[0].levels) == 5


@pytest.mark.parametrize("present", MASKS)
def test_no_full_grid_is_larger(present: np.ndarray) -> None:
    cells = cells_of(present)
    grid = largest_grid(factors_of(cells), cells, [c.variant for c in cells])
    size = grid.variants.size if grid else 0
    assert size == largest_by_brute_force(present)


@pytest.mark.parametrize("present", MASKS)
def test_a_grid_found_level_by_level_is_full(
    present: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factor_grid, "EXHAUSTIVE", 0)
    cells = cells_of(present)
    known = {c.variant for c in cells}
    grid = largest_grid(factors_of(cells), cells, known)
    if grid is not None:
        assert set(grid.variants.flat) <= known
        assert grid.variants.size == len(set(grid.variants.flat)) > 1


def test_of_equal_grids_the_one_with_more_levels_of_the_earlier_factor() -> None:
    present = np.array([[True, True], [True, False]])
    cells = cells_of(present)
    grid = largest_grid(factors_of(cells), cells, [c.variant for c in cells])
    assert grid is not None
    assert list(grid.variants.flat) == ["0-0", "1-0"]
    assert grid.held == ("b 0",)
    assert grid.shape_label == "a (2)"


def test_a_variant_that_is_not_offered_takes_a_level_with_it(plan: Plan) -> None:
    offered = set(names(plan)) - {"relu-batch-post"}
    grid = largest_grid(factors_of(plan.cells), plan.cells, offered)
    assert grid is not None
    assert grid.variants.shape == (3, 3, 2)
    assert not any(name.startswith("relu") for name in grid.variants.flat)


def test_one_cell_is_no_grid(plan: Plan) -> None:
    assert largest_grid(factors_of(plan.cells), plan.cells, ["relu-batch-post"]) is None
    assert largest_grid(factors_of(plan.cells), plan.cells, []) is None
