"""The columns of the main table, its last row, its caption, and its numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reports.analysis.comparison import compare
from reports.analysis.costs import cost_of, machines
from reports.references import as_text
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.main_table.section import render
from reports.writers.latex import table_tex
from studies.metrics import EARLY_LOSS, FINAL_LOSS, FLOPS_PER_TOKEN, PARAMETERS_NON_EMBEDDING
from studies.records import Outcome
from tests.reports_tests.conftest import Synthetic, column_of, grid_study, write_study
from tests.reports_tests.hypothesis_studies import registration_of
from tests.reports_tests.searched import RATE, searched

PAPER = ["Variant", "Final loss", "Difference to baseline", "Holm p", "P(win)", "Completed"]
OVERCLAIMS = ("better", "worse", "equal", "same", "identical", "outperform")


def study_of(seeds: int, offsets: Mapping[str, float], noise: float = 0.02) -> StudyResults:
    random = np.random.default_rng(5)
    errors = {(v, s): random.normal(0, noise) for v in offsets for s in range(seeds)}

    def loss(variant: str, settings: object, seed: int) -> float:
        return 2.0 + offsets[variant] + 0.02 * seed + errors[variant, seed]

    return searched(loss, factors={"model.norm": list(offsets)}, seeds=seeds)


def with_summary(results: StudyResults, **numbers: float) -> StudyResults:
    """The results with further numbers in every record."""
    records = {
        key: record.model_copy(update={"summary": {**record.summary, **numbers}})
        for key, record in results.records.items()
    }
    return replace(results, records=records, runs=results.runs.assign(**numbers))


def test_a_paper_has_six_columns_and_the_page_has_all(small: StudyResults) -> None:
    table = render(compare(small)).tables[0]
    headings = [column.heading for column in table.columns]
    assert [column.heading for column in table.columns if column.paper] == PAPER
    assert headings[:7] == [*PAPER[:5], "Reading", "Completed"]
    assert headings[-4:] == ["Parameters", "Non-embedding", "FLOPs/token", "Steps/s"]
    assert "Sign-flip p" not in headings, "three seeds have none"
    assert "Early loss" not in headings, "none was recorded"


def test_six_seeds_have_a_sign_flip_p_and_can_be_called_better() -> None:
    table = render(compare(study_of(6, {"layer": 0.0, "rms": -0.3, "group": 0.0}))).tables[0]
    flips = column_of(table, "Sign-flip p")
    assert [cell.text for cell in flips[:2]] == ["", f"{2 / 2**6:.3f}"]
    assert [cell.text for cell in column_of(table, "P(win)")[:2]] == ["", "1.00"]
    readings = column_of(table, "Reading")
    assert (readings[1].text, readings[2].text) == ("better", "equivalent within ±0.052")
    said = render(compare(study_of(6, {"layer": 0.0, "rms": -0.3, "group": 0.0}))).sentences
    assert any(
        "final loss is lower for RMSNorm, under this protocol at this scale" in s for s in said
    )
    assert any(s.startswith("Called better, for the difference is beyond") for s in said)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("seed_of_noise", [0, 2, 3])
def test_without_a_significant_difference_no_word_claims_one(
    seeds: int, seed_of_noise: int
) -> None:
    random = np.random.default_rng(seed_of_noise)
    results = searched(
        lambda v, s, seed: 2.0 + float(random.normal(0, 0.02)),
        factors={"model.norm": ["layer", "rms", "group", "none"]},
        seeds=seeds,
    )
    data = compare(results)
    assert not any(row.test and row.test.reading.is_significant for row in data.rows)
    exhibits = render(data)
    table = exhibits.tables[0]
    shown = [cell.text + cell.detail for row in table.rows for cell in row.cells]
    said = " ".join([*exhibits.sentences, *shown, *map(str, table.data["reading"])])
    assert not [word for word in OVERCLAIMS if word in said]


def test_the_last_row_is_the_noise_floor(small: StudyResults) -> None:
    data = compare(small)
    table = render(data).tables[0]
    last = table.rows[-1]
    assert last.gap
    assert last.cells[0].text == "noise floor"
    assert float(last.cells[2].text[1:]) == pytest.approx(data.noise.half_width, abs=5e-5)
    assert len(last.runs) == 12
    assert len(table.data) == 4, "it is no variant"
    assert table.data["noise_floor"].tolist() == pytest.approx([data.noise.half_width] * 4)
    assert re.search(r"Noise floor: 95% bound .* pooled over SDs of 0\.", table.caption)


def test_one_seed_has_no_floor_no_p_and_one_run_words(tmp_path: Path) -> None:
    plan = grid_study((0,), {"model.norm": ("rms", "layer")})
    exhibits = render(compare(load_study(write_study(tmp_path / "study", plan))))
    table = exhibits.tables[0]
    assert len(table.rows) == 2
    assert "Noise floor" not in table.caption
    assert "in nats/token, lower is better; of one run. 1 seed" in table.caption
    assert "Difference to the baseline (LayerNorm): paired by seed. P(win): " in table.caption
    assert column_of(table, "Reading")[0].text.startswith("in one run ")
    assert [cell.text for cell in column_of(table, "Holm p")] == ["–", ""]


def test_one_variant_is_compared_with_nothing(tmp_path: Path) -> None:
    exhibits = render(
        compare(load_study(write_study(tmp_path / "study", grid_study((0, 1, 2), {}))))
    )
    table = exhibits.tables[0]
    assert "P(win)" not in table.caption
    assert column_of(table, "Difference to baseline")[0].text == "baseline"
    assert not any("Holm" in sentence for sentence in exhibits.sentences)


def test_against_a_baseline_that_diverged_there_is_no_verdict(tmp_path: Path) -> None:
    plan = grid_study((0, 1, 2), {"model.norm": ("rms", "layer")})
    synthetic = Synthetic({("layer", 1): Outcome.DIVERGED})
    data = compare(load_study(write_study(tmp_path / "study", plan, synthetic)))
    table = render(data).tables[0]
    reading, p = column_of(table, "Reading")[0], column_of(table, "Holm p")[0]
    assert (reading.text, reading.detail, p.text) == (
        "no verdict",
        "one of the two is not ranked",
        "–",
    )
    assert column_of(table, "Difference to baseline")[0].detail.endswith("2 pairs")


def test_seeds_that_are_missing_withhold_the_p(tmp_path: Path) -> None:
    plan = grid_study((0, 1, 2), {"model.norm": ("rms", "layer")})
    synthetic = Synthetic({("rms", 1): Outcome.MISSING})
    exhibits = render(compare(load_study(write_study(tmp_path / "study", plan, synthetic))))
    reading = column_of(exhibits.tables[0], "Reading")[0]
    assert (reading.text, reading.detail) == ("no verdict yet", "2 of 3 seeds")
    assert "p is given once all 3 seeds have run; 1 variant waits." in exhibits.sentences


@pytest.mark.parametrize(("seeds", "said"), [(2, True), (3, True), (5, False)])
def test_bold_of_few_seeds_is_called_generous(seeds: int, said: bool) -> None:
    table = render(compare(study_of(seeds, {"layer": 0.0, "rms": 0.0}))).tables[0]
    caption = as_text(table.caption)
    assert "Bold: the lowest mean, and each variant whose paired interval against it" in caption
    assert (f"includes 0 (not corrected; with n = {seeds} most do)." in caption) is said
    assert "with the 95% t interval, not corrected" in caption


def test_seeds_that_were_added_are_said_to_be(tmp_path: Path) -> None:
    factors = {"model.norm": ("rms", "layer")}
    now, before = grid_study(range(5), factors), registration_of(grid_study(range(3), factors))
    results = load_study(write_study(tmp_path / "study", now))
    caption = render(compare(replace(results, registration=before))).tables[0].caption
    assert "p is over 5 seeds, 2 of them added after the first run: if that was for what" in caption
    same = render(compare(replace(results, registration=registration_of(now)))).tables[0].caption
    assert "added after" not in same
    waiting = Synthetic({("rms", 4): Outcome.MISSING})
    results = load_study(write_study(tmp_path / "waiting", now, waiting))
    caption = render(compare(replace(results, registration=before))).tables[0].caption
    assert "Seeds added after the first run: 2 of 5." in caption


def test_the_caption_for_a_paper_explains_its_columns_alone(small: StudyResults) -> None:
    table = render(compare(with_summary(small, **{EARLY_LOSS: 2.5}))).tables[0]
    for words in ("Steps/s", "Early loss", "Box 1954", "t s √(2/n)"):
        assert words in as_text(table.caption)
        assert words not in as_text(table.paper_caption)
    told = ("Final loss", "Holm p", "P(win)", "Bold: ", "Noise floor", "n = 3", "Runs: 12 planned")
    assert all(words in as_text(table.paper_caption) for words in told)
    assert len(as_text(table.paper_caption)) < len(as_text(table.caption)) < 1000
    wide = table_tex(table, wide=True)
    assert r"$t\,s\sqrt{2/n}$ with " in wide
    assert r"degrees of freedom~\citep{box1954theorems}." in wide
    for tex in (wide, table_tex(table)):
        assert r"the exact 95\% interval~\citep{clopper1934use}" in tex
        assert "with the SD over seeds in brackets, in units of the last digit" in tex
        assert "natbib" in tex.partition("\n")[0]
    assert "2.5000(0)" in wide
    assert "(0.0" not in wide, "one notation"
    assert "brackets" not in as_text(table.caption)
    equivalent = render(compare(study_of(6, {"layer": 0.0, "rms": -0.3, "group": 0.0}))).tables[0]
    assert "Equivalent: " in equivalent.caption
    assert "Equivalent: " not in equivalent.paper_caption


def test_the_caption_for_a_paper_names_searches_that_ended_at_an_edge() -> None:
    def loss(variant: str, settings: Mapping[str, float], seed: int) -> float:
        return 2.0 + settings[RATE] + 0.001 * (seed % 2)

    sweep = {"kind": "sweep", "values": {RATE: [1e-3, 3e-3, 1e-2]}, "seeds": 1}
    factors = {"model.norm": ["layer", "rms"]}
    results = searched(loss, factors=factors, seeds=2, protocol={"search": sweep})
    table = render(compare(results)).tables[0]
    assert list(table.data["at_edge"]) == ["learning rate"] * 2
    paper = table.paper_caption
    assert "The searches of LayerNorm and RMSNorm ended at the edge of what was tried" in paper
    assert "at shared values" not in paper


def test_early_loss_is_of_one_step_that_the_caption_names(small: StudyResults) -> None:
    results = with_summary(small, **{EARLY_LOSS: 2.5})
    table = render(compare(results)).tables[0]
    steps = small.plan.study.training.max_steps
    assert f"Early loss: at step {round(steps / 8)}." in table.caption
    cell = column_of(table, "Early loss")[0]
    assert (cell.text, cell.detail, cell.tex) == ("2.5000", "SD 0.0000", "2.5000(0)")


def test_costs_are_as_runs_counted_them_or_as_planned(small: StudyResults) -> None:
    variant = small.variants[0]
    cell = small.plan.cell(variant)
    planned = cost_of(small, variant)
    assert planned.flops_per_token == cell.flops_per_token
    assert math.isnan(planned.non_embedding)
    numbers = {PARAMETERS_NON_EMBEDDING: 7.0, FLOPS_PER_TOKEN: 9.0}
    counted = cost_of(with_summary(small, **numbers), variant)
    assert (counted.non_embedding, counted.flops_per_token) == (7, 9)
    training, model = small.plan.study.training, small.plan.study.model
    per_step = training.batch_size * model.context_length
    assert counted.steps_per_s == pytest.approx(counted.tokens_per_s / per_step)


def test_speeds_of_several_machines_are_said_to_be(small: StudyResults) -> None:
    assert machines(small) == 1
    assert "on one machine" in render(compare(small)).tables[0].caption
    records = {
        key: record.model_copy(update={"provenance": {"host": f"node-{record.seed}"}})
        for key, record in small.records.items()
    }
    spread = replace(small, records=records)
    assert machines(spread) == 3
    assert (
        "on 3 machines, so that variants differ by these too"
        in render(compare(spread)).tables[0].caption
    )


def test_a_search_has_its_lowest_loss_beside_its_sensitivity() -> None:
    def loss(variant: str, settings: Mapping[str, float], seed: int) -> float:
        return 2.0 + abs(math.log10(settings[RATE] / 3e-3)) + 0.001 * (seed % 2)

    sweep = {"kind": "sweep", "values": {RATE: [1e-3, 3e-3, 1e-2]}, "seeds": 1}
    results = searched(
        loss, factors={"model.norm": ["layer", "rms"]}, seeds=2, protocol={"search": sweep}
    )
    table = render(compare(results)).tables[0]
    headings = [column.heading for column in table.columns]
    at = headings.index("l*")
    assert headings[at - 2 : at + 2] == ["Chosen", "At shared values", "l*", "S"]
    assert float(column_of(table, "l*")[0].text) == pytest.approx(2.0, abs=0.01)
    assert float(column_of(table, "S")[0].text) == pytest.approx(
        np.mean([abs(math.log10(rate / 3e-3)) for rate in (1e-3, 3e-3, 1e-2)]), abs=0.01
    )


def test_differences_at_shared_values_have_the_decimals_of_their_spread() -> None:
    def loss(variant: str, settings: Mapping[str, float], seed: int) -> float:
        own = 0.0004 * (1 + seed % 2) * (variant == "rms")
        return 2.0 + abs(math.log10(settings[RATE] / 3e-3)) + 0.3 * (seed % 2) + own

    sweep = {"kind": "sweep", "values": {RATE: [1e-3, 3e-3, 1e-2]}, "seeds": 1}
    results = searched(
        loss, factors={"model.norm": ["layer", "rms"]}, seeds=2, protocol={"search": sweep}
    )
    _, cell = column_of(render(compare(results)).tables[0], "At shared values")[:2]
    assert cell.text == "2.63"
    assert "; +0.00060 [" in cell.detail


def test_each_row_names_its_runs_and_those_it_is_compared_with(small: StudyResults) -> None:
    table, best = render(compare(small)).tables[0], compare(small).best
    assert best is not None
    keys = {v: set(small.runs["run_key"][small.runs["variant"] == v]) for v in small.variants}
    for row, variant in zip(table.rows, small.variants, strict=False):
        expected = keys[variant] | keys[small.plan.baseline] | keys[best.variant]
        assert set(row.runs) == expected
    assert FINAL_LOSS in small.runs
