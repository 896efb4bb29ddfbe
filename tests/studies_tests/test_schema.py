import pytest
from pydantic import ValidationError

from studies.schema import (
    RUN_SECTIONS,
    CustomModule,
    DataConfig,
    ModelConfig,
    Study,
    TrainingConfig,
    factor_keys,
    field_of,
)


@pytest.mark.parametrize("section", RUN_SECTIONS.values(), ids=RUN_SECTIONS)
def test_every_key_of_a_run_is_documented(section):
    undocumented = [name for name, field in section.model_fields.items() if not field.description]
    assert not undocumented


@pytest.mark.parametrize("section", RUN_SECTIONS.values(), ids=RUN_SECTIONS)
def test_defaults_obey_their_own_bounds(section):
    assert section(**section().model_dump()) == section()


@pytest.mark.parametrize("section", RUN_SECTIONS.values(), ids=RUN_SECTIONS)
def test_sections_are_frozen_and_refuse_unknown_keys(section):
    name = next(iter(section.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(section(), name, getattr(section(), name))
    with pytest.raises(ValidationError, match="Extra inputs"):
        section(unheard_of=1)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        (ModelConfig, "n_layers", 0),
        (ModelConfig, "n_layers", True),
        (ModelConfig, "n_layers", 1.5),
        (ModelConfig, "d_model", 7),
        (ModelConfig, "d_model", 10**30),
        (ModelConfig, "d_ff", True),
        (ModelConfig, "norm", "Layer"),
        (ModelConfig, "norm_eps", 0),
        (ModelConfig, "dropout", 1),
        (DataConfig, "validation_fraction", 0),
        (DataConfig, "vocabulary_size", 257),
        (TrainingConfig, "learning_rate", float("inf")),
        (TrainingConfig, "learning_rate", float("nan")),
        (TrainingConfig, "learning_rate", -1e-3),
        (TrainingConfig, "divergence_factor", 1),
        (TrainingConfig, "precision", "bf16"),
        (CustomModule, "import_path", "no_class"),
        (CustomModule, "import_path", "package.module:"),
        (CustomModule, "import_path", "a.py:B\n"),
    ],
)
def test_values_out_of_bounds(section, name, value):
    with pytest.raises(ValidationError):
        section(**{name: value})


@pytest.mark.parametrize(
    ("section", "name", "value", "kept"),
    [
        (ModelConfig, "bias", True, True),
        (ModelConfig, "d_ff", None, None),
        (TrainingConfig, "learning_rate", 0, 0.0),
        (TrainingConfig, "max_steps", 1e3, 1000),
        (TrainingConfig, "gradient_clip_norm", None, None),
    ],
)
def test_values_within_bounds(section, name, value, kept):
    assert getattr(section(**{name: value}), name) == kept


@pytest.mark.parametrize("path", ["a.b:C", "a/b.py:C", "../b c.py:_C", "a:B"])
def test_import_paths(path):
    assert CustomModule(import_path=path).import_path == path


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "../a", "a/b", "a\n", "é", "a" * 82])
def test_names_are_fit_for_paths(name):
    with pytest.raises(ValidationError):
        Study(name=name)


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1,), (2**32,), (True,), (0.5,)])
def test_seeds_are_different_small_numbers(seeds):
    with pytest.raises(ValidationError):
        Study(name="a", seeds=seeds)


def test_keys():
    assert field_of("model.norm") == (ModelConfig, "norm")
    assert field_of("norm") is None
    assert field_of("model.nrom") is None
    assert field_of("execution.devices") is None
    assert len(factor_keys()) == sum(len(s.model_fields) for s in RUN_SECTIONS.values())
    assert all(field_of(key) for key in factor_keys())


def test_the_base_configuration_leaves_execution_out():
    base = Study(name="a").base()
    assert set(base) == {*RUN_SECTIONS, "module"}
    assert base["module"] is None
    module = CustomModule(import_path="a:B", arguments={"hidden": 3})
    assert Study(name="a", module=module).base()["module"]["arguments"] == {"hidden": 3}
