"""The sentences under the main table: what they count, and what they leave out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from reports.analysis.comparison import compare
from reports.results.frame import StudyResults
from reports.sections.main_table.section import render
from studies.metrics import FINAL_LOSS
from studies.records import Leak, Outcome
from tests.reports_tests.conftest import column_of
from tests.reports_tests.searched import RATE, searched

SEEDS = 3
LEVELS = ["layer", "rms", "group", "none"]
OFFSETS = {"layer": 0.0, "rms": -0.5, "group": -1.0, "none": 0.5}
JITTER = {("rms", 1): 0.01, ("group", 1): 0.01, ("none", 1): 0.01}


def study(levels: list[str] = LEVELS, offsets: Mapping[str, float] = OFFSETS) -> StudyResults:
    def loss(variant: str, settings: object, seed: int) -> float:
        return 2.0 + offsets[variant] + 0.02 * seed + JITTER.get((variant, seed), 0.0)

    return searched(loss, factors={"model.norm": levels}, seeds=SEEDS)


def ending(results: StudyResults, fates: Mapping[tuple[str, int], Outcome]) -> StudyResults:
    """The results with some runs that ended otherwise, and left no final loss."""
    runs = results.runs.copy()
    for (variant, seed), outcome in fates.items():
        chosen = (runs["variant"] == variant) & (runs["seed"] == seed)
        runs.loc[chosen, ["outcome", FINAL_LOSS]] = [outcome.value, float("nan")]
    return replace(results, runs=runs)


def against_baseline(results: StudyResults) -> str:
    return next(s for s in render(compare(results)).sentences if "aseline" in s)


def test_all_ranked_variants_are_counted() -> None:
    assert against_baseline(study()) == (
        "Against the baseline (LayerNorm), the interval, not corrected, lies above 0 for 1 and "
        "lies below 0 for 2 of 3 other variants."
    )


def best_of(results: StudyResults) -> str:
    [sentence] = [s for s in render(compare(results)).sentences if s.startswith("Against it, ")]
    return sentence


@pytest.mark.parametrize(
    ("levels", "offsets", "words"),
    [
        (LEVELS, OFFSETS, "lies above 0 for all 3 other ranked variants"),
        (LEVELS[:2], OFFSETS, "lies above 0 for the one other ranked variant"),
        (LEVELS, {"rms": 0.0, "group": 0.0}, "includes 0 for 2 and lies above 0 for 1 of 3 other "),
        (LEVELS[:3], {"rms": 0.0, "group": 0.0}, "includes 0 for all 2 other ranked variants"),
    ],
)
def test_where_the_intervals_against_the_lowest_lie_is_counted(
    levels: list[str], offsets: Mapping[str, float], words: str
) -> None:
    text = best_of(study(levels, OFFSETS | offsets))
    assert text.startswith(f"Against it, the 95% interval of the paired difference {words}")
    assert text.endswith("(not corrected, and these runs picked the lowest).")


@pytest.mark.parametrize("outcome", [Outcome.MISSING, Outcome.FAILED, Outcome.DIVERGED])
def test_while_runs_are_missing_all_is_so_far_and_nothing_bold(outcome: Outcome) -> None:
    partial = outcome is not Outcome.DIVERGED
    lost = {(level, 2): outcome for level in (LEVELS if partial else LEVELS[-1:])}
    exhibits = render(compare(ending(study(), lost)))
    data, table = compare(ending(study(), lost)), exhibits.tables[0]
    assert data.partial is partial
    if outcome is Outcome.MISSING:
        assert any(s.startswith("Lowest mean final loss of the ranked variants so far: ")
                   for s in exhibits.sentences)  # fmt: skip
        assert "ranked variants so far (not corrected" in best_of(ending(study(), lost))
        assert "so far lies above 0 for 1 and lies below 0 for 2" in against_baseline(
            ending(study(), lost)
        )
    assert any(cell.strong for row in table.rows for cell in row.cells) is not partial
    assert ("Bold: " in table.caption) is not partial
    assert list(table.data["bold"]).count(True) == (0 if partial else 1)
    said = " ".join(exhibits.sentences)
    assert partial or "so far" not in said


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.PRUNED, Outcome.FAILED])
def test_survivors_are_left_out_of_the_count(outcome: Outcome) -> None:
    text = against_baseline(ending(study(), {("rms", 0): outcome}))
    assert "lies above 0 for 1 and lies below 0 for 1 of 2 counted variants." in text
    assert text.endswith("Left out of the count: 1 not ranked.")


def test_leaky_variants_are_left_out_of_the_count() -> None:
    whole = study()
    records = {
        key: record.model_copy(update={"leak": Leak.LEAKY}) if record.variant == "group" else record
        for key, record in whole.records.items()
    }
    text = against_baseline(replace(whole, records=records))
    assert "lies above 0 for 1 and lies below 0 for 1 of 2 counted variants." in text
    assert text.endswith("Left out of the count: 1 not ranked.")


def test_variants_that_have_run_too_little_are_told_apart() -> None:
    missing = {("rms", 1): Outcome.MISSING, ("rms", 2): Outcome.MISSING}
    text = against_baseline(ending(study(), {**missing, ("none", 0): Outcome.DIVERGED}))
    assert "for the one counted variant." in text
    assert text.endswith("Left out of the count: 1 not ranked, 1 without an interval.")


def test_with_no_ranked_variant_nothing_is_counted() -> None:
    text = against_baseline(ending(study(LEVELS[:2]), {("rms", 0): Outcome.DIVERGED}))
    assert "no ranked variant has an interval. Left out of the count: 1 not ranked." in text


def test_against_a_baseline_that_diverged_nothing_is_counted() -> None:
    assert against_baseline(ending(study(), {("layer", 0): Outcome.DIVERGED})) == (
        "The baseline (LayerNorm) is not ranked: no interval of a difference to it is counted."
    )


def test_a_baseline_without_a_completed_run_is_told() -> None:
    lost = {("layer", seed): Outcome.DIVERGED for seed in range(3)}
    assert against_baseline(ending(study(), lost)) == (
        "The baseline (LayerNorm) has no completed run, and is not ranked: no variant has a "
        "difference to it."
    )


def test_the_least_p_is_of_the_pairs_that_there_are() -> None:
    sentences = render(compare(ending(study(), {("layer", 0): Outcome.MISSING}))).sentences
    assert any(s.startswith("With n = 2 an exact two-sided paired test") for s in sentences)


@pytest.mark.parametrize(
    ("offset", "said"),
    [
        (0.0, "p of the one comparison with the baseline is above 0.05."),
        (1.0, "With p of the one comparison with the baseline (at most 0.05), final loss is "
              "higher for RMSNorm, under this protocol at this scale."),
    ],
)  # fmt: skip
def test_one_comparison_is_corrected_for_nothing(offset: float, said: str) -> None:
    sentences = render(compare(study(LEVELS[:2], OFFSETS | {"rms": offset}))).sentences
    assert said in sentences
    assert "Holm" not in " ".join(sentences)


def test_one_smallest_detectable_difference_is_no_range() -> None:
    text = against_baseline(study(LEVELS[:2], OFFSETS | {"rms": 0.0}))
    assert "includes 0 for the one other variant." in text
    assert " to " not in text.partition("(80% power)")[2]
    assert "(80% power) is 0.0" in text


def test_where_runs_are_identical_no_smallest_detectable_difference_is_told() -> None:
    results = searched(lambda v, s, seed: 2.0 + seed, factors={"model.norm": LEVELS[:3]}, seeds=2)
    text = against_baseline(results)
    assert "includes 0 for all 2 other variants." in text
    assert "detectable" not in text


def test_a_search_that_goes_on_is_told_once() -> None:
    sweep = {"kind": "sweep", "values": {RATE: [1e-3, 3e-3]}, "seeds": 1}
    results = searched(
        lambda *_: 2.0,
        rounds=0,
        factors={"model.norm": LEVELS[:2]},
        seeds=2,
        protocol={"search": sweep},
    )
    assert " ".join(render(compare(results)).sentences).count("has not chosen all values yet") == 1


def test_the_share_that_diverged_is_of_all_runs_that_ended() -> None:
    fates = {("rms", 0): Outcome.DIVERGED, ("rms", 1): Outcome.PRUNED, ("rms", 2): Outcome.PRUNED}
    results = ending(study(), fates)
    assert compare(results).rows[1].diverged.estimate == pytest.approx(1 / 3)
    assert column_of(render(compare(results)).tables[0], "Diverged")[1].detail.startswith("33% [")
