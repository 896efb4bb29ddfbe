import pytest

from studies.errors import AblationError, UnknownName
from studies.registry import Registry


@pytest.fixture
def registry():
    return Registry("norm", {"layer": 1, "rms": 2})


def test_it_is_a_mapping_in_order(registry):
    assert list(registry) == ["layer", "rms"]
    assert len(registry) == 2
    assert registry["rms"] == 2
    assert dict(registry) == {"layer": 1, "rms": 2}
    assert "layer" in registry
    assert "Layer" not in registry
    assert 3 not in registry


def test_a_name_is_taken_once(registry):
    with pytest.raises(ValueError, match="norm 'rms' is registered twice"):
        registry.add("rms", 3)
    assert registry["rms"] == 2


@pytest.mark.parametrize("name", ["Layer", "a b", "", "1st", "a.b", "a/b"])
def test_names_are_lower_case_identifiers(registry, name):
    with pytest.raises(ValueError, match="not a lower-case identifier"):
        registry.add(name, 3)


def test_an_unknown_name_gets_close_matches_and_the_full_list(registry):
    with pytest.raises(UnknownName, match=r"unknown norm 'layr': did you mean 'layer'\? known: "):
        registry["layr"]
    with pytest.raises(AblationError, match="known: layer, rms"):
        registry["q"]
