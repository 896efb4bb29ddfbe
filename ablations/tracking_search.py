"""Searching a tracking store for runs."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from ablations.query_filter import EVERYTHING, Filter
from ablations.stored_runs import STUDY, StoredRun
from ablations.tracking import KIND  # it sets MLflow up, and so comes first
from ablations.tracking_errors import explained
from ablations.tracking_store import store_lock
from studies.errors import AblationError, close_matches

# isort: split
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from mlflow.tracking import MlflowClient

T = TypeVar("T")

PAGE_SIZE = 1000
"""Runs that one request asks for."""
GRAMMAR = """\
A filter is comparisons joined by `and`. There is no `or` and no parenthesis around comparisons:
params.norm in ("batch", "layer") asks for either. Names begin with params., metrics., tags. or
attributes., or are keys of a study file, such as model.norm. Texts are compared by = != LIKE ILIKE
in, numbers by = != < <= > >= in.
example: ablate query 'params.norm = "layer" and metrics."val/loss" < 2.1'"""

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # not each retry: we tell once


class RunSearch:
    """The studies of a tracking store, or one of them, whose runs are searched."""

    def __init__(self, uri: str, study: str | None = None) -> None:
        """Look what studies there are.

        Args:
            uri: the store, which MLflow would create if it were a SQLite file that is not there.
            study: the one to search, None for all.

        Raises:
            AblationError: the store cannot be read, or has no such study.
        """
        self._uri = uri
        with _readable(uri):
            with store_lock(uri):  # somebody may be creating its tables
                self._client = MlflowClient(tracking_uri=uri)
            experiments = _all_pages(
                lambda token: self._client.search_experiments(page_token=token)
            )
        self._studies = {e.experiment_id: e.name for e in experiments}
        if study is not None:
            self._studies = {i: name for i, name in self._studies.items() if name == study}
            if not self._studies:
                raise _unknown_study(study, uri, sorted(e.name for e in experiments))

    def runs(self, kind: str, filter: Filter = EVERYTHING) -> list[StoredRun]:
        """Runs of a kind, or of any with `all`, that meet a filter.

        Raises:
            AblationError: MLflow refuses the filter, or the store cannot be read.
        """
        if not self._studies:
            return []
        asked = filter.for_mlflow(*([] if kind == "all" else [f"tags.{KIND} = '{kind}'"]))
        with _readable(self._uri), _explaining(filter):
            found = _all_pages(
                lambda token: self._client.search_runs(
                    list(self._studies), asked, max_results=PAGE_SIZE, page_token=token
                )
            )
        runs = (self._tracked(run) for run in found)
        return [run for run in runs if all(c.holds(run.value(c.key)) for c in filter.ours)]

    def _tracked(self, run: Run) -> StoredRun:
        times = {"start_time": run.info.start_time, "end_time": run.info.end_time}
        attributes = {
            STUDY.name: self._studies[run.info.experiment_id],
            "run_id": run.info.run_id,
            "run_name": run.info.run_name,
            "status": run.info.status,
            "user_id": run.info.user_id,
            "artifact_uri": run.info.artifact_uri,
            **{name: _iso(time_ms) for name, time_ms in times.items() if time_ms},
        }
        return StoredRun(run.data.params, run.data.metrics, run.data.tags, attributes)


def _all_pages(page_after: Callable[[str | None], PagedList[T]]) -> list[T]:
    found: list[T] = []
    token = None
    while True:
        page = page_after(token)
        found += page
        token = page.token
        if not token:
            return found


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")


@contextlib.contextmanager
def _readable(uri: str) -> Iterator[None]:
    """Every kind of store has errors of its own."""
    try:
        yield
    except AblationError:
        raise
    except Exception as error:
        raise explained(uri, error) from error


@contextlib.contextmanager
def _explaining(filter: Filter) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        raise AblationError(
            f"MLflow refuses the filter: {_useful(str(error))}\n  {filter.text}\n{GRAMMAR}"
        ) from error


def _useful(words: str) -> str:
    """What MLflow says of a filter, without codes and lists of what it would take."""
    words = words.removeprefix("INVALID_PARAMETER_VALUE: ")
    return re.sub(r"(\.? Valid \w+( \w+)? are| not one of) .*", "", words, flags=re.DOTALL)


def _unknown_study(study: str, uri: str, known: list[str]) -> AblationError:
    hint = close_matches(study, known)
    return AblationError(
        f"{uri} has no study {study!r}{f': {hint}' if hint else '.'} "
        f"Studies there: {', '.join(known)}. Leave --study out to search all."
    )
