from __future__ import annotations

import errno

import pytest
import torch

from ablations.claims import Failure
from ablations.failure_kinds import failure_of
from studies.errors import AblationError

ERRORS = [
    (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "OUT_OF_MEMORY"),
    (MemoryError(), "OUT_OF_MEMORY"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), "OUT_OF_MEMORY"),
    (
        RuntimeError("[alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        "OUT_OF_MEMORY",
    ),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublas"), "OUT_OF_MEMORY"),
    (RuntimeError("MPS backend out of memory"), "OUT_OF_MEMORY"),
    (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "NODE"),
    (RuntimeError("CUDA error: uncorrectable NVLink error detected"), "NODE"),
    (RuntimeError("No CUDA GPUs are available: no CUDA-capable device is detected"), "NODE"),
    (RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"), "NODE"),
    (RuntimeError("The NVIDIA driver/library version mismatch"), "NODE"),
    (RuntimeError("CUDA error: unknown error"), "NODE"),
    (RuntimeError("CUDA driver initialization failed"), "NODE"),
    (RuntimeError("NCCL communicator was aborted on rank 1"), "NODE"),
    (torch.distributed.DistBackendError("NCCL error in: unhandled system error"), "NODE"),
    (RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer [::1]:3"), "NODE"),
    (OSError(errno.ENOSPC, "No space left on device"), "DISK"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "DISK"),
    (OSError(errno.EIO, "Input/output error"), "NODE"),
    (OSError(errno.ESTALE, "Stale file handle"), "NODE"),
    (OSError(errno.EROFS, "Read-only file system"), "DISK"),
    (RuntimeError("CUDA error: device-side assert triggered"), "ERROR"),
    (RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x16 and 8x16)"), "ERROR"),
    (FileNotFoundError(errno.ENOENT, "No such file", "data.txt"), "ERROR"),
    (PermissionError(errno.EACCES, "Permission denied"), "ERROR"),
    (AblationError("corpus 'x' is not known: out of memory of anybody"), "ERROR"),
    (ValueError("unknown error of one's own"), "ERROR"),
    (KeyError("hardware error"), "ERROR"),
]


@pytest.mark.parametrize(("error", "kind"), ERRORS, ids=lambda value: str(value)[:40])
def test_an_error_says_whose_fault_it_is(error, kind):
    assert failure_of(error) is Failure[kind]


def test_real_errors_of_torch_are_told_apart():
    with pytest.raises(RuntimeError) as memory:
        torch.empty(1 << 62, dtype=torch.uint8)
    assert failure_of(memory.value) is Failure.OUT_OF_MEMORY
    with pytest.raises(RuntimeError) as shapes:
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert failure_of(shapes.value) is Failure.ERROR
