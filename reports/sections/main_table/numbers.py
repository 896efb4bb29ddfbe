"""The main table as numbers: every one behind the displayed ones, in full."""

from __future__ import annotations

import math

import pandas as pd

from reports.analysis.against_baseline import BaselineTest
from reports.analysis.comparison import Comparison, VariantRow
from reports.analysis.statistics import PairedDifference
from reports.sections.readings import verdict_of
from reports.words import factor_label, leaf
from studies.records import Outcome

_NOTHING = PairedDifference(0, math.nan, math.nan, math.nan, math.nan)


def numbers(data: Comparison, decimals: int) -> pd.DataFrame:
    """A row per variant; the noise floor, which is of all, in columns of its own."""
    floor = {
        "noise_floor": data.noise.half_width,
        "noise_floor_sd": data.noise.sd,
        "noise_floor_freedom": data.noise.freedom,
        "noise_floor_n": data.noise.n,
    }
    return pd.DataFrame([variant_numbers(row, decimals) | floor for row in data.rows])


def variant_numbers(row: VariantRow, decimals: int) -> dict[str, object]:
    """The row of a variant."""
    best = row.to_best or _NOTHING
    return {
        "variant": row.variant,
        "label": row.label,
        "leak": row.leak.value if row.leak else "",
        "parameters": row.cost.parameters,
        "parameters_non_embedding": row.cost.non_embedding,
        "flops_per_token": row.cost.flops_per_token,
        "n": row.loss.n,
        "final_loss_mean": row.loss.mean,
        "final_loss_sd": row.loss.sd,
        "final_loss_standard_error": row.loss.standard_error,
        "early_loss_mean": row.early.mean,
        "early_loss_sd": row.early.sd,
        "bits_per_byte_mean": row.bits_per_byte.mean,
        "bits_per_byte_sd": row.bits_per_byte.sd,
        **_against_baseline(row.test, decimals),
        "difference_to_best_mean": best.mean,
        "difference_to_best_low": best.low,
        "difference_to_best_high": best.high,
        "ranked": row.ranked,
        "bold": row.strong,
        **{outcome.value: row.outcomes[outcome] for outcome in Outcome},
        "diverged_share_low": row.diverged.low,
        "diverged_share_high": row.diverged.high,
        "steps_per_s_median": row.cost.steps_per_s,
        "tokens_per_s_median": row.cost.tokens_per_s,
        **_searched(row),
    }


def _against_baseline(test: BaselineTest | None, decimals: int) -> dict[str, object]:
    difference = test.difference if test else _NOTHING
    return {
        "pairs_with_baseline": difference.n,
        "difference_mean": difference.mean,
        "difference_sd": difference.sd,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "p": test.p if test else math.nan,
        "holm_p": test.adjusted_p if test else math.nan,
        "sign_flip_p": test.flip_p if test else math.nan,
        "win": test.win.estimate if test else math.nan,
        "win_low": test.win.low if test else math.nan,
        "win_high": test.win.high if test else math.nan,
        "smallest_detectable_difference": test.detectable if test else math.nan,
        "margin": test.margin if test else math.nan,
        "holm_beyond_margin_p": test.adjusted_beyond_p if test else math.nan,
        "holm_equivalence_p": test.adjusted_equivalence_p if test else math.nan,
        "reading": verdict_of(test, decimals).sentence if test else "baseline",
    }


def _searched(row: VariantRow) -> dict[str, object]:
    """What the search chose and saw, and the results at the shared values."""
    if row.shared is None:
        return {}
    chosen = row.chosen.settings if row.chosen else {}
    edges = row.chosen.edges if row.chosen else {}
    shared = row.shared_difference or _NOTHING
    return {
        **{f"chosen_{leaf(key)}": value for key, value in chosen.items()},
        "at_edge": ", ".join(factor_label(key) for key in sorted(edges)),
        "shared_loss_mean": row.shared.mean,
        "shared_loss_sd": row.shared.sd,
        "shared_n": row.shared.n,
        "shared_difference_mean": shared.mean,
        "shared_difference_low": shared.low,
        "shared_difference_high": shared.high,
        "lowest_search_loss": row.search.lowest if row.search else math.nan,
        "sensitivity": row.search.sensitivity if row.search else math.nan,
    }
