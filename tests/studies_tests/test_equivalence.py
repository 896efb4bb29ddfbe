import random

import pytest

from studies.configuration import Flat, flatten
from studies.equivalence import EQUIVALENCES, canonicalise
from studies.schema import CustomModule, Study
from studies.vocabulary import VOCABULARIES
from tests.studies_tests.helpers import plan_of, study_of

BASE = flatten(Study(name="a").base())

CHOICES = {
    "model.norm": list(VOCABULARIES["model.norm"]),
    "model.placement": list(VOCABULARIES["model.placement"]),
    "model.norm_groups": [None, 1, 2, 4],
    "model.norm_eps": [1e-5, 1e-6],
    "model.norm_affine": [True, False],
    "model.qk_norm": [True, False],
    "model.dyt_alpha": [None, 0.5, 1.0],
    "model.d_model": [128, 256],
    "model.d_ff": [None, 512, 1024],
    "model.activation": ["gelu", "swiglu"],
    "model.initialization": list(VOCABULARIES["model.initialization"]),
    "model.weights": [None, "gpt2.safetensors"],
    "training.initialization_seed": [None, 0, 1],
    "data.tokenizer": ["bytes", "characters", "bpe"],
    "data.vocabulary_size": [None, 300, 4096],
}

SAME = [
    (
        "no norm has no placement",
        {"model.norm": "none", "model.placement": "pre"},
        {"model.norm": "none", "model.placement": "post"},
    ),
    (
        "without a placement there is no norm",
        {"model.norm": "layer", "model.placement": "none"},
        {"model.norm": "rms", "model.placement": "none"},
    ),
    (
        "no norm has no epsilon and no gain",
        {"model.norm": "none", "model.norm_eps": 1e-5, "model.norm_affine": True},
        {"model.norm": "none", "model.norm_eps": 1e-6, "model.norm_affine": False},
    ),
    (
        "DyT has no epsilon",
        {"model.norm": "dyt", "model.norm_eps": 1e-5},
        {"model.norm": "dyt", "model.norm_eps": 1e-6},
    ),
    (
        "group norm with one group is layer norm",
        {"model.norm": "group", "model.norm_groups": 1},
        {"model.norm": "layer", "model.norm_groups": 1},
    ),
    (
        "group norm has 4 groups unless told",
        {"model.norm": "group", "model.norm_groups": None},
        {"model.norm": "group", "model.norm_groups": 4},
    ),
    (
        "only group norm has groups",
        {"model.norm": "rms", "model.norm_groups": 2},
        {"model.norm": "rms", "model.norm_groups": 8},
    ),
    (
        "DyT starts at alpha 1 unless told",
        {"model.norm": "dyt", "model.dyt_alpha": None},
        {"model.norm": "dyt", "model.dyt_alpha": 1.0},
    ),
    (
        "only DyT has an alpha",
        {"model.norm": "layer", "model.dyt_alpha": 0.5},
        {"model.norm": "layer", "model.dyt_alpha": 1.0},
    ),
    (
        "d_ff is 4 d_model unless told",
        {"model.d_model": 64, "model.d_ff": None},
        {"model.d_model": 64, "model.d_ff": 256},
    ),
    (
        "weights to start from leave nothing to draw",
        {"model.weights": "gpt2.safetensors", "model.initialization": "xavier"},
        {"model.weights": "gpt2.safetensors", "training.initialization_seed": 3},
    ),
    (
        "auto initialisation is fan_in below d_model 256, gpt2 from there on",
        {"model.d_model": 256, "model.initialization": "auto"},
        {"model.d_model": 256, "model.initialization": "gpt2"},
    ),
    (
        "BPE has 4096 tokens unless told",
        {"data.tokenizer": "bpe", "data.vocabulary_size": None},
        {"data.tokenizer": "bpe", "data.vocabulary_size": 4096},
    ),
    (
        "only BPE has a vocabulary size to choose",
        {"data.tokenizer": "bytes", "data.vocabulary_size": 300},
        {"data.tokenizer": "bytes", "data.vocabulary_size": 400},
    ),
    (
        "bytes and characters have no token that ends a document",
        {"data.tokenizer": "bytes", "data.end_documents": False},
        {"data.tokenizer": "bytes", "data.end_documents": True},
    ),
]

DIFFERENT = [
    ({"model.norm": "layer"}, {"model.norm": "rms"}),
    ({"model.norm": "none"}, {"model.norm": "layer"}),
    ({"model.placement": "pre"}, {"model.placement": "post"}),
    ({"model.norm": "group", "model.norm_groups": 2}, {"model.norm": "layer"}),
    (
        {"model.norm": "group", "model.norm_groups": 2},
        {"model.norm": "group", "model.norm_groups": 4},
    ),
    ({"model.norm": "dyt", "model.dyt_alpha": 0.5}, {"model.norm": "dyt", "model.dyt_alpha": 1.0}),
    ({"model.norm": "layer", "model.norm_eps": 1e-6}, {"model.norm": "layer"}),
    ({"model.norm": "dyt", "model.norm_affine": False}, {"model.norm": "dyt"}),
    (  # the norm on queries and keys has an epsilon and a gain of its own
        {"model.norm": "none", "model.qk_norm": True, "model.norm_eps": 1e-6},
        {"model.norm": "none", "model.qk_norm": True},
    ),
    (
        {"model.norm": "dyt", "model.qk_norm": True, "model.norm_eps": 1e-6},
        {"model.norm": "dyt", "model.qk_norm": True},
    ),
    ({"model.d_model": 64, "model.d_ff": 512}, {"model.d_model": 64}),
    ({"model.initialization": "gpt2"}, {"model.initialization": "auto"}),
    ({"data.tokenizer": "bpe", "data.vocabulary_size": 300}, {"data.tokenizer": "bpe"}),
    ({"model.weights": "gpt2.safetensors"}, {"model.weights": None}),
    ({"training.initialization_seed": 1}, {"training.initialization_seed": None}),
]


def with_base(values: Flat) -> Flat:
    return {**BASE, **values}


def random_configurations(number: int, seed: int = 0) -> list[Flat]:
    rng = random.Random(seed)
    return [
        with_base({key: rng.choice(values) for key, values in CHOICES.items()})
        for _ in range(number)
    ]


def test_every_rule_has_a_case():
    assert {name for name, *_ in SAME} == {rule.name for rule in EQUIVALENCES}


@pytest.mark.parametrize(("rule", "one", "other"), SAME, ids=[name for name, *_ in SAME])
def test_what_a_rule_merges(rule, one, other):
    first, second = canonicalise(with_base(one)), canonicalise(with_base(other))
    assert first.flat == second.flat
    assert rule in {r.name for r in (*first.rules, *second.rules)}


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_stays_apart(one, other):
    assert canonicalise(with_base(one)).flat != canonicalise(with_base(other)).flat


def test_meaningless_keys_are_named():
    none = canonicalise(with_base({"model.norm": "none"}))
    assert {"model.placement", "model.norm_eps", "model.norm_groups"} <= none.meaningless
    layer = canonicalise(with_base({"model.norm": "layer"}))
    assert not {"model.norm", "model.placement", "model.norm_eps"} & layer.meaningless


def test_canonicalising_twice_changes_nothing():
    for flat in random_configurations(500):
        once = canonicalise(flat)
        again = canonicalise(once.flat)
        assert again.flat == once.flat
        assert again.rules == ()
        assert again.meaningless == once.meaningless


def test_only_keys_of_rules_change_and_meaningless_keys_do_not_matter():
    ruled = {key for rule in EQUIVALENCES for key in rule.canonical}
    rng = random.Random(1)
    for flat in random_configurations(500, seed=2):
        canonical = canonicalise(flat)
        assert {key for key in flat if flat[key] != canonical.flat[key]} <= ruled
        for key in canonical.meaningless & CHOICES.keys():
            other = canonicalise({**canonical.flat, key: rng.choice(CHOICES[key])})
            assert other.flat == canonical.flat


def test_configurations_that_merge_differ_only_in_keys_of_rules():
    ruled = {key for rule in EQUIVALENCES for key in rule.canonical}
    seen: dict[str, Flat] = {}
    merged = 0
    for flat in random_configurations(3000, seed=3):
        first = seen.setdefault(repr(sorted(canonicalise(flat).flat.items())), flat)
        differing = {key for key in flat if flat[key] != first[key]}
        merged += bool(differing)
        assert differing <= ruled
    assert merged > 20


def test_one_group_merges_in_a_plan():
    plan = plan_of(model={"norm_groups": 1}, factors={"model.norm": ["layer", "group", "rms"]})
    assert [cell.variant for cell in plan.cells] == ["layer", "rms"]
    [merge] = plan.merged
    assert merge.into == "layer"
    assert merge.rules == ("group norm with one group is layer norm",)


def test_rules_of_the_gpt_do_not_hold_for_a_module_of_ones_own():
    module = CustomModule(import_path="a:B")
    flat = flatten(study_of(module=module, model={"norm": "none", "norm_groups": 2}).base())
    assert canonicalise(flat).flat == flat
    factors = {"model.norm": ["layer", "none"], "model.placement": ["pre", "post"]}
    assert len(plan_of(module=module, factors=factors).cells) == 4
    tokens = {"tokenizer": "bpe"}
    [cell] = plan_of(module=module, data=tokens).cells
    assert cell.spec(0).data.vocabulary_size == 4096


def test_runs_that_start_from_weights_are_not_told_apart_by_how_others_are_drawn(tmp_path):
    path = tmp_path / "gpt2.safetensors"
    path.write_text("weights")
    factors = {"model.weights": [None, str(path)], "model.initialization": ["gpt2", "xavier"]}
    plan = plan_of(factors=factors)
    variants = ["weights=null-gpt2", "weights=null-xavier", "weights=gpt2.safetensors"]
    assert [cell.variant for cell in plan.cells] == variants
    assert plan.cells[-1].levels["model.initialization"] is None
    [merge] = plan.merged
    assert merge.rules == ("weights to start from leave nothing to draw",)
