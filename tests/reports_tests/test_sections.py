from dataclasses import fields, is_dataclass

import pytest

from reports.drawing import PAGE, PAPER, draw_files
from reports.frame import StudyResults
from reports.sections.activation_drift import collect as collect_drift
from reports.sections.contents import SECTIONS
from reports.sections.gradient_norms import collect as collect_gradients
from reports.sections.learning_curves import collect as collect_curves
from reports.sections.unfinished_runs import collect as collect_unfinished
from studies.metrics import TRAIN_LOSS, VALIDATION_LOSS
from studies.records import Outcome


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_collects_a_dataclass_and_renders_it(name: str, small: StudyResults) -> None:
    section = SECTIONS[name]
    data = section.collect(small)
    if data is None:
        return
    assert is_dataclass(data)
    assert fields(data)
    exhibits = section.render(data)
    assert exhibits.tables or exhibits.figures
    for exhibit in (*exhibits.tables, *exhibits.figures):
        assert "Runs: 12 planned, 12 completed." in exhibit.caption
        assert len(exhibit.data)
    for table in exhibits.tables:
        assert all(len(row.cells) == len(table.columns) for row in table.rows)
    for figure in exhibits.figures:
        for theme in (PAPER, PAGE):
            (drawn,) = draw_files(figure.draw, theme, ["svg"]).values()
            assert b"<svg" in drawn


def test_learning_curves_mark_divergence_and_average_completed_runs(grid: StudyResults) -> None:
    data = collect_curves(grid)
    assert data is not None
    assert set(data.panels) == {VALIDATION_LOSS, TRAIN_LOSS}
    panels = data.panels[VALIDATION_LOSS]
    assert sorted(panels.crosses["variant"]) == [
        "gelu-none",
        "relu-batch-post",
        "relu-none",
        "relu-none",
    ]
    assert panels.notes["no norm"] == "3 diverged, 1 missing"
    assert panels.notes["LayerNorm"] == "1 failed"
    means = panels.means.set_index(["variant", "x"])
    curve = grid.curves(VALIDATION_LOSS)
    last = curve[(curve["variant"] == "gelu-layer-pre") & (curve["step"] == 1000)]["value"]
    assert means.loc[("gelu-layer-pre", 1000), "y"] == pytest.approx(last.mean())
    assert means.loc[("gelu-none", 1000), "n"] == 1
    assert "relu-none" not in set(panels.means["variant"])


def test_gradient_maps_share_limits_and_keep_what_diverged_runs_left(grid: StudyResults) -> None:
    data = collect_gradients(grid)
    assert data is not None
    maps = data.maps
    assert len(maps.divergences["relu-none"]) == 2
    left = maps.means[maps.means["variant"] == "relu-none"]
    assert left["step"].max() < max(maps.divergences["relu-none"]) + 1
    assert "swiglu-group-post" not in set(maps.means["variant"])
    assert maps.unfinished["swiglu-group-post"] == "2 missing"
    curve = grid.layer_curves("gradient_norm", "block")
    pair = curve[
        (curve["variant"] == "gelu-layer-pre") & (curve["layer"] == 2) & (curve["step"] == 500)
    ]["value"]
    cell = maps.means.set_index(["variant", "layer", "step"]).loc[("gelu-layer-pre", 2, 500)]
    assert cell["geometric_mean"] == pytest.approx((pair.iloc[0] * pair.iloc[1]) ** 0.5)
    assert cell["runs"] == 2


def test_drift_profile_is_of_the_last_probe_of_completed_runs(grid: StudyResults) -> None:
    data = collect_drift(grid)
    assert data is not None
    assert set(data.profile.lines["step"]) == {1000}
    assert set(data.profile.lines["outcome"]) == {"completed"}
    assert any("(post)" in caveat for caveat in data.caveats)
    assert any("running statistics" in caveat for caveat in data.caveats)
    assert data.maps.means["step"].min() > 0  # the drift of the start to itself says nothing


def test_unfinished_runs_are_listed_with_their_reason(grid: StudyResults) -> None:
    data = collect_unfinished(grid)
    assert data is not None
    fates = {(f.variant, f.outcome): f for f in data.fates}
    assert fates["silu-layer-pre", Outcome.FAILED].reason.startswith("OutOfMemoryError")
    assert fates["swiglu-group-post", Outcome.MISSING].seeds == "0, 1"
    assert "step" in fates["relu-none", Outcome.DIVERGED].seeds


def test_a_finished_study_lists_no_unfinished_runs(small: StudyResults) -> None:
    assert collect_unfinished(small) is None
