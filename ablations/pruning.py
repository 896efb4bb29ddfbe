"""Ending hopeless runs early: Optuna's pruners, asked while a run is trained.

Runs that are compared with each other report to an Optuna study of their own, beside the queue in
the storage of the ledger. They have one seed: no run is ended because another seed of the same
setting was luckier. A run has one trial there, which each attempt at it takes up again: what it
reported before stays reported once, and no attempt that died is taken for another run.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from ablations.ledger import Ledger
from ablations.metrics_file import MetricRow
from ablations.storages.patience import is_away
from studies import pruners
from studies.metrics import VALIDATION_LOSS
from studies.plan import Plan, PlannedRun
from studies.protocol import Pruning
from studies.records import Outcome
from studies.registry import Registry
from studies.run_spec import digest
from studies.values import Scalar

log = logging.getLogger(__name__)

RUN_KEY = "run_key"
_STATE_OF = {Outcome.COMPLETED: TrialState.COMPLETE, Outcome.PRUNED: TrialState.PRUNED}
"""A diverged run fails its trial: it is no measure for the others."""


def _patient(**options: Any) -> BasePruner:
    """Options that are not its own are those of the pruner that it asks."""
    own = pruners.PRUNERS["patient"].options
    wrapped = PRUNERS[options.pop("wrapped_pruner", "median")]
    others = {name: value for name, value in options.items() if name not in own}
    mine = {name: value for name, value in options.items() if name in own}
    return PatientPruner(wrapped(**others), **mine)


PRUNERS: Registry[Callable[..., BasePruner]] = Registry(
    "pruner",
    {
        "median": MedianPruner,
        "percentile": PercentilePruner,
        "successive_halving": SuccessiveHalvingPruner,
        "hyperband": HyperbandPruner,
        "threshold": ThresholdPruner,
        "patient": _patient,
        "wilcoxon": WilcoxonPruner,
    },
)


def build_pruner(name: str, options: Mapping[str, Scalar]) -> BasePruner:
    """The Optuna pruner of a name, with options that the study was checked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PRUNERS[name](**options)


def run_pruning(
    plan: Plan, run: PlannedRun, ledger: Ledger, earlier: Iterable[MetricRow]
) -> RunPruning | None:
    """What decides whether a run goes on, with the rows of earlier attempts; None for nothing."""
    pruning = plan.study.protocol.pruning
    if pruning is None or not plan.prunes(run) or pruners.PRUNERS[pruning.pruner].of_seeds:
        return None
    losses = {
        row.step: row.values[VALIDATION_LOSS] for row in earlier if VALIDATION_LOSS in row.values
    }
    group = f"{ledger.name}/pruning/{group_of(plan, run, pruning)}"
    return RunPruning(group, run, pruning, ledger.storage, losses)


def group_of(plan: Plan, run: PlannedRun, pruning: Pruning) -> str:
    """Name of the group of runs that a run is compared with, in an Optuna study of their own.

    That is those of its seed: other settings of its variant in the search, and in the report all
    that are compared. With another pruner, or where cells are others by now, it is another study.
    """
    of_search = run.stage == "search"
    cells = [plan.cell(run.variant)] if of_search else plan.cells
    told = {
        "pruner": pruning.pruner,
        "options": pruning.options,
        "cells": sorted(cell.cell_key for cell in cells),
    }
    of = f"search/{run.variant}" if of_search else "report"
    return f"{of}/seed-{run.seed}/{digest(told)}"


class RunPruning:
    """One run among those of its seed that it is compared with.

    A storage that is away is no reason to end a run, nor to stop training it.
    """

    def __init__(
        self,
        group: str,
        run: PlannedRun,
        pruning: Pruning,
        storage: BaseStorage,
        losses: Mapping[int, float],
    ) -> None:
        self._group, self._run, self._storage = group, run, storage
        self._pruner = build_pruner(pruning.pruner, pruning.options)
        self._losses = {step: loss for step, loss in losses.items() if step > 0}
        """Optimiser step to validation loss, of earlier attempts too."""
        self._trial: Trial | None = None

    def should_prune(self, step: int, loss: float) -> bool:
        """Report a validation loss, nats per token, and ask whether the run ends here."""
        self._losses[step] = loss
        try:
            return self._answer(step)
        except Exception as error:
            if not _is_no_answer(error):
                raise
            log.warning("run %s goes on, since nobody says whether to: %s", self._key, error)
            return False

    def end(self, outcome: Outcome, loss: float) -> None:
        """Tell how the run ended, for those that come after it."""
        try:
            study, trial = self._study_and_trial()
            state = _STATE_OF.get(outcome, TrialState.FAIL)
            values = loss if state is TrialState.COMPLETE else None
            study.tell(trial, values, state=state, skip_if_finished=True)
        except Exception as error:
            if not _is_no_answer(error):
                raise
            log.warning("the end of run %s could not be told to others: %s", self._key, error)

    @property
    def _key(self) -> str:
        return self._run.run_key

    def _answer(self, step: int) -> bool:
        _, trial = self._study_and_trial()
        known = self._frozen(trial)
        if known.state.is_finished():  # by an attempt that died before it told the ledger
            return known.state is TrialState.PRUNED and step >= (known.last_step or 0)
        for at in sorted(self._losses.keys() - known.intermediate_values.keys()):
            trial.report(self._losses[at], at)
        if step < (known.last_step or 0):
            return False  # an earlier attempt asked here, and went on
        return trial.should_prune()

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self._storage.get_trial(trial._trial_id)

    def _study_and_trial(self) -> tuple[optuna.Study, Trial]:
        """The study and the trial of the run, made where they are not there yet."""
        if self._trial is not None:
            return self._trial.study, self._trial
        study = optuna.create_study(
            study_name=self._group, storage=self._storage, pruner=self._pruner, load_if_exists=True
        )
        found = study.get_trials(deepcopy=False)
        own = (t for t in found if t.user_attrs.get(RUN_KEY) == self._key)
        first = min(own, key=lambda trial: trial.number, default=None)
        if first is not None:
            self._trial = Trial(study, first._trial_id)
            return study, self._trial
        self._trial = study.ask()
        self._trial.set_user_attr("seed", self._run.seed)
        self._trial.set_user_attr("variant", self._run.variant)
        self._trial.set_user_attr("settings", dict(self._run.settings))
        self._trial.set_user_attr(RUN_KEY, self._key)
        return study, self._trial


def _is_no_answer(error: Exception) -> bool:
    """Whether the storage is away, or another attempt at the run ended it."""
    return is_away(error) or isinstance(error, UpdateFinishedTrialError)
