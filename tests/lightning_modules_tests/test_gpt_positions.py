import math

import pytest
import torch

from lightning_modules.gpt.positions import POSITIONS, Rotary
from studies import vocabulary
from tests.lightning_modules_tests.gpt_helpers import normal, random_tokens, small_config, small_gpt


def test_registry_is_the_vocabulary():
    assert list(POSITIONS) == list(vocabulary.POSITIONS)


def test_rope_turns_each_pair_of_channels_by_position_times_frequency():
    rotary = Rotary(small_config())  # 8 channels per head
    x = normal(1, 1, 5, 8, dtype=torch.float32)
    y = rotary(x)
    for t in range(5):
        for pair in range(4):
            angle = t * 10_000 ** (-2 * pair / 8)
            a, b = x[0, 0, t, pair], x[0, 0, t, pair + 4]
            expected = torch.stack(
                [
                    a * math.cos(angle) - b * math.sin(angle),
                    a * math.sin(angle) + b * math.cos(angle),
                ]
            )
            torch.testing.assert_close(y[0, 0, t, [pair, pair + 4]], expected)


def test_rope_scores_depend_on_distance_alone():
    rotary = Rotary(small_config())
    query, key = normal(2, 8, dtype=torch.float32)
    queries, keys = (rotary(v.expand(1, 1, 12, 8))[0, 0] for v in (query, key))
    scores = queries @ keys.T
    for distance in range(12):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))


@pytest.mark.parametrize(("position", "sees_order"), [("learned", 1), ("rope", 1), ("none", 0)])
def test_one_layer_sees_the_order_of_the_past(position, sees_order):
    model = small_gpt(position=position, n_layers=1).eval()
    tokens = random_tokens()
    swapped = tokens[:, [1, 0, *range(2, 12)]]
    change = (model(tokens) - model(swapped))[:, -1].abs().max()
    assert (change > 1e-4) == bool(sees_order)
