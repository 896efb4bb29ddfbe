import pytest

from studies.errors import AblationError
from studies.hypotheses import Contrast
from studies.loading import load_study
from studies.planning import make_plan
from studies.remarks import remarks
from tests.studies_tests.helpers import plan_of, problems_of

FACTORS = {
    "model.activation": ["gelu", "swiglu"],
    "model.norm": ["layer", "none"],
    "model.placement": ["pre", "post"],
}
GATING = {
    "claim": "A gate helps",
    "of": {"model.activation": "swiglu"},
    "against": {"model.activation": ["gelu"]},
    "direction": "lower",
}


def contrast_of(factors=FACTORS, **changes):
    return plan_of(factors=factors, hypotheses={"h": {**GATING, **changes}}).contrasts["h"]


def test_cells_with_the_named_levels_are_compared():
    assert contrast_of() == Contrast(
        of=("swiglu-layer-pre", "swiglu-layer-post", "swiglu-none"),
        against=("gelu-layer-pre", "gelu-layer-post", "gelu-none"),
    )
    both = contrast_of(against={"model.activation": ["gelu", "swiglu"], "model.norm": "none"},
                       of={"model.norm": "layer", "model.placement": "pre"})  # fmt: skip
    assert both.against == ("gelu-none", "swiglu-none")


def test_a_cell_in_which_a_factor_means_nothing_is_not_compared_by_it():
    found = contrast_of(of={"model.placement": "post"}, against={"model.placement": "pre"})
    assert found.of == ("gelu-layer-post", "swiglu-layer-post")
    assert found.against == ("gelu-layer-pre", "swiglu-layer-pre")


def test_a_level_may_be_null_and_its_cell_be_merged():
    factors = {"training.gradient_clip_norm": [1.0, None]}
    found = contrast_of(
        factors,
        of={"training.gradient_clip_norm": None},
        against={"training.gradient_clip_norm": 1},
    )
    assert found.of == ("gradient_clip_norm=null",)
    factors = {"model.norm": ["group"], "model.norm_groups": [None, 2, 4]}  # null is 4
    found = contrast_of(factors, of={"model.norm_groups": 4}, against={"model.norm_groups": 2})
    assert found.of == contrast_of(
        factors, of={"model.norm_groups": None}, against={"model.norm_groups": 2}
    ).of  # fmt: skip


def test_excluded_cells_are_not_compared():
    exclude = [{"when": {"model.norm": "none"}, "because": "no"}]
    plan = plan_of(factors=FACTORS, exclude=exclude, hypotheses={"h": GATING})
    assert plan.contrasts["h"].of == ("swiglu-layer-pre", "swiglu-layer-post")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"of": {"model.norm": "none", "model.placement": "pre"}},
            "`of` names model.placement, which means nothing in gelu-none, swiglu-none",
        ),
        ({"of": {"model.norm": "layer"}}, "both match gelu-layer-pre, gelu-layer-post"),
    ],
)
def test_sets_that_compare_nothing_are_refused(changes, words):
    with pytest.raises(AblationError, match=f"hypothesis h: .*{words}"):
        contrast_of(**changes)


def test_a_set_that_matches_no_cell_is_refused_with_the_cells_there_are():
    design = {"kind": "one_at_a_time", "baseline": {k: v[0] for k, v in FACTORS.items()}}
    of = {"model.activation": "swiglu", "model.norm": "none"}
    with pytest.raises(
        AblationError, match=r"`of` matches no cell .*one of these has: gelu-layer-"
    ):
        plan_of(factors=FACTORS, design=design, hypotheses={"h": {**GATING, "of": of}})


@pytest.mark.parametrize("swap", [False, True])
def test_one_comparison_is_declared_once(swap):
    sides = (GATING["of"], GATING["against"])
    of, against = reversed(sides) if swap else sides
    other = {**GATING, "of": of, "against": against, "direction": "different"}
    with pytest.raises(AblationError, match="hypothesis b compares the same cells as a"):
        plan_of(factors=FACTORS, hypotheses={"a": GATING, "b": other})


@pytest.mark.parametrize(
    ("changes", "key", "allowed", "remedy"),
    [
        ({"of": {"model.nrm": "x"}}, "of.model.nrm", "a factor: ", "did you mean 'model.norm'"),
        ({"of": {"model.norm": "rms"}}, "of.model.norm", "a level of model.norm", "use one"),
        ({"against": {"model.norm": ["bach"]}}, "against.model.norm", "one of batch", "did you"),
        ({"of": {"model.norm": []}}, "of.model.norm", "at least one level", "name a level"),
        ({"of": {}}, "of", "at least 1 item", "change"),
        ({"direction": "equivalent"}, "margin", "nats per token", "margin: 0.01"),
        ({"direction": "lowr"}, "direction", "'lower', 'higher'", "did you mean 'lower'"),
        ({"seeds": 6}, "seeds", "seeds of the study: 5", "hypotheses.h.seeds=5"),
        ({"margin": 0}, "margin", "greater than 0", "change"),
        ({"claim": ""}, "claim", "at least 1 character", "change"),
        ({"margn": 0.1}, "margn", "keys of hypotheses.h: claim, of", "did you mean 'margin'"),
    ],
)
def test_what_is_wrong_is_told(changes, key, allowed, remedy):
    problems = problems_of(factors=FACTORS, hypotheses={"h": {**GATING, **changes}})
    problem = problems.pop(f"hypotheses.h.{key}")
    assert not problems
    assert allowed in problem.allowed
    assert remedy in problem.remedy


def test_a_name_has_no_dots():
    [problem] = problems_of(factors=FACTORS, hypotheses={"a.b": GATING}).values()
    assert "lower-case letters" in problem.allowed


def test_a_hypothesis_is_overridden_on_the_command_line():
    name = "hypotheses.swiglu-beats-relu"
    settings = [f"{name}.margin=0.3", f"{name}.against.model.activation=gelu"]
    plan = make_plan(load_study("glu-variants", settings).study)
    assert plan.study.hypotheses["swiglu-beats-relu"].margin == 0.3
    assert plan.contrasts["swiglu-beats-relu"] == Contrast(of=("swiglu",), against=("gelu",))


def test_hypotheses_ask_for_no_other_runs_and_a_report_reads_them_anew():
    before = plan_of(factors=FACTORS)
    after = plan_of(factors=FACTORS, hypotheses={"h": GATING})
    assert before.run_keys == after.run_keys
    read = before.reported_as(after)
    assert read is not None
    assert (read.study.hypotheses, read.contrasts) == (after.study.hypotheses, after.contrasts)


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({}, []),
        ({"of": {"model.norm": "layer"}, "against": {"model.norm": "none"}}, []),
        ({"against": {"model.activation": "gelu", "model.norm": "none"}}, ["model.norm"]),
        (
            {"of": {"model.activation": "swiglu", "model.placement": "post"}},
            ["model.norm", "model.placement"],
        ),
    ],
)
def test_a_factor_that_differs_between_the_sets_unnamed_is_noted(changes, keys):
    found = remarks(plan_of(factors=FACTORS, hypotheses={"h": {**GATING, **changes}}))
    words = "hypothesis h compares cells that differ in"
    assert [r.removeprefix(words).split()[0] for r in found if r.startswith(words)] == keys
