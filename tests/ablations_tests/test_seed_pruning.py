"""Which seeds are given up, from records alone; and how that is told the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ablations.driver import Driver, RunSettings
from ablations.listing import statuses_of
from ablations.search import SearchKeeper
from ablations.seed_pruning import give_up_seeds, hopeless
from ablations.tracking_store import default_tracking_uri
from studies.metrics import FINAL_LOSS, INITIAL_LOSS
from studies.plan import Plan, PlannedRun
from studies.records import Outcome, RunRecord
from studies.search import advance
from tests.ablations_tests.pruned_studies import RATE
from tests.ablations_tests.tiny_studies import backdate, keys_of, queue, trials, work
from tests.studies_tests.helpers import plan_of

FACTORS = {"model.norm": ["layer", "rms", "group"]}
WILCOXON = {"pruner": "wilcoxon", "stage": "report"}


def plan_with(seeds: int = 6, **options: Any) -> Plan:
    pruning = {**WILCOXON, "options": options}
    return plan_of(factors=FACTORS, seeds=seeds, protocol={"pruning": pruning})


def record(run: PlannedRun, loss: float, outcome: Outcome = Outcome.COMPLETED) -> RunRecord:
    summary = {INITIAL_LOSS: 5.0, FINAL_LOSS: loss}
    return RunRecord(
        run_key=run.run_key, study="some", variant=run.variant, seed=run.seed, levels={},
        attempt=0, outcome=outcome, summary=summary if outcome is Outcome.COMPLETED else {},
    )  # fmt: skip


def given_up(plan: Plan, records: Mapping[str, RunRecord]) -> set[tuple[str, int]]:
    """Variant and seed of the runs without a record that are given up."""
    pruning = plan.study.protocol.pruning
    assert pruning is not None
    keys = hopeless(plan, pruning, records.get)
    assert keys == hopeless(plan, pruning, dict(reversed(records.items())).get)
    return {(r.variant, r.seed) for r in plan.runs if r.run_key in keys - records.keys()}


def records_of(plan: Plan, losses: Mapping[str, list[float]]) -> dict[str, RunRecord]:
    """Records of the first seeds of each variant."""
    return {
        run.run_key: record(run, losses[run.variant][run.seed] + 0.01 * run.seed)
        for run in plan.runs
        if run.seed < len(losses.get(run.variant, []))
    }


def test_the_waiting_seeds_of_a_worse_variant_are_given_up() -> None:
    plan = plan_with()
    losses = {"layer": [2.0] * 6, "rms": [2.1, 2.2, 2.15, 2.3], "group": [2.1, 1.9, 2.1, 1.8]}
    assert given_up(plan, records_of(plan, losses)) == {("rms", 4), ("rms", 5)}


@pytest.mark.parametrize(
    "losses",
    [
        {"layer": [2.0] * 5, "rms": [2.1, 2.2, 2.15, 2.3]},  # nothing has ended on all seeds
        {"layer": [2.0] * 6, "rms": [2.1, 2.2, 2.15]},  # three pairs give no p below 0.125
        {"layer": [2.0] * 6, "rms": [1.9, 1.8, 1.7, 1.9]},
        {},
    ],
    ids=["no rival", "too few", "better", "nothing"],
)
def test_nothing_is_given_up_before_that_is_known(losses: dict[str, list[float]]) -> None:
    plan = plan_with()
    assert given_up(plan, records_of(plan, losses)) == set()


def test_options_reach_the_pruner() -> None:
    losses = {"layer": [2.0] * 7, "rms": [2.1, 2.2, 2.15, 2.3]}
    for options in ({"p_threshold": 0.05}, {"n_startup_steps": 5}):
        plan = plan_with(7, **options)
        assert given_up(plan, records_of(plan, losses)) == set()


def test_failed_and_given_up_runs_are_no_pairs() -> None:
    plan = plan_with()
    records = records_of(plan, {"layer": [2.0] * 6, "rms": [2.1, 2.2, 2.15, 2.3]})
    [failed] = [run for run in plan.runs if (run.variant, run.seed) == ("rms", 3)]
    for outcome in (Outcome.FAILED, Outcome.PRUNED):
        records[failed.run_key] = record(failed, 2.3, outcome)
        assert given_up(plan, records) == set()
    [lost] = [run for run in plan.runs if (run.variant, run.seed) == ("layer", 5)]
    records[failed.run_key] = record(failed, 2.3)
    records[lost.run_key] = record(lost, 2.0, Outcome.FAILED)
    assert given_up(plan, records) == set()


def test_the_baseline_is_trained_first_so_that_there_is_something_to_be_worse_than() -> None:
    first = [run.variant for run in plan_with().runs[:7]]
    assert first == ["layer"] * 6 + ["rms"]


def test_a_search_gives_up_settings_and_chooses_among_the_others() -> None:
    search = {"kind": "sweep", "values": {RATE: [1e-3, 1e-2]}, "seeds": 5, "extend": 0}
    pruning = {"pruner": "wilcoxon"}
    plan = plan_of(factors=FACTORS, seeds=1, protocol={"search": search, "pruning": pruning})
    records: dict[str, RunRecord] = {}
    for run in plan.runs:
        worse = run.settings.get(RATE) == 1e-2
        if run.stage == "search" and not (run.variant == "rms" and worse and run.seed == 10004):
            records[run.run_key] = record(run, 2.5 if worse else 2.0)
    assert given_up(plan, records) == {("rms", 10004)}
    assert advance(plan, records.get, lambda *_: []) is plan
    for run in plan.runs:
        if run.stage == "search" and run.run_key not in records:
            pruned = {"pruned_by": plan.pruner("search")}
            records[run.run_key] = record(run, 0.0, Outcome.PRUNED).model_copy(update=pruned)
    plan = advance(plan, records.get, lambda *_: [])
    assert {choice.settings[RATE] for choice in plan.choices.values()} == {1e-3}


def test_a_run_of_two_columns_is_given_up_where_both_give_it_up() -> None:
    search = {"kind": "sweep", "values": {RATE: [1e-3, 1e-2]}, "seeds": 1, "extend": 0}
    plan = plan_of(
        factors={"model.norm": ["layer", "rms"]}, seeds=5, training={"learning_rate": 1e-3},
        protocol={"search": search, "pruning": WILCOXON},
    )  # fmt: skip
    best = {"layer": 1e-2, "rms": 1e-3}

    def loss(run: PlannedRun, shared_of_layer: float) -> float:
        rate = run.settings.get(RATE, 1e-3)
        if run.variant == "rms":
            return 2.5 if rate == 1e-3 else 3.0
        return 2.0 if rate == best["layer"] else shared_of_layer

    for shared_of_layer, expected in ((2.2, {("rms", 4)}), (2.9, set())):
        found = plan
        records: dict[str, RunRecord] = {}
        for _ in range(2):
            for run in found.runs:
                if (run.variant, run.seed) != ("rms", 4):
                    records[run.run_key] = record(run, loss(run, shared_of_layer))
            found = advance(found, records.get, lambda *_: [])
        both = [run for run in found.runs if (run.variant, run.seed) == ("rms", 4)]
        assert [found.columns_of(run) for run in both] == [("tuned", "shared")]
        assert given_up(found, records) == expected


def test_what_is_given_up_is_ended_once_and_never_trained(tmp_path: Path) -> None:
    plan, directory, ledger = queue(
        tmp_path, factors={"model.norm": ["layer", "rms"]}, seeds=6, protocol={"pruning": WILCOXON}
    )
    losses = {"layer": [2.0] * 6, "rms": [2.1, 2.2, 2.15, 2.3]}
    for run in plan.runs:
        if run.seed < len(losses[run.variant]):
            claim = ledger.claim([run.run_key])
            directory.run(run.run_key).publish(record(run, losses[run.variant][run.seed]))
            claim.complete(Outcome.COMPLETED, 2.0)
    [taken, left] = [run for run in plan.runs if run.variant == "rms" and run.seed > 3]
    claim = ledger.claim([taken.run_key])
    for _ in range(2):
        give_up_seeds(plan, SearchKeeper(directory).record, directory, ledger)
    states = {key: status.state.value for key, status in statuses_of(plan, directory).items()}
    assert states[left.run_key] == "pruned"
    assert states[taken.run_key] == "running"
    assert len(trials(directory)) == len(plan.runs)
    backdate(directory.run(taken.run_key).attempt(claim.attempt), 30)
    claim.release("enough")
    driver = Driver(plan, RunSettings(tmp_path, default_tracking_uri(tmp_path)))
    summary = driver.run(lambda _: None)
    assert summary.progress.line() == "12/12 runs ended, 0 diverged, 2 pruned, 0 failed, 0 running"
    for run, spent_s in ((taken, 30), (left, 0)):
        ended = directory.run(run.run_key)
        found = ended.record()
        assert found is not None
        assert (found.outcome, found.summary) == (Outcome.PRUNED, {})
        assert found.wall_time_s == pytest.approx(spent_s, abs=1)
        assert ended.spec_path.exists()
        assert ended.history_path.exists()


def test_a_worker_trains_no_seed_that_what_it_trained_before_gives_up(tmp_path: Path) -> None:
    pruning = {**WILCOXON, "options": {"p_threshold": 0.3}}
    factors = {"training.learning_rate": [1e-2, 1e-6]}
    _, directory, _ = queue(tmp_path, factors=factors, seeds=3, protocol={"pruning": pruning})
    work(directory)
    plan = directory.load_plan()
    found = {(r.variant, r.seed): directory.run(r.run_key).record() for r in plan.runs}
    pruned = {place for place, r in found.items() if r and r.outcome is Outcome.PRUNED}
    [slow] = {run.variant for run in plan.runs} - {plan.baseline}
    assert pruned == {(slow, 2)}


def test_other_pruners_give_no_seed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pruning = {"pruner": "median", "stage": "report"}
    plan, directory, ledger = queue(tmp_path, protocol={"pruning": pruning})
    monkeypatch.setattr("ablations.seed_pruning.hopeless", None)
    give_up_seeds(plan, SearchKeeper(directory).record, directory, ledger)
    assert {s.state.value for s in ledger.statuses(keys_of(plan)).values()} == {"waiting"}
