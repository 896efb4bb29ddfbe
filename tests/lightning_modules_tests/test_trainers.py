from __future__ import annotations

import pytest
import pytorch_lightning as pl

from lightning_modules.checkpoint_io import AtomicCheckpointIO
from lightning_modules.manners import quiet_lightning
from lightning_modules.trainers import build_trainer
from studies.errors import AblationError
from studies.execution import ExecutionConfig
from studies.records import NoSink, Outcome
from tests.lightning_modules_tests.tiny_runs import tiny_spec, train, write_text


def test_a_run_on_one_device_is_alone_in_a_slurm_job_of_many_tasks(tmp_path, monkeypatch):
    slurm = {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "pilots", "SLURM_JOB_ID": "7"}
    for name, value in {**slurm, "SLURM_PROCID": "3", "SLURM_LOCALID": "3"}.items():
        monkeypatch.setenv(name, value)
    result, rows = train(tiny_spec(write_text(tmp_path / "text.txt")), tmp_path / "run")
    assert result.outcome is Outcome.COMPLETED
    assert 12 in rows  # it is its own first rank


def test_several_devices_need_a_process_each(tmp_path):
    execution = ExecutionConfig(accelerator="cpu", devices=2, strategy="ddp")
    spec = tiny_spec(tmp_path)
    checkpoint_io = AtomicCheckpointIO(spec.run_key, NoSink())
    with (
        quiet_lightning(),
        pytest.raises(AblationError, match=r"devices = 2: start .* torchrun or srun"),
    ):
        build_trainer(spec.training, execution, tmp_path, pl.Callback(), checkpoint_io)
