"""Taking the queue of a study to another storage, with every attempt that was made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ablations.fleets import known_fleet
from ablations.ledger import MOVED, Ledger
from ablations.ledger_location import (
    ANSWER_S,
    FILES,
    STORAGE_VARIABLE,
    LedgerLocation,
    answering,
    ledger_lock,
    new_name,
    open_ledger,
    record_ledger,
    recorded_ledger,
    resolved,
)
from ablations.redaction import redacted
from ablations.run_directory import StudyDirectory
from ablations.storages.copying import copy_studies
from ablations.storages.opening import open_storage
from ablations.storages.patience import is_away, outliving, words_of
from ablations.storages.urls import kind_of, refuse_password, without_password
from studies.errors import AblationError


def move_queue(directory: StudyDirectory, asked: str) -> str:
    """Take the queue of a study elsewhere; returns where it is now, without a password.

    Nobody can claim from the old queue while it is copied, nor ever after. Where anything goes
    wrong, it stays as it was.

    Raises:
        AblationError: there is no queue, it is there already, runs are being trained, or one of
            the storages does not answer.
    """
    refuse_password(asked, "--storage")
    with ledger_lock(directory):
        recorded = recorded_ledger(directory)
        if recorded is None:
            raise AblationError(f"study {directory.study!r} has no queue yet: nothing is to move")
        url = resolved(asked, directory)
        shown = without_password(url)
        if shown == without_password(recorded.url):
            raise AblationError(f"the queue of study {directory.study!r} is in {shown} already")
        ledger = open_ledger(LedgerLocation(_with_password(recorded.url), recorded.name))
        target = LedgerLocation(_with_password(url), new_name(directory))
        storage = answering(target.url, ANSWER_S, open_storage, target.url)
        fleet = known_fleet(directory, ledger)
        _refuse_running(ledger, directory)
        with _left(ledger, shown):
            _refuse_running(ledger, directory)
            if fleet is not None:
                fleet.withdraw(running=True)  # its jobs look for work in the old queue
            copy_studies(ledger.storage, ledger.name, storage, target.name)
            storage.set_study_user_attr(storage.get_study_id_from_name(target.name), MOVED, None)
        record_ledger(directory, asked, target)
        directory.fleet_path.unlink(missing_ok=True)
    return shown


@contextmanager
def _left(ledger: Ledger, successor: str) -> Iterator[None]:
    """Nobody claims from a queue meanwhile, and after it; but for an error, which is told."""
    ledger.leave(successor)
    try:
        yield
    except BaseException as error:
        with outliving("`ablate run` finds out that it is still the queue"):
            ledger.stay()
        if isinstance(error, Exception) and is_away(error):
            words = redacted(words_of(error))
            raise AblationError(
                f"a storage does not answer any more ({words}): the queue stays where it was; "
                "type the command again"
            ) from None
        raise


def _refuse_running(ledger: Ledger, directory: StudyDirectory) -> None:
    if running := ledger.running():
        raise AblationError(
            f"{running} runs of study {directory.study!r} are being trained: `ablate cancel` has "
            "them saved and given back, then the queue can move"
        )


def _with_password(url: str) -> str:
    """The same storage as the environment has it, if it does: with a password."""
    given = os.environ.get(STORAGE_VARIABLE)
    if given is None or kind_of(given) in FILES:
        return url
    return given if without_password(given) == without_password(url) else url
