"""The numbers of an attempt as they grow: one row of JSON for each step that has any."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MetricRow:
    """Values recorded at one step."""

    step: int
    values: dict[str, float]


class MetricsTail:
    """Reads an attempt's metrics as they grow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_rows(self) -> list[MetricRow]:
        """Rows that were written since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        rows = (json.loads(line) for line in whole.splitlines())
        return [MetricRow(row["step"], row["values"]) for row in rows]


class MetricsFile:
    """Writes an attempt's rows one after the other; a full disk delays rows and stops nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = self._path.stat().st_size
        self._pending = b""
        self._error: OSError | None = None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Record finite values at an optimiser step."""
        self._pending += metrics_line(step, values).encode()
        self._flush()

    def keep(self) -> bool:
        """Put all rows so far where a crash of the machine spares them; False if that fails."""
        self._flush()
        if self._pending:
            return False
        try:
            with self._path.open("rb") as file:
                os.fsync(file.fileno())
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Write what is pending.

        Raises:
            OSError: it still cannot be written.
        """
        self._flush()
        if self._pending and self._error:
            raise self._error

    def _flush(self) -> None:
        try:
            self._write_pending()
        except OSError as error:
            if self._error is None:
                log.warning("rows stay in memory until %s can be written: %s", self._path, error)
            self._error = error
        else:
            self._size += len(self._pending)
            self._pending = b""

    def _write_pending(self) -> None:
        """Write at the end of the last whole row, over what an earlier try may have left there."""
        with self._path.open("r+b", buffering=0) as file:
            file.seek(self._size)
            rest = memoryview(self._pending)
            while rest:
                rest = rest[file.write(rest) :]


def metrics_line(step: int, values: Mapping[str, float]) -> str:
    """A row as it is stored."""
    return json.dumps({"step": step, "values": dict(values)}, allow_nan=False) + "\n"
