"""The storage of the queue: reachable, safe to claim from, quick, with room for the workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ablations.doctor.findings import Finding, ok, problem, warning
from ablations.doctor.mounts import existing, mount_of
from ablations.doctor.situation import Situation
from ablations.storages.opening import open_storage
from ablations.storages.patience import is_away, is_refused, words_of
from ablations.storages.probing import CONTENDERS, FILES, close, database_facts, race, round_trip
from ablations.storages.urls import kind_of, without_password
from studies.errors import AblationError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

SLOW_MS = 250.0
PER_WORKER = 3
"""Connections that a worker may have for a moment; it keeps one."""
REMEDIES = {
    "password": "Set PGPASSWORD or ~/.pgpass, or the whole URL in ABLATE_STORAGE.",
    "access denied": "Set the whole URL, password and all, in ABLATE_STORAGE.",
    "does not exist": "Have the database (or the role) made: createdb, createuser.",
    "unknown database": "Have the database made: CREATE DATABASE.",
    "permission denied": "GRANT CREATE ON SCHEMA public TO the user, or give it its own database.",
    "no pg_hba.conf entry": "Let the server's pg_hba.conf admit this machine, user and database.",
    "resolve": "Is the name of the host right, and known on this machine?",
    "translate": "Is the name of the host right, and known on this machine?",
    "refused": "Is the server started, does it listen on this address, is the port right?",
    "timeout": "A firewall in between? Ask for the port to be opened from here and from the nodes.",
    "too many": "Put `ablate proxy` in front of the database, or raise max_connections.",
}
ELSE = "Does the server run, and are its address and password right?"


def reachable(situation: Situation) -> Iterator[Finding]:
    """Whether the storage answers, has the study, and was made by an Optuna that fits ours."""
    url, kind = situation.storage, kind_of(situation.storage)
    shown = without_password(url)
    if kind in FILES:
        yield from _suits(situation, kind)
        path = _path(url)
        if not path.exists():
            yield ok(kind, f"none yet; `ablate run` makes {path}")
            return
    try:
        storage = open_storage(url)
        if situation.ledger is not None:
            storage.get_study_id_from_name(situation.ledger.name)
        elif kind == "grpc":
            storage.get_all_studies()
    except KeyError:
        assert situation.ledger is not None
        remedy = "Name the storage that has it with --storage, or correct url in ledger.json."
        yield problem(shown, f"has no study {situation.ledger.name!r}", remedy)
        return
    except AblationError:
        raise  # it says what to do
    except Exception as error:
        yield _away(shown, error)
        return
    yield from _described(situation, storage, shown)
    close(storage)
    if kind == "journal":
        yield _last_line(_path(url))


def claims(situation: Situation) -> Iterator[Finding]:
    """Whether of several that claim the same trial exactly one has it."""
    told = race(situation.storage)
    if told.errors:
        found = f"{len(told.errors)} claims failed: {told.errors[0]}"
        yield problem("claims", found, f"It has to bear {CONTENDERS} connections at a time.")
    elif not told.is_fair:
        found = (
            f"of {told.rounds} trials {told.doubled} were claimed twice, {told.unclaimed} by nobody"
        )
        remedy = "Workers would train runs twice: use PostgreSQL, or a journal on another disk."
        yield problem("claims", found, remedy)
    else:
        yield ok("claims", f"each of {told.rounds} trials had one winner among {CONTENDERS}")


def round_trip_time(situation: Situation) -> Iterator[Finding]:
    """How long a small read and write take."""
    took = round_trip(situation.storage)
    found = f"read {took.read_ms:.1f} ms, write {took.write_ms:.1f} ms"
    if max(took.read_ms, took.write_ms) > SLOW_MS:
        remedy = "Have the database nearer to the nodes; each worker writes every few seconds."
        yield warning("round trip", found, remedy)
    else:
        yield ok("round trip", found)


def connections(situation: Situation) -> Iterator[Finding]:
    """Whether a database server has room for all workers."""
    if kind_of(situation.storage) != "postgresql":
        return
    storage = open_storage(situation.storage, existing=True)
    facts = database_facts(storage)
    close(storage)
    assert facts is not None
    assert facts.most_connections is not None
    assert facts.connections is not None
    free = facts.most_connections - facts.connections
    found = f"{facts.connections} of {facts.most_connections} in use"
    workers = situation.profile.workers or 1
    each = max(1, situation.profile.slurm.gpus_per_worker) if situation.is_on_cluster else 1
    processes = workers * (each + 1)  # one for each GPU, and the one that attends to them
    found += f"; {processes} processes of {workers} workers keep one each, for a moment three"
    remedy = "Put `ablate proxy` in front of the database (--storage grpc://HOST:PORT)."
    if processes > free:
        yield problem("connections", found, remedy)
    elif processes * PER_WORKER > free:
        yield warning("connections", found, remedy)
    else:
        yield ok("connections", found)


def _suits(situation: Situation, kind: str) -> Iterator[Finding]:
    """Whether a file can be the queue of these workers, on this file system."""
    mount = mount_of(existing(_path(situation.storage).parent))
    remedy = "--storage journal, or better postgresql://USER@HOST/DATABASE, for a new study."
    if kind == "sqlite" and situation.is_on_cluster:
        found = f"is for one machine, and launcher {situation.launcher} uses others"
        yield problem("sqlite", found, remedy)
    elif kind == "sqlite" and mount is not None and mount.is_network:
        found = f"on {mount.kind}: its write-ahead log needs memory that only one machine shares"
        yield problem("sqlite", found, remedy)


def _described(situation: Situation, storage: BaseStorage, shown: str) -> Iterator[Finding]:
    """What is there, by its own word."""
    study = f", study {situation.ledger.name}" if situation.ledger else ""
    facts = database_facts(storage)
    if facts is None:
        behind = ""
        if kind_of(situation.storage) == "grpc":
            recorded = situation.recorded_storage
            behind = ", in front of " + (
                f"{without_password(recorded)} by ledger.json"
                if recorded
                else "it does not say what"
            )
        yield ok(shown, f"answers{behind}{study}")
        return
    yield ok(shown, f"answers, {facts.version}{study}")
    if facts.made_by_optuna.split(".")[0] != facts.own_optuna.split(".")[0]:
        found = f"tables made by {facts.made_by_optuna}, {facts.own_optuna} here"
        remedy = "Times would shift: give studies of this version a database of their own."
        yield warning("Optuna", found, remedy)
    else:
        yield ok("Optuna", f"tables made by {facts.made_by_optuna}, {facts.own_optuna} here")


def _away(shown: str, error: Exception) -> Finding:
    words = words_of(error) or type(error).__name__
    text = f"{words} {error}".lower()
    known = (remedy for needle, remedy in REMEDIES.items() if needle in text)
    how = "refuses us" if is_refused(error) else "does not answer" if is_away(error) else "fails"
    return problem(shown, f"{how}: {words}", next(known, ELSE))


def _last_line(path: Path) -> Finding:
    size_mib = path.stat().st_size / 2**20
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        whole = file.read() in (b"", b"\n")
    if whole:
        return ok("journal", f"{size_mib:.1f} MiB, its last line is whole")
    remedy = "Nothing: the next who writes cuts it off. Is the disk full, or over its quota?"
    return warning("journal", f"{size_mib:.1f} MiB, its last line is torn", remedy)


def _path(url: str) -> Path:
    """The file of a storage that is one."""
    return Path("/" + url.partition("://")[2].lstrip("/"))
