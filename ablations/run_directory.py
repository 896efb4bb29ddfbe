"""What a study leaves on disk: the truth that tracking and reports are made from.

<home>/<study>/plan.json            the resolved plan
               study.yaml           the study file as it was given
               registration.json    what the study said before its first run; written once
               ledger.db            the queue (Optuna), or ledger.json, which says where it is
               run_with.json        launcher, profile and tracking store that it was run with
               fleet.json           who works on it, where a scheduler places workers
               runs/<run key>/record.json, history.parquet, spec.json
                              attempt-<n>/metrics.jsonl, definitions.json, record.json,
                                          error.txt, step-<n>.ckpt, weights.safetensors,
                                          tokenizer.json
               report/
<home>/joined/<study>+<study>/       the report of several studies
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from ablations.metrics_file import MetricRow, MetricsTail, metrics_line
from lightning_modules.checkpoints import TOKENIZER, WEIGHTS, list_checkpoints
from studies.errors import AblationError
from studies.files import replacing, write_atomically
from studies.metrics import Metric
from studies.plan import Plan
from studies.records import RunRecord
from studies.registration import REGISTRATION_FILE
from studies.run_spec import RunSpec

log = logging.getLogger(__name__)

_DEFINITIONS = TypeAdapter(dict[str, Metric])


class StudyDirectory:
    """The folder of one study."""

    def __init__(self, home: Path, study: str) -> None:
        self.study = study
        self.path = home.resolve() / study
        self.plan_path = self.path / "plan.json"
        self.registration_path = self.path / REGISTRATION_FILE
        self.ledger_path = self.path / "ledger.db"
        self.ledger_file_path = self.path / "ledger.json"
        self.run_with_path = self.path / "run_with.json"
        self.fleet_path = self.path / "fleet.json"
        self.report_path = self.path / "report"

    def save_plan(self, plan: Plan, study_text: str) -> None:
        """Store the plan and the study file; the last one planned is the one that counts."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "study.yaml", study_text)
        self.update_plan(plan)

    def update_plan(self, plan: Plan) -> None:
        """Store a plan whose search has gone on."""
        write_atomically(self.plan_path, plan.model_dump_json(indent=1))

    def load_plan(self) -> Plan:
        """The stored plan.

        Raises:
            AblationError: the study was never run here.
        """
        try:
            text = self.plan_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            known = sorted(p.parent.name for p in self.path.parent.glob("*/plan.json"))
            raise AblationError(
                f"no runs of study {self.path.name!r} under {self.path.parent}. "
                f"Studies there: {', '.join(known) or 'none'}. "
                "Run it first (`ablate run STUDY`), or point --home at the folder that holds it."
            ) from None
        return Plan.model_validate_json(text)

    def run(self, run_key: str) -> RunDirectory:
        """The folder of a run."""
        return RunDirectory(self.path / "runs" / run_key)


def joined_report_path(home: Path, name: str) -> Path:
    """The folder of the report of several studies; no study's own folder has a + in its name."""
    return home.resolve() / "joined" / name


class StoredPlan:
    """The plan of a study as it is on disk, read again when it has changed."""

    def __init__(self, directory: StudyDirectory) -> None:
        self._directory = directory
        self._changed_ns = -1
        self._plan: Plan | None = None

    def read(self) -> Plan:
        """The plan; the same object while the file is the same."""
        path = self._directory.plan_path
        changed_ns = path.stat().st_mtime_ns if path.exists() else -1
        if self._plan is None or changed_ns != self._changed_ns:
            self._plan, self._changed_ns = self._directory.load_plan(), changed_ns
        return self._plan


class RunDirectory:
    """The folder of one run, with a folder for each attempt at it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_path = path / "record.json"
        self.history_path = path / "history.parquet"
        self.spec_path = path / "spec.json"

    @property
    def run_key(self) -> str:
        """Key of the run."""
        return self.path.name

    def attempts(self) -> list[AttemptDirectory]:
        """Attempts so far, oldest first."""
        folders = self.path.glob("attempt-*")
        return [AttemptDirectory(p) for p in sorted(folders, key=lambda p: _number(p))]

    def attempt(self, number: int) -> AttemptDirectory:
        """The folder of one attempt."""
        return AttemptDirectory(self.path / f"attempt-{number}")

    def save_spec(self, spec: RunSpec) -> None:
        """Store what is to be run."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.spec_path, spec.model_dump_json(indent=1))

    def publish(self, record: RunRecord) -> None:
        """Make an attempt's record and history the run's own; anybody may repeat it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = self.attempt(record.attempt).read_metrics()
        columns = {
            "metric": [name for row in rows for name in row.values],
            "step": [row.step for row in rows for _ in row.values],
            "value": [value for row in rows for value in row.values.values()],
        }
        types = {"metric": pa.string(), "step": pa.int64(), "value": pa.float64()}
        table = pa.table({k: pa.array(v, types[k]) for k, v in columns.items()})
        self.path.mkdir(parents=True, exist_ok=True)
        with replacing(self.history_path) as temporary:
            pq.write_table(table, temporary)
        write_atomically(self.record_path, record.model_dump_json(indent=1))

    def record(self) -> RunRecord | None:
        """The published record, if the run has ended."""
        return _read_record(self.record_path)

    def spec(self) -> RunSpec:
        """What was run."""
        return RunSpec.model_validate_json(self.spec_path.read_text(encoding="utf-8"))


class AttemptDirectory:
    """The folder of one attempt, written by one worker alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = _number(path)
        self.metrics_path = path / "metrics.jsonl"
        self.record_path = path / "record.json"
        self.definitions_path = path / "definitions.json"

    def save_definitions(self, definitions: Mapping[str, Metric]) -> None:
        """Store what the attempt's numbers mean, for whoever looks at it before it ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = _DEFINITIONS.dump_json(dict(definitions)).decode()
        write_atomically(self.definitions_path, text)

    def definitions(self) -> dict[str, Metric]:
        """What its numbers mean; nothing where nobody said so."""
        try:
            return _DEFINITIONS.validate_json(self.definitions_path.read_bytes())
        except FileNotFoundError:
            return {}

    def save_record(self, record: RunRecord) -> None:
        """Store how the attempt ended, before the ledger is told."""
        write_atomically(self.record_path, record.model_dump_json(indent=1))

    def record(self) -> RunRecord | None:
        """How the attempt ended, if it did."""
        return _read_record(self.record_path)

    def read_metrics(self) -> list[MetricRow]:
        """Rows written so far; the torn last line of a killed writer is left out."""
        return MetricsTail(self.metrics_path).new_rows()

    def saved_step(self) -> int:
        """Step of the newest checkpoint, 0 without one."""
        return max((checkpoint.step for checkpoint in list_checkpoints(self.path)), default=0)

    def remove_checkpoints(self) -> None:
        """Free the space of an attempt whose run has ended."""
        for checkpoint in list_checkpoints(self.path):
            checkpoint.path.unlink(missing_ok=True)

    @property
    def has_weights(self) -> bool:
        """Whether the weights of a completed run were kept."""
        return (self.path / WEIGHTS).is_file()

    def remove_weights(self) -> None:
        """Free the space of an attempt that is not its run's end."""
        for name in (WEIGHTS, TOKENIZER):
            (self.path / name).unlink(missing_ok=True)

    def start(self) -> None:
        """Make the folder, with no rows in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.metrics_path, "")

    def continue_from(self, earlier: AttemptDirectory, step: int) -> None:
        """Start with what an earlier attempt recorded up to the step that is resumed from."""
        kept = [row for row in earlier.read_metrics() if row.step <= step]
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.metrics_path, "".join(metrics_line(r.step, r.values) for r in kept))


def _number(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _read_record(path: Path) -> RunRecord | None:
    try:
        return RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
