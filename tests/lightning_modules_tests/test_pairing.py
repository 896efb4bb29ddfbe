"""Variants with one seed are paired, over every level of the registries; so is each seed alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_modules.data.batches import train_batch
from lightning_modules.data.token_store import build_token_store
from lightning_modules.digests import read_initial_values
from lightning_modules.gpt.activations import ACTIVATIONS
from lightning_modules.gpt.initialization import INITIALIZATIONS
from lightning_modules.gpt.positions import POSITIONS
from lightning_modules.gpt.roles import named_roles
from lightning_modules.language_model import LanguageModel
from lightning_modules.training import RunInterrupted
from studies import vocabulary
from studies.digests import InitialValue, initial_values, training_data
from studies.run_spec import RunSpec
from tests.lightning_modules_tests.gpt_helpers import NORM_PLACEMENTS, small_gpt
from tests.lightning_modules_tests.tiny_runs import LSTM, tiny_spec, train, write_text

GATED = [name for name, level in vocabulary.ACTIVATIONS.items() if level.gated]
UNGATED = [name for name in ACTIVATIONS if name not in GATED]

VARIANTS: dict[str, dict[str, Any]] = {
    **{f"activation {name}": {"activation": name} for name in ACTIVATIONS},
    **{f"norm {n}, {p}": {"norm": n, "placement": p} for n, p in NORM_PLACEMENTS},
    **{f"position {name}": {"position": name} for name in POSITIONS},
    **{f"initialization {name}": {"initialization": name} for name in INITIALIZATIONS},
}
"""One-at-a-time from the defaults, norms in every place."""

STEPS = 5
AXES = ("initialization_seed", "data_seed", "dropout_seed")


@dataclass
class Watched:
    """What a run drew, saw and recorded."""

    digests: dict[str, str]
    masks: list[torch.Tensor] = field(default_factory=list)
    """Of every dropout module at every step, in order."""
    states: list[torch.Tensor] = field(default_factory=list)
    """Of the generator after every step."""

    @property
    def data(self) -> dict[int, str]:
        return training_data(self.digests)

    @property
    def fixed(self) -> tuple[str, str]:
        return self.digests["evaluation_data"], self.digests["probe_data"]

    @property
    def start(self) -> dict[str, InitialValue]:
        return initial_values(self.digests)


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    assert len(one) == len(other)
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def watch(tmp_path_factory):
    """Trains a run of a few steps with dropout, once for each of what it is asked."""
    folder = tmp_path_factory.mktemp("pairing")
    corpus = write_text(folder / "text.txt")
    found: dict[str, Watched] = {}

    def watched(*, model: dict[str, Any] | None = None, seed: int = 0, **training: Any) -> Watched:
        spec = tiny_spec(
            corpus,
            model={"dropout": 0.1, **(model or {})},
            training={"max_steps": STEPS, **training},
            diagnostics={"enabled": ()},
            seed=seed,
        )
        # Of the two sequences that leaks are measured on, batch norm tells nothing where both have
        # the same token, which is common among the few characters of the corpus.
        bytes_ = spec.data.model_copy(update={"tokenizer": "bytes"})
        spec = spec.model_copy(update={"data": bytes_})
        if spec.run_key not in found:
            found[spec.run_key] = train_watched(spec, folder / spec.run_key)
        return found[spec.run_key]

    return watched


def train_watched(spec: RunSpec, directory: Path) -> Watched:
    watched = Watched({})
    step = LanguageModel.training_step

    def dropout(module: nn.Dropout, x: torch.Tensor) -> torch.Tensor:
        # Of ones: there may be zeros in what is dropped from.
        watched.masks.append(F.dropout(torch.ones_like(x), module.p))
        return x * watched.masks[-1]

    def training_step(module: LanguageModel, batch: torch.Tensor, index: int) -> torch.Tensor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nn.Dropout, "forward", dropout)
            return step(module, batch, index)

    def note_state() -> bool:
        watched.states.append(torch.get_rng_state())
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LanguageModel, "training_step", training_step)
        result, _ = train(spec, directory, should_stop=note_state)
    watched.digests = result.digests
    return watched


def shared(one: dict[str, InitialValue], other: dict[str, InitialValue]) -> set[str]:
    return {name for name in one if name in other and one[name].shape == other[name].shape}


@pytest.mark.parametrize("variant", VARIANTS)
def test_with_one_seed_a_variant_is_paired_with_the_baseline(watch, variant):
    settings = VARIANTS[variant]
    one, base = watch(model=settings), watch()
    assert list(one.data) == [1, 2, 4]
    assert (len(one.states), len(one.masks)) == (STEPS, STEPS * 5)
    assert all(0 < (mask == 0).float().mean() < 0.3 for mask in one.masks)
    assert one.data == base.data
    assert one.fixed == base.fixed
    assert same(one.masks, base.masks)
    assert same(one.states, base.states)
    level = {"initialization": settings.get("initialization", "fan_in")}
    reference = watch(model=level).start
    common = shared(one.start, reference)
    assert {"model.token_embedding.weight", "model.blocks.1.attention.input.weight"} <= common
    assert {name for name in common if one.start[name] != reference[name]} == set()


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
def test_every_two_models_of_one_seed_share_what_has_one_name_and_shape(initialization):
    first: dict[tuple[str, tuple[int, ...]], str] = {}
    had = 0
    for activation in ACTIVATIONS:
        for norm, placement in NORM_PLACEMENTS:
            parts = {"activation": activation, "norm": norm, "placement": placement}
            options = {"bias": True, "tied_head": False, "initialization": initialization}
            for name, value in read_initial_values(small_gpt(**parts, **options)).items():
                had += (name, value.shape) in first
                same = first.setdefault((name, value.shape), value.digest)
                assert value.digest == same, (name, parts)
    assert had > 20 * len(first)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("activation", GATED)
def test_a_gated_feed_forward_shares_all_but_its_matrices_with_an_ungated_one(activation, position):
    """Its input is wider, for gate and value, and its output is of fewer hidden units."""
    options = {"bias": True, "position": position}
    gated, plain, other_gated = (
        read_initial_values(small_gpt(activation=name, **options))
        for name in (activation, UNGATED[0], GATED[0])
    )
    assert gated.keys() == plain.keys()
    assert gated.keys() - shared(gated, plain) == {
        f"blocks.{block}.feed_forward.{name}"
        for block in (0, 1)
        for name in ("input.weight", "input.bias", "output.weight")
    }
    assert all(gated[name] == plain[name] for name in shared(gated, plain))
    assert gated == other_gated


def test_of_one_hidden_width_the_output_is_shared_and_the_input_is_not():
    gated, plain = (
        read_initial_values(small_gpt(activation=name, d_ff=48)) for name in ("swiglu", "relu")
    )
    assert gated.keys() - shared(gated, plain) == {
        f"blocks.{block}.feed_forward.input.weight" for block in (0, 1)
    }
    assert all(gated[name] == plain[name] for name in shared(gated, plain))


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
@pytest.mark.parametrize("layers", [1, 2, 5])
def test_a_draw_depends_on_seed_and_name_alone_and_its_scale_on_the_role(initialization, layers):
    """Models of other depths and initialisations start from multiples of the same numbers."""
    base = dict(small_gpt(tied_head=False).named_parameters())
    model = small_gpt(tied_head=False, n_layers=layers, initialization=initialization)
    roles, compared = named_roles(model), 0
    for name, parameter in model.named_parameters():
        if name in base and roles[name].constant is None:
            scale = parameter.std() / base[name].std()
            torch.testing.assert_close(parameter, base[name] * scale)
            compared += 1
    assert compared == 3 + 4 * min(layers, 2)


def test_the_embedding_does_not_depend_on_depth():
    one, other = (read_initial_values(small_gpt(n_layers=layers)) for layers in (1, 5))
    name = "token_embedding.weight"
    assert one[name] == other[name]
    output = "blocks.0.attention.output.weight"  # scaled by the depth of the stack
    assert one[output] != other[output]


def test_another_seed_moves_the_data_and_every_draw_and_not_the_evaluation(watch):
    one, other = watch(seed=0), watch(seed=1)
    assert not set(one.data.values()) & set(other.data.values())
    assert one.fixed == other.fixed
    assert not same(one.masks, other.masks)
    roles = named_roles(small_gpt())
    drawn = {f"model.{name}" for name, role in roles.items() if role.constant is None}
    assert {name for name in one.start if one.start[name] != other.start[name]} == drawn


def what_is_the_same(one: Watched, other: Watched) -> set[str]:
    equal = {
        "initialization_seed": one.start == other.start,
        "data_seed": one.data == other.data,
        "dropout_seed": same(one.masks, other.masks),
    }
    assert same(one.states, other.states) == equal["dropout_seed"]
    assert one.fixed == other.fixed
    return {axis for axis, is_equal in equal.items() if is_equal}


@pytest.mark.parametrize("axis", AXES)
def test_a_seed_of_its_own_holds_one_source_still_while_the_others_move(watch, axis):
    assert what_is_the_same(watch(seed=0, **{axis: 7}), watch(seed=1, **{axis: 7})) == {axis}


@pytest.mark.parametrize("axis", AXES)
def test_a_seed_of_its_own_moves_one_source_while_the_others_hold_still(watch, axis):
    moved = what_is_the_same(watch(seed=0), watch(seed=0, **{axis: 7}))
    assert moved == set(AXES) - {axis}


def test_a_seed_of_its_own_is_that_of_the_run_with_this_seed(watch):
    assert what_is_the_same(watch(seed=1), watch(**dict.fromkeys(AXES, 1))) == set(AXES)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_a_resumed_run_trains_on_the_batches_of_its_digests(tmp_path, monkeypatch, norm):
    trained: list[torch.Tensor] = []
    step = LanguageModel.training_step

    def watched(module: LanguageModel, batch: torch.Tensor, index: int) -> torch.Tensor:
        trained.append(batch)
        return step(module, batch, index)

    monkeypatch.setattr(LanguageModel, "training_step", watched)
    corpus = write_text(tmp_path / "text.txt")
    training = {"max_steps": 40, "accumulate": 2}
    spec = tiny_spec(corpus, model={"norm": norm, "dropout": 0.1}, training=training)
    whole, _ = train(spec, tmp_path / "whole")
    store = build_token_store(spec.data, tmp_path / "cache")
    expected = torch.cat(
        [
            train_batch(store, context_length=8, batch_size=4, seed=0, step=number)
            for number in range(40)
        ]
    )
    assert torch.equal(torch.cat(trained), expected)
    trained.clear()
    answers = iter([False] * 16 + [True])
    with pytest.raises(RunInterrupted):
        train(spec, tmp_path / "first", should_stop=lambda: next(answers))
    (checkpoint,) = (tmp_path / "first").iterdir()
    resumed, _ = train(spec, tmp_path / "second", resume_from=checkpoint)
    assert torch.equal(torch.cat(trained), expected)
    assert resumed.digests == whole.digests
    assert list(training_data(whole.digests)) == [1, 2, 4, 8, 16, 32]


def test_a_module_of_ones_own_records_what_it_starts_from(tmp_path):
    corpus = write_text(tmp_path / "text.txt")
    one, other = (
        train(tiny_spec(corpus, module=LSTM, seed=seed), tmp_path / str(seed))[0].digests
        for seed in (0, 1)
    )
    found = initial_values(one)
    assert found["lstm.weight_ih_l0"].shape == (4 * 32, 32)
    assert len(found) == 7
    assert not set(found.values()) & set(initial_values(other).values())
    built_in = train(tiny_spec(corpus), tmp_path / "built-in")[0].digests
    assert training_data(built_in) == training_data(one)
