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


def test_names_of_layers_come_apart_again():
    name = series_name("activation_rms", "attention_norm", 3)
    assert name == "activation_rms/attention_norm_03"
    assert split_series(name) == ("activation_rms", "attention_norm", 3)
    assert [split_series(metric) for metric in METRICS] == [None] * len(METRICS)
