from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from lightning_modules.checkpoints import checkpoint_path, newest_checkpoint


@pytest.fixture
def save(tmp_path):
    def write(folder, step):
        path = checkpoint_path(tmp_path / folder, step)
        path.parent.mkdir(exist_ok=True)
        torch.save({"step": step, "weights": torch.zeros(100)}, path)
        return path

    return write


def test_newest_is_by_step_over_all_directories(tmp_path, save):
    save("a", 9)
    newest = save("b", 100)
    save("b", 20)
    found = newest_checkpoint([tmp_path / "a", tmp_path / "b", tmp_path / "never-made"])
    assert found == (newest, 100)


def test_no_checkpoint_is_none(tmp_path):
    (tmp_path / "step-x.ckpt").write_text("")
    (tmp_path / "notes.txt").write_text("")
    assert newest_checkpoint([tmp_path]) is None


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_a_torn_checkpoint_is_passed_over(tmp_path, save, kept):
    older = save("a", 1)
    torn = save("a", 2)
    torn.write_bytes(torn.read_bytes()[:kept])
    assert newest_checkpoint([tmp_path / "a"]) == (older, 1)


def test_looking_needs_no_torch():
    code = "import sys, lightning_modules.checkpoints; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
