"""Where the runs of a study are shown in the MLflow UI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

from studies.errors import AblationError


@dataclass(frozen=True)
class RunLinks:
    """Addresses of runs in the MLflow UI."""

    ui_url: str
    """Address of the UI, without a slash at its end."""
    experiment_id: str
    run_ids: Mapping[str, str] = field(default_factory=dict)
    """Run key to the identifier of its MLflow run."""

    def to(self, run_key: str) -> str | None:
        """Address of a run; None for one that is not in the store."""
        run_id = self.run_ids.get(run_key)
        if run_id is None:
            return None
        experiment = quote(self.experiment_id, safe="")
        return f"{self.ui_url}/#/experiments/{experiment}/runs/{quote(run_id, safe='')}"


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
