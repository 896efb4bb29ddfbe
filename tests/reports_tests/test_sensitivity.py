"""Which runs the sensitivity to the learning rate is of, and what each counts for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reports.analysis.search_results import collect
from reports.figures.drawing import PAGE, draw_files
from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from reports.sections.contents import SECTIONS
from studies.metrics import FINAL_LOSS, INITIAL_LOSS
from studies.records import Outcome
from tests.reports_tests.searched import INITIAL, RATE, searched

NORMS = {"model.norm": ["layer", "rms"]}
RATES = [1e-3, 3e-3, 1e-2]
SWEEP = {"kind": "sweep", "values": {RATE: RATES}, "seeds": 2, "extend": 0}


def study() -> StudyResults:
    def loss(variant, settings, seed):
        return (2.0 if variant == "layer" else 1.0) + 10 * settings[RATE]

    return searched(loss, factors=NORMS, seeds=2, protocol={"search": SWEEP})


def test_rates_that_an_extension_tried_at_one_setting_of_other_keys_are_no_part_of_s():
    """The best is the highest rate with the shorter warm-up, so the next rate is tried with it."""

    def both(variant, settings, seed):
        return 3.0 - 20 * settings[RATE] + settings["training.warmup_steps"] / 100

    values = {RATE: [1e-3, 1e-2], "training.warmup_steps": [50, 20]}
    search = {"kind": "sweep", "values": values, "seeds": 1, "extend": 1}
    results = searched(both, factors=NORMS, seeds=2, protocol={"search": search})
    assert {e.key for e in results.plan.extensions} == {RATE, "training.warmup_steps"}
    data = collect(results)
    assert (data.tried, data.beyond) == (2, 1)
    losses = [3.0 - 20 * rate + 0.2 for rate in values[RATE]]
    for row in data.rows:
        assert row.sensitivity == pytest.approx(np.mean(losses) - min(losses))
        assert row.by_seed == pytest.approx((row.sensitivity,))
        assert row.lowest < min(losses)
    caption = SECTIONS["search"].render(data).tables[0].caption
    assert "the mean over 2 learning rates of that loss less the lowest of them" in caption
    assert "; 1 further rate, tried at one setting of warmup steps alone, left out." in caption


def test_rates_that_an_extension_tried_are_part_of_s_where_nothing_else_was_swept():
    results = searched(
        lambda v, settings, seed: 4 - 10 * settings[RATE],
        factors=NORMS,
        seeds=2,
        protocol={"search": SWEEP | {"extend": 1}},
    )
    data = collect(results)
    assert (data.tried, data.beyond) == (4, 0)
    rates = [*RATES, 3.33e-2]
    assert data.rows[0].sensitivity == pytest.approx(10 * (max(rates) - np.mean(rates)))
    assert "left out" not in SECTIONS["search"].render(data).tables[0].caption


def unknown_initial(results: StudyResults, variant: str, *, everywhere: bool) -> StudyResults:
    """The first rate diverges for a variant before its first evaluation."""
    runs = {run.run_key: run for run in results.plan.runs}
    records = {}
    for key, record in results.records.items():
        run = runs[key]
        if run.variant == variant and run.stage == "search" and run.settings.get(RATE) == 1e-2:
            record = record.model_copy(update={"outcome": Outcome.DIVERGED, "summary": {}})
        elif run.variant == variant and everywhere:
            kept = {FINAL_LOSS: record.summary[FINAL_LOSS]}
            record = record.model_copy(update={"summary": kept})
        records[key] = record
    return assemble(results.plan, records, {})


def test_a_diverged_run_counts_as_the_initial_loss_of_the_other_runs_of_its_variant():
    results = unknown_initial(study(), "rms", everywhere=False)
    shifted = {
        key: record.model_copy(update={"summary": record.summary | {INITIAL_LOSS: INITIAL + 1}})
        if record.variant == "rms" and record.seed == 10000 and record.summary
        else record
        for key, record in results.records.items()
    }
    results = assemble(results.plan, shifted, {})
    known = [r.summary[INITIAL_LOSS] for r in shifted.values()
             if r.variant == "rms" and r.summary]  # fmt: skip
    initial = sum(known) / len(known)
    assert INITIAL < initial < INITIAL + 1
    data = collect(results)
    assert data is not None
    losses = [1.01, 1.03, initial]
    assert data.rows[1].lowest == pytest.approx(1.01)
    assert data.rows[1].sensitivity == pytest.approx(sum(losses) / 3 - 1.01)


def test_where_no_run_knows_its_initial_loss_what_a_diverged_run_counts_for_is_not_known():
    data = collect(unknown_initial(study(), "rms", everywhere=True))
    assert data is not None
    [layer, rms] = data.rows
    assert math.isfinite(layer.sensitivity)
    assert rms.diverged == 2
    assert math.isnan(rms.sensitivity)
    assert math.isnan(rms.lowest)
    assert data.points["loss"].max() < 10
    exhibits = SECTIONS["search"].render(data)
    assert [cell.text for cell in exhibits.tables[0].rows[1].cells[2:4]] == ["–", "–"]
    assert draw_files(exhibits.figures[0].draw, PAGE, ["svg"])["svg"]
