"""Which cells of several studies are one, and what cannot be joined."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.results.joined import joined_name
from studies.errors import AblationError
from studies.records import Outcome
from tests.reports_tests.conftest import GRID, Synthetic
from tests.reports_tests.joined_studies import CODE, SIX, joined, study

ACTIVATIONS = {"model.activation": ("tanh", "gelu", "relu")}


def test_a_factor_that_one_study_holds_fixed_joins_at_its_value(tmp_path: Path) -> None:
    both = joined(study(tmp_path, "a"), study(tmp_path, "b", factors=ACTIVATIONS))
    shared = {cell.label: cell.variants for cell in both.shared}
    assert shared == {
        "ReLU · LayerNorm": ("relu-layer", "relu"),
        "GELU · LayerNorm": ("gelu-layer", "gelu"),
    }
    assert both.baseline is not None
    assert both.baseline.label == "GELU · LayerNorm"
    alone = {cell.label: cell.variants for cell in both.cells if not cell.is_shared}
    assert alone["Tanh · LayerNorm"] == (None, "tanh")
    assert len(both.cells) == 7


def test_a_fixed_value_that_is_no_level_of_the_other_study_joins_nothing(tmp_path: Path) -> None:
    other = study(tmp_path, "b", factors=ACTIVATIONS, model={"norm": "batch"})
    with pytest.raises(AblationError, match=r"a and b have no cell in common.*model\.norm rms, la"):
        joined(study(tmp_path, "a"), other)


def test_cells_without_a_norm_join_whatever_their_placement_would_be(tmp_path: Path) -> None:
    norms = {"model.norm": ("none", "layer")}
    fixed = study(tmp_path, "b", factors=norms, model={"activation": "gelu"})
    both = joined(study(tmp_path, "a", factors=GRID, seeds=(0,)), fixed)
    assert [cell.variants for cell in both.shared] == [
        ("gelu-layer-pre", "layer"),
        ("gelu-none", "none"),
    ]


def test_a_variant_name_of_several_cells_is_told_apart_by_its_study(tmp_path: Path) -> None:
    layer = study(tmp_path, "a", factors=ACTIVATIONS)
    rms = study(tmp_path, "b", factors=ACTIVATIONS, model={"norm": "rms"})
    both = joined(layer, rms, study(tmp_path, "c"))
    names = [cell.name for cell in both.cells]
    assert len(set(names)) == len(names)
    assert {"a relu", "b relu"} < set(names)


def test_a_run_of_two_studies_is_counted_once_with_its_best_outcome(tmp_path: Path) -> None:
    fates = {("gelu", 0): Outcome.MISSING, ("gelu", 1): Outcome.FAILED}
    first = study(tmp_path, "a", factors=ACTIVATIONS, synthetic=Synthetic(fates))
    both = joined(first, study(tmp_path, "b", seeds=(0, 1), factors=SIX))
    assert len(both.repeated) == 4  # gelu and relu with LayerNorm, seeds 0 and 1
    assert len(both.run_keys) == 3 * 4 + 6 * 2 - 4
    outcomes = both.outcomes()
    assert outcomes[Outcome.COMPLETED] == len(both.run_keys)
    assert sum(outcomes.values()) == len(both.run_keys)


def test_studies_of_different_baselines_have_none_in_common(tmp_path: Path) -> None:
    other = study(tmp_path, "b", report={"baseline": {"model.activation": "relu",
                                                      "model.norm": "rms"}}, data=CODE)  # fmt: skip
    both = joined(study(tmp_path, "a"), other)
    assert both.baseline is None
    assert both.baselines == ("GELU · LayerNorm", "ReLU · RMSNorm")


def test_a_study_is_joined_with_others_alone(tmp_path: Path) -> None:
    one = study(tmp_path, "a", seeds=(0,))
    with pytest.raises(AblationError, match="'a' is named 2 times"):
        joined(one, one)
    with pytest.raises(AblationError, match="2 to 26 studies, not of 1"):
        joined(one)


def test_long_names_are_cut_and_still_different() -> None:
    first, second = (joined_name(("a" * 80, "b" * 80 + end)) for end in "xy")
    assert first != second
    assert max(len(first), len(second)) < 140
