"""Gradient norms, update ratios and internal covariate shift, against plain computations."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lightning_modules.gpt.roles import named_roles
from lightning_modules.language_model import LanguageModel, next_token_loss
from tests.lightning_modules_tests.diagnostic_helpers import BATCH, build, step, suite_on


def norm(tensors) -> float:
    squares = [np.square(t.detach().double().numpy()).sum() for t in tensors]
    return float(np.sqrt(sum(squares)))


def groups(model) -> dict[str, list[str]]:
    names = [name for name, _ in model.named_parameters()]
    kinds = {name: role.kind for name, role in named_roles(model).items()}
    found = {"total": names}
    for index in range(len(model.blocks)):
        found[f"block_{index:02d}"] = [n for n in names if n.startswith(f"blocks.{index}.")]
    for kind in set(kinds.values()):
        found[kind] = [n for n in names if kinds[n] == kind]
    return found


@pytest.mark.parametrize("tied", [True, False])
def test_norms_and_ratios_are_those_of_numpy(tied):
    module, suite = build("gradient_norms", "update_ratios", bias=True, tied_head=tied)
    before = {n: p.detach().clone() for n, p in module.model.named_parameters()}
    read = step(module, suite)
    after = dict(module.model.named_parameters())
    expected = {}
    for group, names in groups(module.model).items():
        expected[f"gradient_norm/{group}"] = norm(after[n].grad for n in names)
        moved = norm(after[n] - before[n] for n in names)
        expected[f"update_ratio/{group}"] = moved / norm(before[n] for n in names)
    assert read == pytest.approx(expected, rel=1e-5)


def test_norms_of_half_precision_gradients_are_summed_in_single_precision():
    module, suite = build("gradient_norms", d_model=64)
    module.bfloat16()
    read = step(module, suite)
    expected = norm(p.grad.float() for p in module.parameters())
    assert read["gradient_norm/total"] == pytest.approx(expected, rel=1e-5)


def ordered(model) -> dict[str, list[str]]:
    """The head is tied: it is a group of its own."""
    names = [name for name, _ in model.named_parameters()]
    embeddings = [n for n in names if "embedding" in n]
    blocks = {
        f"block_{i:02d}": [n for n in names if n.startswith(f"blocks.{i}.")]
        for i in range(len(model.blocks))
    }
    return {"embedding": embeddings, **blocks, "head": ["final_norm.gain", "head.weight"]}


def gradients(model, weights, batch) -> dict[str, torch.Tensor]:
    """Of an untied copy at these weights, batch norms on the batch's statistics."""
    untied = copy.deepcopy(model)
    untied.head.weight = nn.Parameter(weights["head.weight"].clone())
    with torch.no_grad():
        for name, parameter in untied.named_parameters():
            parameter.copy_(weights[name])
    untied.zero_grad()
    untied.train()
    next_token_loss(untied, batch).backward()
    return {name: p.grad for name, p in untied.named_parameters()}


def weights_of(model) -> dict[str, torch.Tensor]:
    named = model.named_parameters(remove_duplicate=False)
    return {name: p.detach().clone() for name, p in named}


@pytest.mark.parametrize("norm_name", ["layer", "batch"])
def test_covariate_shift_is_that_of_its_definition(norm_name):
    module, suite = build("internal_covariate_shift", norm=norm_name)
    before = weights_of(module.model)
    read = step(module, suite)
    after = weights_of(module.model)
    old = gradients(module.model, before, BATCH)
    mixed, expected = dict(before), {}
    for group, names in ordered(module.model).items():
        new = gradients(module.model, mixed, BATCH)
        g = torch.cat([old[n].flatten() for n in names]).double()
        h = torch.cat([new[n].flatten() for n in names]).double()
        expected[f"ics_l2/{group}"] = float((g - h).norm() / g.norm())
        expected[f"ics_cosine/{group}"] = float(g @ h / (g.norm() * h.norm()))
        mixed |= {n: after[n] for n in names}
    assert read == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert read["ics_l2/embedding"] == 0.0
    assert read["ics_cosine/embedding"] == pytest.approx(1.0, abs=1e-9)
    assert min(v for n, v in read.items() if n.startswith("ics_l2/block")) > 1e-3
    assert read["ics_l2/head"] > 1e-3


def test_without_a_step_there_is_no_covariate_shift():
    module, suite = build("internal_covariate_shift", norm="batch", dropout=0.3)
    read = step(module, suite, learning_rate=0.0)
    assert {v for n, v in read.items() if n.startswith("ics_l2")} == {0.0}
    cosines = [v for n, v in read.items() if n.startswith("ics_cosine")]
    assert cosines == pytest.approx([1.0] * 4, abs=1e-9)


def test_covariate_shift_leaves_weights_gradients_buffers_and_modes_alone():
    module, suite = build("internal_covariate_shift", norm="batch", dropout=0.3)
    module.train()
    module.training_step(BATCH, 0).backward()
    gradients_before = [p.grad.clone() for p in module.parameters()]
    tensors = [t.clone() for t in (*module.parameters(), *module.buffers())]
    tied = module.model.head.weight is module.model.token_embedding.weight
    state = torch.random.get_rng_state()
    suite.before_step(1)
    suite.after_step(1, BATCH)
    assert tied
    assert module.model.head.weight is module.model.token_embedding.weight
    now = (*module.parameters(), *module.buffers())
    assert all(torch.equal(a, b) for a, b in zip(tensors, now, strict=True))
    assert all(
        torch.equal(a, p.grad) for a, p in zip(gradients_before, module.parameters(), strict=True)
    )
    assert all(part.training for part in module.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


class HeadFirst(pl.LightningModule):
    """Registers its parts in another order than that in which it calls them."""

    def __init__(self, inner: LanguageModel) -> None:
        super().__init__()
        model = inner.model
        self.head, self.norm = model.head, model.final_norm
        self.blocks, self.tokens = model.blocks, model.token_embedding
        self.positions = model.position_embedding

    def validation_step(self, batch, batch_idx):
        x = self.positions(self.tokens(batch[:, :-1]))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


def test_depth_is_the_order_in_which_modules_are_called():
    inner, plain = build("internal_covariate_shift", tied_head=False)
    other = HeadFirst(inner)
    suite = suite_on(other, "internal_covariate_shift", modules={"block": "blocks.*"})
    optimizer = inner.configure_optimizers()["optimizer"]
    inner.training_step(BATCH, 0).backward()
    for it in (plain, suite):
        it.before_step(1)
    optimizer.step()
    read = [
        dict(zip(names, values.tolist(), strict=True))
        for names, values in (it.after_step(1, BATCH) for it in (plain, suite))
    ]
    assert read[1] == pytest.approx(read[0], rel=1e-4)
    assert "ics_l2/head" in read[1]
