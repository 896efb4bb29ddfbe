"""Where the queue of a study is: in its folder unless another storage was asked for at first.

`ledger.json` in the study's folder names the storage, without secrets, and the name that the study
has there. The name ends in letters drawn by chance: one database serves the studies of many people.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import filelock
from pydantic import ValidationError

from ablations.ledger import Ledger
from ablations.redaction import redacted
from ablations.run_directory import StudyDirectory
from ablations.storages.patience import (
    PATIENCE_S,
    is_away,
    is_refused,
    lacks_tables,
    within,
    words_of,
)
from ablations.storages.sqlite import sqlite_url
from ablations.storages.urls import EXAMPLES, kind_of, refuse_password, without_password
from studies.errors import AblationError
from studies.files import write_atomically
from studies.section import Section

P = ParamSpec("P")
R = TypeVar("R")

STORAGE_VARIABLE = "ABLATE_STORAGE"
ANSWER_S = 15.0
"""How long a command waits for a database; a worker waits longer."""
FILES = ("sqlite", "journal")


class LedgerFile(Section):
    """What `ledger.json` says."""

    url: str
    """Storage, without a password."""
    name: str
    """Of the Optuna study."""


@dataclass(frozen=True)
class LedgerLocation:
    """A queue: where it is, and what it is called there."""

    url: str
    """May hold a password from the environment; never shown nor stored."""
    name: str


def known_ledger(directory: StudyDirectory, asked: str | None = None) -> LedgerLocation | None:
    """Where the queue of a study is, None for a study that has none yet.

    Args:
        directory: of the study.
        asked: where to reach it, such as a proxy in front of its database; otherwise
            ABLATE_STORAGE, or what the study's folder says.

    Raises:
        AblationError: `asked` has a password in it, or either it or the queue is a file, and the
            other is something else.
    """
    if asked is not None:
        refuse_password(asked, "--storage")
    recorded = recorded_ledger(directory)
    if recorded is None:
        return None
    wanted = recorded.url if asked is None else resolved(asked, directory)
    is_file = kind_of(recorded.url) in FILES
    if wanted != recorded.url and (is_file or kind_of(wanted) in FILES):
        raise AblationError(
            f"the queue of study {directory.study!r} is in {without_password(recorded.url)}, and "
            f"{asked} was asked for. Leave --storage out to go on there; `ablate move STUDY "
            "--storage URL` takes the queue elsewhere."
        )
    if is_file:
        return recorded
    url = asked or os.environ.get(STORAGE_VARIABLE)
    reachable = url is not None and kind_of(url) not in FILES
    return LedgerLocation(str(url), recorded.name) if reachable else recorded


def planner_ledger(
    directory: StudyDirectory, asked: str | None = None, usual: str | None = None
) -> Ledger:
    """The queue of a study, made where the study has none yet.

    Args:
        directory: of the study.
        asked: what `--storage` says.
        usual: where queues are kept if nobody says otherwise, as the user's profile has it;
            without it ABLATE_STORAGE, or else a SQLite file in the study's folder.

    Raises:
        AblationError: `asked` is no storage, has a password in it, is not where the queue is, or
            does not answer.
    """
    directory.path.mkdir(parents=True, exist_ok=True)
    with ledger_lock(directory):
        known = known_ledger(directory, asked)
        if known is not None:
            of_old = known.url == sqlite_url(directory.ledger_path)
            ledger = open_ledger(known, existing=not of_old)
            ledger.stay()  # who moved it was killed
            return ledger
        chosen = _chosen(asked, usual)
        url = resolved(chosen, directory)
        if url == sqlite_url(directory.ledger_path):
            return open_ledger(LedgerLocation(url, directory.study))
        name = new_name(directory)
        ledger = open_ledger(LedgerLocation(url, name))
        record_ledger(directory, chosen, LedgerLocation(url, name))
        return ledger


def ledger_lock(directory: StudyDirectory) -> filelock.BaseFileLock:
    """Held by whoever makes a queue or moves it."""
    return filelock.FileLock(directory.path / ".ledger.lock")


def new_name(directory: StudyDirectory) -> str:
    """A name for a queue that no other study has."""
    return f"{directory.study}-{secrets.token_hex(4)}"


def record_ledger(directory: StudyDirectory, chosen: str, location: LedgerLocation) -> None:
    """Write down where the queue is; a word alone stays one, so that a folder can be moved."""
    url = chosen if chosen in FILES else without_password(location.url)
    file = LedgerFile(url=url, name=location.name)
    write_atomically(directory.ledger_file_path, file.model_dump_json(indent=1))


def new_storage(directory: StudyDirectory, asked: str | None, usual: str | None) -> str:
    """Where the queue of a study that has none yet would be made: see `planner_ledger`."""
    return resolved(_chosen(asked, usual), directory)


def open_ledger(
    location: LedgerLocation, *, existing: bool = False, patience_s: float | None = None
) -> Ledger:
    """Open a queue; `existing` only reads one that is there.

    A storage that is away is waited for as long as a command may, if nothing else is said.

    Raises:
        AblationError: the storage does not answer, or does not have the study.
    """
    limit_s = ANSWER_S if patience_s is None else patience_s
    try:
        return answering(
            location.url, limit_s, Ledger, location.url, location.name, existing=existing
        )
    except Exception as error:
        if not (isinstance(error, KeyError) or (existing and lacks_tables(error))):
            raise
        raise AblationError(
            f"storage {without_password(location.url)} has no study {location.name!r}, of which "
            "the study's folder says that it is there. Name the storage that has it with "
            f"--storage or {STORAGE_VARIABLE}, or correct `url` in ledger.json."
        ) from None


def answering(
    url: str, patience_s: float, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Call a storage that may not answer.

    Raises:
        AblationError: it does not, for so long.
    """
    try:
        return within(patience_s, call, *args, **kwargs)
    except Exception as error:
        if not (is_away(error) or is_refused(error)):
            raise
        words = redacted(words_of(error))
        raise AblationError(
            f"storage {without_password(url)} does not answer: {words}\n"
            "Does its server run, is its address right, and is the password set (PGPASSWORD, "
            f"~/.pgpass, or the whole URL in {STORAGE_VARIABLE})? `ablate doctor` looks further. "
            "Nothing is lost."
        ) from None


def ledger_of(directory: StudyDirectory, asked: str | None = None) -> Ledger | None:
    """The queue of a study, to be read; None for a study that has none yet."""
    location = known_ledger(directory, asked)
    return open_ledger(location, existing=True) if location else None


def worker_ledger(directory: StudyDirectory, asked: str | None) -> Ledger:
    """The queue of a study, to claim from.

    Raises:
        AblationError: the study has no queue.
    """
    location = known_ledger(directory, asked)
    if location is None:
        raise AblationError(
            f"study {directory.study!r} has no queue in {directory.path}: `ablate run` makes it"
        )
    return open_ledger(location, existing=True, patience_s=PATIENCE_S)


def _chosen(asked: str | None, usual: str | None) -> str:
    return asked or os.environ.get(STORAGE_VARIABLE) or usual or "sqlite"


def recorded_ledger(directory: StudyDirectory) -> LedgerLocation | None:
    """Where the study's folder says that its queue is; None where it has none yet.

    Raises:
        AblationError: `ledger.json` is broken.
    """
    try:
        file = LedgerFile.model_validate_json(directory.ledger_file_path.read_bytes())
    except FileNotFoundError:
        if directory.ledger_path.exists():
            return LedgerLocation(sqlite_url(directory.ledger_path), directory.study)
        return None
    except ValidationError as error:
        raise AblationError(
            f"{directory.ledger_file_path} says not where the queue is: "
            f"{error.errors()[0]['msg']}. Restore it from a backup."
        ) from None
    return LedgerLocation(resolved(file.url, directory), file.name)


def resolved(asked: str, directory: StudyDirectory) -> str:
    """A storage as it was asked for, where a word alone is a file in the study's folder."""
    if asked == "sqlite":
        return sqlite_url(directory.ledger_path)
    if asked == "journal":
        return f"journal://{directory.path / 'ledger.journal'}"
    kind, path = kind_of(asked), asked.partition("://")[2]
    if kind in FILES:
        path = path.removeprefix("/") if kind == "sqlite" else path
        if not path.startswith("/"):
            whole = {"sqlite": "sqlite:////FOLDER/FILE", "journal": "journal:///FOLDER/FILE"}[kind]
            raise AblationError(
                f"storage {asked!r}: give the whole path ({whole}), or just {kind!r}"
            )
        return sqlite_url(Path(path)) if kind == "sqlite" else f"journal://{Path(path).resolve()}"
    if "://" not in asked:
        raise AblationError(f"{asked!r} is no storage; allowed: {EXAMPLES}")
    return asked
