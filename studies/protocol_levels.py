"""Checking the protocol of a study: its nuisance keys, their values, its seeds and its budget."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from studies.designs import factor_names
from studies.errors import ABSENT
from studies.findings import Findings
from studies.protocol import Fixed, Range, Search, Sweep, Tune
from studies.schema import Study, field_of
from studies.values import Scalar

Convert = Callable[[str, Iterable[Scalar], str], list[Scalar]]
"""Levels as the type of their key, from the key and where it stands; problems are noted."""

_NO_NUISANCE = {
    "training.max_steps": "give protocol.budget",
    "training.max_minutes": "give protocol.budget.minutes",
    "training.batch_size": "it changes the tokens of a run: vary it as a factor",
    "model.context_length": "it changes the tokens of a run: vary it as a factor",
    "model.d_model": "it changes the size of a model: vary it as a factor",
    "model.n_layers": "it changes the size of a model: vary it as a factor",
    "model.d_ff": "it changes the size of a model: vary it as a factor",
    "model.weights": "vary it as a factor",
    "model.weights_digest": "vary model.weights as a factor",
    "training.early_step_fraction": "it only says when a loss is read",
    "training.divergence_factor": "it only says when a run ends",
    "training.initialization_seed": "vary it as a factor",
    "training.data_seed": "vary it as a factor",
    "training.dropout_seed": "vary it as a factor",
}
"""Keys that cannot be searched, and why, in a module of one's own either, whose size no estimate
tells. What else changes the size of the built-in GPT is left to `check_costs`."""

ALLOWED = "keys that change neither size nor budget of a run"
"""What may be searched."""


def checked_search(study: Study, convert: Convert, findings: Findings) -> Search:
    """The search with each value converted to the type of its key; what is wrong is left out."""
    search = study.protocol.search
    if isinstance(search, Fixed):
        return search
    found: dict[str, Range | tuple[Scalar, ...]] = {}
    for key, tried in search.tried.items():
        where = place_of(search, key)
        if not _is_nuisance(study, key, where, findings):
            continue
        if isinstance(tried, Range):
            found[key] = _range(key, tried, where, convert, findings)
        else:
            found[key] = _points(key, tried, where, convert, findings)
    shared = sorted(set(search.seeds) & set(study.seeds))
    if shared:
        findings.add(
            "protocol.search.seeds",
            list(search.seeds),
            f"seeds that are not the study's; both have {', '.join(map(str, shared))}",
            "use other seeds: what is chosen on a seed looks better on it than it is",
        )
    return search.model_copy(update={_tried_at(search): found})


def place_of(search: Search, key: str) -> str:
    """Where a study says what is tried of a key."""
    return f"protocol.search.{_tried_at(search)}.{key}"


def _tried_at(search: Search) -> str:
    return "values" if isinstance(search, Sweep) else "ranges"


def _is_nuisance(study: Study, key: str, where: str, findings: Findings) -> bool:
    if key in factor_names(study):
        findings.add(where, ABSENT, "keys that are no factor", "remove it here or in `factors`")
    elif key in _NO_NUISANCE:
        findings.add(where, ABSENT, ALLOWED, _NO_NUISANCE[key])
    elif field_of(key) and not key.startswith(("model.", "training.")):
        allowed = "keys of `model`, `training` or `module.arguments`"
        findings.add(where, ABSENT, allowed, "remove it, or vary it as a factor")
    else:
        return True
    return False


def _points(
    key: str, values: Iterable[Scalar], where: str, convert: Convert, findings: Findings
) -> tuple[Scalar, ...]:
    """Values to choose from, numbers in order."""
    values = tuple(values)
    good = convert(key, values, where)
    if len(good) == len(values) and len(set(map(repr, good))) < max(2, len(good)):
        findings.add(where, list(values), "at least two values, each once", "list them")
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in good)
    return tuple(sorted(good, key=lambda v: float(v or 0))) if numbers else tuple(good)


def _range(key: str, given: Range, where: str, convert: Convert, findings: Findings) -> Range:
    ends = convert(key, (given.low, given.high), where)
    numbers = [e for e in ends if isinstance(e, int | float) and not isinstance(e, bool)]
    if len(numbers) < 2:
        if len(ends) == 2:
            findings.add(where, ABSENT, "a key that takes numbers", "list its values")
        return given
    low, high = numbers
    if not low < high:
        findings.add(where, f"{low} to {high}", "low below high", "swap or change them")
    elif given.scale == "log" and low <= 0:
        findings.add(f"{where}.low", low, "above 0 on a log scale", "set scale: linear")
    return given.model_copy(update={"low": low, "high": high})


def check_budget(study: Study, findings: Findings) -> None:
    """A budget stands alone."""
    budget, factors = study.protocol.budget, factor_names(study)
    if study.training.max_minutes is not None or "training.max_minutes" in factors:
        findings.add(
            "training.max_minutes",
            study.training.max_minutes,
            "no value of its own: protocol.budget.minutes sets it, for every variant",
            "remove it, and give protocol.budget.minutes",
        )
    if budget is None:
        return
    if "max_steps" in study.training.model_fields_set or "training.max_steps" in factors:
        findings.add(
            "training.max_steps",
            study.training.max_steps,
            "no value beside protocol.budget, which says how long a run is",
            "remove one of the two",
        )


def ends(tried: Range | tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    """The ends of a range, or all of listed values."""
    return (tried.low, tried.high) if isinstance(tried, Range) else tried


def corners(search: Search) -> Iterator[dict[str, Scalar]]:
    """The settings at the ends of what a search tries; of listed values all."""
    if isinstance(search, Fixed):
        return
    for values in itertools.product(*map(ends, search.tried.values())):
        yield dict(zip(search.keys, values, strict=True))


def runs_of_a_cell(study: Study) -> int:
    """Runs that a cell asks for, extensions of the search aside."""
    search = study.protocol.search
    if isinstance(search, Fixed):
        return len(study.seeds)
    return 2 * len(study.seeds) + trials_of_a_cell(study) * len(search.seeds)


def trials_of_a_cell(study: Study) -> int:
    """Settings that the search of a cell tries, extensions aside; 0 without a search."""
    search = study.protocol.search
    return search.trials if isinstance(search, Tune) else sum(1 for _ in corners(search))
