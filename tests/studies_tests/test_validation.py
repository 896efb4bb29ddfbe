import copy
import math
import random
from pathlib import Path

import pytest

from studies.diagnostics import LAYERED
from studies.errors import AblationError, InvalidStudy
from studies.loading import read_yaml, shipped_studies
from studies.planning import make_plan
from studies.validation import MAX_COMBINATIONS, validate
from tests.studies_tests.helpers import problems_of, study_of

BAD = {
    "name": "Bad Name",
    "quesion": "what?",
    "model": {"n_layers": 0, "n_heads": 3, "d_model": 64, "dropout": None, "actvation": "relu"},
    "data": {"corpus": "nowhere.txt", "tokenizer": "byte"},
    "training": {"learning_rate": "fast", "max_steps": True, "precision": "bf16"},
    "factors": {
        "model.norm": ["layer", "rmss", "group"],
        "model.norm_groups": [3, 4],
        "model.placment": ["pre"],
        "model.activation": [],
        "execution.devices": [1, 2],
        "model.bias": [[True]],
        "training.weight_decay": [0.1, 0.10],
        "module.arguments.hidden": [8],
        "diagnostics.enabled": ["gradient_norms"],
        "diagnostics.every_steps": [5],
    },
    "design": {"kind": "one_at_a_time", "baseline": 3},
    "exclude": [{"when": {"model.norm": ["layer", "bach"]}}],
    "seeds": 0,
    "report": {"baseline": {"model.nrom": "layer"}, "confidence": 2},
}

EXPECTED = {
    "name": ("Bad Name", "lower-case letters", "change"),
    "quesion": ("what?", "keys of a study: name, question", "did you mean 'question'"),
    "model.n_layers": (0, "greater than or equal to 1", "change"),
    "model.n_heads": (3, "a divisor of d_model: 1, 2, 4, 8, 16, 32, 64", "change n_heads or"),
    "model.dropout": (None, "number", "change"),
    "model.actvation": ("relu", "keys of model: n_layers", "did you mean 'activation'"),
    "data.corpus": ("nowhere.txt", "python-docs, python-stdlib, hub:", "correct the name"),
    "data.tokenizer": ("byte", "bytes, characters, bpe, or a path", "did you mean 'bytes'"),
    "training.learning_rate": ("fast", "number", "change"),
    "training.max_steps": (True, "a number", "write it in digits"),
    "training.precision": ("bf16", "'32-true', 'bf16-mixed'", "did you mean 'bf16-true'"),
    "factors.model.norm": ("rmss", "one of batch, batch_position", "did you mean 'rms'"),
    "factors.model.norm_groups": (3, "a divisor of d_model", "change norm_groups"),
    "factors.model.placment": (..., "such as model.norm", "did you mean 'model.placement'"),
    "factors.model.activation": ([], "at least one level", "list levels"),
    "factors.execution.devices": (..., "keys that make up a run", "remove the factor"),
    "factors.model.bias.0": ([True], "boolean or integer or number or text", "change"),
    "factors.training.weight_decay": ([0.1, 0.1], "each level once", "remove the repeats"),
    "factors.module.arguments.hidden": (..., "only with `module:`", "name a module"),
    "factors.diagnostics.enabled": ("gradient_norms", "a list", "change"),
    "factors.diagnostics.every_steps": (5, "a mapping", "change"),
    "design.baseline": (3, "a mapping", "change"),
    "exclude.0.because": (..., "a value is needed", "add exclude.0.because"),
    "seeds": (0, "a number of seeds from 1", "change"),
    "report.baseline.model.nrom": ("layer", "a factor: model.norm,", "did you mean 'model.norm'"),
    "report.confidence": (2, "less than 1", "change"),
}


def test_every_problem_is_reported_at_once_with_value_allowed_and_remedy():
    problems = problems_of(**BAD)
    assert set(problems) == set(EXPECTED)
    for key, (value, allowed, remedy) in EXPECTED.items():
        problem = problems[key]
        assert problem.source == "some.yaml"
        assert allowed in problem.allowed, key
        assert remedy in problem.remedy, key
        if value is not ...:
            assert problem.value == value
            assert f"{key} = {value!r}" in str(problem)


def test_every_key_is_reported_once():
    with pytest.raises(InvalidStudy) as caught:
        validate(BAD, lambda key: "some.yaml", Path())
    keys = [problem.key for problem in caught.value.problems]
    assert len(keys) == len(set(keys))
    for key in keys:
        assert f"some.yaml: {key}" in str(caught.value)


def test_the_input_is_left_alone():
    before = copy.deepcopy(BAD)
    problems_of(**BAD)
    assert before == BAD


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({"exclude": [{"when": {}, "because": "no"}]}, "exclude.0.when"),
        ({"exclude": 3}, "exclude"),
        ({"factors": 3}, "factors"),
        ({"factors": {"model.norm": "layer"}}, "factors.model.norm"),
        ({"factors": {"norm": ["layer"]}}, "factors.norm"),
        ({"model": {1: 2}}, "model.1"),
        ({"model": []}, "model"),
        ({"training": {"learning_rate": math.inf}}, "training.learning_rate"),
        ({"factors": {"training.learning_rate": [math.nan]}}, "factors.training.learning_rate.0"),
        ({"seeds": 10**12}, "seeds"),
        ({"seeds": [0, 0]}, "seeds"),
        ({"seeds": []}, "seeds"),
        ({"seeds": "many"}, "seeds"),
        ({"data": {"revision": 12e3}}, "data.revision"),
        ({"data": {"corpus": ""}}, "data.corpus"),
        ({"data": {"corpus": "a\0b"}}, "data.corpus"),
        ({"data": {"corpus": "~no-such-user-here/x"}}, "data.corpus"),
        ({"data": {"corpus": "x" * 5000}}, "data.corpus"),
        ({"diagnostics": {"enabled": ["gradient_norm"]}}, "diagnostics.enabled.0"),
        ({"module": {"import_path": "no colon"}}, "module.import_path"),
        ({"module": {"import_path": "absent.py:Model"}}, "module.import_path"),
        ({"module": {"import_path": "a:B", "arguments": {"x": [1]}}}, "module.arguments.x"),
        ({"list": 1}, "list"),
        ({"report": {"baseline": {"model.norm": "layer"}}}, "report.baseline.model.norm"),
    ],
)
def test_one_problem_is_reported_as_one(raw, key):
    assert list(problems_of(**raw)) == [key]


@pytest.mark.parametrize(
    ("name", "keys", "remedy"),
    [
        ("every_steps", {"ics_l2": 5}, "'ics_l2' is what 'internal_covariate_shift' records"),
        ("every_steps", {"hiden_units": "x"}, "did you mean 'hidden_units'"),
        ("every_steps", {3: 5}, "put it in quotes: '3'"),
        ("modules", {"residual": "layers.*"}, "did you mean 'block'"),
        ("modules", {"zzzz": "layers.*"}, "remove the key"),
    ],
)
def test_a_wrong_key_of_a_mapping_is_told_as_a_key(name, keys, remedy):
    [(key, problem)] = problems_of(diagnostics={name: keys}).items()
    assert key == f"diagnostics.{name}.{next(iter(keys))}"
    assert str(problem).startswith(f"some.yaml: {key}\n")
    assert problem.allowed.startswith(f"keys of diagnostics.{name}: ")
    assert "one of" not in problem.allowed
    assert remedy in problem.remedy


def test_curves_named_as_diagnostics_are_told_who_records_them():
    enabled = ["gradient_norm", "attention_entropy/block_03", "actvation_scale"]
    problems = problems_of(diagnostics={"enabled": enabled})
    assert [problem.remedy for problem in problems.values()] == [
        "'gradient_norm' is what 'gradient_norms' records: name that",
        "'attention_entropy/block_03' is what 'attention' records: name that",
        "did you mean 'activation_scale' or 'activation_outliers' or 'activation_drift'?",
    ]


def test_a_diagnostic_is_enabled_once():
    enabled = ["attention", "linear_cka", "attention"]
    [problem] = problems_of(diagnostics={"enabled": enabled}).values()
    assert (problem.key, problem.allowed) == ("diagnostics.enabled", "each one once")


@pytest.mark.parametrize(
    ("entry", "remedy"),
    [
        ("activation_scale", "a diagnostic, which records activation_rms, activation_rms_change"),
        ("activation_rmss", "did you mean 'activation_rms'"),
        ("activation_rms/hiden", "did you mean 'hidden'"),
        ("dead_units/hidden", "name one, or dead_units alone"),
        ("batch_norm/loss_gap", "did you mean 'batch_norm_mean_distance'"),
        ("val/loss", "name a family, or remove it"),
    ],
)
def test_layer_maps_that_no_run_can_have(entry, remedy):
    layer_maps = ["gradient_norm", entry]
    [problem] = problems_of(report={"layer_maps": layer_maps}).values()
    assert (problem.key, problem.value) == ("report.layer_maps.1", entry)
    assert remedy in problem.remedy


@pytest.mark.parametrize("family", LAYERED)
def test_layer_maps_that_runs_can_have(family):
    maps = (family, *(f"{family}/{place}" for place in LAYERED[family]))
    assert study_of(report={"layer_maps": maps}).report.layer_maps == maps


@pytest.mark.parametrize(
    ("raw", "remedy"),
    [
        ({"model": {"lr": 1}}, "did you mean 'training.learning_rate'?"),
        ({"training": {"lr": 1}}, "did you mean 'learning_rate'?"),
        ({"model": {"Normalization": "rms"}}, "did you mean 'norm'?"),
        ({"training": {"n_layers": 1}}, "did you mean 'model.n_layers'?"),
        ({"max_steps": 1}, "did you mean 'training.max_steps'?"),
        ({"factors": {"model.norm_placement": ["pre"]}}, "did you mean 'model.placement'?"),
        (
            {"factors": {"lr": [1]}},
            "did you mean 'training.learning_rate' or 'finetuning.learning_rate'?",
        ),
        ({"model": {"activation": "swish"}}, "did you mean 'silu'?"),
        ({"factors": {"model.norm": ["RMSNorm"]}}, "did you mean 'rms'?"),
        ({"zzz": 1}, "remove the key"),
    ],
)
def test_other_names_of_a_key_or_level_are_understood_and_refused(raw, remedy):
    [problem] = problems_of(**raw).values()
    assert problem.remedy == remedy


def test_an_exclusion_of_no_level_is_a_problem():
    exclude = [{"when": {"model.norm": []}, "because": "no"}]
    problems = problems_of(factors={"model.norm": ["layer"]}, exclude=exclude)
    assert list(problems) == ["exclude.0.when.model.norm"]


def test_an_argument_that_some_cells_name_is_needed_in_all():
    raw = {"design": {"kind": "list", "cells": [{"module.arguments.hidden": 8}, {}]}}
    module = {"import_path": "a:B"}
    assert list(problems_of(module=module, **raw)) == ["module.arguments.hidden"]
    assert study_of(module={**module, "arguments": {"hidden": 4}}, **raw)


def test_a_broken_base_value_hides_no_problem_of_a_factor():
    problems = problems_of(
        model={"norm": "layr"}, factors={"model.norm": ["group"], "model.norm_groups": [3]}
    )
    assert list(problems) == ["model.norm", "factors.model.norm_groups"]


def test_too_large_to_plan():
    factors = {f"training.{name}": [i / 100 for i in range(1, 60)] for name in ("beta1", "beta2")}
    problems = problems_of(factors={**factors, "model.dropout": [0.0, 0.1, 0.2]})
    assert list(problems) == ["factors"]
    assert str(MAX_COMBINATIONS) in problems["factors"].allowed
    assert list(problems_of(factors=factors, seeds=1000)) == ["seeds"]


def test_short_spellings():
    study = study_of(seeds=3, design="full_factorial")
    assert study.seeds == (0, 1, 2)
    assert study == study_of(seeds=[0, 1, 2], design={"kind": "full_factorial"})
    assert study == study_of(seeds=3)


def test_levels_take_the_type_of_their_key():
    study = study_of(factors={"training.learning_rate": [1, "3e-3"], "model.n_layers": [2.0]})
    assert study.factors == {"training.learning_rate": (1.0, 3e-3), "model.n_layers": (2,)}
    assert isinstance(study.factors["training.learning_rate"][0], float)
    assert isinstance(study.factors["model.n_layers"][0], int)


HOSTILE = [
    *(None, True, False, 0, -1, 1, 2, 10**30, 1.5, -0.0, math.nan, math.inf),
    *("", "none", "layer", "group", "dyt", "list", "a" * 5000, "\0", "a\nb", "../x", "~no", "[x]"),
    *([], [[]], {}, {"a": 1}, {1: 2}, {"kind": "list"}, {"": ""}, [None], ["layer", "layer"]),
    *([1, 2, 3], "model.norm", b"x", {"model.norm": ["layer"]}, {"model.norm": {"a": 1}}, object()),
]

HOSTILE_KEYS = [
    *("", "none", "list", "a\0", "..", "a[b", 3, None, "model.norm", "model.d_model", "kind"),
    *("module", "without", "model.norm_groups", "module.arguments.z", "d_model", "baseline"),
]

ONE_AT_A_TIME = {
    "name": "x",
    "module": {"import_path": "a:B", "arguments": {"hidden": 3}},
    "factors": {"module.arguments.hidden": [1, 2], "model.norm": ["layer", "none"]},
    "design": {
        "kind": "one_at_a_time",
        "mode": "leave_one_out",
        "baseline": {"module.arguments.hidden": 1, "model.norm": "layer"},
        "without": {"module.arguments.hidden": 2, "model.norm": "none"},
    },
    "exclude": [{"when": {"model.norm": "none"}, "because": "x"}],
    "execution": {"devices": 1},
    "seeds": [0, 1],
}

LIST = {
    "name": "y",
    "design": {
        "kind": "list",
        "cells": [{"model.norm": "layer"}, {"model.norm": "rms", "training.learning_rate": 0.1}],
    },
    "report": {"baseline": {"model.norm": "rms"}, "confidence": 0.9},
    "diagnostics": {"enabled": ["gradient_norms"]},
    "seeds": 1,
}


def places(value, path=()):
    """Paths of everything in a nested value."""
    if path:
        yield path
    items = enumerate(value) if isinstance(value, list) else ()
    for key, inner in value.items() if isinstance(value, dict) else items:
        yield from places(inner, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def mutated(raw, rng):
    """The raw study with a few values removed, replaced, moved or added."""
    raw = copy.deepcopy(raw)
    for _ in range(rng.choice([1, 1, 2, 4])):
        known = list(places(raw))
        *start, key = rng.choice(known)
        parent, hostile = at(raw, start), copy.deepcopy(rng.choice(HOSTILE))
        change = rng.randrange(4)
        if change == 0 and len(raw) > 1:
            del parent[key]
        elif change == 1:
            parent[key] = hostile
        elif change == 2:
            parent[key] = copy.deepcopy(at(raw, rng.choice(known)))
        elif isinstance(parent, dict):
            parent[rng.choice(HOSTILE_KEYS)] = hostile
        else:
            parent.append(hostile)
    return raw


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_file_says_it_plans_or_is_refused(seed, tmp_path):
    rng = random.Random(seed)
    bases = [*(read_yaml(path) for path in shipped_studies().values()), ONE_AT_A_TIME, LIST]
    planned = refused = 0
    for _ in range(150):
        raw = mutated(rng.choice(bases), rng)
        try:
            plan = make_plan(validate(raw, lambda key: "some.yaml", tmp_path))
        except AblationError:
            refused += 1
        else:
            assert plan.runs
            assert len({run.run_key for run in plan.runs}) == len(plan.runs)
            assert len({cell.variant for cell in plan.cells}) == len(plan.cells)
            planned += 1
    assert planned > 10
    assert refused > 50
    assert not list(tmp_path.iterdir())
