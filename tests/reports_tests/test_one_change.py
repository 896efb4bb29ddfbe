"""Single changes of the baseline: which cells they are, their tests, and what is said of them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from reports.analysis.comparison import VariantRow, compare
from reports.analysis.one_change import OneChange, changes_of, collect
from reports.exhibits import Exhibits
from reports.results.frame import StudyResults
from reports.sections.one_change.section import SECTION, render
from reports.words import EDGE_NOTE
from studies.records import Outcome
from tests.reports_tests.conftest import column_of, grid_study
from tests.reports_tests.effect_studies import noisy, study
from tests.reports_tests.searched import at_edge
from tests.reports_tests.test_effects_words import FORBIDDEN

BASE = {"model.activation": "relu", "model.norm": "rms"}
ONE_AT_A_TIME = {"design": {"kind": "one_at_a_time", "baseline": BASE}}


def changes(results: StudyResults) -> OneChange:
    data = collect(results)
    assert data is not None
    return data


def row_of(results: StudyResults, variant: str) -> VariantRow:
    return next(row for _, row in changes(results).rows if row.variant == variant)


def test_the_changes_of_the_default_grid() -> None:
    found = changes_of(grid_study())
    assert {variant: change.text for variant, change in found.items()} == {
        "relu-layer-pre": "GELU → ReLU",
        "silu-layer-pre": "GELU → SiLU",
        "swiglu-layer-pre": "GELU → SwiGLU",
        "gelu-batch-pre": "LayerNorm → BatchNorm",
        "gelu-group-pre": "LayerNorm → GroupNorm",
        "gelu-none": "LayerNorm → no norm",
        "gelu-layer-post": "pre → post",
    }
    order = ["model.activation"] * 3 + ["model.norm"] * 3 + ["model.placement"]
    assert [change.key for change in found.values()] == order


def test_a_factor_that_gets_a_meaning_is_named_with_the_change() -> None:
    baseline = {"model.activation": "gelu", "model.norm": "none"}
    found = changes_of(grid_study(report={"baseline": baseline}))
    assert found["gelu-layer-post"].text == "no norm → LayerNorm · post"
    assert found["gelu-layer-pre"].text == "no norm → LayerNorm · pre"
    assert "relu-layer-pre" not in found


def test_a_design_of_single_changes_has_them_all() -> None:
    results = study(**ONE_AT_A_TIME)
    data = changes(results)
    variants = {row.variant for _, row in data.rows}
    assert variants == set(results.variants) - {results.plan.baseline}
    assert [change.factor for change, _ in data.rows] == ["activation", "activation", "norm"]


def test_tests_are_those_of_the_main_table_and_adjusted_over_all_its_comparisons() -> None:
    results = study()
    data = changes(results)
    main = {row.variant: row for row in compare(results).rows}
    assert 0 < len(data.rows) < len(main) - 1
    for _, row in data.rows:
        assert row.test == main[row.variant].test
    exhibits = render(data)
    assert "p adjusted by Holm over all 5 comparisons with it" in exhibits.sentences[0]
    assert "p adjusted over all 5 comparisons with it" in exhibits.tables[0].caption


def test_numbers_are_tied_to_the_runs_of_both_sides() -> None:
    results = study()
    row = row_of(results, "gelu-rms")
    chosen = results.runs["variant"].isin(["gelu-rms", "relu-rms"])
    assert sorted(row.runs) == sorted(results.runs[chosen]["run_key"])


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.PRUNED])
def test_survivors_are_shown_with_their_count_and_not_tested(outcome: Outcome) -> None:
    exhibits = render(changes(study(fates={("gelu-rms", 0): outcome})))
    assert "Not tested, one of the two is not ranked: ReLU → GELU." in exhibits.sentences
    (table,) = exhibits.tables
    cells = table.rows[1].cells
    headings = [column.heading for column in table.columns]
    assert cells[headings.index("Holm p")].text == "–"
    assert cells[headings.index("Completed")].text == f"4/5, 1 {outcome.value}"


def test_a_study_that_runs_is_not_tested_yet() -> None:
    fates = {("gelu-rms", 0): Outcome.MISSING}
    exhibits = render(changes(study(fates=fates)))
    assert "Not tested, planned seeds are missing: ReLU → GELU." in exhibits.sentences


@pytest.mark.parametrize("seed", range(10))
def test_whatever_the_numbers_the_words_stay_within_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    effects = dict(zip(("gelu", "layer"), random.normal(0, 0.02, 2), strict=True))
    noise = float(random.choice([0.001, 0.01, 0.05]))
    data = changes(study(noisy(noise, **effects), seeds=int(random.integers(1, 7))))
    exhibits = render(data)
    text = " ".join((*exhibits.sentences, exhibits.tables[0].caption)).replace("P(win)", "")
    assert not FORBIDDEN.search(text)
    tests = [row.test for _, row in data.rows if row.test]
    for word, sign in (("Lower", -1), ("Higher", 1)):
        significant = any(t.adjusted_p <= 0.05 and t.difference.mean * sign > 0 for t in tests)
        assert (f"{word} final loss under" in text) == significant


def test_differences_have_the_decimals_of_their_spread_in_table_and_text() -> None:
    def loss(variant: str, settings: object, seed: int) -> float:
        return noisy(0.0004, gelu=-0.02)(variant, settings, seed) + 0.3 * seed

    exhibits = render(changes(study(loss)))
    cell = column_of(exhibits.tables[0], "Difference to baseline")[1]
    assert re.fullmatch(r"−0\.0\d{4}", cell.text)
    assert f"ReLU → GELU ({cell.text} [" in exhibits.sentences[1]


def test_a_clear_change_is_told() -> None:
    exhibits = render(changes(study(noisy(0.002, gelu=-0.2))))
    assert exhibits.sentences[0].startswith(
        "Of 3 changes of one factor of the baseline (ReLU · RMSNorm) that could be tested, a "
        "difference was detected for 1 (p adjusted by Holm"
    )
    assert exhibits.sentences[1].startswith(
        "Lower final loss under this protocol at this scale: ReLU → GELU (−0.1996 ["
    )


@pytest.mark.parametrize(("effect", "said"), [(-0.2, "a difference"), (0.0, "no difference")])
def test_one_change_and_one_comparison_are_called_one(effect: float, said: str) -> None:
    factors = {"model.activation": ("relu", "gelu")}
    data = changes(study(noisy(0.002, gelu=effect), factors=factors))
    exhibits = render(data)
    assert exhibits.sentences[0] == (
        f"One change of one factor of the baseline (ReLU) could be tested: {said} was detected "
        "(p of the one comparison with it)."
    )
    assert "main table, p of the one comparison with it." in exhibits.tables[0].caption
    assert "Holm's procedure" not in " ".join(exhibits.sentences)


def turning(variants: tuple[str, ...]) -> Exhibits:
    """Changes for higher losses, where searches of some variants ended at their edge."""
    results = study(noisy(0.002, gelu=0.2, silu=0.2, layer=0.2))
    return render(changes(at_edge(results, *variants)))


def test_what_a_search_at_its_edge_leaves_open_is_not_called_undetected() -> None:
    first, *rest = turning(("gelu-rms",)).sentences
    head = "Of 3 changes of one factor of the baseline (ReLU · RMSNorm) that could be tested, "
    assert first == (
        f"{head}1 has no verdict; a difference was detected for 2 of the 2 others (p adjusted by "
        "Holm over all 5 comparisons with it)."
    )
    (open_,) = [s for s in rest if s.startswith("No verdict, for a search ended at its edge, bey")]
    assert "ReLU → GELU (+0.20" in open_
    assert "SiLU" not in open_
    first, *rest = turning(("gelu-rms", "silu-rms")).sentences
    assert first.startswith(f"{head}2 have no verdict; a difference was detected for the other (p")
    assert "Where none was detected" not in " ".join(rest)
    first, *rest = turning(("gelu-rms", "silu-rms", "relu-layer")).sentences
    assert first.startswith(f"{head}none has a verdict (p adjusted")


def test_an_edge_of_the_baseline_alone_is_explained() -> None:
    (table,) = turning(("relu-rms",)).tables
    assert any("*" in cell.text for cell in table.rows[0].cells)
    assert EDGE_NOTE in table.caption


def test_the_baseline_stands_first_and_factors_apart() -> None:
    (table,) = render(changes(study())).tables
    assert [row.cells[0].text for row in table.rows] == [
        "baseline", "activation", "activation", "norm",
    ]  # fmt: skip
    assert [row.gap for row in table.rows] == [False, True, False, True]
    assert list(table.data["change"]) == ["baseline", "ReLU → GELU", "ReLU → SiLU",
                                          "RMSNorm → LayerNorm"]  # fmt: skip
    assert "30 planned, 30 completed" in table.caption


def test_a_study_of_one_variant_has_no_changes() -> None:
    assert SECTION.exhibits(study(factors={"model.norm": ("layer",)})) is None
