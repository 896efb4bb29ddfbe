"""The GPUs: what the driver lists, and what torch can do with them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from ablations.doctor.findings import Finding, ok, problem, warning
from ablations.doctor.situation import Situation

SMI_S, TORCH_S = 20, 170
"""A network file system may need minutes for the first import of torch."""
FIELDS = ("index", "name", "memory.total", "memory.used", "compute_mode", "driver_version")
ERRORS = "ecc.errors.uncorrected.volatile.total"
INSTALL = "Install a CUDA build of torch: https://pytorch.org/get-started"
TRY_TORCH = """
import json, time
import torch
told = {"version": torch.__version__, "cuda": torch.version.cuda or torch.version.hip, "gpus": []}
for index in range(torch.cuda.device_count()):
    start = time.monotonic()
    try:
        x = torch.ones(512, 512, device=f"cuda:{index}")
        right = (x @ x).sum().item() == 512.0**3
        error = None if right else "a matrix product came out wrong"
    except Exception as raised:
        error = str(raised).strip().splitlines()[0]
    took_s = time.monotonic() - start
    told["gpus"].append({"index": index, "error": error, "took_s": took_s})
print(json.dumps(told))
"""


def listed(situation: Situation) -> Iterator[Finding]:
    """What nvidia-smi lists: models, memory, modes, errors, and who is on them."""
    if shutil.which("nvidia-smi") is None:
        yield _no_gpu(situation)
        return
    try:
        rows = _smi(f"--query-gpu={','.join((*FIELDS, ERRORS))}")
    except (subprocess.SubprocessError, OSError) as error:
        words = str(getattr(error, "stdout", None) or error).strip().splitlines()[0]
        yield problem(
            "nvidia-smi", f"fails: {words}", "The driver is broken: have the machine looked after."
        )
        return
    if not rows:
        yield _no_gpu(situation)
    for row in rows:
        yield _gpu(row)
    processes = _smi("--query-compute-apps=pid,process_name,used_memory") if rows else []
    if processes:
        shown = "; ".join(f"{pid} {name} ({memory} MiB)" for pid, name, memory in processes[:4])
        remedy = "Wait for them, or choose GPUs with CUDA_VISIBLE_DEVICES."
        yield warning("processes", f"{len(processes)} on the GPUs: {shown}", remedy)


def used(situation: Situation) -> Iterator[Finding]:
    """Which build of torch this is, and a small product on each GPU, in a process of its own."""
    command = [sys.executable, "-c", TRY_TORCH]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TORCH_S, check=True)
    except subprocess.TimeoutExpired:
        found = f"did not import and try the GPUs within {TORCH_S} s"
        yield problem("torch", found, "A GPU hangs, or the file system with torch is very slow.")
        return
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
        yield problem("torch", f"cannot be used: {last}", "Install torch anew.")
        return
    told = json.loads(done.stdout.splitlines()[-1])
    yield _build(situation, told)
    for gpu in told["gpus"]:
        if gpu["error"] is None:
            yield ok(f"torch on GPU {gpu['index']}", f"a product in {gpu['took_s']:.1f} s")
        else:
            remedy = "Leave it out with CUDA_VISIBLE_DEVICES, and have it looked after."
            yield problem(f"torch on GPU {gpu['index']}", gpu["error"], remedy)


def _no_gpu(situation: Situation) -> Finding:
    if situation.is_on_cluster:
        return ok("GPUs", "none here; the nodes of the cluster have their own")
    if situation.wants_gpu:
        assert situation.execution is not None
        asked = f"execution.accelerator: {situation.execution.accelerator}"
        remedy = "--set execution.accelerator=auto trains on the CPU; or go to a machine with GPUs."
        return problem("GPUs", f"none here, and the study has {asked}", remedy)
    return ok("GPUs", "none here: runs train on the CPU")


def _gpu(row: list[str]) -> Finding:
    index, name, total, in_use, mode, driver, errors = row
    subject = f"GPU {index}"
    found = f"{name}, {_gib(total)} GiB, {_gib(in_use)} GiB in use, driver {driver}"
    if errors.isdigit() and int(errors) > 0:
        remedy = "Have it reset or replaced, and leave it out with CUDA_VISIBLE_DEVICES until then."
        return problem(subject, f"{found}, {errors} uncorrected memory errors", remedy)
    if mode == "Prohibited":
        return problem(
            subject, f"{found}, compute mode Prohibited", "nvidia-smi -c DEFAULT (root)."
        )
    if mode.startswith("Exclusive"):
        remedy = "Start no more workers than there are GPUs: each admits one process."
        return warning(subject, f"{found}, compute mode {mode}", remedy)
    return ok(subject, found)


def _build(situation: Situation, told: dict[str, Any]) -> Finding:
    version, cuda = told["version"], told["cuda"]
    slurm = situation.profile.slurm
    same_on_nodes = slurm.python is None and slurm.container_image is None
    if cuda is None and shutil.which("nvidia-smi") is not None:
        return problem("torch", f"{version} is a CPU build, and this machine has GPUs", INSTALL)
    if cuda is None and situation.is_on_cluster and slurm.gpus_per_worker and same_on_nodes:
        found = f"{version} is a CPU build, and jobs ask for GPUs (slurm.gpus_per_worker)"
        return problem("torch", found, f"{INSTALL}; or set gpus_per_worker: 0.")
    if cuda is None:
        return ok("torch", f"{version}, a CPU build")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    of = f" of CUDA_VISIBLE_DEVICES={visible}" if visible is not None else ""
    found = f"{version} for CUDA {cuda} sees {len(told['gpus'])} GPUs{of}"
    if not told["gpus"] and visible != "" and shutil.which("nvidia-smi") is not None:
        remedy = "Is the driver new enough for this build, and CUDA_VISIBLE_DEVICES right?"
        return problem("torch", found, remedy)
    return ok("torch", found)


def _smi(query: str) -> list[list[str]]:
    """Rows that nvidia-smi answers."""
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SMI_S, check=True)
    rows = csv.reader(io.StringIO(done.stdout), skipinitialspace=True)
    return [[word.strip() for word in row] for row in rows if row]


def _gib(mib: str) -> str:
    return f"{int(mib) / 1024:.0f}" if mib.isdigit() else mib
