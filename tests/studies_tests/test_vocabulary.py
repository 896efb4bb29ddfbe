import pytest

from studies.protocol import Pruning, Tune
from studies.schema import Study
from studies.vocabulary import ACTIVATIONS, NORMS, PLACEMENTS, VOCABULARIES, label_of


def section_at(key):
    """The class of the section of a key, such as `model`."""
    inner = {"": Study, "protocol.search": Tune, "protocol.pruning": Pruning}
    return inner.get(key) or type(getattr(Study(name="a"), key))


@pytest.mark.parametrize("key", VOCABULARIES)
def test_each_vocabulary_belongs_to_a_key_of_a_study(key):
    section, _, name = key.rpartition(".")
    assert name in section_at(section).model_fields


@pytest.mark.parametrize("key", VOCABULARIES)
def test_labels_are_given_and_differ(key):
    labels = [level.label for level in VOCABULARIES[key].values()]
    assert all(labels)
    assert len(set(labels)) == len(labels)
    assert all(level.summary for level in VOCABULARIES[key].values())


@pytest.mark.parametrize("key", VOCABULARIES)
def test_the_default_of_a_key_is_in_its_vocabulary(key):
    section, _, name = key.rpartition(".")
    default = section_at(section).model_fields[name].get_default(call_default_factory=True)
    if key == "preset":
        assert default is None
        return
    assert {default} if isinstance(default, str) else set(default) <= VOCABULARIES[key].keys()


def test_gated_activations():
    gated = {name for name, activation in ACTIVATIONS.items() if activation.gated}
    assert gated == {"glu", "bilinear", "reglu", "geglu", "swiglu"}


def test_only_batch_norm_leaks():
    assert {name: norm.leak for name, norm in NORMS.items() if norm.leak != "causal"} == {
        "batch": "leaks_in_training"
    }


def test_norms_per_placement():
    assert {n: (p.norms, p.final_norm) for n, p in PLACEMENTS.items()} == {
        "pre": (1, True),
        "post": (1, False),
        "sandwich": (2, True),
        "none": (0, False),
    }


@pytest.mark.parametrize(
    ("key", "value", "label"),
    [
        ("model.norm", "layer", "LayerNorm"),
        ("model.norm", "unheard-of", "unheard-of"),
        ("training.learning_rate", 0.001, "0.001"),
        ("model.placement", None, "–"),
    ],
)
def test_how_a_level_is_written(key, value, label):
    assert label_of(key, value) == label
