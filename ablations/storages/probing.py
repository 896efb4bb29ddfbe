"""Trying a storage: whether a claim really is compare-and-set there, and how long calls take."""

from __future__ import annotations

import contextlib
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from ablations.storages.opening import open_storage
from ablations.storages.urls import kind_of

SCRATCH = "ablate-doctor-"
FILES = ("sqlite", "journal")
CONTENDERS, MOST_ROUNDS = 8, 100
"""So many find out SQLite as Optuna opens it in 15 to 35 rounds of 100; four do in 1 to 10."""
RACE_S = 6.0
"""After so long no further round begins."""
CALLS = 10


@dataclass
class Race:
    """Rounds in which several tried to claim the same trial."""

    rounds: int = 0
    doubled: int = 0
    """Rounds that more than one won."""
    unclaimed: int = 0
    """Rounds that nobody won."""
    errors: list[str] = field(default_factory=list)

    @property
    def is_fair(self) -> bool:
        """Whether each round had one winner."""
        return self.rounds > 0 and not (self.doubled or self.unclaimed or self.errors)


@dataclass(frozen=True)
class RoundTrip:
    """Medians over some calls."""

    read_ms: float
    write_ms: float


@dataclass(frozen=True)
class DatabaseFacts:
    """What a database says of itself."""

    version: str
    made_by_optuna: str
    """Version of Optuna that made the tables."""
    own_optuna: str
    most_connections: int | None = None
    """That ordinary users may have; None where it is not a matter of a server."""
    connections: int | None = None
    """Of everybody, at this moment."""


def race(url: str) -> Race:
    """Have several connections claim the same waiting trial, time and again.

    A file is not touched: one of its kind is made beside it, in the same way.
    """
    told = Race()
    with scratch_storage(url) as place, _scratch_study(place) as (storage, study):
        contest = _Contest(place)
        deadline = time.monotonic() + RACE_S
        while told.rounds < MOST_ROUNDS and (not told.rounds or time.monotonic() < deadline):
            trial = storage.create_new_trial(study, create_trial(state=TrialState.WAITING))
            winners = contest.round(trial)
            told.rounds += 1
            told.doubled += winners > 1
            told.unclaimed += winners == 0
        contest.end()
        told.errors = contest.errors
    return told


def round_trip(url: str) -> RoundTrip:
    """How long a small read and a small write take."""
    with scratch_storage(url) as place, _scratch_study(place) as (storage, study):
        read = _median_ms(lambda: storage.get_study_user_attrs(study))
        write = _median_ms(lambda: storage.set_study_user_attr(study, "doctor", 1))
    return RoundTrip(read, write)


def database_facts(storage: BaseStorage) -> DatabaseFacts | None:
    """What an SQL database says of itself; None for any other storage."""
    engine = _engine(storage)
    if engine is None:
        return None
    with engine.connect() as connection:

        def ask(query: str) -> Any:
            return connection.execute(sqlalchemy.text(query)).scalar_one()

        name = engine.dialect.name
        version = ask("SELECT sqlite_version()" if name == "sqlite" else "SELECT version()")
        own = optuna.__version__
        shown = str(version) if name == "postgresql" else f"{name} {version}"
        facts = DatabaseFacts(shown, ask("SELECT library_version FROM version_info"), own)
        if name != "postgresql":
            return facts
        reserved = int(ask("SHOW superuser_reserved_connections"))
        most = int(ask("SHOW max_connections")) - reserved
        now = ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        return DatabaseFacts(shown.split(" (")[0], facts.made_by_optuna, own, most, int(now))


@contextlib.contextmanager
def scratch_storage(url: str) -> Iterator[str]:
    """Where things may be tried: in the same database, or in a file beside that of the URL."""
    if kind_of(url) not in FILES:
        yield url
        return
    prefix, _, path = url.partition("://")
    folder = next(parent for parent in Path(path).parents if parent.is_dir())
    with tempfile.TemporaryDirectory(prefix=f".{SCRATCH}", dir=folder) as scratch:
        slash = "/" if prefix.startswith("sqlite") else ""
        yield f"{prefix}://{slash}{scratch}/scratch"


@contextlib.contextmanager
def _scratch_study(url: str) -> Iterator[tuple[BaseStorage, int]]:
    """A study of its own, deleted in the end."""
    storage = open_storage(url)
    name = SCRATCH + secrets.token_hex(6)
    study = storage.create_new_study([StudyDirection.MINIMIZE], name)
    try:
        yield storage, study
    finally:
        storage.delete_study(study)
        close(storage)


class _Contest:
    """Threads, each with connections of its own, that all try to claim the same trial."""

    def __init__(self, url: str) -> None:
        self.errors: list[str] = []
        self._winners, self._trial = 0, -1
        self._lock = threading.Lock()
        self._barrier = threading.Barrier(CONTENDERS + 1)
        storages = [open_storage(url, existing=True) for _ in range(CONTENDERS)]
        for storage in storages:
            threading.Thread(target=self._contend, args=(storage,), daemon=True).start()

    def round(self, trial: int) -> int:
        """How many believe that they have claimed a waiting trial."""
        self._winners, self._trial = 0, trial
        self._barrier.wait()
        self._barrier.wait()
        return self._winners

    def end(self) -> None:
        """Let the threads go."""
        self._trial = -1
        self._barrier.wait()

    def _contend(self, storage: BaseStorage) -> None:
        while True:
            self._barrier.wait()
            if self._trial < 0:
                close(storage)
                return
            try:
                won = storage.set_trial_state_values(self._trial, TrialState.RUNNING)
                with self._lock:
                    self._winners += won
            except UpdateFinishedTrialError:
                pass
            except Exception as error:
                self.errors.append(str(error.__cause__ or error).strip().splitlines()[0][:200])
            self._barrier.wait()


def _engine(storage: BaseStorage) -> sqlalchemy.Engine | None:
    """The connections of an SQL database, which Optuna keeps behind a cache."""
    engine = getattr(getattr(storage, "_backend", storage), "engine", None)
    return engine if isinstance(engine, sqlalchemy.Engine) else None


def close(storage: BaseStorage) -> None:
    """Give the connections of a storage back."""
    storage.remove_session()
    if (engine := _engine(storage)) is not None:
        engine.dispose()


def _median_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(CALLS):
        start = time.monotonic()
        call()
        times.append((time.monotonic() - start) * 1000)
    return statistics.median(times)
