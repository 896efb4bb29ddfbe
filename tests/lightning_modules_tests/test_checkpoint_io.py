from __future__ import annotations

import resource

import pytest
import torch

from lightning_modules.checkpoint_io import AtomicCheckpointIO
from studies.errors import AblationError
from studies.records import NoSink


@pytest.fixture
def content():
    return {"state_dict": {"weight": torch.arange(5000.0)}, "global_step": 3}


def test_reads_what_was_written(tmp_path, content):
    io, path = AtomicCheckpointIO("key", NoSink()), tmp_path / "new" / "step.ckpt"
    io.save_checkpoint({**content, "hyper_parameters": {"cls": object}}, path)
    read = io.load_checkpoint(path)
    assert torch.equal(read["state_dict"]["weight"], content["state_dict"]["weight"])
    assert read["global_step"] == 3
    assert [p.name for p in path.parent.iterdir()] == ["step.ckpt"]


def test_refuses_the_checkpoint_of_another_run(tmp_path, content):
    AtomicCheckpointIO("one", NoSink()).save_checkpoint(content, tmp_path / "c")
    with pytest.raises(AblationError, match=r"belongs to run 'one'.*'two'"):
        AtomicCheckpointIO("two", NoSink()).load_checkpoint(tmp_path / "c")


def test_refuses_what_is_not_plain_data(tmp_path):
    torch.save({"run_key": "key", "thing": AtomicCheckpointIO("key", NoSink())}, tmp_path / "c")
    with pytest.raises(AblationError, match="cannot be read"):
        AtomicCheckpointIO("key", NoSink()).load_checkpoint(tmp_path / "c")


def test_a_full_disk_is_a_warning_and_keeps_the_old_file(tmp_path, content):
    io, path = AtomicCheckpointIO("key", NoSink()), tmp_path / "step.ckpt"
    io.save_checkpoint({"global_step": 1}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))  # the content is 20 KB
    try:
        with pytest.warns(RuntimeWarning, match="could not be written"):
            io.save_checkpoint(content, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert io.load_checkpoint(path)["global_step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["step.ckpt"]


def test_a_checkpoint_waits_for_the_numbers_before_it(tmp_path, content):
    class Sink(NoSink):
        behind = True

        def keep(self):
            return not self.behind

    sink, path = Sink(), tmp_path / "step.ckpt"
    io = AtomicCheckpointIO("key", sink)
    io.save_checkpoint(content, path)
    assert list(tmp_path.iterdir()) == []
    sink.behind = False
    io.save_checkpoint(content, path)
    assert io.load_checkpoint(path)["global_step"] == 3
