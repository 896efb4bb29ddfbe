"""A journal file on a shared file system, for clusters without a database."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

LOCK_GRACE_S = 10
"""After so long the lock of a writer that was killed is taken from it."""
LONGEST_LINE_BYTES = 1 << 20


def open_journal(path: Path) -> JournalStorage:
    """Open or create a journal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=MendingLock(path)))


class MendingLock(JournalFileOpenLock):
    """A lock by O_EXCL, which NFS honours from version 3 on; who takes it mends the journal.

    A full disk or a crash leaves half a line at the end. Optuna would write the next operation on
    that line, and no process could read the journal any more.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), grace_period=LOCK_GRACE_S)
        self._path = path
        self._own: tuple[int, int] | None = None

    def acquire(self) -> bool:
        """Wait for the lock, and cut off a line that is not whole."""
        super().acquire()
        self._own = self._identity()
        try:
            self._cut_torn_line()
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        """Give the lock back, unless it was taken from us because we were suspended for long."""
        own, self._own = self._own, None
        if own is not None and own != self._identity():
            return  # it is another writer's by now
        with contextlib.suppress(RuntimeError):
            super().release()

    def _identity(self) -> tuple[int, int] | None:
        """Which lock there is; None where there is none."""
        try:
            found = os.stat(self._lock_file)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _cut_torn_line(self) -> None:
        with self._path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if _ends_whole(file, size):
                return
            start = max(0, size - LONGEST_LINE_BYTES)
            file.seek(start)
            file.truncate(start + file.read().rfind(b"\n") + 1)


def _ends_whole(file: BinaryIO, size: int) -> bool:
    """Whether the last line of a file of so many bytes is whole."""
    if size == 0:
        return True
    file.seek(size - 1)
    return file.read(1) == b"\n"
