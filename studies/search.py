"""How a search goes on: a function of the plan and of the losses so far, and of nothing else.

Whoever calls it, and however often, comes to the same trials and the same choices. Every variant
is given the same number of trials in the same range; a range is extended for all of them or none.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from studies.configuration import flatten, with_values
from studies.edges import Side, Span, span_of
from studies.plan import Cell, Choice, Extension, Plan, Trial
from studies.protocol import Fixed, Sweep, Tune
from studies.records import Outcome, RunRecord
from studies.rules import RULES
from studies.run_list import with_runs
from studies.run_spec import digest
from studies.tried import Tried, best_of, of_records
from studies.values import Scalar

Propose = Callable[[Tune, int, Sequence[Tried], int], list[dict[str, Scalar]]]
"""Settings of the next trials, from the search, its seed, the trials so far and how many more."""

RecordOf = Callable[[str], RunRecord | None]
"""The record of a run by its key, None while it has not ended."""


def begin(plan: Plan) -> Plan:
    """A plan of cells with its runs: those of the shared values, and of a sweep every trial."""
    search, trials = plan.study.protocol.search, list[Trial]()
    if isinstance(search, Sweep):
        grid = [
            dict(zip(search.values, values, strict=True))
            for values in itertools.product(*search.values.values())
        ]
        trials = [
            Trial(variant=cell.variant, number=number, settings=settings)
            for number, settings in enumerate(grid)
            for cell in plan.cells
        ]
    return with_runs(plan.model_copy(update={"trials": tuple(trials)}))


def advance(plan: Plan, record_of: RecordOf, propose: Propose) -> Plan:
    """The plan with what its search does next; the same plan where it has to wait, or is done."""
    if plan.is_settled:
        return plan
    return _Searching(plan, record_of, propose).advanced()


def take_up(plan: Plan, stored: Plan) -> Plan:
    """A plan made anew, with the search that a stored one of the study has come to.

    A search of the same values or ranges goes on; more trials of one follow those that there are.
    Variants are told by their configuration, nuisance keys aside.
    """
    search, earlier = plan.study.protocol.search, stored.study.protocol.search
    if isinstance(search, Fixed) or isinstance(earlier, Fixed):
        return plan
    length = {"trials": True, "extend": True}
    if search.model_dump(exclude=length) != earlier.model_dump(exclude=length):
        return plan
    pruning = plan.study.protocol.pruning
    same = search == earlier and pruning == stored.study.protocol.pruning
    names = {_searched(cell, search): cell.variant for cell in plan.cells}
    renamed = {c.variant: names[k] for c in stored.cells if (k := _searched(c, search)) in names}
    limit = search.trials if isinstance(search, Tune) else math.inf
    trials = [
        trial.model_copy(update={"variant": renamed[trial.variant]})
        for trial in stored.trials
        if trial.variant in renamed and (same or (not trial.extension and trial.number < limit))
    ]
    known = {(trial.variant, trial.number) for trial in trials}
    new = [trial for trial in plan.trials if (trial.variant, trial.number) not in known]
    choices = {renamed[v]: c for v, c in stored.choices.items() if v in renamed} if same else {}
    update = {
        "trials": _in_order((*trials, *new), plan.cells),
        "extensions": stored.extensions if same else (),
        "choices": choices,
    }
    return with_runs(plan.model_copy(update=update))


def _searched(cell: Cell, search: Sweep | Tune) -> str:
    """What a search is of: the configuration of a cell, whatever its nuisance keys are set to."""
    return digest(with_values(cell.configuration, dict.fromkeys(search.keys)))


def spans(plan: Plan, extensions: int | None = None) -> dict[str, Span]:
    """What the search tries of each key that has an order, with all extensions or the first."""
    search = plan.study.protocol.search
    found = {key: span for key in search.keys if (span := span_of(search, key)) is not None}
    for extension in plan.extensions[:extensions]:
        found[extension.key] = found[extension.key].extended(extension.side)
    return found


class _Searching:
    """One look at the searches of a plan."""

    def __init__(self, plan: Plan, record_of: RecordOf, propose: Propose) -> None:
        search = plan.study.protocol.search
        assert not isinstance(search, Fixed)
        self._plan, self._search = plan, search
        self._record_of, self._propose = record_of, propose
        self._trials: dict[str, list[Trial]] = {cell.variant: [] for cell in plan.cells}
        for trial in plan.trials:
            self._trials[trial.variant].append(trial)

    def advanced(self) -> Plan:
        """The plan one step on."""
        tried = {
            cell.variant: found
            for cell in self._plan.cells
            if (found := self._tried(cell)) is not None
        }
        ready = {v: t for v, t in tried.items() if len(t) == len(self._trials[v])}
        new = [trial for variant, t in ready.items() for trial in self._proposed(variant, t)]
        if new:
            return self._with_trials(new)
        if len(ready) < len(tried):
            return self._plan
        plan = self._plan if self._plan.choices else self._with_extensions(ready)
        new = [t for v in ready for t in _extensions(plan, self._trials[v], ready[v])]
        if new:
            return self._with_trials(new, plan)
        choices = {v: self._choice(t) for v, t in ready.items() if v not in plan.choices}
        if not choices:  # the rest wait for runs that failed
            return self._plan
        return with_runs(plan.model_copy(update={"choices": {**plan.choices, **choices}}))

    def _tried(self, cell: Cell) -> list[Tried] | None:
        """The trials of a variant up to the first that has not ended; None where a run failed.

        Such a variant holds up nobody else: it gets its choice once the run is mended.
        """
        found = []
        for trial in self._trials[cell.variant]:
            keys = (cell.spec(s, trial.settings).run_key for s in self._search.seeds)
            records = [record for key in keys if (record := self._ended(key)) is not None]
            if any(record.outcome is Outcome.FAILED for record in records):
                return None
            if len(records) < len(self._search.seeds):
                break
            found.append(of_records(trial.settings, records))
        return found

    def _ended(self, run_key: str) -> RunRecord | None:
        """The record of a run; what another protocol pruned is trained again."""
        record = self._record_of(run_key)
        return record if record is not None and record.stands(self._plan, "search") else None

    def _proposed(self, variant: str, tried: Sequence[Tried]) -> Iterator[Trial]:
        """The next trials of a variant whose trials have all ended."""
        search = self._search
        if isinstance(search, Sweep) or len(tried) >= search.trials:
            return
        count = min(search.at_once, search.trials - len(tried))
        seed = int(digest(search.model_dump(mode="json", exclude={"trials", "extend"})), 16)
        for offset, settings in enumerate(self._propose(search, seed, tried, count)):
            yield Trial(variant=variant, number=len(tried) + offset, settings=settings)

    def _with_extensions(self, ready: Mapping[str, Sequence[Tried]]) -> Plan:
        """The plan with a step more on each side where the best of any variant lies."""
        done = Counter((e.key, e.side) for e in self._plan.extensions)
        wanted = dict.fromkeys(
            (key, side)
            for tried in ready.values()
            for key, side in self._edges(tried)
            if done[key, side] < self._search.extend
            and _is_possible(self._plan, key, spans(self._plan)[key].beyond(side))
        )
        added = (Extension(key=key, side=side) for key, side in wanted)
        return self._plan.model_copy(update={"extensions": (*self._plan.extensions, *added)})

    def _edges(self, tried: Sequence[Tried]) -> list[tuple[str, Side]]:
        """The ends on which the best lies; if it is untrained, so are all: those of all."""
        best = best_of(tried)
        equals = [
            t.settings for t in tried if t is best or (best.untrained and t.loss == best.loss)
        ]
        sides = (
            (key, span.edge(settings[key]))
            for settings in equals
            for key, span in spans(self._plan).items()
        )
        return list(dict.fromkeys((key, side) for key, side in sides if side is not None))

    def _choice(self, tried: Sequence[Tried]) -> Choice:
        best = best_of(tried)
        return Choice(
            settings=dict(best.settings),
            trial=tried.index(best),
            loss=best.loss,
            edges=dict(self._edges(tried)),
            pruned=best.pruned,
        )

    def _with_trials(self, new: Sequence[Trial], plan: Plan | None = None) -> Plan:
        plan = plan or self._plan
        trials = _in_order((*plan.trials, *new), plan.cells)
        return with_runs(plan.model_copy(update={"trials": trials}))


def _in_order(trials: Iterable[Trial], cells: Sequence[Cell]) -> tuple[Trial, ...]:
    """Trials by number, then by variant: the same order whichever variant was quicker."""
    place = {cell.variant: number for number, cell in enumerate(cells)}
    return tuple(sorted(trials, key=lambda trial: (trial.number, place[trial.variant])))


def _extensions(plan: Plan, trials: Sequence[Trial], tried: Sequence[Tried]) -> Iterator[Trial]:
    """The steps beyond the range that a variant has yet to try, each from its best so far."""
    done = sum(trial.extension for trial in trials)
    for number in range(done, len(plan.extensions)):
        key, side = plan.extensions[number].key, plan.extensions[number].side
        span = spans(plan, number + 1)[key]
        value = span.high if side == "high" else span.low
        yield Trial(
            variant=trials[0].variant,
            number=len(tried) + number - done,
            settings={**best_of(tried).settings, key: value},
            extension=True,
        )


def _is_possible(plan: Plan, key: str, value: Scalar) -> bool:
    """Whether no variant breaks a rule at a value, such as a warm-up longer than the run."""
    return value is not None and not any(
        rule.check(flatten(with_values(cell.configuration, {key: value})))
        for rule in RULES
        if key in rule.keys
        for cell in plan.cells
    )
