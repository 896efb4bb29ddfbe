"""A service that a test starts and removes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Service(ABC):
    """Up within a `with`; what could not come up leaves nothing behind."""

    @abstractmethod
    def bring_up(self) -> None:
        """Start it, and wait until it serves."""

    @abstractmethod
    def remove(self) -> None:
        """End its processes and remove its folder."""

    def __enter__(self) -> Self:
        try:
            self.bring_up()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()
