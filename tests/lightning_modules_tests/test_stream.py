from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lightning_modules.data.batches import train_batch
from lightning_modules.data.token_store import build_token_store
from lightning_modules.digests import SeenBatches
from lightning_modules.stream import TrainingStream
from studies.errors import AblationError
from tests.lightning_modules_tests.tiny_runs import tiny_spec, write_text


@pytest.fixture
def stream(tmp_path):
    corpus = write_text(tmp_path / "text.txt")
    store = build_token_store(tiny_spec(corpus).data, tmp_path / "cache")

    def make(*, step=0, rank=0, world_size=1, seen=None, **training):
        trainer = SimpleNamespace(global_step=step, global_rank=rank, world_size=world_size)
        spec = tiny_spec(corpus, training={"max_steps": 5, "batch_size": 12, **training}, seed=4)
        return list(TrainingStream(store, spec, trainer, seen or SeenBatches()))

    def whole(step):
        return train_batch(store, context_length=8, batch_size=12, seed=4, step=step)

    return make, whole


def test_a_resumed_run_sees_the_batches_that_are_left(stream):
    make, whole = stream
    assert [b.tolist() for b in make(step=3)] == [whole(3).tolist(), whole(4).tolist()]
    assert make(step=5) == []


def test_ranks_and_micro_batches_share_the_batch_of_a_step(stream):
    make, whole = stream
    ranks = [make(step=4, rank=rank, world_size=2, accumulate=3) for rank in (0, 1)]
    assert [[len(micro) for micro in rank] for rank in ranks] == [[2, 2, 2]] * 2
    seen = torch.cat([micro for rank in ranks for micro in rank])
    assert sorted(seen.tolist()) == sorted(whole(4).tolist())


def test_a_batch_that_cannot_be_shared_is_an_error(stream):
    make, _ = stream
    with pytest.raises(AblationError, match=r"batch_size = 12 .* multiple of 8"):
        make(world_size=8)


def test_what_was_seen_does_not_depend_on_ranks_and_micro_batches(stream):
    make, _ = stream
    chains = []
    for rank, world_size, accumulate in ((0, 1, 1), (0, 1, 4), (1, 3, 2)):
        seen = SeenBatches()
        make(rank=rank, world_size=world_size, accumulate=accumulate, seen=seen)
        chains.append(seen.after_steps(5))
    assert list(chains[0]) == [1, 2, 4]
    assert chains[0] == chains[1] == chains[2]
