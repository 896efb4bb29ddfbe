"""Reports without their drawings, which take most of the time."""

from __future__ import annotations

import pytest

from reports.exhibits import Figure
from reports.writers.pictures import Pictures


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in place of each picture; their data say all that they say."""

    def draw_all(figures: list[Figure], *_: object) -> list[Pictures]:
        return [Pictures({f"figures/{f.name}.pdf": b"%PDF"}, "<svg/>") for f in figures]

    monkeypatch.setattr("reports.build.draw_all", draw_all)
