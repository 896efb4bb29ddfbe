import copy

import pytest
import torch
from torch import nn

from lightning_modules.gpt.activations import ACTIVATIONS
from lightning_modules.gpt.model import GPT
from lightning_modules.leaks import LeakNotMeasurable, measure_leak
from studies.records import Leak
from studies.vocabulary import NORMS
from tests.lightning_modules_tests.gpt_helpers import (
    CONTEXT,
    NORM_PLACEMENTS,
    VOCABULARY_SIZE,
    small_config,
    small_gpt,
)


def label(model, **settings):
    settings = {"vocabulary_size": VOCABULARY_SIZE, "sequence_length": CONTEXT, **settings}
    return measure_leak(model, **settings)


class Reader(nn.Module):
    """Embeds, passes the (B, T, D) stream through a part, reads logits."""

    def __init__(self, part):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(VOCABULARY_SIZE, 16)
        self.part = part
        self.head = nn.Linear(16, VOCABULARY_SIZE)

    def forward(self, tokens):
        return self.head(self.part(self.embedding(tokens)))


class OverTime(nn.Module):
    """A torch layer that wants (B, D, T)."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.transpose(1, 2)).transpose(1, 2)


class StartsAtZero(nn.Module):
    """A residual branch with a gate that is zero at the start, as in ReZero."""

    def __init__(self, branch):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(()))
        self.branch = branch

    def forward(self, x):
        return x + self.gate * self.branch(x)


class LooksAhead(nn.Module):
    """Adds what comes `distance` tokens later."""

    def __init__(self, distance, strength=1.0):
        super().__init__()
        self.distance, self.strength = distance, strength

    def forward(self, x):
        return x + self.strength * x.roll(-self.distance, dims=1)


@pytest.mark.parametrize(("norm", "placement"), NORM_PLACEMENTS)
def test_vocabulary_labels_are_the_measured_ones(norm, placement):
    model = small_gpt(norm=norm, placement=placement, dropout=0.2)
    assert label(model) == NORMS[norm].leak


@pytest.mark.parametrize("batch_size", [2, 8])
@pytest.mark.parametrize("norm", NORMS)
def test_labels_hold_at_other_sizes(norm, batch_size):
    model = small_gpt(norm=norm, context_length=96, d_model=64)
    assert label(model, sequence_length=96, batch_size=batch_size, draws=1) == NORMS[norm].leak


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_activation_leaks(activation):
    assert label(small_gpt(activation=activation, norm="none", placement="none")) is Leak.CAUSAL


@pytest.mark.parametrize(
    "part",
    [
        OverTime(nn.InstanceNorm1d(16)),
        OverTime(nn.GroupNorm(4, 16)),
        OverTime(nn.Conv1d(16, 16, 3, padding=1)),
        OverTime(nn.BatchNorm1d(16, track_running_stats=False)),
        LooksAhead(1),
        LooksAhead(CONTEXT - 1),
        LooksAhead(2, strength=1e-3),
        StartsAtZero(OverTime(nn.InstanceNorm1d(16))),
        nn.TransformerEncoderLayer(16, 2, 16, batch_first=True),
    ],
    ids=lambda part: type(part).__name__,
)
def test_leaky_modules_are_found(part):
    assert label(Reader(part)) is Leak.LEAKY


@pytest.mark.parametrize(
    "part",
    [nn.Identity(), nn.LayerNorm(16), nn.Dropout(0.5), StartsAtZero(nn.Tanh())],
    ids=lambda part: type(part).__name__,
)
def test_causal_modules_are_cleared(part):
    assert label(Reader(part)) is Leak.CAUSAL


def test_recurrent_module_is_causal():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(16, 16, batch_first=True)

        def forward(self, x):
            return self.lstm(x)[0]

    assert label(Reader(Last())) is Leak.CAUSAL


def test_batch_norm_leaks_in_training_only():
    assert label(Reader(OverTime(nn.BatchNorm1d(16)))) is Leak.IN_TRAINING


def test_statistics_of_earlier_batches_are_no_leak():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(16))

        def forward(self, x):
            y = x - self.mean
            self.mean.lerp_(x.mean((0, 1)), 0.5)
            return y

    assert label(Reader(Centred())) is Leak.CAUSAL


def test_half_precision_is_tested_in_single():
    assert label(small_gpt(norm="batch").to(torch.bfloat16)) is Leak.IN_TRAINING
    assert label(small_gpt(norm="rms").to(torch.bfloat16)) is Leak.CAUSAL


@pytest.mark.parametrize("training", [True, False])
def test_nothing_outside_is_touched(training):
    model = small_gpt(norm="batch", dropout=0.1).train(training)
    before, random_state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    label(model)
    assert model.training == training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda tokens: tokens[:, :-1, None].float(), r"forward gave \(4, 11, 1\)"),
        (lambda tokens: (tokens, tokens), "forward gave tuple"),
        (lambda tokens: torch.zeros(*tokens.shape, 3), "do not depend on the tokens"),
        (lambda tokens: tokens[..., None] / torch.zeros(()), "not finite"),
    ],
)
def test_what_cannot_be_measured_is_an_error(forward, message):
    class Odd(nn.Module):
        def forward(self, tokens):
            return forward(tokens)

    with pytest.raises(LeakNotMeasurable, match=message):
        label(Odd())


def test_one_token_cannot_leak():
    with pytest.raises(LeakNotMeasurable, match="raise sequence_length"):
        label(small_gpt(), sequence_length=1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("vocabulary_size", [2, 3, 7])
def test_two_sequences_that_change_alike_hide_nothing_from_a_norm_over_both(seed, vocabulary_size):
    """With few tokens two sequences often hold the same one, and batch norm centres that out."""
    config = small_config(norm="batch_position", placement="sandwich")
    model = GPT(config, vocabulary_size, seed=seed)
    found = measure_leak(
        model, vocabulary_size=vocabulary_size, sequence_length=CONTEXT, batch_size=2, draws=1
    )
    assert found is Leak.CAUSAL
