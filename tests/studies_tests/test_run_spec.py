import pytest

from studies.run_spec import RunSpec, canonical_json, digest
from studies.schema import (
    CustomModule,
    DataConfig,
    DiagnosticsConfig,
    ModelConfig,
    TrainingConfig,
)


def spec_of(**changes) -> RunSpec:
    sections = {
        "model": ModelConfig(),
        "data": DataConfig(),
        "training": TrainingConfig(),
        "diagnostics": DiagnosticsConfig(),
        "seed": 0,
    }
    return RunSpec(**sections | changes)


def test_the_key_of_a_run_is_pinned():
    """Stored runs are found by this key: change it on purpose, with `spec_version`."""
    assert spec_of().run_key == "259931e4e8ae685e"
    assert spec_of().cell_key == "b5eacb2c8ed85f43"


def test_the_seed_is_part_of_the_run_and_not_of_the_cell():
    one, other = spec_of(), spec_of(seed=1)
    assert one.run_key != other.run_key
    assert one.cell_key == other.cell_key


@pytest.mark.parametrize(
    "change",
    [
        {"model": ModelConfig(norm="rms")},
        {"data": DataConfig(evaluation_tokens=128)},
        {"training": TrainingConfig(learning_rate=2e-3)},
        {"diagnostics": DiagnosticsConfig(enabled=())},
        {"module": CustomModule(import_path="a:B")},
    ],
)
def test_every_section_is_part_of_the_key(change):
    assert spec_of(**change).run_key != spec_of().run_key
    assert spec_of(**change).cell_key != spec_of().cell_key


def test_a_changed_module_file_is_another_run():
    modules = [CustomModule(import_path="a.py:B", source_digest=d) for d in ("1", "2")]
    assert len({spec_of(module=module).run_key for module in modules}) == 2


def test_weights_are_part_of_the_key_by_name_and_digest():
    def key_of(weights, digest):
        return spec_of(model=ModelConfig(weights=weights, weights_digest=digest)).run_key

    assert key_of("/a/gpt2", "1") == key_of("/b/gpt2", "1")
    keys = [key_of("/a/gpt2", "1"), key_of("/a/gpt2", "2"), key_of("/a/other", "1")]
    assert len({*keys, key_of("/a/gpt2", None), key_of("/b/gpt2", None)}) == 5
    assert key_of(None, None) == key_of(None, "1") == spec_of().run_key


def test_the_key_survives_json():
    spec = spec_of(module=CustomModule(import_path="a:B", arguments={"x": 1.5}))
    assert RunSpec.model_validate_json(spec.model_dump_json()).run_key == spec.run_key
    assert RunSpec(**spec.model_dump(mode="json")).run_key == spec.run_key


def test_whole_and_real_numbers_of_a_real_key_are_one():
    one = spec_of(training=TrainingConfig(learning_rate=1))
    assert one.run_key == spec_of(training=TrainingConfig(learning_rate=1.0)).run_key


def test_params_go_by_leaf_name():
    looks = DiagnosticsConfig(enabled=("gradient_norms", "attention"), every_steps={"attention": 5})
    params = spec_of(seed=3, diagnostics=looks).params()
    assert params["norm"] == "layer"
    assert params["learning_rate"] == 1e-3
    assert params["enabled"] == "gradient_norms,attention"
    assert params["every_steps"] == "attention=5"
    assert params["seed"] == 3
    assert "module" not in params


def test_arguments_of_a_module_win():
    module = CustomModule(import_path="a:B", arguments={"learning_rate": 0.5, "hidden": 8})
    params = spec_of(module=module).params()
    assert params["module"] == "a:B"
    assert (params["learning_rate"], params["hidden"]) == (0.5, 8)


def test_leaf_names_do_not_collide():
    sections = (ModelConfig, DataConfig, TrainingConfig, DiagnosticsConfig)
    assert len(spec_of().params()) == sum(len(s.model_fields) for s in sections) + 1


def test_canonical_json_has_one_spelling():
    assert canonical_json({"b": 1, "a": [1, None]}) == '{"a":[1,null],"b":1}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})
