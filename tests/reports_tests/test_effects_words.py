"""Sentences and tables on effects claim no more than their numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reports.analysis.anova import balanced_anova
from reports.analysis.effects import collect
from reports.exhibits import Exhibits, Table
from reports.results.frame import StudyResults
from reports.sections.effects.section import SECTION
from reports.sections.effects.words import FALSE_INTERACTIONS, sentences
from studies.records import Leak, Outcome
from tests.reports_tests.effect_studies import default_grid, noisy, study

ROOT = Path(__file__).parents[2]
FORBIDDEN = re.compile(
    r"\b(better|worse|equal|equals|equally|same|identical|outperforms?|beats?|wins?|superior|"
    r"no effect of|because|proves?)\b"
)


def exhibits_of(results: StudyResults) -> Exhibits:
    exhibits = SECTION.exhibits(results)
    assert exhibits is not None
    return exhibits


def text_of(results: StudyResults) -> str:
    return " ".join(exhibits_of(results).sentences)


def table_of(results: StudyResults, name: str) -> Table:
    return next(table for table in exhibits_of(results).tables if table.name == name)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_numbers_the_words_stay_within_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    effects = dict(zip(("relu", "rms", "relu_rms"), random.normal(0, 0.02, 3), strict=True))
    results = study(noisy(float(random.choice([0.001, 0.01, 0.05])), **effects),
                    seeds=int(random.integers(1, 7)))  # fmt: skip
    exhibits = exhibits_of(results)
    for text in (*exhibits.sentences, *(table.caption for table in exhibits.tables)):
        assert not FORBIDDEN.search(text)
    data = collect(results.compared)
    assert data is not None
    text = " ".join(exhibits.sentences)
    for analysis in data.analyses:
        levels = [row.contrast for row in analysis.levels if row.contrast]
        significant = [c for c in (*levels, *analysis.simple) if c.is_significant(0.05)]
        for side, is_side in (("lower", np.less), ("higher", np.greater)):
            if f"{side} final loss" in text:
                assert any(is_side(c.difference.mean, 0) for c in significant)


def test_without_any_effect_none_is_claimed() -> None:
    claims = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        losses = {
            (variant, s): 2 + 0.1 * s + random.normal(0, 0.01)
            for variant in study().variants
            for s in range(5)
        }
        text = text_of(study(lambda v, _, s, losses=losses: losses[v, s]))
        claims += "lower final loss" in text or "higher final loss" in text
    assert claims <= 4


def test_a_clear_effect_is_told_with_its_interval_and_its_scope() -> None:
    text = text_of(study(noisy(0.002, relu=0.2, rms=-0.1)))
    assert "No interaction was detected" in text
    assert "that does not show that there is none" in text
    assert re.search(
        r"Activation, mean over all cells of a level: the means differ under this protocol at this "
        r"scale \(F\([\d.]+, [\d.]+\) = [\d.]+, Holm p < 0.001, partial omega² 1.00\)\. "
        r"Against ReLU \(p over the 3 differences of the level means; exploratory\): lower "
        r"final loss under this protocol at this scale for GELU \(−0.2\d+ \[−0.2\d+, −0.1\d+\], "
        r"Holm p < 0.001\) and SiLU",
        text,
    )


def test_where_no_difference_is_detected_the_smallest_detectable_one_is_told() -> None:
    text = text_of(study(noisy(0.01), seeds=3))
    assert "no effect was detected" in text
    assert re.search(r"no effect was detected \(F.*\) \(smallest detectable: [\d.]+ to", text)


def test_an_interaction_moves_the_words_to_simple_effects() -> None:
    results = study(noisy(0.002, relu_rms=0.2))
    text = text_of(results)
    rule = "p < 0.05 or partial omega² of at least 0.14"
    rate = (
        ", met with n = 5 by 4 to 12% of simulated grids of 2 × 2 to 4 × 3 × 2 without any "
        "interaction"
    )
    assert f"An interaction may not be negligible ({rule}{rate}): activation × norm (F" in text
    family = "(p over the 7 contrasts of their table; exploratory)"
    assert f"Simple effects of activation, 4 contrasts {family}: " in text
    assert "mean over all cells of a level" not in text
    assert "Interactions may not be negligible" in table_of(results, "level_means").caption
    assert "Holm p over the 7 rows" in table_of(results, "simple_effects").caption


def test_two_seeds_have_numbers_and_no_verdict() -> None:
    for effects in ({"gelu": -0.2}, {"relu_rms": 0.2}):
        text = text_of(study(noisy(1e-5, **effects), seeds=2))
        assert "with 2 seeds no verdict" in text
        assert "final loss under" not in text
        assert "the means differ" not in text
    assert re.search(
        r"Simple effects of activation, 4 contrasts: with 2 seeds no verdict; differences from "
        r"−0\.2000\d to [+−]0\.0000\d nats/token",
        text,
    )


@pytest.mark.parametrize("seeds", [2, 3])
def test_the_rate_of_false_interactions_is_that_of_the_rule(seeds: int) -> None:
    random, studies = np.random.default_rng(0), 300
    found = 0
    for _ in range(studies):
        terms = balanced_anova(random.normal(size=(2, 2, seeds))).terms
        found += not terms[0].is_negligible(0.05)
    least, most = FALSE_INTERACTIONS[seeds]
    assert least - 8 < 100 * found / studies < most + 8


def test_the_rates_of_false_interactions_are_those_of_the_docs() -> None:
    text = (ROOT / "docs" / "statistics.md").read_text()
    table = text.partition("| seeds | 2 × 2 | 3 × 3 | 4 × 3 | 4 × 3 × 2 |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (\d+) \| (\d+)% \| (\d+)% \| (\d+)% \| (\d+)% \|$", table, re.M)
    found = {int(n): (min(rates), max(rates)) for n, *s in rows if (rates := list(map(int, s)))}
    assert found == FALSE_INTERACTIONS


def test_differences_have_the_decimals_of_their_own_spread() -> None:
    spread = lambda v, _, s: noisy(0.0004)(v, _, s) + 0.3 * s  # noqa: E731
    table = table_of(study(spread), "level_means")
    assert re.fullmatch(r"\d\.\d\d", table.rows[0].cells[3].text)
    assert re.fullmatch(r"[+−]?0\.\d{5}", table.rows[1].cells[4].text)


def test_clipped_losses_are_called_so_and_claim_nothing_of_the_final_loss() -> None:
    results = study(noisy(0.002, relu=0.3), fates={("gelu-rms", 0): Outcome.DIVERGED})
    (clipped,) = [s for s in exhibits_of(results).sentences if "counts as untrained" in s]
    assert "Here the one diverged run of these cells" in clipped
    caption = table_of(results, "anova_clipped").caption
    assert "min(final loss, loss at initialisation)" in caption
    assert "30 planned, 29 completed, 1 diverged" in caption
    last = exhibits_of(results).sentences.index(clipped)
    assert not any("final loss" in s for s in exhibits_of(results).sentences[last + 1 :])


def test_fewer_seeds_than_planned_are_told() -> None:
    results = study(fates={("relu-rms", 1): Outcome.FAILED})
    assert "at 4 of 5 seeds, those that all of them have" in text_of(results)
    assert "4 of 5 seeds" in table_of(results, "level_means").caption


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.MISSING])
def test_while_seeds_are_missing_nothing_is_tested(outcome: Outcome) -> None:
    results = study(noisy(0.001, gelu=-0.2), fates={("relu-rms", 1): outcome})
    text = text_of(results)
    assert "Tests are given once all 5 seeds of these cells have run" in text
    assert "lower" not in text
    assert [table.name for table in exhibits_of(results).tables] == ["level_means"]
    assert table_of(results, "level_means").data["holm_p"].isna().all()


def test_where_a_search_of_the_higher_side_ended_at_its_edge_there_is_no_verdict() -> None:
    clear = noisy(0.001, gelu=-0.2)
    results = study(clear)
    data = collect(results.compared)
    assert data is not None
    levels = [
        replace(row, contrast=row.contrast and replace(row.contrast, edges=(False, True)))
        for row in data.analyses[0].levels
    ]
    turned = replace(data, analyses=(replace(data.analyses[0], levels=tuple(levels)),))
    told, untold = (" ".join(sentences(one)) for one in (data, turned))
    assert "lower final loss under this protocol at this scale for GELU" in told
    assert "no verdict for GELU (−0.2" in untold
    assert "lower final loss" not in untold
    assert "Holm p < 0.001), where a search of the higher side ended at its edge" in untold


@pytest.mark.parametrize(("number", "cells"), [(1, "one cell"), (2, "2 cells")])
def test_where_a_search_ended_at_its_edge_no_interaction_is_told(number: int, cells: str) -> None:
    data = collect(study(noisy(0.002, relu_rms=0.2)).compared)
    assert data is not None
    at_edge = replace(data.analyses[0], at_edge=number)
    text = " ".join(sentences(replace(data, analyses=(at_edge,))))
    assert "No verdict on activation × norm (F(" in text
    assert f"the search of {cells} ended at its edge, and that alone may make an inter" in text
    assert "may not be negligible" not in text


def test_where_a_search_ended_at_its_edge_no_main_effect_is_told() -> None:
    data = collect(study(noisy(0.001, gelu=-0.2)).compared)
    assert data is not None
    at_edge = replace(data.analyses[0], at_edge=1)
    text = " ".join(sentences(replace(data, analyses=(at_edge,))))
    assert "mean over all cells of a level: no verdict, for a search ended at its edge (F" in text
    assert "the means differ" not in text


def test_one_seed_is_said_to_allow_no_test() -> None:
    results = study(seeds=1)
    assert "One seed: no analysis of variance" in text_of(results)
    assert [table.name for table in exhibits_of(results).tables] == ["level_means"]


def test_one_of_a_kind_is_called_one() -> None:
    results = study(factors={"model.norm": ("rms", "layer")})
    exhibits = exhibits_of(results)
    captions = [table.caption for table in exhibits.tables]
    helps = [column.help for table in exhibits.tables for column in table.columns]
    text = " ".join([*captions, *helps, text_of(results)])
    assert "adjusted over the one term" in text
    assert "Holm p over the one difference of this table" in text
    assert not re.search(r"\bthe 1\b|\b1 (of 1|\w+s)\b", text)


def test_training_leaks_are_in_the_caption() -> None:
    results = study(leaks={"relu-rms": Leak.IN_TRAINING})
    assert "In training of 1 of these cells later tokens leak" in table_of(results, "anova").caption


def test_leaky_variants_leave_a_sentence_alone() -> None:
    exhibits = exhibits_of(study(leaks={"relu-rms": Leak.LEAKY}))
    assert len(exhibits.sentences) == 1
    assert exhibits.tables == exhibits.figures == ()


def test_interactions_stand_before_main_effects_and_the_seed_last() -> None:
    table = table_of(default_grid(), "anova")
    names = [row.cells[0].text for row in table.rows]
    assert names[0] == "activation × norm × placement"
    assert names[4:] == ["activation", "norm", "placement", "seed (block)"]
    assert [row.gap for row in table.rows].index(True) == 4
    assert all(len(row.runs) == 24 * 5 for row in table.rows)


def test_every_table_of_a_study_has_a_name_of_its_own() -> None:
    results = default_grid(fates={("relu-none", 0): Outcome.DIVERGED})
    names = [table.name for table in exhibits_of(results).tables]
    assert len(names) == len(set(names))
    assert {"anova", "anova_joined_completed", "anova_joined_clipped"} <= set(names)


def test_rows_and_numbers_are_of_the_analysis() -> None:
    table = table_of(study(), "level_means")
    assert list(table.data["n"]) == [5] * 5
    assert [row.cells[1].text for row in table.rows] == list(table.data["level"])
    assert table.rows[0].cells[4].text == "reference"
