"""A study on a cluster whose parts are killed while it runs, and what must be true afterwards.

    python -m tests.cluster.chaos --faults 100 --seed 1

Everything is real: Slurm on emulated nodes, PostgreSQL, an MLflow server, `ablate` as a command.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.disturbed_study import STUDY, Chaos
from tests.cluster.faults import ONE_AT_A_TIME, draw, suffer
from tests.cluster.postgresql import PostgreSQL
from tests.cluster.slurm import SlurmCluster
from tests.cluster.tracking_server import TrackingServer


@dataclass(frozen=True)
class Findings:
    """What a study looks like that went through it."""

    attempts: Counter[str]
    """States of the trials of the queue."""
    problems: list[str]
    """Everything that must not be."""


def check(chaos: Chaos, reference: Path) -> Findings:
    """Each run completed once, its numbers as undisturbed, every step once in MLflow."""
    import mlflow
    import optuna
    import pandas as pd

    from ablations.publishing import is_tracked
    from ablations.run_directory import StudyDirectory

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    directory, undisturbed = (StudyDirectory(h, "chaos") for h in (chaos.home, reference))
    plan = directory.load_plan()
    name = json.loads((directory.path / "ledger.json").read_text())["name"]
    trials = optuna.load_study(study_name=name, storage=chaos.database.url).trials
    client = mlflow.MlflowClient(chaos.server.uri)
    experiment = client.get_experiment_by_name("chaos")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'run'", max_results=5000)
    tracked: dict[str, list[Any]] = {}
    for run in runs:
        tracked.setdefault(run.data.tags["run_key"], []).append(run)
    stored = pd.read_sql("SELECT run_uuid, key, step, value FROM metrics", chaos.store)
    problems = []
    for planned in plan.runs:
        key = planned.run_key
        complete = [
            t for t in trials if t.user_attrs["run_key"] == key and t.state.name == "COMPLETE"
        ]
        if len(complete) != 1:
            problems.append(f"{key}: {len(complete)} completed attempts")
            continue
        own, theirs = (pd.read_parquet(d.run(key).history_path) for d in (directory, undisturbed))
        if not _numbers(own).equals(_numbers(theirs)):
            problems.append(f"{key}: other numbers than undisturbed")
        if len(tracked.get(key, [])) != 1:
            problems.append(f"{key}: {len(tracked.get(key, []))} runs in MLflow")
            continue
        [run] = tracked[key]
        if run.info.status != "FINISHED":
            problems.append(f"{key}: {run.info.status} in MLflow")
        sent = own[[is_tracked(name, plan.study.execution.tracked_taps) for name in own.metric]]
        expected = sorted(zip(sent.metric, sent.step, sent.value, strict=True))
        here = stored[(stored.run_uuid == run.info.run_id) & stored.key.isin(set(sent.metric))]
        found = sorted(zip(here.key, here.step, here.value, strict=True))
        if found != expected:
            problems.append(f"{key}: {len(found)} rows in MLflow, and {len(expected)} in its file")
    problems += [f"the password of the database is in {place}" for place in places_told(chaos)]
    return Findings(Counter(trial.state.name for trial in trials), problems)


def places_told(chaos: Chaos) -> list[str]:
    """Files of the study, and tables of the queue and of MLflow, that hold the secret."""
    import pandas as pd

    secret = chaos.database.password
    told = []
    for path in (chaos.folder / "watch.log", *chaos.home.rglob("*")):
        with suppress(FileNotFoundError, IsADirectoryError):  # a worker may still be at its end
            if secret.encode() in path.read_bytes():
                told.append(str(path))
    tables = {chaos.store: ("params", "tags", "experiment_tags", "runs")}
    tables[chaos.database.url] = ("study_user_attributes", "trial_user_attributes")
    return told + [
        table
        for url, names in tables.items()
        for table in names
        if secret in pd.read_sql(f"SELECT * FROM {table}", url).to_csv()
    ]


def _numbers(history: Any) -> Any:
    """The rows of a history that do not depend on the clock."""
    rows = history[~history.metric.str.startswith(("system/", "time/"))]
    return rows.sort_values(["metric", "step"]).reset_index(drop=True)


def run_undisturbed(folder: Path, study: dict[str, Any]) -> Path:
    """The same study on this machine alone; returns its home."""
    home = folder / "undisturbed"
    (folder / "undisturbed.yaml").write_text(yaml.safe_dump(study))
    words = [sys.executable, "-m", "ablations.cli", "run", str(folder / "undisturbed.yaml")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ABLATE")}
    done = subprocess.run(
        [*words, "--yes", "--workers", "2", "--home", str(home)],
        env=environment | {"ABLATE_PROFILES": "/dev/null", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return home


def endure(
    faults: Sequence[str], every_s: float, seed: int, study: dict[str, Any], limit_s: float
) -> tuple[Chaos, Findings]:
    """Run a study through faults, one every so often; returns what it went through and came to.

    Raises:
        AssertionError: it is not over within the limit.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="ablate-chaos-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        reference = run_undisturbed(folder, study)
        cluster = stack.enter_context(SlurmCluster(nodes=4, gpus=1))
        database = stack.enter_context(PostgreSQL())
        store = database.create_database("mlflow")
        server = stack.enter_context(TrackingServer(store, folder))
        chaos = Chaos(folder, cluster, database, server, store, random.Random(seed))
        chaos.prepare(study)
        _say(chaos.ablate("run", str(folder / "chaos.yaml")).splitlines()[-2])
        chaos.watch()
        stack.callback(lambda: chaos.watcher and chaos.watcher.kill())
        _break_things(chaos, list(faults), every_s, time.monotonic() + limit_s)
        server.wait()
        chaos.ablate("sync", "chaos")
        return chaos, check(chaos, reference)


def _break_things(chaos: Chaos, faults: list[str], every_s: float, deadline: float) -> None:
    next_at, broken_until = time.monotonic() + every_s, -math.inf
    while not chaos.is_over():
        now = time.monotonic()
        assert now < deadline, (chaos.folder / "watch.log").read_text()[-2000:]
        chaos.repair()
        waits = faults and faults[0] in ONE_AT_A_TIME and now < broken_until
        if faults and now > next_at and not waits and suffer(chaos, faults[0]):
            name = faults.pop(0)
            _say(name)
            broken_until = now + 20 if name in ONE_AT_A_TIME else broken_until
            next_at = now + every_s
        time.sleep(0.2)
    chaos.repair(all_now=True)
    _say(f"over, {len(faults)} faults left")


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> int:
    """A long run by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--every", type=float, default=6.0, help="seconds between faults")
    parser.add_argument("--steps", type=int, default=3000, help="optimiser steps of a run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    training = {**STUDY["training"], "max_steps": options.steps}
    study = {**STUDY, "training": training}
    started = time.monotonic()
    faults = draw(options.faults, options.seed)
    limit_s = 600 + options.faults * options.every * 5
    chaos, findings = endure(faults, options.every, options.seed, study, limit_s)
    _say(f"{time.monotonic() - started:.0f} s; faults: {dict(chaos.done)}")
    _say(f"attempts: {dict(findings.attempts)}")
    print(
        "\n".join(findings.problems) or "every run once, every number and every step as undisturbed"
    )
    return 1 if findings.problems else 0


if __name__ == "__main__":
    sys.exit(main())
