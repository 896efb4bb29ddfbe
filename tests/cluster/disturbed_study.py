"""A study that runs on a cluster while somebody breaks the cluster."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.postgresql import PostgreSQL
from tests.cluster.slurm import SlurmCluster
from tests.cluster.tracking_server import TrackingServer
from tests.processes import workers_of

WORKERS = 4
STUDY: dict[str, Any] = {
    "name": "chaos",
    "model": {"n_layers": 1, "n_heads": 2, "d_model": 32, "context_length": 32},
    "data": {"corpus": "python-docs", "tokenizer": "bytes", "evaluation_tokens": 1024},
    "training": {"max_steps": 300, "batch_size": 8, "learning_rate": 3e-3, "warmup_steps": 10},
    "diagnostics": {"log_every_steps": 20, "evaluate_every_steps": 100, "probe_every_steps": 200},
    "execution": {"checkpoint_every_s": 0.5, "accelerator": "cpu"},
    "factors": {
        "model.activation": ["relu", "gelu", "silu", "swiglu"],
        "model.norm": ["layer", "group", "none"],
        "model.placement": ["pre", "post"],
    },
    "seeds": 1,
}
"""The grid of the quickstart, without the norm that leaks, on a small model."""


@dataclass
class Chaos:
    """A study, the cluster that it runs on, and the faults that it suffers."""

    folder: Path
    cluster: SlurmCluster
    database: PostgreSQL
    server: TrackingServer
    store: str
    """The database of the tracking server."""
    generator: random.Random
    later: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    watcher: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.cluster.environment,
            "PGPASSWORD": self.database.password,
            "ABLATE_PROFILES": str(self.folder / "profiles.yaml"),
            "ABLATE_PROFILE": "cluster",
            "OMP_NUM_THREADS": "1",
        }

    def prepare(self, study: dict[str, Any]) -> None:
        self.home.mkdir()
        (self.folder / "chaos.yaml").write_text(yaml.safe_dump(study))
        slurm = {"partition": "low", "time_limit_minutes": 60, "cpus_per_worker": 1}
        profile = {
            "launcher": "slurm",
            "workers": WORKERS,
            "storage": self.database.url_without_password,
            "tracking_uri": self.server.uri,
            "slurm": {**slurm, "memory_gib": 1},
        }
        (self.folder / "profiles.yaml").write_text(yaml.safe_dump({"cluster": profile}))

    def ablate(self, command: str, *options: str) -> str:
        """Run a command of `ablate` to its end; returns what it prints."""
        words = [sys.executable, "-m", "ablations.cli", command, *options, "--home", str(self.home)]
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def watch(self) -> None:
        """Have somebody watch, who places workers where they are missing."""
        words = [sys.executable, "-m", "ablations.cli", "status", "chaos", "--watch"]
        with (self.folder / "watch.log").open("ab") as log:
            self.watcher = subprocess.Popen(
                [*words, "--home", str(self.home)], env=self.environment, stdout=log, stderr=log
            )

    def is_over(self) -> bool:
        """Whether the one who watches has seen the end; one that was killed is replaced."""
        assert self.watcher is not None
        if self.watcher.poll() is None:
            return False
        if self.watcher.returncode == 0:
            return True
        self.watch()
        return False

    def repair(self, *, all_now: bool = False) -> None:
        """What is due of the repairs."""
        now = time.monotonic()
        due = [entry for entry in self.later if all_now or entry[0] <= now]
        self.later = [entry for entry in self.later if entry not in due]
        for _, act in due:
            act()

    def in_a_while(self, seconds: float, act: Callable[[], object]) -> None:
        self.later.append((time.monotonic() + seconds, act))

    def workers(self, *, training: bool) -> list[int]:
        """Processes that train, or that look after those."""
        return workers_of(self.home, training=training)
