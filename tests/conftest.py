"""Fixtures for every package of tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster.fixtures import mariadb, postgresql, slurm
from tests.undrawn import undrawn

SETTINGS = (
    *("ABLATE_HOME", "ABLATE_PROFILE", "ABLATE_STORAGE", "ABLATE_BUDGET_HOURS"),
    "PGPASSWORD",
)

__all__ = ["mariadb", "postgresql", "slurm", "undrawn"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process of many is left alone with it."""
    items.sort(key=lambda item: item.path.parent.name != "cluster")


@pytest.fixture(scope="session", autouse=True)
def own_settings() -> Iterator[None]:
    """Whose machine this is, and where their studies run, is nothing to the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        patch.setenv("ABLATE_PROFILES", os.devnull)
        yield
