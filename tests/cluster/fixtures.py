"""Servers and a cluster for tests, which skip where the programs are not installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import mariadb as mariadb_server
from tests.cluster import postgresql as postgresql_server
from tests.cluster import slurm as slurm_cluster
from tests.cluster.mariadb import MariaDB
from tests.cluster.postgresql import PostgreSQL
from tests.cluster.slurm import SlurmCluster


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A server for all tests of a process: each creates a database of its own."""
    if reason := postgresql_server.missing():
        pytest.skip(reason)
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A server for all tests of a process: each creates a database of its own."""
    if reason := mariadb_server.missing():
        pytest.skip(reason)
    with MariaDB() as server:
        yield server


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    """A cluster for the tests of a file, since crashed nodes and queued jobs stay."""
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    with SlurmCluster() as cluster:
        yield cluster
