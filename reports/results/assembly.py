"""Plan, records and histories, joined into the tidy results of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from reports.results.frame import StudyResults, UnreadableResults
from studies.metrics import METRICS
from studies.plan import Plan, PlannedRun
from studies.records import Outcome, RunRecord
from studies.registration import Registration

_NAMES = pa.dictionary(pa.int32(), pa.string())
HISTORY_SCHEMA = pa.schema([("metric", _NAMES), ("step", pa.int64()), ("value", pa.float64())])
"""Columns of `history.parquet`: a long table, one row per recorded number. As words, and not as
numbers of words, the names would take most of the memory."""

HISTORY_COLUMNS = ["run_key", *HISTORY_SCHEMA.names]


def assemble(
    plan: Plan,
    records: Mapping[str, RunRecord],
    histories: Mapping[str, pa.Table],
    registration: Registration | None = None,
    attempts: Mapping[str, int] | None = None,
) -> StudyResults:
    """Join a plan with the records and histories found for it; runs outside the plan are left out.

    Raises:
        UnreadableResults: a history has other columns than metric, step and value.
    """
    planned = {run.run_key: run for run in plan.runs}
    finetunings = _of_runs(plan, plan.finetuning_runs, records)
    records = _of_runs(plan, plan.runs, records)
    definitions = dict(METRICS)
    for record in records.values():
        definitions.update(record.definitions)
    kept = {key: table for key, table in sorted(histories.items()) if key in planned}
    runs, curves = _run_frame(plan, records), _history_frame(kept)
    tried = {key: count for key, count in (attempts or {}).items() if key in planned}
    return StudyResults(plan, runs, curves, definitions, records, registration, tried, finetunings)


def _of_runs(
    plan: Plan, runs: Iterable[PlannedRun], records: Mapping[str, RunRecord]
) -> dict[str, RunRecord]:
    """The records of some runs, as the plan calls them, by key."""
    planned = {run.run_key: run for run in runs}
    return {
        key: record.as_planned(plan, planned[key])
        for key, record in sorted(records.items())
        if key in planned
    }


def _run_frame(plan: Plan, records: Mapping[str, RunRecord]) -> pd.DataFrame:
    found = [records.get(run.run_key) for run in plan.runs]
    rows = [
        {
            "run_key": run.run_key,
            "variant": run.variant,
            "seed": run.seed,
            "stage": run.stage,
            "outcome": record.outcome.value if record else Outcome.MISSING.value,
            "leak": record.leak.value if record and record.leak else None,
            "attempt": record.attempt if record else None,
            "wall_time_s": record.wall_time_s if record else None,
            "error": record.error if record else None,
        }
        for run, record in zip(plan.runs, found, strict=True)
    ]
    runs = pd.DataFrame(rows).astype({"attempt": "Int64", "wall_time_s": float})
    by_variant = {cell.variant: cell.levels for cell in plan.cells}
    # Whole numbers stay whole beside a null.
    levels = pd.DataFrame(
        [
            {**by_variant[run.variant], **plan.settings(run.variant, run.settings)}
            for run in plan.runs
        ]
    ).convert_dtypes()
    summaries = pd.DataFrame([record.summary if record else {} for record in found])
    return pd.concat([runs, levels, summaries[sorted(summaries.columns)]], axis=1)


def _history_frame(histories: Mapping[str, pa.Table]) -> pd.DataFrame:
    tables = []
    for key, table in histories.items():
        if set(table.column_names) != set(HISTORY_SCHEMA.names):
            raise UnreadableResults(
                f"history of run {key} has the columns {', '.join(table.column_names)}; "
                f"allowed: {', '.join(HISTORY_SCHEMA.names)}. "
                "Delete the file and run the study again."
            )
        table = table.select(HISTORY_SCHEMA.names).cast(HISTORY_SCHEMA)
        metric = table["metric"].combine_chunks()
        keys = pa.DictionaryArray.from_arrays(np.zeros(len(table), dtype="int32"), [key])
        tables.append(
            pa.table([keys, metric, table["step"], table["value"]], names=HISTORY_COLUMNS)
        )
    if not tables:
        frame = pd.DataFrame(columns=HISTORY_COLUMNS)
        return frame.astype({"run_key": "category", "metric": "category", "value": float})
    # Dictionaries, joined into one, keep millions of rows of repeated names small.
    joined: pd.DataFrame = pa.concat_tables(tables).unify_dictionaries().to_pandas()
    return joined
