"""The rows of a labelled data set, as text by column, with the place that each came from."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from lightning_modules.data.corpus import DataError
from studies.errors import close_matches
from studies.tasks import HUB, Task

SUFFIXES = {
    ".tsv": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}

MCTEST_QUESTIONS, MCTEST_ANSWERS = 4, "ABCD"


class Row(NamedTuple):
    """One row."""

    place: str
    """Where it stands, for errors: file and line, or split and number."""
    values: dict[str, str]


def read_rows(task: Task, part: str) -> Iterator[Row]:
    """The rows of a file or split of a task.

    Raises:
        DataError: it is not there, cannot be read, or a row is malformed.
    """
    if task.is_on_hub:
        yield from _of_hub(task, part)
        return
    path = Path(task.source) / part
    kind = task.format or SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise DataError(
            "finetuning.tasks",
            str(path),
            allowed=f"a file that ends in {', '.join(SUFFIXES)}, or one with a `format`",
            remedy="give the task `format: tsv` or whatever it is",
        )
    with _readable(path):
        yield from READERS[kind](path, task)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DataError(
            "finetuning.tasks",
            str(path),
            allowed=f"a file of UTF-8 text that can be read; {why}",
            remedy="correct the task's source, train or evaluation, or convert the file",
        ) from None


def malformed(place: str, found: str, allowed: str) -> DataError:
    """The error of a row that is not as the task says."""
    remedy = "correct the row or remove it, or correct the task's columns"
    return DataError("finetuning.tasks", place, allowed=f"{allowed}; {found}", remedy=remedy)


def _separated(path: Path, task: Task, **dialect: Any) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, **dialect)
        names: list[str] | None = None
        try:
            for values in reader:
                place = f"{path}:{reader.line_num}"
                if names is None:
                    names = values if task.header else [str(n + 1) for n in range(len(values))]
                    if task.header:
                        continue
                if len(values) != len(names):
                    found = f"this row has {len(values)}"
                    raise malformed(place, found, f"{len(names)} fields, as the first row has")
                yield Row(place, dict(zip(names, values, strict=True)))
        except csv.Error as error:
            raise malformed(f"{path}:{reader.line_num}", str(error), "fields") from None


def _tsv(path: Path, task: Task) -> Iterator[Row]:
    # Lines end with a newline alone: some texts hold other characters that count as one.
    return _separated(path, task, delimiter="\t", quoting=csv.QUOTE_NONE)


def _csv(path: Path, task: Task) -> Iterator[Row]:
    return _separated(path, task)


def _jsonl(path: Path, task: Task) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            place = f"{path}:{number}"
            try:
                values = json.loads(line)
            except ValueError as error:
                raise malformed(place, str(error), "a JSON object in each line") from None
            if not isinstance(values, dict):
                raise malformed(place, f"this line is {line[:40]!r}", "a JSON object in each line")
            yield _row(place, values)


def _parquet(path: Path, task: Task) -> Iterator[Row]:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except Exception as error:  # the library's errors have no base class of their own
        raise malformed(str(path), str(error), "a parquet file") from None
    return _numbered(str(path), table.to_pylist())


def _mctest(path: Path, task: Task) -> Iterator[Row]:
    """A row for each question of a story: story, question, A to D, answer."""
    answers = path.with_suffix(".ans")
    with path.open(encoding="utf-8-sig", newline="\n") as file, _readable(answers):
        stories = [line.rstrip("\r\n").split("\t") for line in file]
        rights = [line.split() for line in answers.read_text(encoding="utf-8").splitlines()]
    if len(stories) != len(rights):
        found = f"there are {len(rights)}"
        raise malformed(str(answers), found, f"a line for each of the {len(stories)} stories")
    width = 1 + len(MCTEST_ANSWERS)
    for number, (fields, right) in enumerate(zip(stories, rights, strict=True), 1):
        place = f"{path}:{number}"
        if len(fields) != 3 + MCTEST_QUESTIONS * width or len(right) != MCTEST_QUESTIONS:
            found = f"this line has {len(fields)} fields, and {len(right)} answers"
            raise malformed(place, found, "23 fields, and 4 answers in the .ans file")
        story = " ".join(fields[2].replace("\\newline", " ").replace("\\tab", " ").split())
        for first in range(MCTEST_QUESTIONS):
            question, *choices = fields[3 + first * width : 3 + (first + 1) * width]
            values = {"story": story, "question": question.partition(":")[2].strip() or question}
            values |= dict(zip(MCTEST_ANSWERS, choices, strict=True))
            yield Row(f"{place}, question {first + 1}", values | {"answer": right[first]})


READERS: dict[str, Callable[[Path, Task], Iterator[Row]]] = {
    "tsv": _tsv,
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "mctest": _mctest,
}


def _of_hub(task: Task, split: str) -> Iterator[Row]:
    import datasets  # takes 2 s: only who reads a data set of the hub pays

    name = task.source.removeprefix(HUB)
    try:
        rows = datasets.load_dataset(name, task.subset, revision=task.revision, split=split)
    except Exception as error:  # many libraries, and no base class in common
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            "finetuning.tasks",
            f"{task.source}, split {split}",
            allowed=f"a data set of the hub and a split of it; {type(error).__name__}: {reason}",
            remedy="check source, subset, revision, train and evaluation; without network, name a "
            "folder of local files",
        ) from error
    return _numbered(f"{task.source}, {split}", rows)


def _numbered(where: str, rows: Iterable[dict[str, Any]]) -> Iterator[Row]:
    return (_row(f"{where}, row {number}", values) for number, values in enumerate(rows))


def _row(place: str, values: dict[str, Any]) -> Row:
    return Row(place, {str(k): "" if v is None else str(v) for k, v in values.items()})


def value_of(row: Row, column: str) -> str:
    """The text in a column of a row.

    Raises:
        DataError: there is no such column, or nothing in it.
    """
    if column not in row.values:
        hint = close_matches(column, row.values)
        known = ", ".join(row.values)
        raise malformed(row.place, f"no column {column!r} {hint}".strip(), f"one of {known}")
    value = row.values[column].strip()
    if not value:
        raise malformed(row.place, f"nothing in column {column!r}", "a text in each column")
    return value
