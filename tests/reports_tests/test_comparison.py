import math
from dataclasses import replace
from pathlib import Path

import pytest

from reports.analysis.comparison import Comparison, VariantRow, compare
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.contents import SECTIONS
from reports.sections.main_table.section import render
from studies.digests import EVALUATION_DATA
from studies.metrics import FINAL_LOSS
from studies.records import Leak, Outcome
from tests.reports_tests.conftest import GRID, Synthetic, column_of, grid_study, write_study

TWO = {"model.activation": ("relu", "gelu", "swiglu"), "model.norm": ("layer", "rms")}


def row(data: Comparison, variant: str) -> VariantRow:
    return next(r for r in data.rows if r.variant == variant)


def with_losses(results: StudyResults, losses: dict[str, list[float]]) -> StudyResults:
    runs = results.runs.copy()
    for variant, values in losses.items():
        runs.loc[runs["variant"] == variant, FINAL_LOSS] = values
    return replace(results, runs=runs)


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Six variants, three seeds, losses to be set."""
    plan = grid_study((0, 1, 2), TWO, report={"baseline": {"model.activation": "relu"}})
    results = load_study(write_study(tmp_path_factory.mktemp("six") / "study", plan))
    return with_losses(
        results,
        {
            "relu-layer": [2.00, 2.10, 2.05],
            "gelu-layer": [1.90, 2.01, 1.95],
            "swiglu-layer": [1.80, 1.93, 1.85],
            "relu-rms": [1.81, 1.92, 1.86],
            "gelu-rms": [2.30, 2.40, 2.36],
            "swiglu-rms": [1.70, 2.30, 1.90],
        },
    )


def test_bold_is_every_row_whose_interval_against_the_best_includes_zero(
    six: StudyResults,
) -> None:
    data = compare(six)
    assert data.best is not None
    assert data.best.variant == "swiglu-layer"
    strong = {r.variant for r in data.rows if r.strong}
    assert strong == {"swiglu-layer", "relu-rms", "swiglu-rms"}


def test_difference_is_paired_with_the_baseline(six: StudyResults) -> None:
    data = compare(six)
    assert six.plan.baseline == "relu-layer"
    assert row(data, "relu-layer").difference is None
    difference = row(data, "gelu-layer").difference
    assert difference is not None
    assert difference.mean == pytest.approx(-0.0966667, abs=1e-6)
    assert difference.high < 0


def test_a_variant_with_diverged_runs_is_shown_but_not_ranked(grid: StudyResults) -> None:
    data = compare(grid)
    survivor = row(data, "gelu-none")
    assert survivor.loss.n == 1
    assert not survivor.ranked
    assert not survivor.strong
    assert survivor.to_best is None
    assert survivor.outcomes[Outcome.DIVERGED] == 1
    assert survivor.diverged.estimate == 0.5
    dead = row(data, "relu-none")
    assert dead.loss.n == 0
    assert math.isnan(dead.loss.mean)


def test_a_variant_with_failed_runs_is_not_ranked_by_its_survivors(grid: StudyResults) -> None:
    data = compare(with_losses(grid, {"silu-layer-pre": [0.1, math.nan]}))
    assert not row(data, "silu-layer-pre").ranked
    assert data.best is not None
    assert data.best.variant != "silu-layer-pre"
    assert not row(data, "swiglu-group-post").ranked, "nothing of it has run"
    text = " ".join(render(data).sentences)
    assert "Not ranked until failed runs are run again: SiLU · LayerNorm · pre." in text


def test_losses_on_different_data_are_not_ranked(small: StudyResults) -> None:
    def with_digests(*digests: str) -> StudyResults:
        records = {
            key: record.model_copy(update={"digests": {EVALUATION_DATA: digests[i % len(digests)]}})
            for i, (key, record) in enumerate(small.records.items())
        }
        return replace(small, records=records)

    for digests, warned in ((("a",), False), (("a", "b"), True)):
        data = compare(with_digests(*digests))
        exhibits = render(data)
        assert any("cannot be compared" in s for s in exhibits.sentences) is warned
        assert ("cannot be compared" in exhibits.tables[0].caption) is warned
        assert any("Lowest" in s for s in exhibits.sentences) is not warned
        assert any(row.strong or row.ranked for row in data.rows) is not warned


def test_variants_are_ranked_on_the_seeds_that_all_have(tmp_path: Path) -> None:
    plan = grid_study((0, 1, 2, 3), {"model.norm": ("layer", "rms")})
    to_come = {("layer", seed): Outcome.MISSING for seed in (2, 3)}
    results = load_study(write_study(tmp_path / "study", plan, Synthetic(to_come)))
    easy_first = {"layer": [2.0, 2.1, math.nan, math.nan], "rms": [1.99, 2.09, 3.0, 3.1]}
    data = compare(with_losses(results, easy_first))
    assert data.best is not None
    assert (data.best.variant, data.ranked_on) == ("rms", 2)
    assert row(data, "layer").loss.mean < row(data, "rms").loss.mean
    assert render(data).sentences[0] == (
        "So far all ranked variants have 2 seeds in common; on these, RMSNorm is lowest. The means "
        "in the table are over all completed runs of a variant, and may order them otherwise."
    )


def test_budgets_that_differ_are_said_wherever_differences_are(tmp_path: Path) -> None:
    plan = grid_study(
        (0, 1),
        {"training.batch_size": (8, 16)},
        protocol={"unequal_budgets": "the batch is the question"},
    )
    results = load_study(write_study(tmp_path / "study", plan))
    said = "Budgets differ on purpose: the batch is the question ("
    assert said in render(compare(results)).tables[0].caption
    for name in ("main", "effects", "one-change", "fairness"):
        section = SECTIONS[name]
        assert said in " ".join(section.render(section.collect(results)).sentences), name


def test_a_leaky_variant_is_never_ranked(tmp_path: Path) -> None:
    plan = grid_study((0, 1, 2), TWO)
    directory = write_study(tmp_path / "study", plan, Synthetic(leaks={"swiglu-layer": Leak.LEAKY}))
    results = with_losses(load_study(directory), {"swiglu-layer": [0.1, 0.1, 0.1]})
    data = compare(results)
    leaky = row(data, "swiglu-layer")
    assert data.best is not None
    assert data.best.variant != "swiglu-layer"
    assert not leaky.strong
    table = render(data).tables[0]
    assert "‡ later tokens leak into the evaluation: not ranked" in table.caption
    assert any(r.cells[0].text.endswith("‡") for r in table.rows)


def test_one_seed_gives_no_interval_and_no_bold(tmp_path: Path) -> None:
    plan = grid_study((0,), GRID)
    data = compare(load_study(write_study(tmp_path / "study", plan)))
    assert not any(r.strong for r in data.rows)
    exhibits = render(data)
    assert any(s.startswith("In one run,") for s in exhibits.sentences)
    differences = column_of(exhibits.tables[0], "Difference to baseline")
    assert any(cell.detail == "one seed: no interval" for cell in differences)
    assert not any(cell.bar for cell in differences)


def test_words_never_claim_equality_or_superiority(six: StudyResults, grid: StudyResults) -> None:
    for results in (six, grid):
        text = " ".join(render(compare(results)).sentences).lower()
        assert "includes 0 for" in text
        for word in (
            "equal",
            "better",
            "worse",
            "outperform",
            "significant",
            "same as",
            "because of",
        ):
            assert word not in text


def test_the_csv_has_the_numbers_behind_the_table(six: StudyResults) -> None:
    table = render(compare(six)).tables[0]
    data = table.data.set_index("variant")
    assert data.loc["gelu-layer", "final_loss_mean"] == pytest.approx(1.9533333)
    assert data.loc["gelu-layer", "difference_high"] < 0
    assert data.loc["relu-layer", "completed"] == 3
    shown = {row.cells[0].detail: row.cells[1] for row in table.rows}
    assert shown["gelu-layer"].text.startswith("1.95")
    assert shown["gelu-layer"].tex is not None
    assert "(" in shown["gelu-layer"].tex
