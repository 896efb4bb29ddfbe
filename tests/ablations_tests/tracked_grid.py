"""A tracking store with 148 runs of two studies, and `ablate query` on it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ablations.cli import main
from ablations.tracking import TrackedRun, Tracking
from ablations.tracking_store import default_tracking_uri
from studies.plan import PlannedRun
from tests.ablations_tests.synthetic_runs import plan_study

ACTIVATIONS = ("relu", "gelu", "silu", "swiglu", "geglu")
NORMS = ("batch", "layer", "group", "rms")
RATES = (1e-5, 1e-4, 1e-3)


class Stored(NamedTuple):
    """A run as it was written."""

    study: str
    run: PlannedRun
    activation: str
    norm: str
    rate: float
    loss: float | None


@dataclass(frozen=True)
class Store:
    home: Path
    runs: list[Stored]
    study_file: Path


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Store:
    """A grid of 140 runs, and a search of the learning rate in 8, of which one diverged."""
    home = tmp_path_factory.mktemp("store")
    runs: list[Stored] = []
    grid = {"model.activation": ACTIVATIONS, "model.norm": NORMS}
    baseline = {"model.activation": "gelu", "model.norm": "layer"}
    write_study(home, runs, "grid", factors=grid, seeds=tuple(range(7)), baseline=baseline)
    sweep = {
        "kind": "sweep",
        "values": {"training.learning_rate": RATES},
        "seeds": (9,),
        "extend": 0,
    }
    norms = {"model.norm": ("layer", "rms")}
    write_study(
        home, runs, "rates", factors=norms, seeds=(0,), baseline={"model.norm": "layer"},
        protocol={"search": sweep},
    )  # fmt: skip
    file = home / "rates.yaml"
    file.write_text("name: rates\nquestion: Which?\nfactors: {model.norm: [layer, rms]}\n")
    return Store(home, runs, file)


def write_study(
    home: Path, runs: list[Stored], name: str, baseline: dict[str, str], **settings: Any
) -> None:
    plan, directory = plan_study(home, name, report={"baseline": baseline}, **settings)
    tracking = Tracking(default_tracking_uri(home))
    study = tracking.open_study(plan, directory.path)
    for number, planned in enumerate(plan.runs):
        spec = plan.spec(planned)
        diverged = spec.training.learning_rate == max(RATES) and planned.stage == "search"
        loss = None if diverged and spec.model.norm == "rms" else 2.101 + number / 1000 + 1e-9
        run = tracking.open_run(study, TrackedRun.of(plan, planned), 0)
        losses = [] if loss is None else [(9, "val/loss", loss), (0, "summary/val_loss", loss)]
        outcome = "diverged" if loss is None else "completed"
        tracking.log(run, [*losses, (9, "train/loss", 1.5)], {"outcome": outcome})
        rate = spec.training.learning_rate
        runs.append(Stored(name, planned, spec.model.activation, spec.model.norm, rate, loss))


class Answer(NamedTuple):
    """What the command said."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.out)))


@pytest.fixture
def query(store, capsys) -> Callable[..., Answer]:
    def ask(*arguments: str) -> Answer:
        status = main(["query", *arguments, "--home", str(store.home)])
        return Answer(status, *capsys.readouterr())

    return ask
