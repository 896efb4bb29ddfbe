"""Which analyses the results of a study allow, of which cells and seeds, and why no more."""

from __future__ import annotations

import numpy as np
import pytest

from reports.analysis.anova import balanced_anova
from reports.analysis.effects import Counted, Effects, GridEffects, collect
from reports.results.frame import StudyResults
from studies.metrics import FINAL_LOSS
from studies.records import Leak, Outcome
from tests.reports_tests.effect_studies import default_grid, noisy, study
from tests.reports_tests.searched import INITIAL, RATE


def effects_of(results: StudyResults) -> Effects:
    data = collect(results.compared)
    assert data is not None
    return data


def only(results: StudyResults) -> GridEffects:
    (analysis,) = effects_of(results).analyses
    return analysis


def test_a_full_grid_is_analysed_once() -> None:
    results = study()
    analysis = only(results)
    assert analysis.counted is Counted.FINAL
    assert analysis.seeds == (0, 1, 2, 3, 4)
    assert analysis.left_out == ()
    losses = [
        [results.values(FINAL_LOSS, f"{activation}-{norm}").tolist() for norm in ("rms", "layer")]
        for activation in ("relu", "gelu", "silu")
    ]
    assert analysis.anova == balanced_anova(np.array(losses))
    assert analysis.anova is not None
    assert [t.error_df for t in analysis.anova.terms] == [8, 8, 4]
    assert effects_of(results).reasons == ()


def test_every_number_is_tied_to_its_runs() -> None:
    results = study()
    analysis = only(results)
    runs = results.runs.set_index("run_key")
    for row in analysis.levels:
        keys = analysis.run_keys(row.variants)
        assert set(runs.loc[list(keys), "variant"]) == set(row.variants)
        assert len(keys) == len(set(keys)) == 5 * len(row.variants)


def test_only_seeds_that_all_cells_have_are_analysed() -> None:
    fates = {("relu-rms", 1): Outcome.FAILED, ("gelu-layer", 4): Outcome.MISSING}
    analysis = only(study(fates=fates))
    assert analysis.counted is Counted.FINAL
    assert analysis.seeds == (0, 2, 3)
    assert not set(analysis.run_keys(["relu-rms"])) & set(
        study(fates=fates).runs.query("seed == 1")["run_key"]
    )


def test_where_placement_means_nothing_there_are_two_analyses() -> None:
    plain, together = effects_of(default_grid()).analyses
    assert plain.grid.variants.shape == (4, 3, 2)
    assert [(level.label, level.reason) for level in plain.left_out] == [
        ("no norm", "placement means nothing there")
    ]
    assert together.is_joined
    assert together.grid.variants.shape == (4, 7)
    assert together.left_out == ()
    assert together.name == "_joined"


def test_a_diverged_run_counts_as_untrained_and_its_level_is_left_out() -> None:
    completed, clipped = effects_of(study(fates={("relu-rms", 1): Outcome.DIVERGED})).analyses
    assert (completed.counted, clipped.counted) == (Counted.COMPLETED, Counted.CLIPPED)
    assert completed.grid.variants.tolist() == [["gelu-rms", "gelu-layer"],
                                                ["silu-rms", "silu-layer"]]  # fmt: skip
    assert [(level.label, level.reason) for level in completed.left_out] == [
        ("ReLU", "runs diverged")
    ]
    assert completed.diverged == 0
    assert clipped.grid.variants.shape == (3, 2)
    assert clipped.diverged == 1
    assert clipped.seeds == (0, 1, 2, 3, 4)
    assert clipped.is_secondary
    row = next(row for row in clipped.levels if row.level == "ReLU")
    others = study().runs.query("variant in ('relu-rms', 'relu-layer')")
    others = others[~((others["variant"] == "relu-rms") & (others["seed"] == 1))]
    expected = (others[FINAL_LOSS].sum() + INITIAL) / 10
    assert row.loss.mean == pytest.approx(expected)


def test_a_loss_above_the_one_at_initialisation_counts_as_that_one() -> None:
    results = study(noisy(relu=10.0), fates={("gelu-rms", 0): Outcome.DIVERGED})
    clipped = effects_of(results).analyses[-1]
    assert clipped.counted is Counted.CLIPPED
    row = next(row for row in clipped.levels if row.level == "ReLU")
    assert row.loss.mean == INITIAL


def test_without_a_loss_at_initialisation_a_diverged_run_counts_for_nothing() -> None:
    fates = {("relu-rms", seed): Outcome.DIVERGED for seed in range(5)}
    data = effects_of(study(fates=fates, initial=False))
    assert [analysis.counted for analysis in data.analyses] == [Counted.COMPLETED]
    assert "a known loss at initialisation" in data.reasons[0]


def test_pruned_runs_are_in_no_analysis() -> None:
    analysis = only(study(fates={("relu-rms", 1): Outcome.PRUNED}))
    assert analysis.counted is Counted.COMPLETED
    assert [(level.label, level.reason) for level in analysis.left_out] == [
        ("ReLU", "runs were pruned")
    ]


def test_a_cell_that_always_fails_costs_its_level_and_not_the_analysis() -> None:
    fates = {("silu-layer", seed): Outcome.FAILED for seed in range(5)}
    analysis = only(study(fates=fates))
    assert analysis.seeds == (0, 1, 2, 3, 4)
    assert [(level.label, level.reason) for level in analysis.left_out] == [
        ("SiLU", "too few runs completed")
    ]


def test_a_study_that_has_just_begun_says_what_is_missing() -> None:
    fates = {("silu-layer", seed): Outcome.MISSING for seed in range(5)}
    fates |= {(v, s): Outcome.MISSING for v in study().variants for s in range(1, 5)}
    data = effects_of(study(fates=fates))
    assert data.analyses == ()
    assert data.reasons == (
        "No analysis of activation (3) × norm (2): no seed has a final loss for every cell "
        "(SiLU · LayerNorm without any).",
    )
    assert data.plot is not None


def test_where_every_cell_has_lost_runs_no_grid_is_left() -> None:
    fates = {(variant, 0): Outcome.DIVERGED for variant in study().variants}
    data = effects_of(study(fates=fates))
    assert [analysis.counted for analysis in data.analyses] == [Counted.CLIPPED]
    assert data.reasons[0].startswith("No two cells of activation (3) × norm (2)")


def test_one_seed_has_level_means_and_no_analysis_of_variance() -> None:
    analysis = only(study(seeds=1))
    assert analysis.anova is None
    assert analysis.interacting(0.05) == ()
    assert len(analysis.levels) == 5


def test_an_interaction_brings_simple_effects() -> None:
    assert only(study()).simple == ()
    analysis = only(study(noisy(relu_rms=0.1)))
    assert [analysis.term_label(term) for term in analysis.interacting(0.05)] == [
        "activation × norm"
    ]
    assert len(analysis.simple) == 2 * 2 + 3


def test_levels_are_compared_with_that_of_the_baseline_or_the_first_that_is_left() -> None:
    report = {"baseline": {"model.activation": "gelu", "model.norm": "layer"}}
    analysis = only(study(report=report))
    assert {row.contrast.reference for row in analysis.levels if row.contrast} == {
        "GELU", "LayerNorm",
    }  # fmt: skip
    completed = effects_of(study(report=report, fates={("gelu-rms", 0): Outcome.DIVERGED}))
    row = completed.analyses[0].levels[0]
    assert (row.level, row.contrast) == ("ReLU", None)


def test_leaky_variants_are_in_no_analysis() -> None:
    data = effects_of(study(leaks={"relu-rms": Leak.LEAKY}))
    assert data.analyses == ()
    assert data.plot is None
    assert "leak into the evaluation of ReLU · RMSNorm" in data.reasons[0]


def test_losses_on_different_data_are_in_no_analysis() -> None:
    data = effects_of(study(texts={"relu-rms": "another"}))
    assert data.analyses == ()
    assert data.plot is None
    assert "different data" in data.reasons[0]


def test_training_leaks_are_told() -> None:
    data = effects_of(study(leaks={"relu-rms": Leak.IN_TRAINING}))
    assert data.leaking == {"relu-rms"}
    assert len(data.analyses) == 1


BASE = {"model.activation": "relu", "model.norm": "rms"}


@pytest.mark.parametrize(
    "raw",
    [
        {"design": {"kind": "one_at_a_time", "baseline": BASE}},
        {
            "design": {"kind": "list", "cells": [BASE, BASE | {"model.activation": "gelu"}]},
            "factors": {},
        },
        {"factors": {"model.norm": ("layer",)}},
    ],
)
def test_designs_without_crossed_factors_have_no_effects(raw: dict[str, object]) -> None:
    assert collect(study(**raw).compared) is None


def test_without_any_result_there_are_no_effects() -> None:
    fates = {(v, s): Outcome.MISSING for v in study().variants for s in range(5)}
    assert collect(study(fates=fates).compared) is None


def test_excluded_combinations_leave_the_largest_full_grid() -> None:
    when = {"model.activation": "silu", "model.norm": "layer"}
    analysis = only(study(exclude=[{"when": when, "because": "too slow"}]))
    assert analysis.counted is Counted.FINAL
    assert analysis.grid.variants.shape == (2, 2)
    assert [(level.label, level.reason) for level in analysis.left_out] == [
        ("SiLU", "the study has not all its combinations")
    ]


def test_chosen_values_are_compared_where_a_search_chose() -> None:
    sweep = {"kind": "sweep", "values": {RATE: [1e-3, 3e-3]}, "seeds": 1}
    data = effects_of(study(protocol={"search": sweep}, seeds=3))
    assert data.tuned
    assert not data.searching
    assert data.analyses[0].seeds == (0, 1, 2)
