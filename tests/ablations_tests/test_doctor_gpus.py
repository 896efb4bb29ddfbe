from __future__ import annotations

import json
import os
from importlib import metadata

import pytest

from ablations.doctor import gpus, packages, threads
from ablations.doctor.findings import Mark
from studies.execution import ExecutionConfig
from tests.ablations_tests.situations import marks, on_slurm, only, situation

HEALTHY = "0, NVIDIA H100, 81920, 512, Default, 550.1, 0"


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """An nvidia-smi that answers so; None takes it away."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def answer(*gpus: str, processes: str = "", status: int = 0) -> None:
        listed = "\n".join(gpus)
        script = (
            "#!/bin/sh\ncase $1 in\n"
            f"--query-gpu*) printf '%s\\n' '{listed}';;\n"
            f"*) printf '%s\\n' '{processes}';;\nesac\nexit {status}\n"
        )
        (folder / "nvidia-smi").write_text(script)
        (folder / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return answer


def torch_says(monkeypatch, cuda, *errors):
    told = [{"index": i, "error": error, "took_s": 0.5} for i, error in enumerate(errors)]
    text = json.dumps({"version": "2.9", "cuda": cuda, "gpus": told})
    monkeypatch.setattr(gpus, "TRY_TORCH", f"print({text!r})")


@pytest.mark.usefixtures("smi")
def test_a_machine_without_gpus_trains_on_the_cpu_unless_the_study_wants_gpus(tmp_path):
    assert marks(gpus.listed(situation(tmp_path))) == ["ok"]
    wants = {"execution": ExecutionConfig(accelerator="cuda")}
    assert "accelerator: cuda" in only(gpus.listed(situation(tmp_path, **wants))).found
    assert marks(gpus.listed(situation(tmp_path, launcher="slurm", **wants))) == ["ok"]


@pytest.mark.parametrize(
    ("row", "mark", "words"),
    [
        (HEALTHY, Mark.OK, "80 GiB, 0 GiB in use"),
        (HEALTHY.replace("550.1, 0", "550.1, [N/A]"), Mark.OK, "H100"),
        (HEALTHY.replace("550.1, 0", "550.1, 3"), Mark.PROBLEM, "3 uncorrected memory errors"),
        (HEALTHY.replace("Default", "Prohibited"), Mark.PROBLEM, "Prohibited"),
        (HEALTHY.replace("Default", "Exclusive_Process"), Mark.WARNING, "Exclusive_Process"),
    ],
)
def test_each_gpu_is_judged_by_what_the_driver_says(row, mark, words, smi, tmp_path):
    smi(row)
    assert words in only(gpus.listed(situation(tmp_path)), mark).found


def test_processes_of_others_are_a_warning(smi, tmp_path):
    smi(HEALTHY, processes="77, python, 4000")
    found = only(gpus.listed(situation(tmp_path)), Mark.WARNING).found
    assert found == "1 on the GPUs: 77 python (4000 MiB)"


def test_a_driver_that_fails_is_a_problem(smi, tmp_path):
    smi("NVIDIA-SMI has failed because it could not communicate with the driver", status=9)
    assert "could not communicate" in only(gpus.listed(situation(tmp_path))).found


def test_a_cpu_build_is_a_problem_where_gpus_are(smi, tmp_path, monkeypatch):
    torch_says(monkeypatch, None)
    assert marks(gpus.used(situation(tmp_path))) == ["ok"]
    assert "CPU build" in only(gpus.used(on_slurm(tmp_path))).found
    assert marks(gpus.used(on_slurm(tmp_path, gpus_per_worker=0))) == ["ok"]
    assert marks(gpus.used(on_slurm(tmp_path, container_image="torch.sqsh"))) == ["ok"]
    smi(HEALTHY)
    assert "this machine has GPUs" in only(gpus.used(situation(tmp_path))).found


def test_gpus_that_torch_cannot_use_are_problems(smi, tmp_path, monkeypatch):
    smi(HEALTHY)
    torch_says(monkeypatch, "12.6", None, "CUDA error: uncorrectable ECC error")
    assert "ECC" in only(gpus.used(situation(tmp_path))).found
    torch_says(monkeypatch, "12.6")
    assert "sees 0 GPUs" in only(gpus.used(situation(tmp_path))).found
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert marks(gpus.used(situation(tmp_path))) == ["ok"]


@pytest.mark.usefixtures("smi")
def test_a_torch_that_hangs_or_breaks_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "TORCH_S", 0.5)
    monkeypatch.setattr(gpus, "TRY_TORCH", "import time; time.sleep(60)")
    assert "within 0.5 s" in only(gpus.used(situation(tmp_path))).found
    monkeypatch.setattr(gpus, "TRY_TORCH", "raise ImportError('libcudart.so.12')")
    monkeypatch.setattr(gpus, "TORCH_S", 20)
    assert "libcudart" in only(gpus.used(situation(tmp_path))).found


def test_packages_are_held_against_their_ranges(tmp_path, monkeypatch):
    assert marks(packages.ranges(situation(tmp_path))) == ["ok", "ok"]
    declared = ["torch<1", "no-such-package>=2", "numpy"]
    declared += ["gone; extra == 'cluster'", "optuna<5; extra == 'cluster'"]
    monkeypatch.setattr(metadata, "requires", lambda _: declared)
    found = only(packages.ranges(situation(tmp_path))).found
    assert "torch" in found
    assert "is not <1" in found
    assert "no-such-package is missing" in found
    assert "optuna" in found
    assert "gone" not in found


def test_the_driver_of_the_storage_is_looked_for(tmp_path, monkeypatch):
    here = situation(tmp_path, storage="mysql://a@b/c")
    monkeypatch.setitem(packages.DRIVERS, "mysql", "no_such_module")
    assert "no_such_module" in only(packages.driver(here)).found
    assert marks(packages.driver(situation(tmp_path))) == ["ok"]


def test_more_threads_or_fewer_cores_than_thought_are_warnings(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert marks(threads.cores(situation(tmp_path))) == ["ok", "ok"]
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert "lends 0.5" in only(threads.cores(situation(tmp_path)), Mark.WARNING).found
    (tmp_path / "cpu.max").write_text("max 100000\n")
    monkeypatch.setenv("OMP_NUM_THREADS", str(10 * (os.cpu_count() or 1)))
    assert "OMP_NUM_THREADS" in only(threads.cores(situation(tmp_path)), Mark.WARNING).found
