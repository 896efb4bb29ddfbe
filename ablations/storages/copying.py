"""Copying a queue from one storage to another, with the studies that belong to it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import optuna
from optuna.storages import BaseStorage

from studies.errors import AblationError


def copy_studies(source: BaseStorage, name: str, target: BaseStorage, new_name: str) -> None:
    """Copy the study `name`, and those called `name/...`, under a new name.

    Raises:
        AblationError: the copy is not what there was; nothing of it is left.
    """
    try:
        for old in _family(source, name):
            new = new_name + old.removeprefix(name)
            optuna.copy_study(
                from_study_name=old, from_storage=source, to_storage=target, to_study_name=new
            )
            if _content(source, old) != _content(target, new):
                raise AblationError("the queue changed while it was copied: type the command again")
    except BaseException:
        with suppress(Exception):  # what is left of it has a name that nobody uses
            for new in _family(target, new_name):
                target.delete_study(target.get_study_id_from_name(new))
        raise


def _family(storage: BaseStorage, name: str) -> list[str]:
    """A study and those that belong to it, such as what its pruned runs are compared with."""
    known = [study.study_name for study in storage.get_all_studies()]
    return [other for other in known if other == name or other.startswith(f"{name}/")]


def _content(storage: BaseStorage, name: str) -> list[tuple[int, Any, dict[str, Any]]]:
    """Number, state and attributes of each attempt."""
    trials = storage.get_all_trials(storage.get_study_id_from_name(name))
    return [(t.number, t.state, t.user_attrs) for t in sorted(trials, key=lambda t: t.number)]
