from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.data.batches import (
    evaluation_batches,
    probe_batch,
    train_batch,
    training_sample,
)
from lightning_modules.data.corpus import DataError
from lightning_modules.data.token_store import TokenStore, build_token_store
from studies.schema import DataConfig

TRAIN_TOKENS, VALIDATION_TOKENS = 3000, 1000


def store_of(folder: Path, train_tokens: int, validation_tokens: int) -> TokenStore:
    """A text without a repeated character: a token id is its position in the text."""
    tokens = train_tokens + validation_tokens
    path = folder / f"{tokens}.txt"
    path.write_text("".join(chr(0x4E00 + i) for i in range(tokens)))
    # Half a token more, so that rounding does not decide.
    fraction = (validation_tokens - 0.5) / tokens
    data = DataConfig(corpus=str(path), tokenizer="characters", validation_fraction=fraction)
    store = build_token_store(data, folder / "cache")
    assert (len(store.train), len(store.validation)) == (train_tokens, validation_tokens)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return store_of(tmp_path_factory.mktemp("batches"), TRAIN_TOKENS, VALIDATION_TOKENS)


def draw(store: TokenStore, **changes: int) -> torch.Tensor:
    arguments = {"context_length": 16, "batch_size": 8, "seed": 0, "step": 0} | changes
    return train_batch(store, **arguments)


def is_consecutive(batch: torch.Tensor) -> bool:
    return bool((batch.diff(dim=1) == 1).all())


def test_a_training_batch_is_windows_of_the_training_text(store: TokenStore) -> None:
    batch = draw(store)
    assert batch.shape == (8, 17)
    assert batch.dtype == torch.int64
    assert is_consecutive(batch)
    assert batch.max() < TRAIN_TOKENS
    assert len(set(batch[:, 0].tolist())) > 1


def test_a_training_batch_depends_on_seed_and_step_alone(store: TokenStore) -> None:
    expected = {
        (seed, step): draw(store, seed=seed, step=step) for seed in (0, 1) for step in (5, 6)
    }
    torch.manual_seed(1)
    np.random.default_rng().random()
    for (seed, step), batch in reversed(expected.items()):
        assert torch.equal(draw(store, seed=seed, step=step), batch)
    batches = list(expected.values())
    assert not any(torch.equal(a, b) for i, a in enumerate(batches) for b in batches[:i])


def test_a_smaller_batch_is_the_beginning_of_a_larger_one(store: TokenStore) -> None:
    assert torch.equal(draw(store, batch_size=3), draw(store)[:3])


def test_the_positions_of_a_seed_and_step_are_pinned(store: TokenStore) -> None:
    # A change here changes every result: raise `spec_version` with it.
    expected = [614, 1131, 2853, 1776, 2038, 190, 1009, 858]
    assert draw(store, seed=3, step=7)[:, 0].tolist() == expected


def test_every_position_can_be_drawn(tmp_path: Path) -> None:
    small = store_of(tmp_path, 21, 30)
    starts = torch.cat([draw(small, step=step)[:, 0] for step in range(20)])
    assert set(starts.tolist()) == {0, 1, 2, 3, 4}


def test_positions_are_uniform(store: TokenStore) -> None:
    starts = torch.cat([draw(store, step=step, batch_size=64)[:, 0] for step in range(100)])
    observed = torch.histc(starts.float(), bins=8, min=0, max=TRAIN_TOKENS - 16)
    expected = len(starts) / 8
    chi2 = float(((observed - expected) ** 2 / expected).sum())
    assert chi2 < 24.3  # 0.999 quantile of chi² with 7 degrees of freedom


def test_evaluation_is_fixed_spread_and_without_overlap(store: TokenStore) -> None:
    batches = evaluation_batches(store, context_length=16, tokens=320, batch_size=6)
    again = evaluation_batches(store, context_length=16, tokens=320, batch_size=6)
    assert [len(batch) for batch in batches] == [6, 6, 6, 2]
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))
    windows = torch.cat(batches)
    assert windows.shape == (20, 17)
    assert is_consecutive(windows)
    assert len(windows.unique()) == windows.numel()
    assert windows.min() >= TRAIN_TOKENS
    gaps = windows[:, 0].diff()
    assert gaps.max() <= gaps.min() + 3 * 17
    assert windows[0, 0] < TRAIN_TOKENS + 100
    assert windows[-1, 0] > TRAIN_TOKENS + VALIDATION_TOKENS - 100


def test_the_batch_size_of_evaluation_does_not_change_its_windows(store: TokenStore) -> None:
    sizes = (
        torch.cat(evaluation_batches(store, context_length=16, tokens=320, batch_size=size))
        for size in (1, 6, 100)
    )
    first, *others = sizes
    assert all(torch.equal(first, other) for other in others)


def test_the_training_sample_spreads_over_the_training_text(store: TokenStore) -> None:
    sample = training_sample(store, context_length=16, tokens=320, batch_size=6)
    assert [len(batch) for batch in sample] == [6, 6, 6, 2]
    windows = torch.cat(sample)
    assert windows.shape == (20, 17)
    assert is_consecutive(windows)
    assert windows[0, 0] == 0
    assert windows.max() < TRAIN_TOKENS
    assert windows[-1, 0] > 0.9 * (TRAIN_TOKENS - 17)


def test_the_probe_is_held_out_and_apart_from_the_evaluation(store: TokenStore) -> None:
    probe = probe_batch(store, context_length=16, tokens=100)
    assert probe.shape == (6, 17)
    assert torch.equal(probe, probe_batch(store, context_length=16, tokens=100))
    assert is_consecutive(probe)
    assert probe.min() >= TRAIN_TOKENS
    assert int(probe[-1, 0] - probe[0, 0]) > VALIDATION_TOKENS / 2
    evaluated = torch.cat(evaluation_batches(store, context_length=16, tokens=800, batch_size=8))
    assert not set(probe.flatten().tolist()) & set(evaluated.flatten().tolist())


def test_who_asks_for_more_than_there_is_gets_all_of_it_once(store: TokenStore) -> None:
    [windows] = evaluation_batches(store, context_length=16, tokens=10**6, batch_size=10**6)
    assert windows.shape == (VALIDATION_TOKENS // 17, 17)
    assert len(windows.unique()) == windows.numel()
    assert torch.equal(probe_batch(store, context_length=16, tokens=10**6), windows)


def test_fewer_tokens_than_a_window_are_one_window(store: TokenStore) -> None:
    [batch] = evaluation_batches(store, context_length=500, tokens=64, batch_size=8)
    assert batch.shape == (1, 501)
    assert probe_batch(store, context_length=500, tokens=16).shape == (1, 501)


def test_a_split_shorter_than_a_window_is_an_error(tmp_path: Path) -> None:
    short = store_of(tmp_path, 40, 30)
    assert draw(short, context_length=39).shape == (8, 40)
    with pytest.raises(DataError, match=r"model\.context_length = 40") as error:
        draw(short, context_length=40)
    with pytest.raises(DataError, match="the training split"):
        training_sample(short, context_length=40, tokens=64, batch_size=2)
    assert "at most 39: the training split" in str(error.value)

    assert probe_batch(short, context_length=29, tokens=64).shape == (1, 30)
    for held_out in (
        lambda: probe_batch(short, context_length=30, tokens=64),
        lambda: evaluation_batches(short, context_length=30, tokens=64, batch_size=2),
    ):
        with pytest.raises(DataError, match="at most 29: the held-out split"):
            held_out()
