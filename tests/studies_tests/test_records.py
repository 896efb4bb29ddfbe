import pytest
from pydantic import ValidationError

from studies.metrics import METRICS, series_name, split_series
from studies.records import Leak, Outcome, RunRecord
from studies.vocabulary import NORMS

RECORD = {
    "run_key": "0" * 16,
    "study": "some",
    "variant": "layer",
    "seed": 0,
    "levels": {"model.norm": "layer", "model.placement": None},
    "attempt": 3,
    "outcome": Outcome.DIVERGED,
    "leak": Leak.IN_TRAINING,
    "summary": {"summary/steps": 7.0},
}


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


def test_a_record_survives_json():
    record = RunRecord(**RECORD)
    assert RunRecord.model_validate_json(record.model_dump_json()) == record
    assert record.record_version == 1


def test_a_record_is_frozen_and_complete():
    with pytest.raises(ValidationError, match="frozen"):
        RunRecord(**RECORD).seed = 1
    with pytest.raises(ValidationError, match="Extra inputs"):
        RunRecord(**RECORD, loss=1.0)
    with pytest.raises(ValidationError, match="run_key"):
        RunRecord(**{k: v for k, v in RECORD.items() if k != "run_key"})


def test_the_known_leaks_of_norms_are_leak_labels():
    assert {norm.leak for norm in NORMS.values()} <= set(Leak)
