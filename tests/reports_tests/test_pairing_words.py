"""What is said of pairing while some seeds have no runs, or too few."""

import re

import pytest

from reports.analysis.pairing import collect_pairing
from reports.sections.pairing_words import pairing_sentences
from studies.digests import InitialValue, parameter_entries
from studies.plan import Choice
from tests.reports_tests.conftest import grid_study
from tests.reports_tests.test_pairing import FACTORS, VARIANTS, Change, results_of


def said(change: Change, seeds: int = 3) -> str:
    plan = grid_study(tuple(range(seeds)), FACTORS, report={})
    return " ".join(pairing_sentences(collect_pairing(results_of(plan, change))))


@pytest.mark.parametrize("late", [(), VARIANTS[:1]])
def test_a_seed_with_one_run_or_none_is_not_counted(late):
    text = said(lambda run, digests: digests if run.seed < 2 or run.variant in late else None)
    rest = "2 of 3 seeds (of the rest too few runs say so)"
    assert f"At {rest} all variants had the same training batches" in text
    assert f"At {rest} all variants had the same evaluation tokens" in text
    assert "4 of 4 parameters that variants share by name and shape" in text
    assert f"start from equal values at {rest}." in text
    assert f"{6 - len(late)} compared runs left no digest" in text


def test_where_every_run_says_so_it_is_said_of_each_seed():
    text = said(lambda run, digests: digests)
    batches = (
        "At each seed all variants had the same training batches, by the digests of their runs"
    )
    [steps] = re.findall(rf"{batches} \(compared up to step (\d+)\)\.", text)
    assert int(steps) > 0
    assert "start from equal values at each seed." in text


def test_where_a_variant_left_no_digest_nothing_is_said_of_all():
    text = said(lambda run, digests: None if run.variant == VARIANTS[0] else digests)
    assert "At each seed all variants that left a digest had the same training batches" in text


def test_parameters_are_counted_over_all_seeds():
    def change(run, digests):
        """Few share little at seed 1; the shared one starts elsewhere there."""
        if run.seed == 0:
            return digests
        other = parameter_entries({"embedding": InitialValue((256, 64), run.variant)})
        return digests | other if run.variant in ("gelu-layer", "swiglu-none") else None

    text = said(change, seeds=2)
    assert "3 of 4 parameters that variants share" in text
    assert "at each seed; embedding do not." in text


def test_with_no_runs_nothing_is_known():
    text = said(lambda run, digests: None)
    assert "Whether variants had the same training batches is not known" in text
    assert "Whether variants start from equal values is not known" in text


def test_variants_that_wait_for_their_choice_are_not_among_all():
    sweep = {"kind": "sweep", "values": {"training.batch_size": (8, 16)}, "seeds": (7, 8)}
    factors = {"model.norm": ("layer", "none", "rms")}
    plan = grid_study(
        (0,), factors, report={}, protocol={"search": sweep}, training={"batch_size": 8}
    )
    settings = {"training.batch_size": 8}
    choices = {v: Choice(settings=settings, trial=0, loss=1.0, edges={}) for v in ("layer", "none")}
    pairing = collect_pairing(results_of(plan.model_copy(update={"choices": choices})))
    assert pairing.waiting == ("rms",)
    assert "all variants that left a digest had" in pairing_sentences(pairing)[0]
