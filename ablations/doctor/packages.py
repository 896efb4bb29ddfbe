"""Python and the packages: those that are declared, and that of the storage."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from ablations.doctor.findings import Finding, ok, problem, warning
from ablations.doctor.situation import Situation
from ablations.storages.urls import kind_of

DISTRIBUTION = "ablations"
EXTRA = "cluster"
"""Packages that only clusters need; each is judged where it is installed."""
CLUSTER = f"pip install 'ablations[{EXTRA}]'"
DRIVERS = {"postgresql": "psycopg2", "mysql": "pymysql", "grpc": "grpc"}
"""Package that a kind of storage needs."""


def ranges(_: Situation) -> Iterator[Finding]:
    """Versions of Python and of all packages against the ranges that pyproject declares."""
    yield ok("Python", f"{platform.python_version()} on {platform.machine()}")
    try:
        declared = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        found = f"{DISTRIBUTION} itself is not installed, so nobody knows what it needs"
        yield warning("packages", found, "pip install -e . where its pyproject.toml is.")
        return
    needed = [r for r in declared if _is_for(r, "") or (_is_for(r, EXTRA) and _is_there(r))]
    wrong = [words for r in needed if (words := _mismatch(r))]
    if wrong:
        yield problem(
            "packages",
            "; ".join(wrong),
            f"pip install --upgrade {DISTRIBUTION} mends the versions.",
        )
    else:
        found = f"{len(needed)} packages in their ranges"
        named = ("torch", "pytorch-lightning", "optuna", "mlflow")
        yield ok("packages", f"{found}: {', '.join(f'{n} {metadata.version(n)}' for n in named)}")


def driver(situation: Situation) -> Iterator[Finding]:
    """The package that not everybody needs: that of the storage."""
    kind = kind_of(situation.storage)
    module = DRIVERS.get(kind)
    if module is None:
        yield ok("driver", f"storage {kind} needs no package of its own")
    elif importlib.util.find_spec(module) is None:
        found = f"storage {kind} needs the Python package {module}, which is not installed"
        yield problem("driver", found, CLUSTER)
    else:
        yield ok("driver", f"storage {kind} has its Python package {module}")


def _is_for(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _is_there(requirement: Requirement) -> bool:
    try:
        return bool(metadata.version(requirement.name))
    except metadata.PackageNotFoundError:
        return False


def _mismatch(requirement: Requirement) -> str | None:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement.name} {version} is not {requirement.specifier}"
