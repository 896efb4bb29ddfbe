"""`ablate query`: tracked runs that meet a filter, as a table, CSV or JSON."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ablations.console import plain_console
from ablations.option_values import is_study_file, tracking_uri
from ablations.query_filter import Filter, Key, parse_filter
from ablations.query_hints import why_nothing
from ablations.query_table import show_runs
from ablations.stored_runs import (
    ARM,
    COLUMN,
    IDENTITY,
    KIND,
    LOSS,
    OUTCOME,
    SCORE,
    SEED,
    STAGE,
    STANDARD,
    TASK,
    VARIANT,
    StoredRun,
    compared_params,
    distinct,
    in_order,
    resolve,
    unknown,
)
from ablations.tracking_store import require_store
from studies.loading import load_study

if TYPE_CHECKING:
    from ablations.tracking_search import RunSearch


def query(options: argparse.Namespace) -> int:
    """Print the runs of a tracking store that meet a filter."""
    uri = tracking_uri(options)
    require_store(uri)  # before MLflow is imported, which takes longer than all the rest
    from ablations.tracking_search import RunSearch

    filter = parse_filter(options.filter)
    kind = options.kind or ("all" if KIND in filter.keys else "run")
    search = RunSearch(uri, _study(options))
    found = search.runs(kind, filter)
    searched = found or search.runs(kind)
    shown = _sorted(found, searched, options)[: options.limit]
    asked = None
    if options.columns is not None:
        asked = list(dict.fromkeys(resolve(name, searched) for name in options.columns.split(",")))
    if options.json:
        print(json.dumps([_as_json(run, asked) for run in shown], indent=1, allow_nan=False))
    else:
        columns = _asked_columns(asked) if asked else _columns(found, filter, search)
        if options.csv:
            _write_csv(shown, columns)
        else:
            show_runs(plain_console(), shown, columns, asked or [])
            print(_count(len(found), len(shown)))
    if not found:
        sys.stdout.flush()
        for reason in why_nothing(filter, searched, kind):
            print(f"ablate: {reason}", file=sys.stderr)
    return 0


def _count(found: int, shown: int) -> str:
    matches = "1 run matches" if found == 1 else f"{found:,} runs match"
    return matches if shown == found else f"{matches}, {shown:,} shown"


def _study(options: argparse.Namespace) -> str | None:
    """The name of a study that was given by it, or by the path of its file."""
    name: str | None = options.study
    if name is not None and is_study_file(name):
        return load_study(name).study.name
    return name


def _sorted(
    found: Sequence[StoredRun], searched: Sequence[StoredRun], options: argparse.Namespace
) -> list[StoredRun]:
    if options.sort is None:
        return in_order(found)
    key = resolve(options.sort, searched)
    if searched and not distinct(searched, key):
        raise unknown(options.sort, searched)
    return in_order(found, key, descending=options.descending)


def _asked_columns(asked: Sequence[Key]) -> list[Key]:
    return list(dict.fromkeys([*IDENTITY, *asked]))


def _columns(found: Sequence[StoredRun], filter: Filter, search: RunSearch) -> list[Key]:
    """What names a run, the factors of its study, what the filter names, and how it ended."""
    named = [key for key in filter.keys if key.name not in (SEED.name, VARIANT.name)]
    params = compared_params(found, search.runs("study"))
    params += [key for key in named if key.kind == "params"]
    roles = [key for key in (STAGE, COLUMN) if len(distinct(found, key)) > 1]
    roles += [key for key in (TASK, ARM) if distinct(found, key)]
    came_to = [key for key in (LOSS, SCORE) if distinct(found, key)] or [LOSS]
    others = [key for key in named if key.kind != "params"]
    return list(dict.fromkeys([*IDENTITY, *params, *roles, OUTCOME, *came_to, *others]))


def _as_json(run: StoredRun, asked: Sequence[Key] | None) -> dict[str, Any]:
    """What names a run, and all that was asked for of it; without columns, everything."""
    kinds = {
        kind: {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in run.values(kind).items()
            if asked is None or Key(kind, name) in asked
        }
        for kind in ("params", "metrics", "tags")
    }
    standard: dict[str, Any] = {key.name: run.value(key) for key in STANDARD}
    if run.tags.get(SEED.name, "").isdigit():
        standard[SEED.name] = int(run.tags[SEED.name])
    return standard | kinds | {"attributes": run.attributes}


def _write_csv(runs: Sequence[StoredRun], columns: Sequence[Key]) -> None:
    """Every number in full, and nothing left out because it is the same everywhere."""
    keys = list(dict.fromkeys([*STANDARD, *columns]))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(key.name if key in STANDARD else str(key) for key in keys)
    for run in runs:
        writer.writerow("" if (value := run.value(key)) is None else value for key in keys)
