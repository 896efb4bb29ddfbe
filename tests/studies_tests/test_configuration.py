from studies.configuration import flatten, leaf_name, with_values
from studies.schema import CustomModule, Study, factor_keys

MODULE = CustomModule(import_path="a:B", arguments={"hidden": 3})


def test_flat_keys_are_the_factor_keys():
    assert list(flatten(Study(name="a").base())) == factor_keys()


def test_arguments_of_a_module():
    flat = flatten(Study(name="a", module=MODULE).base())
    assert flat["module.import_path"] == "a:B"
    assert flat["module.arguments.hidden"] == 3


def test_with_values_leaves_its_input_alone():
    base = Study(name="a", module=MODULE).base()
    changed = with_values(base, {"model.norm": "rms", "module.arguments.hidden": 5})
    flat = flatten(changed)
    assert (flat["model.norm"], flat["module.arguments.hidden"]) == ("rms", 5)
    assert base == Study(name="a", module=MODULE).base()
    assert with_values(base, {}) == base


def test_leaf_name():
    assert leaf_name("module.arguments.hidden") == "hidden"
