"""A typed table from canonical names to the parts that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from studies.errors import UnknownName, close_matches

T = TypeVar("T")


@dataclass(frozen=True)
class Level:
    """A named choice of a configuration key."""

    label: str
    """How the level is written in tables and figures."""
    summary: str
    """Formula or definition, in one line."""
    source: str = ""
    """Paper that introduced it."""
    cite: str = field(default="", kw_only=True)
    """Keys of papers in the bibliography of reports, with commas between them as in LaTeX."""
    uncited: str = field(default="", kw_only=True)
    """Why there is no paper to cite, where there is none."""


class Registry(Mapping[str, T]):
    """Maps one canonical lower-case name to one part; a duplicate or unknown name is an error."""

    def __init__(self, kind: str, parts: Mapping[str, T] | None = None) -> None:
        self.kind = kind
        self._parts: dict[str, T] = {}
        for name, part in (parts or {}).items():
            self.add(name, part)

    def add(self, name: str, part: T) -> T:
        """Enter a part under its name.

        Raises:
            ValueError: the name is taken or not a lower-case identifier.
        """
        if name in self._parts:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        if name != name.lower() or not name.replace("-", "_").isidentifier():
            raise ValueError(f"{self.kind} {name!r} is not a lower-case identifier")
        self._parts[name] = part
        return part

    def __getitem__(self, name: str) -> T:
        try:
            return self._parts[name]
        except KeyError:
            hint = close_matches(name, self._parts)
            raise UnknownName(
                f"unknown {self.kind} {name!r}: {hint + ' ' if hint else ''}"
                f"known: {', '.join(self._parts)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)
