import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from reports.figures.drawing import PAGE, PAPER, draw_files
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.contents import SECTIONS
from reports.sections.learning_curves import collect as collect_curves
from reports.sections.unfinished_runs import collect as collect_unfinished
from studies.metrics import TRAIN_LOSS, VALIDATION_LOSS
from studies.records import Outcome
from tests.reports_tests.conftest import grid_study, write_study
from tests.reports_tests.searched import RATE, searched


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_collects_a_dataclass_and_renders_it(name: str, small: StudyResults) -> None:
    section = SECTIONS[name]
    data = section.collect(small)
    if data is None:
        return
    assert is_dataclass(data)
    assert fields(data)
    exhibits = section.render(data)
    assert exhibits.tables or exhibits.figures or exhibits.documents
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


def test_unfinished_runs_are_listed_with_their_reason(grid: StudyResults) -> None:
    data = collect_unfinished(grid)
    assert data is not None
    fates = {(f.variant, f.outcome): f for f in data.fates}
    assert fates["silu-layer-pre", Outcome.FAILED].reason.startswith("OutOfMemoryError")
    assert fates["swiglu-group-post", Outcome.MISSING].seeds == "0, 1"
    assert "step" in fates["relu-none", Outcome.DIVERGED].seeds


def test_a_finished_study_lists_no_unfinished_runs(small: StudyResults) -> None:
    assert collect_unfinished(small) is None


@pytest.mark.parametrize("name", SECTIONS)
@pytest.mark.parametrize("tuned", [False, True])
def test_with_one_seed_no_spread_nor_interval_is_explained(
    name: str, tuned: bool, tmp_path: Path
) -> None:
    factors = {"model.activation": ("relu", "gelu"), "model.norm": ("rms", "layer")}
    sweep = {"kind": "sweep", "values": {RATE: [1e-3, 3e-3]}, "seeds": 1}
    if tuned:
        protocol = {"search": sweep}
        results = searched(lambda *_: 2.0, factors=factors, seeds=1, protocol=protocol)
    else:
        results = load_study(write_study(tmp_path / "study", grid_study((0,), factors)))
    exhibits = SECTIONS[name].exhibits(results)
    tables = exhibits.tables if exhibits else ()
    told = [exhibit.caption for exhibit in (*tables, *(exhibits.figures if exhibits else ()))]
    told += [column.help for table in tables for column in table.columns]
    told += [table.paper_caption for table in tables]
    assert not [text for text in told if re.search(r"\bSD\b|\bt interval", text)]
