"""What hypotheses are not told of, and where else the report speaks of the same pair."""

import math
from dataclasses import replace
from pathlib import Path

from reports.analysis.comparison import compare
from reports.analysis.verdicts import Finding
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.hypotheses.section import SECTION
from reports.sections.main_table.section import SECTION as MAIN
from studies.digests import EVALUATION_DATA
from studies.records import Leak
from tests.reports_tests.conftest import Synthetic, column_of, write_study
from tests.reports_tests.hypothesis_studies import (
    below,
    hypothesis,
    plan_with,
    registration_of,
    results_of,
    row_of,
    sentences_of,
    verdict_of,
)


def test_seeds_that_were_dropped_after_the_registration_are_missed(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"h": hypothesis()}, below(0.03))
    before = registration_of(plan_with({"h": hypothesis()}, seeds=range(8)))
    dropped = replace(results, registration=before)
    assert verdict_of(dropped).endswith("n = 5 of 8 planned")
    told = "Registered, and no longer in the study: seeds 5, 6 and 7. A confirmatory hypothesis"
    assert any(s.startswith(told) for s in sentences_of(dropped))
    assert not any("no longer in the study" in s for s in sentences_of(results))
    caption = MAIN.render(compare(dropped)).tables[0].caption
    assert "Registered, and dropped after the first run: seed 5, 6 and 7." in caption
    assert "dropped" not in MAIN.render(compare(results)).tables[0].caption


def test_losses_that_cannot_be_compared_are_not(tmp_path: Path) -> None:
    leaky = Synthetic(leaks={"relu-layer": Leak.LEAKY})
    results = results_of(tmp_path, {"h": hypothesis()}, below(0.03), leaky)
    assert verdict_of(results) == "cannot be decided: later tokens leak into an evaluation"
    assert_no_numbers(results)

    results = results_of(tmp_path / "sets", {"h": hypothesis()}, below(0.03))
    for moved, differs in (("swiglu-layer", True), ("gelu-rms", False)):
        records = {
            key: r.model_copy(update={"digests": {EVALUATION_DATA: str(r.variant == moved)}})
            for key, r in results.records.items()
        }
        found = replace(results, records=records)
        assert (row_of(found).finding is Finding.DIFFERENT_TEXTS) is differs
        if differs:
            assert_no_numbers(found)


def assert_no_numbers(results: StudyResults) -> None:
    """What cannot be compared has no difference, interval, p or share, in cells and in numbers."""
    exhibits = SECTION.exhibits(results)
    assert exhibits is not None
    [table] = exhibits.tables
    for heading in ("n", "Difference", "p", "Holm p"):
        [cell] = column_of(table, heading)
        assert (cell.text, cell.detail) == ("–", "")
    [numbers] = table.data.to_dict("records")
    for column in ("difference_mean", "difference_low", "equivalence_high", "p", "holm_p", "win"):
        assert math.isnan(numbers[column])


def test_a_pair_of_the_main_table_is_said_to_be_one_in_both_places(tmp_path: Path) -> None:
    of, against = ({"model.activation": a, "model.norm": "rms"} for a in ("gelu", "relu"))
    alike = hypothesis("equivalent", of=of, against=against, margin=0.02)
    baseline = {"model.activation": "relu", "model.norm": "rms"}
    plan = plan_with({"alike": alike, "h": hypothesis()}, report={"baseline": baseline})
    results = load_study(write_study(tmp_path / "study", plan))
    there = [s for s in sentences_of(results) if s.startswith("The main table has a reading of ")]
    assert len(there) == 1
    assert "for alike (GELU · RMSNorm, declared margin ±0.02). That reading" in there[0]
    here = [s for s in MAIN.render(compare(results)).sentences if s.startswith("See Hypotheses")]
    assert len(here) == 1
    assert "GELU · RMSNorm (alike, with a declared margin of 0.02)." in here[0]
