"""What is said of the sizes of variants where some are not known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from reports.analysis.fairness import collect
from reports.sections.fairness import render
from studies.fairness import size_against
from tests.reports_tests.searched import searched

KNOWN = {"LayerNorm": 1000.0, "RMSNorm": 1003.0, "GroupNorm": 1004.0}
MISSING = math.nan


def said(parameters: Mapping[str, float], **protocol: object) -> str:
    """The sentences, where runs counted these parameters; NaN where none did."""
    factors = {"model.norm": ["layer", "rms", "group"]}
    data = collect(searched(lambda *_: 3.0, factors=factors, seeds=2, protocol=protocol))
    target = parameters[data.baseline]
    accounts = tuple(
        replace(
            account,
            parameters=parameters[account.label],
            size=None
            if math.isnan(target + parameters[account.label])
            else size_against(parameters[account.label], target, 0.01),
        )
        for account in data.accounts
    )
    mismatched = {a.label: a.size for a in accounts if a.size and not a.size.within}
    return " ".join(render(replace(data, accounts=accounts, mismatched=mismatched)).sentences)


def test_all_variants_are_within_the_tolerance_where_all_are_known() -> None:
    text = said(KNOWN)
    assert "All variants are within 1.0% of the baseline in parameters." in text
    assert "not known in parameters" not in text.lower()


def test_a_variant_of_unknown_size_is_named_and_is_not_among_all() -> None:
    text = said(KNOWN | {"RMSNorm": MISSING})
    assert "All variants" not in text
    assert "Not known in parameters: RMSNorm. All other variants are within 1.0%" in text


def test_a_variant_of_unknown_size_is_named_beside_one_that_does_not_match() -> None:
    text = said(KNOWN | {"RMSNorm": MISSING, "GroupNorm": 1100.0})
    assert "Not known in parameters: RMSNorm. Not matched in parameters within 1.0%" in text
    assert "GroupNorm (+10.0%)" in text


@pytest.mark.parametrize(
    "unknown", [{"LayerNorm": MISSING}, {"RMSNorm": MISSING, "GroupNorm": MISSING}]
)
def test_with_nothing_to_compare_it_is_not_known_whether_sizes_match(
    unknown: Mapping[str, float],
) -> None:
    text = said(KNOWN | unknown)
    assert "Whether variants match in parameters is not known." in text
    assert "within 1.0%" not in text


def test_where_nothing_is_to_match_no_size_is_missed() -> None:
    text = said(KNOWN | {"RMSNorm": MISSING}, match="none")
    assert "The size of variants is not matched." in text
    assert "ot known in parameters" not in text
