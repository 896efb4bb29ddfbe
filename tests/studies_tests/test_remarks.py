import pytest

from studies.remarks import remarks
from tests.studies_tests.helpers import plan_of

SHORT = {"training": {"max_steps": 40, "warmup_steps": 0}}
WITHIN = {"log_every_steps": 10, "evaluate_every_steps": 40, "probe_every_steps": 40}


def remarks_of(diagnostics, **raw):
    return remarks(plan_of(**SHORT, diagnostics={**WITHIN, **diagnostics}, **raw))


def test_cadences_that_come_round_are_no_matter():
    assert remarks_of({}) == []


@pytest.mark.parametrize(
    ("diagnostics", "words"),
    [
        ({"log_every_steps": 41}, "log_every_steps = 41 is more than training.max_steps = 40"),
        ({"evaluate_every_steps": 50}, "at the start, at the early step and at the end alone"),
        ({"probe_every_steps": 50}, "probe_every_steps = 50"),
        ({"rare_every_steps": 50}, "rare_every_steps = 50"),
        ({"every_steps": {"attention": 50}}, "every_steps.attention = 50"),
    ],
)
def test_a_cadence_longer_than_the_run_is_told(diagnostics, words):
    [remark] = remarks_of(diagnostics)
    assert remark.startswith("diagnostics.")
    assert words in remark


@pytest.mark.parametrize(
    "diagnostics",
    [
        {"enabled": []},
        {"enabled": ["gradient_norms"]},
        {"enabled": ["attention"], "every_steps": {"attention": 10}},
    ],
)
def test_a_cadence_that_nothing_goes_by_is_no_matter(diagnostics):
    assert remarks_of({**diagnostics, "probe_every_steps": 50, "rare_every_steps": 50}) == []


def test_cells_with_shorter_runs_are_told_once():
    factors = {"training.max_steps": [20, 40], "model.norm": ["layer", "rms"]}
    found = remarks_of({"probe_every_steps": 30, "evaluate_every_steps": 20}, factors=factors)
    [remark, budgets] = found
    assert "training.max_steps = 20" in remark
    assert budgets.startswith("budgets differ: ")
    assert "protocol.unequal_budgets" in budgets


def test_maps_of_diagnostics_that_are_off():
    report = {"layer_maps": ["gradient_norm", "sliced_w1/residual"]}
    [remark] = remarks_of({}, report=report)
    assert "sliced_w1/residual, which only the diagnostic sliced_wasserstein records" in remark
    assert remarks_of({"enabled": ["gradient_norms", "sliced_wasserstein"]}, report=report) == []


def test_maps_that_nobody_asked_for_are_no_matter():
    assert remarks_of({"enabled": []}) == []


def test_a_budget_in_minutes_asks_for_a_machine_of_its_own():
    raw = {"diagnostics": {"evaluate_every_steps": 10**6}, "protocol": {"budget": {"minutes": 5}}}
    [remark] = remarks(plan_of(**raw))
    assert "one worker for each device" in remark
    module = {"import_path": "some.package:Model"}
    _, own = remarks(plan_of(**raw, module=module))
    assert "take max_minutes" in own


@pytest.mark.parametrize(
    ("stage", "seen", "options", "told"),
    [
        ("search", 4, {}, True),
        ("search", 4, {"n_startup_trials": 2}, False),
        ("search", 6, {}, False),
        ("report", 4, {"n_startup_trials": 4}, True),
        ("report", 4, {"n_startup_trials": 3}, False),
    ],
)
def test_a_pruner_that_waits_for_more_runs_than_there_are_is_told(stage, seen, options, told):
    rates = [1e-3 * (place + 1) for place in range(seen)]
    search = {"kind": "sweep", "values": {"training.learning_rate": rates}}
    pruning = {"pruner": "median", "stage": stage, "options": options}
    norms = {"model.norm": ["layer", "rms"]}
    found = remarks_of({}, factors=norms, protocol={"search": search, "pruning": pruning})
    assert any("protocol.pruning ends nothing" in line for line in found) is told
