import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.analysis.hypotheses import collect
from reports.analysis.verdicts import Finding, Standing
from reports.results.frame import StudyResults
from reports.sections.hypotheses.caption import caption
from reports.sections.hypotheses.section import SECTION, render
from studies.records import Leak
from tests.reports_tests.conftest import Synthetic
from tests.reports_tests.hypothesis_studies import (
    NOISE,
    RELU,
    SWIGLU,
    below,
    hypothesis,
    many,
    plan_with,
    registration_of,
    results_of,
    row_of,
    sentences_of,
    verdict_of,
)


@pytest.mark.parametrize(
    ("declared", "by", "finding", "words"),
    [
        (hypothesis(margin=0.05), 0.03, Finding.AS_CLAIMED,
         "lower final loss under this protocol at this scale"),
        (hypothesis(margin=0.01), 0.03, Finding.AS_CLAIMED, "lower final loss under"),
        (hypothesis("higher", margin=0.05), -0.03, Finding.AS_CLAIMED, "higher final loss under"),
        (hypothesis(), 0.001, Finding.NO_DIFFERENCE,
         "no difference detected (smallest detectable 0.013)"),
        (hypothesis(), -0.03, Finding.AGAINST_CLAIM, "against the claim: interval above 0"),
        (hypothesis("higher"), 0.03, Finding.AGAINST_CLAIM, "against the claim: interval below 0"),
        (hypothesis("equivalent", margin=0.02), 0.001, Finding.EQUIVALENT,
         "equivalent within ±0.02"),
        (hypothesis("equivalent", margin=0.005), 0.001, Finding.NOT_EQUIVALENT,
         "equivalence within ±0.005 not shown"),
        (hypothesis("equivalent", margin=0.02), 0.03, Finding.NOT_EQUIVALENT,
         "equivalence within ±0.02 not shown; interval below 0"),
        (hypothesis(seeds=5), 0.03, Finding.AS_CLAIMED, "lower final loss under"),
    ],
)  # fmt: skip
def test_the_verdict_is_in_the_words_that_the_numbers_allow(
    tmp_path: Path, declared: Any, by: float, finding: Finding, words: str
) -> None:
    results = results_of(tmp_path, {"h": declared}, below(by))
    assert row_of(results).finding is finding
    assert verdict_of(results).startswith(words)
    assert row_of(results).standing is Standing.CONFIRMATORY


@pytest.mark.parametrize(
    ("declared", "by", "words"),
    [
        (hypothesis(margin=0.01), 0.03, "better: lower final loss under this protocol at this "),
        (hypothesis("different", margin=0.01), -0.03, "worse: higher final loss under this "),
    ],
)
def test_better_is_beyond_the_margin_and_in_more_than_half_of_the_seeds(
    tmp_path: Path, declared: Any, by: float, words: str
) -> None:
    results = results_of(tmp_path, {"h": declared}, below(by, 8), seeds=range(8))
    assert row_of(results).finding is Finding.BEYOND_MARGIN
    assert verdict_of(results).startswith(words)
    assert verdict_of(results).endswith("scale, by more than 0.01")
    data = collect(results)
    assert data is not None
    caption = render(data).tables[0].caption
    assert "a paired t test against the margin, adjusted by Holm the same way" in caption
    few = collect(results_of(tmp_path / "few", {"h": declared}, below(by)))
    assert few is not None
    assert "Better, worse" not in render(few).tables[0].caption


def test_what_was_added_or_changed_is_exploratory_and_never_better(tmp_path: Path) -> None:
    registered = {"h": hypothesis(margin=0.02), "same": many(2)["h1"]}
    now = {"h": hypothesis(margin=0.01), "new": many(3)["h2"], "same": many(2)["h1"]}
    results = results_of(tmp_path, now, below(0.03), registered=registered)
    data = collect(results)
    assert data is not None
    assert {row.name: row.standing for row in data.rows} == {
        "same": Standing.CONFIRMATORY,
        "h": Standing.CHANGED,
        "new": Standing.ADDED,
    }
    assert data.rows[0].name == "same"
    assert "Changed: h (margin: 0.02 → 0.01)." in sentences_of(results)
    assert math.isnan(row_of(results).adjusted_p)
    assert verdict_of(results) == "interval below 0; exploratory: to be confirmed on new seeds"
    declared = render(data).tables[0].data.set_index("hypothesis")["declared"]
    assert declared["h"] == "exploratory (changed after the first run)"
    assert declared["new"] == "exploratory (added after the first run)"
    equivalent = {"h": hypothesis("equivalent", margin=0.05)}
    results = results_of(tmp_path / "same", equivalent, below(0.001), registered={})
    assert verdict_of(results).startswith("interval within ±0.05; exploratory")


def test_without_a_registration_that_was_first_nothing_is_confirmatory(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"h": hypothesis()}, below(0.03))
    assert results.registration is not None
    edited = results.registration.model_copy(update={"digest": "0" * 16})
    cases = {
        "was not registered before its first run": (None, Standing.UNREGISTERED),
        "registered after its first runs": (
            registration_of(results.plan, late=True),
            Standing.LATE,
        ),
        "its digests do not match": (edited, Standing.UNREGISTERED),
    }
    for words, (registration, standing) in cases.items():
        found = replace(results, registration=registration)
        assert row_of(found).standing is standing
        assert row_of(found).finding is Finding.UNCONFIRMED
        assert words in sentences_of(found)[0]
        assert "every other comparison of this report" in sentences_of(found)[0]


def test_what_else_was_changed_is_listed_in_words(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"h": hypothesis()}, below(0.03))
    baseline = {"baseline": {**RELU, "model.norm": "rms"}}
    before = registration_of(plan_with({"h": hypothesis()}, seeds=(0, 1), report=baseline))
    results = replace(results, registration=before)
    sentences = sentences_of(results)
    [changed] = [s for s in sentences if s.startswith("Changed after the first run: ")]
    assert "seeds: 2 → 5; report.baseline" in changed
    assert any("on the seeds that were registered for it, and on no others" in s for s in sentences)
    data = collect(results)
    assert data is not None
    [table] = render(data).tables
    assert table.rows[0].cells[2].text == "confirmatory, in a study that was changed"
    assert list(table.data["declared"]) == ["confirmatory, in a study that was changed"]


def test_the_registration_is_named_with_its_time_and_commit(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"h": hypothesis()})
    assert results.registration is not None
    first = sentences_of(results)[0]
    assert first.startswith(
        "1 hypothesis was registered before the first run (2026-01-31 12:00 UTC"
    )
    assert results.registration.digest in first
    assert "git commit 0123456789 with uncommitted changes" in first


def test_without_hypotheses_the_section_is_one_sentence(small: StudyResults) -> None:
    assert collect(small) is None
    [sentence] = sentences_of(small)
    assert "every comparison of this report is exploratory" in sentence
    registered = replace(small, registration=registration_of(small.plan))
    assert sentences_of(registered) == (sentence,)


def test_hypotheses_that_are_all_gone_are_still_listed(tmp_path: Path) -> None:
    results = results_of(tmp_path, {}, registered={"h": hypothesis()})
    exhibits = SECTION.exhibits(results)
    assert exhibits is not None
    assert exhibits.tables == ()
    assert "Registered, and no longer in the file: h (it is so)." in exhibits.sentences


def test_the_table_has_the_numbers_for_a_paper_and_a_file(tmp_path: Path) -> None:
    gelu = {"model.activation": "gelu"}
    alike = hypothesis("equivalent", of=gelu, against=RELU, margin=0.02)
    declared = {"h": hypothesis(), "alike": alike}
    losses = {**below(0.03), "gelu-rms": [2.0 + noise / 10 for noise in NOISE[:5]]}
    data = collect(results_of(tmp_path, declared, losses))
    assert data is not None
    [table] = render(data).tables
    assert "Runs: 30 planned, 30 completed." in table.caption
    assert "adjusted over the 2 registered hypotheses" in table.caption
    first, second = table.rows
    assert first.cells[4].tex == "$-0.0300$ $[-0.0398,\\,-0.0202]$"
    assert first.cells[1].text == "SwiGLU · LayerNorm minus ReLU · LayerNorm: expected lower"
    cells = "GELU (mean of 2 cells) minus ReLU (mean of 2 cells)"
    assert second.cells[1].text == f"{cells}: expected equivalent within ±0.02"
    assert second.cells[5].text == "<0.001"
    numbers = table.data.set_index("hypothesis")
    assert second.cells[4].detail.startswith("90%: [")
    assert str(second.cells[4].tex).endswith(r"]$ (90\%)")
    assert "%" not in first.cells[4].detail
    assert table.columns[4].help.endswith("with its 95% (of an equivalence 90%) t interval")
    shown = second.cells[4].bar
    assert shown is not None
    narrower = numbers.loc["alike", ["equivalence_low", "equivalence_high"]]
    assert (shown.low, shown.high) == pytest.approx(tuple(narrower))
    assert numbers.loc["alike", "difference_low"] < shown.low
    assert pd.notna(numbers.loc["h", "holm_p"])
    assert numbers.loc["h", "of_completed"] == 5


def test_a_mean_over_unlike_effects_and_a_leak_in_training_are_said(tmp_path: Path) -> None:
    noise = np.array(NOISE[:5])
    apart = {"swiglu-layer": 2.6 + noise[::-1], "swiglu-rms": 2.03 + noise[[1, 0, 3, 2, 4]],
             "relu-layer": 2 + noise, "relu-rms": 2 - noise,
             "gelu-layer": 2 + noise / 2, "gelu-rms": 2 - noise / 2}  # fmt: skip
    declared = {"over": hypothesis(of=SWIGLU, against=RELU), "within": hypothesis()}
    results = results_of(tmp_path / "a", declared, apart)
    said = " ".join(sentences_of(results))
    assert "over: an interaction may not be negligible (activation × norm)" in said
    assert "within: an interaction" not in said
    assert "later tokens leak" not in said
    alike = {v: losses - 0.6 * (v == "swiglu-layer") + 0.03 * (v == "swiglu-layer")
             for v, losses in apart.items()}  # fmt: skip
    additive = results_of(tmp_path / "b", declared, alike)
    assert "an interaction may not" not in " ".join(sentences_of(additive))

    leaking = Synthetic(leaks={"swiglu-layer": Leak.IN_TRAINING})
    said = " ".join(sentences_of(results_of(tmp_path / "c", declared, synthetic=leaking)))
    for name in declared:
        assert f"{name}: later tokens leak in the training of SwiGLU · LayerNorm, which" in said


@pytest.mark.parametrize(
    ("declared", "one_sided", "detectable"),
    [
        ({"h": hypothesis()}, True, "as they do here, in Holm's first step."),
        ({"h": hypothesis("different")}, False, "as they do here, in Holm's first step."),
        ({"h": hypothesis("equivalent", margin=0.02)}, False, None),
    ],
)
def test_the_caption_says_what_is_asked_of_a_p_and_what_is_detectable(
    tmp_path: Path, declared: Any, one_sided: bool, detectable: str | None
) -> None:
    data = collect(results_of(tmp_path, declared, below(0.001)))
    assert data is not None
    text = caption(data)
    assert ("so that a one-sided p has to be below 0.025." in text) == one_sided
    assert ("Smallest detectable" in text) == (detectable is not None)
    assert detectable is None or detectable in text
    assert math.isfinite(data.rows[0].detectable) == (detectable is not None)


def test_what_is_detectable_without_holm_is_said_of_exploratory_ones(tmp_path: Path) -> None:
    rms = {"model.norm": "rms"}
    both = {"h": hypothesis(), "late": hypothesis(of={**SWIGLU, **rms}, against={**RELU, **rms})}
    losses = {**below(0.001), "swiglu-rms": [2.0 + noise for noise in NOISE[:5]]}
    data = collect(results_of(tmp_path, both, losses, registered={"h": hypothesis()}))
    assert data is not None
    assert "in Holm's first step (of exploratory ones without Holm)." in caption(data)
