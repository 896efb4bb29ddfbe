import math
from pathlib import Path

import pytest
from scipy import stats

from ablations.aggregates import log_aggregates, variant_aggregate
from ablations.tracking import Tracking
from ablations.tracking_store import default_tracking_uri
from studies.metrics import FINAL_LOSS
from studies.plan import Plan
from studies.records import Leak, Outcome, RunRecord
from tests.ablations_tests.tiny_studies import queue


def record(seed: int, outcome: Outcome, loss: float | None = None, variant: str = "v") -> RunRecord:
    summary = {} if loss is None else {FINAL_LOSS: loss}
    return RunRecord(
        run_key=f"{seed:016x}",
        study="s",
        variant=variant,
        seed=seed,
        levels={},
        attempt=seed,
        outcome=outcome,
        summary=summary,
    )


def test_mean_sd_interval_and_survival_of_three_seeds() -> None:
    losses = [2.0, 2.5, 3.5]
    values = variant_aggregate(
        [record(i, Outcome.COMPLETED, loss) for i, loss in enumerate(losses)], confidence=0.9
    )
    low, high = stats.t.interval(0.9, 2, loc=8 / 3, scale=stats.sem(losses))
    assert values[FINAL_LOSS] == pytest.approx(8 / 3)
    assert values["aggregate/val_loss_sd"] == pytest.approx(math.sqrt(7 / 12))
    assert values["aggregate/val_loss_low"] == pytest.approx(low)
    assert values["aggregate/val_loss_high"] == pytest.approx(high)
    assert (values["aggregate/completed"], values["aggregate/survival"]) == (3, 1)


def test_spread_needs_two_seeds() -> None:
    values = variant_aggregate([record(0, Outcome.COMPLETED, 2.0)], confidence=0.95)
    assert values[FINAL_LOSS] == 2.0
    assert not any(name.startswith("aggregate/val_loss") for name in values)


def test_the_mean_is_over_survivors_and_says_how_many() -> None:
    records = [
        record(0, Outcome.COMPLETED, 2.0),
        record(1, Outcome.DIVERGED, 9.0),
        record(2, Outcome.FAILED),
        record(3, Outcome.COMPLETED, 4.0),
    ]
    values = variant_aggregate(records, confidence=0.95)
    assert values[FINAL_LOSS] == 3.0
    counts = {k: values[f"aggregate/{k}"] for k in ("completed", "ended", "diverged", "failed")}
    assert counts == {"completed": 2, "ended": 4, "diverged": 1, "failed": 1}
    assert values["aggregate/survival"] == 0.5


def test_no_survivor_no_mean() -> None:
    values = variant_aggregate([record(0, Outcome.DIVERGED, 9.0)], confidence=0.95)
    assert FINAL_LOSS not in values
    assert values["aggregate/survival"] == 0
    assert "aggregate/survival" not in variant_aggregate([], confidence=0.95)


def test_the_store_shows_the_last_mean_also_when_it_is_the_smaller_one(tmp_path: Path) -> None:
    plan, directory, _ = queue(tmp_path)
    tracking = Tracking(default_tracking_uri(tmp_path))
    study = tracking.open_study(plan, directory.path)
    variant = plan.cells[0].variant
    run_id = study.variant_run_ids[variant]
    keys = [run.run_key for run in plan.runs if run.variant == variant]
    first = record(0, Outcome.COMPLETED, 3.0, variant).model_copy(
        update={"run_key": keys[0], "leak": Leak.CAUSAL}
    )
    log_aggregates(tracking, study, plan, [first])
    run = tracking.client.get_run(run_id)
    assert (run.data.metrics[FINAL_LOSS], run.info.status) == (3.0, "RUNNING")
    assert run.data.tags["leak"] == "causal"
    second = record(1, Outcome.COMPLETED, 2.0, variant)
    both = [first, second.model_copy(update={"run_key": keys[1]})]
    log_aggregates(tracking, study, plan, both)
    run = tracking.client.get_run(run_id)
    assert (run.data.metrics[FINAL_LOSS], run.info.status) == (2.5, "FINISHED")
    assert tracking.client.get_run(study.study_run_id).info.status == "RUNNING"
    assert_same_again(tracking, plan, both, run_id)


def assert_same_again(
    tracking: Tracking, plan: Plan, records: list[RunRecord], run_id: str
) -> None:
    """Summing up a second time adds nothing."""
    before = tracking.client.get_metric_history(run_id, FINAL_LOSS)
    folder = Path(tracking.uri.removeprefix("sqlite:///")).parent / plan.study.name
    log_aggregates(tracking, tracking.open_study(plan, folder), plan, records)
    assert tracking.client.get_metric_history(run_id, FINAL_LOSS) == before
