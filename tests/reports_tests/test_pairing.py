from __future__ import annotations

from collections.abc import Callable

import pytest

from reports.analysis.pairing import Pairing, UnequalStart, collect_pairing
from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from studies.digests import InitialValue, parameter_entries, training_entries
from studies.plan import Choice, Plan, PlannedRun
from studies.records import Outcome, RunRecord
from tests.reports_tests.conftest import grid_study
from tests.reports_tests.given_weights import from_weights

FACTORS = {"model.activation": ("gelu", "relu", "swiglu"), "model.norm": ("layer", "none")}
VARIANTS = ("gelu-layer", "gelu-none", "relu-layer", "relu-none", "swiglu-layer", "swiglu-none")

Digests = dict[str, str]
Change = Callable[[PlannedRun, Digests], Digests | None]


def as_recorded(plan: Plan, run: PlannedRun) -> Digests:
    """What a run would record if all were as it should be."""
    spec = plan.spec(run)
    data = f"{spec.data_seed} {spec.training.batch_size} {spec.model.context_length}"
    hidden = 171 if spec.model.activation == "swiglu" else 256
    values = {
        "embedding": InitialValue((256, 64), f"e{spec.initialization_seed}"),
        "input": InitialValue((hidden, 64), f"i{hidden}"),
    }
    if spec.model.norm != "none":
        values["gain"] = InitialValue((64,), "ones")
    return {
        **training_entries({steps: f"{data} {steps}" for steps in (1, 2, 4, 8, 16, 20)}),
        "evaluation_data": f"{spec.model.context_length} {spec.data.evaluation_tokens}",
        "probe_data": f"{spec.model.context_length} {spec.diagnostics.probe_tokens}",
        **parameter_entries(values),
    }


def results_of(plan: Plan, change: Change = lambda run, digests: digests) -> StudyResults:
    """The results of a plan; no record where `change` makes None of the digests."""
    records = {}
    for run in plan.runs:
        digests = change(run, as_recorded(plan, run))
        if digests is not None:
            records[run.run_key] = RunRecord(
                run_key=run.run_key,
                study=plan.study.name,
                variant=run.variant,
                seed=run.seed,
                levels=plan.cell(run.variant).levels,
                attempt=0,
                outcome=Outcome.COMPLETED,
                digests=digests,
            )
    return assemble(plan, records, {})


def pairing(change: Change = lambda run, digests: digests, **settings: object) -> Pairing:
    plan = grid_study((0, 1), FACTORS, report={}, **settings)
    return collect_pairing(results_of(plan, change))


def changed(variant: str, **entries: object) -> Change:
    """The digests of a variant's runs at seed 0 with others in their place."""

    def change(run: PlannedRun, digests: Digests) -> Digests:
        return digests | entries if (run.variant, run.seed) == (variant, 0) else digests

    return change


def test_runs_that_share_everything_are_one_set():
    found = pairing()
    assert found.column == "shared"
    assert [seed.seed for seed in found.seeds] == [0, 1]
    for seed in found.seeds:
        for data in (seed.training, seed.evaluation, seed.probe):
            assert data.sets == (VARIANTS,)
            assert data.same is True
            assert data.as_designed
            assert (data.unknown, data.varied) == ((), ())
        assert seed.training_steps == 20


def test_what_has_one_name_and_two_shapes_is_not_shared():
    start = pairing().seeds[0].start
    assert (start.parameters, start.shared, start.equal) == (4, 4, 4)
    only = grid_study((0,), {"model.activation": ("gelu", "swiglu")}, report={})
    (seed,) = collect_pairing(results_of(only)).seeds
    # The two inputs have one name; embedding and gain are shared.
    assert (seed.start.parameters, seed.start.shared, seed.start.equal) == (4, 2, 2)
    assert seed.start.unequal == ()


def test_a_parameter_that_starts_elsewhere_is_named_with_its_variants():
    change = changed(
        "relu-none", **parameter_entries({"embedding": InitialValue((256, 64), "other")})
    )
    first, second = pairing(change).seeds
    others = tuple(name for name in VARIANTS if name != "relu-none")
    assert first.start.unequal == (UnequalStart("embedding", (256, 64), (others, ("relu-none",))),)
    assert (first.start.shared, first.start.equal) == (4, 3)
    assert (second.start.shared, second.start.equal) == (4, 4)
    assert first.training.same


def test_other_data_that_nothing_asked_for_is_not_as_designed():
    change = changed("gelu-layer", **{"training_data/20": "x", "evaluation_data": "y"})
    first, second = pairing(change).seeds
    for data in (first.training, first.evaluation):
        assert data.sets == (VARIANTS[1:], VARIANTS[:1])
        assert data.same is False
        assert not data.as_designed
        assert data.varied == ()
    assert first.probe.same
    assert second.training.same
    assert second.evaluation.same


def test_a_run_that_stopped_early_is_compared_as_far_as_it_went():
    def stopping(names: set[str], last: str) -> Change:
        def change(run: PlannedRun, digests: Digests) -> Digests:
            if run.variant not in names:
                return digests
            late = {"training_data/8", "training_data/16", "training_data/20"}
            kept = {key: value for key, value in digests.items() if key not in late}
            return kept | {"training_data/4": last}

        return change

    first, _ = pairing(stopping({"relu-none"}, "0 16 64 4")).seeds
    assert first.training.same
    assert first.training_steps == 4
    everyone = {run.variant for run in grid_study((0, 1), FACTORS, report={}).runs}
    first, _ = pairing(stopping(everyone, "0 16 64 4")).seeds
    assert first.training_steps == 4
    first, _ = pairing(stopping({"relu-none"}, "else")).seeds
    assert first.training.same is False
    assert first.training_steps == 20


def test_runs_without_digests_are_unknown_and_the_others_compared():
    def change(run: PlannedRun, digests: Digests) -> Digests | None:
        return {"relu-layer": None, "gelu-none": {}}.get(run.variant, digests)

    for seed in pairing(change).seeds:
        for data in (seed.training, seed.evaluation, seed.probe):
            assert data.unknown == ("gelu-none", "relu-layer")
            assert data.same is True
        assert seed.start.unknown == ("gelu-none", "relu-layer")
        assert seed.start.equal == 4


@pytest.mark.parametrize("left", [0, 1])
def test_with_fewer_than_two_runs_nothing_can_be_said(left):
    found = pairing(lambda run, digests: digests if run.variant in VARIANTS[:left] else None)
    for seed in found.seeds:
        assert seed.training.same is None
        assert seed.training.as_designed
        assert seed.training_steps is None
        assert len(seed.training.unknown) == 6 - left
        assert (seed.start.shared, seed.start.equal) == (0, 0)


@pytest.mark.parametrize(
    ("key", "levels", "differ"),
    [
        ("training.batch_size", (8, 16), {"training"}),
        ("training.data_seed", (3, 4), {"training"}),
        ("model.context_length", (16, 32), {"training", "evaluation", "probe"}),
        ("data.evaluation_tokens", (128, 256), {"evaluation"}),
        ("diagnostics.probe_tokens", (128, 256), {"probe"}),
    ],
)
def test_a_factor_that_decides_the_data_is_named(key, levels, differ):
    plan = grid_study((0, 1), {"model.norm": ("layer", "none"), key: levels}, report={})
    for seed in collect_pairing(results_of(plan)).seeds:
        for name in ("training", "evaluation", "probe"):
            data = getattr(seed, name)
            assert data.as_designed
            assert data.same is (name not in differ)
            assert data.varied == ((key,) if name in differ else ())
            assert sorted(map(len, data.sets)) == ([2, 2] if name in differ else [4])
        assert seed.training_steps == 20


def test_a_factor_that_decides_the_data_excuses_no_other_difference():
    plan = grid_study(
        (0,), {"model.norm": ("layer", "none"), "training.batch_size": (8, 16)}, report={}
    )
    first = plan.cells[0].variant
    (seed,) = collect_pairing(results_of(plan, changed(first, **{"training_data/20": "x"}))).seeds
    assert seed.training.varied == ("training.batch_size",)
    assert not seed.training.as_designed


def test_a_data_seed_that_is_the_runs_own_is_no_difference():
    plan = grid_study((0, 1), {"training.data_seed": (0, 5)}, report={})
    first, second = collect_pairing(results_of(plan)).seeds
    assert first.training.varied == second.training.varied == ("training.data_seed",)
    plan = grid_study((0, 1), {"training.data_seed": (None, 0)}, report={})
    first, second = collect_pairing(results_of(plan)).seeds
    assert (first.training.varied, first.training.same) == ((), True)
    assert (second.training.varied, second.training.same) == (("training.data_seed",), False)


def test_factors_that_change_initial_values_are_named_and_others_are_not():
    plan = grid_study(
        (0,),
        {"training.initialization_seed": (1, 2), "model.norm": ("layer", "dyt")},
        report={},
    )
    (seed,) = collect_pairing(results_of(plan)).seeds
    assert seed.start.varied == ("training.initialization_seed",)
    assert [parameter.name for parameter in seed.start.unequal] == ["embedding"]
    assert sorted(map(len, seed.start.unequal[0].sets)) == [2, 2]


def test_the_runs_of_a_column_are_compared_and_no_run_of_the_search():
    sweep = {"kind": "sweep", "values": {"training.batch_size": (8, 16)}, "seeds": (7, 8)}
    plan = grid_study(
        (0,),
        {"model.norm": ("layer", "none")},
        report={},
        protocol={"search": sweep},
        training={"batch_size": 32},
    )
    assert {run.stage for run in plan.runs} == {"search", "report"}
    assert collect_pairing(results_of(plan)).column == "shared"
    chosen = {"layer": 8, "none": 16}
    choices = {
        variant: Choice(settings={"training.batch_size": size}, trial=0, loss=1.0, edges={})
        for variant, size in chosen.items()
    }
    fresh = tuple(
        PlannedRun(
            run_key=plan.cell(variant).spec(0, choice.settings).run_key,
            variant=variant,
            seed=0,
            settings=choice.settings,
        )
        for variant, choice in choices.items()
    )
    plan = plan.model_copy(update={"choices": choices, "runs": plan.runs + fresh})
    results = results_of(plan)
    tuned, shared = collect_pairing(results), collect_pairing(results, "shared")
    assert (tuned.column, shared.column) == ("tuned", "shared")
    assert tuned.seeds[0].training.sets == (("layer",), ("none",))
    assert tuned.seeds[0].training.varied == ("training.batch_size",)
    assert tuned.seeds[0].training.as_designed
    assert shared.seeds[0].training.sets == (("layer", "none"),)


def test_studies_that_are_not_run_or_were_run_by_an_earlier_version_do_not_crash(grid):
    found = collect_pairing(grid)
    assert [seed.seed for seed in found.seeds] == [0, 1]
    assert all(len(seed.training.unknown) == 28 for seed in found.seeds)
    assert all(seed.start.parameters == 0 for seed in found.seeds)


def test_weights_are_what_changes_initial_values_and_not_how_they_would_be_drawn(small):
    some = from_weights(small, small.variants[0])
    assert {seed.start.varied for seed in collect_pairing(small).seeds} == {()}
    assert {seed.start.varied for seed in collect_pairing(some).seeds} == {("model.weights",)}
