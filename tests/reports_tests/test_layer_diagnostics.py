from dataclasses import replace
from pathlib import Path

import pytest

from reports.figures.color_scales import ColorScale
from reports.figures.layer_maps import collect_layer_maps
from reports.figures.tap_panels import collect_tap_panels
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.base import Section
from reports.sections.layer_captions import map_caption, panel_caption, reading_notes
from reports.sections.layer_diagnostics import OTHERS, LayerDiagnostics, sections
from studies.schema import CustomModule
from tests.reports_tests.conftest import grid_study, write_study

TWO = {"model.norm": ("layer", "rms")}


def section(title: str) -> Section[LayerDiagnostics]:
    return next(s for s in sections().values() if s.title == title)


def study(folder: Path, maps: tuple[str, ...]) -> StudyResults:
    plan = grid_study((0,), TWO, report={"layer_maps": maps})
    return load_study(write_study(folder / "study", plan))


def captions(results: StudyResults, title: str) -> dict[str, str]:
    exhibits = section(title).exhibits(results)
    assert exhibits is not None
    return {figure.name: figure.caption for figure in exhibits.figures}


def test_a_diagnostic_that_nobody_knows_appears_in_the_last_section(small: StudyResults) -> None:
    assert list(sections().values())[-1].title == OTHERS
    ((name, caption),) = captions(small, OTHERS).items()
    assert name == "novel_measure_by_layer"
    assert "Novel measure: each block, at the last probe (step 1000)." in caption
    assert "Something new. Source: Nobody 2031." in caption


def test_every_layered_family_has_a_figure(small: StudyResults) -> None:
    names = [
        figure.name
        for each in sections().values()
        if (exhibits := each.exhibits(small))
        for figure in exhibits.figures
    ]
    assert len(names) == len(set(names))
    assert {f"{family}_by_layer" for family in small.layered} <= set(names)
    assert {n for n in names if n.endswith("_by_step")} == {
        "gradient_norm_block_by_step",
        "activation_drift_residual_by_step",
    }


def test_a_section_without_records_is_left_out(small: StudyResults) -> None:
    assert section("Attention").exhibits(small) is None
    assert section("Batch norm").exhibits(small) is None


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("activation_rms/hidden", "activation_rms_hidden_by_step"),
        ("activation_rms", "activation_rms_residual_by_step"),
    ],
)
def test_the_study_names_the_maps(tmp_path: Path, entry: str, name: str) -> None:
    results = study(tmp_path, (entry,))
    maps = [n for n in captions(results, "Activations") if n.endswith("_by_step")]
    assert maps == [name]
    assert not [n for n in captions(results, "Gradients and updates") if n.endswith("_by_step")]


@pytest.mark.parametrize(
    ("entry", "title", "recorded"),
    [
        ("activation_rms/hiden", "Activations", "activation_rms at residual, attention_norm and"),
        ("cka_to_init", "Similarity of representations", "activation_drift, activation_rms"),
        ("no_such_curve", OTHERS, "novel_measure"),
    ],
)
def test_a_map_that_no_run_recorded_is_told(
    tmp_path: Path, entry: str, title: str, recorded: str
) -> None:
    exhibits = section(title).exhibits(study(tmp_path, (entry,)))
    assert exhibits is not None
    told = exhibits.sentences[-1]
    assert f"No map of {entry} (report.layer_maps)" in told
    assert recorded in told


def test_captions_say_what_is_measured_how_and_what_is_hatched(grid: StudyResults) -> None:
    rms = captions(grid, "Activations")["activation_rms_by_layer"]
    for part in (
        "Activation RMS: each layer (columns) of every tap (panels)",
        "Geometric mean over completed runs, whose least and greatest values are in the figure's "
        "CSV file; one logarithmic colour scale for all panels.",
        "Hatched: fixed by construction, so that it is no result of training.",
        "Cross: no run of the variant completed, and some diverged.",
        "Ring: no run of the variant has completed.",
        "Dash: the variant has no such number in this layer.",
        "Beside a row: of how many of the planned runs it is.",
    ):
        assert part in rms
    left_out = captions(grid, "Batch norm")["batch_norm_mean_distance_by_layer"]
    assert "Left out: 20 variants without such a number." in left_out


def test_distributions_drift_and_only_gradients_shift(grid: StudyResults) -> None:
    for title in ("Activations", "Activation drift"):
        for caption in captions(grid, title).values():
            assert "covariate" not in caption.lower()


def test_where_activations_are_measured_is_said_once_for_all_sections(grid: StudyResults) -> None:
    told = [
        (each.title, sentence)
        for each in sections().values()
        if (exhibits := each.exhibits(grid))
        for sentence in exhibits.sentences
        if "Where activations are measured" in sentence
    ]
    ((title, sentence),) = told
    assert title == "Activations"
    for tap in ("Residual stream: before each block", "attention norm: ", "hidden activation: "):
        assert tap in sentence
    assert "pre-activation" not in sentence  # not recorded


def with_values(results: StudyResults, family: str, value: float) -> StudyResults:
    histories = results.histories.copy()
    histories.loc[histories["metric"].str.startswith(f"{family}/"), "value"] = value
    return replace(results, histories=histories)


def test_a_family_that_is_0_everywhere_is_a_sentence_and_no_figure(tmp_path: Path) -> None:
    plan = grid_study((0,), TWO, report={"layer_maps": ("dead_units",)})
    results = load_study(write_study(tmp_path / "study", plan))
    exhibits = section("Feed-forward units").exhibits(with_values(results, "dead_units", 0.0))
    assert exhibits is not None
    assert exhibits.figures == ()
    of_maps, of_panels = exhibits.sentences
    assert of_maps.startswith(
        "Dead units (share): 0 in each block of every run at every step, so that no map shows it."
    )
    assert of_panels.startswith(
        "Dead units (share): 0 in each block of every completed run, at the last probe (step "
        "1000), so that no figure shows it."
    )
    for sentence in exhibits.sentences:
        assert "All variants – it is 0 by underflow only." in sentence  # their activation is GELU
        assert sentence.endswith("Always 0.")


@pytest.mark.parametrize(
    ("activations", "value", "told"),
    [
        (("gelu", "silu"), 0.5, "Dead units (share): fixed by construction in each block of every"),
        (("relu", "silu"), 0.0, "Dead units (share): 0 in each block of every"),
    ],
)
def test_a_family_that_is_fixed_everywhere_is_a_sentence_and_no_figure(
    tmp_path: Path, activations: tuple[str, ...], value: float, told: str
) -> None:
    plan = grid_study((0,), {"model.activation": activations})
    results = load_study(write_study(tmp_path / "study", plan))
    exhibits = section("Feed-forward units").exhibits(with_values(results, "dead_units", value))
    assert exhibits is not None
    assert exhibits.figures == ()
    (sentence,) = exhibits.sentences
    assert sentence.startswith(told)


def test_captions_explain_only_what_is_to_be_seen(grid: StudyResults, small: StudyResults) -> None:
    name = "gradient_norm_block_by_step"
    partly, wholly = (captions(r, "Gradients and updates")[name] for r in (grid, small))
    assert "Grey: nothing recorded." in partly
    assert "Grey" not in wholly
    layers = captions(small, OTHERS)["novel_measure_by_layer"]
    assert "Arrow" not in layers
    assert "Dot" not in layers
    apart = captions(doubled(small), OTHERS)["novel_measure_by_layer"]
    assert "Dot: runs of the variant differ by more than a fifth of the colour bar." in apart


def doubled(results: StudyResults) -> StudyResults:
    """One seed measures twice as much as the others."""
    keys = set(results.runs[results.runs["seed"] == 0]["run_key"])
    histories = results.histories.copy()
    histories.loc[histories["run_key"].isin(keys), "value"] *= 2
    return replace(results, histories=histories)


@pytest.mark.parametrize(
    ("under", "over", "told"),
    [
        (False, False, ""),
        (True, False, "Arrow: values beyond the colour bar, in the colour of its end."),
        (False, True, "Arrow: values beyond the colour bar, in the colour of its end."),
        (True, True, "Arrows: values beyond the colour bar, in the colours of its ends."),
    ],
)
def test_captions_explain_the_arrows_of_the_bar(
    small: StudyResults, under: bool, over: bool, told: str
) -> None:
    panels = collect_tap_panels(small, "gradient_norm")
    maps = collect_layer_maps(small, "gradient_norm", "block")
    assert panels is not None
    assert maps is not None
    scale = ColorScale("log", -1.0, 1.0, under, over)
    for caption in (
        panel_caption(replace(panels, scale=scale), ""),
        map_caption(replace(maps, scale=scale), ""),
    ):
        assert told in caption
        assert ("Arrow" in caption) == bool(told)


def test_a_curve_of_the_model_as_a_whole_is_drawn_where_it_was_recorded(grid: StudyResults) -> None:
    exhibits = section("Batch norm").exhibits(grid)
    assert exhibits is not None
    figure = exhibits.figures[0]
    assert figure.name == "batch_norm_loss_gap"
    assert figure.caption.startswith("Loss gap (nats/token) by step. Training - evaluation.")
    assert {variant.split("-")[1] for variant in figure.data["variant"]} == {"batch"}


def test_readers_are_told_what_to_bear_in_mind_of_these_variants(
    grid: StudyResults, small: StudyResults
) -> None:
    lag, embedding = "with running statistics", "the first block reads the embedding"
    told = " ".join(reading_notes(grid))
    assert lag in told
    assert embedding in told
    told = " ".join(reading_notes(small))
    assert lag not in told
    assert embedding not in told
    module = CustomModule(import_path="mine.py:Mine")
    own = grid.plan.model_copy(
        update={"study": grid.plan.study.model_copy(update={"module": module})}
    )
    assert "Nothing is hatched" in " ".join(reading_notes(replace(grid, plan=own)))
