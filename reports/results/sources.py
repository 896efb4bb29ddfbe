"""Reads the results of a study from its directory, the truth that everything else is made of."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from reports.results.assembly import HISTORY_SCHEMA, assemble
from reports.results.frame import StudyResults, UnreadableResults
from studies.plan import Plan
from studies.records import RunRecord
from studies.registration import REGISTRATION_FILE, Registration

PLAN_FILE = "plan.json"
RECORD_FILE = "record.json"
HISTORY_FILE = "history.parquet"
ATTEMPTS = "attempt-*"
"""Folders of the attempts at a run, in that of the run."""

M = TypeVar("M", bound=BaseModel)


def load_study(directory: Path) -> StudyResults:
    """Read a study directory: `plan.json` and `runs/<run_key>/{record.json,history.parquet}`.

    What the study said before its first run is in `registration.json`.

    Raises:
        UnreadableResults: there is no plan, or a file cannot be read.
    """
    plan_path = directory / PLAN_FILE
    if not plan_path.is_file():
        raise UnreadableResults(
            f"no {PLAN_FILE} in {directory}: not the directory of a study. "
            "Give the folder that `ablate run` names at its end, or run the study first."
        )
    plan = parse(Plan, plan_path)
    records: dict[str, RunRecord] = {}
    histories: dict[str, pa.Table] = {}
    attempts: dict[str, int] = {}
    for run in plan.all_runs:
        folder = directory / "runs" / run.run_key
        attempts[run.run_key] = sum(1 for _ in folder.glob(ATTEMPTS))
        if (folder / RECORD_FILE).is_file():
            records[run.run_key] = parse(RunRecord, folder / RECORD_FILE)
            if run.task is None and (folder / HISTORY_FILE).is_file():
                histories[run.run_key] = read_history(folder / HISTORY_FILE)
    registered = directory / REGISTRATION_FILE
    registration = parse_registration(registered) if registered.is_file() else None
    return assemble(plan, records, histories, registration, attempts)


def parse_registration(path: Path) -> Registration:
    """What was registered.

    Raises:
        UnreadableResults: the file is no registration.
    """
    return parse(Registration, path, "It is written once, at the first run: restore it.")


def parse(model: type[M], path: Path, remedy: str = "Delete it and run the study again.") -> M:
    """A JSON file as the model that it was written from.

    Raises:
        UnreadableResults: it is not one.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UnreadableResults(
            f"{path} is no valid {model.__name__}: {place}: {first['msg']}. "
            f"Was it written by another version? {remedy}"
        ) from error


def read_history(path: Path) -> pa.Table:
    """The curves of one run.

    Raises:
        UnreadableResults: the file is no parquet file.
    """
    try:
        with pq.ParquetFile(path) as file:  # `read_table` takes five times as long
            table = file.read(use_threads=False)
    except pa.ArrowInvalid as error:
        raise UnreadableResults(
            f"{path} is no parquet file: {str(error).rstrip('.')}. Delete it and run the study "
            "again."
        ) from error
    known = set(table.column_names) == set(HISTORY_SCHEMA.names)
    return table.select(HISTORY_SCHEMA.names).cast(HISTORY_SCHEMA) if known else table
