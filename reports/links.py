"""Where the runs of a study are shown in the MLflow UI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from studies.errors import AblationError


class Links(Protocol):
    """Addresses of the runs of a page."""

    def to(self, run: str) -> str | None:
        """Address of a run, by what the page calls it; None for one that is not in the store."""


@dataclass(frozen=True)
class RunLinks:
    """Addresses of runs in the MLflow UI."""

    ui_url: str
    """Address of the UI, without a slash at its end."""
    experiment_id: str
    run_ids: Mapping[str, str] = field(default_factory=dict)
    """Run key to the identifier of its MLflow run."""

    def to(self, run: str) -> str | None:
        """Address of a run by its key; None for one that is not in the store."""
        run_id = self.run_ids.get(run)
        if run_id is None:
            return None
        experiment = quote(self.experiment_id, safe="")
        return f"{self.ui_url}/#/experiments/{experiment}/runs/{quote(run_id, safe='')}"


@dataclass(frozen=True)
class JoinedLinks:
    """Addresses of the runs of several studies, each of which has its own experiment."""

    studies: Mapping[str, RunLinks]
    """By study; one that is not in the store is not here."""

    def to(self, run: str) -> str | None:
        """Address of a run, called STUDY/KEY; None for one that is not in the store."""
        study, _, run_key = run.partition("/")
        links = self.studies.get(study)
        return links.to(run_key) if links else None


def ui_address(url: str) -> str:
    """An address as links start with it: without user and password, which nobody is to be sent.

    Raises:
        AblationError: it is no address of a web page.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AblationError(
            f"{url!r} is no address of the MLflow UI: it has to begin with http:// or https:// and "
            "name a host, such as http://127.0.0.1:5000. `ablate ui STUDY` prints its own."
        )
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
