from __future__ import annotations

import pytest
import torch
from torch import nn

from lightning_modules.digests import (
    ENTRIES_READ,
    READ_EVERY_STEPS,
    SeenBatches,
    digest_of_batches,
    read_initial_values,
)
from tests.lightning_modules_tests.gpt_helpers import random_tokens, small_gpt

STEPS = 5 * READ_EVERY_STEPS + 3


def batch_of(step: int, seed: int = 0) -> torch.Tensor:
    return random_tokens(4, 9, seed=1000 * seed + step)


def seen(steps: int, *, seed: int = 0, swapped: tuple[int, int] = (0, 0)) -> SeenBatches:
    found = SeenBatches()
    order = {swapped[0]: swapped[1], swapped[1]: swapped[0]}
    for step in range(steps):
        found.hand_out(step, batch_of(order.get(step, step), seed))
    return found


def test_powers_of_two_and_the_last_that_was_read_are_kept():
    assert list(seen(STEPS).after_steps(STEPS)) == [1, 2, 4, 8, 16, 32, 64, 128, 160]
    assert list(seen(100).after_steps(100)) == [1, 2, 4, 8, 16, 32, 64, 96]
    assert list(seen(3).after_steps(3)) == [1, 2]
    assert seen(0).after_steps(0) == {}


def test_what_was_handed_out_ahead_of_training_does_not_count():
    assert seen(STEPS).after_steps(STEPS - 4) == seen(STEPS - 4).after_steps(STEPS - 4)


def test_one_seed_one_chain_another_seed_another_from_the_first_step_on():
    one, other = seen(STEPS).after_steps(STEPS), seen(STEPS, seed=1).after_steps(STEPS)
    assert one == seen(STEPS).after_steps(STEPS)
    assert not set(one.values()) & set(other.values())


def test_a_batch_out_of_order_shows_from_its_step_on():
    straight = seen(STEPS).after_steps(STEPS)
    swapped = seen(STEPS, swapped=(7, READ_EVERY_STEPS - 1)).after_steps(STEPS)
    assert [s for s in straight if straight[s] == swapped[s]] == [1, 2, 4]


def test_batches_of_another_shape_are_others():
    one, other = SeenBatches(), SeenBatches()
    one.hand_out(0, torch.zeros(4, 6, dtype=torch.long))
    other.hand_out(0, torch.zeros(6, 4, dtype=torch.long))
    assert one.after_steps(1) != other.after_steps(1)


@pytest.mark.parametrize("stop", [1, 9, 31, 32, 33, 100])
def test_a_resumed_chain_goes_on_as_if_nothing_had_happened(stop):
    interrupted = seen(stop + 2)  # two steps are handed out, and not made
    resumed = SeenBatches()
    resumed.resume(interrupted.after_steps(stop))
    assert resumed.after_steps(stop) == interrupted.after_steps(stop)
    for step in range(stop, STEPS):
        resumed.hand_out(step, batch_of(step))
    assert resumed.after_steps(STEPS) == seen(STEPS).after_steps(STEPS)


def test_every_row_of_a_large_batch_is_read():
    rows = 256
    plain = torch.zeros(rows, 33, dtype=torch.long)
    found = set()
    for row in range(rows):
        batch = plain.clone()
        batch[row] = 1
        one = SeenBatches()
        one.hand_out(0, batch)
        found.add(one.after_steps(1)[1])
    assert len(found) == rows


def test_fixed_batches_are_their_tokens_however_divided():
    tokens = random_tokens(12, 9)
    whole = digest_of_batches([tokens])
    assert digest_of_batches(tokens.split(5)) == whole
    assert digest_of_batches([tokens.flip(0)]) != whole
    assert digest_of_batches([tokens.reshape(9, 12)]) != whole
    changed = tokens.clone()
    changed[7, 3] += 1
    assert digest_of_batches([changed]) != whole


def test_initial_values_are_names_shapes_and_values():
    model = small_gpt()
    found = read_initial_values(model)
    assert {name: value.shape for name, value in found.items()} == {
        name: tuple(parameter.shape) for name, parameter in model.named_parameters()
    }
    assert read_initial_values(small_gpt()) == found
    other = read_initial_values(small_gpt(seed=1))
    drawn = {name for name, p in model.named_parameters() if p.std() > 0}
    assert {name for name in found if found[name] != other[name]} == drawn
    assert len({found[name].digest for name in drawn}) == len(drawn)


def test_only_rounding_tells_precisions_apart():
    single = read_initial_values(small_gpt())
    assert read_initial_values(small_gpt().double()) == single
    half = read_initial_values(small_gpt().bfloat16())
    assert half["token_embedding.weight"] != single["token_embedding.weight"]
    assert half["final_norm.gain"] == single["final_norm.gain"]


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (3, ENTRIES_READ), (64, 2, 128)])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.complex64, torch.int64])
def test_parameters_of_any_shape_and_kind(shape, kind):
    module = nn.Module()
    module.weight = nn.Parameter(torch.ones(shape).to(kind), requires_grad=False)
    value = read_initial_values(module)["weight"]
    assert value.shape == shape
    module.weight.data += 1
    assert (read_initial_values(module)["weight"] == value) is (module.weight.numel() == 0)


def test_a_column_of_a_large_parameter_does_not_go_unseen():
    module = nn.Module()
    module.weight = nn.Parameter(torch.zeros(2048, 256))
    values = {read_initial_values(module)["weight"]}
    for column in range(256):
        module.weight.data.zero_()[:, column] = 1
        values.add(read_initial_values(module)["weight"])
    assert len(values) == 257


def test_reading_changes_nothing():
    model = small_gpt()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    state = torch.get_rng_state()
    read_initial_values(model)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
