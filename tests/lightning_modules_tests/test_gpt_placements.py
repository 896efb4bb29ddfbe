import pytest
import torch

from lightning_modules.gpt.placements import PLACEMENTS
from studies import vocabulary
from tests.lightning_modules_tests.gpt_helpers import normal, small_config, small_gpt


def normalised(x):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=1e-5)


FORMULAS = {
    "pre": lambda x, f: x + f(normalised(x)),
    "post": lambda x, f: normalised(x + f(x)),
    "sandwich": lambda x, f: x + normalised(f(normalised(x))),
    "none": lambda x, f: x + f(x),
}


def test_registry_is_the_vocabulary():
    assert list(PLACEMENTS) == list(vocabulary.PLACEMENTS)


@pytest.mark.parametrize("name", PLACEMENTS)
def test_formula(name):
    residual = PLACEMENTS[name](small_config(norm="layer", norm_affine=False))
    x = 2 * normal(2, 3, 32) + 1
    torch.testing.assert_close(residual(x, torch.sin), FORMULAS[name](x, torch.sin))


@pytest.mark.parametrize(
    ("placement", "has_one"), [("pre", True), ("post", False), ("sandwich", True), ("none", False)]
)
def test_final_norm(placement, has_one):
    norm = small_gpt(placement=placement).final_norm
    assert isinstance(norm, torch.nn.Identity) != has_one


def test_norm_without_a_placement_is_no_norm():
    tokens = torch.arange(12).view(1, 12)
    bare = small_gpt(norm="none", placement="none")
    for norm in ("layer", "dyt"):
        model = small_gpt(norm=norm, placement="none")
        assert torch.equal(model(tokens), bare(tokens))
