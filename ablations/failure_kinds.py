"""What an exception in a run says of its cause: the run itself, memory, the disk or the node."""

from __future__ import annotations

import errno
import re

from ablations.claims import Failure

_OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|CUBLAS_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_NODE = re.compile(
    r"uncorrectable (ECC|NVLink)|hardware error|no CUDA-capable device|devices? (is|are) busy"
    r"|CUDA driver|driver/library version mismatch|device is lost|fallen off the bus"
    r"|unknown error|initialization error|NCCL error|NCCL communicator|Connection reset by peer"
    r"|Connection closed by peer",
    re.IGNORECASE,
)
_KINDS = {
    errno.ENOMEM: Failure.OUT_OF_MEMORY,
    errno.ENOSPC: Failure.DISK,
    errno.EDQUOT: Failure.DISK,
    errno.EROFS: Failure.DISK,
    errno.EIO: Failure.NODE,
    errno.ESTALE: Failure.NODE,
    errno.ENODEV: Failure.NODE,
    errno.ENOTCONN: Failure.NODE,
}


def failure_of(error: BaseException) -> Failure:
    """The kind of an error, by its type and its words; what says nothing else is the run's own."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Failure.OUT_OF_MEMORY
    if isinstance(error, OSError):
        return _KINDS.get(error.errno or 0, Failure.ERROR)
    if isinstance(error, RuntimeError):  # torch says all else by words
        if _OUT_OF_MEMORY.search(str(error)):
            return Failure.OUT_OF_MEMORY
        if _NODE.search(str(error)):
            return Failure.NODE
    return Failure.ERROR
