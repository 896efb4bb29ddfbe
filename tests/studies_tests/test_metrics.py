from __future__ import annotations

import pytest

from studies.metrics import METRICS, ByConstruction, Metric, series_name, split_series

RULE = ByConstruction(
    "fixed", ("residual",), {"model.placement": ("post",), "model.norm": ("layer", "rms")}, 1
)
METRIC = Metric("a", "", "neither", "b", by_construction=(RULE,))


def configuration(placement: str, norm: str, module: object = None) -> dict[str, object]:
    return {"model": {"placement": placement, "norm": norm}, "module": module}


@pytest.mark.parametrize(
    ("tap", "index", "placement", "norm", "note"),
    [
        ("residual", 1, "post", "rms", "fixed"),
        ("residual", 0, "post", "rms", None),
        ("hidden", 1, "post", "rms", None),
        ("residual", 1, "pre", "rms", None),
        ("residual", 1, "post", "batch", None),
    ],
)
def test_a_rule_holds_where_everything_matches(tap, index, placement, norm, note):
    assert METRIC.fixed(tap, index, configuration(placement, norm)) == note


def test_a_module_of_ones_own_does_not_follow_the_keys_of_the_model():
    own = configuration("post", "rms", {"import_path": "a:B"})
    assert METRIC.fixed("residual", 1, own) is None


@pytest.mark.parametrize(
    ("family", "tap", "index", "name"),
    [
        ("activation_rms", "residual", 3, "activation_rms/residual_03"),
        ("gradient_norm", "block", 12, "gradient_norm/block_12"),
        ("a/b", "c_d", 100, "a/b/c_d_100"),
    ],
)
def test_curves_of_layers_are_named_and_read_back(family, tap, index, name):
    assert series_name(family, tap, index) == name
    assert split_series(name) == (family, tap, index)


@pytest.mark.parametrize("name", [*METRICS, "gradient_norm/total", "residual_03", "a/_03", "a/b_x"])
def test_other_names_are_no_curves_of_layers(name):
    assert split_series(name) is None


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_grouped_and_defined(name):
    group, _, leaf = name.partition("/")
    assert group
    assert leaf
    assert METRICS[name].label
    assert METRICS[name].definition
